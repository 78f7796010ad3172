"""Proof that the last writer of this host is dead, so that its successor need not wait a term.

The writer holds a lock file for its life, with its member id inside; the kernel gives the lock back
when the process dies, however it dies.  Who gets the lock knows: the id found in it is of a dead
process.  A paused process keeps its lock, and a writer of another host is not in our file; for both
the lease's term decides.
"""

import fcntl
import logging
import os
from pathlib import Path

from roost.vector.catalog.values import LeaseRow

log = logging.getLogger(__name__)


class HolderProof:
    """The writer's lock file of this host."""

    def __init__(self, path: Path, member_id: str) -> None:
        self._file = path.open("a+")
        self._dead_holder: str | None = None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("another writer of this host lives; its lease decides")
            return
        self._file.seek(0)
        self._dead_holder = self._file.read().strip()
        self._file.seek(0)
        self._file.truncate()
        self._file.write(member_id)
        self._file.flush()
        os.fsync(self._file.fileno())

    def shows_dead(self, row: LeaseRow) -> bool:
        """True if the holder of the lease is certainly dead."""
        return bool(self._dead_holder) and row.holder == self._dead_holder

    def release(self) -> None:
        """Give the lock back."""
        self._file.close()
