"""A collection as one member holds it: answerable versions, growing rows, remembered deletes."""

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from roost.clock import Clock
from roost.vector.api import CollectionInfo
from roost.vector.collection.parts import FetchPart, PartHits, PartRows, QueryPart, SearchPart
from roost.vector.files import Files
from roost.vector.log.record import Record
from roost.vector.manifest import Manifest, SegmentEntry


@dataclass(frozen=True, slots=True)
class GrowingStatistics:
    """Rows not yet in any sealed segment of the newest version."""

    rows: int
    size_bytes: int
    oldest_ts: int
    """Of the oldest such row; 0 if there is none."""


@dataclass(frozen=True, slots=True)
class CutRows:
    """Growing rows of one partition, to become one or more segments, with their deletes."""

    partition_id: int
    rows: pa.RecordBatch
    """Whole rows, in the order they were written; deleted ones too."""
    row_ts: npt.NDArray[np.int64]
    delete_offsets: npt.NDArray[np.int64]
    """Row numbers within `rows` that are deleted up to the cut …"""
    delete_ts: npt.NDArray[np.int64]
    """… and when; for `deletes.write_deletes`."""


@dataclass(frozen=True, slots=True)
class LiveRows:
    """The rows of a sealed segment that live at an instant."""

    rows: pa.RecordBatch
    row_ts: npt.NDArray[np.int64]


class CollectionState:
    """Answers for one collection at exactly (version, read_ts).  Safe to call from many threads.

    One thread at a time may change it (`apply`, `advance`, `install`, `retire`, `update_info`).
    """

    def __init__(
        self, info: CollectionInfo, files: Files, pool: ThreadPoolExecutor, clock: Clock
    ) -> None:
        """`pool` is shared and bounded; its tasks never wait for other tasks."""
        raise NotImplementedError

    @property
    def info(self) -> CollectionInfo:
        """The collection as last told by `update_info`."""
        raise NotImplementedError

    def update_info(self, info: CollectionInfo) -> None:
        """Take the catalog's newer word (indexes, partitions, loaded, name)."""
        raise NotImplementedError

    def apply(self, record: Record) -> None:
        """Take one durable record; one that is not newer than the last applied is ignored.

        Records come in the order of their timestamps.  A record of another collection is refused by
        assertion; BARRIERs are ignored.
        """
        raise NotImplementedError

    def advance(self, watermark_ts: int) -> None:
        """Declare that every record up to `watermark_ts` was applied; older values are ignored."""
        raise NotImplementedError

    @property
    def watermark(self) -> int:
        """Reads up to this timestamp are answered."""
        raise NotImplementedError

    @property
    def versions(self) -> tuple[int, ...]:
        """Answerable versions, oldest first."""
        raise NotImplementedError

    @property
    def newest(self) -> Manifest:
        """The newest answerable version.  Raises Gone if none was installed yet."""
        raise NotImplementedError

    def manifest(self, version: int) -> Manifest:
        """Return an answerable version.  Raises Gone."""
        raise NotImplementedError

    def wait_for(self, version: int, read_ts: int, timeout_s: float) -> None:
        """Wait until both have arrived.

        Raises Gone if `version` was superseded and dropped, TimedOut.
        """
        raise NotImplementedError

    def install(self, manifest: Manifest, segment_ids: Collection[int] | None = None) -> None:
        """Open the segments of a version that this member serves (None: all), then answer it.

        Returns when it is warm.  Deletes applied from the log that are newer than a segment's
        `deletes_complete_to` count at once (hazard H8).  Again with other ids: replaces what is
        served of that version.  Raises Damage, NotFound; Unavailable if deletes that a segment
        lacks are no longer remembered.
        """
        raise NotImplementedError

    def retire(self, grace_s: float) -> tuple[int, ...]:
        """Drop versions that were superseded `grace_s` ago, and growing rows only they needed.

        Returns the versions dropped; asking for them is Gone.
        """
        raise NotImplementedError

    def search_part(self, part: SearchPart) -> PartHits:
        """As in PartService, without waiting."""
        raise NotImplementedError

    def query_part(self, part: QueryPart) -> PartRows:
        """As in PartService, without waiting."""
        raise NotImplementedError

    def fetch_part(self, part: FetchPart) -> pa.RecordBatch:
        """As in PartService, without waiting."""
        raise NotImplementedError

    def growing_statistics(self) -> GrowingStatistics:
        """Return what a flush would seal."""
        raise NotImplementedError

    def cut(self, up_to_ts: int) -> list[CutRows]:
        """Return the rows after the newest version's `complete_to` up to `up_to_ts`, by partition.

        Nothing changes: the rows go when a version that has them is installed and the older ones
        are retired.  Partitions without rows are left out.
        """
        raise NotImplementedError

    def pending_deletes(
        self, entry: SegmentEntry, up_to_ts: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return (offsets, delete_ts) in (`entry.deletes_complete_to`, `up_to_ts`] of a segment.

        The segment need not be installed: a compaction's output is resolved by key and row
        timestamp before its commit (hazard H8).  Raises Unavailable if deletes that far back are no
        longer remembered.
        """
        raise NotImplementedError

    def live_rows(self, segment_id: int, at_ts: int) -> LiveRows:
        """Return the rows of a segment of the newest version that live at `at_ts`."""
        raise NotImplementedError

    def row_count(self, version: int, read_ts: int, partition_ids: Sequence[int] = ()) -> int:
        """Return how many rows are seen at that instant; empty `partition_ids` means all.  Raises Gone."""
        raise NotImplementedError

    def close(self) -> None:
        """Drop every version and segment."""
        raise NotImplementedError
