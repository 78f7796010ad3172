"""What must not conflict, and what must: rules that meet between their reads and their commit.

A second client acts at the moment when the first has decided and not yet committed.
"""

import errno
from collections.abc import Callable
from dataclasses import replace

import pytest

from roost.testing.clock import ManualClock
from roost.volume.engines.memory import MemoryEngine
from roost.volume.meta.api import Meta
from roost.volume.meta.open_volume import open_volume
from roost.volume.meta.opening import fill
from roost.volume.meta.txn import Commit
from roost.volume.model import (
    ROOT,
    AttrChange,
    Caller,
    ChunkNo,
    Ino,
    QuotaKind,
    RenameFlag,
    Slice,
    SliceId,
)
from roost.volume.settings import new_settings
from tests.volume.meta.helpers import refused

Act = Callable[[], object]


class InterruptedEngine(MemoryEngine):
    """Lets somebody else act between a rule's decision and its commit, once."""

    between: Act | None = None
    conflicts = 0

    def commit(self, commit: Commit) -> bool:
        between, self.between = self.between, None
        if between is not None:
            between()
        done = super().commit(commit)
        self.conflicts += not done
        return done


@pytest.fixture(params=[0, 1], ids=["no trash", "trash"])
def engine(request: pytest.FixtureRequest, clock: ManualClock) -> InterruptedEngine:
    made = InterruptedEngine(clock)
    fill(made, new_settings("hazards", bucket="/b", trash_days=request.param))
    return made


@pytest.fixture
def meta(engine: InterruptedEngine, clock: ManualClock) -> Meta:
    settings = new_settings("hazards", bucket="/b", trash_days=1)
    opened = Meta(open_volume(engine, settings, clock), read_only=False)
    opened.begin_session(heartbeat=False)
    return opened


def meeting(engine: InterruptedEngine, meta: Meta, other: Act, mine: Act) -> int:
    """Let `other` come between decision and commit of `mine`; return how many conflicts."""
    engine.between, engine.conflicts = other, 0
    mine()
    assert engine.between is None
    assert meta.check() == ()
    return engine.conflicts


def folder_with(meta: Meta, *names: bytes) -> Ino:
    folder = meta.mkdir(ROOT, b"folder").ino
    for name in names:
        meta.create(folder, name)
    return folder


# ---- H14: what must not conflict
@pytest.mark.parametrize("mine", ["create", "mkdir", "unlink", "rename", "rmdir", "symlink"])
@pytest.mark.parametrize("other", ["create", "mkdir", "unlink", "rename"])
def test_two_changes_of_one_directory_never_conflict(
    engine: InterruptedEngine, meta: Meta, mine: str, other: str
) -> None:
    folder = folder_with(meta, b"mine", b"theirs")
    meta.mkdir(folder, b"my folder")
    meta.create(folder, b"trash is there")
    meta.unlink(folder, b"trash is there")

    def act(whose: bytes, what: str) -> object:
        match what:
            case "create":
                return meta.create(folder, whose + b"1")
            case "mkdir":
                return meta.mkdir(folder, whose + b"2")
            case "symlink":
                return meta.symlink(folder, whose + b"3", b"x")
            case "unlink":
                return meta.unlink(folder, whose)
            case "rename":
                return meta.rename(folder, whose, folder, whose + b"4")
            case _:
                return meta.rmdir(folder, b"my folder")

    assert meeting(engine, meta, lambda: act(b"theirs", other), lambda: act(b"mine", mine)) == 0


def test_a_rename_in_place_does_not_mind_a_write_to_the_file(
    engine: InterruptedEngine, meta: Meta
) -> None:
    folder = folder_with(meta, b"f")
    file = meta.lookup(folder, b"f").ino
    record = Slice(0, SliceId(900), 10, 0, 10)

    def write() -> object:
        return meta.write_slice(file, ChunkNo(0), record)

    assert meeting(engine, meta, write, lambda: meta.rename(folder, b"f", folder, b"g")) == 0


