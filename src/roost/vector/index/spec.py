"""What an index may be told: types, metrics, parameters and their ranges.

An `IndexSpec` is kept as the client declared it, because clients read it back; what Roost builds
for it is derived each time by `plan_of`.

An index on a scalar field is a declaration only: nothing is built, and filters are answered as
without it.  Every segment has its primary keys sorted, to look single keys up; for other filters it
is left out by the bounds of its columns, or its columns are scanned
(docs/decisions/0005-scalar-indexes-are-statistics-and-scans.md).
"""

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from roost.errors import Unsupported
from roost.vector.api import IndexSpec
from roost.vector.errors import IndexParameterError
from roost.vector.schema import DataType, Field

AUTOINDEX = "AUTOINDEX"
FLAT = "FLAT"
HNSW = "HNSW"
INVERTED = "INVERTED"
STL_SORT = "STL_SORT"
TRIE = "TRIE"
BITMAP = "BITMAP"

LINKS_RANGE = (2, 2048)
WIDTH_RANGE = (1, 32768)
"""Milvus allows any efConstruction; beyond this it costs time and gains nothing."""

# Milvus's defaults for HNSW; for AUTOINDEX Roost's own: with the wide default search they reach
# recall@10 of 0.98 on descriptors of photographs at half of Milvus's build time.  Inner products of
# vectors of different lengths make a poorly connected graph, which more links make up for.
HNSW_LINKS, HNSW_BUILD_WIDTH = 30, 360
AUTO_LINKS, AUTO_BUILD_WIDTH = 16, 100
AUTO_IP_LINKS, AUTO_IP_BUILD_WIDTH = 32, 200

_NOT_SERVED = frozenset(
    {
        *("IVF_FLAT", "IVF_SQ8", "IVF_PQ", "SCANN", "IVF_RABITQ", "FAISS", "DISKANN", "AISAQ"),
        *("HNSW_SQ", "HNSW_PQ", "HNSW_PRQ", "BIN_FLAT", "BIN_IVF_FLAT", "MINHASH_LSH"),
        *("GPU_CAGRA", "GPU_IVF_FLAT", "GPU_IVF_PQ", "GPU_BRUTE_FORCE"),
        *("SPARSE_INVERTED_INDEX", "SPARSE_WAND"),
        *("HYBRID", "NGRAM", "RTREE"),
    }
)

_INTEGERS = frozenset({DataType.INT8, DataType.INT16, DataType.INT32, DataType.INT64})
_NUMBERS = _INTEGERS | {DataType.FLOAT, DataType.DOUBLE}
_SCALARS = _NUMBERS | {DataType.BOOL, DataType.VARCHAR}

# Source: milvus docs, "Scalar index"; internal/util/indexparamcheck.
_SCALAR_TYPES = {
    AUTOINDEX: _SCALARS,
    INVERTED: _SCALARS,
    STL_SORT: _NUMBERS,
    TRIE: frozenset({DataType.VARCHAR}),
    BITMAP: _INTEGERS | {DataType.BOOL, DataType.VARCHAR},
}
_VECTOR_TYPES = frozenset({AUTOINDEX, FLAT, HNSW})


class Metric(enum.StrEnum):
    """How near two vectors are.  L2 scores are squared distances, small is near."""

    L2 = "L2"
    IP = "IP"
    COSINE = "COSINE"

    @property
    def small_is_near(self) -> bool:
        """True for distances, False for similarities."""
        return self is Metric.L2


@dataclass(frozen=True, slots=True)
class IndexPlan:
    """What is built for an `IndexSpec`."""

    kind: str
    """"FLAT" (no file: the segment's vectors are scanned) or "HNSW"."""
    metric: Metric
    links: int = 0
    """HNSW's M."""
    build_width: int = 0
    """HNSW's efConstruction."""

    @property
    def needs_file(self) -> bool:
        """False when searching needs nothing but the vectors themselves."""
        return self.kind != FLAT


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """Checked parameters of one search."""

    width: int = 0
    """HNSW's ef; 0 means the default for that k."""
    radius: float | None = None
    """Outer bound of a range search, exclusive; None for a plain search."""
    range_filter: float | None = None
    """Inner bound of a range search, inclusive."""


