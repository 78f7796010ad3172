"""Stored forms: the golden catalog of version 1, forward migrations, newer versions refused."""

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from roost.errors import CorruptRecord, NewerFormat
from roost.vector.api import Consistency, IndexSpec
from roost.vector.catalog.catalog import Catalog
from roost.vector.catalog.database import Database
from roost.vector.catalog.migrations import STEPS, VERSION, prepare
from roost.vector.catalog.values import Doomed, LeaseRow, Member, Pin
from roost.vector.log.reader import LogFloor
from roost.vector.log.record import LogPosition
from roost.vector.manifest import IndexFile, Manifest, SegmentEntry
from roost.vector.schema import DataType

GOLDEN = Path(__file__).parent / "golden" / "catalog-v1.sql"


def golden(tmp_path: Path) -> str:
    path = tmp_path / "golden.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(GOLDEN.read_text())
    connection.close()
    return f"sqlite:///{path}"


def version_of(url: str) -> int:
    database = Database(url)
    with database.reading() as connection:
        found = connection.execute(sa.text("SELECT version FROM roost_format")).scalar_one()
    database.close()
    return int(found)


def test_the_golden_catalog_of_version_1_opens_for_ever(tmp_path: Path) -> None:
    catalog = Catalog(golden(tmp_path))
    (books,) = catalog.list_collections()
    assert (books.id, books.name, books.consistency) == (1, "books", Consistency.STRONG)
    assert [(f.id, f.name, f.dtype, f.dim) for f in books.schema.fields] == [
        (100, "id", DataType.INT64, 0),
        (101, "vector", DataType.FLOAT_VECTOR, 8),
    ]
    assert (books.loaded, books.shards, books.properties) == (True, 2, {"a": "b"})
    assert [(p.id, p.name, p.created_ts) for p in books.partitions] == [
        (1, "_default", 77),
        (2, "novels", 78),
    ]
    assert books.indexes == (IndexSpec("vector", "by_vector", "HNSW", "L2", {"M": "16"}, 1),)
    assert books.aliases == ("tomes",)
    segment = SegmentEntry(
        5, 1, "segment/5", 10, 100, 1, 2, ("deletes/5-1",), 1, 3, (IndexFile(1, 101, "index/5"),)
    )
    assert catalog.latest_manifest(1) == Manifest(1, 2, 1, 90, (segment,), {"why": "flush"})
    assert catalog.pins() == [Pin("monday", 1, 1)]
    assert catalog.doomed() == [Doomed("segment/4", 1, 12345)]
    assert catalog.lease() == LeaseRow(1, "w1", 2, 1 << 60, False, 3.0)
    assert catalog.seals() == {0: LogPosition(3, 640)}
    assert catalog.log_floor() == LogFloor(0, 2)
    assert catalog.members() == [Member("w1", "rw", "h:1", "h:2", 1, "pid 1")]
    assert catalog.dropped_collections() == [2]
    assert catalog.allocate_ids("segment", 1) == range(6, 7)
    catalog.close()


def test_the_tables_of_today_are_those_of_the_golden_catalog(tmp_path: Path) -> None:
    """A changed table needs a new version and a step to it."""

    def shape(url: str) -> dict[str, list[tuple[str, str, bool]]]:
        database = Database(url)
        with database.reading() as connection:
            inspector = sa.inspect(connection)
            return {
                table: [
                    (column["name"], str(column["type"]), column["nullable"])
                    for column in inspector.get_columns(table)
                ]
                for table in inspector.get_table_names()
            }

    fresh = f"sqlite:///{tmp_path / 'fresh.db'}"
    Catalog(fresh).close()
    assert shape(fresh) == shape(golden(tmp_path))


def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    url = golden(tmp_path)
    for _ in range(2):
        catalog = Catalog(url)
        assert catalog.lease().generation == 1
        catalog.close()


def test_a_newer_catalog_is_refused_by_name_and_left_alone(tmp_path: Path) -> None:
    url = golden(tmp_path)
    database = Database(url)
    database.execute_alone(sa.text(f"UPDATE roost_format SET version = {VERSION + 1}"))
    database.close()
    with pytest.raises(NewerFormat, match=rf"golden.db.*version {VERSION + 1}"):
        Catalog(url)
    assert version_of(url) == VERSION + 1


def test_steps_run_in_order_once(tmp_path: Path) -> None:
    url, ran = golden(tmp_path), []
    steps = {
        **STEPS,
        VERSION: lambda connection: ran.append(VERSION),
        VERSION + 1: lambda connection: ran.append(VERSION + 1),
    }
    database = Database(url)
    for _ in range(2):
        prepare(database, steps, VERSION + 2)
    database.close()
    assert ran == [VERSION, VERSION + 1]
    assert version_of(url) == VERSION + 2


def test_a_step_that_fails_leaves_the_catalog_as_it_was(tmp_path: Path) -> None:
    url = golden(tmp_path)

    def add_column(connection: Connection) -> None:
        connection.execute(sa.text("ALTER TABLE roost_members ADD COLUMN zone TEXT"))

    def fail(connection: Connection) -> None:
        raise ZeroDivisionError

    database = Database(url)
    with pytest.raises(ZeroDivisionError):
        prepare(database, {VERSION: add_column, VERSION + 1: fail}, VERSION + 2)
    with database.reading() as connection:
        columns = [c["name"] for c in sa.inspect(connection).get_columns("roost_members")]
    database.close()
    assert "zone" not in columns
    assert version_of(url) == VERSION
    Catalog(url).close()


def test_a_catalog_without_its_version_is_damage_not_a_fresh_one(tmp_path: Path) -> None:
    url = golden(tmp_path)
    database = Database(url)
    database.execute_alone(sa.text("DELETE FROM roost_format"))
    database.close()
    with pytest.raises(CorruptRecord, match="roost_format"):
        Catalog(url)


def test_a_file_that_is_no_database_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    path.write_bytes(b"this is not a database, but long enough to be one " * 40)
    with pytest.raises(CorruptRecord, match="not a database"):
        Catalog(f"sqlite:///{path}")
    assert path.read_bytes().startswith(b"this is not")
