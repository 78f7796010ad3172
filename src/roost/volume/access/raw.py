"""An open file of a volume as Python's `io` knows files.

Lock order: the file's own lock (inside VolumeFile) is taken last; the position here is guarded by
`_lock`, as two threads may share a raw file.
"""

import io
import os
import threading

from typing_extensions import Buffer

from roost.volume.access.errors import as_os_errors
from roost.volume.engines.forks import Origin
from roost.volume.vfs.handles import VolumeFile

_MODES = {"r": "rb", "r+": "rb+", "w": "wb", "w+": "rb+", "a": "ab", "a+": "ab+"}


class RawFile(io.RawIOBase):
    """A raw, unbuffered file.  Made by `Volume.open(path, mode, buffering=0)`.

    `readinto` fetches straight into the caller's memory: a numpy array, a torch tensor, a
    bytearray.  What is written is durable after `fsync` or `close`.
    """

    def __init__(self, file: VolumeFile, path: str, mode: str) -> None:
        """Wrap `file`, which was opened with the client's `mode`."""
        super().__init__()
        self._origin = Origin()
        self.name = path
        self.mode = _MODES.get(mode) or ("xb+" if mode.endswith("+") else "xb")
        self._file = file
        self._reads = mode[0] == "r" or mode.endswith("+")
        self._writes = mode != "r"
        self._appends = mode[0] == "a"
        self._lock = threading.Lock()
        self._position = file.stat().length if self._appends else 0

    def __repr__(self) -> str:
        return f"<roost.volume RawFile name={self.name!r} mode={self.mode!r}>"

    def readable(self) -> bool:
        """True if it was opened for reading."""
        self._check_open()
        return self._reads

    def writable(self) -> bool:
        """True if it was opened for writing."""
        self._check_open()
        return self._writes

    def seekable(self) -> bool:
        """Always true."""
        self._check_open()
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        """Fill `buffer` from the position, which moves on; return the bytes, 0 at the end.

        Raises MissingBlock, CorruptRecord, Unavailable; OSError.
        """
        self._check_open()
        self._demand(self._reads, "read")
        with self._lock, as_os_errors(self.name):
            size_bytes = self._file.preadinto(self._position, buffer)
            self._position += size_bytes
            return size_bytes

    def readall(self) -> bytes:
        """Return everything from the position to the end."""
        self._check_open()
        self._demand(self._reads, "read")
        with self._lock, as_os_errors(self.name):
            data = self._file.pread(self._position)
            self._position += len(data)
            return data

    def pread(self, offset: int, size_bytes: int) -> bytes:
        """Return bytes from `offset` without moving the position; short only at the end."""
        self._check_open()
        self._demand(self._reads, "read")
        with as_os_errors(self.name):
            return self._file.pread(offset, size_bytes)

    def pread_into(self, offset: int, buffer: Buffer) -> int:
        """Fill `buffer` from `offset` without moving the position; return the bytes."""
        self._check_open()
        self._demand(self._reads, "read")
        with as_os_errors(self.name):
            return self._file.preadinto(offset, buffer)

    def write(self, data: Buffer, /) -> int:
        """Write all of `data` at the position, or at the end in mode "a"; return its bytes."""
        self._check_open()
        self._demand(self._writes, "write")
        size_bytes = memoryview(data).nbytes
        if not size_bytes:
            return 0  # not even in mode "a" does the position move
        with self._lock, as_os_errors(self.name):
            if self._appends:
                self._position = self._file.append(data) + size_bytes
            else:
                self._file.pwrite(self._position, data)
                self._position += size_bytes
        return size_bytes

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move the position; return it, counted from the start.  SEEK_DATA and SEEK_HOLE work."""
        self._check_open()
        with self._lock, as_os_errors(self.name):
            if whence == os.SEEK_SET:
                target = offset
            elif whence == os.SEEK_CUR:
                target = self._position + offset
            elif whence == os.SEEK_END:
                target = self._file.stat().length + offset
            elif whence == os.SEEK_DATA:
                target = self._file.seek_data(offset)
            elif whence == os.SEEK_HOLE:
                target = self._file.seek_hole(offset)
            else:
                raise ValueError(f"invalid whence ({whence}, should be 0, 1 or 2)")
            if target < 0:
                raise ValueError(f"negative seek position {target}")
            self._position = target
            return target

    def tell(self) -> int:
        """Return the position."""
        self._check_open()
        with self._lock:
            return self._position

    def length(self) -> int:
        """Return the file's bytes, with all that this process wrote."""
        self._check_open()
        with as_os_errors(self.name):
            return self._file.stat().length

    def truncate(self, size: int | None = None, /) -> int:
        """Cut or grow the file to `size` bytes, by default to the position; return the size."""
        self._check_open()
        self._demand(self._writes, "truncate")
        with self._lock, as_os_errors(self.name):
            length = self._position if size is None else size
            self._file.truncate(length)
            return length

    def fsync(self) -> None:
        """Make durable, and visible to other hosts, all that this handle's file was given.

        Behind a buffer call its `flush` first.
        """
        self._check_open()
        with as_os_errors(self.name):
            self._file.fsync()

    def close(self) -> None:
        """Sync and close.  Raises what `fsync` raises; the file is closed then too."""
        if self.closed:
            return
        try:
            super().close()
        finally:
            if self._origin.is_here:
                with as_os_errors(self.name):
                    self._file.close()

    def discard(self) -> None:
        """Close without storing what nobody synced."""
        self._file.discard()
        super().close()

    def _check_open(self) -> None:
        """Raise also in a forked child: the threads that fetch and store are its parent's."""
        if self.closed:
            raise ValueError("I/O operation on closed file")

    def _demand(self, allowed: bool, what: str) -> None:
        self._origin.demand(f"which {self.name!r} is open")
        if not allowed:
            raise io.UnsupportedOperation(f"not open for {what}: {self.name}")
