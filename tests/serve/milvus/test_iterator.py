"""Pages of a search, over a service that only knows sorted scores."""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roost.errors import InvalidArgument
from roost.serve.milvus import iterator
from roost.vector.api import (
    CollectionInfo,
    Consistency,
    IndexSpec,
    SearchAnswer,
    SearchRequest,
    VectorService,
)
from roost.vector.schema import CollectionSchema, DataType, Field

SCHEMA = CollectionSchema(
    (Field("id", DataType.INT64, primary=True), Field("v", DataType.FLOAT_VECTOR, dim=2))
).numbered()
ASKED = SearchRequest("c", np.zeros((1, 2), np.float32), k=1)


@dataclass
class Sorted:
    """Searches scores that are sorted already; a row's key is its place among them."""

    scores: Any
    small_is_near: bool

    def search(self, request: SearchRequest) -> SearchAnswer:
        sign = 1 if self.small_is_near else -1
        near = request.params.get("range_filter", -sign * np.inf)
        keys = np.flatnonzero(sign * self.scores >= sign * near)[: request.k]
        return SearchAnswer(
            counts=np.array([len(keys)]),
            ids=pa.array(keys),
            scores=self.scores[keys],
            rows=pa.RecordBatch.from_arrays([pa.array(keys)], names=["id"]),
            primary_field="id",
            read_ts=7,
        )


def info(metric: str) -> CollectionInfo:
    index = IndexSpec("v", "v", "FLAT", metric)
    return CollectionInfo(1, "c", SCHEMA, Consistency.STRONG, 5, 5, (), (index,), loaded=True)


def page_after(service: Sorted, metric: str, size: int, bound: float | None) -> Any:
    sent = {"search_iter_v2": "True", "search_iter_batch_size": str(size), "search_iter_id": "t"}
    if bound is not None:
        sent["search_iter_last_bound"] = str(bound)
    page = iterator.page_of(sent)
    assert page is not None
    reply = iterator.next_page(cast("VectorService", service), sent, ASKED, page, info(metric))
    return reply.results


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([-3.5, -1.0, 0.0, 0.1, 1e-30, 0.7, 2.0]), max_size=40),
    st.integers(1, 9),
    st.sampled_from(["L2", "IP", "COSINE"]),
)
def test_pages_hold_every_row_once_in_order(values: list[float], size: int, metric: str) -> None:
    scores = np.sort(np.array(values, np.float32))
    service = Sorted(scores if metric == "L2" else scores[::-1].copy(), metric == "L2")
    keys: list[int] = []
    bound: float | None = None
    for _ in range(len(values) + 1):
        results = page_after(service, metric, size, bound)
        assert results.search_iterator_v2_results.token == "t"
        page = list(results.ids.int_id.data)
        assert list(results.fields_data[0].scalars.long_data.data) == page
        assert list(results.topks) == [len(page)]
        if not page:
            break
        keys += page
        bound = results.search_iterator_v2_results.last_bound
    assert keys == list(range(len(values)))


def test_more_rows_of_one_score_than_a_page_can_hold_are_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(iterator, "K_MAX", 16)
    service = Sorted(np.zeros(20, np.float32), small_is_near=True)
    with pytest.raises(InvalidArgument, match="more than 16 rows"):
        page_after(service, "L2", 4, None)


@pytest.mark.parametrize(
    "sent",
    [
        {"search_iter_batch_size": "0"},
        {"search_iter_batch_size": "20000"},
        {"search_iter_batch_size": "5", "search_iter_last_bound": "near"},
    ],
)
def test_pages_that_cannot_be_are_refused(sent: dict[str, str]) -> None:
    with pytest.raises(InvalidArgument):
        iterator.page_of({"search_iter_v2": "True"} | sent)
    assert iterator.page_of(sent) is None
