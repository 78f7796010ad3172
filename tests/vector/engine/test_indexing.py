"""Declared indexes: those of vectors are built, those of scalars are only declared."""

import threading
from dataclasses import replace

import pytest

from roost.errors import AlreadyExists
from roost.testing.engine_house import QUIET, SCHEMA, House, create, ids_of, insert, nearest
from roost.vector.api import IndexSpec, IndexState, NewCollection
from roost.vector.errors import IndexNotFound


def test_an_index_is_built_and_survives_flush_compaction_and_restart(house: House) -> None:
    settings = replace(QUIET, index_rows_min=1, compact_segments_min=2)
    engine = house.open(settings)
    engine.create_collection(NewCollection("things", SCHEMA))
    engine.create_index("things", IndexSpec("vector", "vector", "HNSW", "L2", {"M": "8"}))
    engine.load("things")
    insert(engine, range(300))
    engine.flush(("things",))
    described = engine.describe_indexes("things")[0]
    assert (described.state, described.pending_rows) == (IndexState.IN_PROGRESS, 300)
    engine.writer.maintain()
    described = engine.describe_indexes("things")[0]
    assert (described.state, described.indexed_rows) == (IndexState.FINISHED, 300)
    insert(engine, range(300, 600))
    engine.flush(("things",))
    engine.writer.maintain()
    (segment,) = engine.writer.collections.by_name("things").state.newest.segments
    assert segment.rows == 600
    assert len(segment.indexes) == 1
    assert nearest(engine, 450)[0] == 450
    engine = house.open(settings)
    assert nearest(engine, 450)[0] == 450
    assert engine.describe_indexes("things")[0].state is IndexState.FINISHED
    engine.release("things")
    engine.drop_index("things", "vector")
    (segment,) = engine.writer.collections.by_name("things").state.newest.segments
    assert segment.indexes == ()


def test_a_build_that_fails_is_shown_with_its_reason(house: House) -> None:
    engine = house.open(replace(QUIET, index_rows_min=1, index_retries_max=2))
    engine.create_collection(NewCollection("things", SCHEMA))
    engine.create_index("things", IndexSpec("vector", "vector", "HNSW", "L2"))
    insert(engine, range(10))
    engine.flush(("things",))
    (segment,) = engine.writer.collections.by_name("things").state.newest.segments
    path = house.files / segment.folder / "vector-101"
    path.rename(path.with_name("away"))
    for _ in range(3):
        engine.writer.maintain()
    described = engine.describe_indexes("things")[0]
    assert described.state is IndexState.FAILED
    assert "vector-101" in described.fail_reason
    path.with_name("away").rename(path)
    house.open(replace(QUIET, index_rows_min=1)).writer.maintain()
    assert house.engine is not None
    assert house.engine.describe_indexes("things")[0].state is IndexState.FINISHED


def test_maintenance_by_itself_flushes_and_indexes(house: House) -> None:
    busy = replace(
        QUIET, background_threads=2, flush_rows=100, flush_interval_s=0.02, index_rows_min=50
    )
    engine = house.open(busy)
    engine.create_collection(NewCollection("things", SCHEMA))
    engine.create_index("things", IndexSpec("vector", "vector", "HNSW", "L2"))
    engine.load("things")
    insert(engine, range(500))
    waiting = threading.Event()
    for _ in range(1500):
        newest = engine.writer.collections.by_name("things").state.newest
        if newest.segments and all(entry.indexes for entry in newest.segments):
            break
        waiting.wait(0.02)
    assert newest.segments
    assert engine.describe_indexes("things")[0].state is IndexState.FINISHED
    assert nearest(engine, 250)[0] == 250


def test_a_second_index_of_a_field_is_refused(house: House) -> None:
    engine = house.open()
    create(engine)
    engine.create_index("things", IndexSpec("vector", "vector", "FLAT", "L2"))
    with pytest.raises(AlreadyExists):
        engine.create_index("things", IndexSpec("vector", "vector", "HNSW", "L2"))


def test_indexes_of_scalars_are_finished_at_once_and_never_built(house: House) -> None:
    settings = replace(QUIET, index_rows_min=1, compact_segments_min=2)
    engine = house.open(settings)
    engine.create_collection(NewCollection("things", SCHEMA))
    engine.create_index("things", IndexSpec("id", "", "", ""))
    engine.create_index("things", IndexSpec("colour", "by_colour", "trie", ""))
    engine.create_index("things", IndexSpec("colour", "by_colour", "TRIE", ""))
    with pytest.raises(AlreadyExists):
        engine.create_index("things", IndexSpec("colour", "by_colour", "INVERTED", ""))
    with pytest.raises(IndexNotFound, match=r"no vector index on field: \[vector\]"):
        engine.load("things")
    engine.create_index("things", IndexSpec("vector", "vector", "HNSW", "L2", {"M": "8"}))
    engine.load("things")
    for first in (0, 200):
        insert(engine, range(first, first + 200), colour="red")
        engine.flush(("things",))
        engine.writer.maintain()
    insert(engine, range(400, 450), colour="blue")
    for _ in range(2):
        engine = house.open(settings)
        described = {index.spec.field: index for index in engine.describe_indexes("things")}
        assert [described[f].spec.index_type for f in ("id", "colour")] == ["AUTOINDEX", "TRIE"]
        for index in described.values():
            assert (index.state, index.pending_rows) == (IndexState.FINISHED, 0)
            assert (index.total_rows, index.indexed_rows) == (450, 450)
        (segment,) = engine.writer.collections.by_name("things").state.newest.segments
        assert [file.index_id for file in segment.indexes] == [described["vector"].spec.id]
        assert nearest(engine, 150)[0] == 150
        assert ids_of(engine, 'id >= 150 and colour == "blue"') == list(range(400, 450))


def test_indexes_of_scalars_are_dropped_also_while_loaded(house: House) -> None:
    engine = house.open()
    create(engine)
    insert(engine, range(10), colour="red")
    engine.create_index("things", IndexSpec("id", "", "AUTOINDEX", ""))
    engine.create_index("things", IndexSpec("colour", "by_colour", "INVERTED", ""))
    engine.drop_index("things", "by_colour")
    engine.drop_index("things", "id")
    engine = house.open()
    assert [index.spec.field for index in engine.describe_indexes("things")] == ["vector"]
    assert ids_of(engine, 'colour == "red"') == list(range(10))
