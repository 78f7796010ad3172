"""MariaDB and PostgreSQL against the memory engine, operation by operation."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from roost.testing.clock import ManualClock
from roost.testing.meta_machine_full import FullMetaMachine as MetaMachine
from roost.testing.sql_databases import empty_tables
from roost.volume.engines.memory import MemoryEngine
from roost.volume.meta.api import Meta, format_volume, open_meta
from roost.volume.meta.open_volume import open_volume
from roost.volume.meta.opening import fill
from roost.volume.settings import new_settings

QUICK = settings(
    max_examples=5, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
LONG = settings(
    max_examples=300, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)


def machine_on(meta_url: str) -> type[MetaMachine]:
    """Return the machine whose subject is the database, emptied for each example."""

    class ServerMachine(MetaMachine):
        def open_both(self) -> None:
            self.clock = ManualClock()
            made = replace(new_settings("machine", bucket="/b", trash_days=1), enable_acl=True)
            engine = MemoryEngine(self.clock)
            fill(engine, made)
            self.reference = Meta(open_volume(engine, made, self.clock), read_only=False)
            format_volume(empty_tables(meta_url), made, clock=self.clock)
            self.subject = open_meta(meta_url, session=False, clock=self.clock)
            for meta in (self.reference, self.subject):
                meta.begin_session(heartbeat=False)

    return ServerMachine


@pytest.fixture(params=["mysql_url", "pg_url"])
def machine(request: pytest.FixtureRequest) -> Callable[[], MetaMachine]:
    return machine_on(request.getfixturevalue(request.param))


def test_a_server_answers_as_the_reference(machine: Callable[[], MetaMachine]) -> None:
    run_state_machine_as_test(machine, settings=QUICK)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_server_answers_as_the_reference_for_long(machine: Callable[[], MetaMachine]) -> None:
    run_state_machine_as_test(machine, settings=LONG)
