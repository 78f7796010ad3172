"""Queries: filters against a predicate in Python, windows, counts, output fields."""

from collections.abc import Callable
from typing import Any

import pytest
from pymilvus import MilvusClient

from roost.testing.milvus_suite.base import BOOK_COUNT, Suite, book_rows, ids_of

Row = dict[str, Any]

FILTERS: list[tuple[str, Callable[[Row], bool]]] = [
    ("pages < 100", lambda r: r["pages"] < 100),
    ("100 <= pages < 200", lambda r: 100 <= r["pages"] < 200),
    ("pages == 50 or price > 45.0", lambda r: r["pages"] == 50 or r["price"] > 45),
    ("lent", lambda r: r["lent"]),
    ("lent == true and pages > 500", lambda r: r["lent"] and r["pages"] > 500),
    ("not lent && pages <= 40", lambda r: not r["lent"] and r["pages"] <= 40),
    ("id in [1, 3, 5, 999]", lambda r: r["id"] in (1, 3, 5)),
    ("id not in [1, 3, 5] and id < 8", lambda r: r["id"] < 8 and r["id"] not in (1, 3, 5)),
    ('title like "title 1%"', lambda r: r["title"].startswith("title 1")),
    ('title in ["title 7", "title 8"]', lambda r: r["id"] in (7, 8)),
    ("pages + 5 == 25", lambda r: r["pages"] == 20),
    ("pages % 100 == 0", lambda r: r["pages"] % 100 == 0),
    ("rating is null", lambda r: r["rating"] is None),
    ("rating > 8", lambda r: r["rating"] is not None and r["rating"] > 8),
    ("not (rating > 1)", lambda r: r["rating"] is not None and r["rating"] <= 1),
    ('colour == "red"', lambda r: r["colour"] == "red"),
    ('colour in ["red", "blue"] and id < 9', lambda r: r["colour"] != "green" and r["id"] < 9),
    ('$meta["colour"] == "blue"', lambda r: r["colour"] == "blue"),
    ("year > 2050", lambda r: r.get("year", 0) > 2050),
    ("exists year and id < 10", lambda r: "year" in r and r["id"] < 10),
    ('facts["shelf"] == 2', lambda r: r["facts"]["shelf"] == 2),
    ('facts["deep"]["x"] >= 190', lambda r: r["facts"]["deep"]["x"] >= 190),
    ('json_contains(facts["tags"], "t1")', lambda r: "t1" in r["facts"]["tags"]),
    ('json_contains_any(facts["tags"], ["t1", "t2"])', lambda r: r["id"] % 3 != 0),
    ('json_contains_all(facts["tags"], ["t0", "all"])', lambda r: r["id"] % 3 == 0),
]


class QuerySuite(Suite):
    """Query finds exactly the rows that pass, in the order of their keys."""

    @pytest.mark.parametrize(("text", "passes"), FILTERS, ids=[text for text, _ in FILTERS])
    def test_a_filter_means_what_it_says(
        self, client: MilvusClient, books: str, text: str, passes: Callable[[Row], bool]
    ) -> None:
        expected = [row["id"] for row in book_rows() if passes(row)]
        assert expected, "a filter that nothing passes shows nothing"
        assert ids_of(client.query(books, filter=text)) == expected
        counted = client.query(books, filter=text, output_fields=["count(*)"])
        assert counted[0]["count(*)"] == len(expected)

    def test_templates_stand_for_values(self, client: MilvusClient, books: str) -> None:
        rows = client.query(
            books,
            filter="pages in {pages} and colour == {colour} and price < {price}",
            filter_params={"pages": [0, 10, 30, 60], "colour": "red", "price": 1.0},
        )
        assert ids_of(rows) == [0, 3]

    def test_windows_follow_the_order_of_keys(self, client: MilvusClient, books: str) -> None:
        assert ids_of(client.query(books, filter="", limit=3)) == [0, 1, 2]
        assert ids_of(client.query(books, filter="id > 5", limit=3, offset=2)) == [8, 9, 10]
        beyond = client.query(books, filter="", limit=10, offset=BOOK_COUNT - 2)
        assert ids_of(beyond) == [BOOK_COUNT - 2, BOOK_COUNT - 1]
        assert list(client.query(books, filter="id < 0", output_fields=["*"])) == []

    def test_output_fields_are_those_asked_for(self, client: MilvusClient, books: str) -> None:
        (row,) = client.query(books, filter="id == 3", output_fields=["title"])
        assert row == {"id": 3, "title": "title 3"}
        (row,) = client.query(books, filter="id == 3")
        assert row.keys() >= {"id"}
        (row,) = client.query(books, filter="id == 3", output_fields=["title", "colour"])
        assert row == {"id": 3, "title": "title 3", "colour": "red"}
        (row,) = client.query(books, filter="id == 3", output_fields=["*"])
        expected = book_rows()[3]
        assert list(row.pop("vector")) == expected.pop("vector").tolist()
        assert row == expected

    def test_get_takes_one_key_or_many(self, client: MilvusClient, books: str) -> None:
        assert ids_of(client.get(books, ids=5)) == [5]
        assert ids_of(client.get(books, ids=[9, 5, 100_000])) == [5, 9]
        assert list(client.get(books, ids=[100_000])) == []
