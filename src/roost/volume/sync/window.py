"""Steps under way, in the order in which they were decided.

What a checkpoint may claim is the step up to which everything is done: steps end out of order, so
the oldest one that is not done holds the claim back.  A LEAVE step starts when nothing older is
left.

Lock order: `_lock`, under both conditions, is taken alone; no step runs under it.
"""

import threading
from collections import deque
from dataclasses import dataclass

from roost.volume.sync.steps import Step, Verb

PENDING_MAX = 2000


@dataclass(slots=True, eq=False)
class Slot:
    """A step's place in the window."""

    step: Step
    started: bool = False
    done: bool = False


class Window:
    """At most `pending_max` steps between the oldest that is not done and the newest."""

    def __init__(self, pending_max: int = PENDING_MAX) -> None:
        self._pending_max = pending_max
        self._changed = threading.Condition()
        self._slots: deque[Slot] = deque()
        self._behind: Step | None = None

    @property
    def behind(self) -> Step | None:
        """The newest step that is done with all before it; None before the first.

        LEAVE steps do not count: they come again when a run is resumed inside their folder.
        """
        with self._changed:
            return self._behind

    def add(self, step: Step) -> Slot | None:
        """Take a step; return its slot if it may start now, None if it must wait for others."""
        with self._changed:
            slot = Slot(step, started=step.verb is not Verb.LEAVE or not self._slots)
            self._slots.append(slot)
            return slot if slot.started else None

    def add_done(self, step: Step) -> None:
        """Take a step that has nothing to do."""
        with self._changed:
            if self._slots:
                self._slots.append(Slot(step, started=True, done=True))
            else:
                self._behind = step

    def finish(self, slot: Slot) -> Slot | None:
        """Mark a step done; return the one that may start now because of it."""
        with self._changed:
            slot.done = True
            while self._slots and self._slots[0].done:
                step = self._slots.popleft().step
                if step.verb is not Verb.LEAVE:
                    self._behind = step
            self._changed.notify_all()
            if self._slots and not self._slots[0].started:
                self._slots[0].started = True
                return self._slots[0]
            return None

    def wait_for_room(self, timeout_s: float) -> bool:
        """Wait until a step may be added; False if the time ended first."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self._slots) < self._pending_max, timeout_s)

    def wait_until_empty(self, timeout_s: float) -> bool:
        """Wait until all is done; False if the time ended first."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._slots, timeout_s)
