import sqlite3
import threading

import pytest

from roost.errors import CorruptRecord, Unavailable
from roost.testing.clock import ManualClock
from roost.volume.codec import encode_delayed
from roost.volume.meta.api import Meta
from roost.volume.meta.opening import split_url
from roost.volume.meta.upkeep import LOOK_EVERY_S, Upkeep, run_due
from roost.volume.model import ROOT, ChunkNo, DeletedFile, Slice, SliceId, SliceRef

HOUR_S = 3600


def file_with_slice(meta: Meta, name: bytes) -> SliceId:
    slice_id = meta.new_slice_id()
    ino = meta.create(ROOT, name).ino
    meta.write_slice(ino, ChunkNo(0), Slice(0, slice_id, 10, 0, 10))
    return slice_id


def run(meta: Meta, clock: ManualClock) -> list[SliceId]:
    gone: list[SliceRef] = []
    run_due(meta, gone.append, clock.wall_ns() // 10**9)
    return [ref.id for ref in gone]


def test_data_that_a_dead_client_left_is_deleted_an_hour_later(
    meta: Meta, clock: ManualClock
) -> None:
    left = file_with_slice(meta, b"f")
    kept = file_with_slice(meta, b"g")
    meta.unlink(ROOT, b"f")  # and nobody removes its data
    assert run(meta, clock) == []
    clock.advance(HOUR_S + 1)
    assert run(meta, clock) == [left]
    assert left not in [ref.id for ref in meta.list_slice_refs()]
    assert [s.id for chunk in meta.list_slices() for s in chunk.slices] == [kept]


def test_jobs_are_done_once_an_hour(meta: Meta, clock: ManualClock) -> None:
    run(meta, clock)
    file_with_slice(meta, b"f")
    deleted = meta.unlink(ROOT, b"f")
    assert deleted is not None
    (ref,) = meta.release_deleted_file(deleted)
    clock.advance(HOUR_S // 2)
    assert run(meta, clock) == []
    clock.advance(HOUR_S // 2)
    assert run(meta, clock) == [ref.id]


def test_what_cannot_be_deleted_stays_listed(
    meta: Meta, clock: ManualClock, expected_warnings: list[str]
) -> None:
    expected_warnings.append("slice left for the next clean-up")
    left = file_with_slice(meta, b"f")
    meta.unlink(ROOT, b"f")
    clock.advance(HOUR_S + 1)

    def fail(ref: SliceRef) -> None:
        raise Unavailable("no store")

    assert run_due(meta, fail, clock.wall_ns() // 10**9) == 0
    assert [ref.id for ref in meta.unreferenced_slices()] == [left]
    clock.advance(HOUR_S)
    assert run(meta, clock) == [left]


def test_one_file_that_is_damaged_does_not_keep_the_others(
    meta: Meta, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, expected_warnings: list[str]
) -> None:
    expected_warnings.append("file data left for the next clean-up")
    file_with_slice(meta, b"f")
    left = file_with_slice(meta, b"g")
    first = meta.unlink(ROOT, b"f")
    meta.unlink(ROOT, b"g")
    release = meta.release_deleted_file

    def release_others(file: DeletedFile) -> tuple[SliceRef, ...]:
        if file == first:
            raise CorruptRecord("inode", "it is noted as deleted but exists")
        return release(file)

    monkeypatch.setattr(meta, "release_deleted_file", release_others)
    clock.advance(HOUR_S + 1)
    assert run(meta, clock) == [left]
    assert meta.deleted_files() == (first,)


def test_old_trash_goes_with_its_data(trashing: Meta, clock: ManualClock) -> None:
    old = file_with_slice(trashing, b"f")
    trashing.unlink(ROOT, b"f")
    clock.advance(25 * HOUR_S)
    assert run(trashing, clock) == []
    clock.advance(2 * HOUR_S)
    assert run(trashing, clock) == []  # out of the trash now
    clock.advance(2 * HOUR_S)
    assert run(trashing, clock) == [old]


def test_what_a_compaction_replaced_goes_after_the_days_of_the_trash(
    trashing: Meta, meta_url: str, clock: ManualClock
) -> None:
    if not meta_url.startswith("sqlite3"):
        return
    replaced = file_with_slice(trashing, b"f")
    new = trashing.new_slice_id()
    connection = sqlite3.connect(split_url(meta_url)[1])
    now_s = clock.wall_ns() // 10**9
    note = encode_delayed([SliceRef(replaced, 10)])
    connection.execute("INSERT INTO jfs_delslices VALUES (?, ?, ?)", (new, now_s, note))
    connection.execute("UPDATE jfs_chunk_ref SET refs = 1 WHERE chunkid = ?", (replaced,))
    connection.execute("DELETE FROM jfs_chunk")  # as if the new slice had taken its place
    connection.commit()
    connection.close()
    clock.advance(20 * HOUR_S)
    assert run(trashing, clock) == []
    clock.advance(5 * HOUR_S)
    assert run(trashing, clock) == [replaced]
    assert trashing.delayed_slices(1 << 40) == ()


def test_the_thread_does_what_is_due_and_stops(meta: Meta, clock: ManualClock) -> None:
    file_with_slice(meta, b"f")
    meta.unlink(ROOT, b"f")
    clock.advance(HOUR_S + 1)
    done = threading.Event()
    upkeep = Upkeep(meta, lambda ref: done.set(), clock)
    upkeep.start()
    assert done.wait(30), "the first look is at once"
    done.clear()
    file_with_slice(meta, b"g")
    meta.unlink(ROOT, b"g")
    clock.advance(HOUR_S + 1)
    while not done.wait(0.01):
        clock.advance(LOOK_EVERY_S)
    upkeep.stop()
    assert meta.deleted_files() == ()
