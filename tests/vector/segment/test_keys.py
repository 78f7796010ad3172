"""Keys are found by number, strings by a hash that is part of the stored format."""

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings

from roost.vector.segment.keys import KeyIndex, find_keys, key_numbers, string_numbers, taker

WORD = (1 << 64) - 1


def plain_number(text: str) -> int:
    """Return the documented hash, byte by byte."""
    raw, value, power = text.encode(), 0, 1
    for byte in raw:
        value = (value + (byte + 1) * power) & WORD
        power = power * 0x9E3779B97F4A7C15 & WORD
    value = (value + len(raw)) & WORD
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & WORD
    value = (value ^ value >> 27) * 0x94D049BB133111EB & WORD
    value ^= value >> 31
    return value - (1 << 64) if value >> 63 else value


@settings(deadline=None)
@given(st.lists(st.text(max_size=20), max_size=20), st.integers(0, 5))
@example(["", "", "a"], 1)
def test_string_numbers_are_the_documented_hash(texts: list[str], skip: int) -> None:
    keys = pa.array(texts, pa.string()).slice(skip)
    assert string_numbers(keys).tolist() == [plain_number(text) for text in texts[skip:]]


def test_numbers_of_strings_never_change() -> None:
    keys = pa.array(["", "a", "roost", "Straße", "x" * 1000])
    assert string_numbers(keys).tolist() == [
        0,
        8777055843625058441,
        -3329388224168642180,
        -2719967795009110260,
        337346252266890095,
    ]


@settings(deadline=None)
@given(
    st.lists(st.integers(-5, 5), max_size=30),
    st.lists(st.integers(-6, 6), max_size=10),
    st.booleans(),
)
def test_find_gives_every_row_of_every_key(
    keys: list[int], wanted: list[int], strings: bool
) -> None:
    as_keys = [str(key) for key in keys] if strings else keys
    as_wanted = [str(key) for key in wanted] if strings else wanted
    kind = pa.string() if strings else pa.int64()
    column, asked = pa.array(as_keys, kind), pa.array(as_wanted, kind)
    index = KeyIndex.of(key_numbers(column))
    positions, rows = find_keys(index, asked, key_numbers(asked), taker(column))
    expected = [
        (at, row) for at, key in enumerate(wanted) for row, other in enumerate(keys) if key == other
    ]
    assert list(zip(positions.tolist(), rows.tolist(), strict=True)) == expected


def test_strings_with_equal_numbers_are_told_apart() -> None:
    column, asked = pa.array(["left", "right"]), pa.array(["right"])
    same = np.zeros(2, np.int64)
    index = KeyIndex.of(same)
    positions, rows = find_keys(index, asked, same[:1], taker(column))
    assert (positions.tolist(), rows.tolist()) == ([0], [1])


@pytest.mark.parametrize("kind", [pa.int8(), pa.int32(), pa.int64()])
def test_integers_are_their_own_numbers(kind: pa.DataType) -> None:
    assert key_numbers(pa.array([3, -1], kind)).tolist() == [3, -1]