def test_quota_owners_do_not_make_creators_conflict(engine: InterruptedEngine, meta: Meta) -> None:
    folder = folder_with(meta)
    meta.quota_set(QuotaKind.DIRECTORY, folder, inodes_max=100)
    meta.quota_set(QuotaKind.USER, 0, inodes_max=100)
    conflicts = meeting(
        engine, meta, lambda: meta.create(folder, b"theirs"), lambda: meta.create(folder, b"mine")
    )
    assert conflicts == 0


# ---- H14: what must conflict
def test_what_meets_near_a_limit_does_not_exceed_it(engine: InterruptedEngine, meta: Meta) -> None:
    folder = folder_with(meta)
    meta.quota_set(QuotaKind.DIRECTORY, folder, inodes_max=3)
    meta.create(folder, b"first")
    conflicts = meeting(
        engine, meta, lambda: meta.create(folder, b"theirs"), lambda: meta.create(folder, b"mine")
    )
    assert conflicts == 1
    meta.unlink(folder, b"mine", skip_trash=True)
    engine.between = lambda: meta.create(folder, b"more of theirs")
    refused(errno.EDQUOT, meta.create, folder, b"mine")


def test_what_meets_near_the_end_of_the_volume_does_not_exceed_it(
    engine: InterruptedEngine, meta: Meta
) -> None:
    folder = folder_with(meta)
    used = meta.statfs().used_inodes
    meta._opened.settings = replace(meta.settings, inodes_max=used + 1)
    engine.between = lambda: meta.create(folder, b"theirs")
    refused(errno.ENOSPC, meta.create, folder, b"mine")
    assert meta.check() == ()


def test_a_removal_that_rests_on_a_link_count_is_decided_again(
    engine: InterruptedEngine, meta: Meta
) -> None:
    folder = folder_with(meta, b"f")
    file = meta.lookup(folder, b"f").ino
    conflicts = meeting(
        engine,
        meta,
        lambda: meta.link(file, ROOT, b"late"),
        lambda: meta.unlink(folder, b"f", skip_trash=True),
    )
    assert conflicts == 1
    assert meta.lookup(ROOT, b"late").attr.nlink == 1


def test_a_directory_that_fills_meanwhile_is_not_removed(
    engine: InterruptedEngine, meta: Meta
) -> None:
    folder = folder_with(meta)
    engine.between = lambda: meta.create(folder, b"late")
    refused(errno.ENOTEMPTY, meta.rmdir, ROOT, b"folder")
    assert meta.check() == ()


def test_nothing_is_added_to_a_directory_that_went_meanwhile(
    engine: InterruptedEngine, meta: Meta
) -> None:
    folder = folder_with(meta)
    engine.between = lambda: meta.rmdir(ROOT, b"folder")
    refused(errno.ENOENT, meta.create, folder, b"late")
    assert meta.check() == ()


def test_a_truncate_to_the_length_that_was_is_decided_on_the_length_that_is(
    engine: InterruptedEngine, meta: Meta
) -> None:
    folder = folder_with(meta, b"f")
    file = meta.lookup(folder, b"f").ino
    meta.truncate(file, 100)
    stale = engine.cached_reads()
    copied = engine._tables.copy()
    meta.truncate(file, 50)
    engine.cached_reads = lambda: copied  # type: ignore[method-assign]
    assert meta.truncate(file, 100).length == 100
    engine.cached_reads = lambda: stale  # type: ignore[method-assign]
    assert meta.getattr(file).length == 100


def test_appends_that_meet_do_not_overwrite_each_other(
    engine: InterruptedEngine, meta: Meta
) -> None:
    folder = folder_with(meta, b"f")
    file = meta.lookup(folder, b"f").ino
    first, second = meta.new_slice_id(), meta.new_slice_id()
    offsets: list[int] = []
    conflicts = meeting(
        engine,
        meta,
        lambda: offsets.append(meta.append_slice(file, first, 10).offset),
        lambda: offsets.append(meta.append_slice(file, second, 7).offset),
    )
    assert conflicts == 1
    assert offsets == [0, 10]
    assert meta.getattr(file).length == 17


