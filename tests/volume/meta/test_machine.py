"""SQLite against the memory engine, and the memory engine on stale records against itself."""

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from roost.testing.clock import ManualClock
from roost.testing.meta_machine_full import FullMetaMachine as MetaMachine
from roost.volume.engines.memory import MemoryEngine
from roost.volume.meta.api import Meta, format_volume, open_meta
from roost.volume.meta.open_volume import open_volume
from roost.volume.meta.opening import fill
from roost.volume.meta.reads import Reads
from roost.volume.settings import new_settings

MEMORY_FOLDER = "/dev/shm" if Path("/dev/shm").is_dir() else None
SETTINGS = replace(new_settings("machine", bucket="/b", trash_days=1), enable_acl=True)
QUICK = settings(
    max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
LONG = settings(
    max_examples=2000,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


class StaleEngine(MemoryEngine):
    """A memory engine whose rules first see records as they were some commits ago."""

    KEPT = 3

    def cached_reads(self) -> Reads:
        history = self.__dict__.setdefault("history", [])
        history.append(self._tables.copy())
        del history[: -self.KEPT]
        return history[0]  # type: ignore[no-any-return]


def memory_meta(clock: ManualClock, engine: MemoryEngine) -> Meta:
    fill(engine, SETTINGS)
    meta = Meta(open_volume(engine, SETTINGS, clock), read_only=False)
    meta.begin_session(heartbeat=False)
    return meta


class SqliteMachine(MetaMachine):
    skips_dir_times = True  # its records are always the present ones

    def open_both(self) -> None:
        self.clock = ManualClock()
        self.reference = memory_meta(self.clock, MemoryEngine(self.clock))
        self.folder = tempfile.TemporaryDirectory(dir=MEMORY_FOLDER)
        url = f"sqlite3://{self.folder.name}/meta.db"
        format_volume(url, SETTINGS, clock=self.clock)
        self.subject = open_meta(url, session=False, clock=self.clock)
        self.subject.begin_session(heartbeat=False)

    def teardown(self) -> None:
        super().teardown()
        self.folder.cleanup()


class StaleMachine(MetaMachine):
    """What a cache makes of an operation must be what real records make of it."""

    def open_both(self) -> None:
        self.clock = ManualClock()
        self.reference = memory_meta(self.clock, MemoryEngine(self.clock))
        self.subject = memory_meta(self.clock, StaleEngine(self.clock))


MACHINES = [SqliteMachine, StaleMachine]


@pytest.mark.parametrize("machine", MACHINES)
def test_an_engine_answers_as_the_reference(machine: type[MetaMachine]) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(machine, settings=QUICK)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("machine", MACHINES)
def test_an_engine_answers_as_the_reference_for_long(machine: type[MetaMachine]) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(machine, settings=LONG)
