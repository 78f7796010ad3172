"""Redis against the memory engine: as one client, and as two whose records go stale in turn."""

from dataclasses import replace
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from roost.clock import Clock
from roost.testing.clock import ManualClock
from roost.testing.meta_machine_full import FullMetaMachine as MetaMachine
from roost.testing.servers import RedisServer
from roost.testing.servers.redis import RedisOptions
from roost.volume.engines.memory import MemoryEngine
from roost.volume.meta.api import Meta, format_volume, open_meta
from roost.volume.meta.open_volume import open_volume
from roost.volume.meta.opening import fill, open_engine
from roost.volume.model import ROOT
from roost.volume.settings import new_settings

QUICK = settings(
    max_examples=8,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking is for a person to ask for
)
LONG = settings(
    max_examples=1000,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
SETTINGS = replace(new_settings("machine", bucket="/b", trash_days=1), enable_acl=True)


class RedisMachine(MetaMachine):
    """One client."""

    server: ClassVar[RedisServer]

    def open_both(self) -> None:
        self.clock = ManualClock()
        self.reference = _memory(self.clock)
        self.url = self.server.new_database()
        format_volume(self.url, SETTINGS, clock=self.clock)
        self.subject = open_meta(self.url, session=False, clock=self.clock)
        self.subject.begin_session(heartbeat=False)


class TwoEnginesMachine(RedisMachine):
    """One client that goes by two connections in turn: each knows what the other changed only by
    the server's word, which may come late.
    """

    def open_both(self) -> None:
        super().open_both()
        self.engines = [
            self.subject._opened.engine,
            open_engine(self.url, self.clock, read_only=False),
        ]

    def both(self, call: Any) -> Any:
        self.engines.reverse()
        self.subject._opened.engine = self.engines[0]
        return super().both(call)

    def teardown(self) -> None:
        super().teardown()
        for engine in self.engines:
            engine.close()


def _memory(clock: Clock) -> Meta:
    engine = MemoryEngine(clock)
    fill(engine, SETTINGS)
    meta = Meta(open_volume(engine, SETTINGS, clock), read_only=False)
    meta.begin_session(heartbeat=False)
    return meta


MACHINES = [RedisMachine, TwoEnginesMachine]


@pytest.mark.parametrize("machine", MACHINES)
def test_redis_answers_as_the_reference(
    redis_server: RedisServer, machine: type[RedisMachine]
) -> None:
    machine.server = redis_server
    run_state_machine_as_test(machine, settings=QUICK)


def test_redis_without_scripts_answers_as_the_reference() -> None:
    users = ("default on nopass ~* &* +@all -eval -evalsha -script",)
    with RedisServer(RedisOptions(users=users, appendonly=False)) as server:
        RedisMachine.server = server
        run_state_machine_as_test(RedisMachine, settings=settings(QUICK, max_examples=4))


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("machine", MACHINES)
def test_redis_answers_as_the_reference_for_long(
    redis_server: RedisServer, machine: type[RedisMachine]
) -> None:
    machine.server = redis_server
    run_state_machine_as_test(machine, settings=LONG)


def test_an_hour_of_the_trash_counts_what_opened_it(redis_server: RedisServer) -> None:
    """Statistics that one commit both makes and adds to."""
    clock = ManualClock()
    url = redis_server.new_database()
    format_volume(url, SETTINGS, clock=clock)
    with open_meta(url, session=False, clock=clock) as meta:
        meta.mkdir(ROOT, b"a")
        meta.rmdir(ROOT, b"a")
        assert meta.check() == ()
