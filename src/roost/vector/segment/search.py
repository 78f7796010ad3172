"""Searching the rows of one segment, sealed or growing, over the rows that are allowed.

Hits have distinct primary keys.  Where a key may occur twice, more hits than asked for are looked
at, until enough keys are distinct or nothing is left.  Which way is the fastest for few or many
allowed rows is the `Searcher`'s affair.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from roost.vector.api import IndexSpec
from roost.vector.index import Hits, SearchOptions, plan_of
from roost.vector.manifest import IndexFile
from roost.vector.segment.growing import GrowingView, VectorPiece
from roost.vector.segment.masks import Mask, bitmap_of
from roost.vector.segment.ranking import best, codes_of
from roost.vector.segment.sealed import Allowed, SealedSegment

GROWING_TASKS_MAX = 8
"""Tasks that the scan of one collection's growing rows is split into."""
_MORE = 4
"""By how much more hits are asked for when keys repeat."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Question:
    """What is searched for, the same for all segments."""

    queries: npt.NDArray[np.float32]
    k: int
    field_id: int
    spec: IndexSpec
    """The index declared for the field; says the metric."""
    options: SearchOptions

    @property
    def small_is_near(self) -> bool:
        """True if a small score is a good one."""
        return plan_of(self.spec).metric.small_is_near


@dataclass(frozen=True, slots=True)
class Found:
    """Hits of one segment, query by query, best first, primary keys distinct within a query."""

    counts: npt.NDArray[np.int64]
    """(nq,)"""
    scores: npt.NDArray[np.float32]
    rows: npt.NDArray[np.int64]
    ids: pa.Array


def search_sealed(
    segment: SealedSegment, allowed: Allowed, question: Question, built: IndexFile | None
) -> Found | None:
    """Return the hits among the allowed rows, None if there are none.

    `built` is the index of the field in the version asked, None if there is none yet.
    """
    if not allowed.count:
        return None
    searcher = segment.searcher(question.field_id, question.spec, built)

    def find(k: int) -> Hits:
        return searcher.search(question.queries, k, question.options, allowed.bitmap)

    return _distinct(
        find, segment.primary_keys, question, allowed.count, known=segment.keys_distinct
    )


def search_growing(
    view: GrowingView,
    span: tuple[int, int],
    allowed: Mask | None,
    question: Question,
    pool: ThreadPoolExecutor,
) -> Found | None:
    """Return the hits among the allowed rows of a span, None if there are none.

    Must not run on a thread of `pool`, because it waits for tasks there.
    """
    available = span[1] - span[0] if allowed is None else int(np.count_nonzero(allowed))
    if not available:
        return None
    pieces = list(view.pieces(question.field_id, span))
    groups = [pieces[at::GROWING_TASKS_MAX] for at in range(min(GROWING_TASKS_MAX, len(pieces)))]

    def find(k: int) -> Hits:
        tasks = [_scan_task(view, group, span[0], allowed, question, k) for group in groups]
        return _narrow([hits for found in run_all(pool, tasks) for hits in found], k, question)

    return _distinct(find, view.primary_keys, question, available, known=False)


def run_all(pool: ThreadPoolExecutor, tasks: Sequence[Callable[[], T]]) -> list[T]:
    """Return what the tasks give, in order; the first runs here, the others on the pool.

    Raises what the first failing one raised; others may then still be running.
    """
    futures = [pool.submit(task) for task in tasks[1:]]
    try:
        return [task() for task in tasks[:1]] + [future.result() for future in futures]
    except BaseException:
        for future in futures:
            future.cancel()
        raise


def _scan_task(
    view: GrowingView,
    pieces: Sequence[VectorPiece],
    start: int,
    allowed: Mask | None,
    question: Question,
    k: int,
) -> Callable[[], list[Hits]]:
    metric = plan_of(question.spec).metric

    def scan() -> list[Hits]:
        found = []
        for piece in pieces:
            at = piece.first - start
            here = None if allowed is None else allowed[at : at + len(piece.vectors)]
            if here is not None and not here.any():
                continue
            searcher, wanted = view.searcher(piece, metric), min(k, len(piece.vectors))
            scores, rows = searcher.search(
                question.queries, wanted, question.options, bitmap_of(here)
            )
            found.append((scores, np.where(rows < 0, -1, rows + piece.first)))
        return found

    return scan


def _narrow(found: Sequence[Hits], k: int, question: Question) -> Hits:
    """Return the `k` best for each query over several (nq, k) hits."""
    scores = np.concatenate([scores for scores, _ in found], axis=1)
    rows = np.concatenate([rows for _, rows in found], axis=1)
    worst = np.float32(np.inf if question.small_is_near else -np.inf)
    scores = np.where(rows < 0, worst, scores)
    order = np.argsort(scores if question.small_is_near else -scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)


def _distinct(
    find: Callable[[int], Hits],
    keys_of: Callable[[npt.NDArray[np.int64]], pa.Array],
    question: Question,
    available: int,
    *,
    known: bool,
) -> Found | None:
    """Return `question.k` hits with distinct keys; `known` if all keys are distinct anyway."""
    wanted = question.k
    while True:
        wanted = min(wanted, available)
        wide_scores, wide_rows = find(wanted)
        valid = wide_rows >= 0
        returned = valid.sum(axis=1)
        rows, scores = wide_rows[valid], wide_scores[valid]
        ids = keys_of(rows)
        if known:
            return Found(returned, scores, rows, ids) if len(rows) else None
        queries = np.repeat(np.arange(len(returned)), returned)
        order = best(
            queries, scores, codes_of(ids), k=question.k, small_is_near=question.small_is_near
        )
        counts = np.bincount(queries[order], minlength=len(returned))
        lacking = (counts < question.k) & (returned == wanted)
        if wanted >= available or not lacking.any():
            if len(order) == len(rows):
                return Found(counts, scores, rows, ids) if len(rows) else None
            return Found(counts, scores[order], rows[order], ids.take(pa.array(order)))
        wanted *= _MORE
