"""Rows and rules of the reference service, apart from what it holds."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from roost.vector import api
from roost.vector.columns import arrow_schema
from roost.vector.schema import CollectionSchema, DataType

FOREVER = 1 << 63


@dataclass(slots=True)
class Row:
    """A row and when it lived: visible at t if `born <= t < died`."""

    values: dict[str, Any]
    partition: str
    born: int
    died: int = FOREVER


def output_plan(
    schema: CollectionSchema, wanted: Iterable[str]
) -> tuple[list[str], tuple[str, ...]]:
    """Return the columns to answer, and the names for the client."""
    names: list[str] = []
    for name in wanted:
        names += [one.name for one in schema.fields] if name == "*" else [name]
    known = {one.name for one in schema.fields}
    columns = []
    for name in names:
        dynamic = schema.dynamic if name not in known else None
        columns.append(dynamic.name if dynamic is not None else schema.field(name).name)
    return list(dict.fromkeys(columns)), tuple(dict.fromkeys(names))


def parsed_rows(rows: pa.RecordBatch, schema: CollectionSchema) -> list[dict[str, Any]]:
    """Return the rows as dicts, JSON parsed."""
    parsed: list[dict[str, Any]] = rows.to_pylist()
    for name in (one.name for one in schema.fields if one.dtype is DataType.JSON):
        for values in parsed:
            values[name] = None if values[name] is None else json.loads(values[name])
    return parsed


def batch_of(rows: list[Row], columns: list[str], schema: CollectionSchema) -> pa.RecordBatch:
    """Undo `parsed_rows` for these columns."""
    fields = [schema.field(name) for name in columns]
    arrays = []
    for one, kind in zip(fields, arrow_schema(fields), strict=True):
        values = [row.values[one.name] for row in rows]
        if one.dtype is DataType.JSON:
            values = [None if value is None else json.dumps(value).encode() for value in values]
        arrays.append(pa.array(values, kind.type))
    return pa.RecordBatch.from_arrays(arrays, schema=arrow_schema(fields))


def keys_of(rows: list[Row], schema: CollectionSchema) -> pa.Array:
    """Return the primary keys."""
    kind = pa.int64() if schema.primary.dtype is DataType.INT64 else pa.string()
    return pa.array([row.values[schema.primary.name] for row in rows], kind)


def key_of(row: Row, info: api.CollectionInfo) -> Any:
    """Return the primary key."""
    return row.values[info.schema.primary.name]


def matrix_of(rows: list[Row], vector: Any) -> Any:
    """Return the vectors, (n, dim)."""
    return np.array([row.values[vector.name] for row in rows], np.float32).reshape(-1, vector.dim)


def same_collection(held: api.CollectionInfo, new: api.NewCollection) -> bool:
    """Tell whether the collection is the one that `new` would make."""
    return (held.schema, held.consistency, held.shards, held.properties) == (
        new.schema,
        new.consistency,
        new.shards,
        new.properties,
    )


def searched_field(info: api.CollectionInfo, request: api.SearchRequest) -> tuple[Any, str]:
    """Return the vector field searched and its metric."""
    vector = info.schema.vectors[0]
    if request.vector_field:
        vector = info.schema.field(request.vector_field)
    metric = next(spec.metric for spec in info.indexes if spec.field == vector.name)
    return vector, metric
