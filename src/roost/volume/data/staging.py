"""Write-back: blocks on this host's disk on their way to the store.

A block is acknowledged once its file is synced here; a thread stores it later, oldest first, and
tries again without end, because nobody else has it.  What is acknowledged survives kill -9 and a
loss of power, not the loss of this disk; other hosts see the file and miss its blocks until they
are stored.

    <folder>/roost-<UUID>/staging/<owner>.lock     locked while the owner lives
    <folder>/roost-<UUID>/staging/<owner>/<key>    a block and its proof, see checksums
    <folder>/roost-<UUID>/staging/<owner>.doubtful/<key>    set aside for good

Each client has its own owner folder, so that clients of one host do not upload for each other.
Whoever starts to write takes over the folders of owners that died (replay).  A replay never
replaces an object: slice ids are issued again when the metadata is rolled back, and then it is
another's (H23).  For the same reason a block is set aside, where nobody reads or stores it, once
its slice is doubtful: the metadata forgot that this client has the number.

Invariants: a key is in `_entries` from before its file is complete until its object is stored, its
slice is deleted, or its file is found lost; `_bytes` is the sum of their sizes.  An entry in
`_busy` is being uploaded, by one thread.
Lock order: the condition's lock guards the table; no file and no store is touched under it.
"""

import fcntl
import logging
import os
import shutil
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from uuid import uuid4

from typing_extensions import Buffer

from roost.blob.directory import DirectoryStore
from roost.clock import Clock
from roost.errors import InvalidArgument, MissingBlock, RoostError
from roost.telemetry.metrics import STAGED_BLOCKS, STAGED_BYTES
from roost.volume.data import checksums
from roost.volume.data.blocks import BlockRef, Blocks
from roost.volume.data.local_disk import file_system_of, is_local
from roost.volume.data.staged_elsewhere import StagedElsewhere
from roost.volume.layout import parse_block_key
from roost.volume.model import SliceId

UPLOAD_THREADS_MAX = 8
RETRY_S = 1.0
POLL_S = 1.0
RETRY_MAX_S = 60.0
LOST_NAMES_MAX = 100
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Staged:
    """Blocks acknowledged to writers that only this host's disk holds."""

    files: int
    size_bytes: int
    lost: tuple[str, ...] = ()  # objects whose staged copy vanished before it was stored


@dataclass(frozen=True, slots=True)
class StagingLimits:
    """How much may wait, how long, and how it is stored."""

    size_bytes: int
    writers: int  # blocks staged at the same time
    threads: int
    delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class _Entry:
    ref: BlockRef
    folder: DirectoryStore
    staged_s: float
    is_complete: bool = False
    is_replayed: bool = False


