"""What can be asked of the vectors of one segment, whatever index is behind."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from roost.vector.index.spec import Metric, SearchOptions

Vectors = npt.NDArray[np.float32]
Offsets = npt.NDArray[np.int64]
Bitmap = npt.NDArray[np.uint8]
"""One bit a row, least significant first (`np.packbits(mask, bitorder="little")`)."""
Hits = tuple[Vectors, Offsets]
"""(nq, k) scores and row offsets, best first; offset -1 where there are no more hits."""

NO_OFFSET = -1


class Searcher(Protocol):
    """Answers searches; immutable, any number of threads may share it."""

    @property
    def rows(self) -> int:
        """Rows that are searched."""
        ...

    def work(self, nq: int) -> int:
        """Return about how many distances a search of `nq` queries computes."""
        ...

    def search(
        self,
        queries: Vectors,
        k: int,
        options: SearchOptions | None = None,
        allowed: Bitmap | None = None,
    ) -> Hits:
        """Return the `k` nearest of the allowed rows for each query, or all if they are fewer.

        `queries` is (nq, dim) float32, C order.  Scores are Milvus's: squared distance for L2,
        similarity for IP and COSINE; infinitely far where the offset is -1.  With
        `options.radius`, only rows within the range.
        """
        ...


def worst_score(metric: Metric) -> float:
    """Return the score that every other is better than."""
    return np.inf if metric.small_is_near else -np.inf


def no_hits(nq: int, k: int, metric: Metric) -> Hits:
    """Return an answer without a hit."""
    scores = np.full((nq, k), worst_score(metric), np.float32)
    return scores, np.full((nq, k), NO_OFFSET, np.int64)


def normalised(vectors: Vectors) -> Vectors:
    """Return a copy with every row at length one; zero rows stay zero, near to nothing."""
    return vectors * inverse_norms(vectors)[:, None]


def inverse_norms(vectors: Vectors) -> Vectors:
    """Return 1 / length of every row (n,), 0 for zero rows."""
    norms: Vectors = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    inverse = np.zeros_like(norms)
    np.divide(1, norms, out=inverse, where=norms > 0)
    return inverse


def within(
    scores: Vectors, metric: Metric, options: SearchOptions | None
) -> npt.NDArray[np.bool_] | None:
    """Return which scores lie in the range asked for, None if no range is.

    L2: range_filter <= score < radius.  IP, COSINE: radius < score <= range_filter.
    """
    if options is None or options.radius is None:
        return None
    near = scores < options.radius if metric.small_is_near else scores > options.radius
    if options.range_filter is not None:
        inner = options.range_filter
        near &= scores >= inner if metric.small_is_near else scores <= inner
    return near


def allowed_count(allowed: Bitmap | None, rows: int) -> int:
    """Return how many of the first `rows` bits are set."""
    if allowed is None:
        return rows
    whole, rest = divmod(rows, 8)
    count = int(np.bitwise_count(allowed[:whole]).sum(dtype=np.int64))
    return count + (int(allowed[whole] & ((1 << rest) - 1)).bit_count() if rest else 0)


def allowed_rows(allowed: Bitmap, rows: int) -> Offsets:
    """Return the numbers of the set bits among the first `rows`, ascending."""
    return np.flatnonzero(np.unpackbits(allowed, count=rows, bitorder="little"))
