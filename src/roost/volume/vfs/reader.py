"""Reads of one file: records from the metadata, bytes from the cache or the store.

Every read asks the metadata for the file's attributes, so that what another client published is
seen (close-to-open, and better: a log being appended to).  Records are kept per chunk as long as
the attributes' times and length stand still, as JuiceFS's clients do.  Compaction by another client
may remove blocks that kept records name: a read that misses a block drops the records and tries
again with new ones, and only if those are the same it is damage.

A read that continues the one before opens a window of blocks that are fetched ahead; it doubles
up to `WINDOW_BLOCKS_MAX`.

Not thread safe: the open file's lock guards it.
"""

from roost.errors import MissingBlock
from roost.volume.data.plan import Part, parts_of
from roost.volume.layout import CHUNK_BYTES, split_by_chunk
from roost.volume.model import Attr, ChunkNo, Ino, Slice
from roost.volume.vfs.core import Core

WINDOW_BLOCKS_MAX = 8
CHUNKS_KEPT_MAX = 16
RECORD_TRIES_MAX = 5
_SMALL_READ_SHARE = 4  # of a block: a smaller read at random fetches only its range


class FileReader:
    """What is known of one inode's data for reading."""

    def __init__(self, core: Core, ino: Ino) -> None:
        self._core = core
        self._ino = ino
        self._version: tuple[int, int, int] | None = None
        self._chunks: dict[ChunkNo, tuple[Slice, ...]] = {}
        self._next = 0  # where a sequential reader would go on
        self._window = 0  # blocks to fetch ahead

    def read(self, attr: Attr, offset: int, size_bytes: int) -> bytes:
        """Return [offset, offset + size_bytes) of the file, cut at its length in `attr`.

        Raises MissingBlock, CorruptRecord, Unavailable, FsError.
        """
        end = min(offset + size_bytes, attr.length)
        if offset >= end:
            return b""
        self._refresh(attr)
        sequential = offset == self._next
        self._window = min(max(self._window * 2, 1), WINDOW_BLOCKS_MAX) if sequential else 0
        pieces: list[bytes | memoryview] = []
        for chunk_no, pos, length in split_by_chunk(offset, end - offset):
            pieces.extend(self._read_chunk(chunk_no, pos, length))
        self._next = end
        if self._window:
            self._fetch_ahead(end, attr.length)
        return bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)

    def forget(self) -> None:
        """Drop the kept records, after a change made through this client."""
        self._chunks.clear()

    def _refresh(self, attr: Attr) -> None:
        version = (attr.mtime_ns, attr.ctime_ns, attr.length)
        if version != self._version:
            self._chunks.clear()
            self._version = version

    def _records(self, chunk_no: ChunkNo) -> tuple[Slice, ...]:
        records = self._chunks.get(chunk_no)
        if records is None:
            if len(self._chunks) >= CHUNKS_KEPT_MAX:
                self._chunks.clear()
            records = self._chunks[chunk_no] = self._core.meta.read_chunk(self._ino, chunk_no)
        return records

    def _read_chunk(self, chunk_no: ChunkNo, pos: int, length: int) -> list[bytes | memoryview]:
        for tries_left in reversed(range(RECORD_TRIES_MAX)):
            records = self._records(chunk_no)
            parts = parts_of(records, pos, pos + length, self._core.blocks.block_bytes)
            try:
                return self._read_parts(parts)
            except MissingBlock:
                self._chunks.pop(chunk_no, None)
                if not tries_left or self._records(chunk_no) == records:
                    raise
        raise AssertionError("the last try returned or raised")

    def _read_parts(self, parts: list[Part]) -> list[bytes | memoryview]:
        for part in parts[1:]:  # the first is fetched on this thread
            if part.ref is not None and not self._is_small(part):
                self._core.cache.prefetch(part.ref)
        return [self._read_part(part) for part in parts]

    def _read_part(self, part: Part) -> bytes | memoryview:
        if part.ref is None:
            return bytes(part.length)
        if self._is_small(part):
            at_hand = self._core.cache.peek(part.ref)
            if at_hand is None:
                return self._core.blocks.get_range(part.ref, part.offset, part.length)
            return memoryview(at_hand)[part.offset : part.offset + part.length]
        block = self._core.cache.get(part.ref)
        return memoryview(block)[part.offset : part.offset + part.length]

    def _is_small(self, part: Part) -> bool:
        """True if only the range should be fetched: a small read out of sequence."""
        if self._window or part.ref is None or not self._core.blocks.compression.keeps_bytes:
            return False
        return part.length * _SMALL_READ_SHARE < part.ref.size_bytes

    def _fetch_ahead(self, start: int, length: int) -> None:
        block_bytes = self._core.blocks.block_bytes
        end = min(start + self._window * block_bytes, length)
        if start >= end:
            return
        chunk_no, pos = ChunkNo(start // CHUNK_BYTES), start % CHUNK_BYTES
        stop = min(pos + end - start, CHUNK_BYTES)
        for part in parts_of(self._records(chunk_no), pos, stop, block_bytes):
            if part.ref is not None:
                self._core.cache.prefetch(part.ref)
