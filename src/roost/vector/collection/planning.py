"""From a client's question to a part: every check, with the words Milvus's clients know."""

from dataclasses import dataclass

from roost.vector.api import CollectionInfo, QueryRequest, SearchRequest
from roost.vector.collection.parts import QueryPart, SearchPart

K_MAX = 16_384
NQ_MAX = 16_384
WINDOW_MAX = 16_384
"""Largest offset + k or offset + limit.  Source: Milvus, quotaAndLimits.limits."""


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
    raise NotImplementedError


def plan_query(info: CollectionInfo, request: QueryRequest) -> tuple[QueryPart, OutputPlan]:
    """As `plan_search`; the part's `limit` includes the offset."""
    raise NotImplementedError
