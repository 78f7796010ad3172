"""MySQL and MariaDB, through PyMySQL.

A commit goes out as one text and takes one round trip.  To MariaDB it is one compound statement,
which is answered once, and mostly one that the server has parsed before (`mysql_blocks`).  MySQL
knows no such statement: it gets, and answers, each by itself.

Sessions run in READ COMMITTED: what a commit depends on it locks, and without gap locks creators in
one directory do not deadlock.  A binary log of statements does not allow that; there it is
REPEATABLE READ, where the first plain read comes after the locks as well.
Source: MariaDB and MySQL reference manuals; the volume format reference, section 3.4.
"""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import pymysql
from pymysql.constants import CLIENT, CR, ER

from roost.volume.engines.sql.dialect import Dialect, Statement, mysql
from roost.volume.engines.sql.rows import Row
from roost.volume.engines.sql_servers.driver import (
    ANSWER_WAIT_S,
    COMMIT,
    CONNECT_WAIT_S,
    IDLE_TRANSACTION_S,
    LOCK_WAIT_S,
    Connection,
    Failed,
    SqlError,
)
from roost.volume.engines.sql_servers.mysql_blocks import Blocks

TLS_MODES = ("true", "skip-verify", "preferred", "false")
"""As the driver in Go: verified, any certificate, what the server offers, never."""
PORT = 3306
_MODES = (
    "ANSI_QUOTES,PIPES_AS_CONCAT,STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,"
    "NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO"
)
_TWO_ROWS = "(SELECT 1 UNION SELECT 2)"  # where one is expected: an error
_BEGIN: Statement = ("START TRANSACTION", ())
_RECORD_CHANGED = 1020
_NOT_UNDERSTOOD = (
    ER.PARSE_ERROR,
    ER.UNKNOWN_STMT_HANDLER,
    ER.UNSUPPORTED_PS,
    1461,  # as many prepared statements as the server allows
)
_IDLE_KILLED = 4031
_READ_ONLY = 1836
_KINDS = {
    ER.SUBQUERY_NO_1_ROW: Failed.GUARD,
    ER.DUP_ENTRY: Failed.DUPLICATE,
    ER.LOCK_DEADLOCK: Failed.BUSY,
    ER.LOCK_WAIT_TIMEOUT: Failed.HELD,
    _RECORD_CHANGED: Failed.BUSY,
    ER.DATA_TOO_LONG: Failed.TOO_LONG,
    ER.WARN_DATA_OUT_OF_RANGE: Failed.OUT_OF_RANGE,
    ER.TRUNCATED_WRONG_VALUE_FOR_FIELD: Failed.BAD_TEXT,
    1300: Failed.BAD_TEXT,  # invalid character string
    ER.RECORD_FILE_FULL: Failed.FULL,
    ER.DISK_FULL: Failed.FULL,
    ER.CON_COUNT_ERROR: Failed.CROWDED,
    ER.TOO_MANY_USER_CONNECTIONS: Failed.CROWDED,
    ER.USER_LIMIT_REACHED: Failed.CROWDED,  # max_user_connections
    ER.OPTION_PREVENTS_STATEMENT: Failed.READ_ONLY,
    _READ_ONLY: Failed.READ_ONLY,
    ER.ACCESS_DENIED_ERROR: Failed.DENIED,
    ER.DBACCESS_DENIED_ERROR: Failed.DENIED,
    ER.TABLEACCESS_DENIED_ERROR: Failed.DENIED,
    ER.SPECIFIC_ACCESS_DENIED_ERROR: Failed.DENIED,
    ER.SERVER_SHUTDOWN: Failed.LOST,
    ER.NEW_ABORTING_CONNECTION: Failed.LOST,
    ER.QUERY_INTERRUPTED: Failed.LOST,
    _IDLE_KILLED: Failed.LOST,
    1927: Failed.LOST,  # MariaDB: connection was killed
    CR.CR_SERVER_GONE_ERROR: Failed.LOST,
    CR.CR_SERVER_LOST: Failed.LOST,
    CR.CR_CONN_HOST_ERROR: Failed.LOST,
    CR.CR_CONNECTION_ERROR: Failed.LOST,
}


class _NotUnderstood(SqlError):
    """The server cannot do what a text asks for, or not this way; it began nothing."""


@cache
def _tls_context(mode: str) -> ssl.SSLContext | None:
    """Return what the driver is given; with None, unless TLS is off, it takes what is offered."""
    if mode not in ("true", "skip-verify"):
        return None  # an empty context would let it go on in clear text, too
    context = ssl.create_default_context()
    if mode == "skip-verify":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _error(error: Exception) -> SqlError:
    code = error.args[0] if error.args and isinstance(error.args[0], int) else None
    if code is None or isinstance(error, (OSError, pymysql.InterfaceError)):
        return SqlError(Failed.LOST, str(error) or type(error).__name__)
    if code in _NOT_UNDERSTOOD:
        return _NotUnderstood(Failed.OTHER, str(error.args[-1]))
    return SqlError(_KINDS.get(code, Failed.OTHER), str(error.args[-1]))


