"""Blocks of one volume in one local folder.

The layout is that of JuiceFS's cache, `raw/<key>`, but in a folder `roost-<UUID>`, which the
official client never looks at: it would delete or upload what it does not know.

Nothing is trusted: a file that is shorter, longer, changed or in the wrong place is removed and is
a miss.  Nothing here ever fails a read or a write of the volume: a full or broken disk means that
less is cached.

The folder is listed in steps while blocks are kept, found and removed.  Until that is done the
bound on size rests on what is known so far, and the folder may hold more by what was kept since;
the bound on free space asks the file system, and always holds.

Lock order: `_lock` guards the index, `_swept_s`, `_quiet_until_s`, `_stopping`, `_is_being_listed`
and `_kept`, and is not held during system calls.  `_is_trusted` only ever becomes
false, and needs none.
"""

import contextlib
import errno
import logging
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from uuid import uuid4

from typing_extensions import Buffer

from roost.blob.regular_files import open_regular
from roost.clock import Clock
from roost.sizes import KIB
from roost.volume.data import checksums
from roost.volume.data.cached_files import files_below
from roost.volume.data.checksums import PIECE_BYTES
from roost.volume.data.disk_index import DiskIndex
from roost.volume.data.settings import ChecksumLevel, Eviction
from roost.volume.data.slice_watch import SliceWatch
from roost.volume.layout import parse_block_key

QUIET_S = 60.0  # after the disk refused a write
SWEEP_EVERY_S = 60.0
LISTED_AT_ONCE = 1000  # files
_DRAFT_AGE_S = 3600.0
_EVICTIONS_MAX = 1000  # for one block
_GONE = (errno.ENOENT, errno.ENOTDIR)
_TAIL_BYTES_MAX = 64 * KIB  # more than the proof of any block
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DiskLimits:
    """What one cache folder may hold and how it is kept."""

    size_bytes: int
    items: int = 0  # 0: as many as fit
    free_space_ratio: float = 0.1
    mode: int = 0o600
    checksum: ChecksumLevel = "extend"
    eviction: Eviction = "2-random"
    expire_s: float = 0.0


