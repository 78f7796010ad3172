import errno
from dataclasses import replace

import pytest

from roost.volume.errors import FsError
from roost.volume.meta.api import Meta
from roost.volume.meta.effects import PutDirUsage
from roost.volume.meta.usage import volume_usage
from roost.volume.model import ROOT, ChunkNo, RenameFlag, Slice
from roost.volume.settings import new_settings

UNLIMITED = new_settings("abc", bucket="/b")


def refused(code: int) -> "pytest.RaisesExc[FsError]":
    return pytest.raises(FsError, check=lambda error: error.errno == code)


def test_capacity_limits_what_grows_and_nothing_else(meta: Meta) -> None:
    file = meta.create(ROOT, b"f").ino
    meta._opened.settings = replace(meta.settings, capacity_bytes=4 * 4096)
    meta.truncate(file, 3 * 4096)
    meta.create(ROOT, b"g")
    record = Slice(0, meta.new_slice_id(), 20_000, 0, 20_000)
    for attempt in (
        lambda: meta.truncate(file, 4 * 4096),
        lambda: meta.write_slice(file, ChunkNo(0), record),
        lambda: meta.mkdir(ROOT, b"d"),
    ):
        with refused(errno.ENOSPC):
            attempt()
    meta.truncate(file, 1)
    meta.mkdir(ROOT, b"d")


def test_inodes_are_limited(meta: Meta) -> None:
    meta._opened.settings = replace(meta.settings, inodes_max=2)
    meta.create(ROOT, b"a")
    meta.create(ROOT, b"b")
    with refused(errno.ENOSPC):
        meta.create(ROOT, b"c")
    assert meta.statfs().available_inodes == 0
    meta.unlink(ROOT, b"a")
    meta.create(ROOT, b"c")


def test_an_unlimited_volume_always_has_room() -> None:
    assert volume_usage(UNLIMITED, 0, 0).total_bytes == 1 << 50
    big = volume_usage(UNLIMITED, 1 << 51, 1 << 30)
    assert big.available_bytes > 0
    assert big.available_inodes * 4 >= 1 << 30


def test_counters_below_zero_count_as_zero() -> None:
    usage = volume_usage(UNLIMITED, -4096, -1)
    assert (usage.used_bytes, usage.used_inodes) == (0, 0)


def test_missing_statistics_are_computed_when_a_directory_changes(meta: Meta) -> None:
    """Each of these changes both directories more than once in a commit."""
    one, two = meta.mkdir(ROOT, b"one").ino, meta.mkdir(ROOT, b"two").ino
    for folder, length in ((one, 5000), (two, 9000)):
        meta.truncate(meta.create(folder, b"f").ino, length)
        meta.create(folder, b"g")
    for flags in (RenameFlag.NONE, RenameFlag.EXCHANGE):
        for ino in (one, two, ROOT):
            meta._opened.engine.run(lambda txn, ino=ino: txn.do(PutDirUsage(ino, None)))  # type: ignore[misc]
        meta.rename(one, b"f", two, b"f", flags)
        meta.create(one, b"f", exclusive=False)
    meta.create(ROOT, b"x")
    assert meta.check() == ()
