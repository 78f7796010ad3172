import errno
import stat
import threading

import pytest

from roost.volume.errors import FsError
from roost.volume.meta.api import Meta, open_meta
from roost.volume.model import ROOT, AttrChange, Caller, ChunkNo, Flag, Ino, Slice

ANN, BOB = Caller(uid=1000, gid=1000), Caller(uid=1001, gid=1001)


def refused(code: int) -> "pytest.RaisesExc[FsError]":
    return pytest.raises(FsError, check=lambda error: error.errno == code)


def test_a_removed_file_is_gone_and_its_data_noted(meta: Meta) -> None:
    file = meta.create(ROOT, b"f").ino
    meta.write_slice(file, ChunkNo(0), Slice(0, meta.new_slice_id(), 100, 0, 100))
    deleted = meta.unlink(ROOT, b"f")
    assert deleted is not None
    assert (deleted.ino, deleted.length) == (file, 100)
    assert meta.deleted_files() == (deleted,)
    with refused(errno.ENOENT):
        meta.getattr(file)
    with refused(errno.ENOENT):
        meta.unlink(ROOT, b"f")


def test_the_last_of_several_names_removes_the_file(meta: Meta) -> None:
    file = meta.create(ROOT, b"f").ino
    meta.link(file, ROOT, b"g")
    assert meta.unlink(ROOT, b"f") is None
    assert meta.getattr(file).nlink == 1
    assert meta.unlink(ROOT, b"g") is not None


def test_removing_gives_back_what_was_used(meta: Meta) -> None:
    before = meta.statfs()
    folder = meta.mkdir(ROOT, b"d").ino
    file = meta.create(folder, b"f").ino
    meta.write_slice(file, ChunkNo(0), Slice(0, meta.new_slice_id(), 9000, 0, 9000))
    assert meta.statfs().used_bytes - before.used_bytes == 4096 + 3 * 4096
    meta.unlink(folder, b"f")
    meta.rmdir(ROOT, b"d")
    assert meta.statfs() == before


def test_directories_and_files_are_removed_by_their_own_call(meta: Meta) -> None:
    meta.mkdir(ROOT, b"d")
    meta.create(ROOT, b"f")
    with refused(errno.EPERM):
        meta.unlink(ROOT, b"d")
    with refused(errno.ENOTDIR):
        meta.rmdir(ROOT, b"f")
    with refused(errno.EINVAL):
        meta.rmdir(ROOT, b".")
    with refused(errno.ENOTEMPTY):
        meta.rmdir(ROOT, b"..")


def test_a_full_directory_stays(meta: Meta) -> None:
    folder = meta.mkdir(ROOT, b"d").ino
    meta.create(folder, b"f")
    with refused(errno.ENOTEMPTY):
        meta.rmdir(ROOT, b"d")
    meta.unlink(folder, b"f")
    meta.rmdir(ROOT, b"d")
    assert meta.getattr(ROOT).nlink == 2


def test_in_a_sticky_directory_only_owners_remove(meta: Meta) -> None:
    folder = meta.mkdir(ROOT, b"tmp", 0o777 | stat.S_ISVTX).ino
    meta.create(folder, b"f", caller=ANN)
    with refused(errno.EACCES):
        meta.unlink(folder, b"f", BOB)
    meta.unlink(folder, b"f", ANN)


@pytest.mark.parametrize("flag", [Flag.IMMUTABLE, Flag.APPEND_ONLY])
def test_guarded_files_stay(meta: Meta, flag: Flag) -> None:
    file = meta.create(ROOT, b"f").ino
    meta.setattr(file, AttrChange(flags=flag))
    for attempt in (
        lambda: meta.unlink(ROOT, b"f"),
        lambda: meta.rename(ROOT, b"f", ROOT, b"g"),
        lambda: meta.link(file, ROOT, b"g"),
        lambda: meta.truncate(file, 5),
    ):
        with refused(errno.EPERM):
            attempt()


def test_an_open_file_keeps_its_data_until_it_is_closed(meta: Meta) -> None:
    file = meta.create(ROOT, b"f").ino
    meta.write_slice(file, ChunkNo(0), Slice(0, meta.new_slice_id(), 100, 0, 100))
    meta.open(file)
    meta.open(file)
    assert meta.unlink(ROOT, b"f") is None
    assert meta.getattr(file).nlink == 0
    meta.write_slice(file, ChunkNo(0), Slice(0, meta.new_slice_id(), 200, 0, 200))
    assert meta.close_file(file) is None
    assert len(meta.read_chunk(file, ChunkNo(0))) == 2
    deleted = meta.close_file(file)
    assert deleted is not None
    assert deleted.length == 200


def test_a_nameless_file_gets_no_name_again(meta: Meta) -> None:
    file = meta.create(ROOT, b"f").ino
    meta.open(file)
    meta.unlink(ROOT, b"f")
    with refused(errno.ENOENT):
        meta.link(file, ROOT, b"g")
    meta.close_file(file)


def test_ending_the_session_deletes_what_was_open(meta: Meta, meta_url: str) -> None:
    with open_meta(meta_url, clock=None) as other:
        file = other.create(ROOT, b"f").ino
        other.open(file)
        other.unlink(ROOT, b"f")
        assert meta.getattr(file).nlink == 0
    if meta_url.startswith("sqlite3"):
        with refused(errno.ENOENT):
            meta.getattr(file)
        assert [deleted.ino for deleted in meta.deleted_files(1 << 40)] == [file]


def test_without_a_session_an_open_file_is_busy(meta: Meta, meta_url: str) -> None:
    tool = open_meta(meta_url, session=False)
    file = tool.create(ROOT, b"f").ino
    tool.open(file)
    with refused(errno.EBUSY):
        tool.unlink(ROOT, b"f")
    tool.close_file(file)
    tool.unlink(ROOT, b"f")
    tool.close()


def try_to_open(meta: Meta, ino: Ino, start: threading.Barrier, outcomes: list[int]) -> None:
    start.wait()
    try:
        meta.open(ino)
        outcomes.append(0)
    except FsError as error:
        outcomes.append(error.errno or -1)


def test_opening_and_removing_at_once_never_opens_a_ghost(meta: Meta) -> None:
    """An open that succeeds keeps the data, however the removal runs beside it."""
    for number in range(30):
        name = b"f%d" % number
        file = meta.create(ROOT, name).ino
        start = threading.Barrier(2)
        outcomes: list[int] = []
        thread = threading.Thread(target=try_to_open, args=(meta, file, start, outcomes))
        thread.start()
        start.wait()
        meta.unlink(ROOT, name)
        thread.join()
        if outcomes == [0]:
            assert meta.getattr(file).nlink == 0
            meta.close_file(file)
        else:
            assert outcomes == [errno.ENOENT]
        with refused(errno.ENOENT):
            meta.getattr(file)
