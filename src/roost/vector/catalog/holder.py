"""Proof that a lease holder on this host is dead: the file lock it held is free.

A lock of flock(2) ends with the process, however it ends.  So a process that is started again after
`kill -9` may take over at once instead of waiting for the lease to run out.
"""

import errno
import fcntl
import os
from pathlib import Path

from roost.errors import Failure
from roost.vector.catalog.values import LeaseRow


class HolderLock:
    """Held for the life of a writer, on a local file named after its member id.

    Take it before `Lease.acquire`.  The member id must be new in every process.
    """

    def __init__(self, folder: Path, member_id: str) -> None:
        """Raises Failure if somebody else holds it."""
        folder.mkdir(parents=True, exist_ok=True)
        self._path = _lock_path(folder, member_id)
        # Not inherited by programs we start; a fork without exec would share it.
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._descriptor)
            raise Failure(f"{self._path} is held by another process") from error

    def release(self) -> None:
        """Let it go and remove the file.  Only after the lease was released or lost."""
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


def holder_is_dead(folder: Path, row: LeaseRow) -> bool:
    """True only if the holder named in the lease had its lock in `folder` and holds it no more.

    False if there is no such file: it may live on another host.
    """
    if not row.holder:
        return False
    try:
        descriptor = os.open(_lock_path(folder, row.holder), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise Failure(f"the lock of {row.holder} cannot be looked at: {error}") from error
    else:
        return True
    finally:
        os.close(descriptor)


def _lock_path(folder: Path, member_id: str) -> Path:
    assert "/" not in member_id, member_id
    return folder / f"writer-{member_id}.lock"
