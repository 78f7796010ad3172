import errno

import pytest

from roost.volume.errors import FsError
from roost.volume.meta.api import Meta
from roost.volume.model import ROOT, Caller


def refused(code: int) -> "pytest.RaisesExc[FsError]":
    return pytest.raises(FsError, check=lambda error: error.errno == code)


def test_paths_are_walked_through_links(meta: Meta) -> None:
    folder = meta.mkdir(ROOT, b"d").ino
    deep = meta.mkdir(folder, b"e").ino
    file = meta.create(deep, b"f").ino
    meta.symlink(ROOT, b"relative", b"d/e")
    meta.symlink(deep, b"up", b"../../d")
    meta.symlink(deep, b"absolute", b"/d/e/f")
    for path in ("/d/e/f", "d//e/./f", b"relative/f", "relative/absolute", "d/e/up/e/f"):
        assert meta.resolve(path).ino == file, path
    assert meta.resolve("/").ino == ROOT
    assert meta.resolve("").ino == ROOT
    assert meta.resolve("../..").ino == ROOT


def test_the_last_link_is_followed_only_if_asked(meta: Meta) -> None:
    target = meta.create(ROOT, b"f").ino
    link = meta.symlink(ROOT, b"l", b"f").ino
    assert meta.resolve("l").ino == target
    assert meta.resolve("l", follow=False).ino == link
    with refused(errno.ENOTDIR):
        meta.resolve("l/")


def test_a_loop_of_links_ends(meta: Meta) -> None:
    meta.symlink(ROOT, b"a", b"b")
    meta.symlink(ROOT, b"b", b"a")
    with refused(errno.ELOOP):
        meta.resolve("a")


def test_what_is_missing_is_missing(meta: Meta) -> None:
    meta.create(ROOT, b"f")
    with refused(errno.ENOENT):
        meta.resolve("no")
    with refused(errno.ENOTDIR):
        meta.resolve("f/x")
    with refused(errno.ENAMETOOLONG):
        meta.lookup(ROOT, b"x" * 256)
    with refused(errno.ENOENT):
        meta.getattr(meta.create(ROOT, b"g").ino.__class__(999999))


def test_walking_needs_execution_and_listing_needs_reading(meta: Meta) -> None:
    ann = Caller(uid=1000, gid=1000)
    closed = meta.mkdir(ROOT, b"closed", 0o700).ino
    meta.create(closed, b"f")
    listed = meta.mkdir(ROOT, b"listed", 0o744).ino
    with refused(errno.EACCES):
        meta.resolve("closed/f", ann)
    with refused(errno.EACCES):
        meta.readdir(closed, caller=ann)
    assert list(meta.readdir(listed, caller=ann)) == []
