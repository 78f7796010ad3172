import errno
import stat

import pytest

from roost.testing.clock import ManualClock
from roost.volume.errors import FsError
from roost.volume.meta.api import Meta
from roost.volume.model import ROOT, AttrChange, Caller, Flag, Kind

ANN = Caller(uid=1000, gid=1000)


def refused(code: int) -> "pytest.RaisesExc[FsError]":
    return pytest.raises(FsError, check=lambda error: error.errno == code)


def test_a_new_file_is_found_by_name(meta: Meta) -> None:
    made = meta.create(ROOT, b"f", 0o640)
    assert meta.lookup(ROOT, b"f") == made
    assert (made.attr.kind, made.attr.mode, made.attr.nlink, made.attr.length) == (
        Kind.FILE,
        0o640,
        1,
        0,
    )


def test_a_new_directory_counts_as_link_of_its_parent(meta: Meta) -> None:
    before = meta.getattr(ROOT).nlink
    made = meta.mkdir(ROOT, b"d")
    assert (made.attr.nlink, meta.getattr(ROOT).nlink) == (2, before + 1)
    assert meta.lookup(made.ino, b"..").ino == ROOT


def test_creating_touches_the_parent(meta: Meta, clock: ManualClock) -> None:
    clock.advance(5)
    meta.create(ROOT, b"f")
    root = meta.getattr(ROOT)
    assert root.mtime_ns == root.ctime_ns == clock.wall_ns()


def test_a_taken_name_is_refused_unless_an_existing_file_will_do(meta: Meta) -> None:
    made = meta.create(ROOT, b"f")
    meta.mkdir(ROOT, b"d")
    with refused(errno.EEXIST):
        meta.create(ROOT, b"f")
    assert meta.create(ROOT, b"f", exclusive=False).ino == made.ino
    with refused(errno.EISDIR):
        meta.create(ROOT, b"d", exclusive=False)
    with refused(errno.EEXIST):
        meta.mkdir(ROOT, b"d")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        (b"", errno.EINVAL),
        (b"a/b", errno.EINVAL),
        (b"a\0b", errno.EINVAL),
        (b".", errno.EEXIST),
        (b"..", errno.EEXIST),
        (b"x" * 256, errno.ENAMETOOLONG),
        (b".trash", errno.EPERM),
    ],
)
def test_impossible_names_are_refused(meta: Meta, name: bytes, code: int) -> None:
    with refused(code):
        meta.create(ROOT, name)


def test_names_are_bytes_of_any_kind(meta: Meta) -> None:
    names = [b"\xff\xfe", "größe".encode(), b"a b\n", b"x" * 255]
    inos = [meta.create(ROOT, name).ino for name in names]
    assert [meta.lookup(ROOT, name).ino for name in names] == inos
    assert {entry.name for entry in meta.readdir(ROOT)} == set(names)


def test_a_file_has_no_children(meta: Meta) -> None:
    file = meta.create(ROOT, b"f")
    with refused(errno.ENOTDIR):
        meta.create(file.ino, b"x")
    with refused(errno.ENOTDIR):
        meta.lookup(file.ino, b"x")


def test_a_removed_directory_takes_no_names(meta: Meta) -> None:
    folder = meta.mkdir(ROOT, b"d")
    meta.rmdir(ROOT, b"d")
    with refused(errno.ENOENT):
        meta.create(folder.ino, b"x")


def test_setgid_of_a_directory_is_handed_down(meta: Meta) -> None:
    folder = meta.mkdir(ROOT, b"d", 0o2777, Caller(uid=5, gid=50))
    file = meta.create(folder.ino, b"f", caller=ANN)
    child = meta.mkdir(folder.ino, b"e", caller=ANN)
    assert (file.attr.gid, child.attr.gid) == (50, 50)
    assert child.attr.mode & stat.S_ISGID
    assert not file.attr.mode & stat.S_ISGID


def test_permissions_of_the_parent_decide(meta: Meta) -> None:
    meta.mkdir(ROOT, b"d", 0o755)
    folder = meta.lookup(ROOT, b"d").ino
    with refused(errno.EACCES):
        meta.create(folder, b"f", caller=ANN)
    assert meta.create(folder, b"f", caller=Caller(1000, 1000, check=False)).attr.uid == 1000


def test_an_immutable_directory_is_left_alone(meta: Meta) -> None:
    folder = meta.mkdir(ROOT, b"d").ino
    meta.setattr(folder, AttrChange(flags=Flag.IMMUTABLE))
    with refused(errno.EPERM):
        meta.create(folder, b"f")


def test_symbolic_links_and_devices_keep_what_they_are(meta: Meta) -> None:
    link = meta.symlink(ROOT, b"l", b"some/where")
    device = meta.mknod(ROOT, b"dev", Kind.CHAR_DEVICE, 0o600, rdev=0x103)
    assert meta.readlink(link.ino) == b"some/where"
    assert (link.attr.length, link.attr.mode) == (10, 0o777)
    assert meta.getattr(device.ino).rdev == 0x103
    with refused(errno.EINVAL):
        meta.readlink(device.ino)
    with refused(errno.EINVAL):
        meta.symlink(ROOT, b"m", b"")
    with refused(errno.ENAMETOOLONG):
        meta.symlink(ROOT, b"m", b"x" * 4096)


def test_inode_numbers_are_never_given_twice(meta: Meta) -> None:
    seen = set()
    for number in range(20):
        ino = meta.create(ROOT, b"%d" % number).ino
        assert ino not in seen
        seen.add(ino)
        meta.unlink(ROOT, b"%d" % number)
