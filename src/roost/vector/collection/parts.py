"""The inner questions: a part of a search or query, asked of the member that holds those segments.

The router (or the local engine) chooses ONE `(version, read_ts)` and asks every part exactly there
(hazard H7).  A row is seen if row_ts <= read_ts and no delete has row_ts < delete_ts <= read_ts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

GROWING = 0
"""Stands in `segment_ids` and locators for the rows after the manifest's `complete_to`."""


@dataclass(frozen=True, slots=True)
class PartAddress:
    """Which rows of which collection, at which instant."""

    collection_id: int
    version: int
    read_ts: int
    segment_ids: tuple[int, ...]
    """Sealed segments of that version; GROWING for the rows not yet in any."""
    partition_ids: tuple[int, ...] = ()
    """Empty means all."""


@dataclass(frozen=True, slots=True)
class SearchPart:
    """A search over some segments; arguments are checked already (`planning`)."""

    at: PartAddress
    queries: npt.NDArray[np.float32]
    k: int
    """Hits wanted of this part, offset included."""
    field_id: int
    metric: str
    params: Mapping[str, Any] = field(default_factory=dict)
    filter: str = ""
    filter_params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PartHits:
    """Hits of one part, best first for each query, primary keys distinct within a query."""

    counts: npt.NDArray[np.int64]
    """(nq,)"""
    ids: pa.Array
    scores: npt.NDArray[np.float32]
    segment_ids: npt.NDArray[np.int64]
    """Where each hit lies: segment id (GROWING for growing rows) …"""
    offsets: npt.NDArray[np.int64]
    """… and row number there; for growing rows, the row number since the collection was opened."""
    rows: pa.RecordBatch | None = None
    """The output fields, only if they were asked for in the same call."""


@dataclass(frozen=True, slots=True)
class QueryPart:
    """A query over some segments."""

    at: PartAddress
    filter: str = ""
    filter_params: Mapping[str, Any] = field(default_factory=dict)
    ids: pa.Array | None = None
    output_fields: tuple[str, ...] = ()
    """Column names of the schema; the primary key is always added."""
    limit: int | None = None
    """Rows with the smallest primary keys, offset included; None for all."""
    count_only: bool = False


@dataclass(frozen=True, slots=True)
class PartRows:
    """Rows of one part in the order of their primary keys, each key once (its newest row).

    `row_ts` has each row's timestamp, so that a merge keeps the newest over parts.  For
    `count_only`, `count` alone is set.
    """

    rows: pa.RecordBatch
    row_ts: npt.NDArray[np.int64]
    count: int


@dataclass(frozen=True, slots=True)
class FetchPart:
    """Fields of rows found before, at the same version."""

    at: PartAddress
    segment_ids: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]
    output_fields: tuple[str, ...]


class PartService(Protocol):
    """What a member that holds segments answers.  Local (`LocalParts`) or remote (`cluster/rpc`).

    Raises Gone for a version no longer held, TimedOut when the version or `read_ts` did not
    arrive within the bounded wait, and what reading raises.
    """

    def search_part(self, part: SearchPart) -> PartHits:
        """Search exactly those segments at exactly that instant."""
        ...

    def query_part(self, part: QueryPart) -> PartRows:
        """Query exactly those segments at exactly that instant."""
        ...

    def fetch_part(self, part: FetchPart) -> pa.RecordBatch:
        """Return the fields, one row per locator, in their order."""
        ...