class DiskCache:
    """Safe to use from several threads, and from several processes on one folder."""

    def __init__(self, folder: Path, volume_uuid: str, limits: DiskLimits, clock: Clock) -> None:
        """Use `folder/roost-<UUID>/raw`; it is made when the first block comes."""
        self._uuid = volume_uuid
        self._root = folder / f"roost-{volume_uuid}"
        self._raw = self._root / "raw"
        self._limits = limits
        self._clock = clock
        self._lock = threading.Lock()
        self._index = DiskIndex(limits.eviction)
        self._quiet_until_s = 0.0
        self._is_trusted = True
        self._is_being_listed = False
        self._kept = False  # anything, by this process
        self._stopping = False
        self._swept_s = clock.monotonic_s()
        self._watch = SliceWatch(self._root)

    @property
    def name(self) -> str:
        """The folder, for messages."""
        return str(self._root)

    @property
    def size_bytes(self) -> int:
        """Bytes known to be cached."""
        with self._lock:
            return self._index.size_bytes

    def scan(self) -> None:
        """List what lies in the folder already, and remove what a crash left half written.

        What was kept meanwhile may have come on top of what the folder may hold: then blocks are
        evicted in the end.
        """
        self._set_being_listed(True)
        try:
            self._list_all()
        finally:
            self._set_being_listed(False)
        with self._lock:
            kept = self._kept
        if kept:
            self._keep_bounds()

    def stop_listing(self) -> None:
        """End `scan` soon, unless blocks were kept: only whoever knows all can keep the bounds."""
        with self._lock:
            self._stopping = True

    def find(self, key: str, size_bytes: int) -> bytes | None:
        """Return the block's bytes if they are here and sound."""
        if not self._is_trusted:
            return None
        path = self._raw / key
        listing = self._listing(key)
        try:
            with open(open_regular(path), "rb", buffering=0) as file:
                data = file.read(size_bytes)
                tail = file.read()
        except OSError as error:
            self._missed(key, listing, error)
            return None
        sound = checksums.is_sound(self._name(key), size_bytes, tail, data)
        return self._judged(key, data if sound and len(data) == size_bytes else None)

    def find_range(self, key: str, size_bytes: int, offset: int, length: int) -> memoryview | None:
        """Return part of a block, proved as the checksum level says."""
        if not self._is_trusted:
            return None
        level = self._limits.checksum
        start, end = offset, offset + length
        if level == "none" or (level == "full" and length < size_bytes):
            end = start  # nothing is proved but the seal
        elif level == "shrink":
            start = -(-start // PIECE_BYTES) * PIECE_BYTES
            end = size_bytes if end == size_bytes else end // PIECE_BYTES * PIECE_BYTES
        else:
            start = start // PIECE_BYTES * PIECE_BYTES
            end = min(-(-end // PIECE_BYTES) * PIECE_BYTES, size_bytes)
        first, last = min(start, offset), max(end, offset + length)
        listing = self._listing(key)
        try:
            with open(open_regular(self._raw / key), "rb", buffering=0) as file:
                data = os.pread(file.fileno(), last - first, first)
                tail = os.pread(file.fileno(), _TAIL_BYTES_MAX, size_bytes)
        except OSError as error:
            self._missed(key, listing, error)
            return None
        sound = len(data) == last - first and checksums.is_seal_sound(
            self._name(key), size_bytes, tail
        )
        if sound and start < end:
            proved = data[start - first : end - first]
            sound = checksums.is_sound(self._name(key), size_bytes, tail, proved, start)
        if self._judged(key, data if sound else None) is None:
            return None
        return memoryview(data)[offset - first : offset - first + length]

    def keep(self, key: str, data: Buffer) -> bool:
        """Store a block; False if there is no room for it, or the disk refuses."""
        if not self._is_trusted:
            return False
        size_bytes = checksums.stored_bytes(memoryview(data).nbytes)
        with self._lock:
            if self._clock.monotonic_s() < self._quiet_until_s:
                return False
            if self._is_being_listed and self._limits.eviction == "none":
                return False  # nobody could make up for it when all is known
        try:
            if not self._make_room(size_bytes):
                return False
            with self._lock:
                self._kept = True
            self._write(key, data)
        except IsADirectoryError:
            return False  # in the place of this block; the folder takes others
        except OSError as error:
            self._be_quiet(error)
            return False
        with self._lock:
            self._index.add(key, size_bytes, self._now_s())
        self._keep_bounds()  # others wrote, or a listing went on, while there was room
        self._sweep()
        return True

    def remove(self, key: str) -> None:
        """Drop a block."""
        with self._lock:
            self._index.remove(key)
        with contextlib.suppress(OSError):
            (self._raw / key).unlink()

    def forget_slices(self, start: int, end: int) -> None:
        """Drop the blocks of slices `start` to `end`; a folder that refuses is not used."""
        try:
            for path, _, _ in files_below(self._raw, all_of_them=True):
                key = path.relative_to(self._raw).as_posix()
                parsed = parse_block_key(key)
                if parsed is not None and start <= parsed[0] < end:
                    with self._lock:
                        self._index.remove(key)
                    path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("cache folder left out: %s: %s", self._root, error.strerror)
            self._is_trusted = False

    def check_rollback(self, issued: Callable[[], int]) -> bool:
        """Empty the cache if the volume has issued fewer slice ids than were seen here (H23).

        `issued` is asked after the cache: a writer may issue and keep more at the same time.
        Returns True if it was emptied.  A folder that cannot be emptied is not used.
        """
        try:
            seen = self._watch.highest()
            volume_slice_id = issued()
            rolled_back = seen > volume_slice_id
            if rolled_back:
                for path, _, _ in files_below(self._raw, all_of_them=True):
                    path.unlink(missing_ok=True)
                with self._lock:
                    self._index.clear()
                self._watch.reset(volume_slice_id)
        except OSError as error:
            log.warning("cache folder left out: %s: %s", self._root, error.strerror)
            self._is_trusted = False
            return False
        return rolled_back

    def _write(self, key: str, data: Buffer) -> None:
        parsed = parse_block_key(key)
        self._watch.saw(parsed[0] if parsed else 0)
        path = self._raw / key
        draft = path.with_name(f"{path.name}.tmp.{uuid4().hex[:12]}")
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, self._limits.mode)
        try:
            try:
                _write_all(descriptor, data)
                _write_all(descriptor, checksums.trailer(data, self._name(key)))
            finally:
                os.close(descriptor)
            draft.rename(path)
        except OSError:
            draft.unlink(missing_ok=True)
            raise

    def _list_all(self) -> None:
        files = self._found()
        found = True
        while found:
            with self._lock:
                if self._stopping and not self._kept:
                    return
                self._index.look()
            step = list(islice(files, LISTED_AT_ONCE))
            with self._lock:
                self._index.add_found(step)
            found = bool(step)

    def _set_being_listed(self, value: bool) -> None:
        with self._lock:
            self._is_being_listed = value

    def _found(self) -> Iterator[tuple[str, int, float]]:
        """Yield (key, bytes, time of last use) of the blocks in the folder."""
        now_s = self._now_s()
        for path, size_bytes, used_s in files_below(self._raw):
            if ".tmp." not in path.name:
                yield path.relative_to(self._raw).as_posix(), size_bytes, used_s
            elif used_s < now_s - _DRAFT_AGE_S:
                with contextlib.suppress(OSError):
                    path.unlink()

    def _keep_bounds(self) -> None:
        """Evict what is listed above the bounds on size and number."""
        while True:
            with self._lock:
                victim = self._index.victim() if self._is_full(0, 0) else None
            if victim is None:
                return
            self.remove(victim)

    def _is_full(self, size_bytes: int, items: int) -> bool:
        """True if there is no room for so many more; call it under the lock."""
        limits = self._limits
        if self._index.size_bytes + size_bytes > limits.size_bytes:
            return True
        return 0 < limits.items < len(self._index) + items

    def _make_room(self, size_bytes: int) -> bool:
        """Evict until a file of that size fits.  Raises OSError."""
        self._root.mkdir(parents=True, exist_ok=True)
        for _ in range(_EVICTIONS_MAX):
            with self._lock:
                full = self._is_full(size_bytes, 1)
                victim = self._index.victim()
            if not full and self._has_free_space(size_bytes):
                return True
            if victim is None:
                return False
            self.remove(victim)
        return False

    def _has_free_space(self, size_bytes: int) -> bool:
        found = os.statvfs(self._root)
        ratio = self._limits.free_space_ratio
        free_bytes = found.f_bavail * found.f_frsize - size_bytes
        if free_bytes < ratio * found.f_blocks * found.f_frsize:
            return False
        return not found.f_files or found.f_favail >= ratio * found.f_files

    def _listing(self, key: str) -> object | None:
        with self._lock:
            return self._index.listing(key)

    def _missed(self, key: str, listing: object | None, error: OSError) -> None:
        """Strike off what is gone, unless it has come again since it was listed like that."""
        if error.errno not in _GONE:
            return  # it takes its room as before
        with self._lock:
            if self._index.listing(key) is listing:
                self._index.remove(key)

    def _judged(self, key: str, data: bytes | None) -> bytes | None:
        """Note the use of a sound file; remove another."""
        if data is None:
            log.warning("cached block is damaged, fetching it again: %s/raw/%s", self._root, key)
            self.remove(key)
            return None
        with self._lock:
            self._index.used(key, self._now_s())
        return data

    def _sweep(self) -> None:
        """Now and then drop what nobody has used for too long."""
        if not self._limits.expire_s:
            return
        now_s = self._clock.monotonic_s()
        with self._lock:
            if now_s - self._swept_s < SWEEP_EVERY_S:
                return
            self._swept_s = now_s
            old = self._index.unused_since(self._now_s() - self._limits.expire_s)
        for key in old:
            self.remove(key)

    def _be_quiet(self, error: OSError) -> None:
        with self._lock:
            self._quiet_until_s = self._clock.monotonic_s() + QUIET_S
        log.warning(
            "cache folder refuses, trying again in %g s: %s: %s",
            QUIET_S, self._root, error.strerror,
        )  # fmt: skip

    def _name(self, key: str) -> str:
        return f"{self._uuid}/{key}"

    def _now_s(self) -> float:
        return self._clock.wall_ns() / 1e9


def _write_all(descriptor: int, data: Buffer) -> None:
    view = memoryview(data).cast("B")
    while view:  # a write may be short
        view = view[os.write(descriptor, view) :]
