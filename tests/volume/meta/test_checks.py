"""Each predicate, by a rule that saw records as they were before another client changed them."""

import errno
from collections.abc import Callable

import pytest

from roost.testing.clock import ManualClock
from roost.volume.engines.memory import MemoryEngine
from roost.volume.errors import FsError
from roost.volume.meta.api import Meta
from roost.volume.meta.open_volume import open_volume
from roost.volume.meta.opening import fill
from roost.volume.meta.reads import Reads
from roost.volume.meta.txn import Commit
from roost.volume.model import ROOT, AttrChange, ChunkNo, Flag, Ino, RenameFlag, Slice, XattrFlag
from roost.volume.settings import new_settings


class CachingEngine(MemoryEngine):
    """Rules first see the records of `freeze`; commits that failed their checks are counted."""

    frozen: Reads | None = None
    conflicts = 0

    def freeze(self) -> None:
        self.frozen = self._tables.copy()

    def cached_reads(self) -> Reads:
        return self._tables if self.frozen is None else self.frozen

    def commit(self, commit: Commit) -> bool:
        done = super().commit(commit)
        self.conflicts += not done
        return done


@pytest.fixture
def engine() -> CachingEngine:
    return CachingEngine(ManualClock())


@pytest.fixture
def meta(engine: CachingEngine) -> Meta:
    made = new_settings("checks", bucket="/b", trash_days=0)
    fill(engine, made)
    opened = Meta(open_volume(engine, made, ManualClock()), read_only=False)
    opened.new_slice_id()
    opened.create(ROOT, b"reserve numbers")
    return opened


def stale(engine: CachingEngine, meanwhile: Callable[[], object]) -> None:
    """Let something happen that the next operation's first reads do not know."""
    snapshot = engine._tables.copy()
    meanwhile()
    engine.frozen = snapshot


def refused(code: int) -> "pytest.RaisesExc[FsError]":
    return pytest.raises(FsError, check=lambda error: error.errno == code)


def test_creators_in_one_directory_never_conflict(meta: Meta, engine: CachingEngine) -> None:
    """Times and link counts of the parent merge; only the name itself is in dispute."""
    folder = meta.mkdir(ROOT, b"d").ino
    stale(engine, lambda: [meta.mkdir(folder, b"x"), meta.create(folder, b"y")])
    meta.mkdir(folder, b"z")
    assert engine.conflicts == 0
    assert meta.getattr(folder).nlink == 4
    assert meta.check() == ()


def test_a_name_taken_meanwhile_is_refused(meta: Meta, engine: CachingEngine) -> None:
    stale(engine, lambda: meta.create(ROOT, b"f"))
    with refused(errno.EEXIST):
        meta.create(ROOT, b"f")
    assert engine.conflicts == 1


def test_a_name_freed_meanwhile_is_free(meta: Meta, engine: CachingEngine) -> None:
    meta.create(ROOT, b"f")
    stale(engine, lambda: meta.unlink(ROOT, b"f"))
    meta.create(ROOT, b"f")
    assert meta.check() == ()


def test_a_directory_filled_meanwhile_stays(meta: Meta, engine: CachingEngine) -> None:
    folder = meta.mkdir(ROOT, b"d").ino
    other = meta.mkdir(ROOT, b"e").ino
    stale(engine, lambda: [meta.create(folder, b"f"), meta.create(other, b"f")])
    with refused(errno.ENOTEMPTY):
        meta.rmdir(ROOT, b"d")
    with refused(errno.ENOTEMPTY):
        meta.rename(ROOT, b"d", ROOT, b"e")
    assert meta.check() == ()


def test_a_directory_removed_or_closed_meanwhile_takes_no_names(
    meta: Meta, engine: CachingEngine
) -> None:
    gone, closed = meta.mkdir(ROOT, b"d").ino, meta.mkdir(ROOT, b"e").ino
    stale(
        engine,
        lambda: [meta.rmdir(ROOT, b"d"), meta.setattr(closed, AttrChange(flags=Flag.IMMUTABLE))],
    )
    with refused(errno.ENOENT):
        meta.create(gone, b"f")
    with refused(errno.EPERM):
        meta.create(closed, b"f")
    assert meta.check() == ()


