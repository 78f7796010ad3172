"""What an index may be told: types, metrics, parameters and their ranges.

An `IndexSpec` is kept as the client declared it, because clients read it back; what Roost builds
for it is derived each time by `plan_of`.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from roost.vector.api import IndexSpec
from roost.vector.schema import Field


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
        return self.kind != "FLAT"


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

    The client's own `params` and type (AUTOINDEX stays AUTOINDEX) are kept; checking again changes
    nothing.  Raises IndexParameterError; Unsupported for types that Milvus has and Roost has not.
    """
    raise NotImplementedError


def plan_of(spec: IndexSpec) -> IndexPlan:
    """Return what is built for a checked spec, defaults filled in."""
    raise NotImplementedError


def check_search_params(
    spec: IndexSpec, params: Mapping[str, Any], k: int, metric: str = ""
) -> SearchOptions:
    """Return the options of a search for `k` hits on that index.

    `params` may hold ef, radius, range_filter; parameters of other index types are ignored, as
    Milvus does.  `metric` is what the client named, "" for none.  Raises IndexParameterError.
    """
    raise NotImplementedError
