"""Open files: one `OpenFile` per inode, shared by all handles on it in this process.

So a read sees what another handle wrote: it flushes first.

Lock order: the table's lock, then a file's lock; the table's lock is never held during metadata or
block calls.  A file's lock is held while its own writes are flushed, which serialises the changes
of one file and nothing else.
"""

import threading
from types import TracebackType

from typing_extensions import Buffer

from roost.volume.model import Attr, Ino
from roost.volume.vfs.core import Core
from roost.volume.vfs.reader import FileReader
from roost.volume.vfs.writer import FileWriter


class OpenFile:
    """An inode that somebody in this process has open."""

    def __init__(self, core: Core, ino: Ino) -> None:
        self.ino = ino
        self.handles = 0  # guarded by the table's lock
        self._core = core
        self._lock = threading.RLock()
        self._reader = FileReader(core, ino)
        self._writer = FileWriter(core, ino)
        self._append_end: int | None = None  # known while an append is the newest pending write

    def __enter__(self) -> "OpenFile":
        self._lock.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()

    def attr(self) -> Attr:
        """Return the attributes, after a flush of what this process wrote."""
        with self._lock:
            self.flush()
            return self._core.meta.getattr(self.ino)

    def read(self, offset: int, size_bytes: int | None) -> bytes:
        """Return bytes from `offset`, to the end if `size_bytes` is None; short at the end."""
        with self._lock:
            attr = self.attr()
            wanted = attr.length if size_bytes is None else size_bytes
            return self._reader.read(attr, offset, wanted)

    def write(self, offset: int, data: Buffer) -> None:
        """Take `data` for `offset`; `flush` stores it."""
        with self._lock:
            self._append_end = None
            self._writer.write(offset, data)

    def append(self, data: Buffer) -> int:
        """Take `data` for the file's end and return the offset it got.

        The end is what this process wrote or, with nothing pending, what the metadata says.
        Appends of two clients to one file may overlap, as on every JuiceFS volume.
        """
        with self._lock:
            offset = self._append_end
            if offset is None:
                offset = max(self._writer.pending_end, self._core.meta.getattr(self.ino).length)
            self._writer.write(offset, data)
            self._append_end = offset + memoryview(data).nbytes
            return offset

    def flush(self) -> None:
        """Store and commit what was written; nothing to do costs nothing."""
        with self._lock:
            self._append_end = None
            if self._writer.has_pending:
                self._reader.forget()
                self._writer.flush()

    def truncate(self, length: int) -> None:
        """Cut or grow the file, after a flush of what was written before."""
        with self._lock:
            self.flush()
            self._core.meta.truncate(self.ino, length)
            self._reader.forget()

    def abandon(self) -> None:
        """Forget what was not flushed."""
        with self._lock:
            self._writer.abandon()


class OpenFiles:
    """The table of what this process has open."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._lock = threading.Lock()
        self._files: dict[Ino, OpenFile] = {}

    def open(self, ino: Ino) -> OpenFile:
        """Return the inode's open file and count one more handle.  Raises FsError ENOENT."""
        self._core.meta.open(ino)
        with self._lock:
            file = self._files.get(ino)
            if file is None:
                file = self._files[ino] = OpenFile(self._core, ino)
            file.handles += 1
            return file

    def close(self, file: OpenFile, *, flush: bool = True) -> None:
        """Flush and count one handle less; without `flush` the last one forgets what waits.

        Raises what the flush raises; the handle is closed then too.
        """
        try:
            if flush:
                file.flush()
        finally:
            with self._lock:
                file.handles -= 1
                last = file.handles == 0
                if last:
                    del self._files[file.ino]
            if last:
                file.abandon()
            self._core.remove_data(self._core.meta.close_file(file.ino))

    def find(self, ino: Ino) -> OpenFile | None:
        """Return the inode's open file if there is one."""
        with self._lock:
            return self._files.get(ino)

    def all(self) -> list[OpenFile]:
        """Return everything open now."""
        with self._lock:
            return list(self._files.values())