def test_a_link_made_meanwhile_keeps_the_file(meta: Meta, engine: CachingEngine) -> None:
    file = meta.create(ROOT, b"f").ino
    stale(engine, lambda: meta.link(file, ROOT, b"g"))
    assert meta.unlink(ROOT, b"f") is None
    assert meta.getattr(file).nlink == 1
    assert meta.check() == ()


def test_a_truncate_judged_on_an_old_length_is_not_skipped(
    meta: Meta, engine: CachingEngine
) -> None:
    file = meta.create(ROOT, b"f").ino
    stale(engine, lambda: meta.truncate(file, 100))
    assert meta.truncate(file, 0).length == 0
    assert meta.getattr(file).length == 0


def test_a_write_charges_the_length_that_is(meta: Meta, engine: CachingEngine) -> None:
    file = meta.create(ROOT, b"f").ino
    stale(engine, lambda: meta.truncate(file, 50_000))
    meta.write_slice(file, ChunkNo(0), Slice(0, meta.new_slice_id(), 10, 0, 10))
    assert meta.getattr(file).length == 50_000
    assert meta.check() == ()


@pytest.mark.parametrize("flags", [RenameFlag.NONE, RenameFlag.EXCHANGE])
def test_an_ancestor_moved_meanwhile_is_no_way_into_a_loop(
    meta: Meta, engine: CachingEngine, flags: RenameFlag
) -> None:
    a, b = meta.mkdir(ROOT, b"a").ino, meta.mkdir(ROOT, b"b").ino
    deep = meta.mkdir(a, b"deep").ino
    meta.mkdir(deep, b"x")
    stale(engine, lambda: meta.rename(ROOT, b"a", b, b"a"))
    with refused(errno.EINVAL):
        meta.rename(ROOT, b"b", deep, b"x" if flags else b"y", flags)
    assert meta.check() == ()


def test_growth_is_charged_where_the_file_is(meta: Meta, engine: CachingEngine) -> None:
    folder = meta.mkdir(ROOT, b"d").ino
    file = meta.create(ROOT, b"f").ino
    linked: Ino = meta.create(ROOT, b"g").ino
    meta.link(linked, ROOT, b"h")
    stale(
        engine,
        lambda: [meta.rename(ROOT, b"f", folder, b"f"), meta.rename(ROOT, b"h", folder, b"h")],
    )
    for ino in (file, linked):
        meta.truncate(ino, 10_000)
    assert meta.check() == ()


def test_an_attribute_set_meanwhile_is_seen(meta: Meta, engine: CachingEngine) -> None:
    stale(engine, lambda: meta.setxattr(ROOT, b"user.a", b"1"))
    with refused(errno.EEXIST):
        meta.setxattr(ROOT, b"user.a", b"2", XattrFlag.CREATE)
    meta.removexattr(ROOT, b"user.a")  # absent in the cache: ENODATA would be a lie
    with refused(errno.ENODATA):
        meta.getxattr(ROOT, b"user.a")


def test_numbers_reserved_meanwhile_are_not_reserved_again(
    meta: Meta, engine: CachingEngine
) -> None:
    other = Meta(open_volume(engine, meta.settings, ManualClock()), read_only=False)
    stale(engine, lambda: other.new_slice_id())
    third = Meta(open_volume(engine, meta.settings, ManualClock()), read_only=False)
    assert third.new_slice_id() > other.new_slice_id()


def test_a_file_deleted_meanwhile_is_not_released_twice(meta: Meta, engine: CachingEngine) -> None:
    shared = Slice(0, meta.new_slice_id(), 10, 0, 10)
    for name in (b"f", b"g"):
        meta.write_slice(meta.create(ROOT, name).ino, ChunkNo(0), shared)
    deleted = meta.unlink(ROOT, b"f")
    assert deleted is not None
    stale(engine, lambda: meta.release_deleted_file(deleted))
    assert meta.release_deleted_file(deleted) == ()
    assert [ref.refs for ref in meta.list_slice_refs()] == [1]
