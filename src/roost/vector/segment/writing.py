"""Writing a sealed segment: immutable files, made once, never changed.

Two files and one more for each further vector field, because each costs an object PUT and a commit
of metadata: `rows` (scalar columns, sorted keys, timestamps, statistics) and `vector-<field id>`.
"""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from roost.vector.columns import vectors_of
from roost.vector.files import Files
from roost.vector.manifest import SegmentEntry
from roost.vector.schema import CollectionSchema, Field
from roost.vector.segment import statistics
from roost.vector.segment.keys import KeyIndex, key_numbers
from roost.vector.segment.layout import write_container

ROWS_KIND = "rows"
VECTOR_KIND = "vectors"


@dataclass(frozen=True, slots=True)
class SegmentAddress:
    """What names a new segment."""

    id: int
    partition_id: int
    folder: str
    """Where its files go, as in `Files`; empty or absent before."""


def rows_path(folder: str) -> str:
    """Return the file of everything but vectors, as in `Files`."""
    return f"{folder}/rows"


def vector_path(folder: str, field_id: int) -> str:
    """Return the file of one vector field, as in `Files`.

    It begins with row 0: rows × dim little-endian float32; what follows is the format's.
    """
    return f"{folder}/vector-{field_id}"


def write_segment(
    files: Files,
    address: SegmentAddress,
    schema: CollectionSchema,
    rows: pa.RecordBatch,
    row_ts: npt.NDArray[np.int64],
    deletes_complete_to: int = 0,
    oldest_read_ts: int = 0,
) -> SegmentEntry:
    """Store `rows` (at least one) durably as a sealed segment and return its manifest entry.

    `rows` has the columns of `columns.rows_schema(schema)`; `row_ts` (n,) int64.  The last
    two are the entry's.  Nothing names the files until a manifest does.  Raises as `Files.adopt`.
    """
    assert rows.num_rows == len(row_ts) > 0, (rows.num_rows, len(row_ts))
    size_bytes = 0
    for field in schema.vectors:
        vectors = np.ascontiguousarray(vectors_of(rows.column(field.name)), dtype="<f4")
        meta = _identity(address, rows) | {"field_id": field.id, "dim": field.dim}
        path = vector_path(address.folder, field.id)
        size_bytes += _store(files, path, VECTOR_KIND, meta, [("vectors", vectors.reshape(-1))])
    meta = _identity(address, rows) | {
        "min_ts": int(row_ts.min()),
        "max_ts": int(row_ts.max()),
        "statistics": statistics.to_json(statistics.statistics_of(schema, rows)),
    }
    keys = KeyIndex.of(key_numbers(rows.column(schema.primary.name)))
    meta["keys_distinct"] = bool(np.all(keys.numbers[1:] != keys.numbers[:-1]))
    sections = [
        ("scalars", _scalars(schema.fields, rows)),
        ("key_numbers", keys.numbers.astype("<i8", copy=False)),
        ("key_rows", keys.rows.astype("<u4", copy=False)),
    ]
    if meta["min_ts"] != meta["max_ts"]:
        sections.append(("timestamps", np.ascontiguousarray(row_ts, dtype="<i8")))
    size_bytes += _store(files, rows_path(address.folder), ROWS_KIND, meta, sections)
    return SegmentEntry(
        id=address.id,
        partition_id=address.partition_id,
        folder=address.folder,
        rows=rows.num_rows,
        size_bytes=size_bytes,
        min_ts=meta["min_ts"],
        max_ts=meta["max_ts"],
        deletes_complete_to=deletes_complete_to,
        oldest_read_ts=oldest_read_ts,
    )


def _identity(address: SegmentAddress, rows: pa.RecordBatch) -> dict[str, Any]:
    return {"segment_id": address.id, "rows": rows.num_rows}


def _store(
    files: Files, path: str, kind: str, meta: Mapping[str, Any], sections: Iterable[tuple[str, Any]]
) -> int:
    local = files.scratch() / uuid.uuid4().hex
    try:
        write_container(local, kind, meta, sections)
        return files.adopt(local, path)
    finally:
        local.unlink(missing_ok=True)


def _scalars(fields: Iterable[Field], rows: pa.RecordBatch) -> pa.Buffer:
    scalars = rows.select([f.name for f in fields if not f.dtype.is_vector])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, scalars.schema) as writer:
        writer.write_batch(scalars)
    return sink.getvalue()
