"""The graph finds nearly what the scan finds, and under a filter never too few."""

import threading
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roost.vector.api import IndexSpec
from roost.vector.index import ExactSearcher, Metric, SearchOptions, build_file, hnsw, open_file
from roost.vector.index.hnsw import Copies, HnswSearcher, build
from roost.vector.index.spec import IndexPlan

Vectors = npt.NDArray[np.float32]
METRICS = ("L2", "IP", "COSINE")


def spec(metric: str, index_type: str = "AUTOINDEX", **params: str) -> IndexSpec:
    return IndexSpec("vector", "vector", index_type, metric, params)


def recall(found: npt.NDArray[np.int64], expected: npt.NDArray[np.int64]) -> float:
    shares = [
        len(set(f[f >= 0]) & set(e[e >= 0])) / int((e >= 0).sum())
        for f, e in zip(found, expected, strict=True)
        if (e >= 0).any()
    ]
    assert ((found >= 0).any(axis=1) <= (expected >= 0).any(axis=1)).all()
    return float(np.mean(shares)) if shares else 1.0


@pytest.fixture(scope="session")
def searchers(
    vectors: Vectors, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, HnswSearcher]:
    """One opened index file for each metric."""
    folder = tmp_path_factory.mktemp("indexes")
    opened = {}
    for metric in METRICS:
        build_file(spec(metric), vectors, folder / metric)
        searcher = open_file(folder / metric, spec(metric), vectors)
        assert isinstance(searcher, HnswSearcher)
        opened[metric] = searcher
    return opened


@pytest.mark.parametrize("metric", METRICS)
def test_recall_at_10_is_high(
    metric: str, searchers: dict[str, HnswSearcher], vectors: Vectors, queries: Vectors
) -> None:
    expected_scores, expected = ExactSearcher(vectors, metric).search(queries, 10)
    scores, offsets = searchers[metric].search(queries, 10)
    assert recall(offsets, expected) >= 0.97
    same = offsets == expected
    np.testing.assert_allclose(scores[same], expected_scores[same], rtol=1e-5)


@pytest.mark.parametrize("metric", METRICS)
def test_one_query_at_a_time_answers_as_many_at_once(
    metric: str, searchers: dict[str, HnswSearcher], queries: Vectors
) -> None:
    scores, offsets = searchers[metric].search(queries[:5], 7)
    for at in range(5):
        one_scores, one = searchers[metric].search(queries[at : at + 1], 7)
        assert one.tolist() == offsets[at : at + 1].tolist()
        np.testing.assert_array_equal(one_scores, scores[at : at + 1])


@settings(max_examples=40, deadline=None)
@given(
    metric=st.sampled_from(METRICS),
    share=st.sampled_from([0.0, 0.0005, 0.01, 0.3, 0.5, 0.8, 1.0]),
    k=st.sampled_from([1, 10, 100]),
    seed=st.integers(0, 1000),
    by_cluster=st.booleans(),
)
def test_a_filter_is_kept_and_k_hits_come_when_k_rows_match(
    searchers: dict[str, HnswSearcher],
    vectors: Vectors,
    queries: Vectors,
    metric: str,
    share: float,
    k: int,
    seed: int,
    by_cluster: bool,
) -> None:
    if by_cluster:  # allowed rows lie far from most queries
        side = vectors[:, seed % vectors.shape[1]]
        mask = side >= np.quantile(side, 1 - share) if share else np.zeros(len(side), np.bool_)
    else:
        mask = np.random.default_rng(seed).random(len(vectors)) < share
    allowed = np.packbits(mask, bitorder="little")
    scores, offsets = searchers[metric].search(queries[:10], k, None, allowed)
    _, expected = ExactSearcher(vectors, metric).search(queries[:10], k, None, allowed)
    assert ((offsets >= 0) == (expected >= 0)).all()
    assert mask[offsets[offsets >= 0]].all()
    # Inner products of rows of different lengths are hard for a graph.
    assert recall(offsets, expected) >= (0.8 if metric == "IP" else 0.9)
    sign = 1 if metric == "L2" else -1
    there = np.where(offsets >= 0, sign * scores, np.inf)
    assert (there[:, :-1] <= there[:, 1:]).all()


def test_what_the_graph_misses_is_found_by_scanning(
    vectors: Vectors, queries: Vectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hnsw, "SCAN_PER_WIDTH", 0)  # never scan for want of survivors
    index, _ = build(IndexPlan("HNSW", Metric.L2, 4, 10), vectors)
    searcher = HnswSearcher(index, vectors, Metric.L2)
    monkeypatch.setattr(searcher, "_width", lambda k, options, available: k)
    mask = np.zeros(len(vectors), np.bool_)
    mask[-50:] = True
    _, offsets = searcher.search(queries, 40, None, np.packbits(mask, bitorder="little"))
    assert (offsets >= len(vectors) - 50).all()


