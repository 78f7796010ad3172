"""Blocks in memory, fetched once for all who wait.

Invariants: `_bytes` is the sum of the sizes of `_kept`, never above `bytes_max`; a block in
`_fetching` is being fetched by exactly one thread, and is not in `_kept`.  A failed fetch is told
to all who waited and remembered by nobody.
Lock order: `_lock` is the only one; no fetch happens under it.
"""

import threading
from collections import OrderedDict
from concurrent.futures import Future

from roost.volume.data.blocks import BlockRef, Blocks
from roost.volume.data.pool import BoundedPool

CACHE_BYTES_MAX = 128 << 20


class BlockCache:
    """Whole blocks by least recent use."""

    def __init__(
        self, blocks: Blocks, downloads: BoundedPool, bytes_max: int = CACHE_BYTES_MAX
    ) -> None:
        self._blocks = blocks
        self._downloads = downloads
        self._bytes_max = bytes_max
        self._lock = threading.Lock()
        self._bytes = 0
        self._kept: OrderedDict[BlockRef, bytes] = OrderedDict()
        self._fetching: dict[BlockRef, Future[bytes]] = {}

    @property
    def size_bytes(self) -> int:
        """Bytes held now."""
        with self._lock:
            return self._bytes

    def peek(self, ref: BlockRef) -> bytes | None:
        """Return the block if it is at hand."""
        with self._lock:
            data = self._kept.get(ref)
            if data is not None:
                self._kept.move_to_end(ref)
            return data

    def get(self, ref: BlockRef) -> bytes:
        """Return the block, fetching it on this thread unless another one already does.

        Raises MissingBlock, CorruptRecord, Unavailable.
        """
        while True:
            with self._lock:
                data = self._kept.get(ref)
                if data is not None:
                    self._kept.move_to_end(ref)
                    return data
                waiting = self._fetching.get(ref)
                if waiting is None:
                    mine = self._fetching[ref] = Future[bytes]()
            if waiting is None:
                return self._fetch(ref, mine)
            try:
                return waiting.result()
            except _Skipped:  # a prefetch that found no place: the next round fetches it here
                continue

    def prefetch(self, ref: BlockRef) -> None:
        """Fetch the block in the background unless it is here, under way, or all are busy."""
        with self._lock:
            if ref in self._kept or ref in self._fetching:
                return
            mine = self._fetching[ref] = Future[bytes]()
        if self._downloads.try_submit(lambda: self._fetch_quietly(ref, mine)) is None:
            with self._lock:
                del self._fetching[ref]
            mine.set_exception(_Skipped())

    def forget(self) -> None:
        """Drop all blocks."""
        with self._lock:
            self._kept.clear()
            self._bytes = 0

    def _fetch_quietly(self, ref: BlockRef, mine: "Future[bytes]") -> None:
        try:
            self._fetch(ref, mine)
        except BaseException:  # noqa: BLE001 - background task: whoever waits is told by `mine`
            return

    def _fetch(self, ref: BlockRef, mine: "Future[bytes]") -> bytes:
        try:
            data = self._blocks.get(ref)
        except BaseException as error:
            with self._lock:
                del self._fetching[ref]
            mine.set_exception(error)
            raise
        with self._lock:
            del self._fetching[ref]
            self._keep(ref, data)
        mine.set_result(data)
        return data

    def _keep(self, ref: BlockRef, data: bytes) -> None:
        if len(data) > self._bytes_max:
            return
        self._kept[ref] = data
        self._bytes += len(data)
        while self._bytes > self._bytes_max:
            _, dropped = self._kept.popitem(last=False)
            self._bytes -= len(dropped)


class _Skipped(Exception):
    """A prefetch that found no place."""
