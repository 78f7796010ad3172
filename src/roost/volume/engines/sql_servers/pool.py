"""A bounded number of sessions, handed to one thread at a time; the last one used comes first.

The server may allow fewer connections than the bound.  Who is refused one for that reason while
others of this process are connected lowers the bound to those and waits for one of them; later the
bound rises again, one at a time.

Invariants: a session is idle or lent; idle ones that are connected stand behind those that are not.
Locks: one, that of the condition; nothing is called under it.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from roost.clock import Clock
from roost.errors import Unavailable
from roost.volume.engines.forks import Origin
from roost.volume.engines.sql_servers.driver import Failed, SqlError
from roost.volume.engines.sql_servers.session import Session

SESSIONS_MAX = 16
WAIT_MAX_S = 60.0  # more than any one call takes
RAISE_AFTER_S = 10.0


class Pool:
    """Safe from many threads.  Who waits for a session waits for whoever has one."""

    def __init__(self, make: Callable[[], Session], place: str, clock: Clock) -> None:
        self._origin = Origin()
        self._make = make
        self._place = place
        self._clock = clock
        self._changed = threading.Condition()
        self._idle: list[Session] = []
        self._lent: set[Session] = set()
        self._connecting: set[Session] = set()
        self._bound = SESSIONS_MAX
        self._raise_at_s = 0.0
        self._closed = False

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Lend a session; it must come back outside of any transaction.  Raises Unavailable."""
        self.demand_here()
        session = self._take()
        try:
            yield session
        except Exception:
            session.end()
            raise
        except BaseException:  # Ctrl-C, perhaps in the middle of an answer
            session.abandon()
            raise
        finally:
            self._put(session)

    @contextmanager
    def separate(self) -> Iterator[Session]:
        """Lend a session that the bound does not count, for as long as the caller likes."""
        self.demand_here()
        session = self._make()
        try:
            try:
                session.connect()
            except SqlError as error:  # the session tries again by itself
                if error.kind is Failed.CROWDED:
                    self._make_room()
            yield session
        finally:
            if self._origin.is_here:
                session.drop()
            else:
                session.forsake()

    def demand_here(self) -> None:
        """Raise Unavailable in a forked child that inherited this."""
        self._origin.demand(self._place)

    def close(self) -> None:
        """Close what is idle; what is lent is closed when it comes back.

        In a forked child that inherited it: let go of the copies, without a goodbye.
        """
        if not self._origin.is_here:  # the lock may be held by a thread that the child lacks
            for session in self._idle:
                session.forsake()
            return
        with self._changed:
            self._closed = True
            idle, self._idle = self._idle, []
            self._changed.notify_all()
        for session in idle:
            session.close()

    # ---- lending
    def _take(self) -> Session:
        refused = False
        while True:
            session = self._next(refused=refused)
            if session.is_connected or not self._is_refused(session):
                return session
            refused = True

    def _next(self, *, refused: bool) -> Session:
        """Return a session that nobody else has; `refused` if the server gave this caller none."""
        until_s = self._clock.monotonic_s() + WAIT_MAX_S
        with self._changed:
            while True:
                if self._closed:
                    raise Unavailable(f"{self._place} is closed")
                if self._has_one(refused=refused):
                    session = self._idle.pop() if self._idle else self._make()
                    self._lent.add(session)
                    return session
                left_s = until_s - self._clock.monotonic_s()
                if left_s <= 0 or not self._changed.wait(left_s):
                    raise Unavailable(
                        f"{self._place}: no connection became free in {WAIT_MAX_S:g} s",
                        hint="Raise the server's limit of connections, or use fewer threads.",
                    )

    def _is_refused(self, session: Session) -> bool:
        """Connect; True if another session is to be waited for, and this one was taken back."""
        with self._changed:
            self._connecting.add(session)
        crowded = False
        try:
            session.connect()
        except SqlError as error:  # others than that: the session tries again by itself
            crowded = error.kind is Failed.CROWDED
        except BaseException:
            self._put(session)
            raise
        with self._changed:
            self._connecting.discard(session)
            self._changed.notify_all()
            if not crowded:
                return False
            self._lent.discard(session)
            if not self._has_siblings() and not self._is_connected_idle():
                self._lent.add(session)  # other programs have all there are
                return False
            self._idle.insert(0, session)
            self._lower(len(self._lent))
            return True

    def _put(self, session: Session) -> None:
        with self._changed:
            self._lent.discard(session)
            self._connecting.discard(session)
            closed = self._closed
            spare = not closed and self._connected_count() >= self._bound
            if not closed and not spare:
                self._shelve(session)
            self._changed.notify()
        if closed:
            session.close()
        elif spare:
            session.drop()
            with self._changed:
                self._shelve(session)

    def _make_room(self) -> None:
        """Let go of a connection, now or when one comes back."""
        with self._changed:
            self._lower(self._connected_count() - 1)
            session = self._idle.pop() if self._is_connected_idle() else None
            if session is not None:
                self._lent.add(session)
        if session is not None:
            session.drop()
            self._put(session)

    # ---- under the lock
    def _has_one(self, *, refused: bool) -> bool:
        if self._is_connected_idle():
            return True
        now_s = self._clock.monotonic_s()
        if self._bound < SESSIONS_MAX and now_s >= self._raise_at_s:
            self._bound += 1
            self._raise_at_s = now_s + RAISE_AFTER_S
        if len(self._lent) < self._bound:
            return True
        return refused and len(self._lent) < SESSIONS_MAX and not self._has_siblings()

    def _has_siblings(self) -> bool:
        return any(session.is_connected or session in self._connecting for session in self._lent)

    def _is_connected_idle(self) -> bool:
        return bool(self._idle) and self._idle[-1].is_connected

    def _connected_count(self) -> int:
        return len(self._lent) + sum(session.is_connected for session in self._idle)

    def _lower(self, bound: int) -> None:
        self._bound = max(1, min(self._bound, bound))
        self._raise_at_s = self._clock.monotonic_s() + RAISE_AFTER_S

    def _shelve(self, session: Session) -> None:
        if session.is_connected:
            self._idle.append(session)
        else:
            self._idle.insert(0, session)