@pytest.mark.parametrize("metric", METRICS)
def test_a_range_search_answers_as_the_scan(
    metric: str, searchers: dict[str, HnswSearcher], vectors: Vectors, queries: Vectors
) -> None:
    exact = ExactSearcher(vectors, metric)
    all_scores, _ = exact.search(queries, 30)
    radius, inner = float(np.median(all_scores[:, 20])), float(np.median(all_scores[:, 3]))
    outer = SearchOptions(width=150, radius=radius)
    _, expected = exact.search(queries, 30, outer)
    scores, offsets = searchers[metric].search(queries, 30, outer)
    assert recall(offsets, expected) >= 0.97
    assert ((scores < radius) if metric == "L2" else (scores > radius))[offsets >= 0].all()
    both = SearchOptions(radius=radius, range_filter=inner)
    np.testing.assert_array_equal(
        searchers[metric].search(queries, 30, both)[1], exact.search(queries, 30, both)[1]
    )


def test_a_wider_beam_finds_no_less(
    searchers: dict[str, HnswSearcher], vectors: Vectors, queries: Vectors
) -> None:
    _, expected = ExactSearcher(vectors, "L2").search(queries, 10)
    shares = [
        recall(searchers["L2"].search(queries, 10, SearchOptions(width=width))[1], expected)
        for width in (10, 280)
    ]
    assert shares[0] < shares[1]
    assert shares[1] > 0.99


def test_threads_with_different_beams_do_not_disturb_each_other(
    searchers: dict[str, HnswSearcher], queries: Vectors
) -> None:
    searcher = searchers["L2"]
    widths = (10, 200)
    alone = {w: searcher.search(queries, 10, SearchOptions(width=w))[1].tolist() for w in widths}
    answers: dict[int, list[object]] = {width: [] for width in widths}

    def ask(width: int) -> None:
        options = SearchOptions(width=width)
        answers[width] += [searcher.search(queries, 10, options)[1].tolist() for _ in range(20)]

    threads = [threading.Thread(target=ask, args=(width,)) for width in widths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(answers[width] == [alone[width]] * 20 for width in widths)


@pytest.mark.parametrize(
    ("scale", "shift", "metric", "copies"),
    [
        (1.0, 0.0, Metric.L2, Copies.HALVES),
        (1e6, 0.0, Metric.L2, Copies.FLOATS),
        (1e-5, 0.0, Metric.IP, Copies.FLOATS),
        (1e6, 0.0, Metric.COSINE, Copies.HALVES),
    ],
)
def test_rows_are_copied_as_small_as_their_values_allow(
    vectors: Vectors, queries: Vectors, scale: float, shift: float, metric: Metric, copies: Copies
) -> None:
    scaled = (vectors[:2000] * scale + shift).astype(np.float32)
    index, chosen = build(IndexPlan("HNSW", metric, 16, 100), scaled)
    assert chosen is copies
    wanted = (queries * scale + shift).astype(np.float32)
    _, expected = ExactSearcher(scaled, metric).search(wanted, 10)
    _, offsets = HnswSearcher(index, scaled, metric).search(wanted, 10, SearchOptions(width=90))
    assert recall(offsets, expected) >= 0.95


def test_descriptors_of_bytes_are_copied_as_bytes(vectors: Vectors, queries: Vectors) -> None:
    def descriptors(rows: Vectors) -> Vectors:
        return np.clip(np.rint(rows * 20 + 128), 0, 255).astype(np.float32)

    index, chosen = build(IndexPlan("HNSW", Metric.L2, 16, 100), descriptors(vectors))
    assert chosen is Copies.BYTES
    searcher = HnswSearcher(index, descriptors(vectors), Metric.L2)
    exact = ExactSearcher(descriptors(vectors), "L2")
    found = searcher.search(descriptors(queries), 10)[1]
    assert recall(found, exact.search(descriptors(queries), 10)[1]) >= 0.97


def test_rows_that_are_all_alike_still_give_k_hits(tmp_path: Path) -> None:
    alike = np.ones((3000, 8), np.float32)
    build_file(spec("L2", "HNSW", M="4", efConstruction="8"), alike, tmp_path / "index")
    searcher = open_file(tmp_path / "index", spec("L2", "HNSW", M="4"), alike)
    scores, offsets = searcher.search(alike[:3], 50, SearchOptions(width=50))
    assert not scores.any()
    assert all(len(set(row)) == 50 for row in offsets.tolist())
