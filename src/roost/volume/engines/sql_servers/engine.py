"""Metadata on a database server, in JuiceFS's own tables.

An operation's first attempt stands on what was known before (`cache`), the next on records fetched
together in one round trip.  Its commit is one round trip: a transaction whose first
statement locks and compares what the rule depended on and fails if it is not so (`guard`), then the
writes (`sql.writes`).  Threads that wait share transactions (`group`).  After too many conflicts,
and for checks that the database cannot judge, the rule runs inside a transaction that locks what it
reads.

A refusal, or an outcome that writes nothing, is final only if it stands on records of one moment,
fetched after the call began.
Lost answers: see `session`.  Locks: those of cache, group and pool; none is held while a rule runs.
"""

import errno
import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial
from itertools import chain
from typing import TypeVar

from roost.clock import Clock
from roost.errors import RoostError
from roost.volume.engines.sql.claimed import SqlClaims
from roost.volume.engines.sql.dialect import Value
from roost.volume.engines.sql.rows import Row
from roost.volume.engines.sql.scans import SqlScans
from roost.volume.engines.sql.tables import COMMIT_TABLE, create_commit_table, table_names
from roost.volume.engines.sql.writes import statements
from roost.volume.engines.sql_servers.cache import RecordCache
from roost.volume.engines.sql_servers.driver import Failed, Server, SqlError
from roost.volume.engines.sql_servers.failures import RETRIED, failure
from roost.volume.engines.sql_servers.fetch import (
    Asked,
    CachedReads,
    FixedReads,
    NotAtHand,
    OpenReads,
    Records,
)
from roost.volume.engines.sql_servers.group import GroupCommit, Job, OvertakenError
from roost.volume.engines.sql_servers.guard import Guard, guard_of
from roost.volume.engines.sql_servers.patience import Pause
from roost.volume.engines.sql_servers.pool import Pool
from roost.volume.engines.sql_servers.session import TOKEN_DAYS_KEPT, Session
from roost.volume.errors import FsError
from roost.volume.meta.claim import Claim
from roost.volume.meta.effects import UseDirectory
from roost.volume.meta.reads import Reads, Scans
from roost.volume.meta.txn import Commit, Txn

OPTIMISTIC_ATTEMPTS = 6
OVERTAKEN_MAX = 200
LOCKED_ATTEMPTS = 50
FETCHES_MAX = 4  # before a read gets a transaction of its own
LOST_MAX = 2  # connections that break, or keys that are taken, under locks
PAUSE_MS_MAX = 200
HELD_FOR_S = 30.0  # then no other try of an operation begins

T = TypeVar("T")
log = logging.getLogger(__name__)


AttemptReads = CachedReads | OpenReads | FixedReads


class _Source(Enum):
    """What an attempt of a rule stands on."""

    CACHE = auto()  # what was so some time ago
    NOW = auto()  # fetched as the rule asks
    MOMENT = auto()  # fetched together


@dataclass(slots=True)
class _Attempt:
    """How far an operation is."""

    source: _Source = _Source.CACHE
    asked: Asked = field(default_factory=dict)
    failed: int = 0
    overtaken: int = 0
    held: bool = False  # another client kept a row that it needs
    until_s: float = 0.0

    def is_final(self, reads: AttemptReads) -> bool:
        """True if what was read is of one moment after the call began."""
        if self.source is _Source.NOW:
            return isinstance(reads, OpenReads) and reads.fetches == 1
        return self.source is _Source.MOMENT

    def again(self, reads: AttemptReads) -> None:
        """Prepare the next attempt: the first on fetched records, others on those of one moment."""
        self.asked = reads.asked
        self.failed += self.source is not _Source.CACHE
        self.source = _Source.NOW if self.source is _Source.CACHE else _Source.MOMENT


