"""The whole cluster in one process: what every router sees, and when."""

import threading
import time

import numpy as np
import pyarrow as pa
import pytest

from roost.cluster.follow import Incoming
from roost.cluster.rpc.methods import STATUS
from roost.cluster.rpc.peer import Peer
from roost.errors import AlreadyExists, ReadOnly
from roost.vector import api
from roost.vector.columns import as_stored, decode_rows, encode_rows, vector_column
from roost.vector.errors import CollectionNotFound, CollectionNotLoaded, FilterError, RowsRefused
from roost.vector.files import AppendFile
from roost.vector.schema import CollectionSchema, DataType, Field
from tests.cluster.conftest import (
    BOUNDED,
    STRONG,
    Cluster,
    count_at,
    delete,
    ids_at,
    insert,
    make_collection,
    nearest,
    rows,
    vectors_for,
)


def eventually(holds: object, within_s: float = 10.0) -> None:
    """Wait for what the threads of other members bring about."""
    assert callable(holds)
    deadline_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline_s, "did not come about"
        time.sleep(0.01)


def test_every_router_reads_at_strong_what_any_of_them_wrote(cluster: Cluster) -> None:
    cluster.writer()
    routers = [cluster.reader("r1").service, cluster.reader("r2").service, cluster.router().service]
    make_collection(routers[0])
    for round_ in range(6):
        writing = routers[round_ % 3]
        insert(writing, rows(round_ * 10, 10, born=round_))
        insert(writing, rows(round_ * 10, 2, born=100 + round_), upsert=True)
        delete(writing, [round_ * 10 + 9])
        for router in routers:
            assert nearest(router, round_ * 10, STRONG) == (round_ * 10, 100 + round_)
            assert nearest(router, round_ * 10 + 5, STRONG) == (round_ * 10 + 5, round_)
            assert count_at(router, STRONG) == 9 * (round_ + 1)
        if round_ == 2:
            writing.flush(("things",))


def test_a_router_sees_its_own_writes_at_any_level(cluster: Cluster) -> None:
    cluster.writer()
    router = cluster.reader("r1").service
    make_collection(router)
    for at in range(20):
        insert(router, rows(at, 1))
        assert count_at(router, BOUNDED) == at + 1


def test_session_reads_at_least_what_the_client_has_seen(cluster: Cluster) -> None:
    cluster.writer()
    first, second = cluster.reader("r1").service, cluster.reader("r2").service
    make_collection(first)
    for at in range(10):
        written = insert(first, rows(at, 1)).timestamp
        session = api.Freshness(api.Consistency.SESSION, at_least_ts=written)
        found, read_ts = ids_at(second, session)
        assert len(found) == at + 1
        assert read_ts >= written


def test_an_answer_at_an_exact_past_timestamp_shows_that_past(cluster: Cluster) -> None:
    cluster.writer()
    router, other = cluster.reader("r1").service, cluster.router().service
    make_collection(router)
    past = [insert(router, rows(at, 1)).timestamp for at in range(5)]
    delete(router, [0])
    router.flush(("things",))
    for service in (router, other):
        for at, timestamp in enumerate(past):
            found, read_ts = ids_at(service, api.Freshness(exactly_ts=timestamp))
            assert sorted(found) == list(range(at + 1))
            assert read_ts == timestamp


def test_definitions_are_seen_through_every_router(cluster: Cluster) -> None:
    cluster.writer()
    first, second = cluster.reader("r1").service, cluster.router().service
    make_collection(first)
    assert [info.name for info in second.list_collections()] == ["things"]
    assert second.describe_collection("things").loaded
    second.create_partition("things", "extra")
    assert [p.name for p in first.describe_collection("things").partitions] == [
        "_default",
        "extra",
    ]
    assert [i.spec.name for i in second.describe_indexes("things")] == ["vector"]
    insert(first, rows(0, 3))
    assert second.row_count("things") == 3
    eventually(lambda: second.load_progress("things").percent == 100)
    first.release("things")
    with pytest.raises(CollectionNotLoaded):
        count_at(first, STRONG)
    first.load("things")
    second.create_alias("alias", "things")
    assert count_at(first, STRONG, "alias") == 3
    with pytest.raises(AlreadyExists):
        first.create_alias("alias", "things")
    first.drop_alias("alias")
    second.drop_collection("things")
    with pytest.raises(CollectionNotFound):
        first.describe_collection("things")
    # The same name again is another collection, and nobody answers from the old one.
    make_collection(second)
    assert count_at(second, STRONG) == 0
    assert count_at(first, STRONG) == 0


