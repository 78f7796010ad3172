"""Rows as columns and as bytes: what is stored, and what needs no copy for it."""

import numpy as np
import pyarrow as pa
import pytest

from roost.vector import columns
from roost.vector.columns import (
    as_stored,
    decode_rows,
    encode_rows,
    rows_schema,
    share_memory,
    vector_column,
)
from roost.vector.schema import CollectionSchema, DataType, Field

SCHEMA = CollectionSchema(
    (
        Field("id", DataType.INT64, primary=True),
        Field("small", DataType.INT8, nullable=True),
        Field("vector", DataType.FLOAT_VECTOR, dim=8),
    )
)


def given(small: pa.Array | None = None, count: int = 10) -> pa.RecordBatch:
    ids = pa.array(np.arange(count, dtype=np.int64))
    vectors = vector_column(np.arange(count * 8, dtype=np.float32).reshape(count, 8))
    small = pa.array(np.zeros(count, np.int32)) if small is None else small
    return pa.RecordBatch.from_arrays([ids, small, vectors], names=["id", "small", "vector"])


def test_measured_memory_has_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = given(count=1_000)
    grown = encode_rows(rows)
    monkeypatch.setattr(columns, "MEASURED_BYTES_MIN", 0)
    measured = encode_rows(rows)
    assert measured.equals(grown)
    assert decode_rows(measured).equals(rows)


def test_rows_as_stored_have_the_stored_schema_and_their_vectors_where_they_were() -> None:
    rows = given()
    stored = as_stored(SCHEMA, rows)
    assert stored is not None
    assert stored.schema.equals(rows_schema(SCHEMA), check_metadata=True)
    assert stored.column(1).to_pylist() == rows.column(1).to_pylist()
    assert (
        stored.column(2).values.buffers()[1].address == rows.column(2).values.buffers()[1].address
    )


def test_a_slice_of_vectors_stays_the_slice_it_is() -> None:
    stored = as_stored(SCHEMA, given().slice(3, 4))
    assert stored is not None
    assert stored.to_pylist() == given(pa.array(np.zeros(10, np.int8))).slice(3, 4).to_pylist()


@pytest.mark.parametrize(
    "small",
    [pa.array([300] * 10, pa.int32()), pa.array([1.5] * 10), pa.array(["1"] * 10)],
)
def test_what_would_have_to_change_is_left_to_the_writer(small: pa.Array) -> None:
    assert as_stored(SCHEMA, given(small)) is None


def test_missing_columns_null_vectors_and_other_dimensions_are_left_to_the_writer() -> None:
    rows = given()
    assert as_stored(SCHEMA, rows.select(["id", "vector"])) is None
    assert as_stored(SCHEMA, rows.select(["small", "id", "vector"])) is None
    wider = vector_column(np.zeros((10, 9), np.float32))
    assert as_stored(SCHEMA, rows.set_column(2, "vector", wider)) is None
    nulls = pa.array([None] * 10, rows.column(2).type)
    assert as_stored(SCHEMA, rows.set_column(2, "vector", nulls)) is None


def test_memory_is_shared_only_by_the_same_rows_under_the_same_schema() -> None:
    rows = as_stored(SCHEMA, given())
    assert rows is not None
    assert share_memory(rows, rows.slice(0))
    assert not share_memory(rows, rows.slice(1))
    assert not share_memory(rows, rows.slice(0, 5))
    assert not share_memory(rows, decode_rows(encode_rows(rows)))
    assert not share_memory(rows, rows.rename_columns(["id", "large", "vector"]))
    changed = rows.set_column(1, rows.schema.field(1), pa.array([None] * 10, pa.int8()))
    assert not share_memory(rows, changed)


def test_a_payload_of_an_odd_number_of_values_shares_memory_too() -> None:
    odd = CollectionSchema((Field("vector", DataType.FLOAT_VECTOR, dim=3),))
    rows = as_stored(odd, pa.record_batch({"vector": vector_column(np.ones((7, 3), np.float32))}))
    assert rows is not None
    read = decode_rows(encode_rows(rows))
    again = as_stored(odd, read)
    assert again is not None
    assert share_memory(read, again)


def test_a_null_inside_a_vector_is_left_to_the_writer() -> None:
    values = pa.array([1.0] * 79 + [None], pa.float32())
    vectors = pa.FixedSizeListArray.from_arrays(values, 8)
    assert as_stored(SCHEMA, given().set_column(2, "vector", vectors)) is None
