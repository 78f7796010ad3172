"""Who is in the cluster, who of them lives, and who writes.

Members register in the catalog and count heartbeats.  Whoever watches decides by its own clock
whether a counter still moves; no two clocks are ever compared.  `static` discovery is a fixed list.

Lock order: a directory's `_lock` alone; the catalog is never called with it held.
"""

import logging
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Protocol

from roost.clock import Clock, SystemClock
from roost.errors import RoostError
from roost.vector.catalog.catalog import Catalog
from roost.vector.catalog.values import LeaseRow, Member

log = logging.getLogger(__name__)

ROLE_WRITER = "rw"
ROLE_READER = "ro"
ROLE_ROUTER = "router"

BEAT_S = 1.0
DEAD_AFTER_S = 4.0
"""A counter that stood still this long belongs to a dead member."""
FORGET_AFTER_S = 120.0
"""A member dead this long is taken off the list by the writer."""
WATCH_S = 0.5
"""Between two looks at the list of members."""


class Directory(Protocol):
    """Whom to ask."""

    def readers(self) -> tuple[Member, ...]:
        """Return the living readers, by id."""
        ...

    def writer(self) -> Member | None:
        """Return the member that holds the lease, None if it is not known."""
        ...

    def refresh(self) -> None:
        """Look again now.  Raises Unavailable."""
        ...


class Liveness:
    """Which heartbeat counters moved lately.  Pure: beats and the time are passed in."""

    def __init__(self, dead_after_s: float = DEAD_AFTER_S) -> None:
        self._dead_after_s = dead_after_s
        self._seen: dict[str, tuple[int, float]] = {}

    def observe(self, beats: Mapping[str, int], now_s: float) -> None:
        """Take the counters as they are at `now_s`; members not named are forgotten."""
        before = self._seen
        self._seen = {
            member: before[member] if before.get(member, (None, 0))[0] == count else (count, now_s)
            for member, count in beats.items()
        }

    def silent_s(self, member: str, now_s: float) -> float:
        """Return for how long the member's counter stood still as far as we saw."""
        return now_s - self._seen[member][1] if member in self._seen else float("inf")

    def alive(self, now_s: float) -> frozenset[str]:
        """Return the members whose counter moved, or appeared, within the limit."""
        return frozenset(m for m in self._seen if self.silent_s(m, now_s) < self._dead_after_s)


class StaticDirectory:
    """A fixed list of members; the lease still says which of the writers writes.

    With several writers the catalog is asked by whoever asks for the writer, WATCH_S apart: no
    thread watches, and a take-over shows without a `refresh`.
    """

    def __init__(
        self,
        members: Iterable[Member],
        catalog: Catalog | None = None,
        clock: Clock | None = None,
        watch_s: float = WATCH_S,
    ) -> None:
        listed = sorted(members, key=lambda m: m.id)
        self._readers = tuple(m for m in listed if m.role == ROLE_READER)
        self._writers = {m.id: m for m in listed if m.role == ROLE_WRITER}
        self._catalog = catalog
        self._clock = clock or SystemClock()
        self._watch_s = watch_s
        self._lock = threading.Lock()  # guards the two below
        self._holder = ""
        self._looked_s: float | None = None

    def readers(self) -> tuple[Member, ...]:
        """As in Directory; nobody is ever found dead, failing calls are retried elsewhere."""
        return self._readers

    def writer(self) -> Member | None:
        """As in Directory; with a single writer on the list, that one."""
        if len(self._writers) == 1:
            return next(iter(self._writers.values()))
        if self._is_to_look():
            try:
                self.refresh()
            except RoostError as error:
                log.warning("cannot read who writes: %s", error)
        with self._lock:
            return self._writers.get(self._holder)

    def refresh(self) -> None:
        """As in Directory."""
        if self._catalog is None or len(self._writers) < 2:
            return
        lease = self._catalog.lease()
        with self._lock:
            self._holder = "" if lease.released else lease.holder

    def _is_to_look(self) -> bool:
        """True for one caller every WATCH_S; the others take what was seen last."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            if self._looked_s is not None and now_s - self._looked_s < self._watch_s:
                return False
            self._looked_s = now_s
            return True


class CatalogDirectory:
    """The members that the catalog lists, watched by a thread of its own."""

    def __init__(
        self, catalog: Catalog, clock: Clock, watch_s: float = WATCH_S, *, forget_dead: bool = False
    ) -> None:
        """With `forget_dead` members found dead for long are taken off the list."""
        self._catalog = catalog
        self._clock = clock
        self._watch_s = watch_s
        self._forget_dead = forget_dead
        self._lock = threading.Lock()
        self._liveness = Liveness()
        self._members: dict[str, Member] = {}
        self._lease: LeaseRow | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="roost-members", daemon=True)

    def start(self) -> None:
        """Look once, then go on watching.  Raises Unavailable if the catalog is not there."""
        self.refresh()
        self._thread.start()

    def stop(self) -> None:
        """End the watch."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def refresh(self) -> None:
        """As in Directory."""
        members = {member.id: member for member in self._catalog.members()}
        lease = self._catalog.lease()
        now_s = self._clock.monotonic_s()
        with self._lock:
            self._members, self._lease = members, lease
            self._liveness.observe({m.id: m.beats for m in members.values()}, now_s)

    def readers(self) -> tuple[Member, ...]:
        """As in Directory."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            alive = self._liveness.alive(now_s)
            return tuple(
                # Without its counter, so that equal lists mean equal members.
                replace(member, beats=0)
                for name, member in sorted(self._members.items())
                if member.role == ROLE_READER and name in alive
            )

    def writer(self) -> Member | None:
        """As in Directory; dead or not, for only the lease decides who writes."""
        with self._lock:
            if self._lease is None or self._lease.released:
                return None
            return self._members.get(self._lease.holder)

    def dead(self, after_s: float = FORGET_AFTER_S) -> tuple[str, ...]:
        """Return the ids of members that were silent for `after_s`."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            silent = (m for m in self._members if self._liveness.silent_s(m, now_s) >= after_s)
            return tuple(sorted(silent))

    def _watch(self) -> None:
        while not self._clock.wait(self._stop, self._watch_s):
            try:
                self.refresh()
                for member_id in self.dead() if self._forget_dead else ():
                    log.info("member %s was silent for long and is forgotten", member_id)
                    self._catalog.leave(member_id)
            except RoostError as error:
                # What was seen last stays true until it is seen otherwise.  Counters that we could
                # not read are not held against their owners.
                log.warning("cannot read the list of members: %s", error)


class Heartbeat:
    """Keeps one member on the list for as long as it runs."""

    def __init__(
        self, catalog: Catalog, member: Member, clock: Clock, beat_s: float = BEAT_S
    ) -> None:
        self._catalog = catalog
        self._member = member
        self._clock = clock
        self._beat_s = beat_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="roost-heartbeat", daemon=True)

    def start(self) -> None:
        """Register and go on beating.  Raises Unavailable if the catalog is not there."""
        self._catalog.register(self._member)
        self._thread.start()

    def stop(self) -> None:
        """Stop beating and leave the list, so that nobody asks us any more."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        try:
            self._catalog.leave(self._member.id)
        except RoostError as error:
            log.info("could not leave the list of members: %s", error)

    def _run(self) -> None:
        while not self._clock.wait(self._stop, self._beat_s):
            try:
                if not self._catalog.beat(self._member.id):
                    self._catalog.register(self._member)
            except RoostError as error:
                log.warning("heartbeat failed: %s", error)
