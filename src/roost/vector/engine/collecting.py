"""Files that nobody needs any more: superseded segments, orphans, dropped collections, the log.

Nothing is deleted at once (hazards H9, H21).  A manifest version is forgotten a grace time after it
was superseded; a file that no stored version names is marked doomed in the catalog, which refuses
it to every later commit, branch or snapshot; a grace time after that it is deleted.  A log file
goes a grace time after every collection holds its records in segments.  Times that must outlive a
restart are the catalog's; all others begin again with the process, which only makes them longer.

A path tells its writer's generation.  Files of older generations that no version names are orphans
of work that never ended; files of this generation are garbage only once a version let them go.
One thread uses this at a time (the keeper's).
"""

import logging
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from roost.vector.engine.core import SEGMENT_FOLDER, Core
from roost.vector.engine.held import Held
from roost.vector.log.reader import collect
from roost.vector.log.writer import LogWriter

log = logging.getLogger(__name__)

MANIFEST_FOLDER = "manifest"
SEGMENT_DEPTH = 2
"""Slashes in the path of a segment's folder; what lies deeper is a file."""
DOOM_MAX = 1_000
"""Paths of one statement."""


@dataclass(slots=True)
class Aged:
    """Values by the time they were seen, to ask for the newest that is old enough."""

    seen: deque[tuple[float, int]] = field(default_factory=deque)

    def add(self, now_s: float, value: int) -> None:
        """Remember `value` if it is new."""
        if not self.seen or self.seen[-1][1] != value:
            self.seen.append((now_s, value))

    def older_than(self, limit_s: float) -> int | None:
        """Return the newest value seen at or before `limit_s`, and forget those before it."""
        while len(self.seen) > 1 and self.seen[1][0] <= limit_s:
            self.seen.popleft()
        return self.seen[0][1] if self.seen and self.seen[0][0] <= limit_s else None


def needed_from(held: Held, watermark: int) -> int:
    """Return the largest timestamp up to which the log has nothing that `held` needs.

    `watermark`: everything up to it is applied.  May be above the manifest's `complete_to`: a
    collection without anything new needs nothing.
    """
    needed = watermark
    growing = held.state.growing_statistics()
    if growing.rows:
        needed = min(needed, growing.oldest_ts - 1)
    for entry in held.state.newest.segments:
        if entry.deletes_complete_to < watermark:
            _, delete_ts = held.state.pending_deletes(entry, watermark)
            if len(delete_ts):
                needed = min(needed, int(delete_ts.min()) - 1)
    return needed


