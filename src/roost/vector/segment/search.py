"""Searching segments, sealed and growing, over the rows that are allowed.

A search of one segment is prepared as *leaves*: pieces of its rows, each with a searcher of its
own.  The leaves of all segments run side by side on a pool; what they find is narrowed to the best
of each segment, with distinct primary keys.  Where a key may occur twice, more hits than asked for
are looked at, until enough keys are distinct or nothing is left.  Which way through a piece is the
fastest for few or many allowed rows is the `Searcher`'s affair.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from roost.vector.api import IndexSpec
from roost.vector.index import Bitmap, Hits, IndexPlan, Searcher, SearchOptions
from roost.vector.manifest import IndexFile
from roost.vector.segment.growing import GrowingView
from roost.vector.segment.masks import Mask, bitmap_of
from roost.vector.segment.ranking import best, codes_of
from roost.vector.segment.sealed import Allowed, SealedSegment

TASKS_MAX = 8
"""Tasks that the leaves of one segment are gathered in: enough for any machine's share."""
TASK_DISTANCES_MIN = 30_000
"""Smaller tasks run in one thread after the other: to hand one over takes as long as they do."""
_MORE = 4
"""By how much more hits are asked for when keys repeat."""

T = TypeVar("T")
TakeKeys = Callable[[npt.NDArray[np.int64]], pa.Array]


@dataclass(frozen=True, slots=True)
class Question:
    """What is searched for, the same for all segments."""

    queries: npt.NDArray[np.float32]
    k: int
    field_id: int
    spec: IndexSpec
    """The index declared for the field …"""
    plan: IndexPlan
    """… and what it means."""
    options: SearchOptions

    @property
    def small_is_near(self) -> bool:
        """True if a small score is a good one."""
        return self.plan.metric.small_is_near


@dataclass(frozen=True, slots=True)
class Leaf:
    """Some adjacent rows of a segment and what searches them."""

    first: int
    """The number of row 0 of the searcher."""
    searcher: Searcher
    allowed: Bitmap | None


@dataclass(frozen=True, slots=True)
class Prepared:
    """The search of one segment, ready to run."""

    leaves: tuple[Leaf, ...]
    available: int
    """Rows allowed."""
    keys_distinct: bool
    keys_of: TakeKeys


@dataclass(frozen=True, slots=True)
class Found:
    """Hits of one segment, query by query, best first, primary keys distinct within a query."""

    counts: npt.NDArray[np.int64]
    """(nq,)"""
    scores: npt.NDArray[np.float32]
    rows: npt.NDArray[np.int64]
    ids: pa.Array