class MysqlConnection:
    """Satisfies driver.Connection."""

    def __init__(self, raw: "pymysql.Connection[pymysql.cursors.Cursor]", dialect: Dialect) -> None:
        self._raw = raw
        self._render = dialect.render
        has_blocks = "MariaDB" in raw.get_server_info()  # type: ignore[no-untyped-call]  # as above
        self._blocks = Blocks(dialect) if has_blocks else None
        self._server_id = int(raw.thread_id())  # type: ignore[no-untyped-call]  # it has no types

    @property
    def server_id(self) -> int:
        """As in Connection."""
        return self._server_id

    @property
    def descriptor(self) -> int:
        """As in Connection."""
        connected = self._raw._sock  # type: ignore[attr-defined]  # there is no other way to it
        return -1 if connected is None else int(connected.fileno())

    def run(self, statements: Sequence[Statement]) -> list[list[Row]]:
        """As in Connection; the statements are one text."""
        return self._run("; ".join(map(self._render, statements)))

    def transact(self, statements: Sequence[Statement]) -> None:
        """As in Connection; a failing statement leaves the transaction open."""
        if self._blocks is not None:
            block = self._blocks.of(statements)
            try:
                self._run(block.text)
                block.done()
                return
            except _NotUnderstood:  # by an old server, or what stands before it: not begun
                self._blocks = None
        self.run([_BEGIN, *statements, COMMIT])

    def _run(self, text: str) -> list[list[Row]]:
        try:
            with self._raw.cursor() as cursor:
                cursor.execute(text)
                results = [list(cursor.fetchall())]
                while cursor.nextset():
                    results.append(list(cursor.fetchall()))
                return results
        except (pymysql.MySQLError, OSError, ValueError, IndexError) as error:
            raise _error(error) from error

    def close(self) -> None:
        """As in Connection."""
        try:
            self._raw.close()
        except (pymysql.MySQLError, OSError):
            return


@dataclass(frozen=True, slots=True)
class MysqlServer:
    """Satisfies driver.Server."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str
    dialect: Dialect = field(default_factory=mysql)
    repeatable: bool = False  # the binary log does not allow READ COMMITTED
    tls: str = "false"  # one of TLS_MODES
    socket: str = ""  # the path of the server's socket; then host and port mean nothing

    @property
    def place(self) -> str:
        """As in Server."""
        where = f"unix({self.socket})" if self.socket else f"{self.host}:{self.port}"
        return f"mysql://{where}/{self.database}"

    @property
    def leaves_open(self) -> bool:
        """As in Server."""
        return True

    def connect(self) -> Connection:
        """As in Server."""
        try:
            raw = pymysql.connect(
                host=self.host,
                port=self.port,
                unix_socket=self.socket or None,
                user=self.user,
                password=self.password,
                database=self.database,
                charset="utf8mb4",
                autocommit=True,
                client_flag=CLIENT.MULTI_STATEMENTS,
                connect_timeout=CONNECT_WAIT_S,
                read_timeout=ANSWER_WAIT_S,
                write_timeout=ANSWER_WAIT_S,
                ssl=_tls_context(self.tls),
                ssl_disabled=self.tls == "false",
            )
        except (pymysql.MySQLError, OSError) as error:
            raise _error(error) from error
        connection = MysqlConnection(raw, self.dialect)
        level = "REPEATABLE READ" if self.repeatable else "READ COMMITTED"
        modes = f"sql_mode = '{_MODES}', innodb_lock_wait_timeout = {LOCK_WAIT_S}"
        connection.run(
            [
                (f"SET SESSION {modes}", ()),
                (f"SET SESSION TRANSACTION ISOLATION LEVEL {level}", ()),
            ]
        )
        try:
            connection.run([(f"SET SESSION idle_transaction_timeout = {IDLE_TRANSACTION_S}", ())])
        except SqlError as error:  # MariaDB's own
            if error.kind is Failed.LOST:
                raise
        return connection

    def begin(self) -> list[Statement]:
        """As in Server."""
        return [_BEGIN]

    def begin_snapshot(self) -> list[Statement]:
        """As in Server."""
        return [
            ("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", ()),
            ("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY", ()),
        ]

    def next_if(self, number: str, condition: str) -> str:
        """As in Server."""
        return f"IF({condition}, {number} + 1, {_TWO_ROWS})"

    def kill(self, server_id: int) -> Statement:
        """As in Server."""
        return f"KILL CONNECTION {server_id}", ()

    def has_table(self, name: str) -> Statement:
        """As in Server."""
        return (
            "SELECT 1 FROM information_schema.tables"
            " WHERE table_schema = DATABASE() AND table_name = ?"
        ), (name,)

    def survey(self, connection: Connection) -> tuple[str, tuple[str, ...]]:
        """As in Server."""
        query = (
            "SELECT @@innodb_flush_log_at_trx_commit, @@sync_binlog, @@log_bin, @@binlog_format,"
            " @@max_allowed_packet"
        )
        ((flush, sync_log, has_log, form, packet),) = connection.run([(query, ())])[0]
        notes = []
        words = "a crash of the host: every commit is flushed (innodb_flush_log_at_trx_commit=1)"
        if flush != 1:
            words = f"a crash of the server program (innodb_flush_log_at_trx_commit={flush})"
            notes.append(
                f"innodb_flush_log_at_trx_commit is {flush}: a crash of the database's host loses"
                " up to a second of commits; set it to 1"
            )
        if has_log and not sync_log:
            notes.append("sync_binlog is 0: after a crash a replica may lack the last commits")
        if has_log and form == "STATEMENT":
            notes.append("binlog_format is STATEMENT: clients wait for each other more; use ROW")
        if packet < 4 << 20:
            notes.append(f"max_allowed_packet is {packet} bytes: raise it to 16 MiB")
        return words, tuple(notes)
