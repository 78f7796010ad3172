"""Merging the answers of parts; pure functions over columns.

The same inside a member (over its segments) and in whoever asks several members.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from roost.vector.collection.parts import PartHits, PartRows
from roost.vector.segment.blocks import joined, restored
from roost.vector.segment.ranking import best, codes_of, ranks

Int64s = npt.NDArray[np.int64]
_PIVOT = 2
"""Rows looked at for a limit, as a multiple of it, before repeated keys make it too few."""


def merge_hits(
    parts: Sequence[PartHits], k: int, *, nearest_first: bool, offset: int = 0
) -> PartHits:
    """Return the `k` best hits of each query after skipping `offset`, primary keys distinct.

    `nearest_first` is True when a small score is good (L2).  At least one part; all have the same
    number of queries.  Rows of the parts are left out.
    """
    assert parts
    nq = len(parts[0].counts)
    filled = [part for part in parts if len(part.scores)] or [parts[0]]
    if len(filled) == 1 and not offset and int(filled[0].counts.max(initial=0)) <= k:
        return filled[0]
    queries = np.concatenate([np.repeat(np.arange(nq), part.counts) for part in filled])
    scores = np.concatenate([part.scores for part in filled])
    ids = joined_arrays([part.ids for part in filled])
    codes = codes_of(ids) if len(filled) > 1 else None
    order = best(queries, scores, codes, k=k + offset, small_is_near=nearest_first)
    if offset:
        order = order[ranks(queries[order]) >= offset]
    return PartHits(
        counts=np.bincount(queries[order], minlength=nq).astype(np.int64),
        ids=ids.take(pa.array(order)),
        scores=scores[order],
        segment_ids=np.concatenate([part.segment_ids for part in filled])[order],
        offsets=np.concatenate([part.offsets for part in filled])[order],
    )


def merge_rows(
    parts: Sequence[PartRows], primary: str, limit: int | None, offset: int = 0
) -> PartRows:
    """Return rows in the order of `primary`, each key's newest, `limit` of them after `offset`.

    At least one part.
    """
    filled = [part for part in parts if len(part.row_ts)] or [parts[0]]
    rows = joined([part.rows for part in filled]) if len(filled) > 1 else filled[0].rows
    row_ts = np.concatenate([part.row_ts for part in filled])
    chosen = newest_of_keys(
        rows.column(primary), row_ts, None if limit is None else limit + offset
    )[offset:]
    return PartRows(rows.take(pa.array(chosen)), row_ts[chosen], len(chosen))


def merge_counts(parts: Sequence[PartRows]) -> int:
    """Return the rows counted by all parts."""
    return sum(part.count for part in parts)


def join_rows(batches: Sequence[pa.RecordBatch], positions: Sequence[Int64s]) -> pa.RecordBatch:
    """Undo a split: row j of `batches[i]` becomes row `positions[i][j]` of the result.

    For whoever splits a FetchPart over members: at least one batch, the positions a permutation.
    """
    return restored(batches, positions)


def newest_of_keys(keys: pa.Array, row_ts: Int64s, limit: int | None) -> Int64s:
    """Return the position of each key's newest row, in the order of the keys, the first `limit`."""
    if limit is not None and len(keys) > 2 * _PIVOT * limit + 1:
        # Sorting all keys for a page of a few is slow: look at the smallest only, if they suffice.
        at = _PIVOT * limit
        pivot = keys[pc.partition_nth_indices(keys, pivot=at)[at].as_py()]
        small = np.flatnonzero(pc.less_equal(keys, pivot).to_numpy(zero_copy_only=False))
        chosen = small[newest_of_keys(keys.take(pa.array(small)), row_ts[small], None)]
        if len(chosen) >= limit:
            return chosen[:limit]
    numbers = _ordered_numbers(keys)
    order = np.lexsort((-row_ts, numbers))
    ordered = numbers[order]
    first = np.ones(len(order), dtype=np.bool_)
    first[1:] = ordered[1:] != ordered[:-1]
    return order[first][:limit]


def joined_arrays(arrays: Sequence[pa.Array]) -> pa.Array:
    """Return arrays of one type as one."""
    return arrays[0] if len(arrays) == 1 else pa.concat_arrays(arrays)


def _ordered_numbers(keys: pa.Array) -> Int64s:
    """Return numbers in the same order as the keys, equal where those are."""
    if pa.types.is_integer(keys.type):
        numbers: Int64s = keys.to_numpy(zero_copy_only=False)
        return numbers
    dense: Int64s = pc.rank(keys, tiebreaker="dense").to_numpy(zero_copy_only=False)
    return dense.astype(np.int64)