def test_rows_of_a_dropped_partition_stay_away_from_readers_that_join_later(
    cluster: Cluster,
) -> None:
    cluster.writer()
    first = cluster.reader("r1").service
    make_collection(first)
    first.create_partition("things", "extra")
    for partition, at in (("extra", 0), ("_default", 10), ("extra", 20)):
        first.insert(api.InsertRequest("things", rows(at, 5), partition))
        if at < 20:
            first.flush(("things",))
    first.drop_partition("things", "extra")
    later = cluster.reader("r2").service
    for service in (first, later, cluster.router().service):
        assert sorted(ids_at(service, STRONG)[0]) == list(range(10, 15))


def test_refusals_come_out_as_the_class_the_writer_or_reader_raised(cluster: Cluster) -> None:
    cluster.writer()
    router = cluster.reader("r1").service
    with pytest.raises(CollectionNotFound):
        insert(router, rows(0, 1))
    make_collection(router)
    with pytest.raises(FilterError) as caught:
        router.delete(api.DeleteRequest("things", filter="id >"))
    assert caught.value.position is not None
    with pytest.raises(FilterError):
        router.query(api.QueryRequest("things", "id >"))


def test_a_read_only_router_refuses_writes(cluster: Cluster) -> None:
    cluster.writer()
    cluster.read_only = True
    router = cluster.router().service
    with pytest.raises(ReadOnly):
        make_collection(router)
    with pytest.raises(ReadOnly):
        insert(router, rows(0, 1))


def test_a_record_of_many_frames_arrives_whole(cluster: Cluster) -> None:
    cluster.writer()
    routers = [cluster.reader("r1").service, cluster.router().service]
    wide = CollectionSchema(
        (
            Field("id", DataType.INT64, primary=True),
            Field("vector", DataType.FLOAT_VECTOR, dim=256),
        )
    )
    routers[0].create_collection(api.NewCollection("wide", wide))
    routers[0].create_index("wide", api.IndexSpec("vector", "v", "FLAT", "L2"))
    routers[0].load("wide")
    vectors = np.random.default_rng(1).random((8_000, 256), dtype=np.float32)  # 8 MB
    batch = pa.RecordBatch.from_arrays(
        [pa.array(np.arange(8_000)), vector_column(vectors)], names=["id", "vector"]
    )
    routers[1].insert(api.InsertRequest("wide", batch))
    for router in routers:
        answer = router.search(
            api.SearchRequest(
                "wide", vectors[[0, 4_000, 7_999]], 1, output_fields=("vector",), freshness=STRONG
            )
        )
        assert answer.ids.to_pylist() == [0, 4_000, 7_999]


def test_segments_are_spread_over_readers_and_each_opens_its_own(cluster: Cluster) -> None:
    cluster.writer()
    readers = [cluster.reader("r1"), cluster.reader("r2")]
    router = cluster.router().service
    eventually(lambda: all(len(reader.service._topology.views()) == 2 for reader in readers))
    make_collection(router)
    for at in range(3):
        insert(router, rows(at * 100, 100))
        router.flush(("things",))

    def all_segments() -> bool:
        plan = router._plan(router.names.by_name("things"), None)
        return plan is not None and len(plan.manifest.segments) == 3

    eventually(all_segments)
    assert router.load_progress("things").percent == 100
    plan = router._plan(router.names.by_name("things"), None)
    assert plan is not None
    version = plan.manifest.version
    owned = [reader.reader._held[1].served[version] for reader in readers]
    assert owned[0] | owned[1] == {entry.id for entry in plan.manifest.segments}
    assert not owned[0] & owned[1]
    assert count_at(router, STRONG) == 300
    for wanted in (0, 150, 299):
        assert nearest(router, wanted, BOUNDED) == (wanted, 0)


def test_a_reader_that_joins_under_load_changes_no_answer(cluster: Cluster) -> None:
    cluster.writer()
    first = cluster.reader("r1")
    router = cluster.router().service
    make_collection(router)
    insert(router, rows(0, 500))
    router.flush(("things",))
    stop, failures = threading.Event(), []

    def load() -> None:
        at = 500
        while not stop.is_set():
            insert(router, rows(at, 5))
            at += 5
            try:
                assert count_at(router, STRONG) == at
                assert nearest(router, at - 1, STRONG) == (at - 1, 0)
            except Exception as error:
                failures.append(error)
                return

    thread = threading.Thread(target=load)
    thread.start()
    second = cluster.reader("r2")
    eventually(lambda: len(router._topology.views()) == 2)
    peer = Peer(second.address)
    assert peer.call(STATUS, None, 5.0).visible_ts > 0
    peer.close()
    router.flush(("things",))
    version = max(first.reader.held[1])
    eventually(lambda: second.reader.held.get(1, {}).get(version) is True)
    stop.set()
    thread.join()
    assert not failures, failures


