"""Query messages to `QueryRequest`, and `QueryAnswer` back."""

import re
from collections.abc import Iterable
from typing import Any

from roost.errors import Unsupported
from roost.serve.milvus.wire import params
from roost.serve.milvus.wire.freshness import freshness_of
from roost.serve.milvus.wire.results import fields_data_of
from roost.serve.milvus.wire.stubs import milvus_pb2
from roost.serve.milvus.wire.templates import filter_params
from roost.vector.api import CollectionInfo, QueryAnswer, QueryRequest

COUNT = "count(*)"

_NO_LIMIT = -1
"""What clients send for "all"."""

_AGGREGATE = re.compile(r"(?i:count|sum|min|max|avg)\s*\(.*\)")

_UNSUPPORTED_PARAMS = ("group_by_fields", "order_by_fields")


def query_request(request: Any, info: CollectionInfo) -> QueryRequest:
    """Return what a Query call asks for.

    Raises InvalidArgument: numbers that do not parse; Unsupported: grouping, ordering,
    aggregates other than count(*).
    """
    sent = params.texts(request.query_params)
    for key in _UNSUPPORTED_PARAMS:
        if sent.get(key):
            raise Unsupported(f"query with {key} is not supported by Roost")
    limit = params.whole_number(sent, "limit", _NO_LIMIT)
    count_only = [name.lower() for name in request.output_fields] == [COUNT]
    if not count_only:
        _refuse_aggregates(request.output_fields)
    return QueryRequest(
        collection=request.collection_name,
        filter=request.expr,
        filter_params=filter_params(request.expr_template_values),
        partitions=tuple(request.partition_names),
        output_fields=() if count_only else tuple(request.output_fields),
        limit=None if limit == _NO_LIMIT else limit,
        offset=params.whole_number(sent, "offset", 0),
        count_only=count_only,
        freshness=freshness_of(request, info.consistency, iterating=params.flag(sent, "iterator")),
    )


def _refuse_aggregates(names: Iterable[str]) -> None:
    """Refuse `max(x)` and the like, which would otherwise pass for the name of a dynamic key."""
    for name in names:
        if _AGGREGATE.fullmatch(name):
            raise Unsupported(
                f"output field {name} is not supported by Roost: count(*) is, on its own"
            )


def query_results(request: Any, found: QueryAnswer, info: CollectionInfo) -> Any:
    """Return the QueryResults message."""
    names = found.output_fields or tuple(found.rows.schema.names)
    return milvus_pb2.QueryResults(
        fields_data=fields_data_of(found.rows, info.schema),
        collection_name=request.collection_name,
        output_fields=names,
        session_ts=found.read_ts,
        primary_field_name=found.primary_field,
    )
