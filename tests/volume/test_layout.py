import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.volume.layout import (
    CHUNK_BYTES,
    align_4k,
    block_key,
    block_keys,
    parse_block_key,
    split_by_chunk,
)
from roost.volume.model import SliceId

MIB4 = 4 << 20


@pytest.mark.parametrize(("length", "charged"), [(0, 4096), (1, 4096), (4096, 4096), (4097, 8192)])
def test_space_is_charged_in_pages(length: int, charged: int) -> None:
    assert align_4k(length) == charged


def test_block_names_are_those_of_juicefs() -> None:
    assert block_keys(SliceId(4097), 5_000_000, MIB4) == [
        "chunks/0/4/4097_0_4194304",
        "chunks/0/4/4097_1_805696",
    ]
    assert block_key(SliceId(1), 0, 5) == "chunks/0/0/1_0_5"
    assert block_key(SliceId(3), 1, 4464, hash_prefix=True) == "chunks/03/0/3_1_4464"


@given(st.integers(1, 2**40), st.integers(1, CHUNK_BYTES), st.booleans())
def test_block_names_parse_back(slice_id: int, size: int, hash_prefix: bool) -> None:
    keys = block_keys(SliceId(slice_id), size, MIB4, hash_prefix=hash_prefix)
    parsed = [parse_block_key(key) for key in keys]
    assert [part[:2] for part in parsed if part] == [(slice_id, n) for n in range(len(keys))]
    assert sum(part[2] for part in parsed if part) == size


@pytest.mark.parametrize(
    "key", ["juicefs_uuid", "chunks/0/0/1_0", "chunks/0/0/a_0_5", "meta/x_1_2"]
)
def test_other_objects_name_no_block(key: str) -> None:
    assert parse_block_key(key) is None


@given(st.integers(0, 2**50), st.integers(0, 4 * CHUNK_BYTES))
def test_ranges_split_at_chunk_borders(offset: int, length: int) -> None:
    position = offset
    for chunk_no, pos, piece in split_by_chunk(offset, length):
        assert chunk_no * CHUNK_BYTES + pos == position
        assert 0 < piece <= CHUNK_BYTES - pos
        position += piece
    assert position == offset + length
