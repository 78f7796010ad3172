import errno

import pytest

from roost.volume.layout import CHUNK_BYTES
from roost.volume.meta import copying
from roost.volume.meta.api import Meta
from roost.volume.model import ROOT, AttrChange, Caller, ChunkNo, Flag, Ino, Slice
from roost.volume.overlay import cover
from tests.volume.meta.helpers import refused, slice_refs

STRANGER = Caller(uid=1000, gid=1000)


def file_with(meta: Meta, name: bytes, *records: tuple[int, int]) -> Ino:
    """Make a file with slices of (position, length) in its first chunk."""
    ino = meta.create(ROOT, name).ino
    for pos, length in records:
        slice_id = meta.new_slice_id()
        meta.write_slice(ino, ChunkNo(0), Slice(pos, slice_id, length, 0, length))
    return ino


def shown(meta: Meta, ino: Ino, start: int, end: int) -> list[tuple[int, int, int]]:
    pieces = cover(meta.read_chunk(ino, ChunkNo(0)), start, end)
    return [(piece.id, piece.offset, piece.length) for piece in pieces]


def test_the_target_shows_what_the_source_shows(meta: Meta) -> None:
    source = file_with(meta, b"s", (0, 1000), (100, 50))
    target = file_with(meta, b"t", (0, 5000))
    copied = meta.copy_range(source, 50, target, 1000, 200)
    assert copied.length == 200
    assert copied.attr == meta.getattr(target)
    assert copied.attr.length == 5000
    assert shown(meta, target, 1000, 1200) == shown(meta, source, 50, 250)
    first, second = (s.id for s in meta.read_chunk(source, ChunkNo(0)))
    assert slice_refs(meta)[first] == 3  # its two visible parts each count
    assert slice_refs(meta)[second] == 2


def test_holes_hide_what_the_target_had(meta: Meta) -> None:
    source = file_with(meta, b"s", (1000, 10))
    target = file_with(meta, b"t", (0, 5000))
    meta.copy_range(source, 0, target, 0, 1000)
    assert shown(meta, target, 0, 1000) == [(0, 0, 1000)]


def test_the_copy_ends_where_the_source_ends(meta: Meta) -> None:
    source, target = file_with(meta, b"s", (0, 1000)), file_with(meta, b"t")
    assert meta.copy_range(source, 900, target, 5000, 500).length == 100
    assert meta.getattr(target).length == 5100
    before = meta.getattr(target)
    assert meta.copy_range(source, 1000, target, 0, 500).length == 0
    assert meta.copy_range(source, 0, target, 0, 0).length == 0
    assert meta.getattr(target) == before


def test_pieces_are_cut_at_the_target_s_chunks(meta: Meta) -> None:
    source, target = file_with(meta, b"s", (0, 1000)), file_with(meta, b"t")
    meta.copy_range(source, 100, target, CHUNK_BYTES - 30, 100)
    (record,) = meta.read_chunk(source, ChunkNo(0))
    assert meta.read_chunk(target, ChunkNo(0)) == (
        Slice(CHUNK_BYTES - 30, record.id, 1000, 100, 30),
    )
    assert meta.read_chunk(target, ChunkNo(1)) == (Slice(0, record.id, 1000, 130, 70),)
    assert slice_refs(meta)[record.id] == 3


def test_a_source_of_several_chunks_is_read_chunk_by_chunk(meta: Meta) -> None:
    source, target = file_with(meta, b"s", (CHUNK_BYTES - 10, 10)), file_with(meta, b"t")
    slice_id = meta.new_slice_id()
    meta.write_slice(source, ChunkNo(1), Slice(0, slice_id, 20, 0, 20))
    assert meta.copy_range(source, CHUNK_BYTES - 5, target, 0, 1000).length == 25
    seen = [(s.pos, s.offset, s.length) for s in meta.read_chunk(target, ChunkNo(0))]
    assert seen == [(0, 5, 5), (5, 0, 20)]


def test_one_commit_copies_a_bounded_length(meta: Meta, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "COPY_BYTES_MAX", 300)
    source, target = file_with(meta, b"s", (0, 1000)), file_with(meta, b"t")
    assert meta.copy_range(source, 0, target, 0, 1000).length == 300


def test_a_file_may_be_copied_onto_itself_where_ranges_are_apart(meta: Meta) -> None:
    ino = file_with(meta, b"s", (0, 1000))
    assert meta.copy_range(ino, 0, ino, 1000, 1000).attr.length == 2000
    refused(errno.EINVAL, meta.copy_range, ino, 0, ino, 999, 1000)


def test_what_the_files_do_not_allow_is_refused(meta: Meta) -> None:
    source, target = file_with(meta, b"s", (0, 1000)), file_with(meta, b"t", (0, 10))
    refused(errno.EISDIR, meta.copy_range, ROOT, 0, target, 0, 10)
    refused(errno.EISDIR, meta.copy_range, source, 0, ROOT, 0, 10)
    refused(errno.ENOENT, meta.copy_range, Ino(999), 0, target, 0, 10)
    refused(errno.EINVAL, meta.copy_range, source, -1, target, 0, 10)
    refused(errno.EACCES, meta.copy_range, source, 0, target, 0, 10, STRANGER)
    meta.setattr(target, AttrChange(flags=int(Flag.APPEND_ONLY)))
    refused(errno.EPERM, meta.copy_range, source, 0, target, 0, 10)
    meta.setattr(target, AttrChange(flags=0))
    meta.setattr(target, AttrChange(mode=0o666))
    assert meta.copy_range(source, 0, target, 0, 10, STRANGER).length == 10
    meta.setattr(source, AttrChange(mode=0))
    refused(errno.EACCES, meta.copy_range, source, 0, target, 0, 10, STRANGER)


def test_deleting_both_files_frees_each_slice_once(meta: Meta) -> None:
    source, target = file_with(meta, b"s", (0, 1000)), file_with(meta, b"t")
    meta.copy_range(source, 0, target, 0, 1000)
    released = []
    for name in (b"s", b"t"):
        deleted = meta.unlink(ROOT, name)
        assert deleted is not None
        released.append(meta.release_deleted_file(deleted))
    assert released[0] == ()
    assert len(released[1]) == 1
    for ref in released[1]:
        meta.forget_slice(ref)
    assert meta.unreferenced_slices() == ()
