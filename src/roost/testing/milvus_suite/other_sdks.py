"""Calls that other languages' clients make, sent with the bare stubs."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from pymilvus import DataType, MilvusClient
from pymilvus.grpc_gen import common_pb2, milvus_pb2, milvus_pb2_grpc, schema_pb2

from roost.testing.milvus_suite.base import DIM, Suite, create, simple_rows

SCHEMA_MISMATCH = 62


class OtherSdkSuite(Suite):
    """The same server, call by call."""

    @pytest.fixture
    def stub(self, address: str) -> Iterator[Any]:
        """Milvus's calls without a client around them."""
        with grpc.insecure_channel(address) as channel:
            yield milvus_pb2_grpc.MilvusServiceStub(channel)

    def test_the_server_is_well(self, stub: Any) -> None:
        assert stub.CheckHealth(milvus_pb2.CheckHealthRequest()).isHealthy
        states = stub.GetComponentStates(milvus_pb2.GetComponentStatesRequest())
        assert states.state.state_code == common_pb2.StateCode.Healthy
        first = stub.AllocTimestamp(milvus_pb2.AllocTimestampRequest()).timestamp
        second = stub.AllocTimestamp(milvus_pb2.AllocTimestampRequest()).timestamp
        assert 0 < first <= second
        assert first >> 18 > 1_700_000_000_000  # Milliseconds since the epoch.
        connected = stub.Connect(milvus_pb2.ConnectRequest())
        assert connected.identifier > 0
        assert "roost" in connected.server_info.build_tags

    def test_collections_are_found_by_name_and_id(self, stub: Any, plain: str) -> None:
        has = stub.HasCollection
        assert has(milvus_pb2.HasCollectionRequest(collection_name=plain)).value
        missing = has(milvus_pb2.HasCollectionRequest(collection_name="never_created"))
        assert (missing.status.code, missing.value) == (0, False)
        describe = stub.DescribeCollection
        by_name = describe(milvus_pb2.DescribeCollectionRequest(collection_name=plain))
        by_id = describe(milvus_pb2.DescribeCollectionRequest(collectionID=by_name.collectionID))
        assert by_id.collection_name == plain
        assert by_id.update_timestamp == by_name.update_timestamp > 0
        loaded = stub.ShowCollections(
            milvus_pb2.ShowCollectionsRequest(
                type=milvus_pb2.ShowType.InMemory, collection_names=[plain]
            )
        )
        assert list(loaded.collection_names) == [plain]
        assert list(loaded.inMemory_percentages) == [100]

    def test_indexes_tell_their_state(self, stub: Any, plain: str) -> None:
        state = stub.GetIndexState(milvus_pb2.GetIndexStateRequest(collection_name=plain))
        assert state.state == common_pb2.IndexState.Finished
        progress = stub.GetIndexBuildProgress(
            milvus_pb2.GetIndexBuildProgressRequest(collection_name=plain, field_name="vector")
        )
        assert progress.indexed_rows == progress.total_rows
        statistics = stub.GetIndexStatistics(
            milvus_pb2.GetIndexStatisticsRequest(collection_name=plain)
        )
        assert [index.field_name for index in statistics.index_descriptions] == ["vector"]
        missing = stub.DescribeIndex(
            milvus_pb2.DescribeIndexRequest(collection_name=plain, index_name="no")
        )
        assert (missing.status.code, missing.status.error_code) == (700, 25)

    def test_rows_packed_for_an_older_schema_are_sent_back(self, stub: Any, plain: str) -> None:
        ids = schema_pb2.LongArray(data=[1])
        field = schema_pb2.FieldData(
            field_name="id",
            type=DataType.INT64,
            scalars=schema_pb2.ScalarField(long_data=ids),
        )
        stale = {"collection_name": plain, "num_rows": 1, "schema_timestamp": 5}
        for call, message in (
            (stub.Insert, milvus_pb2.InsertRequest),
            (stub.Upsert, milvus_pb2.UpsertRequest),
        ):
            status = call(message(fields_data=[field], **stale)).status
            assert status.error_code == SCHEMA_MISMATCH

    def test_a_client_with_an_older_schema_fetches_the_new_one_by_itself(
        self, stub: Any, client: MilvusClient, name: str
    ) -> None:
        create(client, name, dynamic=False)
        client.insert(name, simple_rows(1))
        behind = stub.DescribeCollection(
            milvus_pb2.DescribeCollectionRequest(collection_name=name)
        ).schema
        assert behind.fields[1].name == "vector"
        stub.DropCollection(milvus_pb2.DropCollectionRequest(collection_name=name))
        behind.enable_dynamic_field = True
        stub.CreateCollection(
            milvus_pb2.CreateCollectionRequest(
                collection_name=name, schema=behind.SerializeToString()
            )
        )
        client.insert(name, [row | {"extra": 1} for row in simple_rows(3)])
        assert client.get_collection_stats(name)["row_count"] == 3

    def test_writes_answer_with_their_timestamp(self, stub: Any, plain: str) -> None:
        vector = schema_pb2.VectorField(dim=DIM, float_vector={"data": [0.5] * DIM})
        fields = [
            schema_pb2.FieldData(
                field_name="id",
                type=DataType.INT64,
                scalars=schema_pb2.ScalarField(long_data={"data": [1]}),
            ),
            schema_pb2.FieldData(field_name="vector", type=DataType.FLOAT_VECTOR, vectors=vector),
        ]
        inserted = stub.Insert(
            milvus_pb2.InsertRequest(collection_name=plain, num_rows=1, fields_data=fields)
        )
        deleted = stub.Delete(milvus_pb2.DeleteRequest(collection_name=plain, expr="id == 1"))
        assert 0 < inserted.timestamp < deleted.timestamp
        assert deleted.delete_cnt == 1
        asked = milvus_pb2.QueryRequest(
            collection_name=plain,
            expr="id >= 0",
            query_params=[common_pb2.KeyValuePair(key="iterator", value="True")],
            use_default_consistency=True,
            guarantee_timestamp=inserted.timestamp,
        )
        then = stub.Query(asked)
        assert list(then.fields_data[0].scalars.long_data.data) == [1]
        asked.guarantee_timestamp = 0
        now = stub.Query(asked)
        assert now.session_ts >= deleted.timestamp
        assert list(now.fields_data[0].scalars.long_data.data) == []

    def test_a_flush_tells_what_it_covers(
        self, stub: Any, client: MilvusClient, plain: str
    ) -> None:
        client.insert(plain, simple_rows(5))
        before = stub.AllocTimestamp(milvus_pb2.AllocTimestampRequest()).timestamp
        flushed = stub.Flush(milvus_pb2.FlushRequest(collection_names=[plain]))
        assert flushed.coll_flush_ts[plain] > before - (60_000 << 18)
        assert flushed.coll_seal_times[plain] == flushed.coll_flush_ts[plain] // (1000 << 18)
        state = milvus_pb2.GetFlushStateRequest(
            segmentIDs=flushed.coll_segIDs[plain].data,
            flush_ts=flushed.coll_flush_ts[plain],
            collection_name=plain,
        )
        assert stub.GetFlushState(state).flushed
