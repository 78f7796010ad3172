"""Asking several readers at once, until every segment is answered exactly once, or an error.

Segments are asked for in *slots*, one for each reader first chosen.  A slot whose reader fails is
asked again of the next in order; one that is slow is asked a second time beside the first (hedged,
once), and whichever is complete first counts.  The reader of this process answers in this thread,
while the others work.
"""

import queue
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from roost.clock import Clock
from roost.cluster.plan import Groups, Plan
from roost.cluster.rpc.methods import Method
from roost.cluster.rpc.peer import Pending
from roost.errors import Gone, Refusal, RoostError, TimedOut, Unavailable

Q = TypeVar("Q")
A = TypeVar("A")

ATTEMPTS_MAX = 4
"""Readers asked for one slot before the query fails."""
HEDGE_MIN_S = 0.05
HEDGE_MAX_S = 2.0
HEDGE_FACTOR = 4.0
"""A part is slow when it takes this many times what parts lately took."""
LATELY = 64


@dataclass(frozen=True, slots=True)
class Question(Generic[Q, A]):
    """What is asked: how a reader's part is made of its segments, and how it is asked."""

    method: Method[Q, A]
    build: Callable[[tuple[int, ...]], Q]
    here: Callable[[Q], A] | None = None
    """Answers it in this process, for the local reader."""


@dataclass(frozen=True, slots=True)
class Answered(Generic[A]):
    """An answer, by whom, and for which segments."""

    name: str
    segments: tuple[int, ...]
    answer: A


class Wires(Protocol):
    """How readers are reached."""

    def send(self, name: str, method: Method[Q, A], request: Q, timeout_s: float) -> Pending[A]:
        """Ask without waiting.  Raises Unavailable."""
        ...

    def failed(self, name: str, error: RoostError) -> None:
        """Take note that a reader failed."""
        ...


