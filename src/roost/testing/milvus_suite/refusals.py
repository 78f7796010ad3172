"""Refusals: the right code, a clear message, and nothing stored."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pymilvus import DataType, MilvusClient, MilvusException

from roost.testing.milvus_suite.base import DIM, Suite, index_and_load, simple_rows

INVALID = 1100
GOOD = [0.5] * DIM


def refused(code: int, words: str, call: Callable[..., Any], *args: Any, **options: Any) -> None:
    """Assert that the call fails on the server with that code and those words."""
    with pytest.raises(MilvusException) as caught:
        call(*args, **options)
    assert caught.value.code == code, caught.value
    assert words in caught.value.message


class RefusalSuite(Suite):
    """What is wrong is said, never half done."""

    @pytest.fixture
    def strict(self, client: MilvusClient, name: str) -> str:
        """A loaded collection with a short text and a number."""
        schema = client.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=DIM)
        schema.add_field("text", DataType.VARCHAR, max_length=5)
        schema.add_field("tiny", DataType.INT8, nullable=True)
        client.create_collection(name, schema=schema, consistency_level="Strong")
        index_and_load(client, name)
        return name

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"vector": [0.5] * 3}, "dim"),
            ({"vector": [float("nan"), *GOOD[1:]]}, "is not a number or infinity"),
            ({"vector": [float("inf"), *GOOD[1:]]}, "is not a number or infinity"),
            ({"text": "much too long"}, "exceeds max length"),
            ({"text": "üüü"}, "exceeds max length"),
            ({"tiny": 300}, "tiny"),
        ],
        ids=["dimension", "nan", "infinity", "length", "length in bytes", "range"],
    )
    def test_rows_that_do_not_fit_are_refused_whole(
        self, client: MilvusClient, strict: str, change: dict[str, Any], words: str
    ) -> None:
        good = {"id": 1, "vector": GOOD, "text": "abc", "tiny": 1}
        rows = [good | change] if "dim" in words else [good, good | {"id": 2} | change]
        for write in (client.insert, client.upsert):
            refused(INVALID, words, write, strict, rows)
        assert client.query(strict, output_fields=["count(*)"])[0]["count(*)"] == 0
        assert client.get_collection_stats(strict)["row_count"] == 0

    def test_a_field_of_another_type_is_refused(self, client: MilvusClient, strict: str) -> None:
        with pytest.raises(MilvusException):
            client.insert(strict, [{"id": "one", "vector": GOOD, "text": "a"}])
        with pytest.raises(MilvusException):
            client.insert(strict, [{"id": 1, "vector": GOOD, "text": "a", "unknown": 1}])
        assert client.get_collection_stats(strict)["row_count"] == 0

    def test_what_is_missing_has_its_own_code(self, client: MilvusClient, plain: str) -> None:
        calls: list[Callable[[str], Any]] = [
            client.describe_collection,
            client.load_collection,
            client.release_collection,
            client.get_collection_stats,
            client.list_partitions,
            lambda name: client.query(name, filter="id > 0"),
            lambda name: client.search(name, data=[GOOD], limit=1),
            lambda name: client.insert(name, simple_rows(1)),
            lambda name: client.delete(name, filter="id > 0"),
        ]
        for call in calls:
            refused(100, "collection not found", call, "never_created")
        refused(
            200, "partition not found", client.insert, plain, simple_rows(1), partition_name="no"
        )
        refused(200, "partition not found", client.get_partition_stats, plain, "no")
        refused(
            200,
            "partition not found",
            client.search,
            plain,
            data=[GOOD],
            limit=1,
            partition_names=["no"],
        )

    def test_a_search_needs_a_loaded_collection(self, client: MilvusClient, plain: str) -> None:
        client.release_collection(plain)
        refused(101, "collection not loaded", client.search, plain, data=[GOOD], limit=1)
        refused(101, "collection not loaded", client.query, plain, filter="id > 0")
        client.drop_index(plain, "vector")
        refused(700, "index", client.load_collection, plain)

    @pytest.mark.parametrize(
        ("text", "position"),
        [("id >", 4), ("id > 1 and", 10), ("nothing == 1", 0), ("id > 1 1", 7)],
    )
    def test_a_bad_filter_is_refused_with_its_position(
        self, client: MilvusClient, plain: str, text: str, position: int
    ) -> None:
        for call in (
            lambda: client.query(plain, filter=text),
            lambda: client.search(plain, data=[GOOD], limit=1, filter=text),
            lambda: client.delete(plain, filter=text),
        ):
            refused(INVALID, f"at position {position}", call)
            refused(INVALID, "cannot parse expression", call)

    def test_searches_that_cannot_be_are_refused(self, client: MilvusClient, plain: str) -> None:
        search = client.search
        refused(INVALID, "vector dimension mismatch", search, plain, data=[[1.0, 2.0]], limit=1)
        refused(INVALID, "topk", search, plain, data=[GOOD], limit=16_385)
        refused(INVALID, "offset", search, plain, data=[GOOD], limit=16_000, offset=1_000)
        refused(
            INVALID,
            "metric type not match",
            search,
            plain,
            data=[GOOD],
            limit=1,
            search_params={"metric_type": "IP"},
        )
        refused(1700, "nothing", search, plain, data=[GOOD], limit=1, output_fields=["nothing"])
        refused(1700, "nothing", client.query, plain, filter="id > 0", output_fields=["nothing"])
        refused(INVALID, "limit", client.query, plain, filter="")

    def test_a_duplicate_that_differs_is_refused(self, client: MilvusClient, plain: str) -> None:
        schema = client.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=4)
        refused(INVALID, "", client.create_collection, plain, schema=schema)
        params = client.prepare_index_params()
        params.add_index("vector", index_type="FLAT", metric_type="IP")
        refused(
            INVALID, "at most one distinct index is allowed", client.create_index, plain, params
        )
        params = client.prepare_index_params()
        params.add_index("nowhere", index_type="FLAT", metric_type="IP")
        refused(1700, "nowhere", client.create_index, plain, params)

    def test_schemas_that_milvus_refuses_are_refused(self, client: MilvusClient, name: str) -> None:
        schema = client.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=40_000)
        refused(INVALID, "dim", client.create_collection, name, schema=schema)
        schema = client.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=4)
        refused(INVALID, "name", client.create_collection, "1 bad name", schema=schema)
        assert not client.has_collection(name)

    def test_what_roost_has_not_says_so(self, client: MilvusClient, name: str) -> None:
        schema = client.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.SPARSE_FLOAT_VECTOR)
        refused(3000, "not supported", client.create_collection, name, schema=schema)
        with pytest.raises(Exception, match="UNIMPLEMENTED"):
            client.create_user("somebody", "secret password")

    def test_another_database_is_not_found(self, address: str, client: MilvusClient) -> None:
        refused(800, "database not found", client.describe_database, "elsewhere")
        with pytest.raises(MilvusException, match="database not found"):
            MilvusClient(f"http://{address}", db_name="elsewhere").list_collections()

    def test_not_a_number_in_a_query_vector_is_refused(
        self, client: MilvusClient, plain: str
    ) -> None:
        client.insert(plain, simple_rows(3))
        broken = np.full(DIM, np.nan, np.float32)
        refused(INVALID, "not finite", client.search, plain, data=[broken], limit=1)
