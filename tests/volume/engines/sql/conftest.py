"""A volume on MariaDB and on PostgreSQL, seen from one client or from several."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import pytest

from roost.clock import Clock, SystemClock
from roost.testing.faulty_server import FaultyServer, ServerFaults
from roost.volume.engines.registry import parse_url
from roost.volume.engines.sql.dialect import Value
from roost.volume.engines.sql.rows import Row
from roost.volume.engines.sql_servers.driver import Server
from roost.volume.engines.sql_servers.engine import ServerEngine
from roost.volume.engines.sql_servers.opening import server_of
from roost.volume.meta.api import Meta, format_volume
from roost.volume.meta.open_volume import open_volume
from roost.volume.meta.opening import read_settings
from roost.volume.settings import new_settings

Rows = Callable[..., list[Row]]


@pytest.fixture(params=["mysql_url", "pg_url"])
def url(request: pytest.FixtureRequest) -> str:
    """A new volume without trash."""
    made: str = request.getfixturevalue(request.param)
    format_volume(made, new_settings("servers", bucket="/b", trash_days=0))
    return made


@pytest.fixture
def rows(url: str) -> Iterator[Rows]:
    """A look at the tables from outside."""
    connection = server_of(parse_url(url)).connect()

    def ask(text: str, *values: Value) -> list[Row]:
        return connection.run([(text, values)])[0]

    yield ask
    connection.close()


class Clients:
    """Clients of one volume, each with an engine and faults of its own."""

    def __init__(self, url: str, stack: ExitStack) -> None:
        self._url = url
        self._stack = stack
        self.server: Server = server_of(parse_url(url))

    def cut_all(self) -> None:
        """Let the server close the connections of all clients of this database."""
        connection = self.server.connect()
        if self.server.dialect.name == "mysql":
            text = "SELECT id FROM information_schema.processlist WHERE db = DATABASE()"
            own = "id <> CONNECTION_ID()"
        else:
            text = "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
            own = "pid <> pg_backend_pid()"
        for (number,) in connection.run([(f"{text} AND {own}", ())])[0]:
            connection.run([self.server.kill(number)])
        connection.close()

    def open(self, faults: ServerFaults | None = None, clock: Clock | None = None) -> Meta:
        """Open the volume as another process would; pauses take no time."""
        server = FaultyServer(self.server, faults or ServerFaults())
        clock = clock or SystemClock()
        engine = ServerEngine(server, clock, read_only=False, pause=_no_pause)
        settings = read_settings(engine, self._url, read_only=False)
        meta = Meta(open_volume(engine, settings, clock), read_only=False)
        self._stack.callback(meta.close)
        return meta


def _no_pause(seconds: float) -> None:
    assert seconds >= 0


@pytest.fixture
def clients(url: str) -> Iterator[Clients]:
    with ExitStack() as stack:
        made = Clients(url, stack)
        yield made
        assert made.open().check() == ()


@pytest.fixture
def faults() -> ServerFaults:
    return ServerFaults()


@pytest.fixture
def meta(clients: Clients, faults: ServerFaults) -> Meta:
    """A client whose round trips can fail."""
    return clients.open(faults)


def names(found: Sequence[Row]) -> list[bytes]:
    """Return the first column."""
    return [bytes(row[0]) for row in found]
