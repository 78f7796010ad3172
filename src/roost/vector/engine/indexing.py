"""Indexes of sealed segments: built in other processes, committed by manifest versions.

What is wanted follows from the manifest and the catalog alone (segments without a file for a
declared index), so nothing is stored about builds under way: after a restart they begin again.
A build fails by itself; after some tries the index shows as failed until a new start or a new
declaration.

`_lock` guards the tables of builds and failures; it is held for a look only.
"""

import contextlib
import logging
import threading
import uuid
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_for_futures
from dataclasses import dataclass, replace
from pathlib import Path

from roost.errors import CommitUnknown, Failure, RoostError
from roost.vector.api import IndexInfo, IndexSpec, IndexState
from roost.vector.engine.commits import CommitLane
from roost.vector.engine.core import Core
from roost.vector.engine.held import Held
from roost.vector.index.spec import plan_of
from roost.vector.manifest import IndexFile, Manifest, SegmentEntry
from roost.vector.segment.writing import vector_path

log = logging.getLogger(__name__)

WAIT_S = 1.0
"""One step of waiting for a build; between steps other duties have their turn."""
BUILDS_MAX = 8
"""Builds submitted at a time; more would only wait in the builder."""
_Key = tuple[int, int]
"""(segment id, index id)"""


@dataclass(frozen=True, slots=True, eq=False)
class Build:
    """One index build under way."""

    entry: SegmentEntry
    spec: IndexSpec
    field_id: int
    future: Future[Path]
    out: Path


