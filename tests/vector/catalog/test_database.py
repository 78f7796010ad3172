"""Failures of the database in our words, and how long anything waits."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from roost.errors import (
    AlreadyExists,
    CorruptRecord,
    InvalidArgument,
    LeaseLost,
    StorageFull,
    Unavailable,
)
from roost.vector.api import NewCollection
from roost.vector.catalog.catalog import Catalog
from roost.vector.catalog.database import BUSY_S_MAX, Database
from roost.vector.log.reader import LogFloor
from roost.vector.log.record import LogPosition
from roost.vector.schema import CollectionSchema, DataType, Field

SCHEMA = CollectionSchema((Field("id", DataType.INT64, primary=True),))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalog.db"


@pytest.fixture
def catalog(path: Path) -> Iterator[Catalog]:
    opened = Catalog(f"sqlite:///{path}")
    yield opened
    opened.close()


def test_a_commit_survives_a_power_cut(catalog: Catalog) -> None:
    """H10: in WAL mode only synchronous=FULL syncs each commit."""
    with catalog._database.reading() as connection:
        mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
        synchronous = connection.exec_driver_sql("PRAGMA synchronous").scalar_one()
    assert (mode, synchronous) == ("wal", 2)


def test_a_writer_that_holds_the_lock_too_long_makes_others_fail_in_bounded_time(
    catalog: Catalog, path: Path
) -> None:
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    started_s = time.monotonic()
    with pytest.raises(Unavailable, match="locked"):
        catalog.renew(0, 5)
    assert time.monotonic() - started_s < BUSY_S_MAX + 2
    assert catalog.lease().generation == 0, "reading goes on"
    blocker.execute("ROLLBACK")
    blocker.close()
    catalog.allocate_ids("segment", 1)


def test_a_full_disk_is_told_as_such_and_changes_nothing(catalog: Catalog) -> None:
    with catalog._database.reading() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()

    def limit(connection: sqlite3.Connection, _entry: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages}")

    engine = catalog._database._engine
    engine.dispose()
    sa.event.listen(engine, "connect", limit)
    wide = CollectionSchema((*SCHEMA.fields, Field("x" * 200_000, DataType.BOOL)))
    before = catalog.change_counter()
    with pytest.raises(StorageFull):
        catalog.create_collection(NewCollection("books", wide), 1, 0)
    assert catalog.list_collections() == []
    assert catalog.change_counter() == before


def test_damaged_pages_are_damage(path: Path) -> None:
    catalog = Catalog(f"sqlite:///{path}")
    catalog.create_collection(NewCollection("books", SCHEMA), 1, 0)
    catalog.close()
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    with pytest.raises(CorruptRecord):
        list_at(f"sqlite:///{path}")


def list_at(url: str) -> None:
    catalog = Catalog(url)
    try:
        catalog.list_collections()
    finally:
        catalog.close()


def test_a_change_that_fails_midway_is_undone(catalog: Catalog) -> None:
    before = catalog.change_counter()
    database = catalog._database

    def change() -> None:
        with database.changing(0) as connection:
            connection.exec_driver_sql("INSERT INTO roost_aliases VALUES ('a', 1)")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        change()
    assert catalog.aliases() == {}
    assert catalog.change_counter() == before


def test_a_password_is_not_told() -> None:
    with pytest.raises(InvalidArgument) as caught:
        Database("oracle+nothing://user:secret@host/db")
    assert "secret" not in str(caught.value)
    database = Database("sqlite:////nowhere/at/all.db")
    assert "/nowhere/at/all.db" in database.place


def test_many_threads_share_few_connections(catalog: Catalog) -> None:
    failures: list[Exception] = []

    def work(number: int) -> None:
        try:
            for n in range(3):
                name = f"c{number}-{n}"
                created = catalog.create_collection(NewCollection(name, SCHEMA), 1, 0)
                assert catalog.describe_collection(name).id == created.id
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(catalog.list_collections()) == 36


def test_two_processes_that_make_the_same_catalog_make_one(path: Path) -> None:
    made: list[Catalog] = []
    threads = [
        threading.Thread(target=lambda: made.append(Catalog(f"sqlite:///{path}"))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 4
    assert made[0].create_collection(NewCollection("books", SCHEMA), 1, 0).id == 1
    assert [len(catalog.list_collections()) for catalog in made] == [1, 1, 1, 1]
    for catalog in made:
        catalog.close()


def test_a_seal_is_for_ever_and_only_the_writer_sets_it(catalog: Catalog) -> None:
    row = catalog.claim_generation("w", catalog.lease(), 3.0)
    seals = {0: LogPosition(2, 64)}
    catalog.set_seals(seals, row.generation)
    catalog.set_seals(seals, row.generation)
    with pytest.raises(AlreadyExists):
        catalog.set_seals({0: LogPosition(2, 128)}, row.generation)
    catalog.claim_generation("x", catalog.lease(), 3.0)
    with pytest.raises(LeaseLost):
        catalog.set_seals({1: LogPosition(0, 0)}, row.generation)
    assert catalog.seals() == seals


def test_the_floor_of_the_log_rises_and_takes_old_seals_along(catalog: Catalog) -> None:
    row = catalog.claim_generation("w", catalog.lease(), 3.0)
    catalog.set_seals({0: LogPosition(2, 64)}, row.generation)
    assert catalog.log_floor() == LogFloor(0, 0)
    catalog.set_log_floor(LogFloor(0, 1), row.generation)
    assert (catalog.log_floor(), len(catalog.seals())) == (LogFloor(0, 1), 1)
    catalog.set_log_floor(LogFloor(1, 0), row.generation)
    assert (catalog.log_floor(), catalog.seals()) == (LogFloor(1, 0), {})
    with pytest.raises(AssertionError):
        catalog.set_log_floor(LogFloor(0, 9), row.generation)
    assert catalog.log_floor() == LogFloor(1, 0)
