"""Compaction: many records of a chunk become one slice, by JuiceFS's algorithm.

Old records that are large and not covered stay as they are, in front (`skip_some`); of the rest the
visible bytes are read, written as one slice, and put in the place of the records in one commit,
which fails if the records changed meanwhile.
Source: the volume format reference, section 5.4; juicefs pkg/meta/slice.go.
"""

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from typing_extensions import Buffer

from roost.errors import MissingBlock
from roost.sizes import MIB
from roost.volume.data.blocks import Blocks
from roost.volume.data.cache import BlockCache
from roost.volume.data.outgoing import Outgoing
from roost.volume.data.plan import Part, parts_of
from roost.volume.meta.api import Meta
from roost.volume.model import ChunkNo, Ino, Slice, SliceRef
from roost.volume.overlay import cover, visible, zeros

RECORDS_MAX = 1000  # merged at a time
SKIP_BYTES_MIN = MIB
_SKIP_SHARE = 5
_READ_AHEAD_BLOCKS = 4
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """What takes the place of `replaced`: the bytes of `pieces`, at `pos` of the chunk."""

    skipped: tuple[Slice, ...]
    replaced: tuple[Slice, ...]
    pos: int
    pieces: tuple[Slice, ...]

    @property
    def size_bytes(self) -> int:
        """Bytes of the new slice."""
        return sum(piece.length for piece in self.pieces)


class Parts(Protocol):
    """What compaction needs of an open volume."""

    meta: Meta
    blocks: Blocks
    cache: BlockCache
    outgoing: Outgoing

    def remove_slice(self, ref: SliceRef | None) -> None:
        """Delete the blocks of a slice in the background."""
        ...

    def release_slices(self, refs: Sequence[SliceRef]) -> None:
        """Delete the blocks of slices that nobody refers to any more, and forget them."""
        ...


def plan(records: Sequence[Slice]) -> Plan | None:
    """Return what to do about a chunk's records, oldest first; None if there is nothing to gain."""
    raw = tuple(records[:RECORDS_MAX])
    kept = skip_some(raw)
    if len(raw) - kept < 2:
        return None
    pos, pieces = _pieces(raw[kept:])
    made = Plan(raw[:kept], raw[kept:], pos, pieces)
    return made if made.size_bytes else None


def skip_some(raw: Sequence[Slice]) -> int:
    """Return how many of the oldest records are large, visible as they are, and best left alone."""
    kept = 0
    while kept < len(raw):
        first, rest = raw[kept], raw[kept:]
        pos, pieces = _pieces(rest)
        size_bytes = sum(piece.length for piece in pieces)
        if not size_bytes or first.length < max(SKIP_BYTES_MIN, size_bytes / _SKIP_SHARE):
            break
        shown = pieces[0]
        if (pos, shown.id, shown.offset, shown.length) != (
            first.pos, first.id, first.offset, first.length,
        ):  # fmt: skip
            break
        if first in rest[1:]:
            break
        kept += 1
    return kept


def compact_chunk(core: Parts, ino: Ino, chunk_no: ChunkNo) -> int:
    """Merge the chunk's records into one slice; return how many records went, 0 if none did.

    Safe beside readers, writers and other clients: whoever commits first wins, and the loser's
    slice is deleted.  Raises MissingBlock, CorruptRecord, Unavailable, StorageFull, FsError.
    """
    planned = plan(core.meta.read_chunk(ino, chunk_no))
    if planned is None or any(core.meta.is_doubtful(s.id) for s in planned.replaced):
        return 0  # others compact what may be of two clients
    made = SliceRef(core.meta.new_slice_id(), planned.size_bytes)
    try:
        _write(core, made, planned.pieces)
    except MissingBlock:
        core.remove_slice(made)
        now = core.meta.read_chunk(ino, chunk_no)
        if now[: len(planned.skipped + planned.replaced)] == planned.skipped + planned.replaced:
            raise
        return 0  # somebody else was faster
    except BaseException:
        core.remove_slice(made)
        raise
    record = Slice(planned.pos, made.id, made.size, 0, made.size)
    done = core.meta.replace_slices(ino, chunk_no, planned.skipped, planned.replaced, record)
    if done is None:
        log.debug("compaction was overtaken: ino=%d chunk=%d", ino, chunk_no)
        core.remove_slice(made)
        return 0
    core.release_slices(done.released)
    return len(planned.replaced) - 1


def _pieces(raw: Sequence[Slice]) -> tuple[int, tuple[Slice, ...]]:
    """Return where the new slice begins, and the pieces that it is made of, without a gap.

    Zeros at both ends are left out; of a chunk that is all zeros a single one remains.
    """
    shown = visible(raw)
    if not shown:
        return 0, ()
    pieces = list(cover(raw, 0, shown[-1].end))
    pos = 0
    while len(pieces) > 1:
        if pieces[0].id == 0:
            pos += pieces[0].length
            del pieces[0]
        elif pieces[-1].id == 0:
            del pieces[-1]
        else:
            break
    if len(pieces) == 1 and pieces[0].id == 0:
        pieces = [zeros(pieces[0].pos, 1)]
    return pos, tuple(pieces)


def _write(core: Parts, made: SliceRef, pieces: Sequence[Slice]) -> None:
    """Store the pieces' bytes as the slice `made`.  Raises Damage, Failure."""
    uploads: list[Future[None]] = []
    try:
        source = _bytes_of(core, pieces)
        left = memoryview(b"")
        for ref in core.blocks.refs(made.id, made.size):
            buffer = core.outgoing.buffers.take(ref.size_bytes)
            try:
                left = _fill(memoryview(buffer)[: ref.size_bytes], left, source)
            except BaseException:
                core.outgoing.buffers.give_back(buffer)
                raise
            uploads.append(core.outgoing.store(ref, buffer))
        for upload in uploads:
            upload.result()
    finally:
        for upload in uploads:
            upload.exception()


def _fill(target: memoryview, left: memoryview, source: Iterator[memoryview]) -> memoryview:
    """Fill `target` from `left` and then `source`; return what is left over."""
    filled = 0
    while filled < len(target):
        if not left:
            left = next(source)
        taken = min(len(left), len(target) - filled)
        target[filled : filled + taken] = left[:taken]
        filled += taken
        left = left[taken:]
    return left


def _bytes_of(core: Parts, pieces: Sequence[Slice]) -> Iterator[memoryview]:
    parts = [
        part
        for piece in pieces
        for part in parts_of((piece,), piece.pos, piece.end, core.blocks.block_bytes)
    ]
    ahead: deque[Future[Buffer] | None] = deque()
    for number, part in enumerate(parts):
        while len(ahead) < min(_READ_AHEAD_BLOCKS, len(parts) - number):
            following = parts[number + len(ahead)]
            ahead.append(None if following.ref is None else core.cache.start(following.ref))
        fetch = ahead.popleft()
        yield _bytes_of_part(core, part, fetch)


def _bytes_of_part(core: Parts, part: Part, fetch: "Future[Buffer] | None") -> memoryview:
    if part.ref is None:
        return memoryview(bytes(part.length))
    block = core.cache.get(part.ref) if fetch is None else core.cache.wait(part.ref, fetch)
    return memoryview(block)[part.offset : part.offset + part.length]
