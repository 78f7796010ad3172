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

from roost.vector.schema import CollectionSchema, DataType, Field

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
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_batch(rows)
    return sink.getvalue()


def decode_rows(payload: "pa.Buffer | bytes | memoryview") -> pa.RecordBatch:
    """Undo `encode_rows`; the columns point into `payload`, nothing is copied."""
    with pa.ipc.open_stream(pa.py_buffer(payload)) as reader:
        return reader.read_next_batch()