def prepare_sealed(
    segment: SealedSegment, allowed: Allowed, question: Question, built: IndexFile | None
) -> Prepared:
    """Return the search of a sealed segment's allowed rows.

    `built` is the index of the field in the version asked, None if there is none yet.
    """
    leaves: list[Leaf] = []
    if allowed.count:
        bits = allowed.bitmap  # a searcher begins at a multiple of eight rows
        use = built if question.plan.needs_file else None
        for first, searcher in segment.searchers(question.field_id, question.spec, use):
            here = None if bits is None else bits[first // 8 : (first + searcher.rows + 7) // 8]
            if here is None or here.any():
                leaves.append(Leaf(first, searcher, here))
    return Prepared(tuple(leaves), allowed.count, segment.keys_distinct, segment.primary_keys)


def prepare_growing(
    view: GrowingView, span: tuple[int, int], allowed: Mask | None, question: Question
) -> Prepared:
    """Return the search of the allowed rows of a span."""
    metric = question.plan.metric
    leaves: list[Leaf] = []
    for piece in view.pieces(question.field_id, span):
        at = piece.first - span[0]
        here = None if allowed is None else allowed[at : at + len(piece.vectors)]
        if here is None or here.any():
            leaves.append(Leaf(piece.first, view.searcher(piece, metric), bitmap_of(here)))
    available = span[1] - span[0] if allowed is None else int(np.count_nonzero(allowed))
    return Prepared(tuple(leaves), available, False, view.primary_keys)


def search_all(
    searches: Sequence[Prepared], question: Question, pool: ThreadPoolExecutor
) -> list[Found | None]:
    """Return what each search finds, None for nothing.

    Must not run on a thread of `pool`, because it waits for tasks there.
    """
    found: list[Found | None] = [None] * len(searches)
    waiting = [at for at, search in enumerate(searches) if search.leaves]
    wanted = question.k
    while waiting:
        pieces = []
        for at in waiting:
            leaves, k = searches[at].leaves, min(wanted, searches[at].available)
            groups = (leaves[i::TASKS_MAX] for i in range(min(TASKS_MAX, len(leaves))))
            pieces += [_Piece(at, group, k) for group in groups]
        tasks = [_task(some, question) for some in _gathered(pieces, len(question.queries))]
        hits: dict[int, list[Hits]] = {}
        for answers in run_all(pool, tasks):
            for at, some in answers:
                hits.setdefault(at, []).extend(some)
        unfinished = []
        for at in waiting:
            k = min(wanted, searches[at].available)
            found[at], enough = _distinct(_narrow(hits[at], k, question), searches[at], question)
            if not enough and k < searches[at].available:
                unfinished.append(at)
        waiting = unfinished
        wanted *= _MORE
    return found


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


@dataclass(frozen=True, slots=True)
class _Piece:
    """Some leaves of the search number `at`, of each of which the `k` best are wanted."""

    at: int
    leaves: Sequence[Leaf]
    k: int

    def work(self, nq: int) -> int:
        return sum(leaf.searcher.work(nq) for leaf in self.leaves)

    def search(self, question: Question) -> list[Hits]:
        found = []
        for leaf in self.leaves:
            wanted = min(self.k, leaf.searcher.rows)
            scores, rows = leaf.searcher.search(
                question.queries, wanted, question.options, leaf.allowed
            )
            found.append(
                (scores, np.where(rows < 0, -1, rows + leaf.first) if leaf.first else rows)
            )
        return found


def _gathered(pieces: Sequence[_Piece], nq: int) -> list[list[_Piece]]:
    """Return the pieces in groups, each with enough work for a thread of its own."""
    groups: list[list[_Piece]] = []
    room = 0
    for piece in pieces:
        if room <= 0:
            groups.append([])
            room = TASK_DISTANCES_MIN
        groups[-1].append(piece)
        room -= piece.work(nq)
    return groups


def _task(
    pieces: Sequence[_Piece], question: Question
) -> Callable[[], list[tuple[int, list[Hits]]]]:
    return lambda: [(piece.at, piece.search(question)) for piece in pieces]


def _narrow(found: Sequence[Hits], k: int, question: Question) -> Hits:
    """Return the `k` best for each query over several (nq, any) hits."""
    if len(found) == 1:
        return found[0]
    scores = np.concatenate([scores for scores, _ in found], axis=1)
    rows = np.concatenate([rows for _, rows in found], axis=1)
    worst = np.float32(np.inf if question.small_is_near else -np.inf)
    scores = np.where(rows < 0, worst, scores)
    order = np.argsort(scores if question.small_is_near else -scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)


def _distinct(wide: Hits, search: Prepared, question: Question) -> tuple[Found | None, bool]:
    """Return the best `question.k` with distinct keys, and whether looking further is useless."""
    wide_scores, wide_rows = wide
    valid = wide_rows >= 0
    returned = valid.sum(axis=1)
    rows, scores = wide_rows[valid], wide_scores[valid]
    if not len(rows):
        return None, True
    ids = search.keys_of(rows)
    if search.keys_distinct:
        return Found(returned, scores, rows, ids), True
    queries = np.repeat(np.arange(len(returned)), returned)
    order = best(queries, scores, codes_of(ids), k=question.k, small_is_near=question.small_is_near)
    counts = np.bincount(queries[order], minlength=len(returned))
    enough = bool(((counts >= question.k) | (returned < wide_rows.shape[1])).all())
    if len(order) == len(rows):
        return Found(counts, scores, rows, ids), enough
    return Found(counts, scores[order], rows[order], ids.take(pa.array(order))), enough
