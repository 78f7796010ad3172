"""Exact search by scanning: the reference for all indexes, and the answer when few rows survive.

One query at a time runs at the speed of memory over the mapped rows, nothing copied.  Many queries
at once share each block of rows as one matrix product.  Either way the memory in use is bounded by
a block, whatever the segment's size.
"""

import threading
from collections.abc import Iterator

import faiss
import numpy as np

from roost.vector.index.byte_scan import ByteScan, copy_of, may_be_bytes
from roost.vector.index.searcher import (
    NO_OFFSET,
    Bitmap,
    Hits,
    Offsets,
    Vectors,
    allowed_rows,
    inverse_norms,
    no_hits,
    normalised,
    within,
)
from roost.vector.index.spec import Metric, SearchOptions

SCAN_ROWS = 1 << 16
"""Rows whose scores are computed before the best are picked: 256 KiB of scores."""
PRODUCT_BYTES = 8 << 20
"""A block of rows for a matrix product, and its copy."""
PRODUCT_QUERIES_MIN = 20
"""From here on faiss multiplies matrices instead of scanning query by query."""
SPARE_CANDIDATES = 4096
"""Candidates kept beyond k before they are cut to the best k again."""


class ExactSearcher:
    """A `Searcher` that reads every allowed row of `vectors` ((n, dim) float32, may be mapped).

    For COSINE it keeps the rows' lengths (4 bytes a row) from the first search on, and where the
    vectors are bytes a copy as such (`byte_scan`); the lock guards only who computes them.
    """

    def __init__(self, vectors: Vectors, metric: Metric | str) -> None:
        assert vectors.ndim == 2
        assert vectors.dtype == np.float32
        assert vectors.flags.c_contiguous
        self._vectors = vectors
        self._metric = Metric(metric)
        self._lock = threading.Lock()
        self._inverse_norms: Vectors | None = None
        self._is_new = True
        self._bytes: ByteScan | None = None

    @property
    def rows(self) -> int:
        """As in Searcher."""
        return len(self._vectors)

    def work(self, nq: int) -> int:
        """As in Searcher."""
        return nq * self.rows

    def search(
        self,
        queries: Vectors,
        k: int,
        options: SearchOptions | None = None,
        allowed: Bitmap | None = None,
    ) -> Hits:
        """As in Searcher."""
        faiss.omp_set_num_threads(1)  # of this thread: segments run in parallel already
        queries = np.ascontiguousarray(queries, np.float32)
        assert queries.shape[1] == self._vectors.shape[1]
        if self._metric is Metric.COSINE:
            queries = normalised(queries)
        survivors = None if allowed is None else allowed_rows(allowed, self.rows)
        ranged = options is not None and options.radius is not None
        if len(queries) >= PRODUCT_QUERIES_MIN and not ranged:
            return self._by_product(queries, k, survivors)
        if survivors is None and not ranged:
            by_bytes = self._by_bytes(queries, k)
            if by_bytes is not None:
                return by_bytes
        scores, offsets = no_hits(len(queries), k, self._metric)
        for at in range(len(queries)):
            found_scores, found = self._scan(queries[at], k, survivors, options)
            scores[at, : len(found)] = found_scores
            offsets[at, : len(found)] = found
        return scores, offsets

    def _by_bytes(self, queries: Vectors, k: int) -> Hits | None:
        """Scan bytes if there is a copy; at the first search, see to one in the background."""
        if self._bytes is not None:
            found = self._bytes.search(queries, k)
            return None if found is None else self._rescored(queries, k, found[1])
        with self._lock:
            first, self._is_new = self._is_new, False
        if first and may_be_bytes(self._vectors, self._metric):
            threading.Thread(target=self.use_bytes, name="roost-bytes", daemon=True).start()
        return None

    def use_bytes(self) -> None:
        """Scan bytes from now on, if the vectors can be copied to bytes without loss."""
        self._bytes = copy_of(self._vectors, self._metric)

    # One query: kernels over the rows where they lie.

    def _scan(
        self,
        query: Vectors,
        k: int,
        survivors: Offsets | None,
        options: SearchOptions | None,
    ) -> Hits:
        sign = np.float32(1 if self._metric.small_is_near else -1)
        best = np.empty(0, np.float32)  # sign * score: small is near
        best_rows = np.empty(0, np.int64)
        limit = np.inf
        for start, scores in self._scored(query, survivors):
            near = within(scores, self._metric, options)
            distances = scores * sign
            picked = distances < limit
            if near is not None:
                picked &= near
            at = np.flatnonzero(picked)
            rows = at + start
            best = np.concatenate((best, distances[at]))
            best_rows = np.concatenate((best_rows, rows if survivors is None else survivors[rows]))
            if len(best) >= k + SPARE_CANDIDATES:
                best, best_rows = _cut(best, best_rows, k)
                limit = float(best.max())
        best, best_rows = _cut(best, best_rows, k)
        order = np.lexsort((best_rows, best))
        return best[order] * sign, best_rows[order]

    def _scored(self, query: Vectors, survivors: Offsets | None) -> Iterator[tuple[int, Vectors]]:
        """Give blocks of scores, each with its place among the rows or survivors."""
        count = self.rows if survivors is None else len(survivors)
        scores = np.empty(min(count, SCAN_ROWS), np.float32)
        for start in range(0, count, SCAN_ROWS):
            stop = min(start + SCAN_ROWS, count)
            block = scores[: stop - start]
            if survivors is None:
                self._score_block(query, self._vectors[start:stop], block)
            else:
                score_rows(query, self._vectors, survivors[start:stop], block, self._metric)
            if self._metric is Metric.COSINE:
                chosen = slice(start, stop) if survivors is None else survivors[start:stop]
                block *= self._lengths()[chosen]
            yield start, block

    def _score_block(self, query: Vectors, rows: Vectors, out: Vectors) -> None:
        is_l2 = self._metric is Metric.L2
        kernel = faiss.fvec_L2sqr_ny if is_l2 else faiss.fvec_inner_products_ny
        pointers = (faiss.swig_ptr(out), faiss.swig_ptr(query), faiss.swig_ptr(rows))
        kernel(*pointers, rows.shape[1], len(rows))

    def _lengths(self) -> Vectors:
        with self._lock:
            if self._inverse_norms is None:
                blocks = (
                    inverse_norms(self._vectors[start : start + SCAN_ROWS])
                    for start in range(0, self.rows, SCAN_ROWS)
                )
                self._inverse_norms = np.concatenate([np.empty(0, np.float32), *blocks])
            return self._inverse_norms

    # Many queries: matrix products.

    def _by_product(self, queries: Vectors, k: int, survivors: Offsets | None) -> Hits:
        metric = self._metric
        heap = faiss.ResultHeap(len(queries), k, keep_max=not metric.small_is_near)
        count = self.rows if survivors is None else len(survivors)
        block_rows = max(1, PRODUCT_BYTES // (4 * self._vectors.shape[1]))
        code = faiss.METRIC_L2 if metric is Metric.L2 else faiss.METRIC_INNER_PRODUCT
        for start in range(0, count, block_rows):
            chosen: slice | Offsets = slice(start, min(start + block_rows, count))
            if survivors is not None:
                chosen = survivors[chosen]
            block = self._vectors[chosen]
            if metric is Metric.COSINE:
                block = block * self._lengths()[chosen][:, None]
            scores, at = faiss.knn(queries, block, min(k, len(block)), metric=code)
            at = chosen[at] if isinstance(chosen, np.ndarray) else at + start
            heap.add_result(scores, at)
        heap.finalize()
        return self._rescored(queries, k, heap.I)

    def _rescored(self, queries: Vectors, k: int, offsets: Offsets) -> Hits:
        # Matrix products lose digits where distances are small; the hits deserve the exact score.
        return rescored(queries, self._vectors, offsets, self._metric)


def score_rows(
    query: Vectors, vectors: Vectors, rows: Offsets, out: Vectors, metric: Metric
) -> None:
    """Store the L2 or inner product score of `vectors[rows]` in `out` (m,), without a copy."""
    is_l2 = metric is Metric.L2
    kernel = faiss.fvec_L2sqr_by_idx if is_l2 else faiss.fvec_inner_products_by_idx
    pointers = (out, np.ascontiguousarray(query), vectors, rows)
    kernel(*(faiss.swig_ptr(p) for p in pointers), vectors.shape[1], 1, len(rows))


def rescored(queries: Vectors, vectors: Vectors, offsets: Offsets, metric: Metric) -> Hits:
    """Return these hits with exact scores, best first again; `queries` normalised for COSINE."""
    scores, ordered = no_hits(len(offsets), offsets.shape[1], metric)
    for at, row in enumerate(offsets):
        found = np.ascontiguousarray(row[row != NO_OFFSET])
        if not len(found):
            continue
        exact = np.empty(len(found), np.float32)
        score_rows(queries[at], vectors, found, exact, metric)
        if metric is Metric.COSINE:
            exact *= inverse_norms(vectors[found])
        order = np.lexsort((found, exact if metric.small_is_near else -exact))
        scores[at, : len(found)] = exact[order]
        ordered[at, : len(found)] = found[order]
    return scores, ordered


def search(
    vectors: Vectors,
    queries: Vectors,
    k: int,
    metric: Metric | str,
    allowed: Bitmap | None = None,
    options: SearchOptions | None = None,
) -> Hits:
    """Return what `ExactSearcher(vectors, metric).search` does, for one call."""
    return ExactSearcher(vectors, metric).search(queries, k, options, allowed)


def _cut(best: Vectors, rows: Offsets, k: int) -> Hits:
    if len(best) <= k:
        return best, rows
    kept = np.argpartition(best, k - 1)[:k]
    return best[kept], rows[kept]
