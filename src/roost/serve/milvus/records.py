"""Calls that change rows."""

from typing import Any

import grpc

from roost.errors import InvalidArgument, Unsupported
from roost.serve.milvus.answer import answers
from roost.serve.milvus.wire.fields import rows_of
from roost.serve.milvus.wire.results import ids_of
from roost.serve.milvus.wire.stubs import milvus_pb2
from roost.serve.milvus.wire.templates import filter_params
from roost.vector.api import DeleteRequest, InsertRequest, MutationAnswer, VectorService


class RecordCalls:
    """Insert, upsert, delete."""

    service: VectorService

    @answers(milvus_pb2.MutationResult)
    def Insert(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Store rows durably."""
        written = self._write(request, upsert=False)
        return milvus_pb2.MutationResult(
            IDs=ids_of(written.ids),
            succ_index=range(written.count),
            acknowledged=True,
            insert_cnt=written.count,
            timestamp=written.timestamp,
        )

    @answers(milvus_pb2.MutationResult)
    def Upsert(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Store rows in place of those with the same primary keys."""
        if request.partial_update or len(request.field_ops):
            raise Unsupported("partial updates are not supported by Roost: send whole rows")
        written = self._write(request, upsert=True)
        return milvus_pb2.MutationResult(
            IDs=ids_of(written.ids),
            succ_index=range(written.count),
            acknowledged=True,
            insert_cnt=written.count,
            delete_cnt=written.count,
            upsert_cnt=written.count,
            timestamp=written.timestamp,
        )

    def _write(self, request: Any, *, upsert: bool) -> MutationAnswer:
        return self.service.insert(
            InsertRequest(
                collection=request.collection_name,
                rows=rows_of(request.fields_data, request.num_rows),
                partition=request.partition_name,
                upsert=upsert,
                schema_ts=request.schema_timestamp,
            )
        )

    @answers(milvus_pb2.MutationResult)
    def Delete(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Delete rows durably, by a filter; one that only names primary keys is a filter too.

        The keys are not sent back: clients of today answer with a count only if they are not.
        """
        if not request.expr.strip():
            raise InvalidArgument("delete needs a filter expression: expr is empty")
        deleted = self.service.delete(
            DeleteRequest(
                collection=request.collection_name,
                filter=request.expr,
                partition=request.partition_name,
                filter_params=filter_params(request.expr_template_values),
            )
        )
        return milvus_pb2.MutationResult(
            acknowledged=True, delete_cnt=deleted.count, timestamp=deleted.timestamp
        )
