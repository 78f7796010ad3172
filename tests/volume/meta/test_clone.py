import errno
from typing import Any

import pytest

from roost.testing.clock import ManualClock
from roost.volume.errors import FsError
from roost.volume.meta import clone as cloning
from roost.volume.meta.answers import CloneOptions
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
    XattrFlag,
)
from tests.volume.meta.helpers import add_slice, refused, slice_refs

STRANGER = Caller(uid=1000, gid=1001)
ONE = CloneOptions(threads=1)


def tree(meta: Meta) -> Ino:
    """Make /tree with two directories, files with data, a link, a fifo and an attribute."""
    top = meta.mkdir(ROOT, b"tree", 0o777).ino
    below = meta.mkdir(top, b"below", 0o755).ino
    meta.mkdir(below, b"empty")
    add_slice(meta, meta.create(top, b"a", 0o666).ino, 10)
    deep = meta.create(below, b"deep", 0o640).ino
    add_slice(meta, deep, 10)
    add_slice(meta, deep, 10, chunk_no=1)
    meta.symlink(top, b"link", b"target")
    meta.mknod(top, b"fifo", Kind.FIFO)
    meta.setxattr(deep, b"user.x", b"", XattrFlag.NONE)
    return top


def listing(meta: Meta, ino: Ino) -> dict[bytes, object]:
    """Return what a reader sees below a directory, inode numbers and owners left out."""
    found: dict[bytes, object] = {}
    for entry in meta.readdir(ino, with_attrs=True):
        attr = entry.attr
        assert attr is not None
        if attr.is_directory:
            found[entry.name] = (attr.nlink, listing(meta, entry.ino))
            continue
        chunks = [meta.read_chunk(entry.ino, ChunkNo(number)) for number in range(2)]
        names = meta.listxattr(entry.ino)
        target = meta.readlink(entry.ino) if attr.kind is Kind.SYMLINK else b""
        found[entry.name] = (attr.kind, attr.length, chunks, names, target)
    return found


def test_a_file_s_copy_shows_its_bytes_and_counts_its_slices_once_more(
    meta: Meta, clock: ManualClock
) -> None:
    source = meta.create(ROOT, b"f", 0o666).ino
    add_slice(meta, source, 10)
    add_slice(meta, source, 20)
    meta.setxattr(source, b"user.x", b"1", XattrFlag.NONE)
    clock.advance(5)
    copy = meta.clone(source, ROOT, b"copy", STRANGER, options=CloneOptions(umask=0o027))
    assert meta.read_chunk(copy.ino, ChunkNo(0)) == meta.read_chunk(source, ChunkNo(0))
    assert meta.getxattr(copy.ino, b"user.x") == b"1"
    assert set(slice_refs(meta).values()) == {2}
    assert copy.attr == meta.getattr(copy.ino)
    assert (copy.attr.uid, copy.attr.gid, copy.attr.mode) == (1000, 1001, 0o640)
    assert copy.attr.mtime_ns == clock.wall_ns()
    assert meta.getattr(ROOT).mtime_ns == clock.wall_ns()


def test_a_preserving_copy_keeps_owner_mode_and_times(meta: Meta, clock: ManualClock) -> None:
    source = meta.create(ROOT, b"f", 0o666, caller=STRANGER).ino
    before = meta.getattr(source)
    clock.advance(5)
    copy = meta.clone(source, ROOT, b"copy", options=CloneOptions(preserve=True))
    assert copy.attr == before


def test_a_tree_s_copy_is_the_same_tree(meta: Meta) -> None:
    top = tree(meta)
    before = meta.statfs()
    size = meta.summary(top)
    steps: list[tuple[int, int]] = []
    copy = meta.clone(top, ROOT, b"copy", progress=lambda done, of: steps.append((done, of)))
    assert listing(meta, copy.ino) == listing(meta, top)
    assert meta.summary(copy.ino) == size
    after = meta.statfs()
    assert after.used_inodes - before.used_inodes == size.inodes == 7
    assert after.used_bytes - before.used_bytes == size.space_bytes
    assert steps[-1] == (7, 7)
    assert meta.getattr(ROOT).nlink == 4
    assert meta.lookup(ROOT, b"copy").attr == meta.getattr(copy.ino)


def test_a_directory_of_many_files_is_copied_in_bounded_commits(
    meta: Meta, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloning, "NODES_AT_ONCE", 3)
    top = meta.mkdir(ROOT, b"many").ino
    for number in range(10):
        meta.create(top, b"%d" % number)
    copy = meta.clone(top, ROOT, b"copy", options=ONE).ino
    assert len(list(meta.readdir(copy))) == 10


def test_much_written_files_are_copied_in_bounded_commits(
    meta: Meta, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloning, "RECORDS_AT_ONCE", 4)
    top = meta.mkdir(ROOT, b"much").ino
    for number, slices in enumerate((5, 0, 2, 2, 1, 5, 3, 0, 1)):
        file = meta.create(top, b"%d" % number).ino
        for pos in range(slices):
            add_slice(meta, file, 10, 10 * pos, chunk_no=pos % 2)
    commits: list[int] = []
    charge = cloning._charge

    def counted(txn: Any, volume: Any, folder: Ino, copies: list[Any]) -> None:
        commits.append(len(copies))
        charge(txn, volume, folder, copies)

    monkeypatch.setattr(cloning, "_charge", counted)
    copy = meta.clone(top, ROOT, b"copy", options=ONE).ino
    assert listing(meta, copy) == listing(meta, top)
    assert commits == [1, 3, 1, 1, 3], "and none is empty"
    assert set(slice_refs(meta).values()) == {2}


