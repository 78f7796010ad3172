"""Choosing the best hits of each query, over flat columns: one entry for each hit, any order."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Int64s = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float32]


def best(
    queries: Int64s, scores: Scores, codes: Int64s | None, *, k: int, small_is_near: bool
) -> Int64s:
    """Return the positions of the `k` best hits of each query, query by query, best first.

    `queries` says which query each hit answers.  Hits of one query with equal `codes` (dense, from
    0) are one row under its primary key: only the best stays.  Equal scores keep their order.
    """
    order = np.lexsort((scores if small_is_near else -scores, queries))
    if codes is not None and len(order):
        pairs = queries[order] * (int(codes.max()) + 1) + codes[order]
        _, first = np.unique(pairs, return_index=True)
        order = order[np.sort(first)]
    return order[ranks(queries[order]) < k]


def ranks(queries: Int64s) -> Int64s:
    """Return for each hit how many of its query come before; `queries` ascends."""
    if not len(queries):
        return queries
    counts = np.bincount(queries)
    return np.arange(len(queries)) - np.repeat(np.cumsum(counts) - counts, counts)


def codes_of(keys: pa.Array) -> Int64s:
    """Return dense numbers from 0, equal for equal keys."""
    indices = keys.dictionary_encode().indices
    codes: Int64s = indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return codes
