"""Writes to one file on their way to slices.

Bytes that continue a young slice, or fall into its open block, join it; any other write begins a
slice of its own.  Slices are committed in the order in which they began, so that later writes win;
a slice is joined only while no younger one has bytes in the same range.  A slice is frozen, and
goes up whole, when it is full, older than `AGE_MAX_S`, untouched for `IDLE_MAX_S`, when more than
`YOUNG_SLICES_MAX` younger ones are open, when memory is short and another is written, and at a
flush.

An appended slice has no place until its commit puts it at the end of the file as it is then: so
several hosts append to one file and overwrite nothing of each other.

Once a slice could not be stored or committed, what was written since the last good flush is
unknown: the writer is broken and tells everybody so, until all have closed the file.

Slices that are stored are committed in the background, so that a writer waits for commits only at
a flush.  Meanwhile only the committing thread takes from the front of `_waiting`, and others add at
its end; nobody else commits before it is done.

Not thread safe: the open file's lock guards it.
Source of the numbers: the volume format reference, section 8.4.
"""

import itertools
from concurrent.futures import Future
from functools import partial

from typing_extensions import Buffer

from roost.errors import Failure, RoostError
from roost.volume.data.slice_writer import SliceWriter
from roost.volume.errors import FsError
from roost.volume.layout import CHUNK_BYTES, chunk_of, split_by_chunk
from roost.volume.model import Attr, ChunkNo, Ino, Slice
from roost.volume.vfs.core import Core

SLICES_WAITING_MAX = 64
YOUNG_SLICES_MAX = 3
AGE_MAX_S = 5.0
IDLE_MAX_S = 1.0
_NO_CHUNK = ChunkNo(-1)  # of an appended slice


