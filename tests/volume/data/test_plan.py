"""Plans of reads against a flat buffer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.errors import CorruptRecord
from roost.volume.data.plan import parts_of
from roost.volume.model import Slice, SliceId

BLOCK = 8
CHUNK = 60


@st.composite
def records(draw: st.DrawFn) -> list[Slice]:
    made = []
    for number in range(1, draw(st.integers(0, 8)) + 1):
        pos = draw(st.integers(0, CHUNK - 1))
        length = draw(st.integers(1, CHUNK - pos))
        before, after = draw(st.integers(0, 10)), draw(st.integers(0, 10))
        zeros = draw(st.booleans())
        slice_id = SliceId(0 if zeros else number)
        size = 0 if zeros else before + length + after
        made.append(Slice(pos, slice_id, size, 0 if zeros else before, length))
    return made


@given(records(), st.integers(0, CHUNK), st.integers(0, CHUNK))
def test_parts_read_like_a_flat_buffer(slices: list[Slice], one: int, other: int) -> None:
    start, end = sorted((one, other))
    model = [(0, 0)] * CHUNK
    for record in slices:
        for i in range(record.length):
            model[record.pos + i] = (record.id, record.offset + i) if record.id else (0, 0)
    seen = []
    position = start
    for part in parts_of(slices, start, end, BLOCK):
        assert part.pos == position
        position += part.length
        if part.ref is None:
            seen += [(0, 0)] * part.length
            continue
        assert part.offset + part.length <= part.ref.size_bytes <= BLOCK
        first = part.ref.block_no * BLOCK + part.offset
        seen += [(part.ref.slice_id, first + i) for i in range(part.length)]
    assert seen == model[start:end]


@given(records())
def test_the_size_in_a_block_name_comes_from_the_whole_slice(slices: list[Slice]) -> None:
    sizes = {record.id: record.size for record in slices}
    for part in parts_of(slices, 0, CHUNK, BLOCK):
        if part.ref is not None:
            whole = sizes[part.ref.slice_id]
            assert part.ref.size_bytes == min(BLOCK, whole - part.ref.block_no * BLOCK)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(("offset", "length"), [(5, 1), (6, 1), (0, 6), (7, 3), (1 << 31, 1)])
def test_a_record_that_shows_more_than_its_slice_has_is_damage(offset: int, length: int) -> None:
    record = Slice(0, SliceId(7), 5, offset, length)
    with pytest.raises(CorruptRecord, match=r"slice 7: .* it has 5"):
        parts_of([record], 0, length, BLOCK)
