"""A fork while SQLite is in use.

A child inherits the library's memory, but neither other threads nor file locks.  A mutex that
another thread held stays locked in it for ever.  And a database that was open counts as open and
locked there: the child's own connections would then take no locks, and another process could remove
the log they write to.  So a fork waits until no thread is inside the library and closes all
connections first; they are opened again when they are needed.  A child that inherited one all the
same, a scan's for one, is refused.

All calls of the library are made inside `GATE`.  Entering and leaving take no lock: each side
writes its own mark before it looks at the other's, and the interpreter keeps that order.
"""

import os
import threading
import weakref
from typing import Protocol

from roost.errors import Unavailable

FORK_WAIT_S = 10.0  # how long a fork waits for the threads inside


class Holder(Protocol):
    """Who has connections."""

    @property
    def has_connections(self) -> bool:
        """True if any is open."""
        ...

    def let_go(self) -> None:
        """Close those that are idle.  Never raises; no thread is inside the gate."""
        ...


class Gate:
    """Who is inside of the library, and the fork that waits for them.  Threads may nest."""

    def __init__(self) -> None:
        self._holders: weakref.WeakSet[Holder] = weakref.WeakSet()
        self._inherited: list[Holder] = []  # kept: closing them here would be felt by the parent
        self._is_spoiled = False
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._inside: dict[int, int] = {}  # how deep each thread is
        self._forking = 0
        self._changed = threading.Condition()

    def add(self, holder: Holder) -> None:
        """From now on a fork closes its connections.  Called inside."""
        self._holders.add(holder)

    def demand_usable(self, place: object) -> None:
        """Raise Unavailable if this process inherited open connections."""
        if self._is_spoiled:
            raise Unavailable(
                f"cannot open {place}: this process was forked while its parent was using SQLite",
                hint='Start workers with multiprocessing\'s "spawn" or "forkserver" method.',
            )

    def __enter__(self) -> None:
        me = threading.get_ident()
        inside = self._inside
        depth = inside.get(me, 0)
        inside[me] = depth + 1
        if self._forking and not depth:
            self._wait(me)

    def __exit__(self, *_: object) -> None:
        me = threading.get_ident()
        depth = self._inside.pop(me, 1)
        if depth > 1:
            self._inside[me] = depth - 1
        elif self._forking:
            with self._changed:
                self._changed.notify_all()

    def _wait(self, me: int) -> None:
        """Step back until the fork is over."""
        with self._changed:
            while self._forking:
                self._inside.pop(me, None)
                self._changed.notify_all()
                self._changed.wait()
            self._inside[me] = 1

    # ---- around a fork
    def before(self) -> None:
        """Wait for those inside, then close all connections."""
        me = threading.get_ident()
        with self._changed:
            self._forking += 1
            self._changed.wait_for(lambda: not self._others(me), FORK_WAIT_S)
        if not self._inside:
            for holder in list(self._holders):
                holder.let_go()

    def after_in_parent(self) -> None:
        """Let everybody in again."""
        with self._changed:
            self._forking = max(self._forking - 1, 0)  # Ctrl-C may have come before it rose
            self._changed.notify_all()

    def after_in_child(self) -> None:
        """Begin with nobody inside, and without the parent's connections."""
        holders = list(self._holders)
        if self._inside or any(holder.has_connections for holder in holders):
            self._is_spoiled = True
        self._inherited.extend(holders)
        self._holders.clear()
        self._begin_anew()

    def _others(self, me: int) -> list[int]:
        return [thread for thread in list(self._inside) if thread != me]


GATE = Gate()
os.register_at_fork(
    before=GATE.before,
    after_in_parent=GATE.after_in_parent,
    after_in_child=GATE.after_in_child,
)
