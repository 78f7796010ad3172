"""What must hold when the obvious way is wrong; numbers are those of the design's hazards."""

import shutil
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from roost.errors import CommitUnknown, Damage, Failure, LeaseLost, Unavailable
from roost.testing.clock import ManualClock
from roost.testing.engine_house import QUIET, House, colours_of, create, ids_of, insert
from roost.testing.faulty_files import HookedFiles
from roost.vector.api import DeleteRequest, Freshness
from roost.vector.catalog.catalog import Catalog
from roost.vector.engine.engine import Engine

SHORT = replace(QUIET, lease_term_s=3.0)


class Gate:
    """Holds one call of the files up until it is opened."""

    def __init__(self, verb: str, folder: str) -> None:
        self.armed = False
        self.reached = threading.Event()
        self.opened = threading.Event()
        self._verb, self._folder = verb, folder

    def hook(self, verb: str, path: str) -> None:
        if self.armed and verb == self._verb and path.startswith(self._folder):
            self.armed = False
            self.reached.set()
            assert self.opened.wait(20)


def take_over(root: Path) -> House:
    """Start a second writer on the folder of a first one, on a clock of its own."""
    house, clock, done = House(root), ManualClock(), threading.Event()
    house.clock = clock

    def advance() -> None:
        while not done.wait(0.005):
            clock.advance(0.1)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(advance)
        try:
            house.open(SHORT)
        finally:
            done.set()
    return house


@pytest.mark.parametrize("verb", ["append", "sync"])
def test_h1_a_writer_paused_in_a_group_commit_acknowledges_nothing(house: House, verb: str) -> None:
    clock, gate = ManualClock(), Gate(verb, "log/")
    house.clock, house.wrap = clock, lambda files: HookedFiles(files, gate.hook)
    old = house.open(SHORT)
    create(old)
    insert(old, range(5))
    gate.armed = True
    with ThreadPoolExecutor(1) as pool:
        paused = pool.submit(insert, old, [100])
        assert gate.reached.wait(10)
        second = take_over(house.root)
        try:
            new = second.engine
            assert new is not None
            insert(new, [6], colour="new")
            before = colours_of(new)
            clock.advance(60)  # the paused one goes on, and its clock has moved
            gate.opened.set()
            with pytest.raises(LeaseLost):
                paused.result(20)
            assert house.lost
            with pytest.raises(LeaseLost):
                insert(old, [101])
            with pytest.raises(LeaseLost):
                old.writer.tip()
            with pytest.raises(LeaseLost):
                old.flush(("things",))
            assert colours_of(new) == before
            assert {0, 1, 2, 3, 4, 6} <= set(before)
            assert 101 not in before
            if verb == "append":  # written behind the seal: it never happened
                assert 100 not in before
            insert(new, [7])
            house.close()
            third = second.open(SHORT)
            assert set(colours_of(third)) == {*before, 7}
        finally:
            second.close()


