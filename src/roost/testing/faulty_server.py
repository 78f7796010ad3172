"""A database server whose n-th round trip fails, for fault tests of the SQL engines."""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from roost.volume.engines.sql.dialect import Dialect, Statement
from roost.volume.engines.sql.rows import Row
from roost.volume.engines.sql_servers.driver import Connection, Failed, Server, SqlError

T = TypeVar("T")


@dataclass(slots=True)
class ServerFaults:
    """Counts round trips from `arm` on, and fails the one numbered `fail_at`, counted from 1.

    With `after` it is executed and its answer lost, else it is not executed; the connection is
    broken either way.  `down` refuses all that follows, new connections too.  `error` is raised in
    the place of the failure: Ctrl-C, for one.
    """

    fail_at: int = 0
    after: bool = False
    then_down: bool = False
    down: bool = False
    round_trips: int = 0
    error: BaseException | None = None
    before_each: Callable[[Sequence[Statement]], None] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def arm(self, fail_at: int, *, after: bool = False) -> None:
        """Fail once from now on; 0 only counts."""
        with self.lock:
            self.fail_at, self.after, self.round_trips, self.down = fail_at, after, 0, False

    def next(self) -> bool:
        """Count a round trip; True if it is to fail."""
        with self.lock:
            self.round_trips += 1
            fails = self.round_trips == self.fail_at
            return fails or self.down


class FaultyConnection:
    """Satisfies driver.Connection."""

    def __init__(self, inner: Connection, faults: ServerFaults) -> None:
        self._inner = inner
        self._faults = faults
        self._broken = False

    @property
    def server_id(self) -> int:
        """As in Connection."""
        return self._inner.server_id

    @property
    def descriptor(self) -> int:
        """As in Connection."""
        return self._inner.descriptor

    def run(self, statements: Sequence[Statement]) -> list[list[Row]]:
        """As in Connection."""
        return self._trip(statements, self._inner.run)

    def transact(self, statements: Sequence[Statement]) -> None:
        """As in Connection."""
        self._trip(statements, self._inner.transact)

    def _trip(self, statements: Sequence[Statement], call: Callable[[Sequence[Statement]], T]) -> T:
        faults = self._faults
        if self._broken:
            raise SqlError(Failed.LOST, "broken before (injected)")
        if faults.before_each is not None:
            faults.before_each(statements)
        if not faults.next():
            return call(statements)
        self._broken = True
        faults.down = faults.down or faults.then_down
        if faults.after:
            with suppress(SqlError):  # an answer that says so is lost as well
                call(statements)
        self._inner.close()
        raise faults.error or SqlError(Failed.LOST, "connection reset (injected)")

    def close(self) -> None:
        """As in Connection."""
        self._inner.close()


class FaultyServer:
    """Satisfies driver.Server."""

    def __init__(self, inner: Server, faults: ServerFaults) -> None:
        self._inner = inner
        self._faults = faults

    @property
    def dialect(self) -> Dialect:
        """As in Server."""
        return self._inner.dialect

    @property
    def place(self) -> str:
        """As in Server."""
        return self._inner.place

    @property
    def leaves_open(self) -> bool:
        """As in Server."""
        return self._inner.leaves_open

    def connect(self) -> Connection:
        """As in Server."""
        if self._faults.down:
            raise SqlError(Failed.LOST, "connection refused (injected)")
        return FaultyConnection(self._inner.connect(), self._faults)

    def begin(self) -> list[Statement]:
        """As in Server."""
        return self._inner.begin()

    def begin_snapshot(self) -> list[Statement]:
        """As in Server."""
        return self._inner.begin_snapshot()

    def next_if(self, number: str, condition: str) -> str:
        """As in Server."""
        return self._inner.next_if(number, condition)

    def kill(self, server_id: int) -> Statement:
        """As in Server."""
        return self._inner.kill(server_id)

    def has_table(self, name: str) -> Statement:
        """As in Server."""
        return self._inner.has_table(name)

    def survey(self, connection: Connection) -> tuple[str, tuple[str, ...]]:
        """As in Server."""
        return self._inner.survey(connection)
