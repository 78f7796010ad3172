"""Searches, against brute force in numpy."""

from typing import Any

import numpy as np
import pytest
from pymilvus import MilvusClient

from roost.testing.milvus_suite.base import (
    BOOK_COUNT,
    DIM,
    Suite,
    book_rows,
    create,
    ids_of,
    simple_rows,
    vectors,
)

QUERY = np.linspace(0, 1, DIM, dtype=np.float32)


def nearest(query: Any, passes: Any = lambda row: True) -> list[tuple[int, float]]:
    """Return (id, squared distance) of the books that pass, nearest first."""
    rows = [row for row in book_rows() if passes(row)]
    far = [float(((row["vector"].astype(np.float64) - query) ** 2).sum()) for row in rows]
    return sorted(
        ((row["id"], d) for row, d in zip(rows, far, strict=True)), key=lambda hit: hit[1]
    )


class SearchSuite(Suite):
    """Search finds the nearest rows that pass, all of them."""

    def test_hits_and_scores_are_those_of_brute_force(
        self, client: MilvusClient, books: str
    ) -> None:
        queries = vectors(5, seed=99)
        found = client.search(books, data=list(queries), limit=10)
        assert len(found) == 5
        for query, hits in zip(queries, found, strict=True):
            expected = nearest(query)[:10]
            assert ids_of(hits) == [key for key, _ in expected]
            assert [hit["distance"] for hit in hits] == pytest.approx([d for _, d in expected])

    def test_a_filtered_search_returns_k_rows_when_there_are_k(
        self, client: MilvusClient, books: str
    ) -> None:
        hits = client.search(books, data=[QUERY], limit=5, filter="pages >= 1900")[0]
        expected = nearest(QUERY, lambda row: row["pages"] >= 1900)[:5]
        assert ids_of(hits) == [key for key, _ in expected]
        few = client.search(books, data=[QUERY], limit=50, filter="id in [3, 4]")[0]
        assert sorted(ids_of(few)) == [3, 4]
        assert client.search(books, data=[QUERY], limit=5, filter="id < 0")[0] == []

    def test_queries_may_find_different_numbers_of_rows(
        self, client: MilvusClient, books: str
    ) -> None:
        close, far = book_rows()[7]["vector"], np.full(DIM, 50, np.float32)
        params = {"params": {"radius": 0.5}}
        found = client.search(books, data=[far, close, far], limit=10, search_params=params)
        expected = [key for key, d in nearest(close) if d < 0.5][:10]
        assert [ids_of(hits) for hits in found] == [[], expected, []]

    def test_offset_skips_the_nearest(self, client: MilvusClient, books: str) -> None:
        hits = client.search(books, data=[QUERY], limit=5, offset=10)[0]
        assert ids_of(hits) == [key for key, _ in nearest(QUERY)[10:15]]

    def test_a_range_search_keeps_to_its_range(self, client: MilvusClient, books: str) -> None:
        ordered = nearest(QUERY)
        radius, near = (ordered[20][1] + ordered[21][1]) / 2, (ordered[4][1] + ordered[5][1]) / 2
        params = {"params": {"radius": radius, "range_filter": near}}
        hits = client.search(books, data=[QUERY], limit=100, search_params=params)[0]
        assert ids_of(hits) == [key for key, _ in ordered[5:21]]

    @pytest.mark.parametrize("metric", ["IP", "COSINE"])
    def test_similarities_come_largest_first(
        self, client: MilvusClient, name: str, metric: str
    ) -> None:
        create(client, name, metric=metric)
        rows = simple_rows(50)
        client.insert(name, rows)
        hits = client.search(name, data=[QUERY], limit=50)[0]
        scores = np.stack([row["vector"] for row in rows]).astype(np.float64) @ QUERY
        if metric == "COSINE":
            lengths = [np.linalg.norm(row["vector"]) for row in rows]
            scores /= np.array(lengths) * np.linalg.norm(QUERY)
        assert ids_of(hits) == np.argsort(-scores).tolist()
        assert [hit["distance"] for hit in hits] == pytest.approx(sorted(scores)[::-1], rel=1e-5)

    def test_output_fields_of_hits(self, client: MilvusClient, books: str) -> None:
        key = nearest(QUERY)[0][0]
        (hit,) = client.search(
            books, data=[QUERY], limit=1, output_fields=["title", "facts", "colour", "rating"]
        )[0]
        row = book_rows()[key]
        wanted = ("title", "facts", "colour", "rating")
        assert hit["entity"] == {name: row[name] for name in wanted}
        (hit,) = client.search(books, data=[QUERY], limit=1, output_fields=["*"])[0]
        assert list(hit["entity"].pop("vector")) == row.pop("vector").tolist()
        assert hit["entity"] == row
        (hit,) = client.search(books, data=[QUERY], limit=1)[0]
        assert hit["entity"] == {}
        assert hit.keys() >= {"id", "distance"}

    def test_scores_are_rounded_on_demand(self, client: MilvusClient, books: str) -> None:
        hits = client.search(books, data=[QUERY], limit=5, round_decimal=2)[0]
        exact = [d for _, d in nearest(QUERY)[:5]]
        assert [hit["distance"] for hit in hits] == pytest.approx(
            [round(d, 2) for d in exact], abs=0.011
        )
        assert all(round(hit["distance"], 2) == hit["distance"] for hit in hits)

    def test_every_consistency_level_answers(self, client: MilvusClient, books: str) -> None:
        for level in ("Strong", "Session", "Bounded"):
            hits = client.search(books, data=[QUERY], limit=BOOK_COUNT, consistency_level=level)[0]
            assert len(hits) == BOOK_COUNT
        client.search(books, data=[QUERY], limit=1, consistency_level="Eventually")

    def test_a_collection_without_rows_answers_nothing(
        self, client: MilvusClient, plain: str
    ) -> None:
        assert client.search(plain, data=[QUERY, QUERY], limit=3, output_fields=["*"]) == [[], []]
        assert list(client.query(plain, filter="id >= 0", output_fields=["*"])) == []
        assert client.query(plain, output_fields=["count(*)"])[0]["count(*)"] == 0
