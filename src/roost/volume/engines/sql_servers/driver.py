"""What the engine asks of a database server, and how its failures are told apart."""

from collections.abc import Sequence
from enum import Enum, auto
from typing import Protocol

from roost.volume.engines.sql.dialect import Dialect, Statement
from roost.volume.engines.sql.rows import Row

CONNECT_WAIT_S = 5
ANSWER_WAIT_S = 60
LOCK_WAIT_S = 3  # for another client's row; then the operation begins again
IDLE_TRANSACTION_S = 60  # the server ends a transaction whose client vanished


class Failed(Enum):
    """What a statement failed of."""

    GUARD = auto()  # a predicate of the commit does not hold
    DUPLICATE = auto()  # a key is taken
    BUSY = auto()  # deadlock, serialization: the same again may work
    HELD = auto()  # another transaction kept a row for LOCK_WAIT_S: the same again may work
    CROWDED = auto()  # the server, or the user, has as many connections as are allowed
    LOST = auto()  # the connection is gone; what it did last is unknown
    TOO_LONG = auto()  # a value does not fit its column
    OUT_OF_RANGE = auto()  # a number does not fit its column
    BAD_TEXT = auto()  # bytes that the column's character set does not have
    FULL = auto()  # no space
    READ_ONLY = auto()  # the server takes no writes
    DENIED = auto()  # who is connecting, or what it may do
    OTHER = auto()


COMMIT: Statement = ("COMMIT", ())
ROLLBACK: Statement = ("ROLLBACK", ())


def one_line(message: str) -> str:
    """Return the message with its lines joined."""
    return " ".join(message.split())


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

    @property
    def descriptor(self) -> int:
        """The number of its socket; less than 0 if it is closed."""
        ...

    def run(self, statements: Sequence[Statement]) -> list[list[Row]]:
        """Execute statements in one round trip and return the rows of each.

        Stops at the first that fails.  Raises SqlError.
        """
        ...

    def transact(self, statements: Sequence[Statement]) -> None:
        """Execute a whole transaction in one round trip.

        Stops at the first statement that fails; the transaction is then undone, or open if
        `Server.leaves_open`.  Raises SqlError.
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
        """True if a transaction that failed must be ended by ROLLBACK."""
        ...

    def connect(self) -> Connection:
        """Open a connection in autocommit mode.  Raises SqlError."""
        ...

    def begin(self) -> list[Statement]:
        """Return what begins a transaction that locks what it reads."""
        ...

    def begin_snapshot(self) -> list[Statement]:
        """Return what begins a read-only transaction that sees one moment."""
        ...

    def next_if(self, number: str, condition: str) -> str:
        """Return an expression: one more than `number` if the condition holds, else it fails.

        The failure is GUARD.
        """
        ...

    def kill(self, server_id: int) -> Statement:
        """Return the statement that ends another connection of the same user."""
        ...

    def has_table(self, name: str) -> Statement:
        """Return a query that has a row if the table exists."""
        ...

    def survey(self, connection: Connection) -> tuple[str, tuple[str, ...]]:
        """Return what a commit survives, in words, and warnings for `status`."""
        ...
