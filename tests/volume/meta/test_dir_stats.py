import errno
from concurrent.futures import ThreadPoolExecutor

from roost.testing.clock import ManualClock
from roost.volume.meta.api import Meta, open_meta
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


def test_missing_statistics_count_every_change_that_meets_there(
    meta: Meta, meta_url: str, clock: ManualClock
) -> None:
    with open_meta(meta_url, clock=clock) as other, ThreadPoolExecutor(4) as pool:
        for turn in range(12):
            top = meta.mkdir(ROOT, b"d%d" % turn).ino
            files = [meta.create(top, b"f%d" % i).ino for i in range(2)]
            meta.engine.run(lambda txn, top=top: txn.do(PutDirUsage(top, None)))
            clients = (meta, other)
            done = [pool.submit(add_slice, m, i, 5000) for m, i in zip(clients, files, strict=True)]
            done += [pool.submit(m.create, top, b"g%d" % i) for i, m in enumerate(clients)]
            for future in done:
                future.result()
            assert usage_of(meta, top) == DirUsage(10_000, 2 * 8192 + 2 * 4096, 4)


def test_statistics_are_of_directories(meta: Meta) -> None:
    refused(errno.ENOTDIR, meta.sync_dir_stats, meta.create(ROOT, b"f").ino)
    refused(errno.ENOENT, meta.sync_dir_stats, 999)
