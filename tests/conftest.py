"""Real servers, each started once per session when a test first asks; a place of its own per test.

A server that is not installed skips the tests that need it; in CI (CI=true) they fail.
"""

import logging
import signal
from collections.abc import Iterator

import pytest

from roost.testing.servers import (
    AzuriteServer,
    MariadbServer,
    PostgresServer,
    RedisServer,
    S3Server,
    require,
)


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """Tests interrupt themselves; a shell that starts them in the background ignores SIGINT."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _as_much_is_logged() -> Iterator[None]:
    """A command that a test runs in this process sets how much all later ones would log."""
    root = logging.getLogger()
    level = root.level
    yield
    root.setLevel(level)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A Redis shared by all tests: do not stop it, start one of your own for that."""
    require(RedisServer.missing())
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The URL of an empty Redis database."""
    return redis_server.new_database()


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariadbServer]:
    """A MariaDB shared by all tests: do not stop it, start one of your own for that."""
    require(MariadbServer.missing())
    with MariadbServer() as server:
        yield server


@pytest.fixture
def mariadb_url(mariadb_server: MariadbServer) -> Iterator[str]:
    """The URL of an empty MariaDB database."""
    url = mariadb_server.new_database()
    yield url
    mariadb_server.drop_database(url)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL shared by all tests: do not stop it, start one of your own for that."""
    require(PostgresServer.missing())
    with PostgresServer() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of an empty PostgreSQL database."""
    url = postgres_server.new_database()
    yield url
    postgres_server.drop_database(url)


@pytest.fixture(scope="session")
def azurite_server() -> Iterator[AzuriteServer]:
    """An Azurite shared by all tests: `new_container` for each."""
    require(AzuriteServer.missing())
    with AzuriteServer() as server:
        yield server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """An S3 server shared by all tests: `new_bucket` for each."""
    require(S3Server.missing())
    with S3Server() as server:
        yield server
