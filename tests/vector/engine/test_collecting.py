"""Garbage: what nobody names goes after the grace time, and nothing else ever."""

from dataclasses import replace

import pyarrow as pa
import pytest

from roost.testing.clock import ManualClock
from roost.testing.engine_house import QUIET, House, colours_of, create, ids_of, insert
from roost.vector.api import DeleteRequest
from roost.vector.catalog.catalog import Catalog
from roost.vector.catalog.values import Pin
from roost.vector.engine.collecting import Aged
from roost.vector.log.writer import LogLimits

AT_ONCE = replace(QUIET, compact_segments_min=2, grace_s=0.0, version_grace_s=0.0)
PATIENT = replace(QUIET, compact_segments_min=2, grace_s=3600.0, version_grace_s=60.0)


def tree(house: House, folder: str) -> set[str]:
    """Return the files below a folder of the volume, with their paths."""
    base = house.files / folder
    return {str(p.relative_to(house.files)) for p in base.rglob("*") if p.is_file()}


def test_superseded_files_go_and_what_is_named_stays(house: House) -> None:
    engine = house.open(AT_ONCE)
    create(engine)
    for start in (0, 10, 20):
        insert(engine, range(start, start + 10))
        engine.flush(("things",))
    engine.delete(DeleteRequest("things", ids=pa.array([1, 11])))
    engine.flush(("things",))
    for _ in range(3):
        engine.writer.maintain()
    newest = engine.writer.collections.by_name("things").state.newest
    (segment,) = newest.segments
    assert {path.rsplit("/", 1)[0] for path in tree(house, "segment")} == {segment.folder}
    assert len(tree(house, "manifest")) == 1
    before = colours_of(engine)
    assert len(before) == 28
    assert colours_of(house.open()) == before


def test_nothing_goes_before_its_grace_time(house: House) -> None:
    clock = ManualClock()
    house.clock = clock
    engine = house.open(PATIENT)
    create(engine)
    for start in (0, 10):
        insert(engine, range(start, start + 10))
        engine.flush(("things",))
    inputs = tree(house, "segment")
    for _ in range(4):
        engine.writer.maintain()
        clock.advance(500)
    assert inputs <= tree(house, "segment")
    clock.advance(3600)
    engine.writer.maintain()  # versions are forgotten, files marked
    assert inputs <= tree(house, "segment")
    clock.advance(3600)
    engine.writer.maintain()
    assert not inputs & tree(house, "segment")
    assert ids_of(engine) == list(range(20))


def test_a_pinned_version_keeps_its_files(house: House) -> None:
    engine = house.open(AT_ONCE)
    info = create(engine)
    insert(engine, range(10))
    engine.flush(("things",))
    pinned = engine.writer.collections.by_name("things").state.newest
    catalog = Catalog(house.url)
    catalog.pin(Pin("keep", info.id, pinned.version), engine.writer.generation)
    insert(engine, range(10, 20))
    engine.flush(("things",))
    for _ in range(3):
        engine.writer.maintain()
    kept = tree(house, pinned.segments[0].folder)
    assert kept
    assert any(path.endswith(f"/{pinned.version}-1") for path in tree(house, "manifest"))
    catalog.unpin("keep", engine.writer.generation)
    catalog.close()
    for _ in range(3):
        engine.writer.maintain()
    assert not tree(house, pinned.segments[0].folder)


def test_orphans_of_an_older_generation_go(house: House) -> None:
    engine = house.open(AT_ONCE)
    info = create(engine)
    insert(engine, range(10))
    engine.flush(("things",))
    generation = engine.writer.generation
    (segment,) = engine.writer.collections.by_name("things").state.newest.segments
    orphans = [
        f"segment/{info.id}/{generation}-999/rows",
        f"{segment.folder}/deletes-{generation}-5",
        f"{segment.folder}/index-7-{generation}-5",
    ]
    for orphan in orphans:
        path = house.files / orphan
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    for _ in range(2):
        engine.writer.maintain()
    assert set(orphans) <= tree(house, "segment")  # perhaps work of this generation under way
    engine = house.open(AT_ONCE)
    for _ in range(2):
        engine.writer.maintain()
    assert not set(orphans) & tree(house, "segment")
    assert ids_of(engine) == list(range(10))


def test_a_dropped_collection_leaves_nothing(house: House) -> None:
    engine = house.open(AT_ONCE)
    info = create(engine)
    insert(engine, range(10))
    engine.flush(("things",))
    engine.drop_collection("things")
    for _ in range(2):
        engine.writer.maintain()
    assert not tree(house, f"segment/{info.id}")
    assert not tree(house, f"manifest/{info.id}")
    catalog = Catalog(house.url)
    assert catalog.dropped_collections() == []
    catalog.close()


def test_log_files_go_once_their_records_are_in_segments(house: House) -> None:
    house.limits = LogLimits(file_syncs_max=2)
    engine = house.open(AT_ONCE)
    create(engine)
    create(engine, "idle")
    insert(engine, [1], name="idle")
    for number in range(10):
        insert(engine, [number])
    engine.writer.maintain()
    files_before = tree(house, "log")
    assert len(files_before) > 5
    engine.flush(("things",))
    engine.writer.maintain()  # the idle collection still needs its row
    assert len(tree(house, "log")) >= len(files_before) - 4
    engine.flush(("idle",))
    engine.delete(DeleteRequest("things", ids=pa.array([3])))
    engine.writer.maintain()
    assert len(tree(house, "log")) <= 3
    engine = house.open(AT_ONCE)
    assert ids_of(engine) == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert ids_of(engine, name="idle") == [1]


@pytest.mark.parametrize("flushed", [False, True])
def test_a_delete_of_a_sealed_row_outlives_the_log(house: House, flushed: bool) -> None:
    house.limits = LogLimits(file_syncs_max=1)
    engine = house.open(AT_ONCE)
    create(engine)
    insert(engine, range(5))
    engine.flush(("things",))
    engine.delete(DeleteRequest("things", ids=pa.array([3])))
    create(engine, "other")
    insert(engine, [1], name="other")
    engine.flush(("other", "things") if flushed else ("other",))
    engine.writer.maintain()
    kept = len(tree(house, "log"))
    assert (kept == 1) == flushed  # of the open generation the last file always stays
    engine = house.open(AT_ONCE)
    assert ids_of(engine) == [0, 1, 2, 4]


def test_a_collection_that_pins_the_log_is_flushed_by_force(house: House) -> None:
    engine = house.open(replace(QUIET, log_bytes_max=20_000))
    create(engine)
    create(engine, "idle")
    insert(engine, [1], name="idle")
    engine.writer.maintain()
    state = engine.writer.collections.by_name("idle").state
    assert state.newest.segments == ()
    for start in range(0, 1000, 100):
        insert(engine, range(start, start + 100))
    engine.writer.maintain()
    assert len(state.newest.segments) == 1
    position = state.newest.complete_to
    for start in range(1000, 2000, 100):
        insert(engine, range(start, start + 100))
    engine.writer.maintain()
    assert state.newest.complete_to > position  # it has nothing new, and says so
    assert len(state.newest.segments) == 1


def test_the_newest_value_that_is_old_enough_is_found() -> None:
    aged = Aged()
    assert aged.older_than(100.0) is None
    for at, value in ((1.0, 10), (2.0, 10), (3.0, 20), (4.0, 30)):
        aged.add(at, value)
    assert aged.older_than(0.5) is None
    assert aged.older_than(2.5) == 10
    assert aged.older_than(3.0) == 20
    assert aged.older_than(9.0) == 30
