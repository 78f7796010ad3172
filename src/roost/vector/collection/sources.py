"""Where rows come from at one instant: a sealed segment or the growing rows, asked the same way.

A source knows its `read_ts` and partitions; what it gives are rows seen there and then (hazard H7).
Row numbers are the source's own and serve, with its segment id, as locators.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from roost.vector.collection.parts import GROWING
from roost.vector.manifest import IndexFile, SegmentEntry
from roost.vector.segment.deletes import Int64s
from roost.vector.segment.growing import GrowingView
from roost.vector.segment.masks import Mask, NamedFilter, both, rows_of
from roost.vector.segment.sealed import SealedSegment
from roost.vector.segment.search import Prepared, Question, prepare_growing, prepare_sealed


class Source(Protocol):
    """Rows of one segment at one instant."""

    @property
    def segment_id(self) -> int:
        """The segment's id, GROWING for growing rows."""
        ...

    def count(self, named: NamedFilter | None) -> int:
        """Return how many rows are seen that the filter allows."""
        ...

    def rows(self, named: NamedFilter | None) -> Int64s:
        """Return their numbers, ascending."""
        ...

    def find(self, keys: pa.Array, named: NamedFilter | None) -> Int64s:
        """Return the numbers of those that have one of these primary keys."""
        ...

    def timestamps(self, rows: Int64s) -> Int64s:
        """Return the timestamps of rows."""
        ...

    def take(self, rows: Int64s, columns: Sequence[str]) -> pa.RecordBatch:
        """Return columns of rows, in the order of `rows`."""
        ...

    def prepare(self, question: Question, named: NamedFilter | None) -> Prepared:
        """Return a search of the rows seen that the filter allows."""
        ...


@dataclass(frozen=True, slots=True)
class SealedSource:
    """A sealed segment, as an entry of some version has it."""

    entry: SegmentEntry
    segment: SealedSegment
    read_ts: int

    @property
    def segment_id(self) -> int:
        """As in Source."""
        return self.entry.id

    def count(self, named: NamedFilter | None) -> int:
        """As in Source."""
        return self.segment.allowed(self.read_ts, named).count

    def rows(self, named: NamedFilter | None) -> Int64s:
        """As in Source."""
        return self.segment.allowed(self.read_ts, named).rows

    def find(self, keys: pa.Array, named: NamedFilter | None) -> Int64s:
        """As in Source."""
        rows = self.segment.find(keys)
        seen = self.segment.allowed(self.read_ts).mask
        return _passing(self, rows if seen is None else rows[seen[rows]], named)

    def timestamps(self, rows: Int64s) -> Int64s:
        """As in Source."""
        return self.segment.row_ts[rows]

    def take(self, rows: Int64s, columns: Sequence[str]) -> pa.RecordBatch:
        """As in Source."""
        return self.segment.take(rows, columns)

    def prepare(self, question: Question, named: NamedFilter | None) -> Prepared:
        """As in Source."""
        allowed = self.segment.allowed(self.read_ts, named)
        return prepare_sealed(self.segment, allowed, question, self._index(question))

    def _index(self, question: Question) -> IndexFile | None:
        for built in self.entry.indexes:
            if (built.index_id, built.field_id) == (question.spec.id, question.field_id):
                return built
        return None


@dataclass(frozen=True, slots=True)
class GrowingSource:
    """Growing rows after a version's `complete_to`."""

    view: GrowingView
    after_ts: int
    read_ts: int
    partitions: tuple[int, ...] | None
    """None for all."""

    @property
    def segment_id(self) -> int:
        """As in Source."""
        return GROWING

    def count(self, named: NamedFilter | None) -> int:
        """As in Source."""
        return len(self.rows(named))

    def rows(self, named: NamedFilter | None) -> Int64s:
        """As in Source."""
        span, mask = self._allowed(named)
        return rows_of(mask, span[1] - span[0]) + span[0]

    def find(self, keys: pa.Array, named: NamedFilter | None) -> Int64s:
        """As in Source."""
        span, seen = self._allowed(None)
        rows = self.view.find(span, keys)
        return _passing(self, rows if seen is None else rows[seen[rows - span[0]]], named)

    def timestamps(self, rows: Int64s) -> Int64s:
        """As in Source."""
        return self.view.timestamps(rows)

    def take(self, rows: Int64s, columns: Sequence[str]) -> pa.RecordBatch:
        """As in Source."""
        return self.view.take(rows, columns)

    def prepare(self, question: Question, named: NamedFilter | None) -> Prepared:
        """As in Source."""
        span, mask = self._allowed(named)
        return prepare_growing(self.view, span, mask, question)

    def _allowed(self, named: NamedFilter | None) -> tuple[tuple[int, int], Mask | None]:
        span = self.view.span(self.after_ts, self.read_ts)
        live = self.view.live(span, self.read_ts, self.partitions)
        return span, both(live, self.view.filtered(span, named))


def _passing(source: Source, rows: Int64s, named: NamedFilter | None) -> Int64s:
    """Return those of a few rows that the filter allows."""
    rows = np.unique(rows)
    if named is None or not len(rows):
        return rows
    return rows[named.compiled.mask(source.take(rows, sorted(named.compiled.fields)))]
