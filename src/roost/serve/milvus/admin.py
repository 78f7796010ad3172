"""Calls of operation: flush, compaction, resource groups."""

from typing import Any

import grpc

from roost.serve.milvus.answer import answers
from roost.serve.milvus.database import DEFAULT_DATABASE
from roost.serve.milvus.wire.stubs import common_pb2, milvus_pb2, schema_pb2
from roost.vector.api import VectorService
from roost.vector.timestamps import to_ms

DEFAULT_RESOURCE_GROUP = "__default_resource_group"

_MS_PER_S = 1000


class AdminCalls:
    """Flush returns when the segments are committed, so its state is always "flushed"."""

    service: VectorService

    @answers(milvus_pb2.FlushResponse)
    def Flush(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Seal what was inserted into these collections so far."""
        flushed = self.service.flush(tuple(request.collection_names))
        reply = milvus_pb2.FlushResponse(db_name=DEFAULT_DATABASE)
        for name in request.collection_names:
            segment_ids = schema_pb2.LongArray(data=flushed.segment_ids.get(name, ()))
            reply.coll_segIDs[name].CopyFrom(segment_ids)
            reply.flush_coll_segIDs[name].CopyFrom(segment_ids)
            timestamp = flushed.complete_to_ts.get(name, 0)
            reply.coll_flush_ts[name] = timestamp
            reply.coll_seal_times[name] = to_ms(timestamp) // _MS_PER_S
        return reply

    @answers(milvus_pb2.GetFlushStateResponse)
    def GetFlushState(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Flushed: Flush answered only when it was."""
        if request.collection_name:
            self.service.describe_collection(request.collection_name)
        return milvus_pb2.GetFlushStateResponse(flushed=True)

    @answers(milvus_pb2.FlushAllResponse)
    def FlushAll(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Seal what was inserted into any collection so far."""
        timestamp = self.service.now_ts()
        names = tuple(info.name for info in self.service.list_collections())
        if names:
            self.service.flush(names)
        return milvus_pb2.FlushAllResponse(flush_all_ts=timestamp)

    @answers(milvus_pb2.GetFlushAllStateResponse)
    def GetFlushAllState(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Flushed: FlushAll answered only when it was."""
        return milvus_pb2.GetFlushAllStateResponse(flushed=True)

    @answers(milvus_pb2.ManualCompactionResponse)
    def ManualCompaction(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Start merging the small segments of a collection."""
        name = request.collection_name
        if not name:
            name = self.service.describe_collection_id(request.collectionID).name
        compaction_id = self.service.compact(name)
        return milvus_pb2.ManualCompactionResponse(
            compactionID=compaction_id, compactionPlanCount=1
        )

    @answers(milvus_pb2.GetCompactionStateResponse)
    def GetCompactionState(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Tell whether that compaction has ended."""
        done = self.service.compaction_done(request.compactionID)
        state = common_pb2.CompactionState
        return milvus_pb2.GetCompactionStateResponse(
            state=state.Completed if done else state.Executing,
            executingPlanNo=int(not done),
            completedPlanNo=int(done),
        )

    @answers(milvus_pb2.ListResourceGroupsResponse)
    def ListResourceGroups(self, request: Any, context: grpc.ServicerContext) -> Any:
        """There is one, as in a Milvus that nobody divided."""
        return milvus_pb2.ListResourceGroupsResponse(resource_groups=[DEFAULT_RESOURCE_GROUP])
