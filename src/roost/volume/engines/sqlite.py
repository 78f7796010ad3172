"""Metadata in SQLite, in JuiceFS's own tables; the official client may have it open as well.

Writes: one thread at a time has the writing connection, the first that comes while it is free.  It
takes along all operations that wait, up to a bound, and runs each in one BEGIN IMMEDIATE
transaction, inside a savepoint of its own unless it is alone.  Reads there are real.  It commits
once, with `synchronous=FULL`; then the connection goes to whoever came first since.  Nobody hears
an answer, refusals included, before that commit: a refusal may rest on an earlier operation of the
same batch.
Each batch also writes its number in `roost_commit`.  If the answer of COMMIT is lost, that row
decides whether the batch was done.

Reads: a bounded pool of connections, each read in one snapshot.  A read-only engine has only
these, opened with mode=ro, and writes nothing.

Invariants: `_waiting` holds one job of each waiting thread at most; a job taken from it is always
answered, or leads; nothing waits while the connection is free.
Locks: `_lock` guards `_waiting`, `_busy` and `_closed`; none is held while a rule runs.  SQLite is
used inside of `GATE`, entered last.
"""

import errno
import logging
import queue
import secrets
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

from roost.clock import Clock
from roost.errors import CommitUnknown, RoostError, Unavailable
from roost.volume.engines.forks import Origin
from roost.volume.engines.sql.claimed import SqlClaims
from roost.volume.engines.sqlite_connecting import Connect, open_connection
from roost.volume.engines.sqlite_forks import GATE
from roost.volume.engines.sqlite_jobs import Job, fail_all, not_done
from roost.volume.engines.sqlite_reads import SqliteReads, scans_of
from roost.volume.engines.sqlite_tables import COMMIT_TABLE, COMMIT_TOKEN, drop_tables
from roost.volume.engines.sqlite_writes import write_effects
from roost.volume.errors import FsError, VolumeReplaced
from roost.volume.meta.claim import Claim
from roost.volume.meta.reads import Reads, Scans
from roost.volume.meta.txn import Txn

BATCH_JOBS_MAX = 64
READ_CONNECTIONS_MAX = 8
BUSY_ATTEMPTS_MAX = 6
TOKEN_DAYS_KEPT = 7

T = TypeVar("T")
log = logging.getLogger(__name__)


