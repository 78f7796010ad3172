"""How far the readers of one client may look ahead, together.

What was fetched ahead waits in the memory cache, which drops what was used longest ago.  Between
the fetch and the use of a block its reader takes a whole window of blocks and fetches another one,
and so do the other readers.  So what the cache holds has room for two windows of each; where the
windows are larger, blocks are pushed out before they are used, and fetched a second time.

A reader counts from its first fetch ahead until it leaves.  One that stands still does not count
any more once the others fetched as much as the cache holds: what it had is gone by then.

Lock order: `_lock` is the last one and is held for arithmetic only.
"""

import threading

from roost.volume.data.settings import DataSettings

WINDOW_BLOCKS_MAX = 16
LOCAL_WINDOW_BLOCKS_MAX = 4
"""Where objects are files of this host: enough to keep the processors busy, and what is fetched is
still in their caches when it is read."""


class ReadWindows:
    """Divides the cache by those who read in sequence.  Safe to use from several threads.

    `alone`: how many blocks a reader may be ahead while no other one looks ahead.
    """

    def __init__(
        self, data: DataSettings, block_bytes: int, *, on_local_disk: bool = False
    ) -> None:
        """`on_local_disk`: objects are files of this host, and not of a network file system."""
        self._kept = data.memory_cache_bytes // block_bytes
        wanted = LOCAL_WINDOW_BLOCKS_MAX if on_local_disk else WINDOW_BLOCKS_MAX
        if data.max_readahead_bytes:  # less than a block is not "unset"
            wanted = max(data.max_readahead_bytes // block_bytes, 1)
        self.alone = min(wanted, max(self._kept // 2, 1))
        self._lock = threading.Lock()
        self._fetched = 0  # blocks ahead, by all
        self._readers: dict[object, int] = {}  # `_fetched` when each did it last, oldest first

    def blocks(self, reader: object) -> int:
        """Return how many blocks ahead `reader` may be, at least one."""
        with self._lock:
            others = len(self._readers) - (reader in self._readers)
        if not others:
            return self.alone
        return max(min(self.alone, self._kept // (2 * (others + 1))), 1)

    def fetching(self, reader: object, blocks: int) -> None:
        """Note that `reader` fetches so many blocks ahead."""
        with self._lock:
            self._fetched += blocks
            self._readers.pop(reader, None)
            self._readers[reader] = self._fetched
            while self._fetched - next(iter(self._readers.values())) >= max(self._kept, 1):
                del self._readers[next(iter(self._readers))]

    def left(self, reader: object) -> None:
        """Note that `reader` does not read on: it is at the end, or somewhere else."""
        with self._lock:
            self._readers.pop(reader, None)
