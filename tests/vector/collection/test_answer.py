"""Whole answers over two members, and every refusal in words that clients know."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from roost.errors import InvalidArgument, RoostError
from roost.testing.clock import ManualClock
from roost.testing.small_collections import (
    COLLECTION_ID,
    DIM,
    FIRST,
    SECOND,
    keys_array,
    record_of,
    small_info,
    small_rows,
    small_schema,
)
from roost.vector.api import CollectionInfo, QueryRequest, SearchRequest
from roost.vector.collection.answer import answer_query, answer_search
from roost.vector.collection.parts import (
    GROWING,
    FetchPart,
    PartAddress,
    PartHits,
    PartRows,
    QueryPart,
    SearchPart,
)
from roost.vector.collection.state import CollectionState
from roost.vector.errors import (
    CollectionNotLoaded,
    FieldNotFound,
    FilterError,
    IndexParameterError,
    PartitionNotFound,
)
from roost.vector.files import DirectoryFiles
from roost.vector.index import build_file
from roost.vector.log.record import RecordKind
from roost.vector.manifest import IndexFile, Manifest
from roost.vector.segment.writing import SegmentAddress, write_segment

SCHEMA = small_schema()
INFO = small_info(SCHEMA)


def vectors_of(keys: Sequence[int]) -> np.ndarray:
    return np.array([[key, 0, 0, 1] for key in keys], np.float32)


class TwoMembers:
    """`Ask` over one member with the sealed segment and another with the growing rows."""

    def __init__(self, folder: Path, info: CollectionInfo, pool: ThreadPoolExecutor) -> None:
        files = DirectoryFiles(folder)
        rows = small_rows(info.schema, range(0, 10, 2), vectors_of(range(0, 10, 2)))
        entry = write_segment(
            files, SegmentAddress(1, FIRST, "s/1"), info.schema, rows, np.full(5, 5), 5
        )
        self.read_ts = 20
        self.fetched: list[FetchPart] = []
        self.asked = 0
        self.members = {}
        for segment_id in (1, GROWING):
            state = CollectionState(info, files, pool, ManualClock())
            state.install(Manifest(COLLECTION_ID, 1, 1, 5, (entry,)), {segment_id})
            self.members[segment_id] = state
        rows = small_rows(info.schema, range(1, 10, 2), vectors_of(range(1, 10, 2)))
        growing = self.members[GROWING]
        growing.apply(record_of(RecordKind.INSERT, 10, rows, SECOND))
        for state in self.members.values():
            state.advance(20)

    def at(self, at: PartAddress, segment_id: int) -> PartAddress:
        return replace(at, version=1, read_ts=self.read_ts, segment_ids=(segment_id,))

    def search(self, part: SearchPart) -> list[PartHits]:
        self.asked += 1
        return [
            state.search_part(replace(part, at=self.at(part.at, segment_id)))
            for segment_id, state in self.members.items()
        ]

    def query(self, part: QueryPart) -> list[PartRows]:
        self.asked += 1
        return [
            state.query_part(replace(part, at=self.at(part.at, segment_id)))
            for segment_id, state in self.members.items()
        ]

    def fetch(self, part: FetchPart) -> pa.RecordBatch:
        self.fetched.append(part)
        found = []
        for segment_id, offset in zip(part.segment_ids, part.offsets, strict=True):
            one = replace(
                part,
                at=self.at(part.at, int(segment_id)),
                segment_ids=np.array([segment_id]),
                offsets=np.array([offset]),
            )
            found.append(self.members[int(segment_id)].fetch_part(one))
        return pa.Table.from_batches(found).combine_chunks().to_batches()[0]


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as made:
        yield made


@pytest.fixture
def ask(tmp_path: Path, pool: ThreadPoolExecutor) -> TwoMembers:
    return TwoMembers(tmp_path, INFO, pool)


def search(**words: object) -> SearchRequest:
    queries = np.array([[0, 0, 0, 1], [9, 0, 0, 1]], np.float32)
    return replace(SearchRequest("small", queries, 3), **words)


def test_a_search_merges_members_and_fetches_only_the_final_hits(ask: TwoMembers) -> None:
    answer = answer_search(INFO, search(output_fields=("color", "twice")), lambda: ask)
    assert answer.counts.tolist() == [3, 3]
    assert answer.ids.to_pylist() == [0, 1, 2, 9, 8, 7]
    assert answer.scores.tolist() == [0, 1, 4, 0, 1, 4]
    assert answer.rows.schema.names == ["color", "$meta"]
    assert answer.rows.column("color").to_pylist() == [0, 1, 2, 9, 8, 7]
    assert answer.output_fields == ("color", "twice")
    assert (answer.primary_field, answer.read_ts) == ("pk", 20)
    (fetch,) = ask.fetched
    assert len(fetch.offsets) == 6


def test_offset_skips_the_best_hits(ask: TwoMembers) -> None:
    answer = answer_search(INFO, search(offset=2, k=2), lambda: ask)
    assert answer.ids.to_pylist() == [2, 3, 7, 6]
    assert answer.rows.num_columns == 0
    assert not ask.fetched


def test_star_gives_every_column(ask: TwoMembers) -> None:
    answer = answer_search(INFO, search(output_fields=("*",), k=1), lambda: ask)
    assert answer.rows.schema.names == [field.name for field in SCHEMA.fields]
    assert answer.rows.equals(small_rows(SCHEMA, [0, 9], vectors_of([0, 9])))


def test_nothing_found_has_the_columns_asked_for(ask: TwoMembers) -> None:
    answer = answer_search(INFO, search(filter="pk > 99", output_fields=("vec",)), lambda: ask)
    assert answer.counts.tolist() == [0, 0]
    assert answer.ids.type == pa.int64()
    assert answer.rows.schema.names == ["vec"]


def test_filters_partitions_and_ranges_hold(ask: TwoMembers) -> None:
    answer = answer_search(
        INFO,
        search(filter="color >= {low}", filter_params={"low": 4}, partitions=("second",)),
        lambda: ask,
    )
    assert answer.ids.to_pylist() == [5, 7, 9, 9, 7, 5]
    answer = answer_search(INFO, search(params={"radius": 3.0}), lambda: ask)
    assert answer.ids.to_pylist() == [0, 1, 9, 8]


@pytest.mark.parametrize("metric", ["L2", "IP", "COSINE"])
def test_every_metric_gives_the_best_first(
    tmp_path: Path, pool: ThreadPoolExecutor, metric: str
) -> None:
    info = small_info(SCHEMA, metric)
    answer = answer_search(info, search(k=10), lambda: TwoMembers(tmp_path, info, pool))
    query, vectors = np.array([9, 0, 0, 1.0]), vectors_of(range(10)).astype(float)
    scores = vectors @ query
    if metric == "COSINE":
        scores /= np.linalg.norm(vectors, axis=1) * np.linalg.norm(query)
    if metric == "L2":
        scores = -((vectors - query) ** 2).sum(axis=1)
    best = np.argsort(-scores, kind="stable")
    assert answer.ids.to_pylist()[10:] == best.tolist()
    assert answer.scores[10:] == pytest.approx(abs(scores[best]), rel=1e-5)


def test_a_query_pages_in_the_order_of_keys(ask: TwoMembers) -> None:
    request = QueryRequest("small", output_fields=("color",), limit=3, offset=2)
    answer = answer_query(INFO, request, lambda: ask)
    assert answer.rows.schema.names == ["color", "pk"]
    assert answer.rows.column("pk").to_pylist() == [2, 3, 4]
    assert answer.output_fields == ("color", "pk")


def test_a_query_by_ids_and_a_count(ask: TwoMembers) -> None:
    answer = answer_query(
        INFO, QueryRequest("small", ids=keys_array(SCHEMA, [8, 3, 77])), lambda: ask
    )
    assert answer.rows.column("pk").to_pylist() == [3, 8]
    counted = answer_query(INFO, QueryRequest("small", "pk < 7", count_only=True), lambda: ask)
    assert counted.rows.to_pydict() == {"count(*)": [7]}
    assert counted.output_fields == ("count(*)",)
    counted = answer_query(INFO, QueryRequest("small", count_only=True), lambda: ask)
    assert counted.rows.to_pydict() == {"count(*)": [10]}


WRONG_SEARCHES = [
    ({"k": 0}, InvalidArgument, r"topk \[0\] is invalid, it should be in range \[1, 16384\]"),
    ({"k": 16385}, InvalidArgument, r"topk \[16385\] is invalid"),
    ({"offset": -1}, InvalidArgument, r"offset \[-1\] is invalid"),
    ({"k": 10_000, "offset": 10_000}, InvalidArgument, r"offset\+limit \[20000\] is invalid"),
    ({"queries": np.zeros((0, DIM), np.float32)}, InvalidArgument, r"but got 0"),
    ({"queries": np.zeros((16385, DIM), np.float32)}, InvalidArgument, r"but got 16385"),
    (
        {"queries": np.zeros((1, 3), np.float32)},
        InvalidArgument,
        r"expected vector size\(byte\) 16, actual 12",
    ),
    ({"queries": np.full((1, DIM), np.nan, np.float32)}, InvalidArgument, "finite"),
    ({"vector_field": "nothing"}, FieldNotFound, "nothing"),
    ({"vector_field": "color"}, InvalidArgument, "color is not a vector field"),
    (
        {"metric": "IP"},
        IndexParameterError,
        r"metric type not match: invalid parameter\[expected=L2\]\[actual=IP\]",
    ),
    ({"filter": "color >"}, FilterError, "cannot parse expression: color >"),
    ({"filter": "pk == {gone}"}, FilterError, "gone"),
    ({"partitions": ("nowhere",)}, PartitionNotFound, "nowhere"),
    ({"params": {"radius": "far"}}, IndexParameterError, "radius"),
]


@pytest.mark.parametrize(("words", "error", "message"), WRONG_SEARCHES)
def test_a_wrong_search_is_refused_before_any_part_is_asked(
    ask: TwoMembers, words: dict[str, object], error: type[RoostError], message: str
) -> None:
    def view() -> TwoMembers:
        raise AssertionError("asked")

    with pytest.raises(error, match=message):
        answer_search(INFO, search(**words), view)


WRONG_QUERIES = [
    ({}, InvalidArgument, "empty expression should be used with limit"),
    ({"limit": 0}, InvalidArgument, r"limit \[0\] is invalid"),
    ({"limit": 16_000, "offset": 1_000}, InvalidArgument, r"offset\+limit \[17000\]"),
    ({"count_only": True, "limit": 5}, InvalidArgument, "count entities with pagination"),
    ({"ids": pa.array(["a"])}, InvalidArgument, "type of the primary key"),
    ({"filter": "colour == 1 and"}, FilterError, "cannot parse"),
    ({"limit": 1, "partitions": ("nowhere",)}, PartitionNotFound, "nowhere"),
]


@pytest.mark.parametrize(("words", "error", "message"), WRONG_QUERIES)
def test_a_wrong_query_is_refused(
    ask: TwoMembers, words: dict[str, object], error: type[RoostError], message: str
) -> None:
    with pytest.raises(error, match=message):
        answer_query(INFO, replace(QueryRequest("small"), **words), lambda: ask)
    assert not ask.asked


def test_a_collection_must_be_loaded_and_a_plain_schema_knows_its_fields(ask: TwoMembers) -> None:
    released = replace(INFO, loaded=False)
    with pytest.raises(CollectionNotLoaded):
        answer_search(released, search(), lambda: ask)
    with pytest.raises(CollectionNotLoaded):
        answer_query(released, QueryRequest("small", limit=1), lambda: ask)
    plain = replace(INFO, schema=replace(SCHEMA, fields=SCHEMA.fields[:-1]))
    with pytest.raises(FieldNotFound, match="field twice not exist"):
        answer_search(plain, search(output_fields=("twice",)), lambda: ask)


def test_a_built_index_answers_like_a_scan(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    schema = small_schema(dim=16)
    spec = replace(INFO.indexes[0], index_type="HNSW")
    info = replace(small_info(schema), indexes=(spec,))
    files = DirectoryFiles(tmp_path)
    generator = np.random.default_rng(5)
    vectors = generator.random((3000, 16), np.float32)
    entry = write_segment(
        files,
        SegmentAddress(1, FIRST, "s/1"),
        schema,
        small_rows(schema, range(3000), vectors),
        np.full(3000, 5),
        5,
    )
    local = files.scratch() / "index"
    build_file(spec, vectors, local)
    files.adopt(local, "s/1/index-9")
    built = replace(entry, indexes=(IndexFile(9, schema.field("vec").id, "s/1/index-9"),))
    found = []
    for entry_used in (entry, built):
        state = CollectionState(info, files, pool, ManualClock())
        state.install(Manifest(COLLECTION_ID, 1, 1, 5, (entry_used,)))
        state.advance(5)
        at = PartAddress(COLLECTION_ID, 1, 5, (1,))
        for text in ("", "color % 2 == 0", "color < 40"):
            part = SearchPart(at, vectors[:30], 10, schema.field("vec").id, "L2", {"ef": 200}, text)
            found.append(state.search_part(part))
    for scanned, walked in zip(found[:3], found[3:], strict=True):
        same = len(set(scanned.offsets.tolist()) & set(walked.offsets.tolist()))
        assert walked.counts.tolist() == [10] * 30
        assert same >= 0.95 * len(set(scanned.offsets.tolist()))
