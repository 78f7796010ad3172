"""Rows that clients send: Milvus's FieldData to Arrow columns.

A column is translated by the type that the message names; whether it fits the schema is the
service's affair.  Values cross in bulk: numpy copies a packed protobuf array out of its memory
(10 ms for the 51 MB of 100,000 × 128 floats), strings and JSON go to Arrow as one list.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from roost.errors import Unsupported
from roost.serve.milvus.wire.stubs import schema_pb2
from roost.vector.errors import RowsRefused
from roost.vector.schema import DYNAMIC_FIELD_NAME, DataType

_NUMBERS = {
    DataType.BOOL: ("bool_data", np.bool_),
    DataType.INT8: ("int_data", np.int32),
    DataType.INT16: ("int_data", np.int32),
    DataType.INT32: ("int_data", np.int32),
    DataType.INT64: ("long_data", np.int64),
    DataType.FLOAT: ("float_data", np.float32),
    DataType.DOUBLE: ("double_data", np.float64),
}
"""Where FieldData keeps numbers of a type, and what numpy calls them.

The wire has no integers narrower than 32 bits: those of INT8 and INT16 come out as int32."""

_TEXTS = {
    DataType.VARCHAR: ("string_data", pa.string()),
    DataType.JSON: ("json_data", pa.binary()),
}


def rows_of(fields_data: Sequence[Any], row_count: int) -> pa.RecordBatch:
    """Return the rows of an insert or upsert, one column for each field that the client sent.

    Raises RowsRefused: no rows, a number of values other than `row_count`, a field sent twice;
    Unsupported: types that Roost does not store.
    """
    if row_count == 0:
        raise RowsRefused("num_rows should be greater than 0")
    columns: dict[str, pa.Array] = {}
    for data in fields_data:
        name = DYNAMIC_FIELD_NAME if data.is_dynamic else data.field_name
        if name in columns:
            raise RowsRefused(f"duplicated field data: {name}")
        columns[name] = _column(data, name, row_count)
    return pa.RecordBatch.from_pydict(columns)


def _column(data: Any, name: str, row_count: int) -> pa.Array:
    """Return one column with `row_count` values, nulls where `valid_data` says so."""
    values = _vectors(data, name) if data.type == DataType.FLOAT_VECTOR else _scalars(data, name)
    valid = np.array(data.valid_data, dtype=bool)
    if not len(valid) or valid.all():
        _check_count(name, len(values), row_count)
        return values
    _check_count(name, len(valid), row_count)
    if len(values) == row_count:
        return values.take(pa.array(np.arange(row_count), mask=~valid))
    _check_count(name, len(values), int(valid.sum()))
    return values.take(pa.array(np.cumsum(valid) - 1, mask=~valid))


def _check_count(name: str, count: int, expected: int) -> None:
    if count != expected:
        raise RowsRefused(
            f"the num_rows ({count}) of field {name} is not equal to passed num_rows ({expected})"
        )


def _scalars(data: Any, name: str) -> pa.Array:
    number = next((kind for kind in _NUMBERS if kind == data.type), None)
    if number is not None:
        slot, dtype = _NUMBERS[number]
        return pa.array(_numbers(getattr(data.scalars, slot).data, dtype))
    text = next((kind for kind in _TEXTS if kind == data.type), None)
    if text is None:
        kind = schema_pb2.DataType.Name(data.type)
        raise Unsupported(f"data type {kind} is not supported by Roost: field {name}")
    slot, arrow = _TEXTS[text]
    return pa.array(getattr(data.scalars, slot).data, arrow)


def _vectors(data: Any, name: str) -> pa.Array:
    """Return the vectors sent, in a list type of the dimension that the message names."""
    flat = _numbers(data.vectors.float_vector.data, np.float32)
    dim = data.vectors.dim
    if dim <= 0 or len(flat) % dim:
        raise RowsRefused(
            f"the length ({len(flat)}) of float data of field {name} should divide the dim ({dim})"
        )
    item = pa.field("item", pa.float32(), nullable=False)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), type=pa.list_(item, dim))


def _numbers(values: Any, dtype: Any) -> npt.NDArray[Any]:
    """Copy a repeated field of numbers; protobuf lends its memory to numpy."""
    return np.array(values, dtype=dtype)
