import errno
import threading

import pytest

from roost.volume.errors import FsError
from roost.volume.meta.api import Meta
from roost.volume.model import ROOT, Ino, RenameFlag


def refused(code: int) -> "pytest.RaisesExc[FsError]":
    return pytest.raises(FsError, check=lambda error: error.errno == code)


def names(meta: Meta, ino: Ino = ROOT) -> list[bytes]:
    return [entry.name for entry in meta.readdir(ino)]


def test_a_name_moves_to_another_directory(meta: Meta) -> None:
    source, target = meta.mkdir(ROOT, b"s").ino, meta.mkdir(ROOT, b"t").ino
    file, folder = meta.create(source, b"f").ino, meta.mkdir(source, b"d").ino
    meta.rename(source, b"f", target, b"g")
    meta.rename(source, b"d", target, b"e")
    assert (names(meta, source), names(meta, target)) == ([], [b"e", b"g"])
    assert meta.lookup(target, b"g").ino == file
    assert meta.getattr(file).parent == target
    assert meta.lookup(folder, b"..").ino == target
    assert (meta.getattr(source).nlink, meta.getattr(target).nlink) == (2, 3)


def test_a_file_is_replaced_and_its_data_noted(meta: Meta) -> None:
    new, old = meta.create(ROOT, b"new").ino, meta.create(ROOT, b"old").ino
    deleted = meta.rename(ROOT, b"new", ROOT, b"old")
    assert deleted is not None
    assert deleted.ino == old
    assert meta.lookup(ROOT, b"old").ino == new
    assert names(meta) == [b"old"]


def test_replacing_an_open_file_keeps_its_data(meta: Meta) -> None:
    meta.create(ROOT, b"new")
    old = meta.create(ROOT, b"old").ino
    meta.open(old)
    assert meta.rename(ROOT, b"new", ROOT, b"old") is None
    assert meta.getattr(old).nlink == 0
    assert meta.close_file(old) is not None


def test_only_an_empty_directory_is_replaced_and_only_by_a_directory(meta: Meta) -> None:
    meta.create(ROOT, b"file")
    folder = meta.mkdir(ROOT, b"dir").ino
    full = meta.mkdir(ROOT, b"full").ino
    meta.create(full, b"x")
    with refused(errno.EISDIR):
        meta.rename(ROOT, b"file", ROOT, b"dir")
    with refused(errno.ENOTDIR):
        meta.rename(ROOT, b"dir", ROOT, b"file")
    with refused(errno.ENOTEMPTY):
        meta.rename(ROOT, b"dir", ROOT, b"full")
    meta.rename(ROOT, b"full", ROOT, b"dir")
    assert meta.lookup(ROOT, b"dir").ino == full
    assert meta.getattr(ROOT).nlink == 3
    with refused(errno.ENOENT):
        meta.getattr(folder)


def test_noreplace_refuses_a_taken_name(meta: Meta) -> None:
    meta.create(ROOT, b"a")
    meta.create(ROOT, b"b")
    with refused(errno.EEXIST):
        meta.rename(ROOT, b"a", ROOT, b"b", RenameFlag.NOREPLACE)
    meta.rename(ROOT, b"a", ROOT, b"c", RenameFlag.NOREPLACE)
    assert names(meta) == [b"b", b"c"]


def test_exchange_swaps_a_file_and_a_directory(meta: Meta) -> None:
    source, target = meta.mkdir(ROOT, b"s").ino, meta.mkdir(ROOT, b"t").ino
    file, folder = meta.create(source, b"x").ino, meta.mkdir(target, b"y").ino
    meta.rename(source, b"x", target, b"y", RenameFlag.EXCHANGE)
    assert meta.lookup(source, b"x").ino == folder
    assert meta.lookup(target, b"y").ino == file
    assert (meta.getattr(source).nlink, meta.getattr(target).nlink) == (3, 2)
    assert (meta.getattr(folder).parent, meta.getattr(file).parent) == (source, target)
    with refused(errno.ENOENT):
        meta.rename(source, b"x", target, b"z", RenameFlag.EXCHANGE)


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        (RenameFlag.WHITEOUT, errno.ENOTSUP),
        (RenameFlag.NOREPLACE | RenameFlag.EXCHANGE, errno.EINVAL),
        (RenameFlag(8), errno.EINVAL),
    ],
)
def test_unknown_flags_are_refused(meta: Meta, flags: RenameFlag, code: int) -> None:
    meta.create(ROOT, b"a")
    with refused(code):
        meta.rename(ROOT, b"a", ROOT, b"b", flags)


def test_two_names_of_one_file_stay_as_they_are(meta: Meta) -> None:
    file = meta.create(ROOT, b"a").ino
    meta.link(file, ROOT, b"b")
    assert meta.rename(ROOT, b"a", ROOT, b"b") is None
    assert meta.rename(ROOT, b"a", ROOT, b"a") is None
    assert names(meta) == [b"a", b"b"]


@pytest.mark.parametrize("flags", [RenameFlag.NONE, RenameFlag.EXCHANGE])
def test_a_directory_does_not_go_below_itself(meta: Meta, flags: RenameFlag) -> None:
    top = meta.mkdir(ROOT, b"a").ino
    middle = meta.mkdir(top, b"b").ino
    deep = meta.mkdir(middle, b"c").ino
    meta.mkdir(deep, b"x")
    with refused(errno.EINVAL):
        meta.rename(ROOT, b"a", deep, b"x", flags)
    with refused(errno.EINVAL):
        meta.rename(top, b"b", middle, b"c" if flags else b"y", flags)


def test_an_ancestor_is_not_exchanged_with_what_is_below_it(meta: Meta) -> None:
    top = meta.mkdir(ROOT, b"a").ino
    deep = meta.mkdir(top, b"b").ino
    meta.create(deep, b"f")
    with refused(errno.EINVAL):
        meta.rename(deep, b"f", ROOT, b"a", RenameFlag.EXCHANGE)


def try_to_move(
    meta: Meta, name: bytes, into: Ino, start: threading.Barrier, outcomes: list[int]
) -> None:
    start.wait()
    try:
        meta.rename(ROOT, name, into, b"x")
        outcomes.append(0)
    except FsError as error:
        outcomes.append(error.errno or -1)


def test_crossing_moves_never_tie_a_loop(meta: Meta) -> None:
    """`mv a b/x` beside `mv b a/y`: exactly one happens; the final check would find a loop."""
    for number in range(20):
        a, b = b"a%d" % number, b"b%d" % number
        first, second = meta.mkdir(ROOT, a).ino, meta.mkdir(ROOT, b).ino
        start = threading.Barrier(2)
        outcomes: list[int] = []
        moves = [(meta, a, second, start, outcomes), (meta, b, first, start, outcomes)]
        threads = [threading.Thread(target=try_to_move, args=move) for move in moves]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == [0, errno.EINVAL]


def test_dots_and_missing_names_are_refused(meta: Meta) -> None:
    meta.create(ROOT, b"a")
    with refused(errno.ENOENT):
        meta.rename(ROOT, b"no", ROOT, b"b")
    with refused(errno.EBUSY):
        meta.rename(ROOT, b"a", ROOT, b"..")
    with refused(errno.EPERM):
        meta.rename(ROOT, b"a", ROOT, b".trash")
