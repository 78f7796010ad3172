"""What crosses between members comes out as it went in; real gRPC on loopback."""

import importlib
import pkgutil
import threading
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest

import roost.cluster
import roost.vector
from roost import errors
from roost.cluster.rpc import errors as crossing
from roost.cluster.rpc import methods
from roost.cluster.rpc.errors import CLASSES, Unreachable, decode, encode
from roost.cluster.rpc.peer import Peer
from roost.cluster.rpc.server import RpcServer
from roost.cluster.rpc.status import ReaderStatus
from roost.errors import CorruptRecord, InvalidArgument, RoostError, TimedOut, Unavailable
from roost.vector import api
from roost.vector.collection.parts import (
    GROWING,
    FetchPart,
    PartAddress,
    PartHits,
    PartRows,
    QueryPart,
    SearchPart,
)
from roost.vector.columns import vector_column
from roost.vector.errors import FilterError
from roost.vector.schema import CollectionSchema, DataType, Field


def tree(root: type[RoostError]) -> Iterator[type[RoostError]]:
    yield root
    for child in root.__subclasses__():
        yield from tree(child)


def test_every_class_of_the_error_tree_has_a_row() -> None:
    """The volume's own errors stay behind `Files`, which speaks in the classes of roost.errors."""
    for package in (roost.vector, roost.cluster):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            importlib.import_module(module.name)
    rooms = ("roost.errors", "roost.vector", "roost.cluster")
    known = {cls for cls in tree(RoostError) if cls.__module__.startswith(rooms)}
    assert {cls.__name__ for cls in known} == set(CLASSES)


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_an_error_comes_out_as_the_class_it_went_in_as(name: str) -> None:
    cls = CLASSES[name]
    error = cls.__new__(cls)
    RoostError.__init__(error, f"{name} happened", hint="Do something.")
    came = decode(encode(error))
    assert type(came) is cls
    assert (came.message, came.hint) == (f"{name} happened", "Do something.")


def test_what_a_class_carries_besides_its_message_crosses_too() -> None:
    came = decode(encode(FilterError("a >", "unexpected end", 3)))
    assert isinstance(came, FilterError)
    assert came.position == 3
    damage = decode(encode(CorruptRecord("log/1/0", "checksum")))
    assert isinstance(damage, CorruptRecord)
    assert damage.where == "log/1/0"


def test_a_class_outside_the_table_crosses_as_its_ancestor() -> None:
    class Special(errors.StorageFull):
        """Not in the table."""

    assert type(decode(encode(Special("full")))) is errors.StorageFull


def test_a_very_long_message_is_cut_and_still_crosses(echo: "Echo", peer: Peer) -> None:
    echo.error = InvalidArgument("x" * 100_000)
    with pytest.raises(InvalidArgument, match="xxx"):
        peer.call(methods.TIP, None, 5.0)


