import errno

import pytest

from roost.testing.clock import ManualClock
from roost.volume.layout import CHUNK_BYTES, FILE_BYTES_MAX
from roost.volume.meta.answers import FallocateFlag as Mode
from roost.volume.meta.api import Meta
from roost.volume.model import (
    ROOT,
    TRASH,
    AttrChange,
    Caller,
    ChunkNo,
    Flag,
    Ino,
    Kind,
    Slice,
    SliceId,
)
from roost.volume.overlay import cover, zeros
from tests.volume.meta.helpers import refused

STRANGER = Caller(uid=1000, gid=1000)


def written(meta: Meta, name: bytes, length: int, offset: int = 0) -> Ino:
    """Make a file with one slice of `length` bytes."""
    ino = meta.create(ROOT, name).ino
    slice_id = meta.new_slice_id()
    meta.write_slice(ino, ChunkNo(0), Slice(offset, slice_id, length, 0, length))
    return ino


def shown(meta: Meta, ino: Ino, start: int, end: int, chunk: int = 0) -> list[tuple[int, int]]:
    """Return (slice, bytes) of what a reader sees of a range of a chunk."""
    pieces = cover(meta.read_chunk(ino, ChunkNo(chunk)), start, end)
    return [(piece.id, piece.length) for piece in pieces]


def test_a_file_grows_ahead_of_its_data_and_is_charged_for_it(
    meta: Meta, clock: ManualClock
) -> None:
    ino = written(meta, b"f", 100)
    used = meta.statfs().used_bytes
    before = meta.getattr(ino)
    clock.advance(1)
    attr = meta.fallocate(ino, Mode.NONE, 5000, 5000)
    assert attr.length == 10000
    assert attr == meta.getattr(ino)
    assert attr.mtime_ns > before.mtime_ns
    assert attr.ctime_ns > before.ctime_ns
    assert meta.statfs().used_bytes == used + 8192
    assert len(meta.read_chunk(ino, ChunkNo(0))) == 1


def test_a_file_that_is_long_enough_keeps_its_length(meta: Meta) -> None:
    ino = written(meta, b"f", 100)
    assert meta.fallocate(ino, Mode.NONE, 0, 50).length == 100
    assert meta.fallocate(ino, Mode.KEEP_SIZE, 50, 5000).length == 100


def test_every_fallocate_gives_the_data_another_time(meta: Meta) -> None:
    ino = written(meta, b"f", 100)
    first = meta.fallocate(ino, Mode.NONE, 0, 50).mtime_ns
    assert meta.fallocate(ino, Mode.NONE, 0, 50).mtime_ns != first


def test_a_hole_shows_zeros_and_keeps_the_length(meta: Meta) -> None:
    ino = written(meta, b"f", 1000)
    attr = meta.fallocate(ino, Mode.PUNCH_HOLE | Mode.KEEP_SIZE, 100, 200)
    assert attr.length == 1000
    seen = shown(meta, ino, 0, 1000)
    assert [length for _, length in seen] == [100, 200, 700]
    assert seen[1][0] == 0


def test_zeroing_beyond_the_end_grows_the_file_but_writes_no_record_there(meta: Meta) -> None:
    ino = written(meta, b"f", 1000)
    assert meta.fallocate(ino, Mode.ZERO_RANGE, 900, 5000).length == 5900
    assert meta.read_chunk(ino, ChunkNo(0))[-1] == zeros(900, 100)
    assert meta.fallocate(ino, Mode.ZERO_RANGE, 7000, 10).length == 7010
    assert len(meta.read_chunk(ino, ChunkNo(0))) == 2


def test_a_hole_across_chunks_is_a_record_in_each(meta: Meta) -> None:
    ino = written(meta, b"f", 10)
    meta.truncate(ino, 3 * CHUNK_BYTES)
    meta.fallocate(ino, Mode.PUNCH_HOLE | Mode.KEEP_SIZE, CHUNK_BYTES - 5, CHUNK_BYTES + 10)
    assert meta.read_chunk(ino, ChunkNo(0))[-1] == zeros(CHUNK_BYTES - 5, 5)
    assert meta.read_chunk(ino, ChunkNo(1))[-1] == zeros(0, CHUNK_BYTES)
    assert meta.read_chunk(ino, ChunkNo(2))[-1] == zeros(0, 5)


