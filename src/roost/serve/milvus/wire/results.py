"""Rows that we answer: Arrow columns to Milvus's FieldData.

Packed arrays are written as bytes that protobuf parses in one go, because its `extend` looks at
every value: 128,000 floats take 0.3 ms instead of 26.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from roost.serve.milvus.wire.stubs import schema_pb2
from roost.vector.schema import CollectionSchema, DataType

_ARROW_TYPES = {
    pa.bool_(): DataType.BOOL,
    pa.int8(): DataType.INT8,
    pa.int16(): DataType.INT16,
    pa.int32(): DataType.INT32,
    pa.int64(): DataType.INT64,
    pa.float32(): DataType.FLOAT,
    pa.float64(): DataType.DOUBLE,
    pa.string(): DataType.VARCHAR,
    pa.binary(): DataType.JSON,
}

_DATA_TAG = b"\x0a"
"""Field 1, length delimited: `repeated … data = 1` of every array message of schema.proto."""


def fields_data_of(rows: pa.RecordBatch, schema: CollectionSchema) -> list[Any]:
    """Return one FieldData for each column, in order.

    Nulls are marked in `valid_data`; a null scalar keeps its place, null vectors are left out.
    """
    by_name = {field.name: field for field in schema.fields}
    answer = []
    for name, column in zip(rows.schema.names, rows.columns, strict=True):
        data = _field_data(column)
        field = by_name.get(name)
        data.field_name = name
        data.field_id = 0 if field is None else field.id
        data.is_dynamic = field is not None and field.dynamic
        answer.append(data)
    return answer


def ids_of(ids: pa.Array) -> Any:
    """Return primary keys as an IDs message."""
    if pa.types.is_integer(ids.type):
        values = ids.to_numpy(zero_copy_only=False).astype(np.int64, copy=False)
        return schema_pb2.IDs(int_id=schema_pb2.LongArray(data=values.tolist()))
    return schema_pb2.IDs(str_id=schema_pb2.StringArray(data=ids.to_pylist()))


def float_array(values: npt.NDArray[np.float32]) -> Any:
    """Return a FloatArray message."""
    return schema_pb2.FloatArray.FromString(_packed(values.astype("<f4", copy=False)))


def _packed(values: npt.NDArray[Any]) -> bytes:
    """Return the wire form of a message whose field 1 is these fixed-width numbers, packed."""
    if not len(values):
        return b""
    raw = values.tobytes()
    return _DATA_TAG + _varint(len(raw)) + raw


def _varint(number: int) -> bytes:
    """Return protobuf's base-128 form: seven bits a byte, lowest first, the last below 128."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _field_data(column: pa.Array) -> Any:
    if pa.types.is_fixed_size_list(column.type):
        return _vector_data(column)
    data = schema_pb2.FieldData(type=_ARROW_TYPES[column.type])
    if column.null_count:
        data.valid_data.extend(column.is_valid().to_pylist())
    data.scalars.CopyFrom(_scalars(column))
    return data


def _scalars(column: pa.Array) -> Any:
    """Return a ScalarField with every row's value, nulls as the type's zero."""
    kind = column.type
    if kind == pa.string():
        values = column.fill_null("") if column.null_count else column
        return schema_pb2.ScalarField(string_data=schema_pb2.StringArray(data=values.to_pylist()))
    if kind == pa.binary():
        values = column.fill_null(b"null") if column.null_count else column
        return schema_pb2.ScalarField(json_data=schema_pb2.JSONArray(data=values.to_pylist()))
    if column.null_count:
        column = column.fill_null(pa.scalar(0, pa.int8()).cast(kind))
    values = column.to_numpy(zero_copy_only=False)
    if kind == pa.bool_():
        return schema_pb2.ScalarField(bool_data=schema_pb2.BoolArray(data=values.tolist()))
    if kind == pa.int64():
        return schema_pb2.ScalarField(long_data=schema_pb2.LongArray(data=values.tolist()))
    if kind == pa.float32():
        return schema_pb2.ScalarField(float_data=float_array(values))
    if kind == pa.float64():
        packed = schema_pb2.DoubleArray.FromString(_packed(values.astype("<f8", copy=False)))
        return schema_pb2.ScalarField(double_data=packed)
    return schema_pb2.ScalarField(int_data=schema_pb2.IntArray(data=values.tolist()))


def _vector_data(column: pa.Array) -> Any:
    data = schema_pb2.FieldData(type=DataType.FLOAT_VECTOR)
    if column.null_count:
        data.valid_data.extend(column.is_valid().to_pylist())
    flat = column.flatten().to_numpy(zero_copy_only=False)  # Without the nulls' places.
    data.vectors.CopyFrom(
        schema_pb2.VectorField(dim=column.type.list_size, float_vector=float_array(flat))
    )
    return data
