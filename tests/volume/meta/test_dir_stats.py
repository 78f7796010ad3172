import errno

from roost.volume.meta.api import Meta
from roost.volume.meta.effects import PutDirUsage
from roost.volume.model import ROOT, DirUsage, QuotaKind
from tests.volume.meta.helpers import add_slice, refused


def usage_of(meta: Meta, ino: int) -> DirUsage | None:
    return meta.engine.read(lambda reads: reads.dir_usage(ino))  # type: ignore[arg-type]


def test_wrong_and_missing_statistics_are_found_and_computed_again(meta: Meta) -> None:
    top = meta.mkdir(ROOT, b"top").ino
    below = meta.mkdir(top, b"below").ino
    add_slice(meta, meta.create(below, b"f").ino, 5000)
    meta.quota_set(QuotaKind.DIRECTORY, below, inodes_max=9)
    meta.engine.run(lambda txn: txn.do(PutDirUsage(below, DirUsage(1, 2, 3))))
    assert any("drifted" in problem.what for problem in meta.check())
    found = meta.sync_dir_stats()
    assert (found.directories, found.wrong, found.missing) == (3, (below,), ())
    assert usage_of(meta, below) == DirUsage(1, 2, 3)
    assert meta.sync_dir_stats(repair=True).wrong == (below,)
    assert usage_of(meta, below) == DirUsage(5000, 8192, 1)
    assert meta.quota_get(QuotaKind.DIRECTORY, below) is not None
    meta.engine.run(lambda txn: txn.do(PutDirUsage(top, None)))
    assert meta.sync_dir_stats(top, recursive=False).missing == (top,)
    assert meta.sync_dir_stats(top, repair=True).missing == (top,)
    assert usage_of(meta, top) == DirUsage(0, 4096, 1)


def test_statistics_are_of_directories(meta: Meta) -> None:
    refused(errno.ENOTDIR, meta.sync_dir_stats, meta.create(ROOT, b"f").ino)
    refused(errno.ENOENT, meta.sync_dir_stats, 999)
