"""The HNSW graph of one segment: faiss's, over compressed copies of the rows.

The graph's own copies are only for finding the way; scores come from the segment's rows, so that
an index and a scan answer with the same numbers.  How rows are copied is decided by their values:

    bytes    every value is an integer from 0 to 255 (image descriptors): exact at a quarter
    halves   values that 16-bit floats hold well: the same recall at half the memory, and faster
    floats   the rest
"""

import enum

import faiss
import numpy as np

from roost.vector.index.exact import ExactSearcher, rescored
from roost.vector.index.searcher import (
    NO_OFFSET,
    Bitmap,
    Hits,
    Offsets,
    Vectors,
    allowed_count,
    no_hits,
    normalised,
    within,
)
from roost.vector.index.spec import IndexPlan, Metric, SearchOptions

DEFAULT_WIDTH = 96
"""ef of a search that names none: recall@10 of 0.98 to 0.99 with AUTOINDEX."""
WIDER = 4
WIDENINGS_MAX = 2
"""A search that found too few goes again with a wider beam, so often, then by scanning."""
SCAN_PER_WIDTH = 20
"""Rows that can be scanned in the time by which a beam one wider slows the graph."""
WALK_DISTANCES = 4_000
"""About what a walk through the graph computes, in the time of as many scanned rows."""
ADD_ROWS = 1 << 18
"""Rows that are normalised and added in one go."""

HALF_LARGEST, HALF_SMALLEST = 1e4, 1e-2
"""Largest and typical value for which 16-bit floats keep three digits and never overflow."""


class Copies(enum.IntEnum):
    """How the graph keeps its copies of the rows; the numbers are stored in index files."""

    FLOATS = 1
    HALVES = 2
    BYTES = 3


def build(plan: IndexPlan, vectors: Vectors) -> tuple[faiss.Index, Copies]:
    """Return the graph of `vectors`; uses faiss's number of threads as set by the caller."""
    dim = vectors.shape[1]
    copies = _copies_for(plan.metric, vectors)
    metric = faiss.METRIC_L2 if plan.metric is Metric.L2 else faiss.METRIC_INNER_PRODUCT
    if copies is Copies.FLOATS:
        index = faiss.IndexHNSWFlat(dim, plan.links, metric)
    else:
        kinds = faiss.ScalarQuantizer
        kind = kinds.QT_8bit_direct if copies is Copies.BYTES else kinds.QT_fp16
        index = faiss.IndexHNSWSQ(dim, kind, plan.links, metric)
        index.train(np.zeros((1, dim), np.float32))  # these two learn nothing from data
    index.hnsw.efConstruction = plan.build_width
    for start in range(0, len(vectors), ADD_ROWS):
        block = vectors[start : start + ADD_ROWS]
        index.add(normalised(block) if plan.metric is Metric.COSINE else block)
    return index, copies


def _copies_for(metric: Metric, vectors: Vectors) -> Copies:
    if metric is Metric.COSINE:
        return Copies.HALVES  # lengths are one
    largest, smallest_peak, whole = 0.0, np.inf, True
    for start in range(0, len(vectors), ADD_ROWS):
        block = vectors[start : start + ADD_ROWS]
        peaks = np.abs(block).max(axis=1)
        largest = max(largest, float(peaks.max()))
        smallest_peak = min(smallest_peak, float(np.median(peaks)))
        whole = whole and bool(((block >= 0) & (block <= 255) & (block == np.rint(block))).all())
    if whole:
        return Copies.BYTES
    fits = largest <= HALF_LARGEST and smallest_peak >= HALF_SMALLEST
    return Copies.HALVES if fits else Copies.FLOATS


class HnswSearcher:
    """A `Searcher` over a graph and the segment's rows.

    `keep` is what the graph's memory belongs to (a mapping), kept alive as long as this.
    """

    def __init__(
        self, index: faiss.Index, vectors: Vectors, metric: Metric, keep: object = None
    ) -> None:
        assert index.ntotal == len(vectors)
        self._index = index
        self._vectors = vectors
        self._metric = metric
        self._keep = keep
        self._exact = ExactSearcher(vectors, metric)

    @property
    def rows(self) -> int:
        """As in Searcher."""
        return len(self._vectors)

    def work(self, nq: int) -> int:
        """As in Searcher."""
        return nq * min(self.rows, WALK_DISTANCES)

    def search(
        self,
        queries: Vectors,
        k: int,
        options: SearchOptions | None = None,
        allowed: Bitmap | None = None,
    ) -> Hits:
        """As in Searcher; what the graph misses of `k` is found by scanning."""
        options = options or SearchOptions()
        available = allowed_count(allowed, self.rows)
        if not available or not len(queries):
            return no_hits(len(queries), k, self._metric)
        width = self._width(k, options, available)
        # An inner bound hides the nearest, which are all that a graph finds.
        if options.range_filter is not None or available <= SCAN_PER_WIDTH * width:
            return self._exact.search(queries, k, options, allowed)
        faiss.omp_set_num_threads(1)  # of this thread: segments run in parallel already
        queries = np.ascontiguousarray(queries, np.float32)
        scaled = normalised(queries) if self._metric is Metric.COSINE else queries
        wanted = min(k, available)
        offsets = self._walk(scaled, k, width, allowed)
        for _ in range(WIDENINGS_MAX):
            short = np.flatnonzero((offsets[:, :wanted] == NO_OFFSET).any(axis=1))
            if not len(short):
                break
            width = min(width * WIDER, self.rows)
            offsets[short] = self._walk(scaled[short], k, width, allowed)
        scores, offsets = rescored(scaled, self._vectors, offsets, self._metric)
        short = np.flatnonzero((offsets[:, :wanted] == NO_OFFSET).any(axis=1))
        if len(short):
            scores[short], offsets[short] = self._exact.search(queries[short], k, None, allowed)
        return self._in_range(scores, offsets, options)

    def _width(self, k: int, options: SearchOptions, available: int) -> int:
        """Return the beam's width: under a filter it also passes rows that may not be hits."""
        asked = options.width or max(DEFAULT_WIDTH, k + k // 2)
        return min(max(asked, k) * self.rows // available, self.rows)

    def _walk(self, queries: Vectors, k: int, width: int, allowed: Bitmap | None) -> Offsets:
        selector = None if allowed is None else faiss.IDSelectorBitmap(allowed)
        # Parameters go with the call: setting them on the index would race with other threads.
        params = faiss.SearchParametersHNSW(efSearch=width, sel=selector)
        _, offsets = self._index.search(queries, k, params=params)
        return np.asarray(offsets, np.int64)

    def _in_range(self, scores: Vectors, offsets: Offsets, options: SearchOptions) -> Hits:
        near = within(scores, self._metric, options)
        if near is None:
            return scores, offsets
        # Hits are sorted, so the range cuts off their tail.
        empty_scores, empty = no_hits(len(scores), scores.shape[1], self._metric)
        return np.where(near, scores, empty_scores), np.where(near, offsets, empty)
