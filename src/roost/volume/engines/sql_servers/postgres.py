"""PostgreSQL, through the lower half of psycopg 3.

All statements of a round trip go out in libpq's pipeline mode, prepared on their first use: one
transaction without BEGIN and COMMIT, undone as a whole if one fails.  (Measured: a create takes
0.3 ms this way, 1.25 ms as one text, which the server parses and plans anew each time.)

Sessions run in READ COMMITTED: each statement sees what was committed before it began, so checks
that cannot lock come in a statement after those that do.
Source: PostgreSQL 15 documentation, chapters 13, 34.5 and 55.2.3.
"""

import functools
import select
from collections.abc import Sequence
from dataclasses import dataclass, field

import psycopg
from psycopg import pq
from psycopg.adapt import Transformer
from psycopg.pq.abc import PGresult

from roost.volume.engines.sql.dialect import Dialect, Statement, Value, postgres
from roost.volume.engines.sql.rows import Row
from roost.volume.engines.sql_servers.driver import (
    ANSWER_WAIT_S,
    CONNECT_WAIT_S,
    IDLE_TRANSACTION_S,
    LOCK_WAIT_S,
    Connection,
    Failed,
    SqlError,
    one_line,
)

PORT = 5432
PREPARED_MAX = 256
_KINDS = {
    "22012": Failed.GUARD,  # division by zero
    "23505": Failed.DUPLICATE,
    "40001": Failed.BUSY,
    "40P01": Failed.BUSY,
    "55P03": Failed.HELD,
    "57014": Failed.BUSY,
    "22001": Failed.TOO_LONG,
    "22003": Failed.OUT_OF_RANGE,
    "22021": Failed.BAD_TEXT,
    "22P05": Failed.BAD_TEXT,
    "53100": Failed.FULL,
    "53300": Failed.CROWDED,
    "25006": Failed.READ_ONLY,
    "28000": Failed.DENIED,
    "28P01": Failed.DENIED,
    "42501": Failed.DENIED,
}
_LOST_CLASSES = ("08", "57")  # connection; operator intervention
_LOST = ("25P03",)  # idle in a transaction for too long
_REFUSALS = (
    ("too many connections", Failed.CROWDED),
    ("too many clients", Failed.CROWDED),
    ("connection slots are reserved", Failed.CROWDED),
    ("authentication failed", Failed.DENIED),
    ("pg_hba.conf", Failed.DENIED),
    ("permission denied", Failed.DENIED),
    ("is not permitted to log in", Failed.DENIED),
)
_TEXT, _BINARY = 0, 1
_DONE = (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK)


def _failed(state: str | None, message: str) -> SqlError:
    text = one_line(message) or "the connection failed"
    if state in _KINDS:
        return SqlError(_KINDS[state], text)
    if state is None or state[:2] in _LOST_CLASSES or state in _LOST:
        return SqlError(Failed.LOST, text)
    return SqlError(Failed.OTHER, text)


def _refused(message: str) -> SqlError:
    """Return why connecting failed; libpq tells no SQLSTATE then, only words."""
    kinds = [kind for words, kind in _REFUSALS if words in message]
    return SqlError(kinds[0] if kinds else Failed.LOST, one_line(message))


