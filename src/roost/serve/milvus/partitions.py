"""Calls about partitions."""

from typing import Any

import grpc

from roost.errors import Unsupported
from roost.serve.milvus.answer import answers
from roost.serve.milvus.wire import params
from roost.serve.milvus.wire.stubs import common_pb2, milvus_pb2
from roost.vector.api import VectorService
from roost.vector.timestamps import to_ms

_OK = common_pb2.Status


class PartitionCalls:
    """Create, drop, list, count; load and release, which go for the whole collection."""

    service: VectorService

    @answers(common_pb2.Status)
    def CreatePartition(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Create a partition."""
        self.service.create_partition(request.collection_name, request.partition_name)
        return _OK()

    @answers(common_pb2.Status)
    def DropPartition(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Drop a partition and its rows."""
        self.service.drop_partition(request.collection_name, request.partition_name)
        return _OK()

    @answers(milvus_pb2.BoolResponse)
    def HasPartition(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Tell whether there is a partition of that name."""
        info = self.service.describe_collection(request.collection_name)
        named = any(partition.name == request.partition_name for partition in info.partitions)
        return milvus_pb2.BoolResponse(value=named)

    @answers(milvus_pb2.ShowPartitionsResponse)
    def ShowPartitions(self, request: Any, context: grpc.ServicerContext) -> Any:
        """List partitions: all, or those asked for."""
        if request.collection_name:
            info = self.service.describe_collection(request.collection_name)
        else:
            info = self.service.describe_collection_id(request.collectionID)
        found = list(info.partitions)
        if len(request.partition_names):
            found = [info.partition(name) for name in request.partition_names]
        percents: list[int] = []
        if request.type == milvus_pb2.ShowType.InMemory:
            found = found if info.loaded else []
            percents = [self.service.load_progress(info.name).percent] * len(found)
        return milvus_pb2.ShowPartitionsResponse(
            partition_names=[partition.name for partition in found],
            partitionIDs=[partition.id for partition in found],
            created_timestamps=[partition.created_ts for partition in found],
            created_utc_timestamps=[to_ms(partition.created_ts) for partition in found],
            inMemory_percentages=percents,
        )

    @answers(milvus_pb2.GetPartitionStatisticsResponse)
    def GetPartitionStatistics(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Count the rows of a partition."""
        self.service.describe_collection(request.collection_name).partition(request.partition_name)
        count = self.service.row_count(request.collection_name, request.partition_name)
        return milvus_pb2.GetPartitionStatisticsResponse(
            stats=params.pairs_of({"row_count": str(count)})
        )

    @answers(common_pb2.Status)
    def LoadPartitions(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Load the collection, so that these partitions are searchable, and the others too."""
        info = self.service.describe_collection(request.collection_name)
        for name in request.partition_names:
            info.partition(name)
        self.service.load(request.collection_name)
        return _OK()

    @answers(common_pb2.Status)
    def ReleasePartitions(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Release the collection if that is what all the names together mean."""
        info = self.service.describe_collection(request.collection_name)
        released = {info.partition(name).name for name in request.partition_names}
        if len(released) < len(info.partitions):
            raise Unsupported(
                "Roost loads and releases whole collections, not single partitions",
                hint="Release the collection, or name its partitions in the search.",
            )
        self.service.release(request.collection_name)
        return _OK()
