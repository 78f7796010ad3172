"""Rows copied before they may be shown: unseen, then appended for nothing, or forgotten."""

import numpy as np
import pyarrow as pa

from roost.vector.columns import rows_schema, vector_column
from roost.vector.schema import CollectionSchema, DataType, Field
from roost.vector.segment.deletes import DeleteLog
from roost.vector.segment.growing import STAGED_ROWS, GrowingRows

SCHEMA = CollectionSchema(
    (
        Field("id", DataType.INT64, primary=True),
        Field("vector", DataType.FLOAT_VECTOR, dim=2),
    )
).numbered()
VECTOR_ID = SCHEMA.vectors[0].id


def batch(first: int, count: int) -> pa.RecordBatch:
    ids = np.arange(first, first + count)
    vectors = np.stack([ids, -ids], axis=1).astype(np.float32)
    return pa.RecordBatch.from_arrays(
        [pa.array(ids), vector_column(vectors)], schema=rows_schema(SCHEMA)
    )


def seen(growing: GrowingRows) -> list[int]:
    """The vectors that a reader sees, checked against the keys."""
    view = growing.view(DeleteLog())
    span = view.span(0, 1 << 60)
    pieces = [piece.vectors for piece in view.pieces(VECTOR_ID, span)]
    vectors = np.concatenate(pieces) if pieces else np.zeros((0, 2), np.float32)
    keys = view.primary_keys(np.arange(*span)).to_pylist()
    assert vectors[:, 0].tolist() == keys
    assert vectors[:, 1].tolist() == [-key for key in keys]
    return keys


def test_staged_rows_are_unseen_until_appended() -> None:
    growing = GrowingRows(SCHEMA)
    growing.append(batch(0, 10), 1, 1)
    growing.stage(batch(10, 2 * STAGED_ROWS + 5), 2)
    growing.stage(batch(50_000, 7), 3)
    assert seen(growing) == list(range(10))
    growing.append(batch(10, 2 * STAGED_ROWS + 5), 2, 1)
    assert seen(growing) == list(range(2 * STAGED_ROWS + 15))
    growing.append(batch(50_000, 7), 3, 1)
    assert seen(growing)[-7:] == list(range(50_000, 50_007))


def test_staged_rows_that_never_come_leave_nothing_behind() -> None:
    growing = GrowingRows(SCHEMA)
    growing.append(batch(0, 10), 1, 1)
    growing.stage(batch(100, 20), 2)
    growing.stage(batch(200, 20), 3)
    growing.append(batch(300, 5), 4, 1)
    growing.stage(batch(400, 5), 5)
    growing.append(batch(400, 5), 5, 1)
    assert seen(growing) == [*range(10), *range(300, 305), *range(400, 405)]


def test_rows_staged_in_another_order_are_copied_again() -> None:
    growing = GrowingRows(SCHEMA)
    growing.stage(batch(20, 20), 3)
    growing.append(batch(0, 20), 2, 1)
    growing.append(batch(20, 20), 3, 1)
    assert seen(growing) == list(range(40))