class SqliteEngine:
    """An open database.  Satisfies meta.txn.Engine."""

    def __init__(
        self, path: Path, clock: Clock, *, read_only: bool, connect: Connect = sqlite3.connect
    ) -> None:
        """Open the database, which must exist.  `connect` stands in for sqlite3.connect in tests.

        Raises Unavailable if it cannot be opened.
        """
        GATE.demand_usable(path)
        self._origin = Origin()
        self._path = path
        self._clock = clock
        self._connect = connect
        self._read_only = read_only
        self._claims = SqlClaims()
        self._readers: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()
        self._readers_allowed = threading.BoundedSemaphore(READ_CONNECTIONS_MAX)
        self._lock = threading.Lock()
        self._waiting: deque[Job[object]] = deque()
        self._busy = False
        self._idle = threading.Condition(self._lock)  # told when `_busy` ends
        self._closed = False
        self._client = secrets.randbits(62)  # names this client in `roost_commit`
        self._batch = 0
        self._has_writer = False
        self._scanning: set[sqlite3.Connection] = set()
        with GATE:
            self._readers.put(self._open(writing=False))
            if not read_only:
                self._prepare()
            GATE.add(self)

    @property
    def is_read_only(self) -> bool:
        """As in Engine."""
        return self._read_only

    @property
    def durability(self) -> str:
        """As in Engine."""
        return "a crash of the host: every commit is flushed to the disk (synchronous=FULL)"

    @property
    def notes(self) -> tuple[str, ...]:
        """As in Engine."""
        return ()

    def hold(self, claim: Claim) -> None:
        """As in Engine."""
        self._claims.add(claim)

    def destroy(self) -> None:
        """As in Engine.  The file stays, without tables."""
        if self._read_only:
            raise FsError(errno.EROFS)
        try:
            with GATE, closing(self._open(writing=True)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                drop_tables(connection)
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise Unavailable(f"cannot empty {self._path}: {error}") from error

    # ---- connections
    def _open(self, *, writing: bool) -> sqlite3.Connection:
        return open_connection(
            self._connect, self._path, self._claims, writing=writing, read_only=self._read_only
        )

    def _connect_writer(self) -> None:
        self._writer = self._open(writing=True)
        self._has_writer = True

    def _is_open(self) -> bool:
        return not self._closed

    @contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        with self._readers_allowed, GATE:
            if not self._is_open():
                raise Unavailable(f"{self._path} is closed")
            try:
                connection = self._readers.get_nowait()
            except queue.Empty:
                connection = self._open(writing=False)
            try:
                yield connection
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                if self._is_open():
                    self._readers.put(connection)
                else:
                    connection.close()

    def _prepare(self) -> None:
        """Make the private table, and forget tokens of clients long gone."""
        now_s = self._clock.wall_ns() // 1_000_000_000
        try:
            self._begin()
            self._writer.execute(COMMIT_TABLE)
            old_s = now_s - TOKEN_DAYS_KEPT * 86400
            self._writer.execute("DELETE FROM roost_commit WHERE at < ?", (old_s,))
            self._writer.execute("COMMIT")
        except sqlite3.Error as error:
            raise Unavailable(f"cannot write to {self._path}: {error}") from error

    # ---- Engine
    def read(self, rule: Callable[[Reads], T]) -> T:
        """As in Engine.read.  Raises Unavailable if the database does not answer."""
        self._origin.demand(self._path)
        self._claims.demand()
        with self._reader() as connection:
            try:
                connection.execute("BEGIN")
                return rule(SqliteReads(connection))
            except sqlite3.Error as error:
                raise Unavailable(f"cannot read {self._path}: {error}") from error

    def run(self, rule: Callable[[Txn], T]) -> T:
        """As in Engine.run; one commit of SQLite at most, shared with whoever waits."""
        if self._read_only:
            raise FsError(errno.EROFS)
        self._origin.demand(self._path)
        self._claims.demand()
        job: Job[T] = Job(rule)
        try:
            self._queue(job)  # type: ignore[arg-type]  # a job of T is one of objects
        except BaseException:  # Ctrl-C: nobody may wait for a connection that this thread was given
            self._give_up(job)  # type: ignore[arg-type]
            raise
        if job.leads:
            self._lead(job)  # type: ignore[arg-type]
        if job.error is not None:
            raise job.error
        return job.answer  # type: ignore[return-value]  # answered, so it is a T

    @contextmanager
    def scan(self) -> Iterator[Scans]:
        """As in Engine.scan; while it is open, the write-ahead log cannot shrink."""
        # A connection of its own: who scans may read beside it, and must not wait for itself.
        self._origin.demand(self._path)
        with GATE:
            connection = self._open(writing=False)
            self._scanning.add(connection)
        try:
            with GATE:
                connection.execute("BEGIN")
            yield scans_of(connection)
        except sqlite3.Error as error:
            raise Unavailable(f"cannot read {self._path}: {error}") from error
        finally:
            if self._origin.is_here:
                with GATE:
                    connection.close()
                self._scanning.discard(connection)

    def close(self) -> None:
        """Finish what waits, then close all connections; nothing in a child that inherited it."""
        if not self._origin.is_here:
            return
        with self._lock:
            if self._closed:
                return
            self._closed = True
            while self._busy:
                self._idle.wait()
        with GATE:
            if self._has_writer:
                self._forget_token()
            self.let_go()

    @property
    def has_connections(self) -> bool:
        """As in Holder."""
        return self._has_writer or bool(self._scanning) or not self._readers.empty()

    def let_go(self) -> None:
        """As in Holder; a write or a read opens them again."""
        if self._has_writer:
            self._has_writer = False
            self._writer.close()
        while not self._readers.empty():
            self._readers.get_nowait().close()

    # ---- waiting for the writing connection
    def _queue(self, job: Job[object]) -> None:
        """Return when the job is answered, or leads."""
        with self._lock:
            if self._closed:
                raise Unavailable(f"{self._path} is closed")
            job.leads = not self._busy
            if job.leads:
                self._busy = True
                return
            job.wake.acquire()
            self._waiting.append(job)
        job.wake.acquire()

    def _give_up(self, job: Job[object]) -> None:
        with self._lock:
            job.given_up = True
            leads = job.leads
        if leads:
            self._hand_over()

    def _hand_over(self) -> None:
        with self._lock:
            while self._waiting:
                heir = self._waiting.popleft()
                if not heir.given_up:
                    heir.leads = True
                    heir.wake.release()
                    return
            self._busy = False
            if self._closed:
                self._idle.notify_all()

    # ---- with the writing connection
    def _lead(self, own: Job[object]) -> None:
        with self._lock:
            count = min(BATCH_JOBS_MAX - 1, len(self._waiting))
            taken = [self._waiting.popleft() for _ in range(count)]
            batch = [own, *(job for job in taken if not job.given_up)]
        try:
            with GATE:
                self._run_batch(batch)
        except Exception as error:
            if not isinstance(error, VolumeReplaced):
                log.exception("a batch of metadata commits failed")
            for failed in batch:
                failed.fail(error)
        except BaseException:  # Ctrl-C, in the thread that leads: neighbours must not believe it
            with GATE:
                self._abandon()
            for job in batch:
                job.fail(CommitUnknown(f"a commit to {self._path} was interrupted"))
            raise
        finally:
            for job in batch[1:]:
                job.wake.release()
            self._hand_over()

    def _run_batch(self, batch: list[Job[object]]) -> None:
        try:
            self._begin()
            if len(batch) == 1:
                writes = self._run_rule(batch[0])
            else:
                writes = any([self._run_in_savepoint(job) for job in batch])
        except sqlite3.Error as error:
            self._abandon()
            fail_all(batch, not_done(self._path, error))
            return
        if not writes:
            self._abandon()
            return
        self._batch += 1
        try:
            now_s = self._clock.wall_ns() // 1_000_000_000
            self._writer.execute(COMMIT_TOKEN, (self._client, self._batch, now_s))
            self._writer.execute("COMMIT")
        except sqlite3.Error as error:
            self._decide(batch, error)

    def _begin(self) -> None:
        if not self._has_writer:  # a fork closed it
            self._connect_writer()
        for attempt in range(1, BUSY_ATTEMPTS_MAX + 1):
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                if not is_busy or attempt == BUSY_ATTEMPTS_MAX:
                    raise
                log.warning("the metadata database is locked by another process: %s", self._path)

    def _run_in_savepoint(self, job: Job[object]) -> bool:
        """Run one operation of several; True if it wrote.  As _run_rule."""
        self._writer.execute("SAVEPOINT operation")
        wrote = self._run_rule(job)
        if job.error is not None:
            self._writer.execute("ROLLBACK TO operation")
        self._writer.execute("RELEASE operation")
        return wrote

    def _run_rule(self, job: Job[object]) -> bool:
        """Run one operation; True if it wrote.  What a failed one wrote, the caller takes back.

        Raises sqlite3.Error only if the whole transaction can no longer be relied on.
        """
        try:
            txn = Txn(SqliteReads(self._writer), self._clock.wall_ns())
            job.answer = job.rule(txn)
            effects = txn.commit.effects
            write_effects(self._writer, effects)
            return bool(effects)
        except sqlite3.Error as error:
            if not self._writer.in_transaction:
                raise  # A full disk, for one, takes the whole transaction with it.
            job.fail(not_done(self._path, error))
        except RoostError as error:
            job.fail(error)
        except Exception as error:  # noqa: BLE001  # a bug in one must not fail its neighbours
            job.fail(error)
        return False

    def _abandon(self) -> None:
        """Leave the transaction, whatever is left of it; a broken connection is replaced."""
        try:
            if self._has_writer and self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
        except sqlite3.Error:
            log.warning("replacing a broken connection to %s", self._path)
            self._has_writer = False
            self._writer.close()
            self._connect_writer()

    def _decide(self, batch: list[Job[object]], lost: sqlite3.Error) -> None:
        """Find out by the token what became of a batch whose answer was lost."""
        try:
            self._abandon()
            row = self._writer.execute(
                "SELECT batch FROM roost_commit WHERE client = ?", (self._client,)
            ).fetchone()
        except (sqlite3.Error, Unavailable) as error:
            for job in batch:
                unknown = CommitUnknown(f"the answer of a commit to {self._path} was lost: {lost}")
                unknown.__cause__ = error
                job.fail(unknown)
            return
        if row is not None and row[0] == self._batch:
            log.warning("a commit was done although its answer was lost: %s", lost)
            return
        fail_all(batch, not_done(self._path, lost))

    def _forget_token(self) -> None:
        try:
            self._writer.execute("DELETE FROM roost_commit WHERE client = ?", (self._client,))
        except sqlite3.Error as error:
            log.debug("a commit token stays behind: %s", error)
