"""Whole files between a local file and slices, blocks in parallel, without the memory cache."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from functools import partial

from roost.errors import Unavailable
from roost.volume.data.blocks import BlockRef, Blocks
from roost.volume.data.plan import Part, parts_of
from roost.volume.data.pool import BoundedPool
from roost.volume.data.source import BlockSource
from roost.volume.layout import CHUNK_BYTES, split_by_chunk
from roost.volume.model import ChunkNo, Slice, SliceId

Progress = Callable[[int], None]
"""Told the bytes of each piece that has been moved; called from pool threads."""


def nobody(_size_bytes: int) -> None:
    """A `Progress` that nobody watches."""


def upload(
    descriptor: int,
    length: int,
    blocks: Blocks,
    pool: BoundedPool,
    new_slice_id: Callable[[], SliceId],
    progress: Progress = nobody,
) -> Iterator[tuple[ChunkNo, Slice]]:
    """Store the local file's first `length` bytes; yield each chunk's record once it is stored.

    Raises StorageFull, Unavailable.
    """
    waiting: list[tuple[ChunkNo, Slice, list[Future[None]]]] = []

    def put(ref: BlockRef, offset: int) -> None:
        blocks.put(ref, _read_exactly(descriptor, ref.size_bytes, offset))
        progress(ref.size_bytes)

    try:
        for chunk_no, pos, size_bytes in split_by_chunk(0, length):
            record = Slice(pos, new_slice_id(), size_bytes, 0, size_bytes)
            start = chunk_no * CHUNK_BYTES + pos
            waiting.append((chunk_no, record, []))
            for ref in blocks.refs(record.id, size_bytes):
                offset = start + ref.block_no * blocks.block_bytes
                waiting[-1][2].append(pool.submit(partial(put, ref, offset)))
        for chunk_no, record, futures in waiting:
            for future in futures:
                future.result()
            yield chunk_no, record
    finally:  # the caller closes the descriptor: nothing may still read from it
        for _, _, futures in waiting:
            for future in futures:
                future.exception()


def download(
    chunks: Iterable[tuple[ChunkNo, tuple[Slice, ...]]],
    length: int,
    descriptor: int,
    source: BlockSource,
    pool: BoundedPool,
    progress: Progress = nobody,
) -> None:
    """Write the file that `chunks` describe into the empty local file `descriptor`.

    Raises MissingBlock, CorruptRecord, Unavailable; OSError of the local disk.
    """
    os.ftruncate(descriptor, length)

    def fetch(ref: BlockRef, start: int, parts: list[Part]) -> None:
        block = memoryview(source.get(ref, keep=False))
        for part in parts:
            _write_exactly(descriptor, block[part.offset :][: part.length], start + part.pos)
            progress(part.length)

    futures: list[Future[None]] = []
    try:
        for chunk_no, records in chunks:
            start = chunk_no * CHUNK_BYTES
            end = min(CHUNK_BYTES, length - start)
            futures.extend(
                pool.submit(partial(fetch, ref, start, parts))
                for ref, parts in _by_block(parts_of(records, 0, end, source.block_bytes)).items()
            )
        for future in futures:
            future.result()
    finally:
        for future in futures:
            future.exception()


def _by_block(parts: Iterable[Part]) -> dict[BlockRef, list[Part]]:
    """Return which parts each block gives: small overwrites cut one block into many."""
    found: dict[BlockRef, list[Part]] = {}
    for part in parts:
        if part.ref is not None:
            found.setdefault(part.ref, []).append(part)
    return found


def _write_exactly(descriptor: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written


def _read_exactly(descriptor: int, size_bytes: int, offset: int) -> bytes:
    data = os.pread(descriptor, size_bytes, offset)
    if len(data) == size_bytes:
        return data
    pieces = [data]  # a read may be short; nothing at all means that the file was cut
    while data and sum(map(len, pieces)) < size_bytes:
        have = sum(map(len, pieces))
        data = os.pread(descriptor, size_bytes - have, offset + have)
        pieces.append(data)
    whole = b"".join(pieces)
    if len(whole) != size_bytes:
        raise Unavailable("the local file became shorter while it was read")
    return whole
