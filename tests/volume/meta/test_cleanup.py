import pytest

from roost.errors import CorruptRecord
from roost.volume.meta.api import Meta
from roost.volume.meta.effects import AddSliceRefs, AppendSlices, PutDeletedFile
from roost.volume.model import ROOT, ChunkNo, DeletedFile, Ino, Slice, SliceRef


def file_with(meta: Meta, name: bytes, records: list[Slice]) -> Ino:
    ino = meta.create(ROOT, name).ino
    for record in records:
        meta.write_slice(ino, ChunkNo(record.pos // 100), record)
    return ino


def test_a_deleted_file_gives_up_its_slices_in_steps(meta: Meta) -> None:
    records = [Slice(n * 100, meta.new_slice_id(), 10, 0, 10) for n in range(3)]
    file = file_with(meta, b"f", records)
    meta.truncate(file, 5)  # chunks beyond the end are released as well
    deleted = meta.unlink(ROOT, b"f")
    assert deleted is not None
    released = meta.release_deleted_file(deleted)
    assert sorted(ref.id for ref in released) == [record.id for record in records]
    assert list(meta.list_slices()) == []
    assert meta.deleted_files() == ()
    # A crash here: the rows still say which blocks are to go.
    assert sorted(ref.id for ref in meta.unreferenced_slices()) == sorted(r.id for r in records)
    for ref in released:
        meta.forget_slice(ref)
    assert meta.unreferenced_slices() == ()
    assert meta.release_deleted_file(deleted) == ()


def test_a_slice_that_another_file_shows_is_not_released(meta: Meta) -> None:
    shared = Slice(0, meta.new_slice_id(), 10, 0, 10)
    file_with(meta, b"f", [shared])
    second = AddSliceRefs(shared.id, 1, shared.size)  # as clone and copy_file_range count it
    other = file_with(meta, b"g", [])
    append = AppendSlices(other, ChunkNo(0), (shared,))
    meta._opened.engine.run(lambda txn: txn.do(append, second))
    deleted = meta.unlink(ROOT, b"f")
    assert deleted is not None
    assert meta.release_deleted_file(deleted) == ()
    meta.forget_slice(SliceRef(shared.id, shared.size))
    refs = meta._opened.engine.read(lambda reads: reads.slice_refs(shared.id, shared.size))
    assert refs == 1, "a slice in use was forgotten"


def test_a_file_that_exists_is_never_released(meta: Meta) -> None:
    file = file_with(meta, b"f", [Slice(0, meta.new_slice_id(), 10, 0, 10)])
    wrong = DeletedFile(file, 10, 0)
    meta._opened.engine.run(lambda txn: txn.do(PutDeletedFile(wrong)))
    with pytest.raises(CorruptRecord):
        meta.release_deleted_file(wrong)
    assert len(meta.read_chunk(file, ChunkNo(0))) == 1


def test_only_files_deleted_before_are_listed(meta: Meta) -> None:
    file_with(meta, b"f", [])
    deleted = meta.unlink(ROOT, b"f")
    assert deleted is not None
    assert meta.deleted_files(before_s=deleted.deleted_s) == ()
    assert meta.deleted_files(before_s=deleted.deleted_s + 1) == (deleted,)
