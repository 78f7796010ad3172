"""The hourly jobs that all clients of a volume share: old trash, deleted files, unused slices.

With old trash go clones that were never finished.

A job is claimed by a counter in the metadata, as JuiceFS does, so that one client an hour does it.
What fails is left for the next hour: the metadata still lists it.
Source: the volume format reference, section 6.4.
"""

import logging
import threading
from collections.abc import Callable, Iterable

from roost.clock import Clock
from roost.errors import RoostError
from roost.volume.meta.api import Meta
from roost.volume.model import DeletedFile, SliceRef

PERIOD_S = 3600
LOOK_EVERY_S = 300
DELETED_FILE_GRACE_S = 3600  # as JuiceFS: whoever deleted a file removes its data at once
TRASH_JOB = "lastCleanupTrash"
FILES_JOB = "lastCleanupFiles"
SLICES_JOB = "nextCleanupSlices"
_CLAIM_S = PERIOD_S * 9 // 10
_DAY_S = 86400

DeleteSlice = Callable[[SliceRef], None]
log = logging.getLogger(__name__)


def run_due(meta: Meta, delete_slice: DeleteSlice, now_s: int) -> int:
    """Do the jobs that are due; return how many slices were deleted.

    `delete_slice` deletes the blocks of a slice; missing blocks are fine.  A slice or a file whose
    removal raises a RoostError stays listed, and the others are done.
    """
    deleted = 0
    if meta.claim_job(TRASH_JOB, _CLAIM_S):
        meta.clean_trash()
        meta.clean_detached()
        kept_s = meta.settings.trash_days * _DAY_S
        for delayed in meta.delayed_slices(now_s - kept_s):
            deleted += _delete(meta, delete_slice, meta.release_delayed_slices(delayed))
    if meta.claim_job(FILES_JOB, _CLAIM_S):
        for file in meta.deleted_files(now_s - DELETED_FILE_GRACE_S):
            deleted += _delete(meta, delete_slice, _release(meta, file))
    if meta.claim_job(SLICES_JOB, _CLAIM_S):
        deleted += _delete(meta, delete_slice, meta.unreferenced_slices())
    return deleted


def _release(meta: Meta, file: DeletedFile) -> tuple[SliceRef, ...]:
    try:
        return meta.release_deleted_file(file)
    except RoostError as error:  # the others must not wait for this one
        log.warning("file data left for the next clean-up: ino=%d error=%s", file.ino, error)
        return ()


def _delete(meta: Meta, delete_slice: DeleteSlice, refs: Iterable[SliceRef]) -> int:
    deleted = 0
    for ref in refs:
        try:
            delete_slice(ref)
            meta.forget_slice(ref)
        except RoostError as error:
            log.warning("slice left for the next clean-up: id=%d error=%s", ref.id, error)
            continue
        deleted += 1
    return deleted


class Upkeep:
    """A thread that does the due jobs, at once and then as they become due, until `stop`."""

    def __init__(self, meta: Meta, delete_slice: DeleteSlice, clock: Clock) -> None:
        self._meta = meta
        self._delete_slice = delete_slice
        self._clock = clock
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="roost-upkeep", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a job under way is finished first."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        self._look()
        while not self._clock.wait(self._stopping, LOOK_EVERY_S):
            self._look()

    def _look(self) -> None:
        try:
            run_due(self._meta, self._delete_slice, self._clock.wall_ns() // 1_000_000_000)
        except RoostError as error:
            log.warning("clean-up failed, trying again: %s", error)