class FileWriter:
    """The bytes of one inode that are not in the metadata yet."""

    def __init__(self, core: Core, ino: Ino) -> None:
        self._core = core
        self._ino = ino
        self._waiting: list[SliceWriter] = []
        self._committing: Future[Attr] | None = None
        self._error: RoostError | None = None
        self.first_append_offset: int | None = None  # of what was committed since it was cleared
        self.compacts = True

    @property
    def pending_end(self) -> int:
        """The end in the file of the furthest byte that waits for a flush, 0 if none does.

        Of appended bytes it is where they will end if nobody else appends.
        """
        return max((s.offset + s.length for s in list(self._waiting)), default=0)

    @property
    def has_pending(self) -> bool:
        """True if a flush would have something to do, or to report."""
        return bool(self._waiting or self._committing) or self._error is not None

    def write(self, offset: int, data: Buffer) -> Attr | None:
        """Take `data` for `offset`.  Raises the failure of an earlier or of this write.

        Returns the attributes if that committed something.
        """
        view = self._taken(data)
        try:
            for chunk_no, pos, size_bytes in split_by_chunk(offset, len(view)):
                target = self._slice_for(chunk_no, pos, size_bytes)
                self._fill(target, pos, view[:size_bytes])
                view = view[size_bytes:]
            return self._tidy()
        except RoostError as error:
            self._break(error)
            raise

    def append(self, end: int, data: Buffer) -> Attr | None:
        """Take `data` for the file's end, which is now believed to be at `end`.

        Raises and returns as `write`.
        """
        view = self._taken(data)
        try:
            while view:
                target = self._appended_slice(end)
                taken = view[: CHUNK_BYTES - target.length]
                self._fill(target, target.length, taken)
                view = view[len(taken) :]
                end += len(taken)
            return self._tidy()
        except RoostError as error:
            self._break(error)
            raise

    def forget_appends(self) -> None:
        """Clear `first_append_offset`."""
        self.first_append_offset = None

    def flush(self) -> Attr | None:
        """Store and commit all that waits; return the file's attributes if there was anything.

        Raises StorageFull, Unavailable, CommitUnknown, FsError.
        """
        self._check()
        attr = None
        try:
            for waiting in list(self._waiting):
                waiting.freeze()  # all last blocks under way before the first is waited for
            attr = self._committed()
            while self._waiting:
                attr = self._commit_first(self._waiting[0])
        except RoostError as error:
            self._break(error)
            raise
        return attr

    def tick(self) -> Attr | None:
        """Freeze what is old or idle, and commit what is stored; never waits for an upload.

        Returns the attributes if something was committed.  A failure is kept for the next caller.
        """
        now_s = self._core.clock.monotonic_s()
        try:
            for waiting in list(self._waiting):
                old = now_s - waiting.born_s >= AGE_MAX_S
                if old or now_s - waiting.touched_s >= IDLE_MAX_S:
                    waiting.freeze()
            return self._commit_stored()
        except RoostError as error:
            self._break(error)
            return None

    def abandon(self) -> None:
        """Forget what waits, once nothing of it is under way, and delete its blocks."""
        if self._committing is not None:
            self._committing.exception()
            self._committing = None
        for waiting in self._waiting:
            self._core.remove_slice(waiting.abandon())
        self._waiting.clear()

    def _taken(self, data: Buffer) -> memoryview:
        self._check()
        return memoryview(data).cast("B")

    def _fill(self, target: SliceWriter, pos: int, data: memoryview) -> None:
        if self._core.buffers.is_short:  # what this file holds would never come back
            for other in list(self._waiting):
                if other is not target:
                    other.freeze()
        target.touched_s = self._core.clock.monotonic_s()
        target.write(pos, data, self._core.clock.wall_ns())

    def _slice_for(self, chunk_no: ChunkNo, pos: int, size_bytes: int) -> SliceWriter:
        for younger, candidate in enumerate(reversed(list(self._waiting))):
            if candidate.appended:
                break
            if candidate.chunk_no != chunk_no:
                continue
            if candidate.accepts(pos):
                return candidate
            if candidate.overlaps(pos, size_bytes):
                break
            if younger >= YOUNG_SLICES_MAX:
                candidate.freeze()
        return self._begin(chunk_no, pos, chunk_no * CHUNK_BYTES + pos, appended=False)

    def _appended_slice(self, end: int) -> SliceWriter:
        newest = next(reversed(list(self._waiting)), None)
        if newest is not None and newest.appended and newest.accepts(newest.length):
            return newest
        return self._begin(_NO_CHUNK, 0, end, appended=True)

    def _begin(self, chunk_no: ChunkNo, pos: int, offset: int, *, appended: bool) -> SliceWriter:
        core = self._core
        made = SliceWriter(
            core.outgoing,
            core.meta.new_slice_id,
            chunk_no,
            pos,
            offset=offset,
            born_s=core.clock.monotonic_s(),
            appended=appended,
        )
        self._waiting.append(made)
        return made

    def _tidy(self) -> Attr | None:
        """Commit in the background what is stored; here and now if too much waits."""
        if len(self._waiting) > SLICES_WAITING_MAX:
            return self.flush()
        return self._commit_stored() if self._committing or len(self._waiting) > 1 else None

    def _commit_stored(self) -> Attr | None:
        """Begin to commit the slices that are stored; return what an earlier such commit gave."""
        if self._committing is not None and not self._committing.done():
            return None
        attr = self._committed()
        stored = list(itertools.takewhile(lambda waiting: waiting.is_stored, self._waiting))
        if stored:
            self._committing = self._core.commits.try_submit(partial(self._commit_some, stored))
        return attr

    def _committed(self) -> Attr | None:
        """Wait for the commits under way and return the attributes they gave.  Raises theirs."""
        committing, self._committing = self._committing, None
        return None if committing is None else committing.result()

    def _commit_some(self, stored: list[SliceWriter]) -> Attr:
        """Commit slices on another thread; the file's lock is not held."""
        for first in stored:
            attr = self._commit_first(first)
        return attr

    def _commit_first(self, first: SliceWriter) -> Attr:
        """Commit the oldest slice.  It stays first if that fails, unless its fate is unknown."""
        assert self._waiting[0] is first
        record = first.finish()
        try:
            attr = self._commit(first, record)
        except FsError:
            raise  # surely refused: its blocks can be deleted
        except RoostError:
            self._waiting.pop(0)  # perhaps done: its blocks must stay
            raise
        self._waiting.pop(0)
        if self.compacts:
            end = first.chunk_no if not first.appended else chunk_of(max(attr.length - 1, 0))[0]
            self._core.compaction.committed(self._ino, end)
        return attr

    def _commit(self, first: SliceWriter, record: Slice) -> Attr:
        meta = self._core.meta
        if not first.appended:
            return meta.write_slice(self._ino, first.chunk_no, record, first.mtime_ns)
        done = meta.append_slice(self._ino, record.id, record.length, first.mtime_ns)
        if self.first_append_offset is None:
            self.first_append_offset = done.offset
        return done.attr

    def _break(self, error: RoostError) -> None:
        self._error = error
        self.abandon()

    def _check(self) -> None:
        if self._error is not None:
            raise Failure(
                f"an earlier write to inode {self._ino} failed: {self._error}",
                hint="Close the file; what was written since its last good sync may be lost.",
            ) from self._error
