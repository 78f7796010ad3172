"""Commits of several threads in one transaction.

Whoever comes while a lane is free leads: it takes along all that wait, as far as none depends on
what another of them writes, commits them together, and hands its lane to whoever came first since.
If a predicate or a value is wrong, halves are tried by themselves, down to the commit at fault.

Invariants: a job is in `_waiting` or belongs to one leader, who answers all it took; a lane is free
only while nothing waits, or belongs to a job that `leads`.
Locks: `_lock` guards `_waiting` and `_free`; nothing is called under it.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from roost.errors import CommitUnknown
from roost.volume.engines.sql_servers.conflicts import Footprint
from roost.volume.engines.sql_servers.driver import Failed, SqlError
from roost.volume.engines.sql_servers.guard import Guard
from roost.volume.meta.txn import Commit

LANES = 2
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
    wake: threading.Lock = field(default_factory=threading.Lock)  # released once, to wake it
    leads: bool = False  # it has a lane
    given_up: bool = False  # nobody waits for it any more
    done: bool = False
    error: BaseException | None = None


class GroupCommit:
    """Safe from many threads."""

    def __init__(self, commit: Callable[[Sequence[Job]], None], lanes: int = LANES) -> None:
        """`commit` does all jobs in one transaction or raises, and none is done."""
        self._commit = commit
        self._lock = threading.Lock()
        self._waiting: deque[Job] = deque()
        self._free = lanes

    def run(self, commit: Commit, guard: Guard) -> None:
        """Commit; raise what the transaction raised, or OvertakenError."""
        job = Job(commit, guard)
        try:
            with self._lock:
                job.leads = self._free > 0
                if job.leads:
                    self._free -= 1
                else:
                    job.wake.acquire()
                    self._waiting.append(job)
            if not job.leads:
                job.wake.acquire()  # until a leader answers, or hands over its lane
        except BaseException:  # Ctrl-C: nobody may wait for a lane that this thread was given
            self._give_up(job)
            raise
        if job.leads:
            self._lead(job)
        if job.error is not None:
            raise job.error

    def _give_up(self, job: Job) -> None:
        with self._lock:
            job.given_up = True
            leads = job.leads
        if leads:
            self._hand_over()

    def _lead(self, own: Job) -> None:
        jobs: list[Job] = [own]
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
            self._hand_over()

    def _take(self, jobs: list[Job], overtaken: list[Job]) -> None:
        """Add what waits: to `jobs` what can be committed with them, else to `overtaken`."""
        with self._lock:
            count = min(JOBS_AT_ONCE - 1, len(self._waiting))
            found = [self._waiting.popleft() for _ in range(count)]
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

    def _hand_over(self) -> None:
        with self._lock:
            while self._waiting:
                heir = self._waiting.popleft()
                if not heir.given_up:
                    heir.leads = True
                    heir.wake.release()
                    return
            self._free += 1


def _is_of_one(error: Exception) -> bool:
    """True if one commit may be at fault and the others may be right."""
    return isinstance(error, SqlError) and error.kind not in _OF_NOBODY
