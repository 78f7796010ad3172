"""Merging the answers of parts; pure functions over columns."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from roost.vector.collection.parts import PartHits, PartRows


def merge_hits(
    parts: Sequence[PartHits], k: int, *, nearest_first: bool, offset: int = 0
) -> PartHits:
    """Return the `k` best hits of each query after skipping `offset`, primary keys distinct.

    `nearest_first` is True when a small score is good (L2).  At least one part; all have the same nq.
    """
    raise NotImplementedError


def merge_rows(
    parts: Sequence[PartRows], primary: str, limit: int | None, offset: int = 0
) -> PartRows:
    """Return rows in the order of `primary`, each key's newest, `limit` of them after `offset`."""
    raise NotImplementedError


def merge_counts(parts: Sequence[PartRows]) -> int:
    """Return the rows counted by all parts."""
    raise NotImplementedError


def join_rows(
    batches: Sequence[pa.RecordBatch], positions: Sequence[npt.NDArray[np.int64]]
) -> pa.RecordBatch:
    """Undo a split: row j of `batches[i]` becomes row `positions[i][j]` of the result.

    For whoever splits a FetchPart over members: the positions are a permutation.
    """
    raise NotImplementedError