class Echo:
    """Answers every method with what the test put there, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: object = None
        self.answer: object = 0
        self.error: Exception | None = None
        self.may_answer = threading.Event()
        self.may_answer.set()

    def __getattr__(self, name: str) -> object:
        def function(*arguments: object) -> object:
            self.asked = arguments
            self.may_answer.wait(10)
            if self.error is not None:
                raise self.error
            return self.answer

        function.__name__ = name
        return function


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def peer(echo: Echo) -> Iterator[Peer]:
    server = RpcServer("127.0.0.1:0")
    server.add(methods.WRITER_METHODS, echo)
    server.add((methods.TIP,), echo)
    server.add(methods.READER_METHODS, echo)
    server.start()
    peer = Peer(server.address)
    yield peer
    peer.close()
    server.stop()


SCHEMA = CollectionSchema(
    (
        Field("id", DataType.INT64, id=100, primary=True),
        Field("text", DataType.VARCHAR, id=101, max_length=64, nullable=True),
        Field("vector", DataType.FLOAT_VECTOR, id=102, dim=4),
    ),
    "a few fields",
)
INDEX = api.IndexSpec("vector", "v", "HNSW", "COSINE", {"M": "16"}, 7)
INFO = api.CollectionInfo(
    id=3,
    name="things",
    schema=SCHEMA,
    consistency=api.Consistency.STRONG,
    created_ts=5,
    updated_ts=6,
    partitions=(api.PartitionInfo(1, "_default", 5), api.PartitionInfo(2, "other", 9)),
    indexes=(INDEX,),
    loaded=True,
    properties={"a": "b"},
    shards=2,
    aliases=("thing",),
)
ROWS = pa.RecordBatch.from_arrays(
    [
        pa.array([1, 2], pa.int64()),
        pa.array(["x", None], pa.string()),
        vector_column(np.arange(8, dtype=np.float32).reshape(2, 4)),
    ],
    names=["id", "text", "vector"],
)
AT = PartAddress(3, 9, 1 << 60, (GROWING, 5, 6), (1, 2))


@pytest.mark.parametrize(
    ("method", "request_", "answer"),
    [
        (
            methods.CREATE_COLLECTION,
            api.NewCollection("things", SCHEMA, api.Consistency.STRONG, {"a": "b"}, 2),
            INFO,
        ),
        (methods.DROP_COLLECTION, "things", None),
        (methods.CREATE_PARTITION, ("things", "other"), None),
        (methods.CREATE_INDEX, ("things", INDEX), None),
        (methods.DROP_INDEX, ("things", "v"), None),
        (
            methods.DESCRIBE_INDEXES,
            "things",
            [api.IndexInfo(INDEX, 10, 6, 4, api.IndexState.IN_PROGRESS, "")],
        ),
        (methods.LOAD, "things", None),
        (
            methods.FLUSH,
            (("things", "others"),),
            api.FlushAnswer({"things": (4, 5), "others": ()}, {"things": 77, "others": 78}),
        ),
        (methods.COMPACT, "things", 12),
        (methods.COMPACTION_DONE, 12, True),
        (methods.ROW_COUNT, ("things", ""), 1 << 40),
        (methods.TIP, None, 1 << 62),
        (methods.STATUS, None, ReaderStatus("reader-1", 99, {3: {8: True, 9: False}, 4: {}}, 7)),
    ],
    ids=lambda value: value.name if isinstance(value, methods.Method) else "",
)
def test_definitions_and_their_answers_cross(
    echo: Echo, peer: Peer, method: methods.Method, request_: object, answer: object
) -> None:
    echo.answer = answer
    assert (peer.call(method, request_, 5.0) or None) == (answer or None)
    expected = () if request_ is None else request_
    assert echo.asked == (expected if isinstance(expected, tuple) else (expected,))


def test_rows_to_insert_cross_as_columns(echo: Echo, peer: Peer) -> None:
    echo.answer = api.MutationAnswer(pa.array([1, 2], pa.int64()), 2, 1 << 61)
    request = api.InsertRequest("things", ROWS, "other", upsert=True, schema_ts=6)
    answer = peer.call(methods.INSERT, request, 5.0)
    assert answer.ids.equals(pa.array([1, 2], pa.int64()))
    assert (answer.count, answer.timestamp) == (2, 1 << 61)
    (asked,) = echo.asked
    assert asked.rows.equals(ROWS)
    assert (asked.collection, asked.partition, asked.upsert, asked.schema_ts) == (
        "things",
        "other",
        True,
        6,
    )


def test_deletes_cross_by_keys_and_by_filter(echo: Echo, peer: Peer) -> None:
    echo.answer = api.MutationAnswer(pa.array([], pa.string()), 0, 1)
    peer.call(methods.DELETE, api.DeleteRequest("things", ids=pa.array(["a", "b"])), 5.0)
    assert echo.asked[0].ids.to_pylist() == ["a", "b"]
    by_filter = api.DeleteRequest("things", "id in {ids}", filter_params={"ids": [1, 2]})
    peer.call(methods.DELETE, by_filter, 5.0)
    assert echo.asked[0] == by_filter


def test_parts_of_searches_and_their_hits_cross(echo: Echo, peer: Peer) -> None:
    queries = np.arange(12, dtype=np.float32).reshape(3, 4)
    part = SearchPart(AT, queries, 10, 102, "L2", {"ef": 64}, "id > 3", {"x": [1.5]})
    echo.answer = PartHits(
        np.array([1, 0, 1]),
        pa.array([7, 8], pa.int64()),
        np.array([0.5, 1.5], np.float32),
        np.array([0, 5]),
        np.array([3, 4]),
        ROWS,
    )
    hits = peer.call(methods.SEARCH_PART, part, 5.0)
    assert hits.counts.tolist() == [1, 0, 1]
    assert hits.ids.equals(echo.answer.ids)
    assert hits.scores.dtype == np.float32
    assert hits.segment_ids.tolist() == [0, 5]
    assert hits.offsets.tolist() == [3, 4]
    assert hits.rows.equals(ROWS)
    (asked,) = echo.asked
    np.testing.assert_array_equal(asked.queries, queries)
    assert asked.at == AT
    assert (asked.k, asked.field_id, asked.metric) == (10, 102, "L2")
    assert (asked.params, asked.filter, asked.filter_params) == (
        {"ef": 64},
        "id > 3",
        {"x": [1.5]},
    )


def test_parts_of_queries_and_fetches_cross(echo: Echo, peer: Peer) -> None:
    echo.answer = PartRows(ROWS, np.array([5, 6]), 2)
    part = QueryPart(AT, "id > 3", {}, pa.array([1]), ("text",), None, False)
    found = peer.call(methods.QUERY_PART, part, 5.0)
    assert found.rows.equals(ROWS)
    assert found.row_ts.tolist() == [5, 6]
    assert echo.asked[0].limit is None
    assert echo.asked[0].ids.to_pylist() == [1]
    peer.call(methods.QUERY_PART, QueryPart(AT, limit=0, count_only=True), 5.0)
    assert (echo.asked[0].limit, echo.asked[0].ids, echo.asked[0].count_only) == (0, None, True)
    echo.answer = ROWS
    fetch = FetchPart(AT, np.array([0, 5]), np.array([1, 2]), ("text", "vector"))
    assert peer.call(methods.FETCH_PART, fetch, 5.0).equals(ROWS)
    assert echo.asked[0].segment_ids.tolist() == [0, 5]
    assert echo.asked[0].output_fields == ("text", "vector")


def test_a_bug_on_the_other_side_is_a_failure_and_not_a_refusal(echo: Echo, peer: Peer) -> None:
    echo.error = ZeroDivisionError("bug")
    with pytest.raises(errors.Failure):
        peer.call(methods.TIP, None, 5.0)


def test_a_taken_port_is_said_in_one_line() -> None:
    server = RpcServer("127.0.0.1:0")
    server.start()
    with pytest.raises(Unavailable, match="cannot listen on"):
        RpcServer(server.address)
    server.stop()


def test_a_member_that_is_not_there_is_unreachable() -> None:
    server = RpcServer("127.0.0.1:0")
    address = server.address
    server.stop()
    peer = Peer(address)
    with pytest.raises((Unreachable, TimedOut)):
        peer.call(methods.TIP, None, 0.5)
    assert not peer.ready
    peer.close()
    with pytest.raises(Unreachable):
        peer.call(methods.TIP, None, 0.5)


def test_a_call_has_a_deadline(peer: Peer, echo: Echo) -> None:
    echo.may_answer.clear()
    with pytest.raises(TimedOut):
        peer.call(methods.TIP, None, 0.05)
    pending = peer.start(methods.TIP, None, 0.05)
    with pytest.raises(TimedOut):
        pending.result()
    echo.may_answer.set()


def test_status_of_every_error_is_found() -> None:
    for cls in CLASSES.values():
        error = cls.__new__(cls)
        RoostError.__init__(error, "x")
        assert crossing.status_of(error) is not None
