"""The whole life of collections through `Engine`, on a plain directory."""

import json
import threading
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from roost.errors import AlreadyExists, Gone, InvalidArgument, NotFound
from roost.testing.engine_house import (
    DIM,
    QUIET,
    SCHEMA,
    STRONG,
    House,
    colours_of,
    create,
    ids_of,
    insert,
    nearest,
    rows,
    vectors_for,
)
from roost.vector.api import (
    AliasService,
    Consistency,
    DeleteRequest,
    Freshness,
    IndexSpec,
    InsertRequest,
    LoadState,
    NewCollection,
    QueryRequest,
    SearchRequest,
)
from roost.vector.columns import vector_column
from roost.vector.errors import (
    CollectionExists,
    CollectionNotFound,
    CollectionNotLoaded,
    IndexNotFound,
    PartitionNotFound,
    RowsRefused,
    SchemaMismatch,
)
from roost.vector.schema import CollectionSchema, DataType, Field


def test_a_row_is_found_as_soon_as_its_insert_returned(house: House) -> None:
    engine = house.open()
    create(engine)
    insert(engine, range(100))
    assert nearest(engine, 17)[0] == 17
    insert(engine, [1000])
    assert nearest(engine, 1000)[0] == 1000
    assert engine.row_count("things") == 101


def test_everything_is_there_after_a_restart(house: House) -> None:
    engine = house.open()
    create(engine)
    insert(engine, range(50), colour="red")
    engine.flush(("things",))
    insert(engine, range(50, 80), colour="blue")
    insert(engine, range(10), colour="green", upsert=True)
    engine.delete(DeleteRequest("things", "id in [20, 60]"))
    before = colours_of(engine)
    assert len(before) == 78
    for _ in range(2):
        engine = house.open()
        assert colours_of(engine) == before
    assert nearest(engine, 70)[0] == 70


def test_definitions_survive_a_restart(house: House) -> None:
    engine = house.open()
    made = create(engine)
    engine.create_partition("things", "north")
    engine.create_alias("stuff", "things")
    before = engine.describe_collection("things")
    engine = house.open()
    after = engine.describe_collection("stuff")
    assert after == before
    assert after.id == made.id
    assert after.loaded
    assert [p.name for p in after.partitions] == ["_default", "north"]
    assert engine.describe_collection_id(made.id).name == "things"


def test_an_alias_does_for_the_name_moves_and_goes(house: House) -> None:
    engine = house.open()
    assert isinstance(engine, AliasService)
    create(engine)
    create(engine, "others")
    insert(engine, [1])
    engine.create_alias("stuff", "things")
    assert ids_of(engine, name="stuff") == [1]
    with pytest.raises(AlreadyExists):
        engine.create_alias("others", "things")
    with pytest.raises(InvalidArgument, match="cannot drop the collection via alias = stuff"):
        engine.drop_collection("stuff")
    engine.alter_alias("stuff", "others")
    assert engine.describe_collection("stuff").name == "others"
    assert engine.describe_collection("things").aliases == ()
    with pytest.raises(NotFound):
        engine.alter_alias("nothing", "things")
    engine.drop_alias("stuff")
    with pytest.raises(CollectionNotFound):
        engine.describe_collection("stuff")


def test_creating_the_same_again_is_fine_and_another_is_refused(house: House) -> None:
    engine = house.open()
    first = engine.create_collection(NewCollection("things", SCHEMA))
    assert engine.create_collection(NewCollection("things", SCHEMA)).id == first.id
    other = CollectionSchema(SCHEMA.fields[:2])
    with pytest.raises(CollectionExists):
        engine.create_collection(NewCollection("things", other))
    assert [info.name for info in engine.list_collections()] == ["things"]


def test_a_dropped_collection_is_gone_also_after_a_restart(house: House) -> None:
    engine = house.open()
    create(engine)
    insert(engine, range(5))
    engine.drop_collection("things")
    engine.drop_collection("things")
    with pytest.raises(CollectionNotFound):
        engine.describe_collection("things")
    create(engine)
    assert ids_of(engine) == []
    engine = house.open()
    assert ids_of(engine) == []


