"""Writes to one file on their way to slices.

Appending is the case that matters: bytes that continue the newest slice join it, its full blocks
go up in the background, and `flush` waits for the blocks and then commits the record: for an
appended log, one object per touched block and one metadata commit.  Any other write begins a slice
of its own.  Slices are committed in the order in which they began, so that later writes win.

Once a slice could not be stored or committed, what was written since the last good flush is
unknown: the writer is broken and tells everybody so, until all have closed the file.

Not thread safe: the open file's lock guards it.
"""

from typing_extensions import Buffer

from roost.errors import Failure, RoostError
from roost.volume.data.slice_writer import SliceWriter
from roost.volume.layout import CHUNK_BYTES, split_by_chunk
from roost.volume.model import Attr, ChunkNo, Ino
from roost.volume.vfs.core import Core

SLICES_WAITING_MAX = 64


class FileWriter:
    """The bytes of one inode that are not in the metadata yet."""

    def __init__(self, core: Core, ino: Ino) -> None:
        self._core = core
        self._ino = ino
        self._waiting: list[SliceWriter] = []
        self._error: RoostError | None = None

    @property
    def pending_end(self) -> int:
        """The end in the file of the furthest byte that waits for a flush, 0 if none does."""
        return max((s.chunk_no * CHUNK_BYTES + s.end for s in self._waiting), default=0)

    @property
    def has_pending(self) -> bool:
        """True if a flush would have something to do, or to report."""
        return bool(self._waiting) or self._error is not None

    def write(self, offset: int, data: Buffer) -> None:
        """Take `data` for `offset`.  Raises the failure of an earlier or of this write."""
        self._check()
        view = memoryview(data).cast("B")
        now_ns = self._core.clock.wall_ns()
        try:
            for chunk_no, pos, size_bytes in split_by_chunk(offset, len(view)):
                self._slice_for(chunk_no, pos).append(view[:size_bytes], now_ns)
                view = view[size_bytes:]
        except RoostError as error:
            self._break(error)
            raise
        if len(self._waiting) > SLICES_WAITING_MAX:
            self.flush()

    def flush(self) -> Attr | None:
        """Store and commit all that waits; return the file's attributes if there was anything.

        Raises StorageFull, Unavailable, CommitUnknown, FsError.
        """
        self._check()
        attr = None
        for waiting in self._waiting:
            waiting.freeze()  # all last blocks under way before the first is waited for
        try:
            while self._waiting:
                first = self._waiting[0]
                record = first.finish()
                attr = self._core.meta.write_slice(
                    self._ino, first.chunk_no, record, first.mtime_ns
                )
                self._waiting.pop(0)
        except RoostError as error:
            self._break(error)
            raise
        return attr

    def abandon(self) -> None:
        """Forget what waits, once nothing of it is under way."""
        for waiting in self._waiting:
            waiting.abandon()
        self._waiting.clear()

    def _slice_for(self, chunk_no: ChunkNo, pos: int) -> SliceWriter:
        newest = self._waiting[-1] if self._waiting else None
        if newest is not None:
            if not newest.is_frozen and newest.chunk_no == chunk_no and newest.end == pos:
                return newest
            newest.freeze()
        core = self._core
        made = SliceWriter(core.blocks, core.uploads, core.meta.new_slice_id, chunk_no, pos)
        self._waiting.append(made)
        return made

    def _break(self, error: RoostError) -> None:
        self._error = error
        self.abandon()

    def _check(self) -> None:
        if self._error is not None:
            raise Failure(
                f"an earlier write to inode {self._ino} failed: {self._error}",
                hint="Close the file; what was written since its last good sync may be lost.",
            ) from self._error