def test_a_standing_query_load_sees_one_instant_over_flushes_and_compactions(
    cluster: Cluster,
) -> None:
    """Every answer equals the model at its read timestamp: no row twice, none missing (H7)."""
    cluster.replicas = 1
    cluster.writer(cluster.small_segments())
    services = [cluster.reader("r1").service, cluster.reader("r2").service]
    services.append(cluster.router().service)
    make_collection(services[0])
    history: list[tuple[int, str, list[int], int]] = []
    answers: list[tuple[int, dict[int, int]]] = []
    failures: list[BaseException] = []
    stop = threading.Event()

    def ask(service: api.VectorService, freshness: api.Freshness) -> None:
        try:
            while not stop.is_set():
                found, read_ts = ids_at(service, freshness)
                answers.append((read_ts, found))
        except BaseException as error:
            failures.append(error)

    asking = [
        threading.Thread(target=ask, args=(service, freshness))
        for service in services
        for freshness in (STRONG, BOUNDED)
    ]
    for thread in asking:
        thread.start()
    random = np.random.default_rng(7)
    begun_s = time.monotonic()
    at = 0
    while time.monotonic() - begun_s < 4.0 and not failures:
        at += 1
        ids = sorted(random.choice(400, size=20, replace=False).tolist())
        batch = rows(0, 400, born=at).take(pa.array(ids))
        if at % 3 == 2:
            written = delete(services[at % 3], ids)
            history.append((written.timestamp, "delete", ids, at))
        else:
            written = insert(services[at % 3], batch, upsert=True)
            history.append((written.timestamp, "upsert", ids, at))
        if at % 10 == 0:
            services[0].flush(("things",))
        if at % 40 == 0:
            services[0].compact("things")
    stop.set()
    for thread in asking:
        thread.join()
    assert not failures, failures
    versions = max(v for s in services[0]._topology.views().values() for v in s.held[1])
    assert versions > 4, "the load went over version switches"
    assert len(answers) > 50
    check(history, answers)


def check(
    history: list[tuple[int, str, list[int], int]], answers: list[tuple[int, dict[int, int]]]
) -> None:
    """Replay the history up to each answer's instant and compare."""
    model: dict[int, int] = {}
    at = 0
    for read_ts, found in sorted(answers, key=lambda answer: answer[0]):
        while at < len(history) and history[at][0] <= read_ts:
            _, kind, ids, born = history[at]
            for key in ids:
                if kind == "upsert":
                    model[key] = born
                else:
                    model.pop(key, None)
            at += 1
        assert found == model, f"answer at {read_ts} differs from the model"


WIDE = CollectionSchema(
    (
        Field("id", DataType.INT64, primary=True),
        Field("born", DataType.INT16),
        Field("vector", DataType.FLOAT_VECTOR, dim=128),
    )
)
AUTOMATIC = CollectionSchema(
    (Field("id", DataType.INT64, primary=True, auto_id=True), *WIDE.fields[1:])
)


def wide_rows(first: int, count: int, *, keys: bool = True) -> pa.RecordBatch:
    """Rows whose payload is worth keeping; `born` comes wider than it is stored, as Milvus's do."""
    ids = np.arange(first, first + count, dtype=np.int64)
    columns = [
        pa.array(ids),
        pa.array((ids % 1000).astype(np.int32)),
        vector_column(vectors_for(ids, 128)),
    ]
    names = ["id", "born", "vector"]
    start = 0 if keys else 1
    return pa.RecordBatch.from_arrays(columns[start:], names=names[start:])


def make_wide(service: api.VectorService, schema: CollectionSchema) -> None:
    service.create_collection(api.NewCollection("things", schema))
    service.create_index("things", api.IndexSpec("vector", "vector", "FLAT", "L2"))
    service.load("things")


