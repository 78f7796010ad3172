"""What was written and not synced goes up on its own after a while.

One thread per client looks at all open files every `TICK_S`.  It starts with the first write.
"""

import logging
import threading
from collections.abc import Callable, Iterable
from typing import Protocol

from roost.clock import Clock

TICK_S = 0.5
log = logging.getLogger(__name__)


class Ticking(Protocol):
    """A file with something that may be old."""

    def tick(self) -> None:
        """Store what is old or idle, unless the file is busy."""
        ...


class Flusher:
    """The thread.  Lock order: `_lock` guards the start alone."""

    def __init__(self, files: Callable[[], Iterable[Ticking]], clock: Clock) -> None:
        self._files = files
        self._clock = clock
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, unless it runs."""
        if self._thread is None:
            with self._lock:
                if self._thread is None and not self._stopping.is_set():
                    self._thread = threading.Thread(
                        target=self._work, name="roost-flusher", daemon=True
                    )
                    self._thread.start()

    def stop(self) -> None:
        """End it."""
        with self._lock:
            self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        while not self._clock.wait(self._stopping, TICK_S):
            for file in self._files():
                try:
                    file.tick()
                except Exception:  # background loop: the other files go on
                    log.exception("a file could not be flushed in the background")
