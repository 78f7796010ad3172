"""Compaction in the background, when a chunk has gathered many records.

Asked for at every `COMMITS_BETWEEN`th commit of this client to a chunk, and when a reader finds
`RECORDS_WHEN_READ` records in one.  A failure is left for the next time: nothing was changed.

Lock order: `_lock` guards what is counted and under way; no work is done under it.
Source: the volume format reference, section 4.3.
"""

import logging
import threading
from collections import Counter
from collections.abc import Callable

from roost.errors import Damage, RoostError
from roost.volume.data.pool import BoundedPool
from roost.volume.model import ChunkNo, Ino, Slice

COMMITS_BETWEEN = 100
RECORDS_WHEN_READ = 5
THREADS = 2
WAITING_MAX = 8
_CHUNKS_COUNTED_MAX = 10_000
log = logging.getLogger(__name__)


class Compaction:
    """Chooses chunks and hands them to `compact`.  Safe to use from several threads."""

    def __init__(self, compact: Callable[[Ino, ChunkNo], int] | None) -> None:
        """Without `compact`, nothing is ever done."""
        self._compact = compact
        self._lock = threading.Lock()
        self._commits: Counter[tuple[Ino, ChunkNo]] = Counter()
        self._under_way: set[tuple[Ino, ChunkNo]] = set()
        self._pool = BoundedPool("roost-compact", THREADS, WAITING_MAX)

    def committed(self, ino: Ino, chunk_no: ChunkNo) -> None:
        """Note that this client appended a record."""
        if self._compact is None:
            return
        with self._lock:
            if len(self._commits) >= _CHUNKS_COUNTED_MAX:
                self._commits.clear()
            self._commits[ino, chunk_no] += 1
            due = self._commits[ino, chunk_no] % COMMITS_BETWEEN == COMMITS_BETWEEN - 1
        if due:
            self._start(ino, chunk_no)

    def seen(self, ino: Ino, chunk_no: ChunkNo, records: tuple[Slice, ...]) -> None:
        """Note what a reader found."""
        if self._compact is not None and len(records) >= RECORDS_WHEN_READ:
            self._start(ino, chunk_no)

    def close(self) -> None:
        """Wait for what is under way."""
        self._compact = None
        self._pool.close()

    def _start(self, ino: Ino, chunk_no: ChunkNo) -> None:
        key = (ino, chunk_no)
        with self._lock:
            if key in self._under_way:
                return
            self._under_way.add(key)
        if self._pool.try_submit(lambda: self._work(ino, chunk_no)) is None:
            with self._lock:
                self._under_way.discard(key)

    def _work(self, ino: Ino, chunk_no: ChunkNo) -> None:
        compact = self._compact
        try:
            if compact is not None:
                compact(ino, chunk_no)
        except Damage as error:
            log.warning("not compacted: ino=%d chunk=%d error=%s", ino, chunk_no, error)
        except RoostError as error:
            log.info("not compacted now: ino=%d chunk=%d error=%s", ino, chunk_no, error)
        finally:
            with self._lock:
                self._under_way.discard((ino, chunk_no))
