"""Who had to wait for a processor stays away, and holds nothing meanwhile."""

from pathlib import Path

import pytest

from roost.testing.clock import ManualClock
from roost.volume.data.courtesy import AWAY_PER_WAIT, AWAY_S_MAX, Courtesy, waited_s


class Machine:
    """Keeps each task from the processors for `wait_s`, and notes who stays away."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = ManualClock()
        self.wait_s = self.waited_s = 0.0
        self.away_s: list[float] = []
        self.courtesy = Courtesy(lambda: self.waited_s, self.clock)
        monkeypatch.setattr(self.courtesy._ended, "wait", self.stay_away)

    def stay_away(self, seconds: float) -> None:
        self.away_s.append(seconds)
        self.clock.advance(seconds)

    def work(self) -> str:
        self.waited_s += self.wait_s
        return "done"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def test_who_waited_stays_away_in_proportion_before_the_next_task(machine: Machine) -> None:
    for machine.wait_s in (0.1, 0.02, 1e3, 0.0, 0.0):
        assert machine.courtesy.run(machine.work) == "done"
    expected = [0.1 * AWAY_PER_WAIT, 0.02 * AWAY_PER_WAIT, AWAY_S_MAX]
    assert machine.away_s == pytest.approx(expected)


def test_idle_time_counts(machine: Machine) -> None:
    machine.wait_s = 0.1
    machine.courtesy.run(machine.work)
    machine.clock.advance(0.1 * AWAY_PER_WAIT + 0.01)
    machine.courtesy.run(machine.work)
    assert not machine.away_s


def test_a_task_that_fails_counts_too(machine: Machine) -> None:
    def fail() -> None:
        machine.waited_s += 0.1
        raise KeyError

    with pytest.raises(KeyError):
        machine.courtesy.run(fail)
    machine.courtesy.run(machine.work)
    assert machine.away_s == pytest.approx([0.1 * AWAY_PER_WAIT])


@pytest.mark.parametrize(
    ("text", "seconds"), [("71000 2500000000 12\n", 2.5), ("", 0.0), ("a b c", 0.0), (None, 0.0)]
)
def test_the_system_tells_how_long_a_thread_waited(
    tmp_path: Path, text: str | None, seconds: float
) -> None:
    statistics = tmp_path / "schedstat"
    if text is not None:
        statistics.write_text(text)
    assert waited_s(statistics) == seconds
    assert waited_s() >= 0
