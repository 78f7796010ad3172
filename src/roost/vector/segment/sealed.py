"""A sealed segment, open: its files mapped, each when it is first needed.

A segment with the same id has the same rows in every version, so versions share one open segment.
What may differ is which deletes their files have; that does not matter either, because an open
segment resolves every later delete of the log itself: a delete file written meanwhile says nothing
new.

Lock: `_lock` guards what is opened lazily and the deletes; held while a file is opened.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from roost.errors import CorruptRecord
from roost.vector.api import IndexSpec
from roost.vector.columns import arrow_schema, vector_column
from roost.vector.expr import ColumnStatistics
from roost.vector.files import Files
from roost.vector.index import Bitmap, ExactSearcher, Searcher, open_file, plan_of
from roost.vector.manifest import IndexFile, SegmentEntry
from roost.vector.schema import CollectionSchema
from roost.vector.segment import statistics
from roost.vector.segment.deletes import DeleteLog, Int64s, RowDeletes, no_deletes, read_deletes
from roost.vector.segment.keys import KeyIndex, find_keys, key_numbers
from roost.vector.segment.layout import Container
from roost.vector.segment.masks import (
    MASKS_MAX,
    BoundedCache,
    Mask,
    NamedFilter,
    bitmap_of,
    both,
    rows_of,
)
from roost.vector.segment.writing import ROWS_KIND, VECTOR_KIND, rows_path, vector_path

__all__ = ["Allowed", "SealedSegment", "open_vectors", "vector_path"]

SCAN_ROWS = 131_072
"""Rows that one thread scans at a time; a multiple of eight, so that bitmaps can be cut."""


class Allowed:
    """The rows of a segment that a question may find, in the forms that are needed."""

    def __init__(self, mask: Mask | None, rows: int) -> None:
        self.mask = mask
        self._rows = rows

    @cached_property
    def count(self) -> int:
        """How many."""
        return self._rows if self.mask is None else int(np.count_nonzero(self.mask))

    @cached_property
    def bitmap(self) -> Bitmap | None:
        """For indexes; None for all rows."""
        return bitmap_of(self.mask)

    @cached_property
    def rows(self) -> Int64s:
        """Their numbers, ascending."""
        return rows_of(self.mask, self._rows)


@dataclass(frozen=True, slots=True)
class _Vectors:
    container: Container
    array: npt.NDArray[np.float32]


def open_vectors(local: Path, where: str) -> npt.NDArray[np.float32]:
    """Return the vectors (n, dim) of a local vector file, memory-mapped and read-only.

    For index builds in other processes: `open_vectors(files.open_local(path), path)`.
    Raises CorruptRecord, NewerFormat naming `where`.
    """
    return _open_vectors(local, where).array


def _open_vectors(local: Path, where: str) -> _Vectors:
    container = Container(local, where, VECTOR_KIND)
    flat = container.unchecked("vectors").view("<f4")
    try:
        return _Vectors(container, flat.reshape(container.meta["rows"], container.meta["dim"]))
    except (KeyError, ValueError) as error:
        raise CorruptRecord(where, f"vectors do not have the shape it says: {error}") from error


class SealedSegment:
    """One sealed segment.  Thread-safe."""

    def __init__(
        self, files: Files, entry: SegmentEntry, schema: CollectionSchema, log: DeleteLog
    ) -> None:
        self.entry = entry
        """As in the version that opened it first."""
        self.rows = entry.rows
        self._files = files
        self._schema = schema
        self._primary = schema.primary.name
        self._log = log
        self._lock = threading.RLock()
        self._container = Container(
            files.open_local(rows_path(entry.folder)), rows_path(entry.folder), ROWS_KIND
        )
        found = (self._container.meta.get("segment_id"), self._container.meta.get("rows"))
        if found != (entry.id, entry.rows):
            raise CorruptRecord(
                self._container.where, f"is segment and rows {found}, not {entry.id, entry.rows}"
            )
        self._vectors: dict[int, _Vectors] = {}
        self._searchers: dict[tuple[int, str], Sequence[tuple[int, Searcher]]] = {}
        self._position = log.position_after(entry.deletes_complete_to)
        self._deletes = self._stored_deletes()
        self._filters: BoundedCache[str, Mask] = BoundedCache(MASKS_MAX)
        self._live: BoundedCache[tuple[int, int], Mask | None] = BoundedCache(2)
        self._allowed: BoundedCache[tuple[int, int, str], Allowed] = BoundedCache(MASKS_MAX)

    @staticmethod
    def open(
        files: Files, entry: SegmentEntry, schema: CollectionSchema, log: DeleteLog | None = None
    ) -> "SealedSegment":
        """Open it; vector and index files are mapped at first use.

        Deletes of `log` that are newer than the entry's `deletes_complete_to` count as well (hazard
        H8).  Raises NotFound, Damage.
        """
        return SealedSegment(files, entry, schema, DeleteLog() if log is None else log)

    @cached_property
    def scalars(self) -> pa.RecordBatch:
        """The scalar columns, memory-mapped."""
        section = self._container.section("scalars")
        try:
            with pa.ipc.open_file(pa.py_buffer(section)) as reader:
                scalars = reader.get_batch(0)
        except pa.ArrowInvalid as error:
            raise CorruptRecord(self._container.where, f"scalars: {error}") from error
        if scalars.num_rows != self.rows:
            raise CorruptRecord(self._container.where, f"has {scalars.num_rows} rows of scalars")
        return scalars

    @cached_property
    def row_ts(self) -> Int64s:
        """Each row's timestamp."""
        meta = self._container.meta
        if meta["min_ts"] == meta["max_ts"]:
            return np.full(self.rows, meta["min_ts"], dtype=np.int64)
        return self._container.section("timestamps").view("<i8")

    @cached_property
    def _integer_keys(self) -> npt.NDArray[np.integer] | None:
        column = self.scalars.column(self._primary)
        return column.to_numpy() if pa.types.is_integer(column.type) else None

    @cached_property
    def keys(self) -> KeyIndex:
        """The rows by primary key."""
        numbers = self._container.section("key_numbers").view("<i8")
        return KeyIndex(numbers, self._container.section("key_rows").view("<u4"))

    @cached_property
    def statistics(self) -> dict[str, ColumnStatistics]:
        """Bounds of the scalar columns."""
        return statistics.from_json(self._container.meta["statistics"])

    @property
    def keys_distinct(self) -> bool:
        """True if no two rows have the same primary key."""
        return bool(self._container.meta["keys_distinct"])

    def vectors(self, field_id: int) -> npt.NDArray[np.float32]:
        """Return (rows, dim) float32, memory-mapped and read-only, all of it checked.

        The first call reads the whole file.  Raises NotFound, Damage.
        """
        opened = self._open_field(field_id)
        opened.container.section("vectors")
        return opened.array

    def primary_keys(self, rows: Int64s) -> pa.Array:
        """Return the primary keys of some rows."""
        numbers = self._integer_keys
        if numbers is not None:  # a tenth of the time of Arrow's kernel, for a few hits
            return pa.array(numbers[rows])
        return self.scalars.column(self._primary).take(pa.array(rows))

    def take(self, rows: Int64s, columns: Sequence[str]) -> pa.RecordBatch:
        """Return columns of some rows, in the order of `rows`."""
        fields = [self._schema.field(name) for name in columns]
        indices = pa.array(rows)
        arrays = [
            vector_column(self._take_vectors(f.id, rows))
            if f.dtype.is_vector
            else self.scalars.column(f.name).take(indices)
            for f in fields
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=arrow_schema(fields))

    def find(self, keys: pa.Array) -> Int64s:
        """Return the rows that have one of these primary keys."""
        return find_keys(self.keys, keys, key_numbers(keys), self.primary_keys)[1]

    def deletes(self) -> RowDeletes:
        """Return every delete of a row known now: stored, or in the log since."""
        with self._lock:
            fresh = self._log.since(max(self._position, self._log.first))
            if len(fresh.numbers):
                rows, delete_ts = fresh.resolve(
                    self.keys, self.primary_keys, self.row_ts, self.entry.partition_id
                )
                old_rows, old_ts = self._deletes
                self._deletes = np.append(old_rows, rows), np.append(old_ts, delete_ts)
                self._position = fresh.end
            return self._deletes

    def allowed(self, read_ts: int, named: NamedFilter | None = None) -> Allowed:
        """Return the rows seen at `read_ts` that the filter allows."""
        rows, delete_ts = self.deletes()
        count = int(np.searchsorted(delete_ts, read_ts, side="right"))
        at_ts = min(read_ts, self.entry.max_ts)  # every later instant sees the same rows
        key = (count, at_ts, "" if named is None else named.key)
        return self._allowed.get(key, lambda: self._allow(rows[:count], at_ts, named))

    def searchers(
        self, field_id: int, spec: IndexSpec, built: IndexFile | None
    ) -> Sequence[tuple[int, Searcher]]:
        """Return what searches a field, as (first row, searcher) of adjacent pieces.

        The built index if there is one, else scans of at most `SCAN_ROWS` each.  The first call
        reads the whole file of the vectors.  Raises NotFound, Damage.
        """
        key = (field_id, built.path if built else spec.metric)
        with self._lock:
            if key not in self._searchers:
                vectors = self.vectors(field_id)
                if built is None:
                    metric = plan_of(spec).metric
                    self._searchers[key] = [
                        (at, ExactSearcher(vectors[at : at + SCAN_ROWS], metric))
                        for at in range(0, self.rows, SCAN_ROWS)
                    ]
                else:
                    local = self._files.open_local(built.path)
                    self._searchers[key] = [(0, open_file(local, spec, vectors))]
            return self._searchers[key]

    def verify(self) -> None:
        """Read every byte against its checksum.  Raises CorruptRecord, NewerFormat, NotFound."""
        self._container.verify()
        for field in self._schema.vectors:
            self._open_field(field.id).container.verify()
        for path in self.entry.deletes:
            read_deletes(self._files, path)

    def _stored_deletes(self) -> RowDeletes:
        stored = [read_deletes(self._files, path) for path in self.entry.deletes]
        if not stored:
            return no_deletes()
        rows = np.concatenate([rows for rows, _ in stored])
        delete_ts = np.concatenate([delete_ts for _, delete_ts in stored])
        if len(rows) and not 0 <= rows.min() <= rows.max() < self.rows:
            raise CorruptRecord(self.entry.deletes[-1], "names rows that the segment has not")
        order = np.argsort(delete_ts, kind="stable")
        return rows[order], delete_ts[order]

    def _allow(self, deleted: Int64s, at_ts: int, named: NamedFilter | None) -> Allowed:
        live = self._live.get((len(deleted), at_ts), lambda: self._live_mask(deleted, at_ts))
        if named is None:
            return Allowed(live, self.rows)
        if not named.compiled.may_match(self.statistics):
            return Allowed(np.zeros(self.rows, dtype=np.bool_), self.rows)
        passed = self._filters.get(named.key, lambda: named.compiled.mask(self.scalars))
        return Allowed(both(live, passed), self.rows)

    def _live_mask(self, deleted: Int64s, at_ts: int) -> Mask | None:
        mask = None
        if at_ts < self.entry.max_ts:
            mask = self.row_ts <= at_ts
        if len(deleted):
            mask = np.ones(self.rows, dtype=np.bool_) if mask is None else mask
            mask[deleted] = False
        return mask

    def _open_field(self, field_id: int) -> _Vectors:
        with self._lock:
            if field_id not in self._vectors:
                path = vector_path(self.entry.folder, field_id)
                opened = _open_vectors(self._files.open_local(path), path)
                if len(opened.array) != self.rows:
                    raise CorruptRecord(path, f"has {len(opened.array)} vectors, not {self.rows}")
                self._vectors[field_id] = opened
            return self._vectors[field_id]

    def _take_vectors(self, field_id: int, rows: Int64s) -> npt.NDArray[np.float32]:
        opened = self._open_field(field_id)
        row_bytes = 4 * opened.array.shape[1]
        piece = opened.container.piece_bytes("vectors")
        touched = np.concatenate((rows * row_bytes // piece, ((rows + 1) * row_bytes - 1) // piece))
        opened.container.check_pieces("vectors", np.unique(touched))
        return opened.array[rows]
