"""The disk cache of a volume: several folders, and threads that list and fill them.

A block's folder is found by consistent hashing, so that one folder more or less moves only its
share of the blocks.  Reads happen on the caller's thread; writes on one of a bounded pool, and are
left out when it is busy.
"""

import hashlib
import threading
from bisect import bisect_right
from collections.abc import Callable, Sequence

from typing_extensions import Buffer

from roost.volume.data.disk_cache import DiskCache
from roost.volume.data.pool import BoundedPool
from roost.volume.layout import parse_block_key

WRITES_WAITING_MAX = 6  # blocks
_POINTS = 100  # of each folder on the ring


class DiskCaches:
    """Safe to use from several threads."""

    def __init__(self, caches: Sequence[DiskCache]) -> None:
        """Use at least one folder; what they hold already is listed in the background."""
        self._ring = sorted(
            (_hash(f"{cache.name}#{point}"), number)
            for number, cache in enumerate(caches)
            for point in range(_POINTS)
        )
        self._hashes = [place for place, _ in self._ring]
        self._caches = tuple(caches)
        self._forgotten: tuple[tuple[int, int], ...] = ()  # ranges of slices
        # One for each folder, and it gives way to the others: a copy into the page cache costs as
        # much as the read itself, and a read that goes on is worth more than a copy of it.
        threads = len(self._caches)
        self._writes = BoundedPool("roost-cache", threads, WRITES_WAITING_MAX, may_wait=True)
        # They only read and count, so a process that ends without `close` does not wait for them.
        self._listings = [
            threading.Thread(target=cache.scan, name="roost-cache-list", daemon=True)
            for cache in caches
        ]
        for thread in self._listings:
            thread.start()

    @property
    def size_bytes(self) -> int:
        """Bytes known to be cached in all folders."""
        return sum(cache.size_bytes for cache in self._caches)

    def find(self, key: str, size_bytes: int) -> bytes | None:
        """Return the block if it is here and sound."""
        return None if self._is_forgotten(key) else self._of(key).find(key, size_bytes)

    def find_range(self, key: str, size_bytes: int, offset: int, length: int) -> memoryview | None:
        """Return part of the block if it is here and sound."""
        if self._is_forgotten(key):
            return None
        return self._of(key).find_range(key, size_bytes, offset, length)

    def keep(self, key: str, data: Buffer) -> None:
        """Store the block in the background, unless too much waits already."""
        if not self._is_forgotten(key):
            self._writes.try_submit(lambda: self.keep_now(key, data))

    def keep_now(self, key: str, data: Buffer) -> bool:
        """Store the block on this thread; False if there is no room or the disk refuses."""
        is_kept = self._of(key).keep(key, data)
        if is_kept and self._is_forgotten(key):  # perhaps since the bytes were read
            self.remove(key)
            return False
        return is_kept

    def remove(self, key: str) -> None:
        """Drop a block."""
        self._of(key).remove(key)

    def forget_slices(self, start: int, end: int) -> None:
        """Drop the blocks of slices `start` to `end`, and never find or keep any again."""
        self._forgotten = (*self._forgotten, (start, end))
        for cache in self._caches:
            cache.forget_slices(start, end)

    def check_rollback(self, issued: Callable[[], int]) -> bool:
        """Empty what the metadata's rollback made invalid; True if anything was."""
        return any([cache.check_rollback(issued) for cache in self._caches])

    def close(self) -> None:
        """Wait for what is being written, and for the listing if that is needed."""
        self._writes.close()
        for cache in self._caches:
            cache.stop_listing()
        for thread in self._listings:
            thread.join()

    def _is_forgotten(self, key: str) -> bool:
        if not self._forgotten:
            return False
        parsed = parse_block_key(key)
        return parsed is not None and any(a <= parsed[0] < b for a, b in self._forgotten)

    def _of(self, key: str) -> DiskCache:
        place = bisect_right(self._hashes, _hash(key)) % len(self._ring)
        return self._caches[self._ring[place][1]]


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
