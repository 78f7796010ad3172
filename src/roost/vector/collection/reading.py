"""Answering a part from its sources: segments in parallel, then merged."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa

from roost.vector.collection.merge import joined_arrays, merge_hits, newest_of_keys
from roost.vector.collection.parts import FetchPart, PartHits, PartRows, QueryPart
from roost.vector.collection.sources import Source
from roost.vector.columns import arrow_schema, arrow_type
from roost.vector.schema import CollectionSchema
from roost.vector.segment.blocks import empty_rows, grouped, restored
from roost.vector.segment.deletes import Int64s
from roost.vector.segment.masks import NamedFilter
from roost.vector.segment.search import Found, Prepared, Question, run_all, search_all


def search(
    sources: Sequence[Source],
    schema: CollectionSchema,
    question: Question,
    named: NamedFilter | None,
    pool: ThreadPoolExecutor,
) -> PartHits:
    """Return the best hits over all sources.  Must not run on a thread of `pool`."""
    tasks = [_preparation(source, question, named) for source in sources]
    # Without a filter there is too little to do to be worth another thread.
    prepared = [task() for task in tasks] if named is None else run_all(pool, tasks)
    found = zip(sources, search_all(prepared, question, pool), strict=True)
    hits = [_as_part(source, some) for source, some in found if some is not None]
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


def _preparation(
    source: Source, question: Question, named: NamedFilter | None
) -> Callable[[], Prepared]:
    return lambda: source.prepare(question, named)


def _as_part(source: Source, found: Found) -> PartHits:
    segment_ids = np.full(len(found.rows), source.segment_id, dtype=np.int64)
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
    if len(sources) == 1:
        return sources[0].take(rows, columns)
    groups = grouped(which)
    pieces = [sources[number].take(rows[here], columns) for number, here in groups]
    return restored(pieces, [here for _, here in groups])
