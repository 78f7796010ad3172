"""Hybrid timestamps: physical milliseconds << 18 | a counter.

One clock of one writer orders every row and delete.  It never goes back, also not over a
restart: the catalog keeps a high-water mark, and a new writer starts above it (hazard H22).
Source: Milvus's timestamp oracle, as clients see it in MutationResult.timestamp.
"""

import threading

from roost.clock import Clock
from roost.errors import Unavailable

COUNTER_BITS = 18


def from_ms(wall_ms: int) -> int:
    """Return the first timestamp of that millisecond since the Unix epoch."""
    return wall_ms << COUNTER_BITS


def to_ms(timestamp: int) -> int:
    """Return the milliseconds since the Unix epoch of `timestamp`."""
    return timestamp >> COUNTER_BITS


class HybridClock:
    """Hands out rising timestamps.  Thread-safe: one lock, held for arithmetic only.

    With a `ceiling` it stays at or below it: what the catalog has reserved (hazard H22).  A wall
    clock beyond the ceiling makes timestamps lag, not fail, while there is room below.
    """

    def __init__(self, clock: Clock, floor: int = 0, ceiling: int | None = None) -> None:
        self._clock = clock
        self._last = floor
        self._ceiling = ceiling
        self._lock = threading.Lock()

    def next(self) -> int:
        """Return a timestamp above every one returned before and above the floor.

        Raises Unavailable if that would be above the ceiling.
        """
        return self.reserve(1)

    def reserve(self, count: int) -> int:
        """Return the first of `count` timestamps in a row that nobody else gets.

        Raises Unavailable if the last would be above the ceiling.
        """
        assert count > 0, count
        with self._lock:
            first = max(self._last + 1, from_ms(self._clock.wall_ns() // 1_000_000))
            if self._ceiling is not None and first + count - 1 > self._ceiling:
                first = self._last + 1
                if first + count - 1 > self._ceiling:
                    raise Unavailable("all reserved timestamps are used: the lease is not renewed")
            self._last = first + count - 1
            return first

    def raise_ceiling(self, timestamp: int) -> None:
        """Allow timestamps up to `timestamp`; nothing if it is lower than the ceiling."""
        with self._lock:
            self._ceiling = max(self._ceiling or 0, timestamp)

    def raise_floor(self, timestamp: int) -> None:
        """Make every later timestamp larger than `timestamp`."""
        with self._lock:
            self._last = max(self._last, timestamp)

    @property
    def last(self) -> int:
        """The largest timestamp handed out so far, or the floor."""
        with self._lock:
            return self._last
