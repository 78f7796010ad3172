"""The writer's lease: who may write, judged by each side's own monotonic clock (H1, H22).

A holder trusts its lease until `term_s - margin_s` after the moment it *sent* its last successful
renewal.  Another one claims only after it has *seen* the row unchanged for a full term.  The row it
saw was sent before it saw it, so the two spans never overlap; the margin is for clocks that run at
different rates.  The claim fails if the row moved since it was looked at.

Invariants
* `_good_until_s` only ever comes from a renewal (or claim) that the catalog confirmed.
* The timestamp ceiling is raised only after the catalog confirmed the reservation.

Lock order: `_renewing` (one renewal at a time, held across the catalog call), then `_lock`.
`check` takes `_renewing` only when the lease has run out.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from roost.clock import Clock
from roost.errors import Failure, LeaseLost
from roost.vector.catalog.values import LeaseRow
from roost.vector.timestamps import HybridClock, from_ms

log = logging.getLogger(__name__)

RESERVE_MS = 3000
"""How far ahead of the clock timestamps are reserved with each renewal."""


class LeaseStore(Protocol):
    """What a lease asks of the catalog."""

    def lease(self) -> LeaseRow:
        """As in Catalog."""
        ...

    def claim_generation(self, member_id: str, expected: LeaseRow, term_s: float) -> LeaseRow:
        """As in Catalog."""
        ...

    def renew(self, generation: int, reserve_ts: int) -> None:
        """As in Catalog."""
        ...

    def release(self, generation: int) -> None:
        """As in Catalog."""
        ...


@dataclass(frozen=True, slots=True)
class LeaseTerms:
    """How long things last."""

    term_s: float = 3.0
    """A renewal holds this long.  A standby waits the longer of its own and the holder's term."""
    margin_s: float = 0.5
    """The holder stops this much earlier: for clocks that do not run alike."""
    renew_every_s: float = 1.0
    poll_every_s: float = 0.2
    """How often a standby looks, and how soon a failed renewal is tried again."""


