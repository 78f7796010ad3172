"""A named pool of threads whose queue is bounded: who submits too much waits.

Lock order: none is held here; the semaphore counts tasks queued or running.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from roost.errors import Unavailable
from roost.volume.data.courtesy import Courtesy

T = TypeVar("T")


class BoundedPool:
    """At most `threads` tasks run, and at most `waiting_max` more wait."""

    def __init__(
        self, name: str, threads: int, waiting_max: int, *, may_wait: bool = False
    ) -> None:
        """`may_wait`: its threads leave the processors to the others when they are wanted."""
        self._courtesy = Courtesy() if may_wait else None
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._places = threading.BoundedSemaphore(threads + waiting_max)

    def submit(self, task: Callable[[], T]) -> "Future[T]":
        """Run `task` on the pool; waits while the queue is full (back-pressure).

        Never call it from a task of the same pool.  Raises Unavailable once it is closed.
        """
        self._places.acquire()
        return self._start(task)

    def try_submit(self, task: Callable[[], T]) -> "Future[T] | None":
        """Run `task` on the pool, or return None if the queue is full, or closed."""
        if not self._places.acquire(blocking=False):
            return None
        try:
            return self._start(task)
        except Unavailable:
            return None

    def close(self) -> None:
        """Wait for the tasks under way and stop the threads."""
        if self._courtesy is not None:
            self._courtesy.end()
        self._executor.shutdown(wait=True)

    def _start(self, task: Callable[[], T]) -> "Future[T]":
        run = task if self._courtesy is None else partial(self._courtesy.run, task)
        try:
            future = self._executor.submit(run)
        except RuntimeError as error:
            self._places.release()
            raise Unavailable("the volume is closed") from error
        future.add_done_callback(lambda _done: self._places.release())
        return future
