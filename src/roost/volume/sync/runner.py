"""A whole sync: listings in, steps through the window, workers, checkpoint, second tries.

The thread that calls `run` lists, decides and saves; `threads` workers perform.  A key that fails
does not stop the others; all that failed are tried once more at the end, when what stood in their
way (a folder in place of a file, a full disk) may be gone.

Lock order: `_lock` guards `_failed` and is taken alone.  `_failed` says of each key whether this
run, or one that it goes on from, failed to copy it.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice

from roost.blob.limits import Rate
from roost.clock import Clock, SystemClock
from roost.errors import Failure, NotFound, RoostError
from roost.volume.sync.apart import Apart
from roost.volume.sync.checkpoint import FAILED_KEPT_MAX, Checkpoint, Progress
from roost.volume.sync.copying import Copier
from roost.volume.sync.endpoint import Endpoint, Vanished
from roost.volume.sync.items import Kind
from roost.volume.sync.options import CHECKPOINT_INTERVAL_S_DEFAULT, Options, Selection
from roost.volume.sync.plan import Pair, Planner, Quota
from roost.volume.sync.ranges import Ranges
from roost.volume.sync.steps import QUIET, Step, Verb
from roost.volume.sync.tally import Counts, Tally
from roost.volume.sync.window import Slot, Window
from roost.volume.sync.worker import Watcher, Worker

_TICK_S = 0.1
_BYTES_PER_MEGABIT = 125_000
_COPYING = (Verb.COPY, Verb.COMPARE)  # what differs is copied


class TooManyFailures(Failure):
    """As many keys failed as --max-failure allows."""


class Stopped(Failure):
    """The sync is ending and this copy is given up."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is synced and how.  `lines` is a list of keys and folders, None for everything."""

    source: Endpoint
    target: Endpoint
    selection: Selection = field(default_factory=Selection)
    options: Options = field(default_factory=Options)
    lines: Callable[[], Iterable[str]] | None = None
    checkpoint: Checkpoint | None = None
    interval_s: float = CHECKPOINT_INTERVAL_S_DEFAULT


