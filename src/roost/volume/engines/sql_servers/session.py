"""One connection and its commits, each of which is done, not done, or decided by its token.

A session has a row in `roost_commit`: (client, batch).  A commit raises its number in the same
transaction, and only from the number before; without the row nothing is committed.  So when an
answer is lost, the session connects anew, locks the row and looks: the new number means done.  The
old number means not done, and is made unusable before anybody relies on that: a text that is still
under way then fails on it.

Not for several threads at once.
"""

import logging
import secrets
import time
from collections.abc import Callable, Iterable, Sequence

from roost.clock import Clock
from roost.errors import CommitUnknown
from roost.volume.engines.forks import forsake
from roost.volume.engines.sql.claimed import Run
from roost.volume.engines.sql.dialect import Statement
from roost.volume.engines.sql.rows import Row
from roost.volume.engines.sql.tables import COMMIT_TABLE
from roost.volume.engines.sql_servers.driver import (
    COMMIT,
    ROLLBACK,
    Connection,
    Failed,
    Server,
    SqlError,
)
from roost.volume.engines.sql_servers.fetch import Asked, Part, Records, parts_of
from roost.volume.engines.sql_servers.guard import Condition, joined
from roost.volume.engines.sql_servers.patience import Patience, Pause

RESOLVE_FOR_S = 15.0  # the lost connection may hold the row until it is ended
TOKEN_DAYS_KEPT = 7
TOKEN_LIFE_S = 86_400  # a row that nobody renews is not relied on for longer
_UNUSABLE = -1
# The limit keeps MySQL from reading the table that it writes.
_IS_BEFORE = (
    f"(SELECT COUNT(*) FROM (SELECT 1 AS one FROM {COMMIT_TABLE}"
    " WHERE client = ? AND batch = ? LIMIT 1 FOR UPDATE) own) = 1"
)
# No UPDATE: if the row is gone, that would find nothing to change and judge nothing.
_RAISE = (
    f"INSERT INTO {COMMIT_TABLE} (client, batch, at) VALUES (?, ? + {{one}}, ?)"
    " ON CONFLICT (client) DO UPDATE SET batch = excluded.batch, at = excluded.at"
)

_AGAIN = (Failed.LOST, Failed.CROWDED, Failed.BUSY, Failed.HELD)
log = logging.getLogger(__name__)


def _nothing(run: Run) -> None:
    pass


