"""One connection and its commits, each of which is done, not done, or decided by its token.

A session has a row in `roost_commit`: (client, batch).  A commit raises its number in the same
transaction, and only from the number before.  So when an answer is lost, the session connects
anew, locks the row and looks: the new number means done.  The old number means not done, and is
made unusable before anybody relies on that: a text that is still under way then fails on it.

Not for several threads at once.
"""

import logging
import secrets
import time
from collections.abc import Callable, Iterable, Sequence

from roost.clock import Clock
from roost.errors import CommitUnknown
from roost.volume.engines.sql.dialect import Statement
from roost.volume.engines.sql.rows import Row
from roost.volume.engines.sql.tables import COMMIT_TABLE
from roost.volume.engines.sql_servers.driver import Connection, Failed, Server, SqlError
from roost.volume.engines.sql_servers.fetch import Asked, Part, Records, parts_of

CONNECTS_MAX = 8
PAUSE_S = 0.05  # doubled each time: about six seconds in all
TOKEN_DAYS_KEPT = 7
TOKEN_LIFE_S = 86_400  # a row that nobody renews is not relied on for longer
_UNUSABLE = -1

Pause = Callable[[float], None]
log = logging.getLogger(__name__)


class Session:
    """A connection that comes back by itself."""

    def __init__(self, server: Server, clock: Clock, pause: Pause = time.sleep) -> None:
        self._server = server
        self._clock = clock
        self._pause = pause
        self._connection: Connection | None = None
        self._client = 0
        self._batch = 0
        self._is_open = False  # in a transaction
        self._token_s: int | None = None  # when the row was last written; None: there is none

    # ---- connecting
    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> Connection:
        for attempt in range(CONNECTS_MAX):
            if attempt:
                self._pause(PAUSE_S * 2 ** (attempt - 1))
            try:
                return self._server.connect()
            except SqlError as error:
                if error.kind is not Failed.LOST or attempt == CONNECTS_MAX - 1:
                    raise
                log.debug("connecting again to %s: %s", self._server.place, error)
        raise AssertionError

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

    def close(self) -> None:
        """Forget the token and let go."""
        if self._connection is not None and self._token_s is not None:
            try:
                self._connection.run(f"DELETE FROM {COMMIT_TABLE} WHERE client = {self._client}")
            except SqlError as error:
                log.debug("a commit token stays behind: %s", error)
        self.drop()

    # ---- reading
    def ask(self, text: str) -> list[list[Row]]:
        """Execute statements that change nothing, again on a new connection if one is lost."""
        for attempt in range(CONNECTS_MAX):
            try:
                return self._connected().run(text)
            except SqlError as error:
                self.drop()  # whatever transaction the text had begun ends with it
                if error.kind not in (Failed.LOST, Failed.BUSY) or attempt == CONNECTS_MAX - 1:
                    raise
                self._pause(PAUSE_S * attempt)
        raise AssertionError

    def begin_snapshot(self) -> None:
        """Begin a transaction that reads one moment, until `end`."""
        self.ask(self._server.begin_snapshot())
        self._is_open = True

    def run(self, text: str) -> list[list[Row]]:
        """Execute statements of a transaction that is open.  Raises SqlError."""
        return self._connected().run(text)

    def fetch(self, asked: Asked) -> Records:
        """Return the records asked for, all of one moment, in one round trip."""
        parts = parts_of(asked.values(), lock=False)
        if not parts:
            return {}
        texts = self._texts(parts)
        if len(texts) == 1:
            return _records(parts, self.ask(texts[0]))
        begin = self._server.begin_snapshot()
        results = self.ask("; ".join([begin, *texts, "COMMIT"]))
        first = begin.count(";") + 1
        return _records(parts, results[first : first + len(texts)])

    def fetch_more(self, asked: Asked, *, begin: str = "", lock: bool) -> Records:
        """Return the records asked for inside a transaction, which `begin` opens if given."""
        parts = parts_of(asked.values(), lock=lock)
        texts = [*([begin] if begin else []), *self._texts(parts)]
        if not texts:
            return {}
        self._is_open = True
        results = self.run("; ".join(texts))
        first = begin.count(";") + 1 if begin else 0
        return _records(parts, results[first:])

    def end(self) -> None:
        """End an open transaction, if there is one, without a change."""
        if not self._is_open or self._connection is None:
            return
        try:
            self._connection.run("ROLLBACK")
            self._is_open = False
        except SqlError:
            self.drop()

    def _texts(self, parts: Sequence[Part]) -> list[str]:
        return [self._server.dialect.render(part.statement) for part in parts]

    # ---- committing
    def commit(
        self,
        conditions: Sequence[str],
        later: Sequence[str],
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
        texts = [self._token(batch, conditions)]
        if later:
            texts.append(f"SELECT {self._server.guarded('1', ' AND '.join(later))}")
        texts.extend(map(self._server.dialect.render, statements))
        text = "; ".join([*texts, "COMMIT"]) if is_open else self._server.transaction(texts)
        connection = self._connected()
        self._is_open = is_open or self._server.leaves_open
        try:
            connection.run(text)
        except SqlError as error:
            if error.kind is not Failed.LOST:
                self.end()
                raise
            self._resolve(batch, connection.server_id, error)
            log.warning("a commit was done although its answer was lost: %s", error)
        self._is_open = False
        self._batch = batch

    def _token(self, batch: int, conditions: Sequence[str]) -> str:
        expected = " AND ".join([f"batch = {batch - 1}", *conditions])
        number = self._server.guarded(str(batch), expected)
        now_s = self._now_s()
        self._token_s = now_s
        change = f"batch = {number}, at = {now_s}"
        return f"UPDATE {COMMIT_TABLE} SET {change} WHERE client = {self._client}"

    def renew_token(self) -> None:
        """Make sure that there is a row for this session's commits.  Raises SqlError."""
        now_s = self._now_s()
        if self._token_s is not None and now_s - self._token_s < TOKEN_LIFE_S:
            return
        client = secrets.randbits(62)
        values = f"({client}, 0, {now_s})"
        self.ask(f"INSERT INTO {COMMIT_TABLE} (client, batch, at) VALUES {values}")
        self._client, self._batch, self._token_s = client, 0, now_s

    def _resolve(self, batch: int, server_id: int, lost: SqlError) -> None:
        """Return if the commit was done; raise SqlError BUSY if not, or CommitUnknown."""
        is_held = False
        for attempt in range(CONNECTS_MAX):
            self.drop()
            try:
                connection = self._connected()
                if is_held:
                    connection.run(self._server.kill(server_id))
                if self._was_done(connection, batch):
                    return
            except SqlError as error:
                log.debug("asking again what became of a commit: %s", error)
                # Its row is locked: the lost connection is in the middle of the transaction.
                is_held = error.kind is Failed.BUSY
                self._pause(PAUSE_S * attempt)
                continue
            self._token_s = None
            raise SqlError(Failed.BUSY, f"nothing was committed: {lost}")
        self._token_s = None
        raise CommitUnknown(f"the answer of a commit to {self._server.place} was lost: {lost}")

    def _was_done(self, connection: Connection, batch: int) -> bool:
        place = f"FROM {COMMIT_TABLE} WHERE client = {self._client}"
        rows = connection.run(f"{self._server.begin()}; SELECT batch {place} FOR UPDATE")[-1]
        done = bool(rows) and rows[0][0] == batch
        if not done:
            connection.run(
                f"UPDATE {COMMIT_TABLE} SET batch = {_UNUSABLE} WHERE client = {self._client}"
            )
        connection.run("COMMIT")
        return done

    def _now_s(self) -> int:
        return self._clock.wall_ns() // 1_000_000_000


def _records(parts: Sequence[Part], results: Sequence[list[Row]]) -> Records:
    made: Records = {}
    for part, rows in zip(parts, results, strict=True):
        made.update(part.records(rows))
    return made
