"""The demo fails on a wrong answer instead of printing a nice figure."""

from typing import Any, ClassVar

import numpy as np
import pytest

from roost.bench import demo
from roost.bench.photographs import DIM, QUERY_ROWS, Descriptors

ROWS = 50


class Client:
    """Answers every search with the same ids."""

    ids: ClassVar[list[int]] = []

    def __init__(self, uri: str) -> None:
        self.uri = uri

    def insert(self, collection: str, rows: list[dict[str, Any]]) -> None:
        """Take them."""

    def search(self, *_: object, **__: object) -> list[list[dict[str, int]]]:
        return [[{"id": at} for at in self.ids]]

    def describe_index(self, *_: object) -> dict[str, object]:
        return {}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> demo.Demo:
    """A demo of one batch over the client above."""
    monkeypatch.setattr(demo, "MilvusClient", Client)
    vectors = np.random.default_rng(0).integers(0, 256, (ROWS + QUERY_ROWS, DIM)).astype(np.uint8)
    data = Descriptors(
        vectors, np.zeros(len(vectors), np.uint8), np.zeros((len(vectors), 3), np.float32), (), True
    )
    events = demo.DemoEvents(lambda *_: None, lambda *_: None)
    return demo.Demo(data, "nowhere", demo.DemoSettings(ROWS, ROWS, (0.0, 0.0)), events)


def test_a_row_that_is_not_found_first_fails_the_demo(
    run: demo.Demo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Client, "ids", [-1])
    with pytest.raises(demo.WrongAnswer, match="is not first"):
        run._insert_all()
    monkeypatch.setattr(Client, "ids", [])
    with pytest.raises(demo.WrongAnswer, match="is not first"):
        run._insert_all()


def test_neighbours_that_are_not_the_nearest_fail_the_demo(
    run: demo.Demo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Client, "search", lambda *_, **__: [[{"id": run_target(run)}]])
    with pytest.raises(demo.WrongAnswer, match="recall@10"):
        run._insert_all()


def run_target(run: demo.Demo) -> int:
    """The row that the demo asks for next, found by its own seed."""
    return int(np.random.default_rng(run._settings.seed).integers(0, ROWS))


def test_exact_ids_are_those_of_a_full_scan() -> None:
    base = np.random.default_rng(1).random((200, 8), dtype=np.float32)
    queries = base[:5] + 0.001
    distances = ((queries[:, None, :] - base[None]) ** 2).sum(axis=2)
    assert np.array_equal(demo.exact_ids(base, queries, 3), np.argsort(distances, axis=1)[:, :3])
