"""Reads of one file: records from the metadata, bytes from the caches or the store.

Records are kept per chunk as long as the attributes' times and length stand still, as JuiceFS's
clients do.  Compaction by another client may remove blocks that kept records name: a read that
misses a block drops the records and tries again with new ones, and only if those are the same it
is damage.

A read that continues one of the last two opens a window of blocks that are fetched ahead.  It
doubles with what was read in sequence, from one block up to what `windows` leaves to it.  A small
read out of sequence fetches only its range, and the whole block in the background.

Lock order: `_lock` guards what is kept; records are fetched under it, blocks never.
"""

import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass

from typing_extensions import Buffer

from roost.errors import MissingBlock
from roost.volume.data.plan import Part, parts_of
from roost.volume.layout import split_by_chunk
from roost.volume.model import Attr, ChunkNo, Ino, Slice
from roost.volume.vfs.core import Core

CHUNKS_KEPT_MAX = 16
RECORD_TRIES_MAX = 5
STREAMS_MAX = 2
_SMALL_READ_SHARE = 4  # of a block: a smaller read at random fetches only its range
_ZEROS = bytes(1 << 20)


@dataclass(slots=True, eq=False)
class _Stream:
    """Somebody who reads on and on."""

    next: int = 0  # where it would go on
    read_bytes: int = 0  # in sequence so far
    ahead: int = 0  # up to where it was fetched ahead


class FileReader:
    """What is known of one inode's data for reading.  Safe to use from several threads."""

    def __init__(self, core: Core, ino: Ino) -> None:
        self._core = core
        self._ino = ino
        self._block_bytes = core.blocks.block_bytes
        self._lock = threading.Lock()
        self._version: tuple[int, int, int] | None = None
        self._chunks: dict[ChunkNo, tuple[Slice, ...]] = {}
        self._streams = [_Stream()]  # least recently used first
        self.compacts = True

    def read(self, attr: Attr, offset: int, size_bytes: int) -> Iterator[memoryview]:
        """Yield [offset, offset + size_bytes) of the file in pieces, cut at its length in `attr`.

        No more than a chunk is held at a time.  Raises MissingBlock, CorruptRecord, Unavailable,
        FsError.
        """
        end = min(offset + size_bytes, attr.length)
        if offset >= end:
            return
        sequence, ahead = self._begin(attr, offset, end)
        for chunk_no, pos, length in split_by_chunk(offset, end - offset):
            yield from self._read_chunk(chunk_no, pos, length, in_sequence=sequence)
        for chunk_no, pos, length in split_by_chunk(ahead.start, len(ahead)):
            self._fetch_ahead(chunk_no, pos, length)

    def records(self, attr: Attr, chunk_no: ChunkNo) -> tuple[Slice, ...]:
        """Return the chunk's records as of `attr`."""
        with self._lock:
            self._refresh(attr)
            return self._records(chunk_no)

    def forget(self) -> None:
        """Drop the kept records, after a change made through this client."""
        with self._lock:
            self._chunks.clear()

    def close(self) -> None:
        """Leave the room for reading ahead to others: nobody reads this file any more."""
        with self._lock:
            for stream in self._streams:
                self._core.windows.left(stream)

    def _begin(self, attr: Attr, offset: int, end: int) -> tuple[bool, range]:
        """Note the read; return if it is in sequence, and what to fetch ahead."""
        with self._lock:
            self._refresh(attr)
            stream = next((s for s in self._streams if s.next == offset), None)
            in_sequence = stream is not None
            if stream is None:
                stream = _Stream()
                if len(self._streams) == STREAMS_MAX:
                    self._core.windows.left(self._streams.pop(0))
            else:
                self._streams.remove(stream)
                stream.read_bytes += end - offset
            self._streams.append(stream)
            stream.next = end
            if not in_sequence:
                return False, range(0)
            return True, self._look_ahead(stream, attr.length)

    def _look_ahead(self, stream: _Stream, length: int) -> range:
        """Return what of the file to fetch for a stream that has just been read on."""
        windows, end = self._core.windows, stream.next
        blocks = 1 << (stream.read_bytes // self._block_bytes + 1).bit_length() - 1
        until = end + min(blocks, windows.blocks(stream)) * self._block_bytes
        until = min(until - until % self._block_bytes, length)
        ahead = range(max(end, stream.ahead), until)
        stream.ahead = max(stream.ahead, until)
        if end >= length:
            windows.left(stream)
        elif ahead:
            windows.fetching(stream, -(-len(ahead) // self._block_bytes))
        return ahead

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
            records = self._core.meta.read_chunk(self._ino, chunk_no)
            self._core.meta.demand_held(self._ino)
            self._chunks[chunk_no] = records
            if self.compacts:
                self._core.compaction.seen(self._ino, chunk_no, records)
        return records

    def _read_chunk(
        self, chunk_no: ChunkNo, pos: int, length: int, *, in_sequence: bool
    ) -> list[memoryview]:
        for tries_left in reversed(range(RECORD_TRIES_MAX)):
            with self._lock:
                records = self._records(chunk_no)
            parts = parts_of(records, pos, pos + length, self._block_bytes)
            try:
                return list(self._read_parts(parts, in_sequence))
            except MissingBlock:
                with self._lock:
                    self._chunks.pop(chunk_no, None)
                    if not tries_left or self._records(chunk_no) == records:
                        raise
        raise AssertionError("the last try returned or raised")

    def _read_parts(self, parts: list[Part], in_sequence: bool) -> Iterator[memoryview]:
        """Yield the parts' bytes; those behind the first are fetched while it is."""
        cache = self._core.cache
        started: deque[Future[Buffer] | None] = deque()
        window = self._core.windows.alone  # not divided: they are held until they are used
        ahead = 1  # the first is fetched on this thread
        for number, part in enumerate(parts):
            while ahead < min(len(parts), number + 1 + window):
                started.append(self._start(parts[ahead], in_sequence))
                ahead += 1
            fetch = started.popleft() if number else None
            if part.ref is None:
                yield from _zeros(part.length)
            elif self._is_small(part, in_sequence):
                yield self._read_range(part)
            else:
                block = cache.get(part.ref) if fetch is None else cache.wait(part.ref, fetch)
                yield memoryview(block)[part.offset : part.offset + part.length]

    def _start(self, part: Part, in_sequence: bool) -> "Future[Buffer] | None":
        if part.ref is None or self._is_small(part, in_sequence):
            return None
        return self._core.cache.start(part.ref)

    def _read_range(self, part: Part) -> memoryview:
        assert part.ref is not None
        at_hand = self._core.cache.peek(part.ref)
        if at_hand is not None:
            return memoryview(at_hand)[part.offset : part.offset + part.length]
        data = self._core.source.get_range(part.ref, part.offset, part.length)
        self._core.prefetch(part.ref)
        return memoryview(data).cast("B")

    def _is_small(self, part: Part, in_sequence: bool) -> bool:
        """True if only the range should be fetched: a small read out of sequence."""
        if in_sequence or part.ref is None or not self._core.source.has_ranges:
            return False
        return part.length * _SMALL_READ_SHARE < part.ref.size_bytes

    def _fetch_ahead(self, chunk_no: ChunkNo, pos: int, length: int) -> None:
        with self._lock:
            records = self._records(chunk_no)
        for part in parts_of(records, pos, pos + length, self._block_bytes):
            if part.ref is not None:
                self._core.cache.start(part.ref)


def _zeros(length: int) -> Iterator[memoryview]:
    while length > 0:
        size_bytes = min(length, len(_ZEROS))
        yield memoryview(_ZEROS)[:size_bytes]
        length -= size_bytes
