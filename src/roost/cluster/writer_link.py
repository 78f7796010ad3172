"""The way to the writer, over fail-overs: find it, wait for it (bounded), ask it.

A call that cannot have reached the writer is made again at the next one.  A call that broke under
way is made again only if it may be carried out twice; otherwise it is a CommitUnknown, because the
rows may have been stored.
"""

import logging
import threading
from typing import TypeVar

from roost.clock import Clock
from roost.cluster.members import Directory
from roost.cluster.rpc.errors import Unreachable
from roost.cluster.rpc.methods import TIP, Method
from roost.cluster.rpc.peer import Peer
from roost.errors import CommitUnknown, LeaseLost, RoostError, TimedOut, Unavailable
from roost.vector.catalog.values import Member

log = logging.getLogger(__name__)

Q = TypeVar("Q")
A = TypeVar("A")

FAILOVER_WAIT_S = 30.0
"""How long a call waits for a writer: a lease term, the replay, and some."""
LOOK_S = 0.1
"""Between two looks for the writer while there is none."""
TIP_TIMEOUT_S = 2.0


class WriterLink:
    """Calls to whoever is the writer.  Thread-safe; `_lock` guards the channel alone."""

    def __init__(
        self, directory: Directory, clock: Clock, failover_wait_s: float = FAILOVER_WAIT_S
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._failover_wait_s = failover_wait_s
        self._lock = threading.Lock()
        self._peer: Peer | None = None
        self._closed = threading.Event()

    def call(
        self,
        method: Method[Q, A],
        request: Q,
        timeout_s: float,
        *,
        repeatable: bool,
        wait_s: float | None = None,
    ) -> A:
        """Ask the writer.  `wait_s` bounds the wait for one, `timeout_s` the call itself.

        Raises what the writer raised; Unavailable when there is none in time; CommitUnknown when
        the answer of a call that is not `repeatable` was lost.
        """
        limit_s = self._failover_wait_s if wait_s is None else wait_s
        give_up_s = self._clock.monotonic_s() + limit_s
        while True:
            peer = self._connected(give_up_s)
            try:
                return peer.call(method, request, timeout_s)
            except (Unreachable, LeaseLost) as error:
                self._drop(peer)
                if not repeatable:
                    raise _unknown(method.name, error) from error
                failure: RoostError = error
            except TimedOut as error:
                # A writer that hangs is replaced by a standby after the lease term.
                if not repeatable:
                    raise _unknown(method.name, error) from error
                failure = error
            if self._clock.monotonic_s() >= give_up_s:
                raise failure
            self._pause()

    def close(self) -> None:
        """Drop the channel; waiting calls end as Unavailable."""
        self._closed.set()
        with self._lock:
            peer, self._peer = self._peer, None
        if peer is not None:
            peer.close()

    def _connected(self, give_up_s: float) -> Peer:
        """Return a connected channel to the present writer."""
        while True:
            peer = self._peer_of(self._directory.writer())
            # Connected before we send: then what fails later may have arrived, else it has not.
            if peer is not None and (peer.ready or peer.wait_ready(LOOK_S)):
                return peer
            if self._closed.is_set():
                raise Unavailable("this router stops")
            if self._clock.monotonic_s() >= give_up_s:
                raise Unavailable(
                    "the cluster has no writer now",
                    hint="Try again; a standby takes over after the lease term.",
                )
            self._pause()

    def _drop(self, peer: Peer) -> None:
        """Let the next call connect anew: what broke may look connected for a moment longer."""
        with self._lock:
            if self._peer is not peer:
                return
            self._peer = None
        peer.close()

    def _pause(self) -> None:
        self._clock.wait(self._closed, LOOK_S)
        try:
            self._directory.refresh()
        except RoostError as error:
            log.info("cannot look for the writer: %s", error)

    def _peer_of(self, member: Member | None) -> Peer | None:
        if member is None:
            return None
        with self._lock:
            before = self._peer
            if before is not None and before.address == member.address:
                return before
            self._peer = after = Peer(member.address)
        if before is not None:
            before.close()
        return after


class Tips:
    """Timestamps that cover every acknowledged write, for Strong queries (hazard H19).

    One call to the writer serves all queries that came before it was sent.  One that comes while
    a call is under way waits for the next: the answer on its way may be older than its question.
    """

    def __init__(self, link: WriterLink) -> None:
        self._link = link
        self._turn = threading.Condition()
        self._asking = False
        self._waiting = _Batch()

    def tip(self, wait_s: float) -> int:
        """Return such a timestamp.  Raises Unavailable when there is no writer within `wait_s`."""
        with self._turn:
            mine = self._waiting
            if not self._turn.wait_for(lambda: mine.done or not self._asking, wait_s):
                raise Unavailable("the cluster has no writer now")
            if not mine.done:
                self._asking = True
                self._waiting = _Batch()
        if not mine.done:
            self._ask(mine, wait_s)
        if mine.error is not None:
            raise mine.error
        return mine.timestamp

    def _ask(self, batch: "_Batch", wait_s: float) -> None:
        # Whatever ends this call, nobody may take the timestamp of a batch that got none.
        batch.error = Unavailable("the writer could not be asked")
        try:
            batch.timestamp = self._link.call(
                TIP, None, TIP_TIMEOUT_S, repeatable=True, wait_s=wait_s
            )
            batch.error = None
        except RoostError as error:
            batch.error = error
        finally:
            with self._turn:
                batch.done = True
                self._asking = False
                self._turn.notify_all()


class _Batch:
    """Queries that one call answers."""

    def __init__(self) -> None:
        self.done = False
        self.timestamp = 0
        self.error: RoostError | None = None


def _unknown(call: str, error: RoostError) -> CommitUnknown:
    return CommitUnknown(
        f"the writer went away during {call}: it may or may not have been done ({error})",
        hint="Look whether the rows are there before you send them again.",
    )
