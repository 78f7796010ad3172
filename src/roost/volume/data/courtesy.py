"""A thread that leaves the processors to the others when they are wanted.

A low priority would do that worse: whoever the others keep from a processor while it holds the
interpreter's lock, or one of its own, keeps all who need that lock waiting too.  A courteous thread
works at the usual priority, looks how long it was kept waiting, and stays away several times as
long before its next task, holding nothing.  What it is idle counts.
"""

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from roost.clock import Clock, SystemClock

T = TypeVar("T")
AWAY_PER_WAIT = 3
AWAY_S_MAX = 1.0
_STATISTICS = Path("/proc/thread-self/schedstat")


def waited_s(statistics: Path = _STATISTICS) -> float:
    """Return how long this thread was ready and had no processor, since it began.

    0 where the system does not tell.  Source: Linux, Documentation/scheduler/sched-stats.rst.
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(statistics.read_text().split()[1]) / 1e9
    return 0.0


class Courtesy:
    """Runs tasks on the threads that call it, and holds each back as the last one deserves."""

    def __init__(self, waited: Callable[[], float] = waited_s, clock: Clock | None = None) -> None:
        self._waited = waited
        self._clock = clock or SystemClock()
        self._own = threading.local()  # `until_s`: when a thread may work again
        self._ended = threading.Event()

    def run(self, task: Callable[[], T]) -> T:
        """Return what `task` returns, after staying away for as long as is due."""
        away_s = getattr(self._own, "until_s", 0.0) - self._clock.monotonic_s()
        if away_s > 0:
            self._ended.wait(away_s)
        before_s = self._waited()
        try:
            return task()
        finally:
            away_s = min((self._waited() - before_s) * AWAY_PER_WAIT, AWAY_S_MAX)
            self._own.until_s = self._clock.monotonic_s() + away_s

    def end(self) -> None:
        """Stay away no more: somebody waits for the last tasks."""
        self._ended.set()
