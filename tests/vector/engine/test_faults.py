"""Every call of the files failing in turn, real processes killed: nothing acknowledged is lost."""

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from roost.errors import CommitUnknown, Damage, Failure, RoostError, StorageFull
from roost.testing.engine_house import QUIET, House, colours_of, create, insert
from roost.testing.faulty_files import Hook, HookedFiles
from roost.vector.api import DeleteRequest
from roost.vector.engine.engine import Engine
from roost.vector.files import Files


class Ledger:
    """What a client knows: rows acknowledged, and rows of which it does not know."""

    def __init__(self) -> None:
        self.sure: dict[int, str | None] = {}
        self.unsure: dict[int, set[str | None]] = {}
        """key → what it may be; "" stands for no row."""

    def write(self, engine: Engine, keys: range, colour: str) -> None:
        try:
            insert(engine, keys, colour=colour, upsert=True)
        except RoostError as error:
            self.doubt(keys, colour, error)
            return
        for key in keys:
            self.unsure.pop(key, None)
            self.sure[key] = colour

    def delete(self, engine: Engine, keys: range) -> None:
        try:
            engine.delete(DeleteRequest("things", ids=pa.array(list(keys))))
        except RoostError as error:
            self.doubt(keys, "", error)
            return
        for key in keys:
            self.unsure.pop(key, None)
            self.sure.pop(key, None)

    def doubt(self, keys: range, may_be: str, error: RoostError) -> None:
        """After a failure that does not say that nothing was stored, both are possible."""
        refuse_damage(error)
        for key in keys:
            now = self.unsure.pop(key, {self.sure.pop(key, "")})
            self.unsure[key] = now | {may_be}

    def check(self, found: dict[int, str | None]) -> None:
        for key, may_be in self.unsure.items():
            assert found.get(key, "") in may_be, key
        assert {k: v for k, v in found.items() if k not in self.unsure} == self.sure


class FailAt:
    """Fails the n-th call that changes or reads a file, once or from then on."""

    def __init__(self, number: int, error: RoostError, *, for_ever: bool) -> None:
        self.calls = 0
        self._number, self._error, self._for_ever = number, error, for_ever

    def hook(self, verb: str, path: str) -> None:
        self.calls += 1
        if self.calls == self._number or (self._for_ever and self.calls > self._number):
            raise type(self._error)(f"injected at {verb} {path}")


def live(house: House, ledger: Ledger) -> None:
    """Do some of everything; whatever fails, fails as one of our errors."""
    try:
        engine = house.open(QUIET)
        create(engine)
    except RoostError:
        return
    steps = [
        lambda: ledger.write(engine, range(10), "red"),
        lambda: engine.flush(("things",)),
        lambda: ledger.write(engine, range(5, 15), "blue"),
        lambda: ledger.delete(engine, range(3)),
        lambda: engine.flush(("things",)),
        lambda: engine.writer.compact("things") and engine.writer.maintain(),
        lambda: ledger.write(engine, range(12, 20), "green"),
    ]
    for step in steps:
        try:
            step()
        except RoostError as error:
            refuse_damage(error)


def refuse_damage(error: RoostError) -> None:
    """A call that failed is never taken for damaged data."""
    assert not isinstance(error, Damage), error


@pytest.mark.parametrize(("for_ever", "step"), [(False, 11), (True, 13)])
def test_a_failing_call_of_the_files_loses_no_acknowledged_row(
    tmp_path: Path, for_ever: bool, step: int
) -> None:
    fail_each(tmp_path, for_ever, step)


@pytest.mark.long
@pytest.mark.parametrize("for_ever", [False, True])
def test_no_failing_call_of_the_files_loses_an_acknowledged_row(
    tmp_path: Path, for_ever: bool
) -> None:
    fail_each(tmp_path, for_ever, step=1)


def fail_each(tmp_path: Path, for_ever: bool, step: int) -> None:
    """Live once for every `step`-th call of the files, which fails."""
    calls = number_of_calls(tmp_path)
    assert calls > 30
    for number in range(1, calls + 1, step):
        house, ledger = House(tmp_path / f"{number}"), Ledger()
        house.root.mkdir()
        error = StorageFull("") if number % 2 else Failure("")
        failing = FailAt(number, error, for_ever=for_ever)
        house.wrap = hooked(failing.hook)
        try:
            live(house, ledger)
            house.wrap = unhooked
            engine = house.open()
            if any(info.name == "things" for info in engine.list_collections()):
                create(engine)
                ledger.check(colours_of(engine))
                insert(engine, [1000])
            else:
                assert not ledger.sure
        finally:
            house.close()


