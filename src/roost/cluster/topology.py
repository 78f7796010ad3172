"""The living readers, what each holds, and the channels to them.

Every reader is always being asked for news: it answers when its versions change, or after a moment.
(That standing call also keeps gRPC from starting a thread for every other one.)  The reader of this
process is looked at directly.  A reader that failed is left out until it answers again.

Lock order: `_lock` alone; nothing is sent with it held.
"""

import logging
import threading
from collections.abc import Mapping
from typing import Protocol, TypeVar

from roost.clock import Clock
from roost.cluster.members import Directory
from roost.cluster.plan import ReaderView
from roost.cluster.rpc.methods import WATCH_STATUS, Method
from roost.cluster.rpc.peer import Peer, Pending
from roost.cluster.rpc.status import ReaderStatus
from roost.errors import Failure, Gone, RoostError, TimedOut, Unavailable
from roost.vector.errors import TimestampNotReached
from roost.vector.timestamps import from_ms

log = logging.getLogger(__name__)

Q = TypeVar("Q")
A = TypeVar("A")

STATUS_S = 0.2
STATUS_TIMEOUT_S = 1.0
LAG_MS = 10_000
"""A reader further behind the others is left out while it catches up."""


class LocalReader(Protocol):
    """The reader of this process, if the router is carried by one."""

    member_id: str

    @property
    def visible_ts(self) -> int:
        """Every durable record up to this timestamp was applied."""
        ...

    @property
    def held(self) -> Mapping[int, Mapping[int, bool]]:
        """Collection id → version → warm; another object whenever it has changed."""
        ...


class Topology:
    """Knows the readers.  Thread-safe."""

    def __init__(
        self, directory: Directory, clock: Clock, local: LocalReader | None = None
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._local = local
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._peers: dict[str, Peer] = {}
        self._asked: dict[str, Pending[ReaderStatus]] = {}
        self._statuses: dict[str, ReaderStatus] = {}
        self._views: Mapping[str, ReaderView] = {}
        self._reached: dict[str, int] = {}
        self._furthest_ts = 0
        self._local_seen: tuple[object, bool] = (None, False)
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="roost-topology", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Close all channels."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        with self._lock:
            peers, self._peers = list(self._peers.values()), {}
        for peer in peers:
            peer.close()

    @property
    def local_name(self) -> str:
        """The reader of this process, empty if there is none."""
        return "" if self._local is None else self._local.member_id

    def views(self) -> Mapping[str, ReaderView]:
        """Return the readers that can be asked; the same object as long as nothing changed.

        `visible_ts` in it is from the last status, thus a bound from below.
        """
        local = self._local
        if local is not None and (local.held, self._keeps_up(local.visible_ts)) != self._local_seen:
            with self._lock:
                self._rebuild()
        return self._views

    def visible_ts(self, name: str) -> int:
        """Return up to when a reader among the views is known to have everything."""
        if self._local is not None and name == self._local.member_id:
            return self._local.visible_ts
        status = self._statuses.get(name)
        if status is not None:
            return status.visible_ts
        return self._reached.get(name, 0)

    def wait_change(self, views: Mapping[str, ReaderView], timeout_s: float) -> None:
        """Have the readers asked again now, and wait until `views` is out of date, bounded."""
        self._wake.set()
        with self._changed:
            self._changed.wait_for(lambda: self._views is not views, timeout_s)

    def send(self, name: str, method: Method[Q, A], request: Q, timeout_s: float) -> Pending[A]:
        """Ask that reader without waiting.  Raises Unavailable if it is not on the list."""
        peer = self._peers.get(name)
        if peer is None:
            raise Unavailable(f"reader {name} is gone")
        return peer.start(method, request, timeout_s)

    def failed(self, name: str, error: RoostError) -> None:
        """Leave a reader out until it answers again, if `error` says that it cannot."""
        if name == self.local_name or isinstance(error, (Gone, TimedOut, TimestampNotReached)):
            return
        if not isinstance(error, Failure):
            return
        log.info("reader %s is left out: %s", name, error)
        with self._lock:
            if self._statuses.pop(name, None) is not None:
                self._rebuild()
        self._wake.set()

    def _watch(self) -> None:
        while not self._stop.is_set():
            self._look()
            self._clock.wait(self._wake, STATUS_S)
            self._wake.clear()

    def _look(self) -> None:
        """Take the list of members as it is and ask those that are not being asked."""
        wanted = {m.id: m.address for m in self._directory.readers() if m.id != self.local_name}
        with self._lock:
            gone = [n for n, p in self._peers.items() if wanted.get(n) != p.address]
            closing = [self._peers.pop(name) for name in gone]
            for name in gone:
                self._asked.pop(name, None)
                self._statuses.pop(name, None)
            for name in wanted.keys() - self._peers.keys():
                self._peers[name] = Peer(wanted[name], watched=False)
            if gone:
                self._rebuild()
            asking = [(n, p) for n, p in self._peers.items() if n not in self._asked]
        for peer in closing:
            peer.close()
        for name, peer in asking:
            self._ask_status(name, peer)

    def _ask_status(self, name: str, peer: Peer) -> None:
        status = self._statuses.get(name)
        try:
            pending = peer.start(
                WATCH_STATUS, 0 if status is None else status.edition, STATUS_TIMEOUT_S
            )
        except Unavailable:
            return
        with self._lock:
            self._asked[name] = pending
        pending.when_done(lambda: self._took(name, peer, pending))

    def _took(self, name: str, peer: Peer, pending: Pending[ReaderStatus]) -> None:
        status: ReaderStatus | None
        try:
            status = pending.result()
        except RoostError as error:
            log.debug("reader %s did not tell its status: %s", name, error)
            status = None
        with self._lock:
            if self._asked.get(name) is not pending:
                return
            del self._asked[name]
            before = self._statuses.get(name)
            if status is None:
                self._statuses.pop(name, None)
            else:
                self._statuses[name] = status
            if status is not None:
                self._furthest_ts = max(self._furthest_ts, status.visible_ts)
            if self._usable(before, name in self._views) != self._usable(
                status, status is not None and self._keeps_up(status.visible_ts)
            ):
                self._rebuild()
        if status is not None and not self._stop.is_set():
            self._ask_status(name, peer)

    def _rebuild(self) -> None:
        """Make a new set of views; with `_lock` held."""
        views = {
            name: ReaderView(name, status.collections, status.visible_ts)
            for name, status in self._statuses.items()
            if self._keeps_up(status.visible_ts)
        }
        if self._local is not None:
            held, visible_ts = self._local.held, self._local.visible_ts
            self._local_seen = (held, self._keeps_up(visible_ts))
            if self._local_seen[1]:
                views[self._local.member_id] = ReaderView(self._local.member_id, held, visible_ts)
        self._reached.update({name: view.visible_ts for name, view in views.items()})
        self._views = views
        self._changed.notify_all()

    def _keeps_up(self, visible_ts: int) -> bool:
        """True unless a reader would answer as of long ago: it joins, or fell behind."""
        return visible_ts > 0 and visible_ts >= self._furthest_ts - from_ms(LAG_MS)

    @staticmethod
    def _usable(status: ReaderStatus | None, keeps_up: bool) -> object:
        """Return what of a status matters for plans."""
        return status.collections if status is not None and keeps_up else None