def test_a_clone_meets_a_compaction_of_what_it_copies(
    engine: InterruptedEngine, meta: Meta
) -> None:
    folder = folder_with(meta, b"f")
    file = meta.lookup(folder, b"f").ino
    for pos in (0, 10):
        meta.write_slice(file, ChunkNo(0), Slice(pos, meta.new_slice_id(), 10, 0, 10))
    records = meta.read_chunk(file, ChunkNo(0))
    new = Slice(0, meta.new_slice_id(), 20, 0, 20)
    conflicts = meeting(
        engine,
        meta,
        lambda: meta.replace_slices(file, ChunkNo(0), (), records, new),
        lambda: meta.clone(file, folder, b"copy"),
    )
    assert conflicts == 1
    copy = meta.lookup(folder, b"copy").ino
    assert meta.read_chunk(copy, ChunkNo(0)) == (new,)


def test_a_compaction_does_not_mind_what_is_appended_meanwhile(
    engine: InterruptedEngine, meta: Meta
) -> None:
    folder = folder_with(meta, b"f")
    file = meta.lookup(folder, b"f").ino
    for pos in (0, 10):
        meta.write_slice(file, ChunkNo(0), Slice(pos, meta.new_slice_id(), 10, 0, 10))
    records = meta.read_chunk(file, ChunkNo(0))
    late, new = (Slice(0, meta.new_slice_id(), 20, 0, 20) for _ in range(2))
    conflicts = meeting(
        engine,
        meta,
        lambda: meta.write_slice(file, ChunkNo(0), late),
        lambda: meta.replace_slices(file, ChunkNo(0), (), records, new),
    )
    assert conflicts == 0
    assert meta.read_chunk(file, ChunkNo(0)) == (new, late)


# ---- H16: moves that meet
def test_two_moves_never_tie_a_loop(engine: InterruptedEngine, meta: Meta) -> None:
    a, b = meta.mkdir(ROOT, b"a").ino, meta.mkdir(ROOT, b"b").ino
    deep_a, deep_b = meta.mkdir(a, b"x").ino, meta.mkdir(b, b"y").ino
    engine.between = lambda: meta.rename(ROOT, b"b", deep_a, b"b")
    refused(errno.EINVAL, meta.rename, ROOT, b"a", deep_b, b"a")
    assert meta.check() == ()
    assert meta.resolve("/a/x/b/y").ino == deep_b


def test_two_exchanges_never_tie_a_loop(engine: InterruptedEngine, meta: Meta) -> None:
    a, b = meta.mkdir(ROOT, b"a").ino, meta.mkdir(ROOT, b"b").ino
    meta.mkdir(a, b"x")
    deep = meta.mkdir(b, b"y").ino
    meta.mkdir(deep, b"z")
    engine.between = lambda: meta.rename(ROOT, b"b", a, b"b")
    refused(errno.EINVAL, meta.rename, ROOT, b"a", deep, b"z", RenameFlag.EXCHANGE)
    assert meta.check() == ()


def test_a_directory_moved_away_meanwhile_is_charged_where_it_is(
    engine: InterruptedEngine, meta: Meta
) -> None:
    left, right = meta.mkdir(ROOT, b"left").ino, meta.mkdir(ROOT, b"right").ino
    for ino in (left, right):
        meta.quota_set(QuotaKind.DIRECTORY, ino, inodes_max=9)
    moving = meta.mkdir(left, b"moving").ino
    conflicts = meeting(
        engine,
        meta,
        lambda: meta.rename(left, b"moving", right, b"moved"),
        lambda: meta.create(moving, b"f"),
    )
    assert conflicts == 1
    quota = meta.quota_get(QuotaKind.DIRECTORY, right)
    assert quota is not None
    assert quota.used_inodes == 2


def test_permissions_that_change_meanwhile_count(engine: InterruptedEngine, meta: Meta) -> None:
    folder = folder_with(meta)
    meta.setattr(folder, AttrChange(mode=0o777))
    engine.between = lambda: meta.setattr(folder, AttrChange(mode=0o755))
    refused(errno.EACCES, meta.create, folder, b"f", caller=Caller(uid=5, gid=5))
