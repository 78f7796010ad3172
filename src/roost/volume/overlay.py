"""Which slices of a chunk are visible.

A chunk is an ordered log of slice records; a later record covers earlier ones.  Pure functions.
Source: the volume format reference, section 5.3; JuiceFS pkg/meta/slice.go, buildSlice.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from operator import attrgetter

from roost.volume.model import Slice, SliceId

_start = attrgetter("pos")
_end = attrgetter("end")


def visible(records: Iterable[Slice]) -> tuple[Slice, ...]:
    """Return what a reader sees of `records` (oldest first): pieces in order of position.

    Pieces never overlap.  A gap between two pieces, and all after the last, reads as zeros, as
    does a piece with id 0.  The cost is near n log n for the usual patterns.
    """
    pieces: list[Slice] = []
    for record in records:
        if record.length == 0:
            continue
        first = bisect_right(pieces, record.pos, key=_end)
        last = bisect_left(pieces, record.end, key=_start)
        kept: list[Slice] = []
        if first < last:
            head, tail = pieces[first], pieces[last - 1]
            if head.pos < record.pos:
                kept.append(_cut(head, head.pos, record.pos))
            kept.append(record)
            if tail.end > record.end:
                kept.append(_cut(tail, record.end, tail.end))
        else:
            kept.append(record)
        pieces[first:last] = kept
    return tuple(pieces)


def cover(records: Iterable[Slice], start: int, end: int) -> tuple[Slice, ...]:
    """Return the pieces that make up [start, end) of the chunk, without a gap.

    Gaps and holes come as slices with id 0.
    """
    pieces: list[Slice] = []
    position = start
    for piece in visible(records):
        if piece.end <= start:
            continue
        if piece.pos >= end:
            break
        if piece.pos > position:
            pieces.append(zeros(position, piece.pos - position))
        pieces.append(_cut(piece, max(piece.pos, start), min(piece.end, end)))
        position = pieces[-1].end
    if position < end:
        pieces.append(zeros(position, end - position))
    return tuple(pieces)


def zeros(pos: int, length: int) -> Slice:
    """Return the record that covers [pos, pos + length) with zeros."""
    return Slice(pos, SliceId(0), 0, 0, length)


def _cut(piece: Slice, start: int, end: int) -> Slice:
    """Return the part of `piece` inside [start, end)."""
    if piece.pos == start and piece.end == end:
        return piece
    offset = piece.offset + (start - piece.pos) if piece.id else 0
    return Slice(start, piece.id, piece.size, offset, end - start)
