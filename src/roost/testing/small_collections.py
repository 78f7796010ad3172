"""Small collections for tests: a schema with every kind of use, rows, and log records of them."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from roost.vector.api import CollectionInfo, Consistency, IndexSpec, PartitionInfo
from roost.vector.columns import encode_rows, rows_schema, vector_column
from roost.vector.log.record import Record, RecordKind
from roost.vector.schema import CollectionSchema, DataType, Field

COLLECTION_ID = 7
FIRST, SECOND = 41, 42
"""Partition ids."""
DIM = 4
GENERATION = 1


def small_schema(primary: DataType = DataType.INT64, dim: int = DIM) -> CollectionSchema:
    """Return pk, color (int64), note (nullable string), vec and $meta."""
    key = Field("pk", primary, primary=True, max_length=64 * (primary is DataType.VARCHAR))
    fields = (
        key,
        Field("color", DataType.INT64),
        Field("note", DataType.VARCHAR, nullable=True, max_length=64),
        Field("vec", DataType.FLOAT_VECTOR, dim=dim),
        Field("$meta", DataType.JSON, dynamic=True, nullable=True),
    )
    return CollectionSchema(fields).numbered()


def small_info(schema: CollectionSchema, metric: str = "L2") -> CollectionInfo:
    """Return a loaded collection with two partitions and a FLAT index."""
    return CollectionInfo(
        id=COLLECTION_ID,
        name="small",
        schema=schema,
        consistency=Consistency.BOUNDED,
        created_ts=1,
        updated_ts=1,
        partitions=(PartitionInfo(FIRST, "_default", 1), PartitionInfo(SECOND, "second", 1)),
        indexes=(IndexSpec("vec", "vec", "FLAT", metric, {}, 9),),
        loaded=True,
    )


def keys_array(schema: CollectionSchema, keys: Sequence[int]) -> pa.Array:
    """Return primary keys for small numbers; as strings of two digits and more they sort alike."""
    if schema.primary.dtype is DataType.VARCHAR:
        return pa.array([f"key-{key:02}" for key in keys], pa.string())
    return pa.array(keys, pa.int64())


def small_rows(
    schema: CollectionSchema,
    keys: Sequence[int],
    vectors: npt.NDArray[np.float32],
    colors: Sequence[int] | None = None,
) -> pa.RecordBatch:
    """Return rows with these keys and vectors; the note says the color, for odd ones it is null."""
    colors = list(keys) if colors is None else colors
    columns = [
        keys_array(schema, keys),
        pa.array(colors, pa.int64()),
        pa.array([None if color % 2 else f"c{color}" for color in colors], pa.string()),
        vector_column(np.ascontiguousarray(vectors, dtype=np.float32)),
        pa.array([b'{"twice": %d}' % (2 * color) for color in colors], pa.binary()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=rows_schema(schema))


def record_of(
    kind: RecordKind, timestamp: int, rows: pa.RecordBatch, partition_id: int = FIRST
) -> Record:
    """Return the log record of rows."""
    return Record(kind, GENERATION, timestamp, COLLECTION_ID, partition_id, encode_rows(rows))


def delete_record(
    schema: CollectionSchema, timestamp: int, keys: Sequence[int], partition_id: int = 0
) -> Record:
    """Return the log record of a delete; partition 0 is all."""
    batch = pa.RecordBatch.from_arrays([keys_array(schema, keys)], names=["pk"])
    return record_of(RecordKind.DELETE, timestamp, batch, partition_id)
