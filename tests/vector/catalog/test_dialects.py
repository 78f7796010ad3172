"""The statements that H2 rests on, as other databases get them (compiled, not run)."""

import pytest
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.schema import CreateTable

from roost.vector.catalog import tables
from roost.vector.catalog.manifest_rows import _commit
from roost.vector.manifest import Manifest

OTHERS = [mysql.dialect(), postgresql.dialect()]


@pytest.mark.parametrize("dialect", OTHERS, ids=lambda dialect: dialect.name)
def test_a_manifest_commit_locks_the_lease_row_in_its_one_statement(dialect: Dialect) -> None:
    text = str(_commit(Manifest(1, 1, 1, 1), ["a", "b"]).compile(dialect=dialect))
    assert text.startswith("INSERT INTO roost_manifests")
    assert text.endswith("FOR UPDATE")
    assert "FROM roost_lease" in text


def test_sqlite_which_has_one_writer_anyway_locks_nothing() -> None:
    assert "FOR UPDATE" not in str(
        _commit(Manifest(1, 1, 1, 1), []).compile(dialect=sqlite.dialect())
    )


def test_names_differ_by_case_and_manifests_are_long_on_mysql() -> None:
    text = str(CreateTable(tables.manifests).compile(dialect=mysql.dialect()))
    assert "body LONGTEXT" in text
    text = str(CreateTable(tables.collections).compile(dialect=mysql.dialect()))
    assert "live_name VARCHAR(255) COLLATE utf8mb4_bin" in text
