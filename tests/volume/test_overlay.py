"""Visible slices against a buffer that remembers who wrote each byte."""

from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from roost.volume.model import Slice, SliceId
from roost.volume.overlay import cover, visible, zeros

CHUNK = 48  # bytes; small enough that writes collide, which is where the bugs are


@st.composite
def records(draw: st.DrawFn) -> list[Slice]:
    """Some records of one chunk, oldest first; every fourth one is zeros."""
    made = []
    for number in range(1, draw(st.integers(0, 14)) + 1):
        start = draw(st.integers(0, CHUNK))
        length = draw(st.integers(0, CHUNK - start))
        if draw(st.integers(0, 3)) == 0:
            made.append(zeros(start, length))
        else:
            offset = draw(st.integers(0, 5))
            size = offset + length + draw(st.integers(0, 5))
            made.append(Slice(start, SliceId(number), size, offset, length))
    return made


def painted(slices: list[Slice]) -> list[tuple[int, int]]:
    """Return for each byte which slice gave it, and from where in the slice."""
    model = [(0, 0)] * CHUNK
    for s in slices:
        for i in range(s.length):
            model[s.pos + i] = (s.id, s.offset + i) if s.id else (0, 0)
    return model


@given(records())
@example([Slice(0, SliceId(1), 40, 0, 40), Slice(10, SliceId(2), 10, 0, 10)])
@example([Slice(0, SliceId(1), 40, 0, 40), Slice(0, SliceId(2), 40, 0, 40)])
def test_visible_slices_read_like_a_flat_buffer(slices: list[Slice]) -> None:
    pieces = visible(slices)
    for left, right in pairwise(pieces):
        assert left.end <= right.pos, "pieces overlap or are out of order"
    assert all(piece.length > 0 for piece in pieces)
    assert painted(list(pieces)) == painted(slices)


@given(records(), st.integers(0, CHUNK), st.integers(0, CHUNK))
def test_cover_has_no_gap_and_reads_the_same(slices: list[Slice], one: int, other: int) -> None:
    start, end = min(one, other), max(one, other)
    pieces = cover(slices, start, end)
    position = start
    for piece in pieces:
        assert piece.pos == position
        position = piece.end
    assert position == end
    assert painted(list(pieces))[start:end] == painted(slices)[start:end]
