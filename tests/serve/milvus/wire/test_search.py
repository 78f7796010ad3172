"""Search and query messages: what is taken over, what is refused."""

from typing import Any

import numpy as np
import pytest
from pymilvus.client.prepare import Prepare
from pymilvus.grpc_gen import common_pb2, milvus_pb2

from roost.errors import InvalidArgument, Unsupported
from roost.serve.milvus.wire import params
from roost.serve.milvus.wire.query import query_request
from roost.serve.milvus.wire.search import query_vectors, search_request
from roost.vector.api import CollectionInfo, Consistency, QueryRequest, SearchRequest
from roost.vector.schema import CollectionSchema, DataType, Field

SCHEMA = CollectionSchema(
    (Field("id", DataType.INT64, primary=True), Field("v", DataType.FLOAT_VECTOR, dim=2))
).numbered()
INFO = CollectionInfo(1, "c", SCHEMA, Consistency.BOUNDED, 5, 5, (), (), loaded=True)


def search(**options: Any) -> SearchRequest:
    """Translate what pymilvus sends for such a search."""
    given: dict[str, Any] = {"data": [[1.0, 2.0]], "limit": 3, "anns_field": "v", "param": {}}
    message = Prepare.search_requests_with_expr("c", **(given | options))
    return search_request(message, params.texts(message.search_params), INFO)


def query(**options: Any) -> QueryRequest:
    given: dict[str, Any] = {"expr": "", "output_fields": [], "partition_names": []}
    return query_request(Prepare.query_request("c", **(given | options)), INFO)


def test_a_search_is_taken_over_whole() -> None:
    asked = search(
        data=[[1.0, 2.0], [3.0, 4.0]],
        limit=7,
        offset=2,
        param={"metric_type": "l2", "params": {"ef": 90, "radius": 1.5}},
        expr="id > {low}",
        expr_params={"low": 4, "words": ["a"], "mixed": [1, {"b": 2}], "flag": True, "x": 1.5},
        partition_names=["p"],
        output_fields=["*"],
    )
    assert asked.queries.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert asked.queries.dtype == np.float32
    assert (asked.k, asked.offset, asked.metric, asked.vector_field) == (7, 2, "L2", "v")
    assert asked.params == {"ef": 90, "radius": 1.5}
    assert asked.filter == "id > {low}"
    assert asked.filter_params == {
        "low": 4,
        "words": ["a"],
        "mixed": [1, {"b": 2}],
        "flag": True,
        "x": 1.5,
    }
    assert asked.partitions == ("p",)
    assert asked.output_fields == ("*",)


@pytest.mark.parametrize(
    "options",
    [
        {"group_by_field": "id"},
        {"order_by_fields": [{"field": "id"}]},
        {"data": None, "ids": [1, 2]},
        {"data": [b"\x01\x02"]},
    ],
    ids=["grouping", "ordering", "by keys", "binary vectors"],
)
def test_searches_of_kinds_that_roost_has_not_say_so(options: dict[str, Any]) -> None:
    with pytest.raises(Unsupported, match="not supported"):
        search(**options)


def group(*values: bytes) -> bytes:
    placeholder = common_pb2.PlaceholderValue(tag="$0", type=101, values=values)
    raw: bytes = common_pb2.PlaceholderGroup(placeholders=[placeholder]).SerializeToString()
    return raw


@pytest.mark.parametrize(
    "raw",
    [
        b"\xff\xff",
        b"",
        group(),
        group(b""),
        group(b"123"),
        group(b"1234", b"12345678"),
    ],
)
def test_query_vectors_that_are_none_are_refused(raw: bytes) -> None:
    with pytest.raises(InvalidArgument):
        query_vectors(raw)


def test_a_query_is_taken_over_whole() -> None:
    asked = query(expr="id > 3", limit=5, offset=2, output_fields=["v"], partition_names=["p"])
    assert (asked.filter, asked.limit, asked.offset) == ("id > 3", 5, 2)
    assert (asked.output_fields, asked.partitions) == (("v",), ("p",))
    assert query(expr="id > 3").limit is None
    assert query(output_fields=["count(*)"]).count_only
    assert query(expr="id > 3", output_fields=["COUNT(*)"]).output_fields == ()


@pytest.mark.parametrize("names", [["max(price)"], ["count(*)", "id"], ["SUM ( x )"]])
def test_aggregates_are_not_taken_for_dynamic_keys(names: list[str]) -> None:
    with pytest.raises(Unsupported, match="not supported"):
        query(expr="id > 1", output_fields=names)


def test_numbers_in_parameters_must_be_numbers() -> None:
    message = milvus_pb2.SearchRequest(
        search_params=[common_pb2.KeyValuePair(key="topk", value="many")],
        placeholder_group=group(b"12345678"),
    )
    with pytest.raises(InvalidArgument, match="topk"):
        search_request(message, params.texts(message.search_params), INFO)
