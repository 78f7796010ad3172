"""One slice being written: its full blocks go up in the background while it grows.

Bytes may be written again as long as their block has not gone up.

Not thread safe: its file's lock guards it.
"""

from collections.abc import Callable
from concurrent.futures import Future

from roost.volume.data.blocks import BlockRef
from roost.volume.data.buffers import WriteBuffers
from roost.volume.data.outgoing import Outgoing
from roost.volume.layout import CHUNK_BYTES
from roost.volume.model import ChunkNo, Slice, SliceId, SliceRef


class SliceWriter:
    """Bytes for one range of one chunk.

    `offset` is where it begins in the file.  For `appended` slices, which belong at the end of the
    file wherever that is when they are committed, it is a guess.
    """

    def __init__(
        self,
        outgoing: Outgoing,
        new_slice_id: Callable[[], SliceId],
        chunk_no: ChunkNo,
        pos: int,
        *,
        offset: int,
        born_s: float = 0.0,
        appended: bool = False,
    ) -> None:
        self._outgoing = outgoing
        self._buffers: WriteBuffers = outgoing.buffers
        self._block_bytes = outgoing.block_bytes
        self._new_slice_id = new_slice_id
        self._id: SliceId | None = None
        self._tail: bytearray | None = None
        self._tail_bytes = 0
        self._under_way: list[Future[None]] = []
        self._frozen = False
        self.chunk_no = chunk_no
        self.pos = pos
        self.offset = offset
        self.length = 0
        self.mtime_ns = 0
        self.born_s = born_s
        self.touched_s = born_s
        self.appended = appended

    @property
    def end(self) -> int:
        """The position in the chunk after the last byte."""
        return self.pos + self.length

    @property
    def is_frozen(self) -> bool:
        """True once nothing may be written."""
        return self._frozen

    @property
    def is_stored(self) -> bool:
        """True once it is frozen and every upload has ended, well or not."""
        return self._frozen and all(upload.done() for upload in self._under_way)

    def accepts(self, pos: int) -> bool:
        """True if bytes may be written from `pos` of the chunk on: in the open block, or behind."""
        return not self._frozen and self.end - self._tail_bytes <= pos <= self.end

    def overlaps(self, pos: int, size_bytes: int) -> bool:
        """True if it has bytes in that range of the chunk."""
        return pos < self.end and self.pos < pos + size_bytes

    def write(self, pos: int, data: memoryview, mtime_ns: int) -> None:
        """Take bytes for `pos` of the chunk, written at `mtime_ns`; may wait for uploads.

        Raises Failure.
        """
        assert self.accepts(pos)
        assert pos + len(data) <= CHUNK_BYTES, "a slice never crosses a chunk"
        self.mtime_ns = mtime_ns
        inside = pos - (self.end - self._tail_bytes)  # in the open block
        while data:
            if not self._tail_bytes and len(data) >= self._block_bytes:
                data = self._store_whole(data)
                continue
            taken = min(self._block_bytes - inside, len(data))
            tail = self._room(inside + taken)
            tail[inside : inside + taken] = data[:taken]
            data = data[taken:]
            grown = max(inside + taken - self._tail_bytes, 0)
            self._tail_bytes += grown
            self.length += grown
            if self._tail_bytes == self._block_bytes:
                self._store_tail()
            inside = self._tail_bytes
        if self.end == CHUNK_BYTES:
            self.freeze()

    def freeze(self) -> None:
        """Send the last, shorter block; nothing may be written afterwards."""
        if not self._frozen:
            self._frozen = True
            if self._tail_bytes:
                self._store_tail()

    def finish(self) -> Slice:
        """Wait until all blocks are stored and return the record that shows them.

        Raises StorageFull, Unavailable: the slice must not be committed.
        """
        self.freeze()
        for upload in self._under_way:
            upload.result()
        assert self._id is not None
        return Slice(self.pos, self._id, self.length, 0, self.length)

    def abandon(self) -> SliceRef | None:
        """Wait for uploads under way and forget their outcome; return what may now be deleted."""
        self._frozen = True
        if self._tail is not None:
            self._buffers.give_back(self._tail)
            self._tail = None
        for upload in self._under_way:
            upload.exception()
        return None if self._id is None else SliceRef(self._id, self.length)

    def _room(self, size_bytes: int) -> bytearray:
        """Return the open block's memory, with place for `size_bytes`."""
        tail = self._tail
        if tail is None:
            tail = self._tail = self._buffers.take(size_bytes)
        elif len(tail) < size_bytes:
            larger = self._buffers.take(self._block_bytes)
            larger[: self._tail_bytes] = memoryview(tail)[: self._tail_bytes]
            self._buffers.give_back(tail)
            tail = self._tail = larger
        return tail

    def _store_whole(self, data: memoryview) -> memoryview:
        """Store one block straight from `data`, and return the rest.

        Only `bytes` cannot change until the block is stored; anything else is copied.
        """
        block = data[: self._block_bytes]
        if isinstance(data.obj, bytes):
            self._buffers.reserve(len(block))
            self._under_way.append(self._outgoing.store_view(self._next_ref(len(block)), block))
        else:
            buffer = self._buffers.take(len(block))
            buffer[:] = block
            self._under_way.append(self._outgoing.store(self._next_ref(len(block)), buffer))
        self.length += len(block)
        return data[self._block_bytes :]

    def _store_tail(self) -> None:
        tail, size_bytes = self._tail, self._tail_bytes
        assert tail is not None
        ref = self._next_ref(size_bytes)
        self._tail, self._tail_bytes = None, 0
        self._under_way.append(self._outgoing.store(ref, tail))

    def _next_ref(self, size_bytes: int) -> BlockRef:
        if self._id is None:
            self._id = self._new_slice_id()
        return BlockRef(self._id, len(self._under_way), size_bytes)
