"""Every commit of an operation on a tree fails in turn: what is left is sound, and mended."""

from collections.abc import Callable
from typing import TypeVar

import pytest

from roost.errors import Unavailable
from roost.testing.clock import ManualClock
from roost.volume.engines.memory import MemoryEngine
from roost.volume.meta.answers import CloneOptions, RemoveOptions
from roost.volume.meta.api import Meta
from roost.volume.meta.open_volume import open_volume
from roost.volume.meta.opening import fill
from roost.volume.meta.txn import Txn
from roost.volume.model import ROOT, TRASH, QuotaKind
from roost.volume.settings import new_settings
from tests.volume.meta.helpers import add_slice

T = TypeVar("T")
RUNS_MAX = 60


class FailingEngine(MemoryEngine):
    """Fails the run whose number is `fails_at`, counted from 1, and those after it."""

    runs = 0
    fails_at = 0

    def run(self, rule: Callable[[Txn], T]) -> T:
        self.runs += 1
        if 0 < self.fails_at <= self.runs:
            raise Unavailable("the engine is away")
        return super().run(rule)


def volume_with_a_tree(trash_days: int) -> tuple[FailingEngine, Meta]:
    clock = ManualClock()
    engine = FailingEngine(clock)
    settings = new_settings("faults", bucket="/b", trash_days=trash_days)
    fill(engine, settings)
    meta = Meta(open_volume(engine, settings, clock), read_only=False)
    meta.begin_session(heartbeat=False)
    top = meta.mkdir(ROOT, b"top").ino
    for folder in (top, meta.mkdir(top, b"below").ino):
        for name in (b"f", b"g"):
            add_slice(meta, meta.create(folder, name).ino, 5000)
    meta.quota_set(QuotaKind.DIRECTORY, ROOT, inodes_max=100)
    return engine, meta


def cloned(meta: Meta) -> None:
    top = meta.lookup(ROOT, b"top").ino
    meta.clone(top, ROOT, b"copy", options=CloneOptions(threads=1))


def removed(meta: Meta) -> None:
    meta.remove_tree(ROOT, b"top", options=RemoveOptions(threads=1))


def restored(meta: Meta) -> None:
    (hour,) = meta.readdir(TRASH)
    done = meta.restore(hour.name, put_back=True, threads=1)
    if done.failed:
        raise Unavailable(done.failed[0][1])


@pytest.mark.parametrize(
    ("operation", "trash_days"), [(cloned, 0), (removed, 0), (removed, 1), (restored, 1)]
)
def test_a_tree_s_operation_that_fails_at_any_commit_leaves_a_sound_volume(
    operation: Callable[[Meta], None], trash_days: int
) -> None:
    for number in range(1, RUNS_MAX):
        engine, meta = volume_with_a_tree(trash_days)
        if operation is restored:
            removed(meta)
        before = meta.statfs()
        engine.runs, engine.fails_at = 0, number
        try:
            operation(meta)
        except Unavailable:
            engine.fails_at = 0
        else:
            assert number > 3
            return
        assert meta.check() == (), f"after the failure of commit {number}"
        meta.clean_detached(0)
        assert meta.check() == ()
        if operation is cloned:
            assert meta.statfs() == before
        operation(meta)
        assert meta.check() == ()
    raise AssertionError("it never came to its end")
