"""Calls about collections and whether they are loaded."""

from typing import Any

import grpc

from roost.errors import InvalidArgument
from roost.serve.milvus.answer import answers
from roost.serve.milvus.database import DEFAULT_DATABASE, DEFAULT_DATABASE_ID
from roost.serve.milvus.wire import params
from roost.serve.milvus.wire.schema import collection_schema, schema_message
from roost.serve.milvus.wire.stubs import common_pb2, milvus_pb2
from roost.vector.api import (
    CollectionInfo,
    Consistency,
    LoadState,
    NewCollection,
    VectorService,
)
from roost.vector.errors import CollectionNotFound
from roost.vector.timestamps import to_ms

_OK = common_pb2.Status


class CollectionCalls:
    """Create, drop, describe, list, count; load and release."""

    service: VectorService

    @answers(common_pb2.Status)
    def CreateCollection(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Create a collection."""
        if request.num_partitions > 0:
            raise InvalidArgument(
                "num_partitions should only be specified with partition key field enabled"
            )
        level = min(request.consistency_level, Consistency.EVENTUALLY)
        self.service.create_collection(
            NewCollection(
                name=request.collection_name,
                schema=collection_schema(request.schema),
                consistency=Consistency(level),
                properties=params.texts(request.properties),
                shards=request.shards_num or 1,
            )
        )
        return _OK()

    @answers(common_pb2.Status)
    def DropCollection(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Drop a collection; nothing if there is none."""
        self.service.drop_collection(request.collection_name)
        return _OK()

    @answers(milvus_pb2.BoolResponse)
    def HasCollection(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Tell whether there is a collection of that name."""
        try:
            self.service.describe_collection(request.collection_name)
        except CollectionNotFound:
            return milvus_pb2.BoolResponse(value=False)
        return milvus_pb2.BoolResponse(value=True)

    @answers(milvus_pb2.DescribeCollectionResponse)
    def DescribeCollection(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Describe a collection, by name or else by id."""
        if request.collection_name:
            info = self.service.describe_collection(request.collection_name)
        else:
            info = self.service.describe_collection_id(request.collectionID)
        properties = params.pairs_of(info.properties)
        return milvus_pb2.DescribeCollectionResponse(
            schema=schema_message(info.name, info.schema, properties),
            collectionID=info.id,
            created_timestamp=info.created_ts,
            created_utc_timestamp=to_ms(info.created_ts),
            update_timestamp=info.updated_ts,
            update_timestamp_str=str(info.updated_ts),
            shards_num=info.shards,
            num_partitions=len(info.partitions),
            aliases=info.aliases,
            consistency_level=int(info.consistency),
            collection_name=info.name,
            properties=properties,
            db_name=DEFAULT_DATABASE,
            db_id=DEFAULT_DATABASE_ID,
        )

    @answers(milvus_pb2.ShowCollectionsResponse)
    def ShowCollections(self, request: Any, context: grpc.ServicerContext) -> Any:
        """List the collections, or the loaded ones with how far they are loaded."""
        found = self.service.list_collections()
        if len(request.collection_names):
            found = [info for info in found if info.name in request.collection_names]
        loaded_only = request.type == milvus_pb2.ShowType.InMemory
        if loaded_only:
            found = [info for info in found if info.loaded]
        return milvus_pb2.ShowCollectionsResponse(
            collection_names=[info.name for info in found],
            collection_ids=[info.id for info in found],
            created_timestamps=[info.created_ts for info in found],
            created_utc_timestamps=[to_ms(info.created_ts) for info in found],
            inMemory_percentages=self._percents(found) if loaded_only else [],
            query_service_available=[True] * len(found) if loaded_only else [],
            shards_num=[info.shards for info in found],
        )

    def _percents(self, found: list[CollectionInfo]) -> list[int]:
        return [self.service.load_progress(info.name).percent for info in found]

    @answers(milvus_pb2.GetCollectionStatisticsResponse)
    def GetCollectionStatistics(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Count the rows of a collection."""
        count = self.service.row_count(request.collection_name)
        return milvus_pb2.GetCollectionStatisticsResponse(
            stats=params.pairs_of({"row_count": str(count)})
        )

    @answers(common_pb2.Status)
    def LoadCollection(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Make a collection searchable; a refresh finds that it always is up to date."""
        self.service.load(request.collection_name)
        return _OK()

    @answers(common_pb2.Status)
    def ReleaseCollection(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Undo LoadCollection."""
        self.service.release(request.collection_name)
        return _OK()

    @answers(milvus_pb2.GetLoadingProgressResponse)
    def GetLoadingProgress(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Tell how far a collection is loaded, in percent; its partitions go with it."""
        _check_partitions(self.service, request)
        percent = self.service.load_progress(request.collection_name).percent
        return milvus_pb2.GetLoadingProgressResponse(progress=percent, refresh_progress=100)

    @answers(milvus_pb2.GetLoadStateResponse)
    def GetLoadState(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Tell whether a collection is loaded, or that there is none."""
        try:
            _check_partitions(self.service, request)
            state = self.service.load_progress(request.collection_name).state
        except CollectionNotFound:
            state = LoadState.NOT_EXIST
        return milvus_pb2.GetLoadStateResponse(state=int(state))


def _check_partitions(service: VectorService, request: Any) -> None:
    """Raise PartitionNotFound for a name in `partition_names` that does not exist."""
    if len(request.partition_names):
        info = service.describe_collection(request.collection_name)
        for name in request.partition_names:
            info.partition(name)
