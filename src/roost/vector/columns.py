"""Rows as Arrow columns.

A batch of rows is one `pyarrow.RecordBatch` whose columns carry the schema's field names and order:

    BOOL bool · INT8…INT64 int8…int64 · FLOAT float32 · DOUBLE float64 · VARCHAR string
    JSON and $meta binary (UTF-8 JSON text) · FLOAT_VECTOR fixed_size_list<float32>[dim]

A null is Arrow's null.  Hidden columns do not exist: a row's timestamp belongs to its log record or
to its segment's timestamp file.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from roost.sizes import MIB
from roost.vector.schema import CollectionSchema, DataType, Field

MEASURED_BYTES_MIN = 1 * MIB
"""From here on memory of the right size is taken at once; growing into it touches twice as much."""
_SCALARS = {
    DataType.BOOL: pa.bool_(),
    DataType.INT8: pa.int8(),
    DataType.INT16: pa.int16(),
    DataType.INT32: pa.int32(),
    DataType.INT64: pa.int64(),
    DataType.FLOAT: pa.float32(),
    DataType.DOUBLE: pa.float64(),
    DataType.VARCHAR: pa.string(),
    DataType.JSON: pa.binary(),
}


def arrow_type(field: Field) -> pa.DataType:
    """Return the Arrow type that holds `field`."""
    if field.dtype is DataType.FLOAT_VECTOR:
        return pa.list_(pa.field("item", pa.float32(), nullable=False), field.dim)
    return _SCALARS[field.dtype]


def arrow_schema(fields: Iterable[Field]) -> pa.Schema:
    """Return the Arrow schema of rows with these fields, in this order."""
    return pa.schema([pa.field(f.name, arrow_type(f), nullable=f.nullable) for f in fields])


def rows_schema(schema: CollectionSchema) -> pa.Schema:
    """Return the Arrow schema of whole rows of a collection."""
    return arrow_schema(schema.fields)


def as_stored(schema: CollectionSchema, rows: pa.RecordBatch) -> pa.RecordBatch | None:
    """Return `rows` under the schema that is stored; vectors stay where they are.

    None if more than a narrower integer type is needed for that: then it is for the writer to
    complete or refuse them.
    """
    wanted = rows_schema(schema)
    if rows.schema.names != wanted.names:
        return None
    columns = [
        _column_as(field, column) for field, column in zip(wanted, rows.columns, strict=True)
    ]
    if any(column is None for column in columns):
        return None
    return pa.RecordBatch.from_arrays(columns, schema=wanted)


def _column_as(field: pa.Field, column: pa.Array) -> pa.Array | None:
    wanted = field.type
    if column.null_count and not field.nullable:
        return None
    if column.type.equals(wanted):
        return column
    if _is_vector_of(wanted, column.type):
        return None if column.flatten().null_count else vector_column(vectors_of(column))
    if pa.types.is_integer(wanted) and pa.types.is_integer(column.type):
        try:
            return column.cast(wanted)
        except pa.ArrowInvalid:
            return None
    return None


def _is_vector_of(wanted: pa.DataType, given: pa.DataType) -> bool:
    return (
        pa.types.is_fixed_size_list(wanted)
        and pa.types.is_fixed_size_list(given)
        and bool(given.value_type.equals(wanted.value_type))
        and bool(given.list_size == wanted.list_size)
    )


def share_memory(one: pa.RecordBatch, other: pa.RecordBatch) -> bool:
    """Return whether both are the same rows because they are the same bytes of memory."""
    return bool(one.schema.equals(other.schema, check_metadata=True)) and all(
        _places(left) == _places(right)
        for left, right in zip(one.columns, other.columns, strict=True)
    )


def _places(column: pa.Array) -> list[int]:
    # Sizes are left out: a buffer of the same elements may have room behind them.
    addresses = [0 if buffer is None else buffer.address for buffer in column.buffers()]
    return [column.offset, len(column), *addresses]


def vector_column(vectors: npt.NDArray[np.float32]) -> pa.Array:
    """Return vectors (n, dim) as an Arrow column, without copying when they are contiguous."""
    flat = pa.array(np.ascontiguousarray(vectors, dtype=np.float32).reshape(-1))
    item = pa.list_(pa.field("item", pa.float32(), nullable=False), vectors.shape[1])
    return pa.FixedSizeListArray.from_arrays(flat, type=item)


def vectors_of(column: pa.Array) -> npt.NDArray[np.float32]:
    """Return an Arrow vector column as (n, dim) float32, without copying."""
    dim = column.type.list_size
    values = column.values.slice(column.offset * dim, len(column) * dim)
    flat: npt.NDArray[np.float32] = values.to_numpy(zero_copy_only=True)
    return flat.reshape(-1, dim)


def encode_rows(rows: pa.RecordBatch) -> pa.Buffer:
    """Return `rows` as one Arrow IPC stream (schema, one batch)."""
    if rows.nbytes < MEASURED_BYTES_MIN:
        sink = pa.BufferOutputStream()
        _write(sink, rows)
        return sink.getvalue()
    buffer = pa.allocate_buffer(encoded_size(rows))
    _write(pa.FixedSizeBufferWriter(buffer), rows)
    return buffer


def encoded_size(rows: pa.RecordBatch) -> int:
    """Return the bytes that `encode_rows` gives, without writing them."""
    measured = pa.MockOutputStream()
    _write(measured, rows)
    size_bytes: int = measured.size()
    return size_bytes


def _write(sink: pa.NativeFile, rows: pa.RecordBatch) -> None:
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_batch(rows)


def decode_rows(payload: "pa.Buffer | bytes | memoryview") -> pa.RecordBatch:
    """Undo `encode_rows`; the columns point into `payload`, nothing is copied."""
    with pa.ipc.open_stream(pa.py_buffer(payload)) as reader:
        return reader.read_next_batch()
