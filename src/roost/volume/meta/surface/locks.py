"""Locks of files that hold across all clients of the volume.

`owner` is a number that tells the lock owners of this session apart (u64), as the kernel gives it.
Source: flock(2), fcntl(2).
"""

import threading

from roost.volume.meta import locks
from roost.volume.meta.handle import VolumeHandle
from roost.volume.model import Ino, LockKind, RangeLock


class Locks(VolumeHandle):
    """The operations on locks; they need a session, which ends them when it ends."""

    def flock(
        self,
        ino: Ino,
        owner: int,
        kind: LockKind,
        *,
        wait: bool = False,
        cancel: threading.Event | None = None,
    ) -> None:
        """Lock the whole file, change the lock, or (UNLOCK) let go.

        With `wait`, until it is granted or `cancel` is set.
        Raises FsError: EAGAIN another holds it; EINTR cancelled; ENOENT; ENOLCK no session.
        """
        locks.flock(self._writable, ino, owner, kind, wait=wait, cancel=cancel)

    def set_lock(
        self,
        ino: Ino,
        owner: int,
        lock: RangeLock,
        *,
        wait: bool = False,
        cancel: threading.Event | None = None,
    ) -> None:
        """Lock a range of bytes, change how it is locked, or (UNLOCK) let go of it.

        Raises FsError: as flock; EINVAL a range that is none.
        """
        locks.set_lock(self._writable, ino, owner, lock, wait=wait, cancel=cancel)

    def get_lock(self, ino: Ino, owner: int, lock: RangeLock) -> RangeLock | None:
        """Return a lock that stands in the way of `lock`, or None.

        Its `pid` is 0 if another session holds it.
        """
        return locks.get_lock(self._volume, ino, owner, lock)

    def release_locks(self, ino: Ino, owner: int, *, flock_owner: int | None = None) -> None:
        """Let go of all that `owner` has locked by range, as closing a file does.

        `flock_owner`, if given, lets go of its lock of the whole file too.
        """
        locks.release(self._writable, ino, owner, flock_owner)
