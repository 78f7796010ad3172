"""Answering a part from its sources: segments in parallel, then merged."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa

from roost.vector.collection.merge import joined_arrays, merge_hits, newest_of_keys
from roost.vector.collection.parts import GROWING, FetchPart, PartHits, PartRows, QueryPart
from roost.vector.collection.sources import GrowingSource, SealedSource, Source
from roost.vector.columns import arrow_schema, arrow_type
from roost.vector.schema import CollectionSchema
from roost.vector.segment.blocks import empty_rows, restored
from roost.vector.segment.deletes import Int64s
from roost.vector.segment.masks import NamedFilter
from roost.vector.segment.search import Found, Question, run_all


def search(
    sources: Sequence[SealedSource | GrowingSource],
    schema: CollectionSchema,
    question: Question,
    named: NamedFilter | None,
    pool: ThreadPoolExecutor,
) -> PartHits:
    """Return the best hits over all sources.  Must not run on a thread of `pool`."""
    sealed = [source for source in sources if isinstance(source, SealedSource)]
    growing = [source for source in sources if isinstance(source, GrowingSource)]
    found = [(GROWING, source.search(question, named, pool)) for source in growing]
    tasks = [_task(source, question, named) for source in sealed]
    found += [(s.segment_id, hit) for s, hit in zip(sealed, run_all(pool, tasks), strict=True)]
    hits = [_as_part(segment_id, hit) for segment_id, hit in found if hit is not None]
    if not hits:
        return no_hits(len(question.queries), schema)
    return merge_hits(hits, question.k, nearest_first=question.small_is_near)


def query(
    sources: Sequence[Source],
    schema: CollectionSchema,
    part: QueryPart,
    named: NamedFilter | None,
    keys: pa.Array | None,
) -> PartRows:
    """Return the rows that the filter allows, and only those with one of `keys` if given."""
    primary = schema.primary.name
    columns = list(dict.fromkeys((primary, *part.output_fields)))
    empty = empty_rows(arrow_schema(schema.field(name) for name in columns))
    if part.count_only:
        counts = [s.count(named) if keys is None else len(s.find(keys, named)) for s in sources]
        return PartRows(empty, np.empty(0, np.int64), sum(counts))
    chosen = [_smallest(source, primary, part.limit, named, keys) for source in sources]
    filled = [(s, rows, ids) for s, (rows, ids) in zip(sources, chosen, strict=True) if len(rows)]
    if not filled:
        return PartRows(empty, np.empty(0, np.int64), 0)
    row_ts = np.concatenate([source.timestamps(rows) for source, rows, _ in filled])
    order = newest_of_keys(joined_arrays([ids for _, _, ids in filled]), row_ts, part.limit)
    which = np.repeat(np.arange(len(filled)), [len(rows) for _, rows, _ in filled])[order]
    numbers = np.concatenate([rows for _, rows, _ in filled])[order]
    found = _take([source for source, _, _ in filled], which, numbers, columns)
    return PartRows(found, row_ts[order], len(order))


def fetch(
    source_of: Callable[[int], Source], schema: CollectionSchema, part: FetchPart
) -> pa.RecordBatch:
    """Return the fields, one row per locator; `source_of` gives the source of a segment id."""
    ids, which = np.unique(part.segment_ids, return_inverse=True)
    if not len(ids):
        return empty_rows(arrow_schema(schema.field(name) for name in part.output_fields))
    sources = [source_of(segment_id) for segment_id in ids.tolist()]
    return _take(sources, which.reshape(-1), part.offsets, part.output_fields)


def no_hits(nq: int, schema: CollectionSchema) -> PartHits:
    """Return no hits of `nq` queries."""
    none = np.empty(0, np.int64)
    ids = pa.array([], arrow_type(schema.primary))
    return PartHits(np.zeros(nq, np.int64), ids, np.empty(0, np.float32), none, none)


def _task(
    source: SealedSource, question: Question, named: NamedFilter | None
) -> Callable[[], Found | None]:
    return lambda: source.search(question, named)


def _as_part(segment_id: int, found: Found) -> PartHits:
    segment_ids = np.full(len(found.rows), segment_id, dtype=np.int64)
    return PartHits(found.counts, found.ids, found.scores, segment_ids, found.rows)


def _smallest(
    source: Source,
    primary: str,
    limit: int | None,
    named: NamedFilter | None,
    keys: pa.Array | None,
) -> tuple[Int64s, pa.Array]:
    """Return the rows of one source that may be in the answer, and their keys."""
    rows = source.rows(named) if keys is None else source.find(keys, named)
    ids = source.take(rows, [primary]).column(0)
    if limit is None:
        return rows, ids
    chosen = newest_of_keys(ids, source.timestamps(rows), limit)
    return rows[chosen], ids.take(pa.array(chosen))


def _take(
    sources: Sequence[Source], which: Int64s, rows: Int64s, columns: Sequence[str]
) -> pa.RecordBatch:
    """Return columns of row `rows[i]` of source `which[i]`, in order."""
    pieces, positions = [], []
    for number in np.unique(which).tolist():
        here = np.flatnonzero(which == number)
        pieces.append(sources[number].take(rows[here], columns))
        positions.append(here)
    if not pieces:
        return sources[0].take(rows, columns)
    return restored(pieces, positions)
