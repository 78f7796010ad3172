"""Bounds of a segment's scalar columns, kept in its rows file, for leaving whole segments out."""

import math
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from roost.vector.expr import ColumnStatistics
from roost.vector.schema import CollectionSchema, DataType

_TEXT_MAX = 256
"""Characters of a string bound; longer ones are left unknown rather than cut."""


def statistics_of(schema: CollectionSchema, rows: pa.RecordBatch) -> dict[str, ColumnStatistics]:
    """Return the bounds of every scalar column but JSON."""
    return {
        f.name: _column(rows.column(f.name))
        for f in schema.fields
        if not f.dtype.is_vector and f.dtype is not DataType.JSON
    }


def to_json(statistics: Mapping[str, ColumnStatistics]) -> dict[str, Any]:
    """Return what `from_json` undoes: `{name: [min, max, null count]}`."""
    return {name: [s.min, s.max, s.null_count] for name, s in statistics.items()}


def from_json(raw: Mapping[str, Any]) -> dict[str, ColumnStatistics]:
    """Undo `to_json`."""
    return {name: ColumnStatistics(low, high, nulls) for name, (low, high, nulls) in raw.items()}


def _column(column: pa.Array) -> ColumnStatistics:
    nulls = column.null_count
    if pa.types.is_floating(column.type):
        column = column.filter(pc.invert(pc.is_nan(column)))  # a null stays out as well
    bounds = pc.min_max(column).as_py()
    low, high = bounds["min"], bounds["max"]
    return ColumnStatistics(_bound(low), _bound(high), nulls)


def _bound(value: bool | int | float | str | None) -> bool | int | float | str | None:
    unfit = (isinstance(value, str) and len(value) > _TEXT_MAX) or (
        isinstance(value, float) and math.isinf(value)
    )
    return None if unfit else value
