"""PostgreSQL, through psycopg 3.

Several statements in one text are one transaction of their own, undone as a whole if one fails.
Sessions run in READ COMMITTED: each statement sees what was committed before it began, so checks
that cannot lock come in a statement after those that do.
Source: PostgreSQL 15 documentation, chapters 13 and 55.2.2.1.
"""

from dataclasses import dataclass, field

import psycopg

from roost.volume.engines.sql.dialect import Dialect, postgres
from roost.volume.engines.sql.rows import Row
from roost.volume.engines.sql_servers.driver import (
    CONNECT_WAIT_S,
    IDLE_TRANSACTION_S,
    LOCK_WAIT_S,
    Connection,
    Failed,
    SqlError,
)

PORT = 5432
_KINDS = {
    "22012": Failed.GUARD,  # division by zero
    "23505": Failed.DUPLICATE,
    "40001": Failed.BUSY,
    "40P01": Failed.BUSY,
    "55P03": Failed.BUSY,
    "57014": Failed.BUSY,
    "22001": Failed.TOO_LONG,
    "22003": Failed.OUT_OF_RANGE,
    "22021": Failed.BAD_TEXT,
    "22P05": Failed.BAD_TEXT,
    "53100": Failed.FULL,
}
_LOST_CLASSES = ("08", "57")  # connection; operator intervention


def _error(error: psycopg.Error) -> SqlError:
    state = error.sqlstate
    text = str(error).strip() or type(error).__name__
    if state in _KINDS:
        return SqlError(_KINDS[state], text)
    if state is None or state[:2] in _LOST_CLASSES or state == "53300":
        return SqlError(Failed.LOST, text)
    return SqlError(Failed.OTHER, text)


class PostgresConnection:
    """Satisfies driver.Connection."""

    def __init__(self, raw: "psycopg.Connection[Row]") -> None:
        self._raw = raw
        self._cursor = raw.cursor()

    @property
    def server_id(self) -> int:
        """As in Connection."""
        return self._raw.info.backend_pid

    def run(self, text: str) -> list[list[Row]]:
        """As in Connection."""
        cursor = self._cursor
        try:
            cursor.execute(text.encode(), prepare=False)
            results = []
            while True:
                results.append(cursor.fetchall() if cursor.description else [])
                if not cursor.nextset():
                    return results
        except psycopg.Error as error:
            raise _error(error) from error

    def close(self) -> None:
        """As in Connection."""
        try:
            self._raw.close()
        except psycopg.Error:
            return


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """Satisfies driver.Server.  `address` are psycopg's words for where to connect."""

    address: str = field(repr=False)
    place: str
    dialect: Dialect = field(default_factory=postgres)
    search_path: str = ""  # the schema, if not the user's own

    @property
    def leaves_open(self) -> bool:
        """As in Server."""
        return False

    def connect(self) -> Connection:
        """As in Server."""
        options = (
            f"-c lock_timeout={LOCK_WAIT_S}s -c standard_conforming_strings=on"
            f" -c idle_in_transaction_session_timeout={IDLE_TRANSACTION_S}s"
        )
        if self.search_path:
            options += f" -c search_path={self.search_path}"
        try:
            raw = psycopg.connect(
                self.address, autocommit=True, connect_timeout=CONNECT_WAIT_S, options=options
            )
        except psycopg.Error as error:
            raise _error(error) from error
        return PostgresConnection(raw)

    def transaction(self, statements: list[str]) -> str:
        """As in Server; a failing statement undoes it."""
        return "; ".join(statements)

    def begin(self) -> str:
        """As in Server."""
        return "BEGIN"

    def begin_snapshot(self) -> str:
        """As in Server."""
        return "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

    def guarded(self, value: str, condition: str) -> str:
        """As in Server."""
        return f"{value} / (CASE WHEN {condition} THEN 1 ELSE 0 END)"

    def kill(self, server_id: int) -> str:
        """As in Server."""
        return f"SELECT pg_terminate_backend({server_id})"

    def has_table(self, name: str) -> str:
        """As in Server."""
        return f"SELECT 1 FROM pg_class WHERE oid = to_regclass('{name}')"

    def survey(self, connection: Connection) -> tuple[str, tuple[str, ...]]:
        """As in Server."""
        ((commit, flush, pages),) = connection.run(
            "SELECT current_setting('synchronous_commit'), current_setting('fsync'),"
            " current_setting('full_page_writes')"
        )[0]
        notes = []
        words = f"a crash of the host: every commit is flushed (synchronous_commit={commit})"
        if commit == "off":
            words = "a crash of this program (synchronous_commit=off)"
            notes.append("synchronous_commit is off: a crash of the server loses the last commits")
        if flush == "off":
            words = "a crash of the server program (fsync=off)"
            notes.append("fsync is off: a crash of the database's host may lose everything")
        if pages == "off":
            notes.append("full_page_writes is off: a crash of the host may damage tables")
        return words, tuple(notes)
