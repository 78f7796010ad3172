"""Bandwidth and the number of requests of one process towards one place.

Lock order: a `Rate`'s lock is never held while waiting, and no other lock is taken under it.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from typing_extensions import Buffer

from roost.blob.store import BlobInfo, BlobStore
from roost.clock import Clock, SystemClock

REQUESTS_MAX = 64
"""Requests of one place at a time; more wait their turn."""
_BYTES_PER_MEGABIT = 125_000
_BURST_S = 0.1


class Rate:
    """A flow of bytes held to so many a second, with bursts of a tenth of a second.

    Whoever takes is booked at once and waits for the past to be paid off: takers are served in
    order, and the long-run rate is exact whatever the sizes.
    """

    def __init__(self, bytes_per_s: float, clock: Clock | None = None) -> None:
        assert bytes_per_s > 0
        self._rate = bytes_per_s
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._free_at_s = self._clock.monotonic_s() - _BURST_S

    def take(self, size_bytes: int) -> None:
        """Wait until `size_bytes` may flow."""
        with self._lock:
            now_s = self._clock.monotonic_s()
            starts_s = max(self._free_at_s, now_s - _BURST_S)
            self._free_at_s = starts_s + size_bytes / self._rate
            wait_s = self._free_at_s - now_s
        if wait_s > 0:
            self._clock.wait(threading.Event(), wait_s)


class Limits:
    """What all stores of one place share.  Zero megabits per second mean no limit."""

    def __init__(
        self,
        upload_mbps: int = 0,
        download_mbps: int = 0,
        requests_max: int = REQUESTS_MAX,
        clock: Clock | None = None,
    ) -> None:
        self._requests = threading.BoundedSemaphore(requests_max)
        self._up = Rate(upload_mbps * _BYTES_PER_MEGABIT, clock) if upload_mbps else None
        self._down = Rate(download_mbps * _BYTES_PER_MEGABIT, clock) if download_mbps else None

    def sent(self, size_bytes: int) -> None:
        """Wait until so many bytes may be sent."""
        if self._up is not None:
            self._up.take(size_bytes)

    def received(self, size_bytes: int) -> None:
        """Wait until so many bytes, just received, are within the limit."""
        if self._down is not None:
            self._down.take(size_bytes)

    @contextmanager
    def request(self) -> Iterator[None]:
        """Hold one of the requests for the time of the block."""
        with self._requests:
            yield


class LimitedStore:
    """`BlobStore` within `limits`.  A listing holds no request: it may be left half-read."""

    def __init__(self, inner: BlobStore, limits: Limits) -> None:
        self._inner = inner
        self._limits = limits

    @property
    def name(self) -> str:
        """As in BlobStore."""
        return self._inner.name

    def put(self, key: str, data: Buffer) -> None:
        """As in BlobStore."""
        self._limits.sent(memoryview(data).nbytes)
        with self._limits.request():
            self._inner.put(key, data)

    def put_if_absent(self, key: str, data: Buffer) -> None:
        """As in BlobStore."""
        self._limits.sent(memoryview(data).nbytes)
        with self._limits.request():
            self._inner.put_if_absent(key, data)

    def get(self, key: str) -> Buffer:
        """As in BlobStore."""
        with self._limits.request():
            data = self._inner.get(key)
        self._limits.received(memoryview(data).nbytes)
        return data

    def get_range(self, key: str, offset: int, size_bytes: int) -> Buffer:
        """As in BlobStore."""
        with self._limits.request():
            data = self._inner.get_range(key, offset, size_bytes)
        self._limits.received(memoryview(data).nbytes)
        return data

    def head(self, key: str) -> BlobInfo:
        """As in BlobStore."""
        with self._limits.request():
            return self._inner.head(key)

    def delete(self, key: str) -> None:
        """As in BlobStore."""
        with self._limits.request():
            self._inner.delete(key)

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """As in BlobStore."""
        return self._inner.list(prefix)