class Pace:
    """How long parts took lately, to tell slow from usual.  Races lose a sample, no more."""

    def __init__(self) -> None:
        self._lately: deque[float] = deque(maxlen=LATELY)

    def took(self, elapsed_s: float) -> None:
        """Add a sample."""
        self._lately.append(elapsed_s)

    @property
    def hedge_after_s(self) -> float:
        """After how long a part is asked a second time."""
        lately = sorted(self._lately.copy())
        usual = lately[len(lately) * 9 // 10] if lately else HEDGE_MAX_S
        return min(HEDGE_MAX_S, max(HEDGE_MIN_S, HEDGE_FACTOR * usual))


@dataclass(slots=True, eq=False)
class _Slot(Generic[A]):
    segments: tuple[int, ...]
    attempts: list["_Attempt[A]"] = field(default_factory=list)
    answers: list[Answered[A]] | None = None


@dataclass(slots=True, eq=False)
class _Attempt(Generic[A]):
    slot: _Slot[A]
    groups: Groups
    answers: list[Answered[A]] = field(default_factory=list)
    pending: list[Pending[A]] = field(default_factory=list)
    failed: bool = False


@dataclass(slots=True, eq=False)
class _Task(Generic[A]):
    attempt: _Attempt[A]
    name: str
    segments: tuple[int, ...]


class Fanout(Generic[Q, A]):
    """One question to all readers concerned; used once, by one thread."""

    def __init__(
        self,
        plan: Plan,
        question: Question[Q, A],
        wires: Wires,
        pace: Pace,
        clock: Clock,
        deadline_s: float,
    ) -> None:
        """`deadline_s` is on `clock.monotonic_s`."""
        self._plan = plan
        self._question = question
        self._wires = wires
        self._pace = pace
        self._clock = clock
        self._deadline_s = deadline_s
        self._begun_s = 0.0
        self._without: set[str] = set()
        self._done: queue.SimpleQueue[tuple[_Task[A], Pending[A]]] = queue.SimpleQueue()
        self._here: deque[_Task[A]] = deque()

    def ask(self, groups: Groups) -> list[Answered[A]]:
        """Return complete answers for all segments of `groups`, in no certain order.

        Raises Gone, a refusal, TimedOut at the deadline, or the last failure when nobody is left.
        """
        slots: list[_Slot[A]] = [_Slot(segments) for segments in groups.values()]
        self._begun_s = self._clock.monotonic_s()
        try:
            for slot, (name, segments) in zip(slots, groups.items(), strict=True):
                self._try(slot, {name: segments})
            self._collect(slots)
        finally:
            for slot in slots:
                for attempt in slot.attempts:
                    for pending in attempt.pending:
                        pending.cancel()  # nothing, if it is done
        return [answered for slot in slots for answered in slot.answers or ()]

    def _collect(self, slots: Sequence[_Slot[A]]) -> None:
        hedge_s = self._begun_s + self._pace.hedge_after_s
        while True:
            while self._here:
                self._run(self._here.popleft())
            if all(slot.answers is not None for slot in slots):
                return
            now_s = self._clock.monotonic_s()
            if now_s >= self._deadline_s:
                raise TimedOut("the query's time is over; some readers did not answer")
            limit_s = min(self._deadline_s, hedge_s) - now_s
            try:
                task, pending = self._done.get(timeout=max(0.0, limit_s))
            except queue.Empty:
                if self._clock.monotonic_s() >= hedge_s:
                    hedge_s = self._deadline_s
                    self._hedge(slots)
                continue
            try:
                answer = pending.result()
            except RoostError as error:
                self._failure(task, error)
            else:
                self._success(task, answer)

    def _run(self, task: _Task[A]) -> None:
        """Answer in this process."""
        assert self._question.here is not None
        if task.attempt.slot.answers is not None:
            return
        try:
            answer = self._question.here(self._question.build(task.segments))
        except RoostError as error:
            self._failure(task, error)
        else:
            self._success(task, answer)

    def _success(self, task: _Task[A], answer: A) -> None:
        attempt = task.attempt
        attempt.answers.append(Answered(task.name, task.segments, answer))
        self._pace.took(self._clock.monotonic_s() - self._begun_s)
        complete = len(attempt.answers) == len(attempt.groups)
        if complete and attempt.slot.answers is None:
            attempt.slot.answers = attempt.answers

    def _failure(self, task: _Task[A], error: RoostError) -> None:
        slot, attempt = task.attempt.slot, task.attempt
        attempt.failed = True
        if slot.answers is not None:
            return
        if isinstance(error, (Gone, Refusal)):
            raise error  # Another reader would say the same.
        self._without.add(task.name)
        self._wires.failed(task.name, error)
        if any(not other.failed for other in slot.attempts):
            return  # It is on its way already.
        if len(slot.attempts) >= ATTEMPTS_MAX:
            raise error
        self._try(slot, self._elsewhere(slot.segments, self._without, error))

    def _elsewhere(self, segments: tuple[int, ...], without: set[str], error: RoostError) -> Groups:
        try:
            return self._plan.regroup(segments, without=without)
        except Unavailable:
            raise error from None

    def _hedge(self, slots: Sequence[_Slot[A]]) -> None:
        for slot in slots:
            if slot.answers is not None or len(slot.attempts) >= ATTEMPTS_MAX:
                continue
            asked = {name for attempt in slot.attempts for name in attempt.groups}
            try:
                groups = self._plan.regroup(slot.segments, without=self._without | asked)
            except Unavailable:
                continue
            self._try(slot, groups)

    def _try(self, slot: _Slot[A], groups: Groups) -> None:
        attempt = _Attempt(slot, groups)
        slot.attempts.append(attempt)
        for name, segments in groups.items():
            task = _Task(attempt, name, segments)
            if name == self._plan.local and self._question.here is not None:
                self._here.append(task)
                continue
            try:
                pending = self._start(task)
            except RoostError as error:
                self._failure(task, error)
                return
            attempt.pending.append(pending)

    def _start(self, task: _Task[A]) -> Pending[A]:
        part = self._question.build(task.segments)
        timeout_s = max(0.001, self._deadline_s - self._clock.monotonic_s())
        pending = self._wires.send(task.name, self._question.method, part, timeout_s)
        pending.when_done(lambda: self._done.put((task, pending)))
        return pending
