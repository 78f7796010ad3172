"""Collections, partitions and indexes: defined, described, dropped."""

import pytest
from pymilvus import DataType, MilvusClient
from pymilvus.client.types import LoadState

from roost.testing.milvus_suite.base import Suite, create, index_and_load, simple_rows


class DefinitionSuite(Suite):
    """What is defined is described back as it was."""

    def test_a_schema_is_described_as_it_was_given(self, client: MilvusClient, name: str) -> None:
        schema = client.create_schema(description="of books", enable_dynamic_field=True)
        schema.add_field("key", DataType.VARCHAR, is_primary=True, max_length=20)
        schema.add_field("emb", DataType.FLOAT_VECTOR, dim=4, description="what it means")
        schema.add_field("pages", DataType.INT16, nullable=True)
        schema.add_field("price", DataType.DOUBLE, default_value=1.5)
        client.create_collection(
            name, schema=schema, consistency_level="Session", properties={"owner": "me"}
        )

        told = client.describe_collection(name)
        assert told["description"] == "of books"
        assert told["enable_dynamic_field"]
        assert told["consistency_level_name"] == "Session"
        assert told["properties"]["owner"] == "me"
        assert told["collection_id"] > 0
        assert told["num_shards"] == told["num_partitions"] == 1
        assert told["created_timestamp"] > 0
        fields = {field["name"]: field for field in told["fields"]}
        assert [field["field_id"] for field in told["fields"]] == [100, 101, 102, 103]
        assert list(fields) == ["key", "emb", "pages", "price"]
        assert fields["key"]["is_primary"]
        assert fields["key"]["params"]["max_length"] == 20
        assert fields["emb"]["params"]["dim"] == 4
        assert fields["emb"]["description"] == "what it means"
        assert fields["pages"]["nullable"]
        assert fields["price"]["default_value"].double_data == 1.5

    def test_creating_with_index_parameters_loads_too(
        self, client: MilvusClient, name: str
    ) -> None:
        schema = client.create_schema(auto_id=True)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=8)
        params = client.prepare_index_params()
        params.add_index(
            "vector",
            index_type="HNSW",
            metric_type="IP",
            index_name="by_vector",
            params={"M": 8, "efConstruction": 64},
        )
        client.create_collection(name, schema=schema, index_params=params)

        assert client.get_load_state(name)["state"] == LoadState.Loaded
        assert client.list_indexes(name) == ["by_vector"]
        told = client.describe_index(name, "by_vector")
        assert told["index_type"] == "HNSW"
        assert told["metric_type"] == "IP"
        assert told["field_name"] == "vector"
        assert (told["M"], told["efConstruction"]) == ("8", "64")
        assert told["state"] == "Finished"

    def test_an_index_without_a_type_is_autoindex(self, client: MilvusClient, name: str) -> None:
        schema = client.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=8)
        client.create_collection(name, schema=schema)
        params = client.prepare_index_params()
        params.add_index("vector")
        client.create_index(name, params, sync=False)
        client.create_index(name, params, sync=False)  # The same again is fine.
        told = client.describe_index(name, "vector")
        assert told["index_type"] == "AUTOINDEX"
        assert told["metric_type"] == "COSINE"

    def test_where_there_is_no_index_none_is_listed(self, client: MilvusClient, name: str) -> None:
        schema = client.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=8)
        client.create_collection(name, schema=schema)
        assert client.list_indexes(name) == []
        assert client.describe_index(name, "vector") is None
        assert client.get_load_state(name)["state"] == LoadState.NotLoad

    def test_an_index_is_dropped_after_release(self, client: MilvusClient, plain: str) -> None:
        client.release_collection(plain)
        assert client.get_load_state(plain)["state"] == LoadState.NotLoad
        client.drop_index(plain, "vector")
        assert client.list_indexes(plain) == []

    def test_creating_the_same_collection_again_is_fine(
        self, client: MilvusClient, name: str
    ) -> None:
        schema = client.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=8)
        client.create_collection(name, schema=schema)
        before = client.describe_collection(name)["collection_id"]
        client.create_collection(name, schema=schema)
        assert client.describe_collection(name)["collection_id"] == before

    def test_dropping_what_is_not_there_is_fine(self, client: MilvusClient) -> None:
        client.drop_collection("never_created")
        assert not client.has_collection("never_created")
        assert client.get_load_state("never_created")["state"] == LoadState.NotExist

    def test_partitions_hold_their_own_rows(self, client: MilvusClient, plain: str) -> None:
        client.create_partition(plain, "left")
        client.create_partition(plain, "right")
        assert client.list_partitions(plain) == ["_default", "left", "right"]
        assert client.has_partition(plain, "left")
        assert not client.has_partition(plain, "middle")

        client.insert(plain, simple_rows(4), partition_name="left")
        client.insert(plain, simple_rows(3, start=10), partition_name="right")
        client.insert(plain, simple_rows(2, start=20))
        assert client.get_partition_stats(plain, "left")["row_count"] == 4
        assert client.get_collection_stats(plain)["row_count"] == 9

        query = simple_rows(1)[0]["vector"]
        for names, expected in ((["left"], 4), (["right"], 3), (["left", "right"], 7), (None, 9)):
            found = client.search(plain, data=[query], limit=20, partition_names=names)
            assert len(found[0]) == expected
            rows = client.query(plain, filter="id >= 0", partition_names=names)
            assert len(rows) == expected

        client.delete(plain, filter="id >= 0", partition_name="left")
        assert client.query(plain, output_fields=["count(*)"])[0]["count(*)"] == 5
        client.release_partitions(plain, ["_default", "left", "right"])
        client.drop_partition(plain, "right")
        client.load_partitions(plain, ["_default"])
        assert len(client.query(plain, filter="id >= 0")) == 2
        assert client.list_partitions(plain) == ["_default", "left"]

    def test_a_collection_recreated_with_another_schema_takes_the_new_rows(
        self, client: MilvusClient, name: str
    ) -> None:
        create(client, name)
        client.insert(name, simple_rows(1))
        client.drop_collection(name)
        schema = client.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=2)
        client.create_collection(name, schema=schema)
        index_and_load(client, name)
        client.insert(name, [{"id": 1, "vector": [1.0, 2.0]}])
        assert client.get_collection_stats(name)["row_count"] == 1

    def test_flush_and_compaction_end(self, client: MilvusClient, plain: str) -> None:
        client.insert(plain, simple_rows(10))
        client.flush(plain)
        job = client.compact(plain)
        for _ in range(1000):
            if client.get_compaction_state(job) == "Completed":
                break
        else:
            pytest.fail("the compaction did not end")
        client.flush_all()
        assert client.get_collection_stats(plain)["row_count"] == 10
