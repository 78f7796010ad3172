"""Rows to FieldData and back, and what does not fit."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymilvus.grpc_gen import schema_pb2

from roost.errors import Unsupported
from roost.serve.milvus.wire.fields import rows_of
from roost.serve.milvus.wire.results import fields_data_of, ids_of
from roost.vector.columns import arrow_type
from roost.vector.errors import RowsRefused
from roost.vector.schema import CollectionSchema, DataType, Field

VALUES: dict[DataType, st.SearchStrategy[Any]] = {
    DataType.BOOL: st.booleans(),
    DataType.INT8: st.integers(-(1 << 7), (1 << 7) - 1),
    DataType.INT16: st.integers(-(1 << 15), (1 << 15) - 1),
    DataType.INT32: st.integers(-(1 << 31), (1 << 31) - 1),
    DataType.INT64: st.integers(-(1 << 63), (1 << 63) - 1),
    DataType.FLOAT: st.floats(width=32, allow_nan=False),
    DataType.DOUBLE: st.floats(allow_nan=False),
    DataType.VARCHAR: st.text(max_size=20),
    DataType.JSON: st.binary(max_size=20),
    DataType.FLOAT_VECTOR: st.lists(st.floats(width=32, allow_nan=False), min_size=3, max_size=3),
}


@st.composite
def columns(draw: st.DrawFn) -> tuple[Field, list[Any]]:
    """A field and some values of it, nulls too."""
    dtype = draw(st.sampled_from(list(VALUES)))
    nullable = draw(st.booleans())
    value = st.none() | VALUES[dtype] if nullable else VALUES[dtype]
    dim = 3 if dtype is DataType.FLOAT_VECTOR else 0
    return Field("f", dtype, id=100, nullable=nullable, dim=dim), draw(
        st.lists(value, min_size=1, max_size=20)
    )


@settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # the first text loads Unicode's tables
@given(columns())
def test_what_is_answered_could_be_inserted_again(column: tuple[Field, list[Any]]) -> None:
    field, values = column
    array = pa.array(values, arrow_type(field))
    batch = pa.RecordBatch.from_arrays([array], names=["f"])
    (data,) = fields_data_of(batch, CollectionSchema((field,)))
    assert (data.field_name, data.field_id, data.type) == ("f", 100, field.dtype)
    again = rows_of([data], len(values)).column("f")
    assert again.to_pylist() == values


@settings(deadline=None)
@given(st.lists(st.none() | st.integers(-5, 5), min_size=1, max_size=20))
def test_nulls_may_be_sent_with_or_without_a_place_of_their_own(values: list[int | None]) -> None:
    compact = [value for value in values if value is not None]
    whole = [0 if value is None else value for value in values]
    valid = [value is not None for value in values]
    for sent in (compact, whole):
        data = schema_pb2.FieldData(
            type=DataType.INT64,
            field_name="f",
            scalars=schema_pb2.ScalarField(long_data=schema_pb2.LongArray(data=sent)),
            valid_data=valid,
        )
        assert rows_of([data], len(values)).column("f").to_pylist() == values


def longs(name: str, values: list[int]) -> Any:
    return schema_pb2.FieldData(
        type=DataType.INT64,
        field_name=name,
        scalars=schema_pb2.ScalarField(long_data=schema_pb2.LongArray(data=values)),
    )


def floats(values: list[float], dim: int) -> Any:
    array = schema_pb2.FloatArray(data=values)
    vectors = schema_pb2.VectorField(dim=dim, float_vector=array)
    return schema_pb2.FieldData(type=DataType.FLOAT_VECTOR, field_name="v", vectors=vectors)


@pytest.mark.parametrize(
    ("fields", "row_count", "words"),
    [
        ([longs("a", [1, 2])], 3, "num_rows"),
        ([longs("a", [1]), longs("a", [1])], 1, "duplicated"),
        ([longs("a", [])], 0, "num_rows"),
        ([floats([1.0, 2.0, 3.0], 2)], 1, "divide the dim"),
        ([floats([1.0, 2.0], 0)], 1, "divide the dim"),
        ([floats([1.0, 2.0], 1)], 1, "num_rows"),
    ],
)
def test_columns_that_contradict_themselves_are_refused(
    fields: list[Any], row_count: int, words: str
) -> None:
    with pytest.raises(RowsRefused, match=words):
        rows_of(fields, row_count)


def test_types_that_are_not_stored_are_refused_by_name() -> None:
    data = schema_pb2.FieldData(type=schema_pb2.DataType.SparseFloatVector, field_name="s")
    with pytest.raises(Unsupported, match="SparseFloatVector"):
        rows_of([data], 1)


def test_the_dynamic_column_comes_under_its_own_name() -> None:
    data = schema_pb2.FieldData(
        type=DataType.JSON,
        is_dynamic=True,
        scalars=schema_pb2.ScalarField(json_data=schema_pb2.JSONArray(data=[b"{}"])),
    )
    assert rows_of([data], 1).schema.names == ["$meta"]


def test_keys_of_both_kinds() -> None:
    assert list(ids_of(pa.array([3, -1])).int_id.data) == [3, -1]
    assert list(ids_of(pa.array(["b", "ü"])).str_id.data) == ["b", "ü"]
    assert ids_of(pa.array([], pa.int64())).HasField("int_id")


def test_a_slice_of_a_column_is_answered_from_its_own_start() -> None:
    vectors = pa.array([[float(at), 0.0] for at in range(6)], pa.list_(pa.float32(), 2))
    batch = pa.RecordBatch.from_arrays([vectors], names=["v"]).slice(2, 3)
    field = Field("v", DataType.FLOAT_VECTOR, dim=2)
    (data,) = fields_data_of(batch, CollectionSchema((field,)))
    assert np.array(data.vectors.float_vector.data)[::2].tolist() == [2.0, 3.0, 4.0]
