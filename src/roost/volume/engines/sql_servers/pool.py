"""A bounded number of sessions, handed to one thread at a time; the last one used comes first."""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from roost.errors import Unavailable
from roost.volume.engines.sql_servers.session import Session

SESSIONS_MAX = 16


class Pool:
    """Safe from many threads.  Who waits for a session waits for whoever has one."""

    def __init__(self, make: Callable[[], Session], place: str) -> None:
        self._make = make
        self._place = place
        self._idle: queue.LifoQueue[Session] = queue.LifoQueue()
        self._allowed = threading.BoundedSemaphore(SESSIONS_MAX)
        self._closed = False

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Lend a session; it must come back outside of any transaction."""
        with self._allowed:
            if self._closed:
                raise Unavailable(f"{self._place} is closed")
            try:
                session = self._idle.get_nowait()
            except queue.Empty:
                session = self._make()
            try:
                yield session
            except Exception:
                session.end()
                raise
            except BaseException:  # Ctrl-C, perhaps in the middle of an answer
                session.abandon()
                raise
            finally:
                self._idle.put(session)
                self._close_idle_if_closed()

    def close(self) -> None:
        """Close what is idle; what is lent is closed when it comes back."""
        self._closed = True
        self._close_idle_if_closed()

    def _close_idle_if_closed(self) -> None:
        while self._closed:
            try:
                self._idle.get_nowait().close()
            except queue.Empty:
                return
