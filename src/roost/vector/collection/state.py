"""A collection as one member holds it: answerable versions, growing rows, remembered deletes.

Invariants:
* A row of the log above `complete_to` of the oldest answerable version is in the growing rows; a
  delete above every such version's and segment's completeness is in the delete log.
* A record is applied before the watermark passes it, and never after, so what a read at
  `read_ts <= watermark` sees does not change.
* An open version never changes; `install` replaces it as a whole.

Locks: the open versions, the growing rows, the delete log and each segment have one of their own;
a segment's or the growing rows' may be held while the delete log's is taken, nothing else.
"""

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from roost.clock import Clock
from roost.errors import Gone, Unavailable
from roost.vector.api import CollectionInfo
from roost.vector.collection import reading, sealing
from roost.vector.collection.parts import (
    GROWING,
    FetchPart,
    PartAddress,
    PartHits,
    PartRows,
    QueryPart,
    SearchPart,
)
from roost.vector.collection.questions import Questions
from roost.vector.collection.sealing import CutRows, GrowingStatistics, LiveRows
from roost.vector.collection.sources import GrowingSource, SealedSource
from roost.vector.collection.versions import (
    OpenVersion,
    Versions,
    needed_from_ts,
    visible_partitions,
)
from roost.vector.columns import decode_rows
from roost.vector.errors import TimestampNotReached
from roost.vector.files import Files
from roost.vector.index import plan_of
from roost.vector.log.record import Record, RecordKind
from roost.vector.manifest import Manifest, SegmentEntry
from roost.vector.segment.deletes import ALL_PARTITIONS, DeleteLog, RowDeletes
from roost.vector.segment.growing import GrowingRows
from roost.vector.segment.sealed import SealedSegment

__all__ = ["CollectionState", "CutRows", "GrowingStatistics", "LiveRows"]

DELETES_UNRESOLVED_MAX = 65_536
"""Deletes that may wait for the next reader; more are resolved at once, so that it waits little."""


