"""A handle on an open file, as a program holds it.

Lock order: a handle's lock before its file's lock.
"""

import threading
from types import TracebackType

from typing_extensions import Buffer

from roost.volume.model import Attr
from roost.volume.vfs.open_files import OpenFile, OpenFiles


class VolumeFile:
    """An open file of a volume: at offsets, at a position, or at its end.

    What is written is durable, and seen by other clients, after `fsync` or `close`.  Safe to use
    from several threads; `read`, `write` and `seek` share one position.
    """

    def __init__(
        self, table: OpenFiles, file: OpenFile, *, readable: bool, writable: bool, appends: bool
    ) -> None:
        self._table = table
        self._file = file
        self._readable = readable
        self._writable = writable
        self._appends = appends
        self._lock = threading.RLock()
        self._position = 0
        self._closed = False

    def __enter__(self) -> "VolumeFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def read(self, size_bytes: int | None = None) -> bytes:
        """Return bytes from the position, which moves on; short only at the end."""
        with self._lock:
            data = self.pread(self._position, size_bytes)
            self._position += len(data)
            return data

    def pread(self, offset: int, size_bytes: int | None = None) -> bytes:
        """Return bytes from `offset`; short only at the end.  Raises MissingBlock, CorruptRecord.

        Source: pread(2).
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
        """Write at `offset`; a gap before it reads as zeros.  Source: pwrite(2)."""
        self._check("writing", self._writable)
        self._file.write(offset, data)

    def append(self, data: Buffer) -> int:
        """Write at the end of the file and return the offset it gets.

        Where it lies is decided at the commit, so that what several hosts append never overlaps;
        if others append at the same time, the bytes lie further back than the offset says.
        `VolumeClient.append` tells the true one.  Source: open(2), O_APPEND.
        """
        self._check("writing", self._writable)
        return self._file.append(data)

    def append_durably(self, data: Buffer) -> int:
        """Write at the end of the file, sync, and return the offset it got."""
        self._check("writing", self._writable)
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

    def truncate(self, length: int) -> None:
        """Cut or grow the file to `length` bytes.  Source: ftruncate(2)."""
        self._check("writing", self._writable)
        self._file.truncate(length)

    def seek(self, position: int) -> None:
        """Move the position, counted from the start."""
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
        self._table.close(self._file, flush=flush)

    def _check(self, what: str, allowed: bool) -> None:
        if self._closed:
            raise ValueError(f"{what}: the file is closed")
        if not allowed:
            raise ValueError(f"the file is not open for {what}")
