"""Blocks in memory, fetched once for all who wait.

Invariants: `_bytes` is the sum of the sizes of `_kept`, never above `bytes_max`; a block in
`_fetching` is being fetched by exactly one thread, and is not in `_kept`; a fetch that `forget`
struck off is not kept.  A failed fetch is told
to all who waited and remembered by nobody.
Lock order: `_lock` is the only one; no fetch happens under it.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future

from typing_extensions import Buffer

from roost.volume.data.blocks import BlockRef
from roost.volume.data.pool import BoundedPool

CACHE_BYTES_MAX = 128 << 20

Fetch = Callable[[BlockRef], Buffer]


class BlockCache:
    """Whole blocks by least recent use.  Safe to use from several threads."""

    def __init__(
        self, fetch: Fetch, downloads: BoundedPool, bytes_max: int = CACHE_BYTES_MAX
    ) -> None:
        """Keep what `fetch` returns; it may raise MissingBlock, CorruptRecord, Unavailable."""
        self._fetch_block = fetch
        self._downloads = downloads
        self._bytes_max = bytes_max
        self._lock = threading.Lock()
        self._bytes = 0
        self._kept: OrderedDict[BlockRef, Buffer] = OrderedDict()
        self._fetching: dict[BlockRef, Future[Buffer]] = {}

    @property
    def size_bytes(self) -> int:
        """Bytes held now."""
        with self._lock:
            return self._bytes

    def peek(self, ref: BlockRef) -> Buffer | None:
        """Return the block if it is at hand."""
        with self._lock:
            return self._touched(ref)

    def get(self, ref: BlockRef) -> Buffer:
        """Return the block, fetching it on this thread unless another one already does.

        Raises MissingBlock, CorruptRecord, Unavailable.
        """
        while True:
            with self._lock:
                data = self._touched(ref)
                if data is not None:
                    return data
                waiting = self._fetching.get(ref)
                if waiting is None:
                    mine = self._fetching[ref] = Future[Buffer]()
            if waiting is None:
                return self._fetch(ref, mine)
            try:
                return waiting.result()
            except _Skipped:  # a background fetch that found no place: the next round does it here
                continue

    def start(self, ref: BlockRef) -> "Future[Buffer] | None":
        """Fetch the block in the background; None if all are busy.  Wait for it with `wait`."""
        with self._lock:
            data = self._touched(ref)
            waiting = self._fetching.get(ref)
            if data is None and waiting is None:
                mine = self._fetching[ref] = Future[Buffer]()
        if data is not None:
            done: Future[Buffer] = Future()
            done.set_result(data)
            return done
        if waiting is not None:
            return waiting
        place = None
        try:
            place = self._downloads.try_submit(lambda: self._fetch_quietly(ref, mine))
        finally:
            if place is None:  # all busy, or closed: nobody may wait for it
                with self._lock:
                    self._ended(ref, mine)
                mine.set_exception(_Skipped())
        return None if place is None else mine

    def wait(self, ref: BlockRef, fetch: "Future[Buffer]") -> Buffer:
        """Return what `start` began to fetch.  Raises as `get`."""
        try:
            return fetch.result()
        except _Skipped:
            return self.get(ref)

    def forget(self) -> None:
        """Drop all blocks; what is being fetched is for those who wait already, and not kept."""
        with self._lock:
            self._kept.clear()
            self._fetching.clear()
            self._bytes = 0

    def _touched(self, ref: BlockRef) -> Buffer | None:
        data = self._kept.get(ref)
        if data is not None:
            self._kept.move_to_end(ref)
        return data

    def _fetch_quietly(self, ref: BlockRef, mine: "Future[Buffer]") -> None:
        try:
            self._fetch(ref, mine)
        except BaseException:  # noqa: BLE001 - background task: whoever waits is told by `mine`
            return

    def _fetch(self, ref: BlockRef, mine: "Future[Buffer]") -> Buffer:
        try:
            data = self._fetch_block(ref)
        except BaseException as error:
            with self._lock:
                self._ended(ref, mine)
            mine.set_exception(error)
            raise
        with self._lock:
            if self._ended(ref, mine):
                self._keep(ref, data)
        mine.set_result(data)
        return data

    def _ended(self, ref: BlockRef, mine: "Future[Buffer]") -> bool:
        """Strike a fetch off; False if it was forgotten, and another may be under way."""
        if self._fetching.get(ref) is not mine:
            return False
        del self._fetching[ref]
        return True

    def _keep(self, ref: BlockRef, data: Buffer) -> None:
        if ref.size_bytes > self._bytes_max:
            return
        self._kept[ref] = data
        self._bytes += ref.size_bytes
        while self._bytes > self._bytes_max:
            dropped, _ = self._kept.popitem(last=False)
            self._bytes -= dropped.size_bytes


class _Skipped(Exception):
    """A background fetch that found no place."""
