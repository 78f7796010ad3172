"""What the engine asks of a database server, and how its failures are told apart."""

from enum import Enum, auto
from typing import Protocol

from roost.volume.engines.sql.dialect import Dialect
from roost.volume.engines.sql.rows import Row

CONNECT_WAIT_S = 5
ANSWER_WAIT_S = 60
LOCK_WAIT_S = 10  # for another client's row; then the operation begins again
IDLE_TRANSACTION_S = 60  # the server ends a transaction whose client vanished


class Failed(Enum):
    """What a statement failed of."""

    GUARD = auto()  # a predicate of the commit does not hold
    DUPLICATE = auto()  # a key is taken
    BUSY = auto()  # deadlock, lock wait, serialization: the same again may work
    LOST = auto()  # the connection is gone; what it did last is unknown
    TOO_LONG = auto()  # a value does not fit its column
    OUT_OF_RANGE = auto()  # a number does not fit its column
    BAD_TEXT = auto()  # bytes that the column's character set does not have
    FULL = auto()  # no space
    OTHER = auto()


class SqlError(Exception):
    """A statement failed; nothing after it was executed."""

    def __init__(self, kind: Failed, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


class Connection(Protocol):
    """One connection; not for several threads at once."""

    @property
    def server_id(self) -> int:
        """The number by which the server knows it, for `Server.kill`."""
        ...

    def run(self, text: str) -> list[list[Row]]:
        """Execute a text of one or more statements in one round trip; return rows per statement.

        Stops at the first that fails.  Raises SqlError.
        """
        ...

    def close(self) -> None:
        """Let go; never raises."""
        ...


class Server(Protocol):
    """One kind of database server and where it is."""

    @property
    def dialect(self) -> Dialect:
        """How it wants statements spelled."""
        ...

    @property
    def place(self) -> str:
        """Where it is, without a password, for messages."""
        ...

    @property
    def leaves_open(self) -> bool:
        """True if a `transaction` that failed must be ended by ROLLBACK."""
        ...

    def connect(self) -> Connection:
        """Open a connection in autocommit mode.  Raises SqlError LOST."""
        ...

    def transaction(self, statements: list[str]) -> str:
        """Return the text of a transaction; a failing statement ends it undone or open."""
        ...

    def begin(self) -> str:
        """Return the statement that begins a transaction that locks what it reads."""
        ...

    def begin_snapshot(self) -> str:
        """Return the statements that begin a read-only transaction that sees one moment."""
        ...

    def guarded(self, value: str, condition: str) -> str:
        """Return an expression: `value` if the condition holds, else it fails as GUARD."""
        ...

    def kill(self, server_id: int) -> str:
        """Return the statement that ends another connection of the same user."""
        ...

    def has_table(self, name: str) -> str:
        """Return a query that has a row if the table exists."""
        ...

    def survey(self, connection: Connection) -> tuple[str, tuple[str, ...]]:
        """Return what a commit survives, in words, and warnings for `status`."""
        ...
