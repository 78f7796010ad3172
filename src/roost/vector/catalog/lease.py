"""The writer's lease: who may write, judged by each side's own monotonic clock (H1, H22)."""

import threading
from collections.abc import Callable

from roost.clock import Clock
from roost.errors import LeaseLost
from roost.vector.catalog.catalog import Catalog
from roost.vector.catalog.values import LeaseRow
from roost.vector.timestamps import HybridClock

TERM_S = 3.0


class Lease:
    """One member's claim on the writer's role.  Safe from any thread.

    Use: `acquire` (or `try_acquire` from a loop of one's own), then `start_renewing`; hand
    `timestamps` and `check` to the LogWriter; `release` after the log is closed.
    """

    def __init__(
        self, catalog: Catalog, member_id: str, clock: Clock, term_s: float = TERM_S
    ) -> None:
        raise NotImplementedError

    @property
    def generation(self) -> int:
        """The generation held.  An error of ours (assert) before `acquire`."""
        raise NotImplementedError

    @property
    def timestamps(self) -> HybridClock:
        """Hands out timestamps above the predecessor's and below what is reserved (H22).

        The new writer also raises its floor to the last timestamp that replay yields.
        """
        raise NotImplementedError

    def try_acquire(self, proof: Callable[[LeaseRow], bool] | None = None) -> bool:
        """Look once and claim if the lease is free; True if it is ours now.

        Free means: never held, released, held by one whom `proof` shows dead, or its row stood
        still for its full term on this clock.  Call again every `poll_s` until True.
        """
        raise NotImplementedError

    def acquire(
        self, stop: threading.Event, proof: Callable[[LeaseRow], bool] | None = None
    ) -> bool:
        """Wait until it is ours; False if `stop` was set first.  Outlasts Unavailable."""
        raise NotImplementedError

    def start_renewing(self, on_lost: Callable[[LeaseLost], None]) -> None:
        """Renew in a thread; `on_lost` is called once, from it, when another one took over."""
        raise NotImplementedError

    def check(self) -> None:
        """Return if the lease is certainly held now.

        If the last renewal is too old it renews once, here; then raises LeaseLost.
        """
        raise NotImplementedError

    def release(self) -> None:
        """Stop renewing and let anyone claim at once.  Only after nothing more is acknowledged."""
        raise NotImplementedError
