"""A copy of vectors as bytes, where nothing is lost by that: a scan then reads a quarter as much.

Image descriptors and other quantised vectors have whole numbers from 0 to 255 in every place, and
so do the queries asked of them: the distances come out of the bytes just as out of the floats.
The copy is made by a thread of its own after the first scan, one at a time in a process, and only
up to `BYTES_MAX` in all; without it the floats are scanned.
"""

import threading
import weakref

import faiss
import numpy as np

from roost.sizes import GIB
from roost.vector.index.searcher import Hits, Vectors
from roost.vector.index.spec import Metric

ROWS_MIN = 16_384
"""Fewer rows are scanned faster than it is worth to copy them."""
BYTES_MAX = 1 * GIB
"""Of all copies in this process."""
SAMPLE_ROWS = 64
"""Rows that must be bytes before a thread is started to look at the others."""
_BLOCK_ROWS = 8_192

_one_at_a_time = threading.Semaphore(1)
_lock = threading.Lock()
_held_bytes = 0
"""Guarded by `_lock`."""


class ByteScan:
    """The bytes of some vectors.  Immutable; any number of threads may scan."""

    def __init__(self, codes: faiss.IndexScalarQuantizer) -> None:
        self._codes = codes

    def search(self, queries: Vectors, k: int) -> Hits | None:
        """As Searcher.search over all rows; the order of equal scores is left open.

        None if a query is not of bytes: faiss would round it.
        """
        if _as_bytes(queries) is None:
            return None
        scores, offsets = self._codes.search(queries, k)
        return np.asarray(scores, np.float32), np.asarray(offsets, np.int64)


def may_be_bytes(vectors: Vectors, metric: Metric) -> bool:
    """Say at a glance whether `copy_of` is worth trying."""
    return (
        metric is not Metric.COSINE
        and len(vectors) >= ROWS_MIN
        and _as_bytes(vectors[:SAMPLE_ROWS]) is not None
    )


def copy_of(vectors: Vectors, metric: Metric) -> ByteScan | None:
    """Return a byte copy of (n, dim) vectors, None if some value is no byte or there is no room."""
    with _one_at_a_time:
        if not _reserve(vectors.size):
            return None
        code = faiss.METRIC_L2 if metric is Metric.L2 else faiss.METRIC_INNER_PRODUCT
        kind = faiss.ScalarQuantizer.QT_8bit_direct
        index = faiss.IndexScalarQuantizer(vectors.shape[1], kind, code)
        weakref.finalize(index, _reserve, -vectors.size)
        for start in range(0, len(vectors), _BLOCK_ROWS):
            codes = _as_bytes(vectors[start : start + _BLOCK_ROWS])
            if codes is None:
                return None
            index.add_sa_codes(codes)
        return ByteScan(index)


def _as_bytes(vectors: Vectors) -> "np.typing.NDArray[np.uint8] | None":
    with np.errstate(invalid="ignore"):  # NaN and what is out of range differ from any byte
        codes = vectors.astype(np.uint8)
    return codes if np.array_equal(codes, vectors) else None


def _reserve(size_bytes: int) -> bool:
    global _held_bytes
    with _lock:
        if size_bytes > 0 and _held_bytes + size_bytes > BYTES_MAX:
            return False
        _held_bytes += size_bytes
        return True