class PostgresConnection:
    """Satisfies driver.Connection."""

    def __init__(self, raw: "psycopg.Connection[Row]", dialect: Dialect) -> None:
        self._raw = raw
        self._dialect = dialect
        self._pg = raw.pgconn
        self._transformer = Transformer(raw)
        self._prepared: dict[str, bytes] = {}
        self._names = 0
        self._poll = select.poll()
        self._poll.register(self._pg.socket)
        self._server_id = self._pg.backend_pid
        self._pg.enter_pipeline_mode()

    @property
    def server_id(self) -> int:
        """As in Connection."""
        return self._server_id

    @property
    def descriptor(self) -> int:
        """As in Connection."""
        try:
            return int(self._pg.socket)
        except psycopg.Error:
            return -1

    def run(self, statements: Sequence[Statement]) -> list[list[Row]]:
        """As in Connection."""
        try:
            new = [self._send(template, values) for template, values in statements]
            self._pg.pipeline_sync()
            self._flush()
            results = self._receive()
        except (psycopg.Error, OSError) as error:
            raise _failed(getattr(error, "sqlstate", None), str(error)) from error
        return self._rows(results, new)

    def transact(self, statements: Sequence[Statement]) -> None:
        """As in Connection: one round trip is one transaction."""
        self.run(statements)

    def close(self) -> None:
        """As in Connection."""
        self._pg.finish()

    def _send(self, template: str, values: tuple[Value, ...]) -> str:
        """Put a statement under way; return its template if it is prepared by this."""
        name = self._prepared.get(template)
        is_new = name is None
        # Most values are numbers, and written here without a call each; not so enumerations.
        given = [b"%d" % value if type(value) is int else _parameter(value) for value in values]
        formats = [_BINARY if type(value) is bytes else _TEXT for value in values]
        if name is None:
            text = _numbered(self._dialect, template)
            if len(self._prepared) >= PREPARED_MAX:
                self._pg.send_query_params(text, given, None, formats, _BINARY)
                return ""
            self._names += 1
            name = b"roost%d" % self._names
            self._prepared[template] = name
            self._pg.send_prepare(name, text)
        self._pg.send_query_prepared(name, given, formats, _BINARY)
        return template if is_new else ""

    def _flush(self) -> None:
        while self._pg.flush():
            self._wait(select.POLLOUT | select.POLLIN)
            self._pg.consume_input()

    def _receive(self) -> list[PGresult]:
        """Return all results up to the end of the round trip."""
        results: list[PGresult] = []
        while True:
            while self._pg.is_busy():
                self._wait(select.POLLIN)
                self._pg.consume_input()
            result = self._pg.get_result()
            if result is None:
                if self._pg.status == pq.ConnStatus.BAD:
                    raise psycopg.OperationalError(self._pg.error_message.decode(errors="replace"))
            elif result.status == pq.ExecStatus.PIPELINE_SYNC:
                return results
            else:
                results.append(result)

    def _wait(self, events: int) -> None:
        self._poll.modify(self._pg.socket, events)
        if not self._poll.poll(ANSWER_WAIT_S * 1000):
            raise psycopg.OperationalError(f"no answer within {ANSWER_WAIT_S} s")

    def _rows(self, results: list[PGresult], new: list[str]) -> list[list[Row]]:
        found: list[list[Row]] = []
        failure: SqlError | None = None
        following = iter(results)
        for template in new:
            if template:
                prepared = next(following)
                if prepared.status not in _DONE:
                    failure = failure or _failure_of(prepared)
                    del self._prepared[template]
            result = next(following)
            if result.status not in _DONE:
                failure = failure or _failure_of(result)
            elif failure is None:
                found.append(self._load(result))
        if failure is not None:
            raise failure
        return found

    def _load(self, result: PGresult) -> list[Row]:
        if not result.ntuples:
            return []
        self._transformer.set_pgresult(result)
        return self._transformer.load_rows(0, result.ntuples, tuple)


def _failure_of(result: PGresult) -> SqlError:
    state = result.error_field(pq.DiagnosticField.SQLSTATE)
    text = result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or result.error_message
    return _failed((state or b"").decode(), text.decode(errors="replace"))


def _parameter(value: Value) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    return str(value).encode() if isinstance(value, str) else b"%d" % value


@functools.lru_cache(maxsize=4096)
def _numbered(dialect: Dialect, template: str) -> bytes:
    """Return the statement with $1, $2 … for values."""
    first, *rest = dialect.spell(template).split("?")
    return "".join([first, *(f"${n}{part}" for n, part in enumerate(rest, 1))]).encode()


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
            raise _refused(str(error)) from error
        return PostgresConnection(raw, self.dialect)

    def begin(self) -> list[Statement]:
        """As in Server."""
        return [("BEGIN", ())]

    def begin_snapshot(self) -> list[Statement]:
        """As in Server."""
        return [("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", ())]

    def next_if(self, number: str, condition: str) -> str:
        """As in Server."""
        return f"{number} + 1 / (CASE WHEN {condition} THEN 1 ELSE 0 END)"

    def kill(self, server_id: int) -> Statement:
        """As in Server."""
        return f"SELECT pg_terminate_backend({server_id})", ()

    def has_table(self, name: str) -> Statement:
        """As in Server."""
        return "SELECT 1 FROM pg_class WHERE oid = to_regclass(?)", (name,)

    def survey(self, connection: Connection) -> tuple[str, tuple[str, ...]]:
        """As in Server."""
        query = (
            "SELECT current_setting('synchronous_commit'), current_setting('fsync'),"
            " current_setting('full_page_writes')"
        )
        ((commit, flush, pages),) = connection.run([(query, ())])[0]
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