class CollectionState:
    """Answers for one collection at exactly (version, read_ts).  Safe to call from many threads.

    One thread at a time may change it (`apply`, `advance`, `install`, `retire`, `update_info`).
    """

    def __init__(
        self, info: CollectionInfo, files: Files, pool: ThreadPoolExecutor, clock: Clock
    ) -> None:
        """`pool` is shared and bounded; its tasks never wait for other tasks."""
        self._files = files
        self._pool = pool
        self._clock = clock
        self._info = info
        self._questions = Questions(info)
        self._versions = Versions(info.name)
        self._dropped_partitions: frozenset[int] = frozenset()
        self._applied_ts = 0
        self._dropped_to_ts = 0
        """Growing rows up to it were dropped, or lay in segments when the collection was opened."""
        self._growing = GrowingRows(info.schema)
        self._deletes = DeleteLog()
        self._resolved = 0

    @property
    def info(self) -> CollectionInfo:
        """The collection as last told by `update_info`."""
        return self._info

    def update_info(self, info: CollectionInfo) -> None:
        """Take the catalog's newer word (indexes, partitions, loaded, name).

        Rows of a partition that is no longer named are not seen any more.
        """
        gone = {p.id for p in self._info.partitions} - {p.id for p in info.partitions}
        self._dropped_partitions |= gone
        self._info = info
        self._questions = Questions(info)

    def apply(self, record: Record) -> None:
        """Take one durable record; one that is not newer than the last applied is ignored.

        Records come in the order of their timestamps.  A record of another collection is refused by
        assertion; BARRIERs are ignored.
        """
        assert record.collection_id == self._info.id, (record.collection_id, self._info.id)
        if record.timestamp <= self._applied_ts:
            return
        assert record.timestamp > self.watermark, "a record arrived behind the watermark"
        if record.kind is not RecordKind.BARRIER:
            rows = decode_rows(record.payload)
            if record.timestamp > self._deletes.known_from:
                self._apply_deletes(record, rows)
            if record.kind is not RecordKind.DELETE and record.timestamp > self._dropped_to_ts:
                self._growing.append(rows, record.timestamp, record.partition_id)
        self._applied_ts = record.timestamp

    def advance(self, watermark_ts: int) -> None:
        """Declare that every record up to `watermark_ts` was applied; older values are ignored."""
        if self._deletes.end - self._resolved > DELETES_UNRESOLVED_MAX:
            self._resolve_deletes()
        self._versions.advance(watermark_ts)

    @property
    def watermark(self) -> int:
        """Reads up to this timestamp are answered."""
        return self._versions.watermark

    @property
    def versions(self) -> tuple[int, ...]:
        """Answerable versions, oldest first."""
        return tuple(held.manifest.version for held in self._versions.all())

    @property
    def newest(self) -> Manifest:
        """The newest answerable version.  Raises Gone if none was installed yet."""
        return self._versions.newest().manifest

    def manifest(self, version: int) -> Manifest:
        """Return an answerable version.  Raises Gone."""
        return self._versions.get(version).manifest

    def oldest_read_ts(self, version: int) -> int:
        """Return the oldest instant a version can be read at.  Raises Gone."""
        return self._versions.get(version).oldest_read_ts

    def version_for(self, read_ts: int) -> int:
        """Return the newest version that can answer at `read_ts`.

        Compaction leaves out rows that were deleted, so an instant before that needs an older
        version.  Raises Gone if none is held any more.
        """
        return self._versions.newest_for(read_ts).manifest.version

    @property
    def replay_from_ts(self) -> int:
        """Records above this timestamp must be applied after the first `install`."""
        return needed_from_ts(self.newest)

    def wait_for(self, version: int, read_ts: int, timeout_s: float) -> None:
        """Wait until both have arrived.

        Raises Gone if `version` was superseded and dropped, TimedOut.
        """

        self._versions.wait_for(version, read_ts, timeout_s)

    def prepare(
        self, manifest: Manifest, segment_ids: Collection[int] | None = None
    ) -> Mapping[int, SealedSegment]:
        """Open and warm what `install` will need; changes nothing and may run beside `apply`.

        Raises as `install`.
        """
        served = _served(manifest, segment_ids)
        segments = {entry.id: self._segment(entry) for entry in served.values()}
        for segment in segments.values():
            segment.deletes()
        self._warm(served, segments)
        return segments

    def install(
        self,
        manifest: Manifest,
        segment_ids: Collection[int] | None = None,
        prepared: Mapping[int, SealedSegment] | None = None,
    ) -> None:
        """Open the segments of a version that this member serves (None: all), then answer it.

        Returns when it is warm; at once if `prepared` is what `prepare` returned.
        Deletes applied from the log that are newer than a segment's `deletes_complete_to` count at
        once (hazard H8).  Again with other ids: replaces what is served of that version.

        Raises Damage, NotFound; Gone for a version older than the growing rows still held;
        Unavailable if deletes that a segment lacks are no longer remembered.
        """
        assert manifest.collection_id == self._info.id
        if not self._versions.all():
            self._open_at(manifest)
        elif manifest.complete_to < self._dropped_to_ts:
            raise Gone(f"version {manifest.version}: its growing rows were dropped already")
        served = _served(manifest, segment_ids)
        if prepared is None:
            segments = self.prepare(manifest, segment_ids)
        else:
            for entry in served.values():
                self._check_remembered(entry)  # they may have been forgotten meanwhile
            segments = {segment_id: prepared[segment_id] for segment_id in served}
        self._versions.put(OpenVersion(manifest, served, segments), self._clock.monotonic_s())

    def retire(self, grace_s: float) -> tuple[int, ...]:
        """Drop versions that were superseded `grace_s` ago, and growing rows only they needed.

        Returns the versions dropped; asking for them is Gone.
        """
        superseded = self._versions.superseded(self._clock.monotonic_s() - grace_s)
        dropped = tuple(held.manifest.version for held in superseded)
        if not dropped:
            return ()
        # Before deletes are forgotten: a segment that nobody reads has not resolved them yet.
        self._resolve_deletes()
        # A version may be here before the log is: a segment that an older version opened still
        # waits for the deletes which the newer one has in files.
        watermark = self.watermark
        self._versions.drop(dropped)
        kept = [held.manifest for held in self._versions.all()]
        self._dropped_to_ts = min(manifest.complete_to for manifest in kept)
        self._growing.drop(self._dropped_to_ts)
        self._deletes.forget(min(watermark, *(needed_from_ts(manifest) for manifest in kept)))
        return dropped

    def search_part(self, part: SearchPart) -> PartHits:
        """As in PartService, without waiting."""
        asked = self._questions.search(part)
        return reading.search(
            self._sources(part.at), self._info.schema, asked.question, asked.filter, self._pool
        )

    def query_part(self, part: QueryPart) -> PartRows:
        """As in PartService, without waiting."""
        named, keys = self._questions.query(part)
        return reading.query(self._sources(part.at), self._info.schema, part, named, keys)

    def fetch_part(self, part: FetchPart) -> pa.RecordBatch:
        """As in PartService, without waiting."""
        held = self._at(part.at)
        return reading.fetch(
            lambda segment_id: self._source(held, segment_id, part.at), self._info.schema, part
        )

    def growing_statistics(self) -> GrowingStatistics:
        """Return what a flush would seal."""
        return GrowingStatistics(*self._growing.statistics(self._complete_to()))

    def cut(self, up_to_ts: int) -> list[CutRows]:
        """Return the rows after the newest version's `complete_to` up to `up_to_ts`, by partition.

        Nothing changes: the rows go when a version that has them is installed and the older ones
        are retired.  Partitions without rows, and dropped ones, are left out.
        """
        view = self._growing.view(self._deletes)
        return sealing.cut(view, self._complete_to(), up_to_ts, self._dropped_partitions)

    def pending_deletes(self, entry: SegmentEntry, up_to_ts: int) -> RowDeletes:
        """Return (offsets, delete_ts) in (`entry.deletes_complete_to`, `up_to_ts`] of a segment.

        The segment need not be installed: a compaction's output is resolved by key and row
        timestamp before its commit (hazard H8).  Raises Unavailable if deletes that far back are no
        longer remembered.
        """
        segment = self._segment(entry)
        found = segment.deletes()
        if self._versions.shared(entry) is not segment:
            self._check_remembered(entry)  # they may have been forgotten since it was opened
        return sealing.within(found, entry.deletes_complete_to, up_to_ts)

    def live_rows(self, segment_id: int, at_ts: int) -> LiveRows:
        """Return the rows of a segment of the newest version that live at `at_ts`.  Raises Gone.

        For compaction: what is written from them has `deletes_complete_to` and `oldest_read_ts`
        `at_ts`, which is not above the watermark.
        """
        segment = self._versions.newest().segment(segment_id)
        return sealing.live_rows(segment, at_ts, [f.name for f in self._info.schema.fields])

    def row_count(self, version: int, read_ts: int, partition_ids: Sequence[int] = ()) -> int:
        """Return how many rows are seen at that instant; no `partition_ids` means all.

        Raises Gone.
        """
        ids = (GROWING, *self._versions.get(version).segments)
        at = PartAddress(self._info.id, version, read_ts, ids, tuple(partition_ids))
        return sum(source.count(None) for source in self._sources(at))

    def close(self) -> None:
        """Drop every version and segment."""
        self._versions.drop(self.versions)

    def _apply_deletes(self, record: Record, rows: pa.RecordBatch) -> None:
        if record.kind is RecordKind.DELETE:
            self._deletes.append(rows.column(0), record.timestamp, record.partition_id)
        elif record.kind is RecordKind.UPSERT:
            keys = rows.column(self._info.schema.primary.name)
            self._deletes.append(keys, record.timestamp, ALL_PARTITIONS)

    def _resolve_deletes(self) -> None:
        segments = {
            id(segment): segment
            for held in self._versions.all()
            for segment in held.segments.values()
        }
        self._resolved = self._deletes.end
        for segment in segments.values():
            segment.deletes()
        self._growing.view(self._deletes)

    def _open_at(self, manifest: Manifest) -> None:
        self._dropped_to_ts = manifest.complete_to
        self._growing.drop(manifest.complete_to)
        self._deletes.forget(needed_from_ts(manifest))

    def _segment(self, entry: SegmentEntry) -> SealedSegment:
        """Return the open segment of an entry, shared by versions, or open it."""
        segment = self._versions.shared(entry)
        if segment is None:
            self._check_remembered(entry)
            segment = SealedSegment.open(self._files, entry, self._info.schema, self._deletes)
        return segment

    def _check_remembered(self, entry: SegmentEntry) -> None:
        known_from = self._deletes.known_from
        if entry.deletes_complete_to < known_from:
            raise Unavailable(
                f"segment {entry.id} lacks deletes after {entry.deletes_complete_to}, and those up "
                f"to {known_from} are no longer remembered",
                hint="Open the collection again, so that the log is replayed from further back.",
            )

    def _warm(
        self, entries: Mapping[int, SegmentEntry], segments: Mapping[int, SealedSegment]
    ) -> None:
        """Check and map, before the first search, what searches will read."""
        schema = self._info.schema
        for entry in entries.values():
            built = {(index.index_id, index.field_id): index for index in entry.indexes}
            for spec in self._info.vector_indexes:
                field_id = schema.field(spec.field).id
                use = built.get((spec.id, field_id)) if plan_of(spec).needs_file else None
                segments[entry.id].searchers(field_id, spec, use)

    def _complete_to(self) -> int:
        held = self._versions.all()
        return held[-1].manifest.complete_to if held else 0

    def _at(self, at: PartAddress) -> OpenVersion:
        """Return the version, if it can be read at that instant.  Raises Gone, TimedOut."""
        held = self._versions.get(at.version)
        if at.read_ts > self.watermark:
            raise TimestampNotReached(f"{self._info.name}: {at.read_ts} is above {self.watermark}")
        if at.read_ts < held.oldest_read_ts:
            raise Gone(f"version {at.version} cannot be read at {at.read_ts} any more")
        return held

    def _sources(self, at: PartAddress) -> list[SealedSource | GrowingSource]:
        held = self._at(at)
        dropped = self._dropped_partitions
        wanted = frozenset(at.partition_ids)
        sources = [self._source(held, segment_id, at) for segment_id in at.segment_ids]
        return [
            source
            for source in sources
            if isinstance(source, GrowingSource)
            or (
                source.entry.partition_id not in dropped
                and (not wanted or source.entry.partition_id in wanted)
            )
        ]

    def _source(
        self, held: OpenVersion, segment_id: int, at: PartAddress
    ) -> SealedSource | GrowingSource:
        if segment_id == GROWING:
            view = self._growing.view(self._deletes)
            if held.manifest.complete_to < view.dropped_to_ts:  # retired since it was looked up
                raise Gone(f"version {at.version} of {self._info.name} is no longer held")
            partitions = visible_partitions(view, at.partition_ids, self._dropped_partitions)
            return GrowingSource(view, held.manifest.complete_to, at.read_ts, partitions)
        segment = held.segment(segment_id)
        return SealedSource(held.entries[segment_id], segment, at.read_ts)


def _served(manifest: Manifest, segment_ids: Collection[int] | None) -> Mapping[int, SegmentEntry]:
    return {
        entry.id: entry
        for entry in manifest.segments
        if segment_ids is None or entry.id in segment_ids
    }
