"""The catalog as a store of definitions: what is written is read back, and names stay unique."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from roost.errors import AlreadyExists, InvalidArgument, LeaseLost, NotFound, Unavailable
from roost.vector.api import Consistency, IndexSpec, NewCollection
from roost.vector.catalog.catalog import Catalog
from roost.vector.catalog.values import Member
from roost.vector.errors import CollectionExists, CollectionNotFound, PartitionNotFound
from roost.vector.schema import CollectionSchema, DataType, Field

SCHEMA = CollectionSchema(
    (
        Field("id", DataType.INT64, primary=True),
        Field("title", DataType.VARCHAR, max_length=64, nullable=True, default="?"),
        Field("vector", DataType.FLOAT_VECTOR, dim=8, params={"mmap.enabled": "true"}),
    ),
    description="books",
)
BOOKS = NewCollection("books", SCHEMA, Consistency.STRONG, {"collection.ttl.seconds": "60"}, 2)
INDEX = IndexSpec("vector", "by_vector", "HNSW", "L2", {"M": "16"})


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    opened = Catalog(f"sqlite:///{tmp_path / 'catalog.db'}")
    yield opened
    opened.close()


def other(tmp_path: Path) -> Catalog:
    return Catalog(f"sqlite:///{tmp_path / 'catalog.db'}")


def test_a_collection_is_described_as_it_was_created(catalog: Catalog, tmp_path: Path) -> None:
    created = catalog.create_collection(BOOKS, 77, 0)
    assert created.schema == SCHEMA.numbered()
    assert [field.id for field in created.schema.fields] == [100, 101, 102]
    assert created.consistency is Consistency.STRONG
    assert created.properties == {"collection.ttl.seconds": "60"}
    assert (created.created_ts, created.updated_ts, created.shards) == (77, 77, 2)
    assert [partition.name for partition in created.partitions] == ["_default"]
    assert not created.loaded
    assert created.id > 0
    again = other(tmp_path)
    assert again.describe_collection("books") == created
    assert again.describe_collection_id(created.id) == created
    again.close()


def test_the_same_collection_again_is_fine_and_a_different_one_is_not(catalog: Catalog) -> None:
    created = catalog.create_collection(BOOKS, 1, 0)
    assert catalog.create_collection(BOOKS, 2, 0) == created
    different = NewCollection("books", CollectionSchema(SCHEMA.fields[::2]))
    with pytest.raises(CollectionExists):
        catalog.create_collection(different, 3, 0)


def test_a_dropped_name_is_free_at_once_and_ids_are_not_used_again(catalog: Catalog) -> None:
    first = catalog.create_collection(BOOKS, 1, 0)
    catalog.create_alias("tomes", first.id, 0)
    catalog.drop_collection(first.id, 0)
    assert catalog.list_collections() == []
    assert catalog.aliases() == {}
    for name in ("books", "tomes"):
        with pytest.raises(CollectionNotFound):
            catalog.describe_collection(name)
    with pytest.raises(CollectionNotFound):
        catalog.describe_collection_id(first.id)
    second = catalog.create_collection(BOOKS, 2, 0)
    assert second.id > first.id
    assert second.partitions[0].id > first.partitions[0].id
    assert catalog.dropped_collections() == [first.id]
    catalog.forget_collection(first.id, 0)
    assert catalog.dropped_collections() == []
    assert catalog.describe_collection("books") == second


def test_a_live_collection_cannot_be_forgotten(catalog: Catalog) -> None:
    created = catalog.create_collection(BOOKS, 1, 0)
    with pytest.raises(CollectionExists):
        catalog.forget_collection(created.id, 0)
    assert catalog.describe_collection("books") == created


def test_collections_are_listed_by_name_with_all_they_have(catalog: Catalog) -> None:
    for name in ("pears", "apples"):
        catalog.create_collection(NewCollection(name, SCHEMA), 1, 0)
    apples = catalog.describe_collection("apples")
    catalog.create_partition(apples.id, "green", 5, 0)
    index = catalog.create_index(apples.id, INDEX, 0)
    catalog.create_alias("malus", apples.id, 0)
    catalog.set_loaded(apples.id, True, 0)
    catalog.set_properties(apples.id, {"a": "b"}, 0)
    listed = catalog.list_collections()
    assert [info.name for info in listed] == ["apples", "pears"]
    apples = listed[0]
    assert [p.name for p in apples.partitions] == ["_default", "green"]
    assert apples.indexes == (index,)
    assert (apples.aliases, apples.loaded) == (("malus",), True)
    assert apples.properties == {"a": "b"}
    assert catalog.describe_collection("malus") == apples
    assert (listed[1].indexes, listed[1].aliases, len(listed[1].partitions)) == ((), (), 1)


def test_names_of_collections_and_aliases_do_not_clash(catalog: Catalog) -> None:
    books = catalog.create_collection(BOOKS, 1, 0)
    catalog.create_alias("tomes", books.id, 0)
    with pytest.raises(AlreadyExists):
        catalog.create_alias("tomes", books.id, 0)
    with pytest.raises(AlreadyExists):
        catalog.create_alias("books", books.id, 0)
    with pytest.raises(CollectionExists):
        catalog.create_collection(NewCollection("tomes", SCHEMA), 2, 0)
    with pytest.raises(CollectionExists):
        catalog.rename_collection(books.id, "tomes", 0)
    catalog.rename_collection(books.id, "volumes", 0)
    assert catalog.describe_collection("tomes").name == "volumes"
    with pytest.raises(CollectionNotFound):
        catalog.describe_collection("books")


def test_aliases_can_be_pointed_elsewhere_and_dropped(catalog: Catalog) -> None:
    books = catalog.create_collection(BOOKS, 1, 0)
    films = catalog.create_collection(NewCollection("films", SCHEMA), 1, 0)
    catalog.create_alias("current", books.id, 0)
    catalog.alter_alias("current", films.id, 0)
    assert catalog.describe_collection("current") == catalog.describe_collection("films")
    with pytest.raises(NotFound):
        catalog.alter_alias("unknown", films.id, 0)
    with pytest.raises(CollectionNotFound):
        catalog.alter_alias("current", 999, 0)
    catalog.drop_alias("current", 0)
    catalog.drop_alias("current", 0)
    assert catalog.aliases() == {}


def test_partitions_come_and_go_but_the_default_one_stays(catalog: Catalog) -> None:
    books = catalog.create_collection(BOOKS, 1, 0)
    novels = catalog.create_partition(books.id, "novels", 2, 0)
    assert catalog.create_partition(books.id, "novels", 3, 0) == novels
    assert catalog.describe_collection("books").partition("novels") == novels
    assert novels.id < 1 << 32, "a log record keeps the low 32 bits"
    assert catalog.drop_partition(books.id, "novels", 0) == novels
    with pytest.raises(PartitionNotFound):
        catalog.drop_partition(books.id, "novels", 0)
    with pytest.raises(InvalidArgument):
        catalog.drop_partition(books.id, "_default", 0)
    with pytest.raises(CollectionNotFound):
        catalog.create_partition(999, "novels", 4, 0)


def test_one_index_a_field_and_one_field_an_index_name(catalog: Catalog) -> None:
    books = catalog.create_collection(BOOKS, 1, 0)
    index = catalog.create_index(books.id, INDEX, 0)
    assert index.id > 0
    assert catalog.create_index(books.id, INDEX, 0) == index
    with pytest.raises(AlreadyExists, match="at most one distinct index"):
        catalog.create_index(books.id, IndexSpec("vector", "other", "FLAT", "L2"), 0)
    with pytest.raises(AlreadyExists, match="another field"):
        catalog.create_index(books.id, IndexSpec("title", "by_vector", "TRIE", ""), 0)
    assert catalog.drop_index(books.id, "vector", 0) == index
    assert catalog.drop_index(books.id, "by_vector", 0) is None
    assert catalog.create_index(books.id, INDEX, 0).id > index.id


def test_names_differ_by_case(catalog: Catalog) -> None:
    first = catalog.create_collection(BOOKS, 1, 0)
    second = catalog.create_collection(NewCollection("Books", SCHEMA), 1, 0)
    assert first.id != second.id


def test_every_change_of_definitions_raises_the_change_counter(catalog: Catalog) -> None:
    seen = [catalog.change_counter()]

    def risen() -> bool:
        seen.append(catalog.change_counter())
        return seen[-1] > seen[-2]

    books = catalog.create_collection(BOOKS, 1, 0)
    assert risen()
    catalog.create_partition(books.id, "novels", 2, 0)
    assert risen()
    catalog.create_index(books.id, INDEX, 0)
    assert risen()
    catalog.set_loaded(books.id, True, 0)
    assert risen()
    catalog.create_alias("tomes", books.id, 0)
    assert risen()
    catalog.rename_collection(books.id, "b", 0)
    assert risen()
    catalog.drop_collection(books.id, 0)
    assert risen()
    catalog.forget_collection(books.id, 0)
    assert risen()
    catalog.beat("nobody")
    catalog.allocate_ids("segment", 5)
    assert not risen(), "heartbeats and ids concern nobody"


def test_a_deposed_writer_changes_nothing(catalog: Catalog) -> None:
    books = catalog.create_collection(BOOKS, 1, 0)
    index = catalog.create_index(books.id, INDEX, 0)
    catalog.create_alias("tomes", books.id, 0)
    catalog.claim_generation("next", catalog.lease(), 3.0)
    before = (catalog.list_collections(), catalog.change_counter())
    for change in (
        lambda: catalog.create_collection(NewCollection("films", SCHEMA), 2, 0),
        lambda: catalog.drop_collection(books.id, 0),
        lambda: catalog.rename_collection(books.id, "b", 0),
        lambda: catalog.set_loaded(books.id, True, 0),
        lambda: catalog.set_properties(books.id, {}, 0),
        lambda: catalog.create_partition(books.id, "novels", 2, 0),
        lambda: catalog.drop_index(books.id, index.name, 0),
        lambda: catalog.create_index(books.id, IndexSpec("title", "t", "TRIE", ""), 0),
        lambda: catalog.create_alias("a", books.id, 0),
        lambda: catalog.alter_alias("tomes", books.id, 0),
        lambda: catalog.drop_alias("tomes", 0),
    ):
        with pytest.raises(LeaseLost):
            change()
        assert (catalog.list_collections(), catalog.change_counter()) == before


def test_ids_given_to_many_threads_and_processes_are_all_different(
    catalog: Catalog, tmp_path: Path
) -> None:
    second = other(tmp_path)
    given: list[int] = []

    def take(source: Catalog) -> None:
        for _ in range(10):
            given.extend(source.allocate_ids("segment", 3))

    threads = [threading.Thread(target=take, args=(c,)) for c in (catalog, second) * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    second.close()
    assert sorted(given) == list(range(1, 121))
    assert catalog.allocate_ids("task", 2) == range(1, 3), "kinds count apart"


def test_members_are_counted_not_dated(catalog: Catalog) -> None:
    reader = Member("r1", "ro", "127.0.0.1:1", "127.0.0.1:19530", info="pid 7")
    catalog.register(reader)
    catalog.register(Member("w1", "rw", "127.0.0.1:2"))
    assert catalog.beat("r1")
    assert catalog.beat("r1")
    assert catalog.members() == [
        Member("r1", "ro", "127.0.0.1:1", "127.0.0.1:19530", 2, "pid 7"),
        Member("w1", "rw", "127.0.0.1:2"),
    ]
    catalog.register(reader)
    assert catalog.members()[0].beats == 0
    catalog.leave("r1")
    catalog.leave("r1")
    assert not catalog.beat("r1")
    assert [member.id for member in catalog.members()] == ["w1"]


def test_a_catalog_in_memory_or_of_an_unknown_kind_is_refused() -> None:
    for url in ("sqlite://", "sqlite:///:memory:", "nonsense", "etcd://host/db"):
        with pytest.raises(InvalidArgument):
            Catalog(url)


def test_a_folder_that_does_not_exist_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="unable to open"):
        Catalog(f"sqlite:///{tmp_path}/missing/catalog.db")


def test_no_transaction_is_left_open(catalog: Catalog, tmp_path: Path) -> None:
    """Also after refusals: another process can write at once."""
    catalog.create_collection(BOOKS, 1, 0)
    with pytest.raises(PartitionNotFound):
        catalog.drop_partition(1, "none", 0)
    catalog.list_collections()
    second = other(tmp_path)
    second.set_loaded(1, True, 0)
    assert catalog.describe_collection("books").loaded
    second.close()
