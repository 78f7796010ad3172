"""Maintenance without being asked: flushes, compactions, index builds, garbage.

One loop looks at every collection and hands what is due to small pools: flushes to their own
(inserts wait for them when memory is full), compactions and builds to theirs (they wait long for
the builder's processes), garbage to one thread.  A task that fails is logged and comes again at a
later look; one that shows that this process is no longer the writer ends it.

`_lock` guards `_under_way`; held for a look only.
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from roost.errors import LeaseLost, RoostError
from roost.vector.engine.collecting import Collecting
from roost.vector.engine.commits import CommitLane
from roost.vector.engine.compacting import Group, compact, plan
from roost.vector.engine.core import Core
from roost.vector.engine.flushing import flush, wants_flush
from roost.vector.engine.held import Held
from roost.vector.engine.indexing import BUILDS_MAX, Indexing
from roost.vector.log.writer import LogWriter

log = logging.getLogger(__name__)

Task = Callable[[], object]
RETRY_S = 10.0
"""After work on a collection failed: a full disk is not filled again every second."""


class Keeper:
    """Keeps all collections in shape until it is stopped."""

    def __init__(
        self,
        core: Core,
        log_writer: LogWriter,
        lane: CommitLane,
        indexing: Indexing,
        on_lost: Callable[[RoostError], None],
    ) -> None:
        self._core, self._log, self._lane, self._indexing = core, log_writer, lane, indexing
        self._on_lost = on_lost
        self._collecting = Collecting(core, log_writer)
        self._lock = threading.Lock()
        self._under_way: set[tuple[str, int]] = set()
        self._not_before_s: dict[tuple[str, int], float] = {}
        self._compacting: dict[int, set[int]] = {}
        self._wake = threading.Event()
        self.room = threading.Event()
        """Set while the growing rows of all collections are few enough to take more."""
        self.room.set()
        flushers = max(1, core.settings.background_threads)
        self._flushers = ThreadPoolExecutor(flushers, "roost-flush")
        self._compactors = ThreadPoolExecutor(1, "roost-compact")
        self._builders = ThreadPoolExecutor(BUILDS_MAX, "roost-index")
        self._collector = ThreadPoolExecutor(1, "roost-collect")
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin, unless the settings say that nothing happens by itself."""
        if self._core.settings.background_threads:
            loops = {"roost-keeper": self._keep, "roost-heartbeat": self._beat}
            self._threads = [
                threading.Thread(target=t, name=n, daemon=True) for n, t in loops.items()
            ]
            for thread in self._threads:
                thread.start()

    def wake(self) -> None:
        """Look now instead of at the next interval."""
        self._wake.set()

    def stop(self) -> None:
        """Let what runs end or give up, and wait for it.  `Core.closing` is set before."""
        self._wake.set()
        for thread in self._threads:
            thread.join()
        for pool in (self._flushers, self._compactors, self._builders, self._collector):
            pool.shutdown(wait=True, cancel_futures=True)

    def maintain(self) -> None:
        """Do all that is due, here and now.  Raises what it meets."""
        for held in self._core.collections.all():
            if self._wants_flush(held):
                self._flush(held)
            for group in plan(self._core, held.state.newest, thorough=False):
                compact(self._core, self._lane, self._indexing, held, group)
            for entry, spec in self._indexing.next_builds(held, set()):
                self._indexing.build(held, entry, spec)
            self._retire(held)
        self._collecting.run()
        self._measure()

    def compact(self, held: Held) -> "Future[None]":
        """Merge what can be merged, in the background."""
        return self._compactors.submit(self._compact, held, thorough=True)

    # ---- the loops ------------------------------------------------------------------------

    def _keep(self) -> None:
        core, next_collect_s = self._core, 0.0
        while not core.closing.is_set():
            core.clock.wait(self._wake, core.settings.flush_interval_s)
            self._wake.clear()
            if core.closing.is_set():
                return
            for held in core.collections.all():
                self._guarded(partial(self._look, held))
            self._measure()
            if core.clock.monotonic_s() >= next_collect_s:
                next_collect_s = core.clock.monotonic_s() + core.settings.collect_interval_s
                self._begin("collect", 0, self._collector, self._collecting.run)

    def _beat(self) -> None:
        """Move the watermark on while nobody writes."""
        core, last = self._core, 0
        idle = threading.Event()
        while not core.closing.is_set():
            if self._log.watermark == last:
                self._guarded(lambda: self._log.tick())
            last = self._log.watermark
            core.clock.wait(idle, core.settings.heartbeat_s)

    def _look(self, held: Held) -> None:
        if self._wants_flush(held):
            self._begin("flush", held.id, self._flushers, lambda: self._flush(held))
        if plan(self._core, held.state.newest, thorough=False):
            self._begin("compact", held.id, self._compactors, lambda: self._compact(held))
        about_to_go = self._compacting.get(held.id, set())
        for entry, spec in self._indexing.next_builds(held, about_to_go):
            self._builders.submit(self._guarded, partial(self._indexing.build, held, entry, spec))
        self._retire(held)

    def _begin(self, work: str, collection_id: int, pool: ThreadPoolExecutor, task: Task) -> None:
        """Hand `task` to `pool` unless the same is under way or failed a moment ago."""
        key, clock = (work, collection_id), self._core.clock
        with self._lock:
            too_early = clock.monotonic_s() < self._not_before_s.get(key, 0.0)
            if key in self._under_way or too_early:
                return
            self._under_way.add(key)

        def run() -> None:
            done = self._guarded(task)
            with self._lock:
                self._not_before_s.pop(key, None)
                if not done:
                    self._not_before_s[key] = clock.monotonic_s() + RETRY_S
                self._under_way.discard(key)

        pool.submit(run)

    def _guarded(self, task: Task) -> bool:
        """Run a task; True if it ended well."""
        try:
            task()
            return True
        except LeaseLost as error:
            self._on_lost(error)
        except RoostError as error:
            if not self._core.closing.is_set():
                log.warning("maintenance failed and comes again: %s", error)
        except Exception:  # the boundary of a background task
            log.exception("maintenance failed")
        return False

    # ---- the tasks ------------------------------------------------------------------------

    def _wants_flush(self, held: Held) -> bool:
        return wants_flush(self._core, held) or self._pins_log(held)

    def _pins_log(self, held: Held) -> bool:
        return self._core.log_bytes - held.log_mark > self._core.settings.log_bytes_max

    def _flush(self, held: Held) -> None:
        pins = self._pins_log(held)
        flush(self._core, self._lane, held, self._log.watermark, even_if_empty=pins)
        self._measure()
        self._wake.set()

    def _compact(self, held: Held, *, thorough: bool = False) -> None:
        """Merge group after group; each plan is made on the newest version."""
        done: list[Group] = []
        while not self._core.closing.is_set():
            groups = plan(self._core, held.state.newest, thorough=thorough)
            if not groups or groups[0] in done:
                break
            done.append(groups[0])
            self._compacting[held.id] = {entry.id for entry in groups[0].inputs}
            try:
                compact(self._core, self._lane, self._indexing, held, groups[0])
            finally:
                self._compacting.pop(held.id, None)
        self._wake.set()

    def _retire(self, held: Held) -> None:
        with held.change:
            held.state.retire(self._core.settings.version_grace_s)

    def _measure(self) -> None:
        """Open or close the door for inserts."""
        growing = sum(
            held.state.growing_statistics().size_bytes for held in self._core.collections.all()
        )
        if growing < self._core.settings.growing_bytes_max:
            self.room.set()
        else:
            self.room.clear()
