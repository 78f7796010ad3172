"""Open files: one `OpenFile` per inode, shared by all handles on it in this process.

So a read sees what another handle wrote: it flushes first.  Attributes are asked for anew at each
open, after `ATTR_FRESH_S`, and when a read reaches the end known so far: what another client
published is seen by whoever opens the file afterwards (close-to-open), and a log that grows can be
followed.

Lock order: the table's lock, then a file's lock, then the reader's; the table's lock is never held
during metadata or block calls.  A file's lock is held while its own writes are flushed, which
serialises the changes of one file and nothing else; bytes are read without it.
"""

import errno
import io
import threading
from collections.abc import Iterator
from types import TracebackType

from typing_extensions import Buffer

from roost.volume.errors import FsError
from roost.volume.layout import CHUNK_BYTES, chunk_count, chunk_of
from roost.volume.meta.answers import FallocateFlag
from roost.volume.model import Attr, ChunkNo, Ino
from roost.volume.overlay import visible
from roost.volume.vfs.core import Core
from roost.volume.vfs.flusher import Flusher
from roost.volume.vfs.reader import FileReader
from roost.volume.vfs.writer import FileWriter

ATTR_FRESH_S = 1.0  # JuiceFS's attribute time-out


class OpenFile:
    """An inode that somebody in this process has open."""

    def __init__(self, core: Core, ino: Ino, flusher: Flusher) -> None:
        self.ino = ino
        self.handles = 0  # guarded by the table's lock
        self._core = core
        self._flusher = flusher
        self._lock = threading.RLock()
        self._reader = FileReader(core, ino)
        self._writer = FileWriter(core, ino)
        self._append_end: int | None = None  # known while an append is the newest pending write
        self._attr: Attr | None = None
        self._attr_s = 0.0  # when it was asked for
        self._noted = not core.notes_access  # that `_attr` has been read from

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

    def opened(self, attr: Attr) -> None:
        """Note the attributes that an open has just asked for."""
        with self._lock:
            self._know(attr)

    def known_mode(self) -> int:
        """Return the mode as last seen by this client, which costs nothing."""
        with self._lock:
            return (self._attr or self._asked()).mode

    def forget_attr(self) -> None:
        """Ask for the attributes anew: they were changed here by another way."""
        with self._lock:
            self._attr = None

    def never_compact(self) -> None:
        """Leave the records of this file as they are, until all have closed it (H17)."""
        self._reader.compacts = self._writer.compacts = False

    def attr(self) -> Attr:
        """Return the attributes as stored now, after a flush of what this process wrote."""
        with self._lock:
            self.flush()
            return self._asked()

    # ---- bytes
    def read(self, offset: int, size_bytes: int | None) -> bytes:
        """Return bytes from `offset`, to the end if `size_bytes` is None; short at the end."""
        pieces = self._pieces(offset, size_bytes)
        if size_bytes is not None and size_bytes <= CHUNK_BYTES:
            held = list(pieces)
            return bytes(held[0]) if len(held) == 1 else b"".join(held)
        whole = io.BytesIO()  # whose value is no further copy
        for piece in pieces:
            whole.write(piece)
        return whole.getvalue()

    def read_into(self, offset: int, target: memoryview) -> int:
        """Fill `target` (bytes) from `offset`; return how many were there."""
        filled = 0
        for piece in self._pieces(offset, len(target)):
            target[filled : filled + len(piece)] = piece
            filled += len(piece)
        return filled

    def write(self, offset: int, data: Buffer) -> None:
        """Take `data` for `offset`; `flush` stores it.  Raises FsError EINVAL."""
        self._demand_position(offset)
        with self._lock:
            self._append_end = None
            self._committed(self._writer.write(offset, data))
        self._flusher.start()

    def append(self, data: Buffer) -> int:
        """Take `data` for the file's end and return the offset it gets if nobody else appends.

        Its place is decided when it is committed: of two clients that append, none overwrites.
        """
        with self._lock:
            offset = self._append_end
            if offset is None:
                known = self._writer.pending_end
                offset = max(known, self._asked().length)
            self._committed(self._writer.append(offset, data))
            self._append_end = offset + memoryview(data).nbytes
        self._flusher.start()
        return offset

    def append_durably(self, data: Buffer) -> int:
        """Put `data` at the file's end and return the offset it got.

        More than 64 MiB may be interrupted by what others append.
        """
        with self._lock:
            self.flush()
            if not memoryview(data).nbytes:
                return self._asked().length
            self._writer.forget_appends()
            self.append(data)
            self.flush()
            offset = self._writer.first_append_offset
            assert offset is not None
            return offset

    def flush(self) -> None:
        """Store and commit what was written; nothing to do costs nothing."""
        with self._lock:
            self._append_end = None
            if self._writer.has_pending:
                self._committed(self._writer.flush())

    def tick(self) -> None:
        """Store what is old or idle, unless the file is busy."""
        if self._lock.acquire(blocking=False):
            try:
                if self._writer.has_pending:
                    self._committed(self._writer.tick())
            finally:
                self._lock.release()

    def abandon(self) -> None:
        """Forget what was not flushed, after the last handle."""
        with self._lock:
            self._writer.abandon()
        self._reader.close()

    # ---- the shape of the file
    def truncate(self, length: int) -> None:
        """Cut or grow the file, after a flush of what was written before."""
        with self._lock:
            self.flush()
            self._committed(self._core.meta.truncate(self.ino, length))

    def allocate(self, flags: FallocateFlag, offset: int, length: int) -> None:
        """Grow the file or make a range zeros, after a flush.  Source: fallocate(2)."""
        with self._lock:
            self.flush()
            self._committed(self._core.meta.fallocate(self.ino, flags, offset, length))

    def copy_from(self, source: "OpenFile", source_offset: int, offset: int, length: int) -> int:
        """Let a range show the bytes of another file or of this one; return how many.

        Source: copy_file_range(2).
        """
        source.flush()
        with self._lock:
            self.flush()
            done = self._core.meta.copy_range(source.ino, source_offset, self.ino, offset, length)
            self._committed(done.attr)
            return done.length

    def seek_data(self, offset: int) -> int:
        """Return the first offset from `offset` on with data.  Raises FsError ENXIO.

        Source: lseek(2), SEEK_DATA.
        """
        attr = self.attr()
        self._demand_inside(offset, attr)
        for chunk_no in range(chunk_of(offset)[0], chunk_count(attr.length)):
            for start, end in self._data_ranges(attr, ChunkNo(chunk_no)):
                if end > offset and max(start, offset) < attr.length:
                    return max(start, offset)
        raise FsError(errno.ENXIO, self.ino)

    def seek_hole(self, offset: int) -> int:
        """Return the first offset from `offset` on without data; the end counts as a hole.

        Raises FsError ENXIO.  Source: lseek(2), SEEK_HOLE.
        """
        attr = self.attr()
        self._demand_inside(offset, attr)
        for chunk_no in range(chunk_of(offset)[0], chunk_count(attr.length)):
            for start, end in self._data_ranges(attr, ChunkNo(chunk_no)):
                if offset < start:
                    return offset
                offset = max(offset, end)
            if offset < (chunk_no + 1) * CHUNK_BYTES:
                break
        return min(offset, attr.length)

    def _data_ranges(self, attr: Attr, chunk_no: ChunkNo) -> list[tuple[int, int]]:
        """Return where in the file the chunk has data, in order."""
        base = chunk_no * CHUNK_BYTES
        return [
            (base + piece.pos, base + piece.end)
            for piece in visible(self._reader.records(attr, chunk_no))
            if piece.id
        ]

    def _demand_position(self, number: int) -> None:
        """Refuse what lies before the start: the arithmetic of chunks would accept it."""
        if number < 0:
            raise FsError(errno.EINVAL, self.ino)

    def _demand_inside(self, offset: int, attr: Attr) -> None:
        if not 0 <= offset < attr.length:
            raise FsError(errno.ENXIO, self.ino)

    def _pieces(self, offset: int, size_bytes: int | None) -> Iterator[memoryview]:
        self._demand_position(min(offset, size_bytes or 0))
        with self._lock:
            self.flush()
            self._core.meta.demand_held(self.ino)
            attr = self._attr
            now_s = self._core.clock.monotonic_s()
            fresh = attr is not None and now_s - self._attr_s < ATTR_FRESH_S
            if not fresh or attr is None or size_bytes is None or offset + size_bytes > attr.length:
                attr = self._asked()
            noted, self._noted = self._noted, True
        if not noted:
            self._core.accessed(self.ino, attr)
        return self._reader.read(
            attr, offset, attr.length - offset if size_bytes is None else size_bytes
        )

    def _asked(self) -> Attr:
        asked_s = self._core.clock.monotonic_s()
        attr = self._core.meta.getattr(self.ino)
        self._core.meta.demand_held(self.ino)
        self._attr, self._attr_s = attr, asked_s
        self._noted = not self._core.notes_access
        return attr

    def _know(self, attr: Attr) -> None:
        self._attr, self._attr_s = attr, self._core.clock.monotonic_s()
        self._noted = not self._core.notes_access

    def _committed(self, attr: Attr | None) -> None:
        if attr is not None:
            self._reader.forget()
            self._know(attr)


class OpenFiles:
    """The table of what this process has open."""

    def __init__(self, core: Core) -> None:
        self.meta = core.meta
        self._core = core
        self._lock = threading.Lock()
        self._files: dict[Ino, OpenFile] = {}
        self.flusher = Flusher(self.all, core.clock)

    def open(self, ino: Ino) -> OpenFile:
        """Return the inode's open file and count one more handle.  Raises FsError ENOENT."""
        attr = self._core.meta.open(ino)
        with self._lock:
            file = self._files.get(ino)
            if file is None:
                file = self._files[ino] = OpenFile(self._core, ino, self.flusher)
            file.handles += 1
        file.opened(attr)
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
