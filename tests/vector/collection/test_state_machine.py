"""A writer and a lagging reader of one collection against a list of rows and a list of deletes."""

import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from roost.errors import Gone
from roost.testing.clock import ManualClock
from roost.testing.small_collections import (
    COLLECTION_ID,
    FIRST,
    SECOND,
    delete_record,
    keys_array,
    record_of,
    small_info,
    small_rows,
    small_schema,
)
from roost.vector.collection.parts import GROWING, FetchPart, PartAddress, QueryPart, SearchPart
from roost.vector.collection.state import CollectionState
from roost.vector.files import DirectoryFiles
from roost.vector.log.record import Record, RecordKind
from roost.vector.manifest import Manifest, SegmentEntry
from roost.vector.schema import DataType
from roost.vector.segment.deletes import write_deletes
from roost.vector.segment.writing import SegmentAddress, write_segment

KEYS = st.integers(0, 11)
PARTITIONS = st.sampled_from([FIRST, SECOND])
ROWS = st.lists(st.tuples(KEYS, st.integers(0, 5), st.integers(-3, 3)), min_size=1, max_size=6)
GRACE_S = 10.0
MEMORY_FOLDER = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Every segment is fsynced several times, which these tests are not about."""


@dataclass(frozen=True)
class ModelRow:
    key: int
    color: int
    vector: tuple[int, ...]
    ts: int
    partition_id: int


class CollectionMachine(RuleBasedStateMachine):
    """One log, one writer that flushes and compacts, one reader that follows it at its own pace."""

    primary: ClassVar[DataType] = DataType.INT64

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=MEMORY_FOLDER))
        self.files = DirectoryFiles(self.folder)
        self.schema = small_schema(self.primary)
        self.info = small_info(self.schema)
        self.pool = ThreadPoolExecutor(2)
        self.clock = ManualClock()
        self.ts, self.segment_id = 100, 0
        self.rows: list[ModelRow] = []
        self.deletes: list[tuple[int, int, int]] = []  # key, ts, partition (0: all)
        self.log: list[Record] = []
        self.manifests = [Manifest(COLLECTION_ID, 1, 1, self.ts)]
        self.compaction: tuple[SegmentEntry, tuple[int, ...]] | None = None
        self.writer, self.reader = self.new_state(0), self.new_state(0)
        self.reader_manifest = self.reader_log = 0

    def teardown(self) -> None:
        if hasattr(self, "pool"):
            self.pool.shutdown()
            shutil.rmtree(self.folder)

    def new_state(self, manifest: int) -> CollectionState:
        state = CollectionState(self.info, self.files, self.pool, self.clock)
        state.install(self.manifests[manifest])
        state.advance(self.manifests[manifest].complete_to)
        return state

    def write(self, record: Record) -> None:
        self.log.append(record)
        self.writer.apply(record)
        self.writer.advance(record.timestamp)

    def tick(self) -> int:
        self.ts += 10
        return self.ts

    # What a client does.

    @rule(rows=ROWS, partition_id=PARTITIONS, upsert=st.booleans())
    def insert(self, rows: list[tuple[int, int, int]], partition_id: int, upsert: bool) -> None:
        if upsert:
            rows = list({row[0]: row for row in rows}.values())
        ts = self.tick()
        vectors = [(color, x, x * color, 1) for _, color, x in rows]
        batch = small_rows(
            self.schema, [r[0] for r in rows], np.array(vectors, np.float32), [r[1] for r in rows]
        )
        kind = RecordKind.UPSERT if upsert else RecordKind.INSERT
        self.write(record_of(kind, ts, batch, partition_id))
        if upsert:
            self.deletes += [(key, ts, 0) for key, _, _ in rows]
        self.rows += [
            ModelRow(key, color, vector, ts, partition_id)
            for (key, color, _), vector in zip(rows, vectors, strict=True)
        ]

    @rule(keys=st.lists(KEYS, min_size=1, max_size=4), partition_id=st.sampled_from([0, FIRST]))
    def delete(self, keys: list[int], partition_id: int) -> None:
        ts = self.tick()
        self.write(delete_record(self.schema, ts, keys, partition_id))
        self.deletes += [(key, ts, partition_id) for key in keys]

    # What the writer does.

    def commit(self, complete_to: int, segments: list[SegmentEntry]) -> None:
        version = self.manifests[-1].version + 1
        manifest = Manifest(COLLECTION_ID, version, 1, complete_to, tuple(segments))
        self.manifests.append(manifest)
        self.writer.install(manifest)

    def with_deletes(self, entry: SegmentEntry, up_to_ts: int) -> SegmentEntry:
        offsets, delete_ts = self.writer.pending_deletes(entry, up_to_ts)
        entry = replace(entry, deletes_complete_to=max(up_to_ts, entry.deletes_complete_to))
        if not len(offsets):
            return entry
        path = f"{entry.folder}/deletes-{len(entry.deletes)}"
        write_deletes(self.files, path, offsets, delete_ts)
        return replace(entry, deletes=(*entry.deletes, path))

    def new_segment(self, partition_id: int) -> SegmentAddress:
        self.segment_id += 1
        return SegmentAddress(self.segment_id, partition_id, f"segments/{self.segment_id}")

    @rule(back=st.integers(0, 3))
    def flush(self, back: int) -> None:
        base = self.writer.newest
        up_to_ts = max(self.ts - 10 * back, base.complete_to)
        segments = [self.with_deletes(entry, up_to_ts) for entry in base.segments]
        for cut in self.writer.cut(up_to_ts):
            address = self.new_segment(cut.partition_id)
            entry = write_segment(self.files, address, self.schema, cut.rows, cut.row_ts, up_to_ts)
            if len(cut.delete_offsets):
                path = f"{entry.folder}/deletes-0"
                write_deletes(self.files, path, cut.delete_offsets, cut.delete_ts)
                entry = replace(entry, deletes=(path,))
            segments.append(entry)
        self.commit(up_to_ts, segments)

    @precondition(lambda self: self.compaction is None and len(self.writer.newest.segments) > 1)
    @rule(partition_id=PARTITIONS)
    def begin_compaction(self, partition_id: int) -> None:
        inputs = [e for e in self.writer.newest.segments if e.partition_id == partition_id]
        at_ts = self.writer.watermark
        live = [self.writer.live_rows(entry.id, at_ts) for entry in inputs]
        if not any(rows.rows.num_rows for rows in live):
            return
        table = pa.Table.from_batches([rows.rows for rows in live]).combine_chunks()
        row_ts = np.concatenate([rows.row_ts for rows in live])
        entry = write_segment(
            self.files,
            self.new_segment(partition_id),
            self.schema,
            table.to_batches()[0],
            row_ts,
            at_ts,
            at_ts,
        )
        self.compaction = entry, tuple(e.id for e in inputs)

    @precondition(lambda self: self.compaction is not None)
    @rule()
    def commit_compaction(self) -> None:
        assert self.compaction is not None
        entry, inputs = self.compaction
        self.compaction = None
        base = self.writer.newest
        kept = [e for e in base.segments if e.id not in inputs]
        self.commit(base.complete_to, [*kept, self.with_deletes(entry, self.writer.watermark)])

    @rule(seconds=st.sampled_from([1.0, GRACE_S]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)
        for state in (self.writer, self.reader):
            for version in state.retire(GRACE_S):
                with pytest.raises(Gone):
                    state.row_count(version, state.watermark)

    # What the reader does.

    @rule(steps=st.integers(1, 20))
    def reader_follows_log(self, steps: int) -> None:
        for record in self.log[self.reader_log : self.reader_log + steps]:
            self.reader.apply(record)
            self.reader.advance(record.timestamp)
        self.reader_log = min(self.reader_log + steps, len(self.log))

    @rule()
    def reader_installs_next_version(self) -> None:
        if self.reader_manifest + 1 < len(self.manifests):
            self.reader_manifest += 1
            self.reader.install(self.manifests[self.reader_manifest])

    @rule()
    def reader_starts_again_at_the_newest_version(self) -> None:
        self.reader_manifest = len(self.manifests) - 1
        self.reader = self.new_state(self.reader_manifest)
        after_ts = self.reader.replay_from_ts
        for record in self.log:
            if record.timestamp > after_ts:
                self.reader.apply(record)
        self.reader.advance(self.ts)
        self.reader_log = len(self.log)

    # What everybody sees.

    def seen(self, read_ts: int, partitions: tuple[int, ...]) -> list[ModelRow]:
        return [
            row
            for row in self.rows
            if row.ts <= read_ts
            and (not partitions or row.partition_id in partitions)
            and not any(
                key == row.key and row.ts < ts <= read_ts and where in (0, row.partition_id)
                for key, ts, where in self.deletes
            )
        ]

    @invariant()
    def every_version_shows_the_latest_instant(self) -> None:
        for state in (self.writer, self.reader):
            wanted = sorted(row.key for row in self.seen(state.watermark, ()))
            names = keys_array(self.schema, sorted(set(wanted)))
            for version in state.versions:
                segments = (GROWING, *(entry.id for entry in state.manifest(version).segments))
                at = PartAddress(COLLECTION_ID, version, state.watermark, segments)
                if state.watermark >= state.oldest_read_ts(version):
                    assert state.row_count(version, state.watermark) == len(wanted)
                    assert state.query_part(QueryPart(at)).rows.column("pk").equals(names)

    @rule(
        data=st.data(),
        partitions=st.sampled_from([(), (FIRST,), (SECOND,)]),
        color=st.sampled_from([None, 0, 3]),
        limit=st.sampled_from([None, 1, 3]),
        keys=st.none() | st.lists(KEYS, max_size=3),
    )
    def look(
        self,
        data: st.DataObject,
        partitions: tuple[int, ...],
        color: int | None,
        limit: int | None,
        keys: list[int] | None,
    ) -> None:
        state = data.draw(st.sampled_from([self.writer, self.reader]), "state")
        version = data.draw(st.sampled_from(state.versions), "version")
        back = data.draw(st.integers(0, 8), "back")
        read_ts = max(state.watermark - 5 * back, 0)
        manifest = state.manifest(version)
        segments = (GROWING, *(entry.id for entry in manifest.segments))
        at = PartAddress(COLLECTION_ID, version, read_ts, segments, partitions)
        if read_ts < state.oldest_read_ts(version):
            with pytest.raises(Gone):
                state.query_part(QueryPart(at))
            return
        wanted = [
            row for row in self.seen(read_ts, partitions) if color is None or row.color >= color
        ]
        text = "" if color is None else f"color >= {color}"
        self.check_search(state, at, text, wanted)
        assert state.query_part(QueryPart(at, text, count_only=True)).count == len(wanted)
        if keys is not None:
            wanted = [row for row in wanted if row.key in keys]
        self.check_query(state, at, text, wanted, keys, limit)

    def check_search(
        self, state: CollectionState, at: PartAddress, text: str, wanted: list[ModelRow]
    ) -> None:
        queries = np.array([[1, 0, 0, 1], [4, -2, 3, 1]], np.float32)
        vec = self.schema.field("vec").id
        part = SearchPart(at, queries, 4, vec, "L2", {}, text)
        hits = state.search_part(part)
        names = keys_array(self.schema, [row.key for row in wanted]).to_pylist()
        ends = np.cumsum(hits.counts)
        for query, end, count in zip(queries, ends, hits.counts, strict=True):
            best: dict[object, float] = {}
            for row, name in zip(wanted, names, strict=True):
                score = float(((np.array(row.vector) - query) ** 2).sum())
                best[name] = min(score, best.get(name, score))
            ids = hits.ids[end - count : end].to_pylist()
            scores = hits.scores[end - count : end].tolist()
            assert scores == sorted(best.values())[:4]
            assert [best[name] for name in ids] == scores, "a hit is not what is there"
            assert len(set(ids)) == len(ids)
        if len(hits.ids):
            fetched = state.fetch_part(
                FetchPart(at, hits.segment_ids, hits.offsets, ("vec", "pk", "color"))
            )
            assert fetched.column("pk").equals(hits.ids)
            distances = (
                (
                    np.array(fetched.column("vec").to_pylist())
                    - np.repeat(queries, hits.counts, axis=0)
                )
                ** 2
            ).sum(axis=1)
            assert distances.tolist() == hits.scores.tolist()

    def check_query(
        self,
        state: CollectionState,
        at: PartAddress,
        text: str,
        wanted: list[ModelRow],
        keys: list[int] | None,
        limit: int | None,
    ) -> None:
        newest: dict[int, ModelRow] = {}
        for row in wanted:
            if row.key not in newest or row.ts > newest[row.key].ts:
                newest[row.key] = row
        ordered = [newest[key] for key in sorted(newest)][:limit]
        ids = None if keys is None else keys_array(self.schema, keys)
        found = state.query_part(QueryPart(at, text, {}, ids, ("color", "$meta"), limit))
        names = keys_array(self.schema, [row.key for row in ordered])
        assert found.rows.column("pk").equals(names)
        assert found.row_ts.tolist() == [row.ts for row in ordered]
        colors = {(row.key, row.ts): set() for row in ordered}
        for row in wanted:  # one insert may hold a key twice; either row may stand for it
            if (row.key, row.ts) in colors:
                colors[row.key, row.ts].add(row.color)
        for row, color in zip(ordered, found.rows.column("color").to_pylist(), strict=True):
            assert color in colors[row.key, row.ts]


class StringKeyMachine(CollectionMachine):
    """The same with strings for primary keys."""

    primary = DataType.VARCHAR


QUICK = settings(
    max_examples=15,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
CollectionMachine.TestCase.settings = QUICK
StringKeyMachine.TestCase.settings = QUICK
TestIntegerKeys = CollectionMachine.TestCase
TestStringKeys = StringKeyMachine.TestCase


@pytest.mark.long
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("machine", [CollectionMachine, StringKeyMachine])
def test_long_histories_match_the_lists(machine: type[CollectionMachine]) -> None:
    run_state_machine_as_test(
        machine, settings=settings(QUICK, max_examples=2_000, stateful_step_count=20)
    )