class Session:
    """A connection that comes back by itself."""

    def __init__(
        self,
        server: Server,
        clock: Clock,
        pause: Pause = time.sleep,
        settle: Callable[[Run], None] = _nothing,
    ) -> None:
        """`settle` looks whose the database is, on each new connection; what it raises, all do."""
        self._server = server
        self._clock = clock
        self._pause = pause
        self._settle = settle
        self._connection: Connection | None = None
        self._client = 0
        self._batch = 0
        self._is_open = False  # in a transaction
        self._token_s: int | None = None  # when the row was last written; None: there is none

    # ---- connecting
    @property
    def is_connected(self) -> bool:
        """True if there is a connection, as far as this side knows."""
        return self._connection is not None

    def connect(self) -> Connection:
        """Return the connection; make it if there is none, in one try.  Raises SqlError."""
        if self._connection is None:
            self._connection = self._settled(self._server.connect())
        return self._connection

    def _connected(self) -> Connection:
        patience = self._patience()
        while True:
            try:
                return self.connect()
            except SqlError as error:
                if error.kind not in (Failed.LOST, Failed.CROWDED) or not patience.again():
                    raise
                log.debug("connecting again to %s: %s", self._server.place, error)

    def _patience(self) -> Patience:
        return Patience(self._clock, self._pause)

    def _settled(self, connection: Connection) -> Connection:
        try:
            self._settle(connection.run)
        except BaseException:
            connection.close()
            raise
        return connection

    @property
    def connection(self) -> Connection:
        """The connection, made if there is none.  Raises SqlError."""
        return self._connected()

    def drop(self) -> None:
        """Let go of the connection, whatever state it is in."""
        connection, self._connection = self._connection, None
        self._is_open = False
        if connection is not None:
            connection.close()

    def abandon(self) -> None:
        """Let go in the middle of whatever was done; nobody knows the number of its last commit."""
        self._token_s = None
        self.drop()

    def close(self) -> None:
        """Forget the token and let go."""
        if self._connection is not None and self._token_s is not None:
            try:
                text = f"DELETE FROM {COMMIT_TABLE} WHERE client = ?"
                self._connection.run([(text, (self._client,))])
            except SqlError as error:
                log.debug("a commit token stays behind: %s", error)
        self.drop()

    def forsake(self) -> None:
        """Let go of a connection that a forked child inherited; its parent keeps it."""
        if self._connection is not None:
            forsake(self._connection.descriptor)

    # ---- reading
    def ask(self, statements: Sequence[Statement]) -> list[list[Row]]:
        """Execute statements that change nothing, again on a new connection if one is lost."""
        patience = self._patience()
        while True:
            try:
                return self.connect().run(statements)
            except SqlError as error:
                self.drop()  # whatever transaction they had begun ends with it
                if error.kind not in _AGAIN or not patience.again():
                    raise

    def begin_snapshot(self) -> None:
        """Begin a transaction that reads one moment, until `end`."""
        self.ask(self._server.begin_snapshot())
        self._is_open = True

    def run(self, statements: Sequence[Statement]) -> list[list[Row]]:
        """Execute statements of a transaction that is open.  Raises SqlError."""
        return self._connected().run(statements)

    def fetch(self, asked: Asked) -> Records:
        """Return the records asked for, all of one moment, in one round trip."""
        parts = parts_of(asked.values(), lock=False)
        if not parts:
            return {}
        statements = [part.statement for part in parts]
        if len(statements) == 1:
            return _records(parts, self.ask(statements))
        begin = self._server.begin_snapshot()
        results = self.ask([*begin, *statements, COMMIT])
        return _records(parts, results[len(begin) : -1])

    def fetch_more(self, asked: Asked, *, begin: Sequence[Statement] = (), lock: bool) -> Records:
        """Return the records asked for inside a transaction, which `begin` opens if given."""
        parts = parts_of(asked.values(), lock=lock)
        statements = [*begin, *(part.statement for part in parts)]
        if not statements:
            return {}
        self._is_open = True
        return _records(parts, self.run(statements)[len(begin) :])

    def end(self) -> None:
        """End an open transaction, if there is one, without a change."""
        if not self._is_open or self._connection is None:
            return
        try:
            self._connection.run([ROLLBACK])
            self._is_open = False
        except SqlError:
            self.drop()

    # ---- committing
    def commit(
        self,
        conditions: Sequence[Condition],
        later: Sequence[Condition],
        statements: Iterable[Statement],
        *,
        is_open: bool = False,
    ) -> None:
        """Do the statements if all conditions hold, in one round trip.

        `later` conditions are judged by a second statement, after the first has its locks.  With
        `is_open` the session is in the transaction already, and this ends it.
        Raises SqlError if nothing was done, CommitUnknown if that cannot be found out.
        """
        if not is_open:
            self.renew_token()
        batch = self._batch + 1
        written = [self._token(batch, conditions)]
        if later:
            text, values = joined(later)
            written.append((f"SELECT {self._server.next_if('1', text)}", values))
        written.extend(statements)
        connection = self._connected()
        self._is_open = is_open or self._server.leaves_open
        try:
            if is_open:
                connection.run([*written, COMMIT])
            else:
                connection.transact(written)
        except SqlError as error:
            if error.kind is not Failed.LOST:
                self.end()
                if error.kind is Failed.GUARD and not conditions:
                    self._token_s = None  # only the number can have been wrong
                raise
            self._resolve(batch, connection.server_id, error)
            log.warning("a commit was done although its answer was lost: %s", error)
        self._is_open = False
        self._batch = batch

    def _token(self, batch: int, conditions: Sequence[Condition]) -> Statement:
        """Return what raises the number and judges all conditions."""
        now_s = self._now_s()
        self._token_s = now_s
        text, values = joined([(_IS_BEFORE, (self._client, batch - 1)), *conditions])
        change = _RAISE.format(one=self._server.next_if("0", text))
        return change, (self._client, batch - 1, *values, now_s)

    def renew_token(self) -> None:
        """Make sure that there is a row for this session's commits.  Raises SqlError."""
        now_s = self._now_s()
        if self._token_s is not None and now_s - self._token_s < TOKEN_LIFE_S:
            return
        if self._connection is not None:  # a new one is asked anyway
            self._settle(self.ask)  # who has lost the row may have lost the volume
        client = secrets.randbits(62)
        text = f"INSERT INTO {COMMIT_TABLE} (client, batch, at) VALUES (?, 0, ?)"
        self.ask([(text, (client, now_s))])
        self._client, self._batch, self._token_s = client, 0, now_s

    def _resolve(self, batch: int, server_id: int, lost: SqlError) -> None:
        """Return if the commit was done; raise SqlError BUSY if not, or CommitUnknown."""
        patience = Patience(self._clock, self._pause, RESOLVE_FOR_S)
        is_held = False
        while True:
            self.drop()
            try:
                connection = self.connect()
                if is_held:
                    connection.run([self._server.kill(server_id)])
                if self._was_done(connection, batch):
                    return
                self._token_s = None
                break
            except SqlError as error:
                log.debug("asking again what became of a commit: %s", error)
                # Its row is locked: the lost connection is in the middle of the transaction.
                is_held = error.kind in (Failed.BUSY, Failed.HELD)
                if not patience.again():
                    self._token_s = None
                    raise CommitUnknown(
                        f"the answer of a commit to {self._server.place} was lost: {lost}",
                        hint="Look whether the change is there before you repeat it.",
                    ) from lost
        raise SqlError(Failed.BUSY, f"nothing was committed: {lost}")

    def _was_done(self, connection: Connection, batch: int) -> bool:
        client = (self._client,)
        select = f"SELECT batch FROM {COMMIT_TABLE} WHERE client = ? FOR UPDATE"
        rows = connection.run([*self._server.begin(), (select, client)])[-1]
        done = bool(rows) and rows[0][0] == batch
        if not done:
            text = f"UPDATE {COMMIT_TABLE} SET batch = {_UNUSABLE} WHERE client = ?"
            connection.run([(text, client)])
        connection.run([COMMIT])
        return done

    def _now_s(self) -> int:
        return self._clock.wall_ns() // 1_000_000_000


def _records(parts: Sequence[Part], results: Sequence[list[Row]]) -> Records:
    made: Records = {}
    for part, rows in zip(parts, results, strict=True):
        made.update(part.records(rows))
    return made
