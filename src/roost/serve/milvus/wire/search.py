"""Search messages to `SearchRequest`, and `SearchAnswer` back."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from google.protobuf.message import DecodeError

from roost.errors import InvalidArgument, Unsupported
from roost.serve.milvus.wire import params
from roost.serve.milvus.wire.freshness import freshness_of
from roost.serve.milvus.wire.results import fields_data_of, float_array, ids_of
from roost.serve.milvus.wire.stubs import common_pb2, milvus_pb2, schema_pb2
from roost.serve.milvus.wire.templates import filter_params
from roost.vector.api import CollectionInfo, SearchAnswer, SearchRequest

_ROUND_DECIMAL_MAX = 6
_FLOAT_VECTORS = 101
"""PlaceholderType.FloatVector."""

_UNSUPPORTED_PARAMS = ("group_by_field", "group_by_fields", "order_by_fields", "json_path")
_UNSUPPORTED_FIELDS = ("function_score", "highlighter", "search_aggregation")

_NOT_PARAMS = frozenset(
    {
        "metric_type",
        "params",
        "offset",
        "topk",
        "limit",
        "anns_field",
        "round_decimal",
        "ignore_growing",
        "page_retain_order",
    }
)
"""Clients repeat these inside `params`; they are not the index type's own."""


def search_request(request: Any, sent: Mapping[str, str], info: CollectionInfo) -> SearchRequest:
    """Return what a Search call asks for; `queries` is (nq, dim) float32.

    `sent` are the call's search_params.

    Raises InvalidArgument: vectors or numbers that do not parse;
    Unsupported: grouping, ordering, ranking, highlighting, search by primary keys, other vectors.
    """
    _refuse_unsupported(request, sent)
    own = params.mapping(sent, "params")
    return SearchRequest(
        collection=request.collection_name,
        queries=query_vectors(request.placeholder_group),
        k=params.whole_number(sent, "topk", 0),
        vector_field=sent.get("anns_field", ""),
        offset=params.whole_number(sent, "offset", 0),
        metric=sent.get("metric_type", "").upper(),
        params={key: value for key, value in own.items() if key not in _NOT_PARAMS},
        filter=request.dsl,
        filter_params=filter_params(request.expr_template_values),
        partitions=tuple(request.partition_names),
        output_fields=tuple(request.output_fields),
        freshness=freshness_of(request, info.consistency, iterating=params.flag(sent, "iterator")),
    )


def search_results(sent: Mapping[str, str], found: SearchAnswer, info: CollectionInfo) -> Any:
    """Return the SearchResults message."""
    results = schema_pb2.SearchResultData(
        num_queries=len(found.counts),
        top_k=int(found.counts.max(initial=0)),
        fields_data=fields_data_of(found.rows, info.schema),
        ids=ids_of(found.ids),
        topks=found.counts.tolist(),
        output_fields=found.output_fields,
        primary_field_name=found.primary_field,
        all_search_count=len(found.ids),
    )
    scores = rounded(found.scores, sent)
    results.MergeFromString(_scores_field(scores))
    return milvus_pb2.SearchResults(
        results=results,
        collection_name=info.name,
        session_ts=found.read_ts,
    )


def query_vectors(group: bytes) -> npt.NDArray[np.float32]:
    """Return the vectors of a placeholder group, (nq, dim).

    Raises InvalidArgument: not a group of float vectors of one length; Unsupported: other vectors.
    """
    try:
        placeholders = common_pb2.PlaceholderGroup.FromString(group).placeholders
    except DecodeError:
        raise InvalidArgument("the vectors of the search cannot be read") from None
    if len(placeholders) != 1:
        raise InvalidArgument(f"expected one group of query vectors, got {len(placeholders)}")
    placeholder = placeholders[0]
    if placeholder.type != _FLOAT_VECTORS:
        raise Unsupported(
            f"query vectors of placeholder type {placeholder.type} are not supported by Roost: "
            "send float32 vectors"
        )
    values = placeholder.values
    size = len(values[0]) if len(values) else 0
    if not size or size % 4 or any(len(value) != size for value in values):
        raise InvalidArgument(
            "vector dimension mismatch: the query vectors are empty or differ in length"
        )
    return np.frombuffer(b"".join(values), dtype="<f4").reshape(len(values), size // 4)


def rounded(scores: npt.NDArray[np.float32], sent: Mapping[str, str]) -> npt.NDArray[np.float32]:
    """Return the scores with as many decimals as the client wants; -1 means all."""
    decimals = params.whole_number(sent, "round_decimal", -1)
    if decimals < 0:
        return scores
    return np.round(scores, min(decimals, _ROUND_DECIMAL_MAX)).astype(np.float32)


def cut(found: SearchAnswer, length: int) -> SearchAnswer:
    """Return the first `length` hits of an answer to one query vector."""
    return SearchAnswer(
        counts=np.array([length], np.int64),
        ids=found.ids.slice(0, length),
        scores=found.scores[:length],
        rows=pa.RecordBatch.from_arrays(
            [column.slice(0, length) for column in found.rows.columns], schema=found.rows.schema
        ),
        primary_field=found.primary_field,
        read_ts=found.read_ts,
        output_fields=found.output_fields,
    )


def _scores_field(scores: npt.NDArray[np.float32]) -> bytes:
    """Return `repeated float scores = 4` alone, as a message in wire form."""
    array: bytes = float_array(scores).SerializeToString()
    return b"\x22" + array[1:] if array else b""


def _refuse_unsupported(request: Any, sent: Mapping[str, str]) -> None:
    for key in _UNSUPPORTED_PARAMS:
        if sent.get(key):
            raise Unsupported(f"search with {key} is not supported by Roost")
    for name in _UNSUPPORTED_FIELDS:
        if request.HasField(name):
            raise Unsupported(f"search with {name} is not supported by Roost")
    if len(request.function_chains):
        raise Unsupported("search with function_chains is not supported by Roost")
    if request.WhichOneof("search_input") == "ids" or request.search_by_primary_keys:
        raise Unsupported("search by primary keys is not supported by Roost: send the vectors")