def test_search_and_query_need_load_and_load_needs_an_index(house: House) -> None:
    engine = house.open()
    engine.create_collection(NewCollection("things", SCHEMA))
    assert engine.load_progress("things").state is LoadState.NOT_LOADED
    with pytest.raises(CollectionNotLoaded):
        nearest(engine, 1)
    with pytest.raises(IndexNotFound, match="no vector index on field"):
        engine.load("things")
    engine.create_index("things", IndexSpec("vector", "", "FLAT", "COSINE"))
    engine.load("things")
    assert engine.load_progress("things").percent == 100
    assert nearest(engine, 1) == []
    with pytest.raises(InvalidArgument, match="release it first"):
        engine.drop_index("things", "vector")
    engine.release("things")
    with pytest.raises(CollectionNotLoaded):
        ids_of(engine)
    with pytest.raises(CollectionNotLoaded):
        engine.delete(DeleteRequest("things", "id > 0"))
    engine.drop_index("things", "vector")
    engine.drop_index("things", "vector")
    assert engine.describe_indexes("things") == []


def test_refused_rows_store_nothing(house: House) -> None:
    engine = house.open()
    info = create(engine)
    wrong = pa.RecordBatch.from_arrays(
        [pa.array([1]), vector_column(np.zeros((1, DIM + 1), np.float32))], names=["id", "vector"]
    )
    with pytest.raises(RowsRefused, match="dim"):
        engine.insert(InsertRequest("things", wrong))
    with pytest.raises(SchemaMismatch):
        engine.insert(InsertRequest("things", rows([1]), schema_ts=info.updated_ts + 1))
    with pytest.raises(PartitionNotFound):
        engine.insert(InsertRequest("things", rows([1]), "nowhere"))
    engine.insert(InsertRequest("things", rows([2]), schema_ts=info.updated_ts))
    assert ids_of(engine) == [2]


def test_partitions_keep_their_rows_apart(house: House) -> None:
    engine = house.open()
    create(engine)
    engine.create_partition("things", "north")
    insert(engine, range(5))
    insert(engine, range(10, 15), partition="north")
    assert ids_of(engine, partitions=("north",)) == [10, 11, 12, 13, 14]
    engine.flush(("things",))
    insert(engine, [15], partition="north")
    assert engine.row_count("things", "north") == 6
    engine.delete(DeleteRequest("things", ids=pa.array([1, 10]), partition="north"))
    assert ids_of(engine) == [0, 1, 2, 3, 4, 11, 12, 13, 14, 15]


@pytest.mark.parametrize("sealed", [False, True])
def test_a_dropped_partition_takes_its_rows_with_it(house: House, sealed: bool) -> None:
    engine = house.open()
    create(engine)
    engine.create_partition("things", "north")
    insert(engine, range(5))
    insert(engine, range(10, 15), partition="north")
    insert(engine, [3], partition="north", upsert=True)
    if sealed:
        engine.flush(("things",))
    engine.drop_partition("things", "north")
    engine.drop_partition("things", "north")
    assert ids_of(engine) == [0, 1, 2, 4]
    engine = house.open()
    assert ids_of(engine) == [0, 1, 2, 4]
    engine.create_partition("things", "north")
    assert ids_of(engine) == [0, 1, 2, 4]
    with pytest.raises(InvalidArgument):
        engine.drop_partition("things", "_default")


def test_dynamic_fields_are_filtered_and_returned(house: House) -> None:
    engine = house.open()
    create(engine)
    batch = rows([1, 2, 3])
    meta = pa.array([json.dumps({"size": n}).encode() for n in (10, 20, 30)], pa.binary())
    engine.insert(InsertRequest("things", batch.append_column("$meta", meta)))
    for _ in range(2):
        assert ids_of(engine, "size > 15") == [2, 3]
        request = QueryRequest("things", "id == 3", output_fields=("size",), freshness=STRONG)
        answer = engine.query(request)
        assert json.loads(answer.rows.column("$meta")[0].as_py())["size"] == 30
        engine.flush(("things",))


def test_automatic_keys_are_unique_over_restarts(house: House) -> None:
    schema = CollectionSchema(
        (
            Field("id", DataType.INT64, primary=True, auto_id=True),
            Field("vector", DataType.FLOAT_VECTOR, dim=DIM),
        )
    )
    engine = house.open()
    create(engine, schema=schema)
    keys: list[int] = []
    batch = rows(range(100)).select(["vector"])
    for _ in range(3):
        keys += engine.insert(InsertRequest("things", batch)).ids.to_pylist()
        engine = house.open()
    assert len(set(keys)) == 300
    assert keys == sorted(keys)
    assert ids_of(engine) == keys


