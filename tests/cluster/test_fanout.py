"""Asking several readers: complete answers over failures and slowness, or an error; no network."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from roost.clock import SystemClock
from roost.cluster.fanout import Fanout, Pace, Question
from roost.cluster.plan import Plan, ReaderView, choose
from roost.cluster.rpc.methods import SEARCH_PART
from roost.errors import Gone, InvalidArgument, RoostError, TimedOut, Unavailable
from roost.vector.collection.parts import GROWING
from roost.vector.manifest import Manifest, SegmentEntry

SEGMENTS = tuple(range(1, 9))
MANIFEST = Manifest(
    1, 1, 1, 10, tuple(SegmentEntry(n, 1, f"s/{n}", 100, 1_000, 1, 2) for n in SEGMENTS)
)
Behaviour = Callable[[tuple[int, ...]], Any]


def answers(segments: tuple[int, ...]) -> Any:
    return segments


def fails(error: RoostError) -> Behaviour:
    def behave(segments: tuple[int, ...]) -> Any:
        raise error

    return behave


class Call:
    """A call on its way, ended by the test."""

    def __init__(self) -> None:
        self._done = threading.Event()
        self._value: Any = None
        self._error: RoostError | None = None
        self._tell: list[Callable[[], None]] = []
        self.cancelled = False

    def end(self, behave: Behaviour, segments: tuple[int, ...]) -> None:
        try:
            self._value = behave(segments)
        except RoostError as error:
            self._error = error
        self._done.set()
        for tell in self._tell:
            tell()

    def result(self) -> Any:
        assert self._done.is_set()
        if self._error is not None:
            raise self._error
        return self._value

    def when_done(self, tell: Callable[[], None]) -> None:
        self._tell.append(tell)
        if self._done.is_set():
            tell()

    def cancel(self) -> None:
        self.cancelled = not self._done.is_set()


class Wires:
    """Readers that behave as told; one without behaviour never answers."""

    def __init__(self, **behaviours: Behaviour | None) -> None:
        self.behaviours = behaviours
        self.asked: list[tuple[str, tuple[int, ...]]] = []
        self.failures: list[str] = []
        self.calls: list[Call] = []

    def send(self, name: str, method: object, request: Any, timeout_s: float) -> Any:
        self.asked.append((name, request))
        call = Call()
        self.calls.append(call)
        behave = self.behaviours[name]
        if behave is not None:
            call.end(behave, request)
        return call

    def failed(self, name: str, error: RoostError) -> None:
        self.failures.append(name)


def plan(*names: str, local: str = "") -> Plan:
    views = [ReaderView(name, {1: {1: True}}, 100) for name in names]
    found = choose(1, views, lambda version: MANIFEST, 1, local)
    assert found is not None
    return found


def ask(
    wires: Wires, chosen: Plan, here: Callable[[Any], Any] | None = None, timeout_s: float = 5.0
) -> list[int]:
    """Return all segments answered, sorted; each must come once."""
    clock = SystemClock()
    pace = Pace()
    for _ in range(10):
        pace.took(0.001)  # so that what takes long is soon called slow
    fanout = Fanout(
        chosen,
        Question(SEARCH_PART, lambda segments: segments, here),  # type: ignore[arg-type, return-value]
        wires,  # type: ignore[arg-type]
        pace,
        clock,
        clock.monotonic_s() + timeout_s,
    )
    found = fanout.ask(chosen.groups(0))
    assert all(answered.segments == answered.answer for answered in found)
    return sorted(segment for answered in found for segment in answered.segments)


ALL = [GROWING, *SEGMENTS]


def test_all_readers_answer_their_share() -> None:
    wires = Wires(a=answers, b=answers, c=answers)
    assert ask(wires, plan("a", "b", "c")) == ALL
    assert len(wires.asked) == 3


def test_the_local_share_is_answered_here() -> None:
    wires = Wires(b=answers)
    assert ask(wires, plan("a", "b", local="a"), here=answers) == ALL
    assert {name for name, _ in wires.asked} == {"b"}


def test_a_failed_readers_share_goes_to_the_next_ones() -> None:
    wires = Wires(a=fails(Unavailable("gone")), b=answers, c=answers)
    assert ask(wires, plan("a", "b", "c")) == ALL
    assert wires.failures == ["a"]


def test_a_failing_local_reader_is_replaced_too() -> None:
    wires = Wires(b=answers)
    local = fails(Unavailable("sick"))
    assert ask(wires, plan("a", "b", local="a"), here=local) == ALL


def test_when_everybody_fails_the_query_fails() -> None:
    wires = Wires(a=fails(Unavailable("a is gone")), b=fails(Unavailable("b is gone")))
    with pytest.raises(Unavailable, match="is gone"):
        ask(wires, plan("a", "b"))


@pytest.mark.parametrize("error", [Gone("old"), InvalidArgument("bad filter")])
def test_what_another_reader_would_say_too_is_not_asked_again(error: RoostError) -> None:
    wires = Wires(a=fails(error), b=answers)
    with pytest.raises(type(error)):
        ask(wires, plan("a", "b"))
    assert len(wires.asked) <= 2


def test_a_slow_reader_is_hedged_once_and_its_call_given_up() -> None:
    wires = Wires(a=None, b=answers, c=answers)
    assert ask(wires, plan("a", "b", "c")) == ALL
    assert [name for name, _ in wires.asked].count("a") == 1
    assert any(call.cancelled for call in wires.calls)


def test_a_slow_reader_whose_answer_comes_first_counts() -> None:
    wires = Wires(a=None, b=None)
    chosen = plan("a", "b")
    threading.Timer(
        0.15, lambda: [wires.calls[at].end(answers, wires.asked[at][1]) for at in (0, 1)]
    ).start()
    assert ask(wires, chosen) == ALL


def test_nobody_answering_in_time_is_an_error() -> None:
    with pytest.raises(TimedOut):
        ask(Wires(a=None, b=None), plan("a", "b"), timeout_s=0.2)
