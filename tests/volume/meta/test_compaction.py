import pytest

from roost.errors import InvalidArgument
from roost.testing.clock import ManualClock
from roost.volume.meta.api import Meta
from roost.volume.model import ROOT, ChunkNo, Ino, Slice
from tests.volume.meta.helpers import slice_refs

CHUNK = ChunkNo(0)


def written(meta: Meta, times: int) -> tuple[Ino, tuple[Slice, ...]]:
    ino = meta.create(ROOT, b"f").ino
    for number in range(times):
        meta.write_slice(ino, CHUNK, Slice(number * 10, meta.new_slice_id(), 10, 0, 10))
    return ino, meta.read_chunk(ino, CHUNK)


def test_one_slice_takes_the_place_of_many(meta: Meta) -> None:
    ino, records = written(meta, 4)
    before = meta.getattr(ino)
    new = Slice(10, meta.new_slice_id(), 30, 0, 30)
    done = meta.replace_slices(ino, CHUNK, records[:1], records[1:], new)
    assert done is not None
    assert sorted(ref.id for ref in done.released) == [record.id for record in records[1:]]
    assert meta.read_chunk(ino, CHUNK) == (records[0], new)
    assert meta.getattr(ino) == before
    for ref in done.released:
        meta.forget_slice(ref)
    assert slice_refs(meta) == {records[0].id: 1, new.id: 1}
    assert meta.unreferenced_slices() == ()


def test_what_was_appended_meanwhile_stays_on_top(meta: Meta) -> None:
    ino, records = written(meta, 2)
    late = Slice(5, meta.new_slice_id(), 10, 0, 10)
    meta.write_slice(ino, CHUNK, late)
    new = Slice(0, meta.new_slice_id(), 20, 0, 20)
    assert meta.replace_slices(ino, CHUNK, (), records, new) is not None
    assert meta.read_chunk(ino, CHUNK) == (new, late)


def test_records_that_are_others_by_now_are_left_alone(meta: Meta) -> None:
    ino, records = written(meta, 3)
    new = Slice(0, meta.new_slice_id(), 20, 0, 20)
    assert meta.replace_slices(ino, CHUNK, (), records[1:], new) is None
    assert meta.replace_slices(ino, CHUNK, records[:1], records[:2], new) is None
    assert meta.replace_slices(ino, ChunkNo(1), (), records, new) is None
    assert meta.read_chunk(ino, CHUNK) == records
    assert meta.unreferenced_slices() == ()


def test_a_slice_that_another_file_shows_is_not_released(meta: Meta) -> None:
    ino, records = written(meta, 2)
    other = meta.clone(ino, ROOT, b"copy").ino
    new = Slice(0, meta.new_slice_id(), 20, 0, 20)
    done = meta.replace_slices(ino, CHUNK, (), records, new)
    assert done is not None
    assert done.released == ()
    assert meta.read_chunk(other, CHUNK) == records


def test_the_trash_keeps_what_was_replaced(trashing: Meta, clock: ManualClock) -> None:
    ino, records = written(trashing, 3)
    new = Slice(0, trashing.new_slice_id(), 30, 0, 30)
    done = trashing.replace_slices(ino, CHUNK, (), records, new)
    assert done is not None
    assert done.released == ()
    clock.advance(10)
    now_s = clock.wall_ns() // 1_000_000_000
    assert trashing.delayed_slices(now_s - 10) == ()
    (delayed,) = trashing.delayed_slices(now_s)
    assert (delayed.chunk_id, [r.id for r in delayed.slices]) == (new.id, [r.id for r in records])
    released = trashing.release_delayed_slices(delayed)
    assert sorted(ref.id for ref in released) == [record.id for record in records]
    for ref in released:
        trashing.forget_slice(ref)


def test_a_replacement_that_is_none_is_refused(meta: Meta) -> None:
    ino, records = written(meta, 2)
    with pytest.raises(InvalidArgument):
        meta.replace_slices(ino, CHUNK, (), records[:1], Slice(0, meta.new_slice_id(), 20, 0, 20))
    with pytest.raises(InvalidArgument):
        meta.replace_slices(ino, CHUNK, (), records, Slice(0, meta.new_slice_id(), 20, 5, 20))