def check_spec(spec: IndexSpec, field: Field) -> IndexSpec:
    """Return `spec` as it is to be stored and echoed: names in upper case, metric filled in.

    The client's own `params` and type (AUTOINDEX stays AUTOINDEX) are kept; the metric of a scalar
    index is "".  Checking again changes nothing.  Raises IndexParameterError; Unsupported for types
    that Milvus has and Roost has not.
    """
    index_type = spec.index_type.upper() or AUTOINDEX
    if index_type in _NOT_SERVED:
        raise Unsupported(f"index type {index_type} is not supported")
    if index_type not in _VECTOR_TYPES | _SCALAR_TYPES.keys():
        raise IndexParameterError(f"invalid index type: {spec.index_type}")
    if field.dtype is not DataType.FLOAT_VECTOR and field.dtype not in _SCALARS:
        raise Unsupported(f"an index on {field.dtype.name} is not supported")
    if not field.dtype.is_vector:
        return replace(spec, index_type=_scalar_type(index_type, field), metric="")
    if index_type not in _VECTOR_TYPES:
        raise _misfit(index_type, field)
    metric = spec.metric.upper() or Metric.COSINE.value
    if metric not in Metric.__members__:
        raise IndexParameterError(f"float vector index does not support metric type: {metric}")
    checked = replace(spec, index_type=index_type, metric=metric)
    plan_of(checked)
    return checked


def plan_of(spec: IndexSpec) -> IndexPlan:
    """Return what is built for the checked spec of a vector field, defaults filled in.

    Raises IndexParameterError.
    """
    metric = Metric(spec.metric)
    if spec.index_type == FLAT:
        return IndexPlan(FLAT, metric)
    if spec.index_type == AUTOINDEX:
        if metric is Metric.IP:
            return IndexPlan(HNSW, metric, AUTO_IP_LINKS, AUTO_IP_BUILD_WIDTH)
        return IndexPlan(HNSW, metric, AUTO_LINKS, AUTO_BUILD_WIDTH)
    links = _integer(spec.params, "M", HNSW_LINKS, LINKS_RANGE)
    width = _integer(spec.params, "efConstruction", HNSW_BUILD_WIDTH, WIDTH_RANGE)
    return IndexPlan(HNSW, metric, links, width)


def check_search_params(
    spec: IndexSpec, params: Mapping[str, Any], k: int, metric: str = ""
) -> SearchOptions:
    """Return the options of a search for `k` hits on that index.

    `params` may hold ef, radius, range_filter; parameters of other index types are ignored, as
    Milvus does.  `metric` is what the client named, "" for none.  Raises IndexParameterError.
    """
    if metric and metric.upper() != spec.metric:
        raise IndexParameterError(
            f"metric type not match: invalid parameter[expected={spec.metric}][actual={metric}]"
        )
    width = 0
    if spec.index_type != FLAT and "ef" in params:
        width = _integer(params, "ef", 0, WIDTH_RANGE)
        if width < k:
            raise IndexParameterError(f"ef({width}) should be larger than k({k})")
    radius = _number(params, "radius")
    inner = _number(params, "range_filter")
    if inner is not None and radius is None:
        raise IndexParameterError("range_filter needs radius")
    if inner is not None and radius is not None:
        _check_range(Metric(spec.metric), radius, inner)
    return SearchOptions(width, radius, inner)


def _scalar_type(index_type: str, field: Field) -> str:
    """Return the type if a scalar field can have it."""
    if field.dtype not in _SCALAR_TYPES.get(index_type, frozenset()):
        raise _misfit(index_type, field)
    if index_type == BITMAP and field.primary:
        raise IndexParameterError("create bitmap index on primary key not supported")
    return index_type


def _misfit(index_type: str, field: Field) -> IndexParameterError:
    return IndexParameterError(
        f"data type {field.dtype.name} can't build with this index {index_type}"
    )


def _check_range(metric: Metric, radius: float, inner: float) -> None:
    if metric.small_is_near and inner >= radius:
        raise IndexParameterError(
            f"range_filter({inner}) must be less than radius({radius}) for {metric}"
        )
    if not metric.small_is_near and inner <= radius:
        raise IndexParameterError(
            f"range_filter({inner}) must be more than radius({radius}) for {metric}"
        )


def _integer(params: Mapping[str, Any], name: str, default: int, span: tuple[int, int]) -> int:
    value = params.get(name, default)
    try:
        number = int(str(value))
    except ValueError:
        raise IndexParameterError(f"{name} is not an integer: {value!r}") from None
    if not span[0] <= number <= span[1]:
        raise IndexParameterError(
            f"Out of range in json: param '{name}' ({number}) should be in range"
            f" [{span[0]}, {span[1]}]"
        )
    return number


def _number(params: Mapping[str, Any], name: str) -> float | None:
    value = params.get(name)
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise IndexParameterError(f"{name} is not a number: {value!r}") from None
    if isinstance(value, bool) or math.isnan(number):
        raise IndexParameterError(f"{name} is not a number: {value!r}")
    return number
