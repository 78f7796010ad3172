"""Rows of a collection that are in no sealed segment yet: columns in memory, searchable at once.

A row's number counts from the first row since the collection was opened and never changes, so it
serves as a locator.  Rows come in the order of their timestamps, so the rows of a span of time are
a range of numbers.  Deletes are resolved from the collection's delete log when somebody looks.

Lock: `_lock` guards everything that grows; a `GrowingView` needs none and never changes.
"""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from roost.vector.columns import arrow_schema, vector_column, vectors_of
from roost.vector.index import ExactSearcher, Metric
from roost.vector.schema import CollectionSchema
from roost.vector.segment.arrays import GrowingNumbers, GrowingVectors, VectorsView
from roost.vector.segment.blocks import Block, Blocks, empty_rows, take_rows
from roost.vector.segment.deletes import DeleteLog, Int64s, RowDeletes
from roost.vector.segment.keys import find_keys, key_numbers, taker
from roost.vector.segment.masks import Mask, NamedFilter, both

Searchers = dict[tuple[int, int, Metric], ExactSearcher]
"""By field id, first row and metric."""
SCAN_ROWS = 65_536
"""Rows scanned in one go: small enough to share between threads."""
_ROW_OVERHEAD_BYTES = 16
"""Timestamp and partition."""


class GrowingRows:
    """All growing rows of one collection, of all partitions.  Thread-safe."""

    def __init__(self, schema: CollectionSchema) -> None:
        self._schema = schema
        self._scalars = [f.name for f in schema.fields if not f.dtype.is_vector]
        self._lock = threading.Lock()
        self._row_ts = GrowingNumbers()
        self._partition_ids = GrowingNumbers()
        self._vectors = {f.id: GrowingVectors(f.dim) for f in schema.vectors}
        self._searchers: Searchers = {}
        self._blocks = Blocks(schema.primary.name)
        self._deleted_rows = GrowingNumbers()
        self._deleted_ts = GrowingNumbers()
        self._dropped_to_ts = 0
        self._view: GrowingView | None = None
        self._view_of = (0, 0, 0)
        """Rows, drops and deletes that the view has seen."""
        self._position = 0
        """In the delete log, of the first delete not resolved yet."""

    def append(self, rows: pa.RecordBatch, timestamp: int, partition_id: int) -> None:
        """Add rows; `timestamp` is not below that of any row before."""
        with self._lock:
            for field in self._schema.vectors:
                self._vectors[field.id].append(vectors_of(rows.column(field.name)))
            self._row_ts.append_repeated(timestamp, rows.num_rows)
            self._partition_ids.append_repeated(partition_id, rows.num_rows)
            self._blocks.append(rows.select(self._scalars))

    def view(self, deletes: DeleteLog) -> "GrowingView":
        """Return what is here now, with every delete of the log resolved."""
        with self._lock:
            now = (self._row_ts.end, self._dropped_to_ts, deletes.end)
            if self._view is None or self._view_of != now:
                self._view, self._view_of = self._fresh_view(deletes), now
            return self._view

    def drop(self, up_to_ts: int) -> None:
        """Forget rows up to a timestamp; views handed out keep theirs."""
        with self._lock:
            self._view = None  # it would keep what is dropped in memory
            self._dropped_to_ts = max(self._dropped_to_ts, up_to_ts)
            row_ts = self._row_ts.view()
            before = self._row_ts.first + int(np.searchsorted(row_ts, up_to_ts, side="right"))
            self._row_ts.drop(before)
            self._partition_ids.drop(before)
            for field_id, vectors in self._vectors.items():
                vectors.drop(before)
                for key in list(self._searchers):  # a copy: readers add to it meanwhile
                    if key[0] == field_id and key[1] < vectors.first:
                        del self._searchers[key]
            self._blocks.drop(before)
            rows, delete_ts = self._deleted_rows.view(), self._deleted_ts.view()
            self._deleted_rows, self._deleted_ts = GrowingNumbers(), GrowingNumbers()
            self._deleted_rows.append(rows[rows >= before])
            self._deleted_ts.append(delete_ts[rows >= before])

    def statistics(self, after_ts: int) -> tuple[int, int, int]:
        """Return rows, bytes and the oldest timestamp of the rows after a timestamp."""
        with self._lock:
            row_ts = self._row_ts.view()
            start = int(np.searchsorted(row_ts, after_ts, side="right"))
            rows = len(row_ts) - start
            if not rows:
                return 0, 0, 0
            held = sum(b.rows.nbytes for b in self._blocks.blocks())
            vector_bytes = 4 * sum(v.dim for v in self._vectors.values())
            scalar_bytes = held * rows // len(row_ts)
            size_bytes = scalar_bytes + rows * (vector_bytes + _ROW_OVERHEAD_BYTES)
            return rows, size_bytes, int(row_ts[start])

    def _fresh_view(self, deletes: DeleteLog) -> "GrowingView":
        blocks = self._blocks.blocks()
        self._resolve(deletes, blocks)
        return GrowingView(
            schema=self._schema,
            dropped_to_ts=self._dropped_to_ts,
            first=self._row_ts.first,
            row_ts=self._row_ts.view(),
            partition_ids=self._partition_ids.view(),
            blocks=blocks,
            vectors={at: v.view() for at, v in self._vectors.items()},
            searchers=self._searchers,
            deleted=(self._deleted_rows.view(), self._deleted_ts.view()),
        )

    def _resolve(self, deletes: DeleteLog, blocks: Sequence[Block]) -> None:
        fresh = deletes.since(max(self._position, deletes.first))
        if not len(fresh.numbers):
            return
        first = self._row_ts.first
        found = []
        for block in blocks:
            within = slice(max(block.first, first) - first, block.end - first)
            skipped = max(first - block.first, 0)  # rows of the block that were dropped
            row_ts = np.concatenate((np.full(skipped, _NEVER), self._row_ts.view()[within]))
            partitions = np.concatenate(
                (np.zeros(skipped, np.int64), self._partition_ids.view()[within])
            )
            primary = block.rows.column(self._schema.primary.name)
            rows, delete_ts = fresh.resolve(block.keys(), taker(primary), row_ts, partitions)
            found.append((rows + block.first, delete_ts))
        if found:
            rows = np.concatenate([rows for rows, _ in found])
            delete_ts = np.concatenate([ts for _, ts in found])
            order = np.argsort(delete_ts, kind="stable")
            self._deleted_rows.append(rows[order])
            self._deleted_ts.append(delete_ts[order])
        self._position = fresh.end


