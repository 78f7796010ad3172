"""Commits of several threads in one transaction.

Whoever comes while a lane is free leads: it takes along all that wait, as far as none depends on
what another of them writes, commits them together, and hands its lane to whoever came first since.
If a predicate or a value is wrong, halves are tried by themselves, down to the commit at fault.

A transaction that waits for another client's rows may not keep those from working that need other
rows: for each lane that has not come back for `SLOW_S` there is one more, commits that need a node
of such a lane share transactions with each other only, and one that met a held row goes on alone.

Invariants: a job is in `_waiting` or belongs to one leader, who answers all it took; each job that
`leads` has a lane.
Locks: `_lock` guards `_waiting` and `_lanes`; nothing is called under it.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from roost.errors import CommitUnknown
from roost.volume.engines.sql_servers.conflicts import Footprint
from roost.volume.engines.sql_servers.driver import Failed, SqlError
from roost.volume.engines.sql_servers.guard import Guard
from roost.volume.meta.txn import Commit

LANES = 2
LANES_MAX = 8  # half of the sessions: the others are for reading
ALONE_MAX = 4  # that go on alone at a time
SLOW_S = 0.5
JOBS_AT_ONCE = 64
EFFECTS_AT_ONCE = 2000
_OF_NOBODY = (Failed.LOST, Failed.CROWDED, Failed.BUSY, Failed.HELD)


class OvertakenError(Exception):
    """A neighbour in the same process changed what the commit depends on; nothing was done."""


@dataclass(slots=True, eq=False)
class Job:
    """A commit that waits for its outcome."""

    commit: Commit
    guard: Guard
    alone: bool = False  # it shares no transaction
    wake: threading.Lock = field(default_factory=threading.Lock)  # released once, to wake it
    leads: bool = False  # it has a lane
    given_up: bool = False  # nobody waits for it any more
    done: bool = False
    error: BaseException | None = None


@dataclass(slots=True)
class _Lane:
    since_s: float
    jobs: list[Job]


class GroupCommit:
    """Safe from many threads."""

    def __init__(
        self,
        commit: Callable[[Sequence[Job]], None],
        lanes: int = LANES,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`commit` does all jobs in one transaction or raises, and none is done."""
        self._commit = commit
        self._lock = threading.Lock()
        self._waiting: deque[Job] = deque()
        self._lanes: dict[Job, _Lane] = {}  # by who leads
        self._lanes_least = lanes
        self._monotonic_s = monotonic_s

    def run(self, commit: Commit, guard: Guard, *, alone: bool = False) -> None:
        """Commit; raise what the transaction raised, or OvertakenError."""
        job = Job(commit, guard, alone)
        try:
            with self._lock:
                job.wake.acquire()
                if not self._enter(job):
                    self._waiting.append(job)
            # Until a leader answers or hands over its lane, or all lanes are slow.
            while not job.leads and not job.wake.acquire(timeout=SLOW_S):
                self._overtake(job)
        except BaseException:  # Ctrl-C: nobody may wait for a lane that this thread was given
            self._give_up(job)
            raise
        if job.leads:
            self._lead(job)
        if job.error is not None:
            raise job.error

    def _overtake(self, job: Job) -> None:
        with self._lock:
            if job in self._waiting and self._enter(job):
                self._waiting.remove(job)

    def _give_up(self, job: Job) -> None:
        with self._lock:
            job.given_up = True
            leads = job.leads
        if leads:
            self._hand_over(job)

    def _lead(self, own: Job) -> None:
        jobs = self._lanes[own].jobs
        overtaken: list[Job] = []
        try:
            self._take(jobs, overtaken)
            self._try(jobs)
        finally:
            for job in overtaken:
                job.error = OvertakenError()
            for job in jobs:
                if not job.done and job.error is None:  # Ctrl-C, in the thread that leads
                    job.error = CommitUnknown("a commit was interrupted")
            for job in (*jobs[1:], *overtaken):
                job.wake.release()
            self._hand_over(own)

    def _take(self, jobs: list[Job], overtaken: list[Job]) -> None:
        """Add what waits: to `jobs` what can be committed with them, else to `overtaken`."""
        if jobs[0].alone:
            return
        with self._lock:
            slow = self._slow_nodes()
            is_doubtful = not slow.isdisjoint(jobs[0].guard.nodes)
            found = [
                job
                for job in self._waiting
                if not job.alone and slow.isdisjoint(job.guard.nodes) is not is_doubtful
            ][: JOBS_AT_ONCE - 1]
            if found:
                taken = set(found)
                self._waiting = deque(job for job in self._waiting if job not in taken)
        if not found:
            return
        footprint = Footprint()
        footprint.add(jobs[0].commit)
        effects = len(jobs[0].commit.effects)
        for number, job in enumerate(found):
            if job.given_up:
                continue
            effects += len(job.commit.effects)
            if effects > EFFECTS_AT_ONCE:
                with self._lock:
                    self._waiting.extendleft(reversed(found[number:]))
                return
            if footprint.admits(job.commit):
                footprint.add(job.commit)
                jobs.append(job)
            else:
                overtaken.append(job)

    def _try(self, jobs: Sequence[Job]) -> None:
        try:
            self._commit(jobs)
            for job in jobs:
                job.done = True
        except Exception as error:  # noqa: BLE001  # each thread must hear of its own outcome
            if len(jobs) == 1 or not _is_of_one(error):
                for job in jobs:
                    job.error = error
                return
            half = len(jobs) // 2
            self._try(jobs[:half])
            self._try(jobs[half:])

    def _hand_over(self, leader: Job) -> None:
        with self._lock:
            self._lanes.pop(leader, None)
            self._waiting = deque(job for job in self._waiting if not job.given_up)
            heir = next(filter(self._enter, self._waiting), None)
            if heir is not None:
                self._waiting.remove(heir)
                heir.wake.release()

    # ---- under the lock
    def _enter(self, job: Job) -> bool:
        """Give the job a lane if there is one for it."""
        if job.alone and sum(other.alone for other in self._lanes) >= ALONE_MAX:
            return False
        if len(self._lanes) >= self._lanes_least:
            allowed = self._lanes_least + len(self._slow())
            if len(self._lanes) >= min(allowed, LANES_MAX):
                return False
        self._lanes[job] = _Lane(self._monotonic_s(), [job])
        job.leads = True
        return True

    def _slow(self) -> list[_Lane]:
        before_s = self._monotonic_s() - SLOW_S
        return [lane for lane in self._lanes.values() if lane.since_s <= before_s]

    def _slow_nodes(self) -> set[int]:
        """Return what transactions may be waiting for; others should not wait with them."""
        return {ino for lane in self._slow() for job in lane.jobs for ino in job.guard.nodes}


def _is_of_one(error: Exception) -> bool:
    """True if one commit may be at fault and the others may be right."""
    return isinstance(error, SqlError) and error.kind not in _OF_NOBODY
