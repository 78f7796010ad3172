"""Iterators: every row once, as of the first page."""

from typing import Any

import numpy as np
import pytest
from pymilvus import MilvusClient

from roost.testing.milvus_suite.base import BOOK_COUNT, DIM, Suite, create, ids_of, simple_rows

PAGES_MAX = 500


def drained(iterator: Any) -> list[Any]:
    """Return the keys of all pages."""
    keys: list[Any] = []
    for _ in range(PAGES_MAX):
        page = iterator.next()
        if not page:
            iterator.close()
            return keys
        keys += page.ids() if hasattr(page, "ids") else ids_of(page)
    raise AssertionError(f"no end after {PAGES_MAX} pages")


class IteratorSuite(Suite):
    """Pages fit together: nothing twice, nothing left out."""

    @pytest.mark.parametrize("batch_size", [1, 7, 64, 1000])
    def test_a_query_iterator_gives_every_row_once(
        self, client: MilvusClient, books: str, batch_size: int
    ) -> None:
        if batch_size == 1:
            keys = drained(client.query_iterator(books, batch_size, limit=20))
            assert keys == list(range(20))
            return
        keys = drained(client.query_iterator(books, batch_size, filter="pages >= 30"))
        assert keys == list(range(3, BOOK_COUNT))

    def test_a_query_iterator_does_not_see_what_is_written_after_its_first_page(
        self, client: MilvusClient, plain: str
    ) -> None:
        client.insert(plain, simple_rows(10))
        iterator = client.query_iterator(plain, batch_size=4)
        keys = ids_of(iterator.next())
        client.insert(plain, simple_rows(10, start=100))
        client.delete(plain, ids=[6, 7])
        while page := iterator.next():
            keys += ids_of(page)
        assert keys == list(range(10))

    @pytest.mark.parametrize("metric", ["L2", "IP", "COSINE"])
    def test_a_search_iterator_gives_every_row_once_nearest_first(
        self, client: MilvusClient, name: str, metric: str
    ) -> None:
        create(client, name, metric=metric)
        rows = simple_rows(60)
        client.insert(name, rows)
        query = rows[0]["vector"]
        whole = ids_of(client.search(name, data=[query], limit=60)[0])
        keys = drained(client.search_iterator(name, data=[query], batch_size=7))
        assert keys == whole
        limited = drained(client.search_iterator(name, data=[query], batch_size=7, limit=20))
        assert limited == whole[:20]

    def test_rows_of_one_score_are_not_lost_between_pages(
        self, client: MilvusClient, plain: str
    ) -> None:
        ring = np.concatenate([np.eye(DIM), -np.eye(DIM)] * 3)  # 48 rows, all at distance 1
        near, far = np.full((5, DIM), 0.01), np.full((5, DIM), 2.0)
        every = np.concatenate([near, ring, far]).astype(np.float32)
        client.insert(plain, [{"id": at, "vector": v} for at, v in enumerate(every)])
        origin = np.zeros(DIM, np.float32)
        keys = drained(client.search_iterator(plain, data=[origin], batch_size=10))
        assert len(keys) == len(every)
        assert set(keys) == set(range(len(every)))

    def test_a_filtered_search_iterator_keeps_to_its_range(
        self, client: MilvusClient, books: str
    ) -> None:
        query = np.full(DIM, 0.5, np.float32)
        params = {"params": {"radius": 0.6}}
        whole = client.search(
            books, data=[query], limit=BOOK_COUNT, filter="id < 150", search_params=params
        )[0]
        assert 10 < len(whole) < 150
        iterator = client.search_iterator(
            books, data=[query], batch_size=9, filter="id < 150", search_params=params
        )
        assert drained(iterator) == ids_of(whole)