class Staging(StagedElsewhere):
    """The staged blocks of one client.  Safe to use from several threads."""

    def __init__(
        self,
        folder: Path,
        volume_uuid: str,
        blocks: Blocks,
        limits: StagingLimits,
        clock: Clock,
        *,
        is_doubtful: Callable[[SliceId], bool],
    ) -> None:
        """Stage below `folder`, on a local disk; take over what died owners left, and upload it.

        `is_doubtful` tells of a slice that it may be another client's by now.
        Raises OSError if the folder cannot be used, InvalidArgument if it is not local.
        """
        super().__init__(folder, volume_uuid, blocks)
        self._limits = limits
        self._clock = clock
        self._is_doubtful = is_doubtful
        self._changed = threading.Condition()
        self._entries: OrderedDict[str, _Entry] = OrderedDict()  # oldest first
        self._busy: set[str] = set()
        self._lost: list[str] = []
        self._bytes = 0
        self._closing = False
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._root.mkdir(parents=True, exist_ok=True)
        if not is_local(self._root):
            raise InvalidArgument(
                f"the cache folder {folder} is on {file_system_of(self._root)}",
                hint="Put it on a local disk: write-back is as durable as that disk.",
            )
        self._locks: list[tuple[Path, int]] = []
        self._own_name = uuid4().hex[:16]
        self._hold(self._root / f"{self._own_name}.lock")
        self._own = self._store_of(self._own_name)
        self._writers = threading.BoundedSemaphore(limits.writers)
        try:
            self._replay()
        except BaseException:  # else the owners stay locked while this process lives
            for _, descriptor in self._locks:
                os.close(descriptor)
            raise
        self._threads = [
            threading.Thread(target=self._work, name=f"roost-staged-{number}", daemon=True)
            for number in range(min(limits.threads, UPLOAD_THREADS_MAX))
        ]
        for thread in self._threads:
            thread.start()

    def staged(self) -> Staged:
        """Return what waits now."""
        with self._changed:
            return Staged(len(self._entries), self._bytes, tuple(self._lost))

    def put(self, ref: BlockRef, data: Buffer) -> bool:
        """Stage a block durably; False if there is no room or the disk refuses.

        The caller then stores it directly, which slows writers down to the store's speed.
        """
        if not self._writers.acquire(blocking=False):
            return False
        try:
            return self._put(ref, data)
        finally:
            self._writers.release()

    def get(self, ref: BlockRef) -> Buffer | None:
        """Return the block if it waits here.  A damaged staged file is none."""
        key = self._blocks.key(ref)
        with self._changed:
            entry = self._entries.get(key)
        if entry is None or not entry.is_complete or self._is_doubtful(ref.slice_id):
            return None
        return self._read(entry.folder, key, ref)

    def hint(self, ref: BlockRef) -> str:
        """Return why the store may not have the block, or nothing."""
        with self._changed:
            known = self._blocks.key(ref) in self._lost or self._blocks.key(ref) in self._entries
        return f", and so is its staged copy in {self._root}" if known else ""

    def drop(self, slice_id: SliceId, slice_bytes: int) -> None:
        """Forget a slice that is being deleted; waits for its uploads under way."""
        for ref in self._blocks.refs(slice_id, slice_bytes):
            key = self._blocks.key(ref)
            with self._changed:
                self._changed.wait_for(partial(self._is_idle, key))
                entry = self._forget(key)  # before an upload can claim it
            if entry is not None:
                entry.folder.delete(key)

    def set_aside(self, start: int, end: int) -> None:
        """Let go of what waits of slices `start` to `end`, which have just become doubtful.

        What is being written or stored at this moment is set aside by who does that.
        """
        with self._changed:
            waiting = [
                (key, entry)
                for key, entry in self._entries.items()
                if start <= entry.ref.slice_id < end and entry.is_complete and self._is_idle(key)
            ]
            for key, _ in waiting:
                self._forget(key)
        for key, entry in waiting:
            self._set_aside(key, entry)

    def upload_all(self) -> None:
        """Store everything staged now, whatever the delay.  Raises what the store raises."""
        with self._changed:
            keys = [key for key, entry in self._entries.items() if entry.is_complete]
        for key in keys:
            with self._changed:
                self._changed.wait_for(partial(self._is_idle, key))
                self._busy.add(key)
            self._upload(key)

    def close(self) -> None:
        """Store what is due, and stop; what the store refuses, or is not due, waits for a replay.

        Raises MissingBlock naming the objects whose staged copy was lost.
        """
        with self._changed:
            if self._closing:
                return
            self._closing = True
        self._stopping.set()
        self._wake.set()
        for thread in self._threads:
            thread.join()
        left = self.staged()
        STAGED_BLOCKS.dec(left.files)
        STAGED_BYTES.dec(left.size_bytes)
        if left.files:
            log.warning(
                "%d blocks (%d bytes) stay in %s until the volume is opened for writing here again",
                left.files, left.size_bytes, self._root,
            )  # fmt: skip
        for path, descriptor in self._locks:
            if not left.files:
                shutil.rmtree(path.with_suffix(""), ignore_errors=True)
                path.unlink(missing_ok=True)
            os.close(descriptor)
        if left.lost:
            raise MissingBlock(
                ", ".join(left.lost), f"staged in {self._root} and gone before it was stored"
            )

    # ---- staging
    def _put(self, ref: BlockRef, data: Buffer) -> bool:
        key = self._blocks.key(ref)
        with self._changed:
            if self._closing or self._bytes + ref.size_bytes > self._limits.size_bytes:
                return False
            self._add(key, _Entry(ref, self._own, self._clock.monotonic_s()))
        try:
            block = bytes(data)
            self._own.put(key, block + checksums.trailer(block, f"{self._uuid}/{key}"))
        except RoostError as error:
            log.warning("cannot stage, storing directly: %s", error)
            self._forget(key)
            return False
        with self._changed:
            entry = self._entries[key] = replace(self._entries[key], is_complete=True)
            is_ours = not self._is_doubtful(ref.slice_id)
            if not is_ours:
                self._forget(key)
        if not is_ours:
            self._set_aside(key, entry)
            return False
        self._wake.set()
        return True

    def _add(self, key: str, entry: _Entry) -> None:
        if key not in self._entries:
            self._bytes += entry.ref.size_bytes
            STAGED_BLOCKS.inc()
            STAGED_BYTES.inc(entry.ref.size_bytes)
        self._entries[key] = entry

    def _forget(self, key: str) -> _Entry | None:
        """Strike a block off and return it; the lock may be held already."""
        with self._changed:
            entry = self._entries.pop(key, None)
            if entry is not None:
                self._bytes -= entry.ref.size_bytes
                STAGED_BLOCKS.dec()
                STAGED_BYTES.dec(entry.ref.size_bytes)
            return entry

    def _is_idle(self, key: str) -> bool:
        return key not in self._busy

    # ---- uploading
    def _work(self) -> None:
        """Upload what is due, until closing; a refusing store is asked again ever more rarely."""
        failures = 0
        while True:
            key = self._claim()
            if key is None:
                return
            try:
                self._upload(key)
            except Exception as error:  # background loop: nobody else has the block
                failures += 1
                if not isinstance(error, RoostError):
                    log.exception("a staged block could not be stored: %s", key)
                elif failures == 1:
                    log.warning("staged blocks wait, the store refuses: %s", error)
                if self._closing:
                    return
                pause_s = min(RETRY_S * 2 ** (failures - 1), RETRY_MAX_S)
                self._clock.wait(self._stopping, pause_s)
            else:
                failures = 0

    def _claim(self) -> str | None:
        """Return a block to upload, claimed; None to end."""
        while True:
            self._wake.clear()
            if self._closing:
                self._wake.set()  # for the other threads, which may not have seen it
            with self._changed:
                due_s = self._clock.monotonic_s() - self._limits.delay_s
                for key, entry in self._entries.items():
                    if entry.staged_s > due_s:
                        break  # those behind it are younger
                    if entry.is_complete and key not in self._busy:
                        self._busy.add(key)
                        return key
                if self._closing:
                    return None
            self._clock.wait(self._wake, POLL_S)

    def _upload(self, key: str) -> None:
        """Store a claimed block and let go of it.  Raises what the store raises."""
        try:
            with self._changed:
                entry = self._entries.get(key)
            if entry is None:
                return
            if self._is_doubtful(entry.ref.slice_id):
                self._forget(key)
                self._set_aside(key, entry)
                return
            data = self._read(entry.folder, key, entry.ref)
            if data is None:
                self._note_lost(key)
                return
            if not (entry.is_replayed and self._blocks.exists(entry.ref)):
                self._blocks.put(entry.ref, data)
            self._forget(key)
            entry.folder.delete(key)
        finally:
            with self._changed:
                self._busy.discard(key)
                self._changed.notify_all()

    def _set_aside(self, key: str, entry: _Entry) -> None:
        """Move the file of a block that was struck off; a replay does not look there."""
        target = self._root / f"{self._own_name}.doubtful" / key
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            (Path(entry.folder.name) / key).rename(target)
        except OSError as error:
            log.error("a doubtful staged block cannot be set aside: %s: %s", key, error.strerror)
        else:
            log.warning("a staged block may be of another client's slice, set aside: %s", target)

    def _note_lost(self, key: str) -> None:
        name = f"{self._blocks.store.name}{key}"
        log.error("the staged copy gone or damaged, data lost: object=%s in %s", name, self._root)
        self._forget(key)
        with self._changed:
            if len(self._lost) < LOST_NAMES_MAX:
                self._lost.append(key)

    # ---- owners
    def _hold(self, path: Path) -> bool:
        """Lock an owner's file, made if needed, for the life of this client."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        self._locks.append((path, descriptor))
        return True

    def _replay(self) -> None:
        """Take over what owners left who live no more."""
        for path in sorted(self._root.glob("*.lock")):
            if path.stem == self._own_name or not self._hold(path):
                continue
            folder, found = self._store_of(path.stem), 0
            for info in folder.list("chunks/"):
                parsed = parse_block_key(info.key)
                if parsed is None:
                    continue
                ref = BlockRef(*parsed)
                aged_s = self._clock.monotonic_s() - self._limits.delay_s
                with self._changed:
                    self._add(info.key, _Entry(ref, folder, aged_s, True, is_replayed=True))
                found += 1
            if found:
                log.info("taking over %d staged blocks from %s", found, self._root / path.stem)
