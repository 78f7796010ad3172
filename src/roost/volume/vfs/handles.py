"""A handle on an open file, as a program holds it.

Lock order: a handle's lock before its file's lock.
"""

import errno
import itertools
import os
import stat
import threading
from collections.abc import Callable
from types import TracebackType

from typing_extensions import Buffer

from roost.errors import Failure
from roost.volume.errors import FsError
from roost.volume.meta.answers import FallocateFlag
from roost.volume.model import RANGE_END_MAX, Attr, LockKind, RangeLock
from roost.volume.vfs.open_files import OpenFile, OpenFiles

_OWNERS = itertools.count(1)  # tells the lock owners of a session apart


class VolumeFile:
    """An open file of a volume: at offsets, at a position, or at its end.

    What is written is durable, and seen by other clients, after `fsync` or `close`.  Safe to use
    from several threads; `read`, `write` and `seek` share one position.
    """

    def __init__(
        self,
        table: OpenFiles,
        file: OpenFile,
        *,
        readable: bool,
        writable: bool,
        appends: bool,
        before_change: Callable[[], None] | None = None,
    ) -> None:
        """Wrap an open file.

        `before_change` is called before bytes change while the file has setuid or setgid; what it
        leaves of them stays.
        """
        self._table = table
        self._file = file
        self._readable = readable
        self._writable = writable
        self._appends = appends
        self._before_change = before_change
        self._left_mode = -1  # by `before_change`
        self._lock = threading.RLock()
        self._position = 0
        self._closed = False
        self._owner = next(_OWNERS)
        self._locked = False

    def __enter__(self) -> "VolumeFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except Failure as again:
            if error is None or again.__cause__ is not error:
                raise  # else the error that is under way says it itself

    def read(self, size_bytes: int | None = None) -> bytes:
        """Return bytes from the position, which moves on; short only at the end."""
        with self._lock:
            data = self.pread(self._position, size_bytes)
            self._position += len(data)
            return data

    def pread(self, offset: int, size_bytes: int | None = None) -> bytes:
        """Return bytes from `offset`; short only at the end.

        Raises MissingBlock, CorruptRecord, FsError EINVAL a negative number.  Source: pread(2).
        """
        self._check("reading", self._readable)
        return self._file.read(offset, size_bytes)

    def readinto(self, target: Buffer) -> int:
        """Fill `target` from the position, which moves on; return the bytes, 0 at the end.

        Bytes are copied once, from the block into `target`.
        """
        with self._lock:
            size_bytes = self.preadinto(self._position, target)
            self._position += size_bytes
            return size_bytes

    def preadinto(self, offset: int, target: Buffer) -> int:
        """Fill `target` from `offset`; return the bytes, fewer only at the end.  Raises as pread.

        Source: preadv(2).
        """
        self._check("reading", self._readable)
        return self._file.read_into(offset, memoryview(target).cast("B"))

    def write(self, data: Buffer) -> int:
        """Write at the position, which moves on, or at the end in mode "a"; return the bytes."""
        with self._lock:
            self._check("writing", self._writable)
            if self._appends:
                self._position = self.append(data)
            else:
                self.pwrite(self._position, data)
            size_bytes = memoryview(data).nbytes
            self._position += size_bytes
            return size_bytes

    def pwrite(self, offset: int, data: Buffer) -> None:
        """Write at `offset`; a gap before it reads as zeros.

        Raises FsError EINVAL a negative offset.  Source: pwrite(2).
        """
        self._check_change()
        self._file.write(offset, data)

    def append(self, data: Buffer) -> int:
        """Write at the end of the file and return the offset it gets.

        Where it lies is decided at the commit, so that what several hosts append never overlaps;
        if others append at the same time, the bytes lie further back than the offset says.
        `VolumeClient.append` tells the true one.  Source: open(2), O_APPEND.
        """
        self._check_change()
        return self._file.append(data)

    def append_durably(self, data: Buffer) -> int:
        """Write at the end of the file, sync, and return the offset it got."""
        self._check_change()
        return self._file.append_durably(data)

    def seek_data(self, offset: int) -> int:
        """Return the first offset from `offset` on that has data.  Raises FsError ENXIO.

        Source: lseek(2), SEEK_DATA.
        """
        self._check("seeking", True)
        return self._file.seek_data(offset)

    def seek_hole(self, offset: int) -> int:
        """Return the first offset from `offset` on that has none, the end at the latest.

        Raises FsError ENXIO.  Source: lseek(2), SEEK_HOLE.
        """
        self._check("seeking", True)
        return self._file.seek_hole(offset)

    def fallocate(
        self, offset: int, length: int, flags: FallocateFlag = FallocateFlag.NONE
    ) -> None:
        """Grow the file, or make a range of it zeros.  Source: fallocate(2).

        Raises FsError: EINVAL, EOPNOTSUPP collapse or insert, EPERM, EFBIG, ENOSPC.
        """
        self._check_change()
        self._file.allocate(flags, offset, length)

    def copy_from(self, source: "VolumeFile", source_offset: int, offset: int, length: int) -> int:
        """Let a range of this file show bytes of `source`, without moving data; return how many.

        Raises FsError: EINVAL overlapping ranges of one file, EPERM, EFBIG …
        Source: copy_file_range(2).
        """
        self._check_change()
        source._check("reading", source._readable)
        return self._file.copy_from(source._file, source_offset, offset, length)

    # ---- locks, among all clients of the volume; they end with this handle
    def flock(
        self,
        kind: LockKind,
        *,
        wait: bool = False,
        cancel: threading.Event | None = None,
    ) -> None:
        """Lock the file, change the lock, or (UNLOCK) let go.

        With `wait`, until it is granted or `cancel` is set.
        Raises FsError: EAGAIN another holds it, EINTR cancelled, ENOLCK a read-only client.
        Source: flock(2).
        """
        self._check("locking", True)
        self._locked = True
        self._table.meta.flock(self._file.ino, self._owner, kind, wait=wait, cancel=cancel)

    def lock_range(
        self,
        kind: LockKind,
        start: int = 0,
        end: int = RANGE_END_MAX,
        *,
        wait: bool = False,
        cancel: threading.Event | None = None,
    ) -> None:
        """Lock the bytes `start` to `end`, both inclusive; as `flock`.

        The lock belongs to this handle.  Source: fcntl(2), F_OFD_SETLK.
        """
        self._check("locking", True)
        self._locked = True
        lock = RangeLock(kind, os.getpid(), start, end)
        self._table.meta.set_lock(self._file.ino, self._owner, lock, wait=wait, cancel=cancel)

    def find_lock(
        self, kind: LockKind, start: int = 0, end: int = RANGE_END_MAX
    ) -> RangeLock | None:
        """Return a lock that stands in the way of such a one, or None.

        Source: fcntl(2), F_OFD_GETLK.
        """
        self._check("locking", True)
        lock = RangeLock(kind, os.getpid(), start, end)
        return self._table.meta.get_lock(self._file.ino, self._owner, lock)

    def truncate(self, length: int) -> None:
        """Cut or grow the file to `length` bytes.  Source: ftruncate(2)."""
        self._check_change()
        self._file.truncate(length)

    def seek(self, position: int) -> None:
        """Move the position, counted from the start.  Raises FsError EINVAL before the start."""
        if position < 0:
            raise FsError(errno.EINVAL, self._file.ino)
        with self._lock:
            self._position = position

    def tell(self) -> int:
        """Return the position."""
        with self._lock:
            return self._position

    def stat(self) -> Attr:
        """Return the attributes, with everything written here in them."""
        self._check("stat", True)
        return self._file.attr()

    def fsync(self) -> None:
        """Make all that was written durable and visible to others: blocks, then one commit.

        Raises StorageFull, Unavailable, CommitUnknown.  After that the file must be closed: what
        was written since the last good sync may or may not be stored.
        """
        self._check("fsync", True)
        self._file.flush()

    def close(self) -> None:
        """Sync and release it; raises what `fsync` raises.  May be repeated."""
        self._close(flush=True)

    def discard(self) -> None:
        """Release it without a sync; what nobody synced is lost."""
        self._close(flush=False)

    def _close(self, *, flush: bool) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
        try:
            self._table.close(self._file, flush=flush)
        finally:
            if self._locked:
                meta = self._table.meta
                meta.release_locks(self._file.ino, self._owner, flock_owner=self._owner)

    def _check_change(self) -> None:
        self._check("writing", self._writable)
        if self._before_change is None:
            return
        mode = self._file.known_mode()
        if mode & (stat.S_ISUID | stat.S_ISGID) and mode != self._left_mode:
            self._before_change()
            self._file.forget_attr()
            self._left_mode = self._file.known_mode()

    def _check(self, what: str, allowed: bool) -> None:
        if self._closed:
            raise ValueError(f"{what}: the file is closed")
        if not allowed:
            raise ValueError(f"the file is not open for {what}")