def hooked(hook: Hook) -> Callable[[Files], Files]:
    """Return what puts the hook between an engine and its files."""
    return lambda files: HookedFiles(files, hook)


def unhooked(files: Files) -> Files:
    """Put nothing between."""
    return files


def number_of_calls(tmp_path: Path) -> int:
    house, counting = House(tmp_path / "count"), FailAt(0, Failure(""), for_ever=False)
    house.root.mkdir()
    house.wrap = lambda files: HookedFiles(files, counting.hook)
    ledger = Ledger()
    live(house, ledger)
    assert house.engine is not None
    ledger.check(colours_of(house.engine))
    house.close()
    return counting.calls


WRITER = """
import sys, threading
from pathlib import Path
from dataclasses import replace
from roost.testing.engine_house import QUIET, House, create, insert
from roost.vector.api import DeleteRequest
import pyarrow as pa

house = House(Path(sys.argv[1]))
first = int(sys.argv[2])
engine = house.open(replace(QUIET, background_threads=1, flush_rows=300, flush_interval_s=0.01,
                            compact_segments_min=2, grace_s=0.05, collect_interval_s=0.05))
create(engine)
lock = threading.Lock()

def say(*words):
    with lock:
        print(*words, flush=True)

def write(lane):
    for turn in range(100_000):
        start = first + (turn * 3 + lane) * 20
        say("begin", start)
        insert(engine, range(start, start + 20), colour="new")
        say("done", start)
        engine.delete(DeleteRequest("things", ids=pa.array(range(start, start + 5))))
        say("deleted", start)

for lane in range(3):
    threading.Thread(target=write, args=(lane,)).start()
"""


def killed(root: Path, first: int, after_lines: int) -> list[tuple[str, int]]:
    """Run a writer, kill it after it said some lines, and return what it said."""
    said: list[tuple[str, int]] = []
    command = [sys.executable, "-c", WRITER, str(root), str(first)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                word, start = line.split()
                said.append((word, int(start)))
                if len(said) == after_lines:
                    os.kill(process.pid, signal.SIGKILL)
        finally:
            process.kill()
    return said


def test_a_killed_writer_loses_no_acknowledged_row(tmp_path: Path) -> None:
    kill_often(tmp_path, turns=2, lines_max=120)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_writer_killed_twenty_times_loses_no_acknowledged_row(tmp_path: Path) -> None:
    kill_often(tmp_path, turns=20, lines_max=2_000)


def kill_often(root: Path, turns: int, lines_max: int) -> None:
    """Kill a writer at random moments, then look for every row it acknowledged."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    present: set[int] = set()
    perhaps: list[set[int]] = []
    for turn in range(turns):
        first = turn * 10_000_000
        said = killed(root, first, chance.randrange(20, lines_max))
        assert said
        begun, done, deleted = (
            {start for word, start in said if word == kind} for kind in ("begin", "done", "deleted")
        )
        for start in done:
            present |= set(range(start + 5, start + 20))
            if start not in deleted:
                perhaps.append(set(range(start, start + 5)))
        perhaps += [set(range(start, start + 20)) for start in begun - done]
    house = House(root)
    try:
        found = set(colours_of(house.open()))
    finally:
        house.close()
    assert present <= found
    rest = found - present
    for batch in perhaps:  # whole, or not at all
        part = rest & batch
        assert part in (set(), batch, {k for k in batch if k % 20 >= 5})
        rest -= batch
    assert not rest


def test_a_commit_that_cannot_be_opened_ends_the_writer(house: House) -> None:
    broken = False

    def fail(verb: str, path: str) -> None:
        if broken and verb == "open_local":
            raise Failure("cannot map")

    house.wrap = lambda files: HookedFiles(files, fail)
    engine = house.open()
    create(engine)
    insert(engine, range(5))
    broken = True
    with pytest.raises(CommitUnknown):
        engine.flush(("things",))
    assert house.lost
    broken = False
    assert set(colours_of(house.open())) == set(range(5))


def test_a_flush_that_fails_is_not_tried_again_at_once(house: House) -> None:
    tries = []

    def full(verb: str, path: str) -> None:
        if verb == "adopt" and path.startswith("segment/"):
            tries.append(path)
            raise StorageFull("no space left")

    house.wrap = hooked(full)
    engine = house.open(replace(QUIET, background_threads=1, flush_rows=1, flush_interval_s=0.005))
    create(engine)
    insert(engine, range(5))
    with pytest.raises(StorageFull):
        engine.flush(("things",))
    threading.Event().wait(0.3)
    assert 1 <= len(tries) <= 2
    assert len(colours_of(engine)) == 5
    assert not house.lost
