"""The commit lane: one thread commits the manifests of all collections, one after the other.

A change is a function from the newest manifest to the next one.  It runs in the lane, so what it
resolves (deletes up to now) stays true until its version is committed (hazard H8).  The file on the
volume comes first, then the one SQL statement that checks the generation (hazards H2, H9), then the
version is opened here, then followers are told.  A change that raises leaves everything as it was.
"""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from roost.errors import AlreadyExists, CommitUnknown, Damage, LeaseLost, RoostError
from roost.vector.engine.core import Core
from roost.vector.engine.held import Held
from roost.vector.manifest import Manifest, manifest_path

log = logging.getLogger(__name__)

COMMIT_TRIES = 5
"""Of a commit whose answer was lost; the same manifest again settles it."""
Change = Callable[[Manifest], Manifest | None]


class CommitLane:
    """Commits manifests for whoever asks, from any thread."""

    def __init__(self, core: Core, on_failed: Callable[[RoostError], None]) -> None:
        """`on_failed` is told what makes this process unfit to be the writer."""
        self._core = core
        self._on_failed = on_failed
        self._lane = ThreadPoolExecutor(1, thread_name_prefix="roost-commit")

    def commit(self, held: Held, change: Change) -> Manifest:
        """Return the version that `change` made, or the newest if it made none.

        Raises what `change` raises, LeaseLost, Unavailable, CollectionNotFound.
        """
        return self._lane.submit(self._commit, held, change).result()

    def close(self) -> None:
        """Finish what was asked for and stop."""
        self._lane.shutdown(wait=True)

    def _commit(self, held: Held, change: Change) -> Manifest:
        base, log_mark = held.state.newest, self._core.log_bytes
        changed = change(base)
        if changed is None:
            return base
        generation = self._core.generation
        manifest = replace(changed, version=base.version + 1, generation=generation)
        try:
            store_manifest(self._core, manifest)
        except (LeaseLost, CommitUnknown, AlreadyExists, Damage) as error:
            self._on_failed(error)
            raise
        try:
            with held.change:
                held.state.install(manifest)
        except RoostError as error:
            # The catalog is ahead of what we can answer: only a new start puts that right.
            self._on_failed(error)
            raise CommitUnknown(f"committed, but it cannot be opened here: {error}") from error
        if manifest.complete_to > base.complete_to:
            held.log_mark = log_mark
        let_go = base.paths - manifest.paths
        self._core.let_go.extend((manifest.collection_id, path) for path in sorted(let_go))
        self._core.feed.manifest(manifest)
        log.info(
            "manifest committed: collection=%d version=%d segments=%d complete_to=%d",
            manifest.collection_id,
            manifest.version,
            len(manifest.segments),
            manifest.complete_to,
        )
        return manifest


def stored_path(manifest: Manifest) -> str:
    """Return where the volume keeps that version.

    The generation is in the name, so that a writer that does not know yet that it was deposed
    cannot overwrite its successor's file.
    """
    path = manifest_path(manifest.collection_id, manifest.version)
    return f"{path}-{manifest.generation}"


def store_manifest(core: Core, manifest: Manifest) -> None:
    """Write the file, then the row.  Raises LeaseLost, CommitUnknown after all tries."""
    core.lease.check()
    path = stored_path(manifest)
    core.files.write(path, [manifest.to_json().encode()])
    for left in reversed(range(COMMIT_TRIES)):
        try:
            core.catalog.commit_manifest(manifest)
            return
        except CommitUnknown:
            if not left:
                raise
            log.warning("a commit's answer was lost, asking again: %s", path)