class Indexing:
    """Starts builds and commits them.  Thread-safe."""

    def __init__(self, core: Core, lane: CommitLane) -> None:
        self._core = core
        self._lane = lane
        self._lock = threading.Lock()
        self._building: set[_Key] = set()
        self._failures: dict[_Key, list[str]] = {}

    def wanted(self, held: Held, entry: SegmentEntry) -> list[IndexSpec]:
        """Return the declared indexes that this segment needs a file of and has not."""
        if entry.rows < self._core.settings.index_rows_min:
            return []
        there = {file.index_id for file in entry.indexes}
        specs = (spec for spec in held.state.info.vector_indexes if spec.id not in there)
        return [spec for spec in specs if plan_of(spec).needs_file]

    def begin(self, held: Held, entry: SegmentEntry, spec: IndexSpec) -> Build:
        """Start a build; `wait` for it and `adopt` it.  Raises Failure, Damage."""
        field = held.state.info.schema.field(spec.field)
        vectors = self._core.files.open_local(vector_path(entry.folder, field.id))
        out = self._core.files.scratch() / f"index-{uuid.uuid4().hex}"
        future = self._core.builder.submit(spec, vectors, entry.rows, field.dim, out)
        return Build(entry, spec, field.id, future, out)

    def wait(self, build: Build) -> bool:
        """Wait one step; True when the build ended.  Raises Failure when the engine closes."""
        if self._core.closing.is_set():
            raise Failure("the engine is closing")
        return bool(wait_for_futures([build.future], timeout=WAIT_S).done)

    def adopt(self, build: Build) -> IndexFile:
        """Store the built file and return what a manifest says of it.  Raises Failure."""
        local = build.future.result()
        name = f"index-{build.spec.id}-{self._core.generation}-{self._core.timestamps.next()}"
        path = f"{build.entry.folder}/{name}"
        self._core.files.adopt(local, path)
        return IndexFile(build.spec.id, build.field_id, path)

    def next_builds(self, held: Held, without: set[int]) -> list[tuple[SegmentEntry, IndexSpec]]:
        """Return what to build now, largest first; segments in `without` are about to go."""
        with self._lock:
            free = BUILDS_MAX - len(self._building)
            found = [
                (entry, spec)
                for entry in sorted(held.state.newest.segments, key=lambda e: -e.rows)
                if entry.id not in without
                for spec in self.wanted(held, entry)
                if (entry.id, spec.id) not in self._building and not self._gave_up(entry, spec)
            ][: max(free, 0)]
            self._building.update((entry.id, spec.id) for entry, spec in found)
        return found

    def build(self, held: Held, entry: SegmentEntry, spec: IndexSpec) -> None:
        """Build and commit one index that `next_builds` gave; failures are remembered."""
        try:
            build = self.begin(held, entry, spec)
            while not self.wait(build):
                pass
            self._commit(held, build)
        except RoostError as error:
            self._failed(entry, spec, str(error))
        finally:
            with self._lock:
                self._building.discard((entry.id, spec.id))

    def describe(self, held: Held, growing_rows: int) -> list[IndexInfo]:
        """Return every declared index with the progress of its builds, in rows."""
        segments = held.state.newest.segments
        return [self._describe(held, spec, segments, growing_rows) for spec in self._specs(held)]

    def forget(self, index_id: int) -> None:
        """Forget the failures of an index that is dropped or declared again."""
        with self._lock:
            self._failures = {k: v for k, v in self._failures.items() if k[1] != index_id}

    @staticmethod
    def _specs(held: Held) -> Sequence[IndexSpec]:
        return held.state.info.indexes

    def _describe(
        self, held: Held, spec: IndexSpec, segments: Sequence[SegmentEntry], growing_rows: int
    ) -> IndexInfo:
        missing = [e for e in segments if spec.id in {s.id for s in self.wanted(held, e)}]
        pending = sum(entry.rows for entry in missing)
        total = sum(entry.rows for entry in segments) + growing_rows
        with self._lock:
            reasons = [self._failures[e.id, spec.id][-1] for e in missing if self._gave_up(e, spec)]
        state = IndexState.FINISHED if not pending else IndexState.IN_PROGRESS
        if reasons:
            state = IndexState.FAILED
        reason = reasons[0] if reasons else ""
        return IndexInfo(spec, total, total - pending, pending, state, reason)

    def _gave_up(self, entry: SegmentEntry, spec: IndexSpec) -> bool:
        tries = len(self._failures.get((entry.id, spec.id), ()))
        return tries >= self._core.settings.index_retries_max

    def _failed(self, entry: SegmentEntry, spec: IndexSpec, reason: str) -> None:
        if self._core.closing.is_set():
            return
        log.warning("index build failed: segment=%d index=%s: %s", entry.id, spec.name, reason)
        with self._lock:
            self._failures.setdefault((entry.id, spec.id), []).append(reason)

    def _commit(self, held: Held, build: Build) -> None:
        file = self.adopt(build)
        try:
            manifest = self._lane.commit(held, lambda base: _with_file(held, base, build, file))
        except CommitUnknown:
            raise  # the version may exist and name the file
        except RoostError:
            self._core.files.delete(file.path)
            raise
        if not any(file in entry.indexes for entry in manifest.segments):
            with contextlib.suppress(RoostError):  # its folder may be gone already
                self._core.files.delete(file.path)


def _with_file(held: Held, base: Manifest, build: Build, file: IndexFile) -> Manifest | None:
    """In the commit lane: the version with the index, None if segment or index went away."""
    declared = {spec.id for spec in held.state.info.indexes}
    there = [entry for entry in base.segments if entry.id == build.entry.id]
    if not there or build.spec.id not in declared:
        return None
    segments = tuple(
        replace(entry, indexes=(*entry.indexes, file)) if entry.id == build.entry.id else entry
        for entry in base.segments
    )
    return replace(base, segments=segments)


def without_index(base: Manifest, index_id: int) -> Manifest | None:
    """Return the version without the files of an index, None if it has none."""
    segments = tuple(
        replace(entry, indexes=tuple(f for f in entry.indexes if f.index_id != index_id))
        for entry in base.segments
    )
    return None if segments == base.segments else replace(base, segments=segments)
