"""Every volume test ends with a check of the volume and without an unexpected warning."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from roost.testing.servers import MariadbServer, PostgresServer
from roost.testing.sql_databases import empty_tables
from roost.testing.volumes import TestVolume, make_test_volume, no_warnings


@pytest.fixture
def expected_warnings() -> list[str]:
    """A test that provokes a warning adds part of its text."""
    return []


@pytest.fixture(autouse=True)
def _no_unexpected_warning(expected_warnings: list[str]) -> Iterator[None]:
    # A clock that a test moves by more than a lease lets living sessions clean each other up.
    expected_warnings.append("was over and cleaned up")
    with no_warnings(expected_warnings):
        yield


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[TestVolume]:
    """A volume on SQLite and a directory, with blocks of 64 KiB and without trash."""
    made = make_test_volume(tmp_path)
    yield made
    made.finish()


@pytest.fixture(scope="session")
def _mariadb_place(mariadb_server: MariadbServer) -> str:
    return mariadb_server.new_database()


@pytest.fixture(scope="session")
def _postgres_place(postgres_server: PostgresServer) -> str:
    return postgres_server.new_database()


@pytest.fixture
def mysql_url(_mariadb_place: str) -> str:
    """A MariaDB database without a volume, shared by tests that leave its tables there."""
    return empty_tables(_mariadb_place)


@pytest.fixture
def pg_url(_postgres_place: str) -> str:
    """A PostgreSQL database without a volume, shared by tests that leave its tables there."""
    return empty_tables(_postgres_place)
