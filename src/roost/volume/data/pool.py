"""A named pool of threads whose queue is bounded: who submits too much waits.

Lock order: none is held here; the semaphore counts tasks queued or running.
"""

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
NICE = 10
"""Of threads that may wait, in nice(2)'s units."""


class BoundedPool:
    """At most `threads` tasks run, and at most `waiting_max` more wait."""

    def __init__(
        self, name: str, threads: int, waiting_max: int, *, may_wait: bool = False
    ) -> None:
        """`may_wait`: its threads get the processors that the others leave."""
        begin = _give_way if may_wait else None
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name, initializer=begin)
        self._places = threading.BoundedSemaphore(threads + waiting_max)

    def submit(self, task: Callable[[], T]) -> "Future[T]":
        """Run `task` on the pool; waits while the queue is full (back-pressure).

        Never call it from a task of the same pool.
        """
        self._places.acquire()
        return self._start(task)

    def try_submit(self, task: Callable[[], T]) -> "Future[T] | None":
        """Run `task` on the pool, or return None if the queue is full."""
        if not self._places.acquire(blocking=False):
            return None
        return self._start(task)

    def close(self) -> None:
        """Wait for the tasks under way and stop the threads."""
        self._executor.shutdown(wait=True)

    def _start(self, task: Callable[[], T]) -> "Future[T]":
        try:
            future = self._executor.submit(task)
        except RuntimeError:
            self._places.release()
            raise
        future.add_done_callback(lambda _done: self._places.release())
        return future


def _give_way() -> None:
    if sys.platform == "linux":  # where a priority is a thread's own
        with contextlib.suppress(OSError):
            thread = threading.get_native_id()
            lower = max(NICE, os.getpriority(os.PRIO_PROCESS, thread))
            os.setpriority(os.PRIO_PROCESS, thread, lower)