@pytest.mark.parametrize(
    ("flags", "offset", "length", "wanted"),
    [
        (Mode.NONE, 0, 0, errno.EINVAL),
        (Mode.NONE, -1, 5, errno.EINVAL),
        (Mode.PUNCH_HOLE, 0, 5, errno.EINVAL),
        (Mode.COLLAPSE_RANGE, 0, 4096, errno.EOPNOTSUPP),
        (Mode.INSERT_RANGE, 0, 4096, errno.EOPNOTSUPP),
        (Mode.COLLAPSE_RANGE | Mode.KEEP_SIZE, 0, 4096, errno.EINVAL),
        (Mode(0x40), 0, 5, errno.EOPNOTSUPP),
        (Mode.NONE, FILE_BYTES_MAX, 1, errno.EFBIG),
    ],
)
def test_what_no_file_allows_is_refused(
    meta: Meta, flags: Mode, offset: int, length: int, wanted: int
) -> None:
    ino = written(meta, b"f", 100)
    refused(wanted, meta.fallocate, ino, flags, offset, length)


def test_what_this_file_does_not_allow_is_refused(meta: Meta) -> None:
    fifo = meta.mknod(ROOT, b"fifo", Kind.FIFO).ino
    refused(errno.EPIPE, meta.fallocate, fifo, Mode.NONE, 0, 1)
    refused(errno.EPERM, meta.fallocate, ROOT, Mode.NONE, 0, 1)
    refused(errno.ENOENT, meta.fallocate, Ino(999), Mode.NONE, 0, 1)
    ino = written(meta, b"f", 100)
    refused(errno.EACCES, meta.fallocate, ino, Mode.NONE, 0, 1, STRANGER)
    meta.setattr(ino, AttrChange(flags=int(Flag.APPEND_ONLY)))
    assert meta.fallocate(ino, Mode.NONE, 0, 200).length == 200
    refused(errno.EPERM, meta.fallocate, ino, Mode.ZERO_RANGE, 0, 1)
    meta.setattr(ino, AttrChange(flags=int(Flag.IMMUTABLE)))
    refused(errno.EPERM, meta.fallocate, ino, Mode.NONE, 0, 300)


def test_a_file_in_the_trash_is_left_alone(trashing: Meta) -> None:
    ino = written(trashing, b"f", 100)
    trashing.unlink(ROOT, b"f")
    assert trashing.getattr(ino).parent > TRASH
    refused(errno.EPERM, trashing.fallocate, ino, Mode.NONE, 0, 300)


# ---- appending
def test_appends_follow_each_other_wherever_the_end_is(meta: Meta) -> None:
    ino = written(meta, b"f", 100)
    first = meta.append_slice(ino, meta.new_slice_id(), 50)
    second = meta.append_slice(ino, meta.new_slice_id(), 7)
    assert (first.offset, second.offset) == (100, 150)
    assert second.attr == meta.getattr(ino)
    assert second.attr.length == 157
    assert [length for _, length in shown(meta, ino, 0, 157)] == [100, 50, 7]


def test_an_append_across_a_chunk_border_is_two_records_of_one_slice(meta: Meta) -> None:
    ino = meta.create(ROOT, b"f").ino
    meta.truncate(ino, CHUNK_BYTES - 10)
    slice_id = meta.new_slice_id()
    meta.append_slice(ino, slice_id, 30, mtime_ns=5)
    assert meta.read_chunk(ino, ChunkNo(0))[-1] == Slice(CHUNK_BYTES - 10, slice_id, 30, 0, 10)
    assert meta.read_chunk(ino, ChunkNo(1)) == (Slice(0, slice_id, 30, 10, 20),)
    assert meta.getattr(ino).mtime_ns == 5


def test_an_impossible_append_is_refused(meta: Meta) -> None:
    refused(errno.EPERM, meta.append_slice, ROOT, SliceId(9), 5)
    ino = meta.create(ROOT, b"f").ino
    meta.truncate(ino, FILE_BYTES_MAX - 1)
    refused(errno.EFBIG, meta.append_slice, ino, SliceId(9), 2)
