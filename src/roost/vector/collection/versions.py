"""The versions of a collection as a member has them open, and up to when they can be read.

Lock: `_changed` guards the versions and the watermark; held for look-ups only.
"""

import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from roost.errors import Gone, TimedOut
from roost.vector.manifest import Manifest, SegmentEntry
from roost.vector.segment.growing import GrowingView
from roost.vector.segment.sealed import SealedSegment


@dataclass(frozen=True, slots=True)
class OpenVersion:
    """A version and those of its segments that this member serves."""

    manifest: Manifest
    entries: Mapping[int, SegmentEntry]
    segments: Mapping[int, SealedSegment]
    superseded_at_s: float | None = None
    """When a newer one was installed, on the monotonic clock."""

    @property
    def oldest_read_ts(self) -> int:
        """Reads before this instant need an older version."""
        return max((entry.oldest_read_ts for entry in self.manifest.segments), default=0)

    def segment(self, segment_id: int) -> SealedSegment:
        """Return a segment that is served.  Raises Gone."""
        found = self.segments.get(segment_id)
        if found is None:
            raise Gone(f"segment {segment_id} of version {self.manifest.version} is not held here")
        return found


class Versions:
    """Open versions by number.  Thread-safe."""

    def __init__(self, collection: str) -> None:
        """`collection` names it in messages."""
        self._collection = collection
        self._changed = threading.Condition()
        self._open: dict[int, OpenVersion] = {}
        self._watermark = 0

    @property
    def watermark(self) -> int:
        """Reads up to this timestamp are answered."""
        with self._changed:
            return self._watermark

    def advance(self, watermark_ts: int) -> None:
        """Raise the watermark; older values are ignored."""
        with self._changed:
            if watermark_ts > self._watermark:
                self._watermark = watermark_ts
                self._changed.notify_all()

    def all(self) -> list[OpenVersion]:
        """Return them, oldest first."""
        with self._changed:
            return [self._open[number] for number in sorted(self._open)]

    def get(self, number: int) -> OpenVersion:
        """Return a version.  Raises Gone."""
        with self._changed:
            if number not in self._open:
                raise Gone(f"version {number} of {self._collection} is not held")
            return self._open[number]

    def newest(self) -> OpenVersion:
        """Return the newest version.  Raises Gone if there is none yet."""
        with self._changed:
            if not self._open:
                raise Gone(f"no version of {self._collection} is open yet")
            return self._open[max(self._open)]

    def newest_for(self, read_ts: int) -> OpenVersion:
        """Return the newest version that can be read at that instant.  Raises Gone."""
        for held in reversed(self.all()):
            if held.oldest_read_ts <= read_ts:
                return held
        raise Gone(f"no version of {self._collection} can be read at {read_ts} any more")

    def shared(self, entry: SegmentEntry) -> SealedSegment | None:
        """Return the segment of that entry if any version has it open."""
        for held in self.all():
            segment = held.segments.get(entry.id)
            if segment is not None and segment.entry.folder == entry.folder:
                return segment
        return None

    def put(self, opened: OpenVersion, now_s: float) -> None:
        """Add or replace a version; all but the newest are superseded, from `now_s` on."""
        with self._changed:
            self._open[opened.manifest.version] = opened
            newest = max(self._open)
            for number, held in self._open.items():
                if number < newest and held.superseded_at_s is None:
                    self._open[number] = replace(held, superseded_at_s=now_s)
            self._changed.notify_all()

    def superseded(self, until_s: float) -> list[OpenVersion]:
        """Return the versions that were superseded at `until_s` or before, oldest first."""
        return [
            held
            for held in self.all()
            if held.superseded_at_s is not None and held.superseded_at_s <= until_s
        ]

    def drop(self, numbers: Collection[int]) -> None:
        """Forget versions."""
        with self._changed:
            for number in numbers:
                del self._open[number]
            self._changed.notify_all()

    def wait_for(self, number: int, read_ts: int, timeout_s: float) -> None:
        """Wait until a version and an instant are here.

        Raises Gone if the version was superseded and dropped, TimedOut.
        """

        def arrived() -> bool:
            if number not in self._open and number < max(self._open, default=-1):
                raise Gone(f"version {number} of {self._collection} is no longer held")
            return number in self._open and read_ts <= self._watermark

        with self._changed:
            if not self._changed.wait_for(arrived, timeout_s):
                raise TimedOut(
                    f"{self._collection}: version {number} at {read_ts} did not arrive within "
                    f"{timeout_s:g} s (newest {max(self._open, default=None)} at "
                    f"{self._watermark})"
                )


def needed_from_ts(manifest: Manifest) -> int:
    """Return the timestamp above which a version needs the log, for rows or for deletes."""
    return min((manifest.complete_to, *(entry.deletes_complete_to for entry in manifest.segments)))


def visible_partitions(
    view: GrowingView, wanted: Sequence[int], dropped: Collection[int]
) -> tuple[int, ...] | None:
    """Return the partitions of growing rows that are seen, None for all."""
    if not wanted and not dropped:
        return None
    named = wanted or np.unique(view.partition_ids).tolist()
    return tuple(partition_id for partition_id in named if partition_id not in dropped)