class ServerEngine:
    """Satisfies meta.txn.Engine."""

    def __init__(
        self, server: Server, clock: Clock, *, read_only: bool, pause: Pause = time.sleep
    ) -> None:
        """Connect.  The tables of JuiceFS must be there.  Raises Unavailable."""
        self._server = server
        self._clock = clock
        self._read_only = read_only
        self._pause = pause
        self._claims = SqlClaims()
        self._pool = Pool(self._session, server.place, clock)
        self._cache = RecordCache(clock)
        self._group = GroupCommit(self._commit_together, monotonic_s=clock.monotonic_s)
        with self._lent() as session:
            if not read_only:
                self._prepare(session)
            self._durability, self._notes = server.survey(session.connection)

    # ---- words for people
    @property
    def is_read_only(self) -> bool:
        """As in Engine."""
        return self._read_only

    @property
    def durability(self) -> str:
        """As in Engine."""
        return self._durability

    @property
    def notes(self) -> tuple[str, ...]:
        """As in Engine."""
        return self._notes

    # ---- whose the database is
    def hold(self, claim: Claim) -> None:
        """As in Engine."""
        self._claims.add(claim)

    def _session(self) -> Session:
        settle = partial(self._claims.settle, writing=not self._read_only)
        return Session(self._server, self._clock, self._pause, settle)

    # ---- reading
    def read(self, rule: Callable[[Reads], T]) -> T:
        """As in Engine.read: one round trip for what the rule asks together, no cache."""
        self._pool.demand_here()
        self._claims.demand()
        asked: Asked = {}
        with self._lent() as session:
            for _ in range(FETCHES_MAX):
                try:
                    return rule(FixedReads(asked, session.fetch(asked)))
                except NotAtHand:
                    continue
            with self._snapshot(session) as fetch:
                return rule(OpenReads(fetch, asked))

    @contextmanager
    def scan(self) -> Iterator[Scans]:
        """As in Engine.scan; a connection of its own holds the snapshot."""
        try:
            with self._pool.separate() as session:
                session.begin_snapshot()
                yield SqlScans(partial(_rows, session))
        except SqlError as error:
            raise failure(error, self._server.place) from error

    @contextmanager
    def _snapshot(self, session: Session) -> Iterator[Callable[[Asked], Records]]:
        session.begin_snapshot()
        try:
            yield lambda asked: session.fetch_more(asked, lock=False)
        finally:
            session.end()

    # ---- writing
    def run(self, rule: Callable[[Txn], T]) -> T:
        """As in Engine.run; one round trip if the records at hand are right."""
        if self._read_only:
            raise FsError(errno.EROFS)
        self._pool.demand_here()
        self._claims.demand()
        attempt = _Attempt(until_s=self._clock.monotonic_s() + HELD_FOR_S)
        while attempt.failed < OPTIMISTIC_ATTEMPTS and attempt.overtaken < OVERTAKEN_MAX:
            reads = self._reads(attempt)
            txn = Txn(reads, self._clock.wall_ns())
            try:
                answer = rule(txn)
            except (NotAtHand, RoostError) as error:
                if attempt.is_final(reads) and not isinstance(error, NotAtHand):
                    raise
                attempt.again(reads)
                continue
            commit = txn.commit
            if not commit.effects:
                if attempt.is_final(reads):
                    return answer
                attempt.again(reads)
                continue
            guard = guard_of(commit)
            if guard is None:
                attempt.asked = reads.asked
                break
            if self._try(commit, guard, attempt, reads):
                return answer
        return self._run_locked(rule, attempt.asked, attempt.until_s)

    def _reads(self, attempt: "_Attempt") -> AttemptReads:
        match attempt.source:
            case _Source.CACHE:
                return CachedReads(self._cache.view())
            case _Source.NOW:
                return OpenReads(self._fetch_now, attempt.asked)
            case _Source.MOMENT:
                return FixedReads(attempt.asked, self._fetch_now(attempt.asked))

    def _fetch_now(self, asked: Asked) -> Records:
        with self._lent() as session:
            records = session.fetch(asked)
        self._cache.put(records)
        return records

    def _try(self, commit: Commit, guard: Guard, attempt: "_Attempt", reads: AttemptReads) -> bool:
        """Commit; False if the rule is to run again.  Raises what a caller hears."""
        try:
            self._group.run(commit, guard, alone=attempt.held)
            return True
        except OvertakenError:
            attempt.overtaken += 1
            attempt.source = _Source.CACHE
            return False
        except SqlError as error:
            self._cache.forget(reads.asked)
            if error.kind not in RETRIED or self._is_over(error, attempt.until_s):
                raise failure(error, self._server.place, commit) from error
            attempt.asked = reads.asked
            attempt.source = _Source.NOW
            attempt.failed += 1
            attempt.held = error.kind is Failed.HELD
            if error.kind is Failed.BUSY:
                self._wait(attempt.failed)
            return False
        except RoostError:
            self._cache.clear()
            raise

    def _commit_together(self, jobs: Sequence[Job]) -> None:
        """Commit all jobs in one transaction.  Raises SqlError, CommitUnknown."""
        guard = jobs[0].guard
        if len(jobs) > 1:
            guard = Guard()
            for job in jobs:
                guard.merge(job.guard)
        effects = [effect for job in jobs for effect in job.commit.effects]
        counted = {
            effect.ino
            for effect in effects
            if isinstance(effect, UseDirectory) and self._cache.has_usage(effect.ino)
        }
        now_s = self._now_s()
        with self._pool.session() as session:
            settled = self._claims.settled
            proofs = [self._claims.proof(job.commit.effects, now_s) for job in jobs]
            session.commit(
                guard.conditions(counted),
                guard.later,
                [*statements(effects, self._server.dialect, counted), *chain(*proofs)],
            )
            for job in jobs:
                self._committed(job.commit, now_s, settled, session)

    def _committed(self, commit: Commit, now_s: int, settled: int, session: Session) -> None:
        self._cache.committed(commit)
        if self._claims.committed(commit.effects, now_s, settled):
            return
        try:
            self._claims.settle(session.ask, writing=True)
        except SqlError as error:
            log.debug("a batch is not used, it may have been lost: %s", error)
            self._claims.drop(commit.effects)

    def _now_s(self) -> int:
        return self._clock.wall_ns() // 1_000_000_000

    def _run_locked(self, rule: Callable[[Txn], T], asked: Asked, until_s: float) -> T:
        """Run the rule in a transaction that locks what it reads."""
        last: SqlError | None = None
        lost = taken = 0
        commit: Commit | None = None
        for attempt in range(LOCKED_ATTEMPTS):
            self._wait(attempt)
            try:
                with self._pool.session() as session:
                    session.renew_token()
                    now_s, settled = self._now_s(), self._claims.settled
                    reads = OpenReads(self._locking_fetch(session), asked)
                    txn = Txn(reads, self._clock.wall_ns())
                    answer = rule(txn)
                    commit = txn.commit
                    if commit.effects:
                        written = statements(commit.effects, self._server.dialect)
                        proof = self._claims.proof(commit.effects, now_s)
                        session.commit((), (), [*written, *proof], is_open=True)
                        self._committed(commit, now_s, settled, session)
                    else:
                        session.end()
                    return answer
            except SqlError as error:
                self._cache.forget(asked)
                last = error
                lost += error.kind is Failed.LOST
                taken += error.kind is Failed.DUPLICATE
                if error.kind not in (*RETRIED, Failed.LOST) or max(lost, taken) > LOST_MAX:
                    break
                if self._is_over(error, until_s):
                    break
        assert last is not None
        raise failure(last, self._server.place, commit) from last

    def _is_over(self, error: SqlError, until_s: float) -> bool:
        """True if another client was waited for long enough."""
        return error.kind is Failed.HELD and self._clock.monotonic_s() >= until_s

    def _locking_fetch(self, session: Session) -> Callable[[Asked], Records]:
        begin = self._server.begin()

        def fetch(asked: Asked) -> Records:
            nonlocal begin
            first, begin = begin, []
            return session.fetch_more(asked, begin=first, lock=True)

        return fetch

    def _wait(self, attempt: int) -> None:
        """Let others go first, longer each time."""
        if attempt:
            self._pause(random.uniform(0, min(attempt * attempt, PAUSE_MS_MAX)) / 1000)

    # ---- the volume as a whole
    def _prepare(self, session: Session) -> None:
        """Make the private table, and forget tokens of clients long gone."""
        old_s = self._now_s() - TOKEN_DAYS_KEPT * 86_400
        session.ask([(create_commit_table(self._server.dialect), ())])
        session.ask([(f"DELETE FROM {COMMIT_TABLE} WHERE at < ?", (old_s,))])

    def destroy(self) -> None:
        """As in Engine."""
        if self._read_only:
            raise FsError(errno.EROFS)
        with self._lent() as session:
            names = [*table_names(), COMMIT_TABLE]
            session.ask([(f"DROP TABLE IF EXISTS {', '.join(names)}", ())])
        self._cache.clear()

    def close(self) -> None:
        """As in Engine."""
        self._pool.close()

    @contextmanager
    def _lent(self) -> Iterator[Session]:
        """Lend a session whose failures are those of the volume."""
        try:
            with self._pool.session() as session:
                yield session
        except SqlError as error:
            raise failure(error, self._server.place) from error


def _rows(session: Session, text: str, *values: Value) -> list[Row]:
    return session.run([(text, values)])[0]
