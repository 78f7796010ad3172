"""The connection to the catalog's database: transactions, dialects, and failures in our words.

Invariants
* A transaction is begun and ended within one call; nothing waits inside it but the database.
* On SQLite a writing transaction takes the write lock at its start (BEGIN IMMEDIATE), so what it
  read is still true when it commits.  Elsewhere whoever depends on the lease locks its row
  (`with_for_update`, which SQLite leaves out).
* On SQLite the threads of a process take turns (`_turn`) before they ask for the write lock: it is
  polled, not queued for, and many threads would starve each other.

Lock order: `_turn`, then the database's own locks; nothing else is taken under it.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    IntegrityError,
    NoSuchModuleError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry

from roost.errors import (
    CommitUnknown,
    CorruptRecord,
    Failure,
    InvalidArgument,
    LeaseLost,
    RoostError,
    StorageFull,
    Unavailable,
)
from roost.vector.catalog import tables

BUSY_S_MAX = 2.0
"""How long SQLite waits for its write lock; below the lease's term, so a renewal fails in time."""
CONNECTIONS_MAX = 16
CONNECTION_WAIT_S_MAX = 5.0
TURN_WAIT_S_MAX = 10.0
"""How long a thread waits for the other threads of its process that write to SQLite."""
_WRITES = "roost_writes"


class Database:
    """A pool of connections to the catalog.  Safe from any thread."""

    def __init__(self, url: str) -> None:
        """Prepare the pool; nothing is connected yet.  Raises InvalidArgument for a bad URL."""
        try:
            self._url = make_url(url)
            self._engine = _engine(self._url)
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
            raise InvalidArgument(f"not a catalog URL: {error}") from error
        self._is_sqlite = self._engine.dialect.name == "sqlite"
        self._turn = threading.Lock()
        self.place = f"catalog {self._url.render_as_string(hide_password=True)}"

    def close(self) -> None:
        """Release all connections."""
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection that sees the database as of one instant."""
        with self._failures("Unavailable"), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a connection whose changes are committed when the block ends, else undone.

        Raises CommitUnknown if the answer of the commit was lost.
        """
        with (
            self._writing_turn(),
            self._failures("Unavailable"),
            self._engine.connect() as connection,
        ):
            connection = connection.execution_options(**{_WRITES: True})
            with connection.begin() as transaction:
                yield connection
                with self._failures("CommitUnknown"):
                    transaction.commit()

    @contextmanager
    def changing(self, generation: int) -> Iterator[Connection]:
        """As `writing`, for a change that readers shall notice and only the writer may make.

        Raises LeaseLost, with everything undone, unless the lease has `generation` at the end.
        """
        with self.writing() as connection:
            yield connection
            hold_lease(connection, generation)
            bump = tables.state.c.changes + 1
            connection.execute(sa.update(tables.state).values(changes=bump))

    def execute_alone(self, statement: sa.Executable) -> int:
        """Run one statement as its own transaction, in one round trip; return the rows it changed.

        Raises CommitUnknown if its answer was lost.
        """
        if self._is_sqlite:
            with self.writing() as connection:
                return connection.execute(statement).rowcount
        with self._failures("CommitUnknown"), self._engine.connect() as connection:
            alone = connection.execution_options(isolation_level="AUTOCOMMIT")
            return alone.execute(statement).rowcount

    @contextmanager
    def _writing_turn(self) -> Iterator[None]:
        if not self._is_sqlite:
            yield
            return
        if not self._turn.acquire(timeout=TURN_WAIT_S_MAX):
            raise Unavailable(f"{self.place}: other changes take longer than {TURN_WAIT_S_MAX} s")
        try:
            yield
        finally:
            self._turn.release()

    @contextmanager
    def _failures(self, when_lost: str) -> Iterator[None]:
        """Turn the driver's failures into ours; IntegrityError is the caller's to judge."""
        try:
            yield
        except IntegrityError:
            raise
        except PoolTimeout as error:
            raise Unavailable(f"{self.place}: all connections are busy") from error
        except DBAPIError as error:
            raise self._translated(error, when_lost) from error
        except SQLAlchemyError as error:
            raise Failure(f"{self.place}: {error}") from error

    def _translated(self, error: DBAPIError, when_lost: str) -> RoostError:
        why = f"{self.place}: {error.orig}"
        code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            return StorageFull(why)
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return CorruptRecord(self.place, str(error.orig))
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return Unavailable(f"{why} for {BUSY_S_MAX} s")
        if when_lost == "CommitUnknown" and (code or error.connection_invalidated):
            return CommitUnknown(why)
        return Unavailable(why)


def hold_lease(connection: Connection, generation: int) -> None:
    """Make sure that the lease has `generation` and keeps it until this transaction ends.

    Raises LeaseLost.
    """
    row = sa.select(tables.lease.c.generation).with_for_update(read=True)
    found = connection.execute(row).scalar_one()
    if found != generation:
        raise LeaseLost(f"generation {generation} has ended: the writer is generation {found}")


def _engine(url: sa.URL) -> Engine:
    options: dict[str, Any] = {
        "pool_size": CONNECTIONS_MAX,
        "max_overflow": 0,
        "pool_timeout": CONNECTION_WAIT_S_MAX,
    }
    if url.get_backend_name() != "sqlite":
        return sa.create_engine(url, pool_pre_ping=True, **options)
    if not url.database or url.database == ":memory:":
        raise InvalidArgument("the catalog needs a file: sqlite:////absolute/path")
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_S_MAX}, **options)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    """Take transactions out of the driver's hands, and make a commit survive a power cut."""
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
