"""Query messages to `QueryRequest`, and `QueryAnswer` back."""

from typing import Any

from roost.errors import InvalidArgument, Unsupported
from roost.serve.milvus.wire import params
from roost.serve.milvus.wire.freshness import freshness_of
from roost.serve.milvus.wire.results import fields_data_of
from roost.serve.milvus.wire.search import K_MAX
from roost.serve.milvus.wire.stubs import milvus_pb2
from roost.serve.milvus.wire.templates import filter_params
from roost.vector.api import CollectionInfo, QueryAnswer, QueryRequest

COUNT = "count(*)"

_UNSUPPORTED_PARAMS = ("group_by_fields", "order_by_fields")


def query_request(request: Any, info: CollectionInfo) -> QueryRequest:
    """Return what a Query call asks for.

    Raises InvalidArgument: neither filter nor limit, a count of a window, numbers out of range;
    Unsupported: grouping and ordering.
    """
    sent = params.texts(request.query_params)
    for key in _UNSUPPORTED_PARAMS:
        if sent.get(key):
            raise Unsupported(f"query with {key} is not supported by Roost")
    limit, offset = _window(sent)
    count_only = [name.lower() for name in request.output_fields] == [COUNT]
    text = request.expr.strip()
    if count_only and (limit is not None or offset):
        raise InvalidArgument("count entities with pagination is not allowed")
    if not text and limit is None and not count_only:
        raise InvalidArgument("empty expression should be used with limit")
    return QueryRequest(
        collection=request.collection_name,
        filter=text,
        filter_params=filter_params(request.expr_template_values),
        partitions=tuple(request.partition_names),
        output_fields=() if count_only else tuple(request.output_fields),
        limit=limit,
        offset=offset,
        count_only=count_only,
        freshness=freshness_of(request, info.consistency, iterating=params.flag(sent, "iterator")),
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


def _window(sent: dict[str, str]) -> tuple[int | None, int]:
    """Return limit and offset, checked; no limit is None."""
    limit = params.whole_number(sent, "limit", -1)
    offset = params.whole_number(sent, "offset", 0)
    if limit == -1:
        return None, offset
    if not 1 <= limit <= K_MAX:
        raise InvalidArgument(
            f"limit [{limit}] is invalid, it should be in range [1, {K_MAX}], but got {limit}"
        )
    if not 0 <= offset <= K_MAX or limit + offset > K_MAX:
        raise InvalidArgument(
            f"offset [{offset}] is invalid, offset + limit should be in range [1, {K_MAX}]"
        )
    return limit, offset
