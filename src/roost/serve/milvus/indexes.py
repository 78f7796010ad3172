"""Calls about indexes."""

from typing import Any

import grpc

from roost.serve.milvus.answer import answers
from roost.serve.milvus.wire.indexes import description, index_spec
from roost.serve.milvus.wire.stubs import common_pb2, milvus_pb2
from roost.vector.api import IndexInfo, VectorService
from roost.vector.errors import IndexNotFound

_OK = common_pb2.Status


class IndexCalls:
    """Create, drop, describe and the progress of builds."""

    service: VectorService

    @answers(common_pb2.Status)
    def CreateIndex(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Declare an index; it is built in the background."""
        self.service.create_index(request.collection_name, index_spec(request))
        return _OK()

    @answers(common_pb2.Status)
    def DropIndex(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Drop an index by its name or its field's."""
        name = request.index_name or request.field_name
        self.service.drop_index(request.collection_name, name)
        return _OK()

    @answers(milvus_pb2.DescribeIndexResponse)
    def DescribeIndex(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Describe the index of that name or field, or all.  Code 700 if there is none."""
        return milvus_pb2.DescribeIndexResponse(
            index_descriptions=[description(index) for index in self._indexes(request)]
        )

    @answers(milvus_pb2.GetIndexStatisticsResponse)
    def GetIndexStatistics(self, request: Any, context: grpc.ServicerContext) -> Any:
        """As DescribeIndex."""
        return milvus_pb2.GetIndexStatisticsResponse(
            index_descriptions=[description(index) for index in self._indexes(request)]
        )

    @answers(milvus_pb2.GetIndexStateResponse)
    def GetIndexState(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Tell the state of one build."""
        index = self._indexes(request)[0]
        return milvus_pb2.GetIndexStateResponse(
            state=int(index.state), fail_reason=index.fail_reason
        )

    @answers(milvus_pb2.GetIndexBuildProgressResponse)
    def GetIndexBuildProgress(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Tell the progress of one build, in rows."""
        index = self._indexes(request)[0]
        return milvus_pb2.GetIndexBuildProgressResponse(
            indexed_rows=index.indexed_rows, total_rows=index.total_rows
        )

    def _indexes(self, request: Any) -> list[IndexInfo]:
        """Return the indexes the request is about.  Raises IndexNotFound if there are none."""
        found = self.service.describe_indexes(request.collection_name)
        if request.index_name:
            # Clients of before 2.2 name the field where the name of the index belongs.
            found = [
                index
                for index in found
                if request.index_name in (index.spec.name, index.spec.field)
            ]
        field_name = getattr(request, "field_name", "")
        if field_name:
            found = [index for index in found if index.spec.field == field_name]
        if not found:
            named = f"[indexName={request.index_name}]" if request.index_name else ""
            raise IndexNotFound(f"index not found{named}[collection={request.collection_name}]")
        return found