def test_hard_links_become_files_of_their_own_and_protection_stays_behind(meta: Meta) -> None:
    top = meta.mkdir(ROOT, b"d").ino
    file = meta.create(top, b"f").ino
    meta.link(file, top, b"g")
    add_slice(meta, file, 10)
    meta.setattr(file, AttrChange(flags=int(Flag.IMMUTABLE | Flag.SKIP_TRASH)))
    copy = meta.clone(top, ROOT, b"copy").ino
    first, second = (entry.attr for entry in meta.readdir(copy, with_attrs=True))
    assert first is not None
    assert second is not None
    assert (first.nlink, second.nlink, first.parent) == (1, 1, copy)
    assert first.flags == Flag.SKIP_TRASH
    assert set(slice_refs(meta).values()) == {3}
    meta.setattr(file, AttrChange(flags=0))


def test_data_beyond_the_end_is_not_copied(meta: Meta) -> None:
    source = meta.create(ROOT, b"f").ino
    add_slice(meta, source, 10, chunk_no=1)
    meta.truncate(source, 5)
    copy = meta.clone(source, ROOT, b"copy").ino
    assert meta.read_chunk(copy, ChunkNo(1)) == ()


def test_what_may_not_be_read_or_written_is_refused(meta: Meta) -> None:
    top = tree(meta)
    meta.setattr(top, AttrChange(mode=0o700))
    file = meta.lookup(top, b"a").ino
    refused(errno.EEXIST, meta.clone, top, ROOT, b"tree")
    refused(errno.EEXIST, meta.clone, file, top, b"link")
    refused(errno.ENOENT, meta.clone, Ino(999), ROOT, b"copy")
    refused(errno.ENOENT, meta.clone, top, ROOT, b"")
    refused(errno.ENOENT, meta.clone, top, Ino(999), b"copy")
    refused(errno.ENOTDIR, meta.clone, top, file, b"copy")
    refused(errno.EACCES, meta.clone, top, ROOT, b"copy", STRANGER)
    refused(errno.EACCES, meta.clone, file, top, b"copy", STRANGER)
    refused(errno.EPERM, meta.clone, TRASH, ROOT, b"copy")
    meta.setattr(file, AttrChange(mode=0))
    refused(errno.EACCES, meta.clone, file, ROOT, b"copy", STRANGER)


def test_a_tree_that_cannot_be_read_to_the_end_leaves_nothing(meta: Meta) -> None:
    top = tree(meta)
    below = meta.lookup(top, b"below").ino
    meta.setattr(below, AttrChange(mode=0o700))
    before = meta.statfs()
    refused(errno.EACCES, meta.clone, top, ROOT, b"copy", STRANGER, options=ONE)
    assert meta.statfs() == before
    assert meta.clean_detached(0) == 0
    assert [entry.name for entry in meta.readdir(ROOT)] == [b"tree"]


def test_a_name_taken_meanwhile_is_not_replaced(
    meta: Meta, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = tree(meta)

    def take_the_name(_done: int, _of: int) -> None:
        try:
            meta.create(ROOT, b"copy")
        except FsError as error:
            if error.errno != errno.EEXIST:
                raise

    refused(errno.EEXIST, meta.clone, top, ROOT, b"copy", progress=take_the_name)
    assert meta.lookup(ROOT, b"copy").attr.is_file
    assert meta.clean_detached(0) == 0


def test_a_clone_that_died_is_removed_a_day_later(
    meta: Meta, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = tree(meta)
    before = meta.statfs()
    monkeypatch.setattr(cloning, "discard", lambda _volume, _root: False)  # as if it was killed
    meta.setattr(meta.lookup(top, b"below").ino, AttrChange(mode=0))
    refused(errno.EACCES, meta.clone, top, ROOT, b"copy", STRANGER, options=ONE)
    monkeypatch.undo()
    assert meta.statfs().used_inodes > before.used_inodes
    clock.advance(23 * 3600)
    assert meta.clean_detached() == 0
    clock.advance(2 * 3600)
    assert meta.clean_detached() == 1
    assert meta.statfs() == before
    for file in meta.deleted_files():
        assert meta.release_deleted_file(file) == ()
    assert set(slice_refs(meta).values()) == {1}


def test_deleting_original_and_copy_frees_the_slices(meta: Meta) -> None:
    source = meta.create(ROOT, b"f").ino
    slice_id = meta.new_slice_id()
    meta.write_slice(source, ChunkNo(0), Slice(0, slice_id, 10, 0, 10))
    meta.clone(source, ROOT, b"copy")
    released = []
    for name in (b"f", b"copy"):
        deleted = meta.unlink(ROOT, name)
        assert deleted is not None
        released.append([ref.id for ref in meta.release_deleted_file(deleted)])
    assert released == [[], [slice_id]]
