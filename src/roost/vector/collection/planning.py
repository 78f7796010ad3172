"""From a client's question to a part: every check, with the words Milvus's clients know."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from roost.errors import InvalidArgument
from roost.vector.api import CollectionInfo, QueryRequest, SearchRequest
from roost.vector.collection.parts import PartAddress, QueryPart, SearchPart
from roost.vector.collection.questions import spec_of
from roost.vector.columns import arrow_type
from roost.vector.errors import CollectionNotLoaded, FieldNotFound, IndexParameterError
from roost.vector.expr import compile_filter
from roost.vector.index import check_search_params, plan_of
from roost.vector.schema import CollectionSchema, Field

K_MAX = 16_384
NQ_MAX = 16_384
WINDOW_MAX = 16_384
"""Largest offset + k or offset + limit.  Source: Milvus, quotaAndLimits.limits."""
ALL_FIELDS = "*"


@dataclass(frozen=True, slots=True)
class OutputPlan:
    """Which columns to fetch, and what the client shall see."""

    columns: tuple[str, ...]
    """Columns of the schema to fetch; `$meta` when a dynamic key was asked for."""
    names: tuple[str, ...]
    """Names for the client: "*" resolved, dynamic keys by name."""


def plan_search(info: CollectionInfo, request: SearchRequest) -> tuple[SearchPart, OutputPlan]:
    """Return the part to ask, its address without version, read_ts and segments, and the output.

    Raises CollectionNotLoaded, FieldNotFound, PartitionNotFound, FilterError, IndexParameterError,
    InvalidArgument.
    """
    _check_loaded(info)
    field = _vector_field(info.schema, request.vector_field)
    _check_queries(request, field)
    _check_range("topk", request.k, 1, K_MAX)
    _check_range("offset", request.offset, 0, WINDOW_MAX)
    _check_range("offset+limit", request.offset + request.k, 1, WINDOW_MAX)
    spec = spec_of(info, field, request.metric.upper())
    metric = str(plan_of(spec).metric)
    if request.metric and request.metric.upper() != metric:
        raise IndexParameterError(
            "metric type not match: "
            f"invalid parameter[expected={metric}][actual={request.metric.upper()}]"
        )
    k = request.k + request.offset
    check_search_params(spec, request.params, k, metric)
    compile_filter(request.filter, info.schema, request.filter_params)
    part = SearchPart(
        at=_address(info, request.partitions),
        queries=request.queries,
        k=k,
        field_id=field.id,
        metric=metric,
        params=request.params,
        filter=request.filter,
        filter_params=request.filter_params,
    )
    return part, plan_output(info.schema, request.output_fields)


def plan_query(info: CollectionInfo, request: QueryRequest) -> tuple[QueryPart, OutputPlan]:
    """As `plan_search`; the part's `limit` includes the offset."""
    _check_loaded(info)
    limit = request.limit
    if limit is not None:
        _check_range("limit", limit, 1, WINDOW_MAX)
        _check_range("offset+limit", request.offset + limit, 1, WINDOW_MAX)
        limit += request.offset
    _check_range("offset", request.offset, 0, WINDOW_MAX)
    if request.count_only and limit is not None:
        raise InvalidArgument("count entities with pagination is not allowed")
    everything = request.ids is None and not request.filter.strip()
    if everything and limit is None and not request.count_only:
        raise InvalidArgument("empty expression should be used with limit: invalid parameter")
    compile_filter(request.filter, info.schema, request.filter_params)
    primary = info.schema.primary
    output = plan_output(info.schema, request.output_fields)
    if primary.name not in output.columns:
        output = OutputPlan((*output.columns, primary.name), (*output.names, primary.name))
    part = QueryPart(
        at=_address(info, request.partitions),
        filter=request.filter,
        filter_params=request.filter_params,
        ids=None if request.ids is None else _checked_ids(request.ids, primary),
        output_fields=() if request.count_only else output.columns,
        limit=limit,
        count_only=request.count_only,
    )
    return part, output


def plan_output(schema: CollectionSchema, names: Sequence[str]) -> OutputPlan:
    """Return what to fetch for these output fields.  Raises FieldNotFound."""
    columns: list[str] = []
    shown: list[str] = []
    known = {field.name for field in schema.fields}
    for name in names:
        if name == ALL_FIELDS:
            every = [field.name for field in schema.fields]
            columns += every
            shown += every
        elif name in known:
            columns.append(name)
            shown.append(name)
        elif schema.dynamic is not None and name and "[" not in name:
            columns.append(schema.dynamic.name)
            shown.append(name)
        else:
            raise FieldNotFound(name)
    return OutputPlan(tuple(dict.fromkeys(columns)), tuple(dict.fromkeys(shown)))


def _check_loaded(info: CollectionInfo) -> None:
    if not info.loaded:
        raise CollectionNotLoaded(info.name)


def _vector_field(schema: CollectionSchema, name: str) -> Field:
    if name:
        field = schema.field(name)
        if not field.dtype.is_vector:
            raise InvalidArgument(f"field {name} is not a vector field, cannot be searched")
        return field
    if len(schema.vectors) != 1:
        raise InvalidArgument(
            "multiple anns_fields exist, please specify a anns_field in search_params"
        )
    return schema.vectors[0]


def _check_queries(request: SearchRequest, field: Field) -> None:
    queries = request.queries
    if queries.ndim != 2:
        raise InvalidArgument(f"query vectors have {queries.ndim} dimensions, not (nq, dim)")
    nq, dim = queries.shape
    if not 1 <= nq <= NQ_MAX:
        raise InvalidArgument(
            "nq (number of search vector per search request) should be in range "
            f"[1, {NQ_MAX}], but got {nq}"
        )
    if dim != field.dim:
        raise InvalidArgument(
            f"vector dimension mismatch, expected vector size(byte) {4 * field.dim}, "
            f"actual {4 * dim}."
        )
    if not np.isfinite(queries).all():
        raise InvalidArgument("query vectors have values that are not finite numbers")


def _check_range(what: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise InvalidArgument(
            f"{what} [{value}] is invalid, it should be in range [{low}, {high}], but got {value}"
        )


def _address(info: CollectionInfo, partitions: Sequence[str]) -> PartAddress:
    partition_ids = tuple(dict.fromkeys(info.partition(name).id for name in partitions))
    return PartAddress(info.id, 0, 0, (), partition_ids)


def _checked_ids(ids: pa.Array, primary: Field) -> pa.Array:
    wanted = arrow_type(primary)
    alike = pa.types.is_integer(ids.type) == pa.types.is_integer(wanted)
    if (not alike and len(ids)) or ids.null_count:
        raise InvalidArgument(f"ids do not have the type of the primary key {primary.name}")
    return ids.cast(wanted) if alike else pa.array([], wanted)