class Lease:
    """One member's claim on the writer's role.  Safe from any thread.

    Use: `acquire` (or `try_acquire` in a loop of one's own), then `start_renewing`; hand
    `timestamps` and `check` to the LogWriter; `release` after the log is closed.
    """

    def __init__(
        self, store: LeaseStore, member_id: str, clock: Clock, terms: LeaseTerms | None = None
    ) -> None:
        self._store = store
        self._member_id = member_id
        self._clock = clock
        self._terms = terms or LeaseTerms()
        assert self._terms.margin_s < self._terms.term_s, "a lease must hold for some time"
        self._renewing = threading.Lock()
        self._lock = threading.Lock()
        self._seen: LeaseRow | None = None
        self._seen_since_s = 0.0
        self._generation = 0
        self._good_until_s = 0.0
        self._lost: LeaseLost | None = None
        self._timestamps: HybridClock | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def generation(self) -> int:
        """The generation held; 0 before `acquire`."""
        with self._lock:
            return self._generation

    @property
    def timestamps(self) -> HybridClock:
        """Hands out timestamps above every predecessor's and below what is reserved (H22).

        The new writer also raises its floor to the last timestamp that replay yields.
        """
        assert self._timestamps is not None, "acquire comes first"
        return self._timestamps

    def try_acquire(self, proof: Callable[[LeaseRow], bool] | None = None) -> bool:
        """Look once and claim if the lease is free; True if it is ours now.

        Free means: never held, released, held by one whom `proof` shows dead, or its row stood
        still for its full term on this clock.  Call again about every `poll_every_s` until True.
        Raises Unavailable, CommitUnknown.
        """
        row = self._store.lease()
        seen_s = self._clock.monotonic_s()  # after the read: the renewal was sent before it
        if row != self._seen:
            self._seen, self._seen_since_s = row, seen_s
        term_s = max(row.term_s, self._terms.term_s)
        stood_still = seen_s - self._seen_since_s >= term_s
        if not (row.released or stood_still or (proof is not None and proof(row))):
            return False
        sent_s = self._clock.monotonic_s()
        try:
            claimed = self._store.claim_generation(self._member_id, row, self._terms.term_s)
        except LeaseLost:
            return False
        log.info(
            "lease claimed: generation=%d after=%s stood_still=%s",
            claimed.generation,
            row.holder or "nobody",
            stood_still,
        )
        with self._lock:
            self._generation = claimed.generation
            self._good_until_s = self._trusted_until(sent_s)
            self._lost = None
        floor = claimed.high_water_ts
        self._timestamps = HybridClock(self._clock, floor=floor, ceiling=floor)
        self._renew()  # reserves the first timestamps
        return True

    def acquire(
        self, stop: threading.Event, proof: Callable[[LeaseRow], bool] | None = None
    ) -> bool:
        """Wait until it is ours; False if `stop` was set first.  Outlasts a catalog that fails."""
        while not stop.is_set():
            try:
                if self.try_acquire(proof):
                    return True
            except Failure as error:
                log.warning("the lease cannot be looked at: %s", error)
            self._clock.wait(stop, self._terms.poll_every_s)
        return False

    def start_renewing(self, on_lost: Callable[[LeaseLost], None]) -> None:
        """Renew in a thread; `on_lost` is called once, from it, when another one took over."""
        assert self._thread is None, "already renewing"
        assert self._generation, "acquire comes first"
        self._stop.clear()
        self._thread = threading.Thread(
            target=self._keep_renewing, args=(on_lost,), name="lease", daemon=True
        )
        self._thread.start()

    def check(self) -> None:
        """Return if the lease is certainly held now.

        If the last renewal is too old, this renews once, here: if the catalog confirms it, nobody
        has claimed meanwhile, and what was synced before is safe to acknowledge.
        Raises LeaseLost otherwise.
        """
        if self._holds_now():
            return
        try:
            self._renew()
        except LeaseLost:
            raise
        except Failure as error:
            raise LeaseLost(f"the lease has run out and cannot be renewed: {error}") from error
        if not self._holds_now():
            raise LeaseLost("the renewal took longer than the lease holds")

    def release(self) -> None:
        """Stop renewing and let anyone claim at once.  Only after nothing more is acknowledged."""
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        self._thread = None
        with self._lock:
            self._good_until_s = 0.0
            generation, lost = self._generation, self._lost
            self._lost = lost or LeaseLost(f"generation {generation} was released")
        if generation and lost is None:
            self._store.release(generation)

    def _holds_now(self) -> bool:
        with self._lock:
            if self._lost is not None:
                raise LeaseLost(self._lost.message)
            return self._clock.monotonic_s() < self._good_until_s

    def _trusted_until(self, sent_s: float) -> float:
        return sent_s + self._terms.term_s - self._terms.margin_s

    def _renew(self) -> None:
        """Renew once.  Raises LeaseLost (for good), Unavailable, CommitUnknown."""
        with self._renewing:
            wall_ms = self._clock.wall_ns() // 1_000_000
            reserve_ts = max(from_ms(wall_ms), self.timestamps.last) + from_ms(RESERVE_MS)
            sent_s = self._clock.monotonic_s()
            try:
                self._store.renew(self.generation, reserve_ts)
            except LeaseLost as error:
                with self._lock:
                    self._lost = self._lost or error
                    self._good_until_s = 0.0
                raise
            self.timestamps.raise_ceiling(reserve_ts)
            with self._lock:
                if self._lost is None:
                    self._good_until_s = max(self._good_until_s, self._trusted_until(sent_s))

    def _keep_renewing(self, on_lost: Callable[[LeaseLost], None]) -> None:
        wait_s = self._terms.renew_every_s
        while not self._clock.wait(self._stop, wait_s):
            wait_s = self._terms.renew_every_s
            try:
                self._renew()
            except LeaseLost as error:
                log.error("lease lost: generation=%d reason=%s", self._generation, error)
                on_lost(error)
                return
            except Failure as error:
                log.warning("lease not renewed: generation=%d %s", self._generation, error)
                wait_s = self._terms.poll_every_s
