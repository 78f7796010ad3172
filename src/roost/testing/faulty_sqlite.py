"""SQLite connections whose n-th statement fails, for fault tests of the metadata engine."""

import sqlite3
import threading
from typing import Any


class SqliteFaults:
    """A stand-in for sqlite3.connect that counts the statements that write, and fails some.

    `fail_at` is the number of the statement that fails, counted from 1 after `arm`; it is not
    executed.  With `fail_commit` only COMMITs count; with `lose_commit` too, but the COMMIT is
    executed and then reported as failed; with `fail_reads_after` nothing works after that.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.fail_at = 0
        self.fail_commit = False
        self.lose_commit = False
        self.fail_reads_after = False
        self.seen = 0
        self.armed = False

    def arm(self, fail_at: int) -> None:
        """Fail the `fail_at`-th statement of the writing connection from now on, once."""
        with self._lock:
            self.seen = 0
            self.fail_at = fail_at
            self.armed = True

    def disarm(self) -> int:
        """Fail nothing more; return how many statements were counted."""
        with self._lock:
            self.armed = False
            return self.seen

    def connect(self, *args: Any, **options: Any) -> sqlite3.Connection:
        """As sqlite3.connect."""
        return sqlite3.connect(*args, factory=self._connection_class(), **options)

    def _connection_class(self) -> type[sqlite3.Connection]:
        faults = self

        class FaultyConnection(sqlite3.Connection):
            writes = False

            def execute(self, *args: Any) -> sqlite3.Cursor:
                statement: str = args[0]
                # Only the writing connection says how it flushes.
                self.writes = self.writes or statement.startswith("PRAGMA synchronous =")
                fault = faults.next_fault(statement) if self.writes else ""
                if fault == "before":
                    raise _error()
                cursor = super().execute(*args)
                if fault == "after":
                    raise _error()
                return cursor

        return FaultyConnection

    def next_fault(self, statement: str) -> str:
        """Return "before", "after" or "" for a statement about to be executed."""
        with self._lock:
            if not self.armed:
                return ""
            if self.lose_commit or self.fail_commit:
                if statement != "COMMIT":
                    return "before" if self.fail_reads_after and self.seen else ""
                self.seen += 1
                fault = "after" if self.lose_commit else "before"
                return fault if self.seen == self.fail_at else ""
            self.seen += 1
            return "before" if self.seen == self.fail_at else ""


def _error() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("disk I/O error (injected)")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR
    return error