def frames_and_kept(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that fills with how each record came to a follower."""
    came: list[str] = []
    for name in ("frame", "kept"):
        real = getattr(Incoming, name)

        def noting(self: Incoming, *given: object, name: str = name, real: object = real) -> None:
            came.append(name)
            assert callable(real)
            real(self, *given)

        monkeypatch.setattr(Incoming, name, noting)
    return came


def test_rows_sent_from_a_reader_do_not_come_back_to_it_and_are_seen_everywhere(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.writer()
    first, second = cluster.reader("r1"), cluster.reader("r2")
    make_wide(first.service, WIDE)
    came = frames_and_kept(monkeypatch)
    for batch in range(3):
        insert(first.service, wide_rows(batch * 3_000, 3_000))
        insert(first.service, wide_rows(batch * 3_000, 1_500), upsert=True)
    for service in (first.service, second.service):
        found, _ = ids_at(service, STRONG)
        assert found == {at: at % 1000 for at in range(9_000)}
    eventually(lambda: first.kept.held_bytes == 0)
    assert came.count("kept") == 6
    assert came.count("frame") >= 6  # the other reader's
    first.service.flush(("things",))
    for service in (first.service, second.service):
        assert count_at(service, STRONG) == 9_000


def test_rows_that_the_writer_changes_come_back_and_nothing_is_kept_of_them(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.writer()
    reader = cluster.reader("r1")
    make_wide(reader.service, AUTOMATIC)
    came = frames_and_kept(monkeypatch)
    insert(reader.service, wide_rows(0, 3_000, keys=False))
    assert count_at(reader.service, STRONG) == 3_000
    repeated = pa.Table.from_batches([wide_rows(0, 3_000), wide_rows(0, 3_000)])
    reader.service.drop_collection("things")
    make_wide(reader.service, WIDE)
    insert(reader.service, repeated.combine_chunks().to_batches()[0], upsert=True)
    assert count_at(reader.service, STRONG) == 3_000
    assert "kept" not in came
    eventually(lambda: reader.kept.held_bytes == 0)


class HeldFile:
    """A log file whose sync waits until it may go on."""

    def __init__(self, real: AppendFile, may_sync: threading.Event) -> None:
        self._real, self._may_sync = real, may_sync

    def sync(self) -> None:
        assert self._may_sync.wait(20)
        self._real.sync()

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)


def test_a_payload_that_is_not_kept_any_more_is_read_from_the_log_when_it_is_durable(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, may_sync = cluster.writer(), threading.Event()
    may_sync.set()
    reader, other = cluster.reader("r1"), cluster.reader("r2")
    make_wide(reader.service, WIDE)
    insert(reader.service, wide_rows(0, 10))
    assert count_at(reader.service, STRONG) == 10
    log_writer = writer.service.writer._log  # type: ignore[attr-defined]
    log_writer._file = HeldFile(log_writer._file, may_sync)
    lost = threading.Event()
    real_take = reader.kept.take

    def take(number: int) -> None:
        real_take(number)
        lost.set()

    monkeypatch.setattr(reader.kept, "take", take)
    may_sync.clear()
    inserting = threading.Thread(target=insert, args=(reader.service, wide_rows(10, 3_000)))
    inserting.start()
    try:
        assert lost.wait(10)
        time.sleep(1.5)  # several rounds in which files could be looked at
        assert count_at(reader.service, BOUNDED) == 10
        assert count_at(other.service, BOUNDED) == 10
    finally:
        may_sync.set()
        inserting.join()
    assert reader.follower.streaming
    for member in (reader, other):
        assert count_at(member.service, STRONG) == 3_010


def test_a_reader_started_again_under_its_name_gets_what_it_sent_before(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The insert is under way in the writer while the process that sent it is replaced."""
    writer = cluster.writer()
    first = cluster.reader("r1")
    make_wide(first.service, WIDE)
    first.stop()
    second = cluster.reader("r1")
    came = frames_and_kept(monkeypatch)
    batch = as_stored(WIDE, wide_rows(0, 3_000))
    assert batch is not None
    payload = encode_rows(batch)
    request = api.InsertRequest(
        "things", decode_rows(payload), payload=payload, kept_by=first.kept.keep(payload)
    )
    assert request.kept_by is not None
    writer.service.insert(request)
    assert count_at(second.service, STRONG) == 3_000
    assert "kept" not in came


def test_a_refused_insert_is_not_kept(cluster: Cluster) -> None:
    cluster.writer()
    reader = cluster.reader("r1")
    make_wide(reader.service, WIDE)
    batch = wide_rows(0, 3_000)
    wrong = np.full((3_000, 128), np.nan, np.float32)
    with pytest.raises(RowsRefused):
        insert(reader.service, batch.set_column(2, "vector", vector_column(wrong)))
    assert reader.kept.held_bytes == 0
    assert count_at(reader.service, STRONG) == 0


def test_a_null_inside_a_vector_is_refused_as_ever(cluster: Cluster) -> None:
    cluster.writer()
    reader = cluster.reader("r1")
    make_wide(reader.service, WIDE)
    values = pa.array([1.0] * (3_000 * 128 - 1) + [None], pa.float32())
    vectors = pa.FixedSizeListArray.from_arrays(values, 128)
    with pytest.raises(RowsRefused, match="must not have nulls"):
        insert(reader.service, wide_rows(0, 3_000).set_column(2, "vector", vectors))


def test_a_member_that_only_reads_says_so_whatever_is_sent(cluster: Cluster) -> None:
    cluster.writer()
    cluster.read_only = True
    reader = cluster.reader("r1")
    for count in (10, 3_000):
        with pytest.raises(ReadOnly):
            insert(reader.service, wide_rows(0, count), name="nowhere")
