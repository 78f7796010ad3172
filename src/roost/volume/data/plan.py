"""From slice records to the block ranges that a read needs.  Pure functions."""

from collections.abc import Iterable
from dataclasses import dataclass

from roost.errors import CorruptRecord
from roost.volume import layout, overlay
from roost.volume.data.blocks import BlockRef
from roost.volume.model import Slice


@dataclass(frozen=True, slots=True)
class Part:
    """`length` bytes at `pos` of the chunk: from `offset` of block `ref`; zeros if it is None."""

    pos: int
    length: int
    ref: BlockRef | None = None
    offset: int = 0


def parts_of(records: Iterable[Slice], start: int, end: int, block_bytes: int) -> list[Part]:
    """Return the parts that make up [start, end) of a chunk, in order and without a gap.

    Raises CorruptRecord for a record that shows more than its slice has.
    """
    parts: list[Part] = []
    for piece in overlay.cover(records, start, end):
        if piece.id == 0:
            parts.append(Part(piece.pos, piece.length))
        else:
            parts.extend(_parts_of_slice(piece, block_bytes))
    return parts


def _parts_of_slice(piece: Slice, block_bytes: int) -> list[Part]:
    parts = []
    position, offset = piece.pos, piece.offset
    end = piece.offset + piece.length
    if end > piece.size:
        why = f"a record shows its bytes {offset} to {end}, it has {piece.size}"
        raise CorruptRecord(f"slice {piece.id}", why)
    while offset < end:
        block_no, inside = divmod(offset, block_bytes)
        size_bytes = layout.block_size(piece.size, block_no, block_bytes)
        length = min(size_bytes - inside, end - offset)
        parts.append(Part(position, length, BlockRef(piece.id, block_no, size_bytes), inside))
        position += length
        offset += length
    return parts