def test_string_keys_live_the_same_life(house: House) -> None:
    schema = CollectionSchema(
        (
            Field("id", DataType.VARCHAR, primary=True, max_length=20),
            Field("vector", DataType.FLOAT_VECTOR, dim=DIM),
        )
    )
    engine = house.open()
    create(engine, schema=schema)

    def put(names: list[str], *, upsert: bool = False) -> None:
        vectors = vector_column(vectors_for(range(len(names))))
        batch = pa.RecordBatch.from_arrays([pa.array(names), vectors], names=["id", "vector"])
        engine.insert(InsertRequest("things", batch, upsert=upsert))

    put(["b", "a", "c"])
    engine.flush(("things",))
    put(["a", "d"], upsert=True)
    engine.delete(DeleteRequest("things", ids=pa.array(["b"])))
    engine = house.open()
    assert ids_of(engine, 'id >= "a"') == ["a", "c", "d"]


def test_an_upsert_replaces_wherever_the_old_row_lies(house: House) -> None:
    engine = house.open()
    create(engine)
    insert(engine, [1, 2], colour="old")
    engine.flush(("things",))
    insert(engine, [3], colour="old")
    answer = insert(engine, [1, 3, 3, 4], colour="new", upsert=True)
    assert answer.count == 4
    expected = {1: "new", 2: "old", 3: "new", 4: "new"}
    assert colours_of(engine) == expected
    engine.flush(("things",))
    assert colours_of(engine) == expected
    assert engine.row_count("things") == 4


def test_a_flush_answers_with_its_segments_and_an_empty_one_with_none(house: House) -> None:
    engine = house.open()
    create(engine)
    answer = insert(engine, range(10))
    flushed = engine.flush(("things",))
    assert len(flushed.segment_ids["things"]) == 1
    assert flushed.complete_to_ts["things"] >= answer.timestamp
    assert engine.flush(("things",)).segment_ids["things"] == ()
    with pytest.raises(CollectionNotFound):
        engine.flush(("nothing",))


def compacted(engine: object) -> None:
    """Compact and wait."""
    number = engine.compact("things")  # type: ignore[attr-defined]
    waiting = threading.Event()
    while not engine.compaction_done(number):  # type: ignore[attr-defined]
        waiting.wait(0.01)


def test_compaction_merges_segments_and_drops_deleted_rows(house: House) -> None:
    engine = house.open()
    create(engine)
    for start in range(0, 50, 10):
        insert(engine, range(start, start + 10))
        engine.flush(("things",))
    engine.delete(DeleteRequest("things", "id < 20"))
    insert(engine, [20], colour="new", upsert=True)
    before = colours_of(engine)
    compacted(engine)
    segments = engine.writer.collections.by_name("things").state.newest.segments
    assert [(s.rows, s.deleted_rows) for s in segments] == [(29, 0)]
    assert colours_of(engine) == before
    assert nearest(engine, 33)[0] == 33
    engine = house.open()
    assert colours_of(engine) == before
    with pytest.raises(NotFound):
        engine.compaction_done(77)


def test_an_iterator_reads_its_instant_through_flush_and_compaction(house: House) -> None:
    engine = house.open()
    create(engine)
    insert(engine, range(10))
    engine.flush(("things",))
    insert(engine, range(10, 20))
    first = engine.query(QueryRequest("things", "id >= 0", limit=1, freshness=STRONG))
    then = Freshness(exactly_ts=first.read_ts)
    engine.delete(DeleteRequest("things", "id < 15"))
    insert(engine, [100])
    assert ids_of(engine, freshness=then) == list(range(20))
    engine.flush(("things",))
    assert ids_of(engine, freshness=then) == list(range(20))
    compacted(engine)
    assert ids_of(engine, freshness=then) == list(range(20))
    assert ids_of(engine) == [15, 16, 17, 18, 19, 100]
    engine = house.open()
    with pytest.raises(Gone):
        ids_of(engine, freshness=then)


def test_bounded_reads_see_what_is_visible_and_now_is_reached(house: House) -> None:
    engine = house.open(replace(QUIET, background_threads=1, heartbeat_s=0.01))
    create(engine)
    insert(engine, [1])
    now = engine.now_ts()
    bounded = Freshness(Consistency.SESSION, at_least_ts=now)
    answer = engine.search(SearchRequest("things", vectors_for([1]), 1, freshness=bounded))
    assert answer.ids.to_pylist() == [1]
    assert answer.read_ts >= now
