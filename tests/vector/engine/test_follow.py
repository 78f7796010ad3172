"""Following a writer: nothing is missed, nothing comes twice, nothing is shown too early."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest

from roost.errors import StorageFull
from roost.testing.engine_house import SCHEMA, House, create, insert, rows
from roost.testing.faulty_files import HookedFiles
from roost.vector.api import InsertRequest, KeptBy, NewCollection
from roost.vector.catalog.catalog import Catalog
from roost.vector.columns import as_stored, decode_rows, encode_rows
from roost.vector.engine.follow import Feed
from roost.vector.files import DirectoryFiles
from roost.vector.log.reader import replay
from roost.vector.log.record import Record, RecordKind
from roost.vector.manifest import Manifest
from roost.vector.schema import CollectionSchema


class Follower:
    """Does what the protocol says, by comparing timestamps only."""

    def __init__(self) -> None:
        self.change = threading.Condition()
        self.records: list[Record] = []
        self.watermark = 0
        self.early = 0
        self.manifests: list[Manifest] = []
        self.catalog_changes = 0
        self.ended = ""

    def on_record(self, record: Record) -> None:
        with self.change:
            self.records.append(record)
            self.early += record.timestamp > self.watermark

    def on_watermark(self, timestamp: int) -> None:
        with self.change:
            assert timestamp > self.watermark
            self.watermark = timestamp
            self.change.notify_all()

    def on_manifest(self, manifest: Manifest) -> None:
        self.manifests.append(manifest)

    def on_catalog_change(self) -> None:
        self.catalog_changes += 1

    def on_end(self, reason: str) -> None:
        self.ended = reason

    def wait_for(self, timestamp: int) -> None:
        with self.change:
            assert self.change.wait_for(lambda: self.watermark >= timestamp, 10)


def test_a_follower_that_joins_under_load_misses_nothing(house: House) -> None:
    engine = house.open()
    create(engine)
    stop, acknowledged = threading.Event(), []

    def write(lane: int) -> None:
        for turn in range(10_000):
            if stop.is_set():
                return
            acknowledged.append(insert(engine, [turn * 10 + lane]).timestamp)

    follower = Follower()
    with ThreadPoolExecutor(3) as pool:
        for lane in range(3):
            pool.submit(write, lane)
        try:
            joined = engine.writer.subscribe(follower)
            follower.wait_for(joined.start_ts)
            generation = engine.writer.generation
            catalog = Catalog(house.url)
            files = DirectoryFiles(house.files)
            found = replay(files, catalog.seals(), 0, open_generation=generation)
            read = [record for record in found if record.timestamp <= follower.watermark]
            catalog.close()
            position = read[-1].timestamp
            with follower.change:
                follower.change.wait_for(lambda: len(follower.records) > 30, 10)
        finally:
            stop.set()
    follower.wait_for(max(acknowledged))
    streamed = [record for record in follower.records if record.timestamp > position]
    seen = [r.timestamp for r in (*read, *streamed) if r.kind is RecordKind.INSERT]
    assert seen == sorted(set(seen))
    assert set(acknowledged) <= set(seen)
    assert position >= joined.start_ts
    assert follower.early == len(follower.records)


def test_followers_hear_of_manifests_definitions_and_the_end(house: House) -> None:
    engine = house.open()
    follower = Follower()
    engine.writer.subscribe(follower)
    create(engine)
    assert follower.catalog_changes == 3
    insert(engine, range(5))
    engine.flush(("things",))
    assert [len(manifest.segments) for manifest in follower.manifests] == [1]
    assert [r.kind for r in follower.records] == [RecordKind.BARRIER] * 3 + [RecordKind.INSERT]
    assert decode_rows(follower.records[-1].payload).num_rows == 5
    assert engine.writer.tip() == follower.watermark
    house.close()
    assert follower.ended


def test_followers_hear_of_a_dropped_partition_though_its_flush_failed(house: House) -> None:
    def full(verb: str, path: str) -> None:
        if verb == "write" and path.startswith("manifest/"):
            raise StorageFull("no space left")

    engine = house.open()
    create(engine)
    engine.create_partition("things", "north")
    insert(engine, range(5), partition="north")
    house.wrap = lambda files: HookedFiles(files, full)
    engine = house.open()
    follower = Follower()
    engine.writer.subscribe(follower)
    with pytest.raises(StorageFull):
        engine.drop_partition("things", "north")
    assert follower.catalog_changes == 1
    assert engine.row_count("things") == 0
    assert house.open().row_count("things") == 0


def test_a_follower_that_fails_is_dropped_and_the_others_go_on() -> None:
    class Broken(Follower):
        def on_watermark(self, timestamp: int) -> None:
            raise ValueError("no")

    feed, sound = Feed(0), Follower()
    feed.subscribe(Broken())
    gone = feed.subscribe(Follower())
    feed.subscribe(sound)
    feed.unsubscribe(gone.token)
    feed.advance(5)
    feed.advance(4)
    feed.advance(6)
    assert sound.watermark == 6
    assert feed.subscribe(Follower()).start_ts == 6


def test_a_read_never_sees_what_is_not_durable(house: House) -> None:
    seen: list[int] = []

    class Looking(Follower):
        def on_record(self, record: Record) -> None:
            seen.append(state.watermark - record.timestamp)

    engine = house.open()
    state = engine.writer.collections.by_id(create(engine).id).state
    engine.writer.subscribe(Looking())
    for number in range(5):
        insert(engine, [number])
    assert len(seen) == 5
    assert max(seen) < 0


@pytest.mark.parametrize("upsert", [False, True])
def test_concurrent_writers_are_all_visible_when_acknowledged(house: House, upsert: bool) -> None:
    engine = house.open()
    create(engine)
    count = engine.row_count

    def write(lane: int) -> None:
        for turn in range(10):
            insert(engine, [lane * 100 + turn], upsert=upsert)
            assert count("things") > turn

    with ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(write, lane) for lane in range(6)]:
            done.result()
    assert count("things") == 60


def test_only_a_plain_payload_of_just_these_rows_is_stored_as_it_came(house: House) -> None:
    engine = house.open()
    schema = CollectionSchema(SCHEMA.fields[:3])
    engine.create_collection(NewCollection("things", schema))
    follower = Follower()
    engine.writer.subscribe(follower)
    stored = as_stored(schema, rows(range(500), "red"))
    assert stored is not None
    plain = encode_rows(stored)
    packed, twice = pa.BufferOutputStream(), pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(packed, stored.schema, options=options) as stream:
        stream.write_batch(stored)
    with pa.ipc.new_stream(twice, stored.schema) as stream:
        stream.write_batch(stored)
        stream.write_batch(stored)
    for payload in (plain, packed.getvalue(), twice.getvalue()):
        came = decode_rows(payload)
        engine.insert(InsertRequest("things", came, payload=payload, kept_by=KeptBy("token", 1)))
    assert [record.payload.equals(plain) for record in follower.records] == [True] * 3
    assert [record.kept_by is not None for record in follower.records] == [True, False, False]
