"""One slice being written: its full blocks go up in the background while it grows.

Not thread safe: its file's lock guards it.
"""

from collections.abc import Callable
from concurrent.futures import Future

from roost.volume.data.blocks import BlockRef, Blocks
from roost.volume.data.pool import BoundedPool
from roost.volume.layout import CHUNK_BYTES
from roost.volume.model import ChunkNo, Slice, SliceId


class SliceWriter:
    """Bytes for one range of one chunk, appended in order."""

    def __init__(
        self,
        blocks: Blocks,
        uploads: BoundedPool,
        new_slice_id: Callable[[], SliceId],
        chunk_no: ChunkNo,
        pos: int,
    ) -> None:
        self._blocks = blocks
        self._uploads = uploads
        self._new_slice_id = new_slice_id
        self._id: SliceId | None = None
        self._tail = bytearray()
        self._under_way: list[Future[None]] = []
        self._frozen = False
        self.chunk_no = chunk_no
        self.pos = pos
        self.length = 0
        self.mtime_ns = 0

    @property
    def end(self) -> int:
        """The position in the chunk after the last byte."""
        return self.pos + self.length

    @property
    def is_frozen(self) -> bool:
        """True once nothing may be appended."""
        return self._frozen

    def append(self, data: memoryview, mtime_ns: int) -> None:
        """Add bytes, written at `mtime_ns`; may wait for uploads.  Raises Failure."""
        assert not self._frozen
        assert self.end + len(data) <= CHUNK_BYTES, "a slice never crosses a chunk"
        self.length += len(data)
        self.mtime_ns = mtime_ns
        block_bytes = self._blocks.block_bytes
        while data:
            room = block_bytes - len(self._tail)
            self._tail += data[:room]
            data = data[room:]
            if len(self._tail) == block_bytes:
                self._upload_tail()

    def freeze(self) -> None:
        """Send the last, shorter block; nothing may be appended afterwards."""
        if not self._frozen:
            self._frozen = True
            if self._tail:
                self._upload_tail()

    def finish(self) -> Slice:
        """Wait until all blocks are stored and return the record that shows them.

        Raises StorageFull, Unavailable: the slice must not be committed.
        """
        self.freeze()
        for upload in self._under_way:
            upload.result()
        assert self._id is not None
        return Slice(self.pos, self._id, self.length, 0, self.length)

    def abandon(self) -> None:
        """Wait for uploads under way and forget their outcome."""
        self._frozen = True
        self._tail = bytearray()
        for upload in self._under_way:
            upload.exception()

    def _upload_tail(self) -> None:
        if self._id is None:
            self._id = self._new_slice_id()
        ref = BlockRef(self._id, len(self._under_way), len(self._tail))
        data, self._tail = self._tail, bytearray()
        self._under_way.append(self._uploads.submit(lambda: self._blocks.put(ref, data)))
