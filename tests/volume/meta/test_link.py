import errno

import pytest

from roost.volume.errors import FsError
from roost.volume.meta.api import Meta
from roost.volume.model import ROOT, ChunkNo, Slice


def refused(code: int) -> "pytest.RaisesExc[FsError]":
    return pytest.raises(FsError, check=lambda error: error.errno == code)


def test_a_second_name_shows_the_same_file(meta: Meta) -> None:
    folder = meta.mkdir(ROOT, b"d").ino
    file = meta.create(ROOT, b"f").ino
    linked = meta.link(file, folder, b"g")
    assert linked == meta.lookup(folder, b"g") == meta.lookup(ROOT, b"f")
    assert (linked.attr.nlink, linked.attr.parent) == (2, 0)


def test_growth_of_a_file_with_two_names_counts_in_both_directories(meta: Meta) -> None:
    """The final check compares the statistics of all directories."""
    folder = meta.mkdir(ROOT, b"d").ino
    file = meta.create(ROOT, b"f").ino
    meta.link(file, folder, b"g")
    meta.link(file, folder, b"h")
    meta.write_slice(file, ChunkNo(0), Slice(0, meta.new_slice_id(), 10_000, 0, 10_000))
    meta.rename(folder, b"g", ROOT, b"g")
    meta.truncate(file, 5)
    meta.unlink(folder, b"h")


def test_directories_and_taken_names_are_refused(meta: Meta) -> None:
    folder = meta.mkdir(ROOT, b"d").ino
    file = meta.create(ROOT, b"f").ino
    with refused(errno.EPERM):
        meta.link(folder, ROOT, b"e")
    with refused(errno.EEXIST):
        meta.link(file, ROOT, b"d")
    with refused(errno.ENOENT):
        meta.link(type(file)(99999), ROOT, b"x")
