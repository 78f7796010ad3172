"""Sessions of a server that allows few connections, or none; no database."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from roost.clock import SystemClock
from roost.errors import CommitUnknown
from roost.testing.clock import ManualClock
from roost.volume.engines.sql.dialect import Dialect, Statement, postgres
from roost.volume.engines.sql.rows import Row
from roost.volume.engines.sql_servers.driver import Connection, Failed, SqlError
from roost.volume.engines.sql_servers.patience import TRIES_MAX
from roost.volume.engines.sql_servers.pool import RAISE_AFTER_S, Pool
from roost.volume.engines.sql_servers.session import Session

ASK: list[Statement] = [("SELECT 1", ())]


class FewConnections:
    """Satisfies driver.Server: allows `limit` connections, whose round trips take a while."""

    place = "few://"
    leaves_open = False

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.down = False
        self.open = 0
        self.connects = 0
        self.refused = 0
        self.lock = threading.Lock()

    @property
    def dialect(self) -> Dialect:
        return postgres()

    def connect(self) -> Connection:
        with self.lock:
            self.connects += 1
            if self.down:
                raise SqlError(Failed.LOST, "refused")
            if self.open >= self.limit:
                self.refused += 1
                raise SqlError(Failed.CROWDED, "too many connections")
            self.open += 1
        return FewConnection(self)

    def begin(self) -> list[Statement]:
        return [("BEGIN", ())]

    begin_snapshot = begin

    def next_if(self, number: str, condition: str) -> str:
        return f"{number} {condition}"

    def kill(self, server_id: int) -> Statement:
        return "KILL", (server_id,)

    def has_table(self, name: str) -> Statement:
        return "SELECT 1", (name,)

    def survey(self, connection: Connection) -> tuple[str, tuple[str, ...]]:
        return "", ()


class FewConnection:
    """Satisfies driver.Connection."""

    server_id = 1

    def __init__(self, server: FewConnections) -> None:
        self._server = server

    def run(self, statements: Sequence[Statement]) -> list[list[Row]]:
        if self._server.down:
            raise SqlError(Failed.LOST, "gone")
        time.sleep(0.001)
        return [[] for _ in statements]

    def transact(self, statements: Sequence[Statement]) -> None:
        self.run(statements)

    def close(self) -> None:
        with self._server.lock:
            self._server.open -= 1


def pool_of(server: FewConnections, pause: Callable[[float], None] = time.sleep) -> Pool:
    clock = SystemClock()
    return Pool(lambda: Session(server, clock, pause), server.place, clock)


def run_threads(number: int, call: Callable[[], None]) -> list[SqlError]:
    errors: list[SqlError] = []

    def run() -> None:
        try:
            call()
        except SqlError as error:
            errors.append(error)

    threads = [threading.Thread(target=run, daemon=True) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    return errors


@pytest.mark.parametrize("limit", [1, 6])
def test_threads_share_the_connections_that_the_server_allows(limit: int) -> None:
    server = FewConnections(limit)
    pool = pool_of(server)

    def call() -> None:
        for _ in range(30):
            with pool.session() as session:
                session.ask(ASK)

    assert run_threads(16, call) == []
    assert server.open == limit
    assert server.refused <= 16
    pool.close()
    assert server.open == 0


def test_where_others_have_all_connections_each_call_ends_by_itself() -> None:
    server = FewConnections(0)
    pool = pool_of(server, lambda seconds: None)

    def call() -> None:
        with pool.session() as session:
            session.ask(ASK)

    errors = run_threads(16, call)
    assert [error.kind for error in errors] == [Failed.CROWDED] * 16
    server.limit = 2
    assert run_threads(16, call) == []


def test_the_bound_rises_again() -> None:
    server, clock = FewConnections(1), ManualClock()
    pool = Pool(lambda: Session(server, clock, lambda seconds: None), server.place, clock)

    def waits() -> None:
        with pool.session() as session:
            session.ask(ASK)

    with pool.session() as first:
        first.ask(ASK)
        waiter = threading.Thread(target=waits, daemon=True)
        waiter.start()
        while not server.refused:
            time.sleep(0.001)
    waiter.join(20)
    assert not waiter.is_alive()
    assert server.open == 1
    server.limit = 2
    clock.advance(RAISE_AFTER_S)
    with pool.session() as first, ThreadPoolExecutor(1) as executor:
        first.ask(ASK)
        executor.submit(waits).result(10)
        assert server.open == 2


def test_a_scan_gets_a_connection_where_idle_ones_have_them_all() -> None:
    server = FewConnections(1)
    pool = pool_of(server)
    with pool.session() as session:
        session.ask(ASK)
    with pool.separate() as session:
        session.ask(ASK)
    with pool.session() as session:
        session.ask(ASK)


def test_a_server_that_is_away_is_tried_as_often_by_a_read_as_by_a_commit() -> None:
    server = FewConnections(1)
    pauses: list[float] = []
    session = Session(server, SystemClock(), pauses.append)
    session.renew_token()
    server.down = True
    server.connects = 0
    with pytest.raises(CommitUnknown) as unknown:
        session.commit((), (), ASK)
    assert unknown.value.hint
    assert server.connects == TRIES_MAX
    assert 9 < sum(pauses) < 10
    server.connects = 0
    pauses.clear()
    with pytest.raises(SqlError):
        session.ask(ASK)
    assert server.connects == TRIES_MAX
    assert 9 < sum(pauses) < 10
