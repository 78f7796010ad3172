"""The exact scan against a reference in double precision."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roost.vector.index import exact
from roost.vector.index.exact import PRODUCT_QUERIES_MIN, ExactSearcher
from roost.vector.index.spec import SearchOptions

METRICS = ("L2", "IP", "COSINE")
Matrix = npt.NDArray[np.float64]


def reference_scores(vectors: npt.NDArray[np.float32], queries: npt.NDArray[np.float32],
                     metric: str) -> Matrix:  # fmt: skip
    rows, wanted = vectors.astype(np.float64), queries.astype(np.float64)
    if metric == "L2":
        squares: Matrix = ((wanted[:, None, :] - rows[None, :, :]) ** 2).sum(axis=2)
        return squares
    products: Matrix = wanted @ rows.T
    if metric == "IP":
        return products
    lengths = np.linalg.norm(wanted, axis=1)[:, None] * np.linalg.norm(rows, axis=1)[None, :]
    return np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)


def check_hits(
    scores: npt.NDArray[np.float32],
    offsets: npt.NDArray[np.int64],
    expected: Matrix,
    may: npt.NDArray[np.bool_],
    metric: str,
) -> None:
    """Check order, distinctness, scores, and that nothing better was left out; ties may differ."""
    sign = 1 if metric == "L2" else -1
    k = offsets.shape[1]
    for query, (got_scores, got) in enumerate(zip(scores, offsets, strict=True)):
        possible = np.flatnonzero(may if may.ndim == 1 else may[query])
        count = min(k, len(possible))
        assert (got[count:] == -1).all()
        assert (got_scores[count:] == sign * np.inf).all()
        hits = got[:count]
        assert len(set(hits.tolist())) == count
        assert set(hits.tolist()) <= set(possible.tolist())
        assert (np.diff(sign * got_scores[:count]) >= 0).all()
        np.testing.assert_allclose(got_scores[:count], expected[query, hits], rtol=1e-4, atol=1e-4)
        best = np.sort(sign * expected[query, possible])[:count]
        np.testing.assert_allclose(sign * got_scores[:count], best, rtol=1e-4, atol=1e-4)


@settings(max_examples=120, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    metric=st.sampled_from(METRICS),
    rows=st.integers(0, 200),
    dim=st.integers(1, 40),
    nq=st.sampled_from([1, 3, PRODUCT_QUERIES_MIN + 1]),
    k=st.sampled_from([1, 5, 50, 300]),
    share=st.sampled_from([None, 0.0, 0.1, 0.9, 1.0]),
)
def test_a_scan_finds_the_best_of_the_allowed_rows(
    seed: int, metric: str, rows: int, dim: int, nq: int, k: int, share: float | None
) -> None:
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(rows, dim)).astype(np.float32)
    vectors[random.random(rows) < 0.1] = 0  # a zero row has no direction
    queries = random.normal(size=(nq, dim)).astype(np.float32)
    mask = np.ones(rows, np.bool_) if share is None else random.random(rows) < share
    allowed = None if share is None else np.packbits(mask, bitorder="little")
    scores, offsets = exact.search(vectors, queries, k, metric, allowed)
    assert scores.shape == offsets.shape == (nq, k)
    check_hits(scores, offsets, reference_scores(vectors, queries, metric), mask, metric)


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    metric=st.sampled_from(METRICS),
    inner=st.booleans(),
    share=st.sampled_from([None, 0.5]),
)
def test_a_range_search_keeps_to_its_bounds(
    seed: int, metric: str, inner: bool, share: float | None
) -> None:
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(100, 8)).astype(np.float32)
    queries = random.normal(size=(25, 8)).astype(np.float32)
    expected = reference_scores(vectors, queries, metric)
    low, high = (float(np.float32(v)) for v in np.quantile(expected, (0.2, 0.6)))
    options = (
        SearchOptions(radius=high, range_filter=low if inner else None)
        if metric == "L2"
        else SearchOptions(radius=low, range_filter=high if inner else None)
    )
    mask = np.ones(100, np.bool_) if share is None else random.random(100) < share
    allowed = None if share is None else np.packbits(mask, bitorder="little")
    single = expected.astype(np.float32)
    near = single < high if metric == "L2" else single > low
    if inner:
        near &= single >= low if metric == "L2" else single <= high
    # A score that lies on a bound up to rounding may fall on either side.
    clear = (np.abs(expected - low) > 1e-4) & (np.abs(expected - high) > 1e-4)
    scores, offsets = exact.search(vectors, queries, 100, metric, allowed, options)
    for query in range(25):
        got = {row for row in offsets[query].tolist() if row >= 0}
        assert got >= set(np.flatnonzero(near[query] & mask & clear[query]).tolist())
        assert got <= set(np.flatnonzero((near[query] | ~clear[query]) & mask).tolist())
    best, _ = exact.search(vectors, queries, 3, metric, allowed, options)
    np.testing.assert_array_equal(best, scores[:, :3])


def test_blocks_and_cuts_do_not_lose_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "SCAN_ROWS", 7)
    monkeypatch.setattr(exact, "PRODUCT_BYTES", 7 * 4 * 4)
    monkeypatch.setattr(exact, "SPARE_CANDIDATES", 2)
    random = np.random.default_rng(1)
    vectors = random.normal(size=(500, 4)).astype(np.float32)
    mask = random.random(500) < 0.5
    for metric in METRICS:
        for nq in (2, PRODUCT_QUERIES_MIN):
            queries = random.normal(size=(nq, 4)).astype(np.float32)
            expected = reference_scores(vectors, queries, metric)
            for allowed, may in (
                (None, np.ones(500, np.bool_)),
                (np.packbits(mask, bitorder="little"), mask),
            ):
                hits = ExactSearcher(vectors, metric).search(queries, 9, None, allowed)
                check_hits(*hits, expected, may, metric)


def test_a_row_is_its_own_nearest_at_distance_zero_however_many_ask() -> None:
    random = np.random.default_rng(2)
    vectors = (random.normal(size=(300, 64)) + 1000).astype(np.float32)  # far from the origin
    for nq in (1, 50):
        scores, offsets = exact.search(vectors, vectors[:nq], 1, "L2")
        assert offsets[:, 0].tolist() == list(range(nq))
        assert not scores.any()


def test_equal_scores_come_in_the_order_of_their_rows() -> None:
    vectors = np.zeros((20, 3), np.float32)
    query = np.ones((1, 3), np.float32)
    _, offsets = exact.search(vectors, query, 20, "L2")
    assert offsets[0].tolist() == list(range(20))


def test_bits_beyond_the_last_row_are_ignored() -> None:
    vectors = np.eye(3, dtype=np.float32)
    allowed = np.array([0b11111010], np.uint8)
    _, offsets = exact.search(vectors, vectors[:1], 5, "L2", allowed)
    assert offsets[0].tolist() == [1, -1, -1, -1, -1]