class Sync:
    """One run of a job."""

    def __init__(self, job: Job, watcher: Watcher, clock: Clock | None = None) -> None:
        """Load the checkpoint if there is one.

        Raises InvalidArgument if one side lies in the other's way; CorruptRecord, Unavailable.
        """
        apart = Apart(job.source, job.target, job.selection, job.options)
        apart.demand_different()
        if job.lines is None:
            apart.demand_apart()
        saves = job.checkpoint is not None and not job.options.dry
        self._job = job
        self._options = _able(job)
        self._checkpoint = job.checkpoint if saves else None
        self._begin = (self._checkpoint.load() if self._checkpoint else None) or Progress()
        self._watcher = watcher
        self._clock = clock or SystemClock()
        self.tally = Tally(self._begin.counts)
        self._quota = Quota(None)
        if job.options.limit is not None:
            self._quota.left = max(0, job.options.limit - self._begin.counts.found)
        self._ranges = Ranges(
            job.source, job.target, job.selection, self._options, self._quota, apart
        )
        self._window = Window()
        self._lock = threading.Lock()
        self._failed = {(line, key): was_copy for line, key, was_copy in self._begin.failed}
        self._frozen: tuple[int, str] | None = None
        self._defect: BaseException | None = None
        self._stopping = False
        self._sees_target = False
        self._next_tick_s = self._next_save_s = self._clock.monotonic_s()
        mbps = job.options.bandwidth_mbps
        rate = Rate(mbps * _BYTES_PER_MEGABIT, clock) if mbps else None
        copier = Copier(
            job.source, job.target, self._begin.run, job.options.inplace, rate, self._told
        )
        self._worker = Worker(job.source, job.target, self._options, copier, self.tally, apart)
        self._pool = ThreadPoolExecutor(job.options.threads, "roost-sync")

    @property
    def is_resumed(self) -> bool:
        """True if an earlier run's checkpoint was found."""
        return bool(self._begin.key or self._begin.line or self._begin.failed)

    def run(self) -> Counts:
        """Sync; return the counts.  `failed` in them is not 0 if some keys could not be done.

        Raises TooManyFailures; Vanished; OSError and RoostError if a listing fails.  Whatever is
        raised, the checkpoint says how far it came.
        """
        # Not to be mistaken for an empty folder; and without it nothing is made at the target.
        self._job.source.demand_there()
        try:
            self._sees_target = self._job.target.is_there()  # then another in its place is not it
            for planner, pairs in self._where():
                for step in planner.steps(pairs):
                    self._take(step)
            self._drain()
            self._try_again()
            self._job.target.demand_same()  # else the last copies went elsewhere, or are lost
        except BaseException:
            self._stopping = True
            self._pool.shutdown(wait=True, cancel_futures=True)
            try:
                self._save()
            except (OSError, RoostError) as error:  # what went wrong first is what counts
                self._watcher.failed("the checkpoint", error)
            raise
        self._pool.shutdown(wait=True)
        if self._failed:
            self._save()
        elif self._checkpoint is not None:
            self._checkpoint.remove()
        self.tally.put("failed", len(self._failed))
        self._watcher.moved(self.tally)
        return self.tally.counts()

    def _make_target(self) -> None:
        """Make the target if it is not there, before anything is written, and see which it is.

        Whoever made it with the first copy might be too late to see that a disk was unmounted.
        """
        if not self._sees_target:
            self._job.target.make_folder("")
            self._job.target.is_there()
            self._sees_target = True

    # ---- deciding
    def _where(self) -> Iterator[tuple[Planner, Iterator[Pair]]]:
        begin = self._begin
        if self._job.lines is None:
            return self._ranges.everything(begin.key)
        return self._ranges.of_lines(
            self._job.lines(), begin.line, begin.key, lambda _key: self.tally.add("absent")
        )

    def _take(self, step: Step) -> None:
        self._tick()
        if step.verb is Verb.IGNORE:
            self._window.add_done(step)
            return
        if step.verb in QUIET:
            if step.verb is Verb.SKIP:
                self.tally.add("found")
            word = {Verb.SKIP: "skipped", Verb.EXTRA: "extra"}.get(step.verb, "excluded")
            self.tally.add(word, size_bytes=step.size_bytes)
            self._window.add_done(step)
            return
        if step.verb is not Verb.LEAVE:
            self.tally.add("found")
        if self._options.dry:
            self._plan_only(step)
            return
        if step.verb is not Verb.LEAVE:
            self._make_target()
        while not self._window.wait_for_room(_TICK_S):
            self._tick()
        slot = self._window.add(step)
        if slot is None:
            return
        if step.verb is Verb.DELETE_TARGET and step.target and step.target.kind is Kind.LINK:
            self._run(slot)  # at once: what the source has in its place is not written behind it
        else:
            self._pool.submit(self._run, slot)

    def _plan_only(self, step: Step) -> None:
        """Count what the step would do, and tell."""
        if step.verb is Verb.LEAVE and step.source is not None:
            return
        if step.verb is Verb.LEAVE:
            self.tally.add("found")
        if step.verb in (Verb.DELETE_SOURCE, Verb.DELETE_TARGET, Verb.LEAVE):
            self.tally.add("deleted")
        elif step.verb is Verb.COMPARE:
            self.tally.add("checked", size_bytes=step.size_bytes)
        else:
            self.tally.add("copied", size_bytes=step.size_bytes)
        self._watcher.planned(step)

    def _drain(self) -> None:
        while not self._window.wait_until_empty(_TICK_S):
            self._tick()
        self._tick()

    def _try_again(self) -> None:
        """Do once more what failed, one key after the other."""
        deletes = self._options.delete_dst or self._options.must_be_durable
        if self._failed:
            self._make_target()
        for (line, key), was_copy in list(self._failed.items()):
            self._tick()
            planner = self._ranges.planner(line, limited=False)
            pair = self._ranges.head(key)
            planner.resume_inside(key.rstrip("/"), self._ranges.head)  # their times change too
            if pair == (None, None):
                if was_copy and deletes:
                    self._tell_lost(key)
                else:
                    self._succeeded(line, key)
                continue
            done = [
                step.verb in QUIET or self._perform(step) for step in planner.steps(iter([pair]))
            ]
            if all(done):
                self._succeeded(line, key)

    def _tell_lost(self, key: str) -> None:
        """Tell of a key that fails for good: a run that deletes may have lost it."""
        how = "" if self._checkpoint is None else "; --checkpoint-force-reset forgets it"
        error = NotFound(f"neither side has it any more since its copy failed{how}")
        self._watcher.failed(key, error)

    # ---- doing
    def _run(self, slot: Slot) -> None:
        """Perform the step, and those that waited for it."""
        following: Slot | None = slot
        while following is not None:
            if self._stopping:
                return  # what is not begun is left to the next run
            try:
                self._perform(following.step)
            except Stopped:
                return  # not done: the checkpoint must not say so
            except BaseException as error:
                self._defect = error
                raise
            following = self._window.finish(following)

    def _perform(self, step: Step) -> bool:
        """Do the step; False if it failed, which is noted."""
        try:
            self._worker.perform(step)
        except (Stopped, Vanished):  # no other key would fare better
            raise
        except (OSError, RoostError) as error:
            with self._lock:
                if len(self._failed) >= FAILED_KEPT_MAX and self._frozen is None:
                    self._frozen = self._position()
                was_copy = self._failed.get((step.line, step.key), False)
                self._failed[step.line, step.key] = was_copy or step.verb in _COPYING
            self._watcher.failed(step.key, error)
            return False
        if step.verb is not Verb.LEAVE:  # whose folder was perhaps not made
            self._succeeded(step.line, step.key)
        return True

    def _succeeded(self, line: int, key: str) -> None:
        with self._lock:
            self._failed.pop((line, key), None)

    def _told(self, _size_bytes: int) -> None:
        if self._stopping:
            raise Stopped("the sync was stopped")

    # ---- from time to time
    def _tick(self) -> None:
        if self._defect is not None:
            raise self._defect
        most = self._options.failures_max
        if most is not None and len(self._failed) >= most:
            raise TooManyFailures(
                f"{len(self._failed)} keys failed, stopped at --max-failure {most}"
            )
        now_s = self._clock.monotonic_s()
        if now_s < self._next_tick_s:
            return
        self._next_tick_s = now_s + min(_TICK_S, self._job.interval_s)
        self.tally.put("failed", len(self._failed))
        self._watcher.moved(self.tally)
        if now_s >= self._next_save_s:
            self._next_save_s = now_s + self._job.interval_s
            self._save()

    def _position(self) -> tuple[int, str]:
        behind = self._window.behind
        return (behind.line, behind.key) if behind else (self._begin.line, self._begin.key)

    def _save(self) -> None:
        if self._checkpoint is None:
            return
        with self._lock:
            line, key = self._frozen or self._position()
            kept = islice(self._failed.items(), FAILED_KEPT_MAX)
            failed = tuple((*place, was_copy) for place, was_copy in kept)
        counts = self.tally.counts()
        self._make_target()
        self._checkpoint.save(Progress(self._begin.run, line, key, failed, counts))


def _able(job: Job) -> Options:
    """Return the options without what either side cannot keep."""
    both = (job.source.abilities, job.target.abilities)
    options = job.options
    return replace(
        options,
        dirs=options.dirs and all(side.folders for side in both),
        links=options.links and all(side.links for side in both),
        perms=options.perms and all(side.modes for side in both),
    )
