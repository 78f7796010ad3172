"""Scanning bytes instead of floats: the same hits, only where nothing is lost."""

import numpy as np
import pytest

from roost.vector.index import byte_scan
from roost.vector.index.exact import ExactSearcher
from roost.vector.index.spec import Metric

ROWS, DIM = byte_scan.ROWS_MIN + 100, 16


def byte_vectors(seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (ROWS, DIM)).astype(np.float32)


@pytest.mark.parametrize("metric", [Metric.L2, Metric.IP])
def test_bytes_give_the_same_hits_and_scores_as_floats(metric: Metric) -> None:
    vectors = byte_vectors()
    queries = np.random.default_rng(1).integers(0, 256, (3, DIM)).astype(np.float32)
    searcher = ExactSearcher(vectors, metric)
    scores, offsets = searcher.search(queries, 20)
    searcher.use_bytes()
    assert searcher._bytes is not None
    byte_scores, byte_offsets = searcher.search(queries, 20)
    assert np.array_equal(offsets, byte_offsets)
    assert byte_scores == pytest.approx(scores, rel=1e-5)


def test_a_query_that_is_no_byte_is_answered_from_the_floats() -> None:
    searcher = ExactSearcher(byte_vectors(), Metric.L2)
    query = np.random.default_rng(1).normal(100, 80, (1, DIM)).astype(np.float32)
    before = searcher.search(query, 20)
    searcher.use_bytes()
    assert searcher._bytes is not None
    assert searcher._bytes.search(query, 20) is None
    after = searcher.search(query, 20)
    assert np.array_equal(before[1], after[1])


@pytest.mark.parametrize("value", [0.5, -1.0, 256.0, 1e9, np.inf])
def test_one_value_that_is_no_byte_keeps_the_floats(value: float) -> None:
    vectors = byte_vectors()
    vectors[ROWS - 1, DIM - 1] = value
    assert byte_scan.may_be_bytes(vectors, Metric.L2)
    assert byte_scan.copy_of(vectors, Metric.L2) is None


def test_small_or_fractional_vectors_and_cosine_are_not_tried() -> None:
    vectors = byte_vectors()
    assert not byte_scan.may_be_bytes(vectors[:100], Metric.L2)
    assert not byte_scan.may_be_bytes(vectors + np.float32(0.25), Metric.L2)
    assert not byte_scan.may_be_bytes(vectors, Metric.COSINE)


def test_copies_are_bounded_and_give_their_room_back(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = byte_vectors()
    monkeypatch.setattr(byte_scan, "_held_bytes", 0)
    monkeypatch.setattr(byte_scan, "BYTES_MAX", int(vectors.size * 1.5))
    first = byte_scan.copy_of(vectors, Metric.L2)
    assert first is not None
    assert byte_scan.copy_of(vectors, Metric.L2) is None
    del first
    assert byte_scan.copy_of(vectors, Metric.L2) is not None


def test_the_copy_is_made_after_the_first_scan() -> None:
    searcher = ExactSearcher(byte_vectors(), Metric.L2)
    query = np.zeros((1, DIM), np.float32)
    before = searcher.search(query, 5)
    for _ in range(1_000):
        after = searcher.search(query, 5)
        assert np.array_equal(before[1], after[1])
        if searcher._bytes is not None:
            return
    pytest.fail("no copy was made")
