"""What a member answers, rule by rule."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from roost.errors import CorruptRecord, Gone, TimedOut, Unavailable
from roost.testing.clock import ManualClock
from roost.testing.small_collections import (
    COLLECTION_ID,
    DIM,
    FIRST,
    SECOND,
    delete_record,
    keys_array,
    record_of,
    small_info,
    small_rows,
    small_schema,
)
from roost.vector.collection.local import LocalParts
from roost.vector.collection.parts import GROWING, FetchPart, PartAddress, QueryPart, SearchPart
from roost.vector.collection.state import CollectionState
from roost.vector.errors import TimestampNotReached
from roost.vector.files import DirectoryFiles
from roost.vector.log.record import RecordKind
from roost.vector.manifest import Manifest, SegmentEntry
from roost.vector.segment.deletes import write_deletes
from roost.vector.segment.writing import SegmentAddress, write_segment

SCHEMA = small_schema()
INFO = small_info(SCHEMA)
VECTOR_FIELD = SCHEMA.field("vec").id


class Member:
    """A state with the few words the tests need."""

    def __init__(self, folder: Path) -> None:
        self.files = DirectoryFiles(folder)
        self.pool = ThreadPoolExecutor(2)
        self.clock = ManualClock()
        self.state = self.opened()

    def opened(self) -> CollectionState:
        return CollectionState(INFO, self.files, self.pool, self.clock)

    def insert(
        self,
        ts: int,
        keys: list[int],
        kind: RecordKind = RecordKind.INSERT,
        partition_id: int = FIRST,
    ) -> None:
        rows = small_rows(SCHEMA, keys, vectors_of(keys), [ts + key for key in keys])
        self.state.apply(record_of(kind, ts, rows, partition_id))
        self.state.advance(ts)

    def delete(self, ts: int, keys: list[int]) -> None:
        self.state.apply(delete_record(SCHEMA, ts, keys))
        self.state.advance(ts)

    def segment(self, number: int, ts: int, keys: list[int], complete_to: int) -> SegmentEntry:
        rows = small_rows(SCHEMA, keys, vectors_of(keys), [ts + key for key in keys])
        address = SegmentAddress(number, FIRST, f"s/{number}")
        row_ts = np.full(len(keys), ts)
        return write_segment(self.files, address, SCHEMA, rows, row_ts, complete_to)

    def keys(self, version: int, read_ts: int, state: CollectionState | None = None) -> list[int]:
        """Return all keys of that version at that instant, found by query and by search alike."""
        state = state or self.state
        at = address(state, version, read_ts)
        rows = state.query_part(QueryPart(at, output_fields=("color",)))
        found: list[int] = rows.rows.column("pk").to_pylist()
        hits = state.search_part(
            SearchPart(at, np.zeros((1, DIM), np.float32), 100, VECTOR_FIELD, "L2")
        )
        assert sorted(hits.ids.to_pylist()) == found
        return found


def address(state: CollectionState, version: int, read_ts: int) -> PartAddress:
    segments = (GROWING, *(entry.id for entry in state.manifest(version).segments))
    return PartAddress(COLLECTION_ID, version, read_ts, segments)


def vectors_of(keys: list[int]) -> np.ndarray:
    return np.array([[key, key, 0, 1] for key in keys], np.float32)


def manifest(version: int, complete_to: int, *segments: SegmentEntry) -> Manifest:
    return Manifest(COLLECTION_ID, version, 1, complete_to, segments)


@pytest.fixture
def member(tmp_path: Path) -> Iterator[Member]:
    made = Member(tmp_path)
    yield made
    made.pool.shutdown()


# Hazard H7: exactly at (version, read_ts).


def test_an_upsert_is_never_seen_twice_nor_missed_at_any_instant(member: Member) -> None:
    member.state.install(manifest(1, 10, member.segment(1, 10, [1, 2], 10)))
    member.insert(20, [1], RecordKind.UPSERT)
    member.state.install(
        manifest(2, 20, *member.state.newest.segments, member.segment(2, 20, [1], 20))
    )
    member.insert(30, [1], RecordKind.UPSERT)
    for version in (1, 2):
        for read_ts in (10, 15, 20, 25, 30):
            assert member.keys(version, read_ts) == [1, 2], (version, read_ts)
            at = address(member.state, version, read_ts)
            rows = member.state.query_part(QueryPart(at, output_fields=("color",)))
            assert rows.rows.column("color").to_pylist()[0] == read_ts // 10 * 10 + 1


def test_a_read_in_the_past_sees_rows_deleted_since(member: Member) -> None:
    entry = member.segment(1, 10, [1, 2, 3], 30)
    write_deletes(member.files, "s/1/deletes-0", np.array([1]), np.array([20]))
    member.state.install(manifest(1, 10, replace(entry, deletes=("s/1/deletes-0",))))
    member.insert(32, [4])
    member.delete(40, [3, 4])
    assert member.keys(1, 15) == [1, 2, 3]
    assert member.keys(1, 20) == [1, 3]
    assert member.keys(1, 39) == [1, 3, 4]
    assert member.keys(1, 40) == [1]


def test_rows_above_read_ts_are_not_seen_in_segments_either(member: Member) -> None:
    entries = [member.segment(1, 10, [1], 10), member.segment(2, 20, [2], 20)]
    member.state.install(manifest(1, 20, *entries))
    member.state.advance(20)
    assert member.keys(1, 10) == [1]
    assert member.keys(1, 20) == [1, 2]


def test_an_older_version_answers_from_growing_rows_until_it_is_retired(member: Member) -> None:
    member.state.install(manifest(1, 0))
    member.insert(10, [1])
    member.insert(20, [2])
    member.state.install(manifest(2, 10, member.segment(1, 10, [1], 10)))
    member.clock.advance(5)
    assert member.state.retire(10) == ()
    assert member.keys(1, 20) == member.keys(2, 20) == [1, 2]
    member.clock.advance(5)
    assert member.state.retire(10) == (1,)
    assert member.keys(2, 20) == [1, 2]
    with pytest.raises(Gone):
        member.keys(1, 20)
    with pytest.raises(Gone):
        member.state.install(manifest(1, 0))
    with pytest.raises(Gone):
        member.state.wait_for(1, 0, 0)


def test_the_newest_version_is_never_retired(member: Member) -> None:
    member.state.install(manifest(1, 0))
    member.clock.advance(1e6)
    assert member.state.retire(0) == ()


def test_locators_of_growing_rows_stay_true_after_rows_before_them_were_dropped(
    member: Member,
) -> None:
    member.state.install(manifest(1, 0))
    member.insert(10, [1, 2, 3])
    member.insert(20, [4])
    at = address(member.state, 1, 20)
    hits = member.state.search_part(SearchPart(at, vectors_of([4]), 1, VECTOR_FIELD, "L2"))
    member.state.install(manifest(2, 10, member.segment(1, 10, [1, 2, 3], 10)))
    member.state.retire(0)
    at = address(member.state, 2, 20)
    found = member.state.fetch_part(FetchPart(at, hits.segment_ids, hits.offsets, ("pk",)))
    assert found.column("pk").to_pylist() == [4]


# Hazard H8: deletes between a segment's completeness and now.


def test_a_compacted_segment_does_not_bring_back_rows_deleted_while_it_was_made(
    member: Member,
) -> None:
    """Compaction read at 20; 2 was deleted at 30, the segment is opened at 40."""
    first = member.segment(1, 10, [1, 2], 10)
    member.state.install(manifest(1, 10, first))
    member.state.advance(20)
    compacted = member.segment(9, 10, [1, 2], 20)
    member.delete(30, [2])
    member.state.advance(40)
    offsets, delete_ts = member.state.pending_deletes(compacted, 40)
    assert (offsets.tolist(), delete_ts.tolist()) == ([1], [30])
    member.state.install(manifest(2, 10, compacted))  # even if the writer had forgotten them
    assert member.keys(2, 40) == [1]


def test_deletes_are_remembered_for_segments_nobody_read_before_they_are_forgotten(
    member: Member,
) -> None:
    entry = member.segment(1, 10, [1, 2], 10)
    member.state.install(manifest(1, 10, entry))
    write_deletes(member.files, "s/1/deletes-0", np.array([1]), np.array([20]))
    later = replace(entry, deletes=("s/1/deletes-0",), deletes_complete_to=20)
    member.state.install(manifest(2, 20, later))
    member.delete(20, [2])
    member.state.retire(0)
    assert member.keys(2, 20) == [1]


def test_a_version_that_comes_before_the_log_loses_no_deletes_of_the_log(member: Member) -> None:
    entry = member.segment(1, 10, [1, 2], 10)
    member.state.install(manifest(1, 10, entry))
    write_deletes(member.files, "s/1/deletes-0", np.array([1]), np.array([20]))
    later = replace(entry, deletes=("s/1/deletes-0",), deletes_complete_to=20)
    member.state.install(manifest(2, 20, later))
    member.state.retire(0)
    member.delete(20, [2])
    assert member.keys(2, 20) == [1]


def test_a_segment_whose_deletes_are_forgotten_is_refused(member: Member) -> None:
    member.state.install(manifest(1, 50))
    with pytest.raises(Unavailable, match="no longer remembered"):
        member.state.install(manifest(2, 50, member.segment(1, 10, [1], 40)))
    assert member.state.versions == (1,)


def test_a_member_that_starts_needs_the_log_from_its_least_complete_segment(
    member: Member,
) -> None:
    member.state.install(manifest(1, 50, member.segment(1, 10, [1, 2], 40)))
    assert member.state.replay_from_ts == 40
    member.delete(45, [1])
    member.insert(48, [7])  # already in segments, were they complete: not shown twice
    member.state.advance(60)
    assert member.keys(1, 60) == [2]


def test_an_instant_before_a_compaction_needs_an_older_version(member: Member) -> None:
    member.state.install(manifest(1, 10, member.segment(1, 10, [1, 2], 10)))
    member.delete(20, [2])
    compacted = replace(member.segment(2, 10, [1], 20), oldest_read_ts=20)
    member.state.install(manifest(2, 10, compacted))
    assert member.keys(1, 15) == [1, 2]
    with pytest.raises(Gone):
        member.keys(2, 15)
    assert (member.state.version_for(15), member.state.version_for(20)) == (1, 2)
    member.state.retire(0)
    with pytest.raises(Gone):
        member.state.version_for(15)


# Records, partitions, members.


def test_a_record_applied_twice_counts_once(member: Member) -> None:
    member.state.install(manifest(1, 0))
    member.insert(10, [1])
    member.state.apply(record_of(RecordKind.INSERT, 10, small_rows(SCHEMA, [1], vectors_of([1]))))
    assert member.state.row_count(1, 10) == 1


def test_a_record_behind_the_watermark_is_a_bug(member: Member) -> None:
    member.state.install(manifest(1, 0))
    member.state.advance(10)
    with pytest.raises(AssertionError, match="behind the watermark"):
        member.insert(9, [1])


def test_a_delete_of_one_partition_leaves_the_others(member: Member) -> None:
    member.state.install(manifest(1, 0))
    member.insert(10, [1])
    member.insert(11, [2], partition_id=SECOND)
    member.state.apply(delete_record(SCHEMA, 20, [1, 2], SECOND))
    member.state.advance(20)
    assert member.keys(1, 20) == [1]


def test_rows_of_a_dropped_partition_are_gone(member: Member) -> None:
    member.state.install(manifest(1, 10, member.segment(1, 10, [1], 10)))
    member.insert(20, [2], partition_id=FIRST)
    member.insert(30, [3], partition_id=SECOND)
    member.state.update_info(replace(INFO, partitions=INFO.partitions[1:]))
    assert member.keys(1, 30) == [3]
    assert [cut.partition_id for cut in member.state.cut(30)] == [SECOND]


def test_a_member_answers_only_for_the_segments_it_serves(member: Member) -> None:
    entries = member.segment(1, 10, [1], 10), member.segment(2, 10, [2], 10)
    member.state.install(manifest(1, 10, *entries), {2})
    member.state.advance(10)
    at = PartAddress(COLLECTION_ID, 1, 10, (2,))
    assert member.state.query_part(QueryPart(at)).rows.column("pk").to_pylist() == [2]
    with pytest.raises(Gone, match="segment 1"):
        member.state.query_part(QueryPart(replace(at, segment_ids=(1, 2))))
    member.state.install(manifest(1, 10, *entries), {1, 2})
    assert member.keys(1, 10) == [1, 2]


def test_a_segment_that_cannot_be_opened_leaves_the_versions_as_they_were(member: Member) -> None:
    member.state.install(manifest(1, 10))
    entry = member.segment(1, 10, [1], 10)
    damaged = member.files.open_local("s/1/rows")
    damaged.write_bytes(damaged.read_bytes()[:-5])
    with pytest.raises(CorruptRecord, match="s/1/rows"):
        member.state.install(manifest(2, 10, entry))
    assert member.state.versions == (1,)


def test_what_a_flush_seals_is_told_and_cut(member: Member) -> None:
    member.state.install(manifest(1, 0))
    member.insert(10, [1, 2])
    member.insert(20, [3], partition_id=SECOND)
    member.insert(30, [4])
    member.delete(40, [2])
    statistics = member.state.growing_statistics()
    assert (statistics.rows, statistics.oldest_ts) == (4, 10)
    assert statistics.size_bytes > 4 * (4 * DIM)
    first, second = member.state.cut(30)
    assert first.rows.column("pk").to_pylist() == [1, 2, 4]
    assert first.row_ts.tolist() == [10, 10, 30]
    assert len(first.delete_offsets) == 0  # the delete is after the cut
    assert second.rows.column("pk").to_pylist() == [3]
    (first, _) = member.state.cut(40)
    assert (first.delete_offsets.tolist(), first.delete_ts.tolist()) == ([1], [40])


def test_live_rows_are_whole_rows_without_deleted_ones(member: Member) -> None:
    member.state.install(manifest(1, 10, member.segment(1, 10, [1, 2, 3], 10)))
    member.delete(20, [2])
    live = member.state.live_rows(1, 20)
    assert live.rows.equals(small_rows(SCHEMA, [1, 3], vectors_of([1, 3]), [11, 13]))
    assert live.row_ts.tolist() == [10, 10]


# Waiting.


def test_a_part_waits_for_its_version_and_instant(member: Member) -> None:
    member.state.install(manifest(1, 0))
    member.insert(10, [1])
    parts = LocalParts({COLLECTION_ID: member.state}, wait_max_s=30)
    at = PartAddress(COLLECTION_ID, 2, 20, (GROWING,))
    found: list[int] = []
    asking = threading.Thread(
        target=lambda: found.append(parts.query_part(QueryPart(at)).rows.num_rows)
    )
    asking.start()
    member.insert(20, [2])
    member.state.install(manifest(2, 0))
    asking.join(30)
    assert found == [2]


def test_what_does_not_arrive_is_timed_out_never_empty(member: Member) -> None:
    member.state.install(manifest(1, 0))
    parts = LocalParts({COLLECTION_ID: member.state}, wait_max_s=0)
    for version, read_ts in ((1, 5), (2, 0)):
        at = PartAddress(COLLECTION_ID, version, read_ts, (GROWING,))
        with pytest.raises(TimedOut):
            parts.query_part(QueryPart(at))
    with pytest.raises(TimestampNotReached):
        member.state.query_part(QueryPart(PartAddress(COLLECTION_ID, 1, 5, (GROWING,))))
    with pytest.raises(Gone):
        LocalParts({}).query_part(QueryPart(at))


# Search.


def test_k_distinct_keys_are_found_among_many_copies(member: Member) -> None:
    """Plain inserts may repeat a key; the nearest 60 rows are copies of one."""
    keys = [1] * 60 + [2, 3, 4]
    entry = member.segment(1, 10, keys, 10)
    member.state.install(manifest(1, 10, entry))
    for ts in range(20, 30):
        member.insert(ts, [1, 1])
    member.insert(30, [5, 6])
    at = address(member.state, 1, 30)
    hits = member.state.search_part(SearchPart(at, vectors_of([1]), 5, VECTOR_FIELD, "L2"))
    assert hits.ids.to_pylist() == [1, 2, 3, 4, 5]
    assert hits.scores.tolist() == [0.0, 2.0, 8.0, 18.0, 32.0]


def test_fetch_keeps_the_order_of_its_locators(member: Member) -> None:
    member.state.install(manifest(1, 10, member.segment(1, 10, [1, 2], 10)))
    member.insert(20, [3])
    at = address(member.state, 1, 20)
    segment_ids, offsets = np.array([1, GROWING, 1, 1]), np.array([1, 0, 0, 1])
    found = member.state.fetch_part(FetchPart(at, segment_ids, offsets, ("vec", "pk")))
    assert found.schema.names == ["vec", "pk"]
    assert found.column("pk").to_pylist() == [2, 3, 1, 2]
    assert [vector[0] for vector in found.column("vec").to_pylist()] == [2, 3, 1, 2]


def test_a_query_by_keys_reads_only_those_rows(member: Member) -> None:
    member.state.install(manifest(1, 10, member.segment(1, 10, [1, 2], 10)))
    member.insert(20, [3])
    at = address(member.state, 1, 20)
    for part in (
        QueryPart(at, ids=keys_array(SCHEMA, [3, 1, 9])),
        QueryPart(at, "pk in [3, 1, 9]"),
    ):
        assert member.state.query_part(part).rows.column("pk").to_pylist() == [1, 3]
        assert member.state.query_part(replace(part, count_only=True)).count == 2