class SlowEars(list[str]):
    """Hears only once it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.opened = threading.Event(), threading.Event()

    def append(self, reason: str) -> None:
        self.reached.set()
        assert self.opened.wait(20)
        super().append(reason)


def test_who_fails_with_a_lost_lease_finds_it_told_already(house: House) -> None:
    """The lease's thread and the log's find out together; the second waits for the first."""
    ears = house.lost = SlowEars()
    engine = house.open()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(engine.writer.lease_lost, LeaseLost("taken"))
        assert ears.reached.wait(10)
        second = pool.submit(engine.writer.lease_lost, LeaseLost("taken"))
        assert not wait([second], timeout=0.1).done
        ears.opened.set()
        second.result(10)
        assert ears == ["taken"]
        first.result(10)


def test_an_engine_closes_while_its_loss_is_still_being_told(house: House) -> None:
    ears = house.lost = SlowEars()
    engine = house.open()
    with ThreadPoolExecutor(3) as pool:
        telling = pool.submit(engine.writer.lease_lost, LeaseLost("taken"))
        assert ears.reached.wait(10)
        waiting = pool.submit(engine.writer.lease_lost, LeaseLost("taken"))
        pool.submit(house.close).result(10)
        waiting.result(10)
        ears.opened.set()
        telling.result(10)


def test_h2_a_deposed_writer_commits_no_manifest(house: House) -> None:
    clock, gate = ManualClock(), Gate("adopt", "segment/")
    house.clock, house.wrap = clock, lambda files: HookedFiles(files, gate.hook)
    old = house.open(SHORT)
    create(old)
    insert(old, range(5))
    gate.armed = True
    with ThreadPoolExecutor(1) as pool:
        flushing = pool.submit(old.flush, ("things",))
        assert gate.reached.wait(10)
        second = take_over(house.root)
        try:
            new = second.engine
            assert new is not None
            new.flush(("things",))
            newest = new.writer.collections.by_name("things").state.newest
            gate.opened.set()  # its clock stands still: it believes that it has the lease
            with pytest.raises(LeaseLost):
                flushing.result(20)
            assert house.lost
            catalog = Catalog(house.url)
            assert catalog.latest_manifest(newest.collection_id) == newest
            catalog.close()
            assert ids_of(new) == [0, 1, 2, 3, 4]
            house.close()
            assert ids_of(second.open(SHORT)) == [0, 1, 2, 3, 4]
        finally:
            second.close()


def crash(house: House, root: Path) -> House:
    """Return a house with the files as a killed process would leave them now."""
    shutil.copytree(house.root, root)
    return House(root)


def test_h8_a_row_deleted_during_a_compaction_stays_deleted(house: House, tmp_path: Path) -> None:
    engine: Engine | None = None

    def act(verb: str, path: str) -> None:
        nonlocal engine
        if engine is not None and verb == "adopt" and path.endswith("/rows"):
            running, engine = engine, None
            running.delete(DeleteRequest("things", "id in [1, 7]"))
            insert(running, [2], colour="new", upsert=True)
            running.flush(("things",))  # so that the manifest says: deletes are in files up to here
            running.delete(DeleteRequest("things", ids=pa.array([8])))

    house.wrap = lambda files: HookedFiles(files, act)
    eager = replace(QUIET, compact_segments_min=2, grace_s=0.0, version_grace_s=0.0)
    running = house.open(eager)
    create(running)
    insert(running, range(5))
    running.flush(("things",))
    insert(running, range(5, 10))
    running.flush(("things",))
    engine = running
    expected: dict[int, str | None] = {
        0: None,
        2: "new",
        3: None,
        4: None,
        5: None,
        6: None,
        9: None,
    }
    running.writer.maintain()
    assert engine is None
    assert colours_of(running) == expected
    newest = running.writer.collections.by_name("things").state.newest
    assert all(entry.deletes_complete_to >= newest.complete_to for entry in newest.segments)
    running.flush(("things",))
    running.writer.maintain()
    assert colours_of(running) == expected
    assert colours_of(house.open()) == expected


@pytest.mark.parametrize("lost_generation", [False, True])
def test_h9_a_catalog_that_lost_versions_stops_the_writer(
    house: House, lost_generation: bool
) -> None:
    engine = house.open(SHORT)
    create(engine)
    older = sqlite3.connect(house.root / "older.db")
    with closing(sqlite3.connect(house.root / "catalog.db")) as now:
        now.backup(older)
    older.close()
    if lost_generation:
        engine = house.open(SHORT)
    for start in (0, 10):
        insert(engine, range(start, start + 5))
        engine.flush(("things",))
    house.close()
    for left in house.root.glob("catalog.db*"):
        left.unlink()
    (house.root / "older.db").rename(house.root / "catalog.db")
    with pytest.raises((LeaseLost, Damage) if lost_generation else Damage):
        take_over(house.root)
    assert len(list((house.files / "segment").rglob("rows"))) == 2


def test_a_filter_delete_never_takes_a_row_that_was_replaced(house: House) -> None:
    engine = house.open()
    create(engine)
    with ThreadPoolExecutor(2) as pool:
        for turn in range(15):
            keys = range(turn * 10, turn * 10 + 10)
            insert(engine, keys, colour="red")
            replaced = pool.submit(insert, engine, keys, colour="blue", upsert=True)
            engine.delete(DeleteRequest("things", 'colour == "red"'))
            replaced.result()
            assert len(colours_of(engine)) == 10 * (turn + 1)


def test_h22_timestamps_rise_over_restarts_though_the_clock_went_back(house: House) -> None:
    clock = ManualClock()
    house.clock = clock
    engine = house.open()
    create(engine)
    before = insert(engine, [1]).timestamp
    clock.jump_wall(-3600)
    engine = house.open()
    after = insert(engine, [1], colour="later", upsert=True).timestamp
    assert after > before
    assert engine.now_ts() > after
    assert colours_of(engine) == {1: "later"}


@pytest.mark.parametrize("sealed", [False, True])
def test_h22_a_partition_dropped_just_before_a_crash_is_gone(
    house: House, tmp_path: Path, sealed: bool
) -> None:
    engine = house.open()
    info = create(engine)
    engine.create_partition("things", "north")
    insert(engine, range(5))
    insert(engine, [3, 10, 11], partition="north", upsert=True)
    if sealed:
        engine.flush(("things",))
    catalog = Catalog(house.url)
    catalog.drop_partition(info.id, "north", engine.writer.generation)
    catalog.close()
    after = crash(house, tmp_path / "after")
    try:
        for _ in range(2):
            engine = after.open()
            assert ids_of(engine) == [0, 1, 2, 4]
            engine.flush(("things",))
    finally:
        after.close()


def test_h22_a_collection_made_before_a_crash_can_be_used(house: House, tmp_path: Path) -> None:
    failing = True

    def fail(verb: str, path: str) -> None:
        if failing and verb == "write" and path.startswith("manifest/"):
            raise Failure("no")

    house.wrap = lambda files: HookedFiles(files, fail)
    engine = house.open()
    with pytest.raises(Failure):
        create(engine)
    after = crash(house, tmp_path / "after")
    try:
        opened = after.open()
        create(opened)
        insert(opened, [1])
        assert ids_of(opened) == [1]
    finally:
        after.close()
    failing = False
    create(engine)
    insert(engine, [2])
    assert ids_of(engine) == [2]


def test_a_log_that_cannot_sync_ends_the_writer_and_loses_nothing(house: House) -> None:
    broken = False

    def fail(verb: str, path: str) -> None:
        if broken and verb == "sync":
            raise Failure("the disk is gone")

    house.wrap = lambda files: HookedFiles(files, fail)
    engine = house.open()
    create(engine)
    insert(engine, [1])
    broken = True
    with pytest.raises(CommitUnknown):
        insert(engine, [2])
    with pytest.raises(Unavailable):
        insert(engine, [3])
    assert house.lost == ["the disk is gone"]
    assert ids_of_bounded(engine) == [1]
    broken = False
    assert set(ids_of(house.open())) in ({1}, {1, 2})


def ids_of_bounded(engine: Engine) -> list[int]:
    """Read what is visible, without asking the lease."""
    return ids_of(engine, freshness=Freshness())


def test_a_second_writer_is_refused_while_the_first_lives(house: House) -> None:
    house.open(replace(QUIET, lease_term_s=0.5, background_threads=1))
    second = House(house.root)
    with pytest.raises(Unavailable, match="another writer"):
        second.open(replace(QUIET, lease_term_s=0.5))
    assert not house.lost
