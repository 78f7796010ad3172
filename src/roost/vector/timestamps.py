"""Hybrid timestamps: physical milliseconds << 18 | a counter.

One clock of one writer orders every row and delete.  It never goes back, also not over a
restart: the catalog keeps a high-water mark, and a new writer starts above it (hazard H22).
Source: Milvus's timestamp oracle, as clients see it in MutationResult.timestamp.
"""

import threading

from roost.clock import Clock

COUNTER_BITS = 18


def from_ms(wall_ms: int) -> int:
    """Return the first timestamp of that millisecond since the Unix epoch."""
    return wall_ms << COUNTER_BITS


def to_ms(timestamp: int) -> int:
    """Return the milliseconds since the Unix epoch of `timestamp`."""
    return timestamp >> COUNTER_BITS


class HybridClock:
    """Hands out rising timestamps.  Thread-safe: one lock, held for arithmetic only."""

    def __init__(self, clock: Clock, floor: int = 0) -> None:
        self._clock = clock
        self._last = floor
        self._lock = threading.Lock()

    def next(self) -> int:
        """Return a timestamp above every one returned before and above the floor."""
        with self._lock:
            now = from_ms(self._clock.wall_ns() // 1_000_000)
            self._last = max(self._last + 1, now)
            return self._last

    def reserve(self, count: int) -> int:
        """Return the first of `count` timestamps in a row that nobody else gets."""
        assert count > 0, count
        with self._lock:
            now = from_ms(self._clock.wall_ns() // 1_000_000)
            first = max(self._last + 1, now)
            self._last = first + count - 1
            return first

    def raise_floor(self, timestamp: int) -> None:
        """Make every later timestamp larger than `timestamp`."""
        with self._lock:
            self._last = max(self._last, timestamp)

    @property
    def last(self) -> int:
        """The largest timestamp handed out so far, or the floor."""
        with self._lock:
            return self._last