class Collecting:
    """Looks for garbage and removes it when its time has come."""

    def __init__(self, core: Core, log_writer: LogWriter) -> None:
        self._core = core
        self._log = log_writer
        self._positions = Aged()
        self._versions: dict[int, Aged] = {}
        self._dropped: dict[int, float] = {}
        self._let_go: dict[int, set[str]] = {}

    def run(self) -> None:
        """Look once.  Raises LeaseLost, Unavailable, Damage of log files."""
        self._prune()
        self._doom()
        self._delete_doomed()
        self._forget_dropped()
        self._collect_log()

    def _limit_s(self) -> float:
        return self._core.clock.monotonic_s() - self._core.settings.grace_s

    def _prune(self) -> None:
        """Forget versions that were superseded a grace time ago, in SQL and on the volume."""
        core = self._core
        pinned = {(pin.collection_id, pin.version) for pin in core.catalog.pins()}
        for held in core.collections.all():
            aged = self._versions.setdefault(held.id, Aged())
            aged.add(core.clock.monotonic_s(), held.state.newest.version)
            below = aged.older_than(self._limit_s())
            if below is None or below < 2:
                continue
            core.catalog.prune_manifests(held.id, below, core.generation)
            folder = f"{MANIFEST_FOLDER}/{held.id}"
            for name in core.files.list(folder):
                version = int(name.partition("-")[0])
                if version < below and (held.id, version) not in pinned:
                    core.files.delete(f"{folder}/{name}")

    def _doom(self) -> None:
        """Mark what no stored version names; the catalog decides on each path."""
        core = self._core
        known = {doomed.path for doomed in core.catalog.doomed()}
        while core.let_go:
            collection_id, path = core.let_go.popleft()
            self._let_go.setdefault(collection_id, set()).add(path)
        candidates: list[str] = []
        for held in core.collections.all():
            found = self._orphans(held.id) | self._let_go.get(held.id, set())
            candidates += sorted(found - held.state.newest.paths - known)
        now_ms = core.clock.wall_ns() // 1_000_000
        for start in range(0, len(candidates), DOOM_MAX):
            batch = candidates[start : start + DOOM_MAX]
            marked = set(core.catalog.doom(batch, core.generation, now_ms))
            for let_go in self._let_go.values():
                let_go -= marked

    def _orphans(self, collection_id: int) -> set[str]:
        """Return what older generations left in a collection's folder, named or not."""
        core, found = self._core, set()
        base = f"{SEGMENT_FOLDER}/{collection_id}"
        for name in core.files.list(base):
            folder = f"{base}/{name}"
            if int(name.partition("-")[0]) < core.generation:
                found.add(folder)
            found.update(f"{folder}/{file}" for file in self._old_files(core.files.list(folder)))
        return found

    def _old_files(self, names: Iterable[str]) -> list[str]:
        """Return the delete and index files of older generations."""
        old = []
        for name in names:
            kind, *numbers = name.split("-")
            at = {"deletes": 0, "index": 1}.get(kind)
            if at is not None and int(numbers[at]) < self._core.generation:
                old.append(name)
        return old

    def _delete_doomed(self) -> None:
        core = self._core
        limit_ms = core.clock.wall_ns() // 1_000_000 - int(core.settings.grace_s * 1_000)
        gone = [doomed.path for doomed in core.catalog.doomed() if doomed.doomed_ms <= limit_ms]
        for path in gone:
            if path.count("/") == SEGMENT_DEPTH:
                core.files.delete_folder(path)
            else:
                core.files.delete(path)
        if gone:
            core.catalog.undoom(gone, core.generation)
            log.info("deleted files that no version names: count=%d", len(gone))

    def _forget_dropped(self) -> None:
        """Remove dropped collections: files first, so that a crash in between only repeats it."""
        core, now_s = self._core, self._core.clock.monotonic_s()
        pinned = {pin.collection_id for pin in core.catalog.pins()}
        for collection_id in core.catalog.dropped_collections():
            first_seen_s = self._dropped.setdefault(collection_id, now_s)
            if first_seen_s > self._limit_s() or collection_id in pinned:
                continue
            core.files.delete_folder(f"{SEGMENT_FOLDER}/{collection_id}")
            core.files.delete_folder(f"{MANIFEST_FOLDER}/{collection_id}")
            core.catalog.forget_collection(collection_id, core.generation)
            for table in (self._dropped, self._versions, self._let_go):
                table.pop(collection_id, None)

    def _collect_log(self) -> None:
        core, watermark = self._core, self._log.watermark
        needs = [needed_from(held, watermark) for held in core.collections.all()]
        position = min(needs, default=watermark)
        self._log.flushed_to(position)
        self._positions.add(core.clock.monotonic_s(), position)
        old_enough = self._positions.older_than(self._limit_s())
        if old_enough is None:
            return
        floor = core.catalog.log_floor()
        garbage = collect(
            core.files, core.catalog.seals(), old_enough, floor, open_generation=core.generation
        )
        if not garbage.paths:
            return
        core.catalog.set_log_floor(garbage.floor, core.generation)
        for path in garbage.paths:
            core.files.delete(path)
        log.info("deleted log files: count=%d floor=%s", len(garbage.paths), garbage.floor)
