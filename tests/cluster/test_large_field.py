"""Messages with a large field by hand are those of protobuf."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.cluster.large_field import (
    ALIGNMENT_BYTES,
    get_varint,
    put_varint,
    with_large_field,
    without_large_field,
)
from roost.cluster.wire import roost_pb2 as wire
from roost.errors import CorruptRecord

ROWS = wire.Insert.ROWS_FIELD_NUMBER
PAD = wire.Insert.PAD_FIELD_NUMBER


@given(st.integers(0, (1 << 64) - 1))
def test_a_varint_comes_out_as_it_went_in(number: int) -> None:
    raw = put_varint(number)
    assert get_varint(b"x" + raw, 1) == (number, 1 + len(raw))


@given(st.text(max_size=300), st.binary(max_size=300), st.integers(0, 1 << 62), st.booleans())
def test_both_ways_are_those_of_protobuf(
    name: str, large: bytes, number: int, upsert: bool
) -> None:
    small = wire.Insert(collection=name, upsert=upsert, schema_ts=number, number=number)
    raw = with_large_field(small.SerializeToString(), ROWS, pa.py_buffer(large), PAD)
    whole = wire.Insert.FromString(raw)
    assert (whole.collection, whole.rows, whole.number) == (name, large, number)
    for encoded in (raw, whole.SerializeToString()):  # protobuf writes it in the middle
        rest, found = without_large_field(encoded, ROWS)
        read = wire.Insert.FromString(rest)
        assert set(read.pad) <= {0}
        read.ClearField("pad")
        assert read == small
        assert found.to_pybytes() == large


def test_the_large_field_is_not_copied_out() -> None:
    raw = with_large_field(b"", ROWS, pa.py_buffer(b"rows"), PAD)
    found = without_large_field(raw, ROWS)[1]
    start = pa.py_buffer(raw).address
    assert start <= found.address < start + len(raw)


@given(st.binary(max_size=200), st.integers(0, 70_000))
def test_the_large_field_lies_aligned_whatever_is_before_it(name: bytes, size_bytes: int) -> None:
    small = wire.Insert(collection=name.hex()).SerializeToString()
    raw = with_large_field(small, ROWS, pa.py_buffer(bytes(size_bytes)), PAD)
    assert (len(raw) - size_bytes) % ALIGNMENT_BYTES == 0
    assert without_large_field(raw, ROWS)[1].size == size_bytes


def test_fields_of_a_later_release_are_passed_on() -> None:
    fixed = put_varint(99 << 3 | 1) + bytes(8) + put_varint(98 << 3 | 5) + bytes(4)
    raw = with_large_field(fixed, ROWS, pa.py_buffer(b"rows"), PAD)
    rest, found = without_large_field(raw, ROWS)
    assert rest.startswith(fixed)
    assert found.to_pybytes() == b"rows"


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_message_that_was_cut_is_damage_and_not_a_shorter_one(cut: int) -> None:
    raw = with_large_field(b"", ROWS, pa.py_buffer(b"ten bytes."), PAD)
    with pytest.raises(CorruptRecord):
        without_large_field(raw[:-cut], ROWS)


def test_a_field_of_a_kind_that_is_not_used_is_refused() -> None:
    with pytest.raises(CorruptRecord):
        without_large_field(put_varint(1 << 3 | 3), ROWS)