_NEVER = np.int64(np.iinfo(np.int64).max)
"""A row timestamp that no delete hides."""


@dataclass(frozen=True, slots=True)
class VectorPiece:
    """Vectors of adjacent growing rows."""

    first: int
    """The number of row 0."""
    vectors: npt.NDArray[np.float32]
    field_id: int
    is_whole: bool
    """True if rows before and after it belong to other pieces for ever."""


@dataclass(frozen=True, slots=True)
class GrowingView:
    """Growing rows `first` … as they were at some instant.  Immutable."""

    schema: CollectionSchema
    dropped_to_ts: int
    """Rows up to this timestamp may be missing."""
    first: int
    row_ts: Int64s
    partition_ids: Int64s
    blocks: tuple[Block, ...]
    vectors: dict[int, VectorsView]
    """By field id."""
    searchers: Searchers
    """Of runs that are full, shared by all views: a searcher may keep what it worked out."""
    deleted: RowDeletes

    def span(self, after_ts: int, up_to_ts: int) -> tuple[int, int]:
        """Return the numbers (start, end) of the rows in (`after_ts`, `up_to_ts`]."""
        start, end = np.searchsorted(self.row_ts, (after_ts, up_to_ts), side="right")
        return self.first + int(start), self.first + max(int(start), int(end))

    def live(
        self, span: tuple[int, int], read_ts: int, partitions: Sequence[int] | None
    ) -> Mask | None:
        """Return which rows of a span are not deleted at `read_ts` and in those partitions.

        None for `partitions` means all.
        """
        start, end = span
        mask: Mask | None = None
        rows, delete_ts = self.deleted
        hidden = rows[: np.searchsorted(delete_ts, read_ts, side="right")]
        hidden = hidden[(hidden >= start) & (hidden < end)]
        if len(hidden):
            mask = np.ones(end - start, dtype=np.bool_)
            mask[hidden - start] = False
        if partitions is not None:
            of_rows = self.partition_ids[start - self.first : end - self.first]
            mask = both(mask, np.isin(of_rows, partitions))
        return mask

    def filtered(self, span: tuple[int, int], named: NamedFilter | None) -> Mask | None:
        """Return which rows of a span the filter allows."""
        if named is None:
            return None
        masks = [
            block.mask(named)[max(span[0] - block.first, 0) : span[1] - block.first]
            for block in self._blocks_of(span)
        ]
        return np.concatenate(masks) if masks else np.zeros(0, dtype=np.bool_)

    def find(self, span: tuple[int, int], keys: pa.Array) -> Int64s:
        """Return the numbers of the rows of a span with one of these keys."""
        numbers = key_numbers(keys)
        found = [np.empty(0, np.int64)]
        for block in self._blocks_of(span):
            primary = block.rows.column(self.schema.primary.name)
            _, rows = find_keys(block.keys(), keys, numbers, taker(primary))
            found.append(rows + block.first)
        rows = np.concatenate(found)
        return rows[(rows >= span[0]) & (rows < span[1])]

    def timestamps(self, rows: Int64s) -> Int64s:
        """Return the timestamps of rows."""
        return self.row_ts[rows - self.first]

    def pieces(self, field_id: int, span: tuple[int, int]) -> Iterator[VectorPiece]:
        """Yield the vectors of a span, in order, without copying."""
        for run in self.vectors[field_id].runs:
            for first in range(run.first, run.end, SCAN_ROWS):
                end = min(first + SCAN_ROWS, run.end)
                start, stop = max(span[0], first), min(span[1], end)
                if start < stop:
                    whole = (start, stop) == (first, end) and (run.is_closed or end < run.end)
                    vectors = run.vectors[start - run.first : stop - run.first]
                    yield VectorPiece(start, vectors, field_id, whole)

    def searcher(self, piece: VectorPiece, metric: Metric) -> ExactSearcher:
        """Return what scans a piece."""
        if not piece.is_whole:
            return ExactSearcher(piece.vectors, metric)
        key = (piece.field_id, piece.first, metric)
        found = self.searchers.get(key)
        if found is None:
            found = self.searchers.setdefault(key, ExactSearcher(piece.vectors, metric))
        return found

    def take(self, rows: Int64s, columns: Sequence[str]) -> pa.RecordBatch:
        """Return columns of some rows, in the order of `rows`."""
        fields = [self.schema.field(name) for name in columns]
        names = [f.name for f in fields if not f.dtype.is_vector]
        if self.blocks and names:
            scalars = take_rows(self.blocks, rows, names)
        else:
            scalars = empty_rows(arrow_schema(f for f in fields if f.name in names))
        arrays = [
            vector_column(self._take_vectors(f.id, rows))
            if f.dtype.is_vector
            else scalars.column(f.name)
            for f in fields
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=arrow_schema(fields))

    def primary_keys(self, rows: Int64s) -> pa.Array:
        """Return the primary keys of some rows."""
        return self.take(rows, [self.schema.primary.name]).column(0)

    def _take_vectors(self, field_id: int, rows: Int64s) -> npt.NDArray[np.float32]:
        return self.vectors[field_id].take(rows)

    def _blocks_of(self, span: tuple[int, int]) -> list[Block]:
        return [b for b in self.blocks if b.end > span[0] and b.first < span[1]]
