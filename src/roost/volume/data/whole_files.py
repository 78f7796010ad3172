"""The whole-file cache: a finished file once per host, as one contiguous local file to map.

A cached file is named by the volume's UUID, the file's length and its visible slices, so that a
changed file has another name.  Slice ids are issued again when the metadata is rolled back: each
cache folder remembers the highest id seen, and a volume whose counter is below it empties the
cache (H23).  The folder must lie on a local disk: mapping a FUSE or network path turns a failing
read into SIGBUS and may hang the process (H20).

A file appears under its name by rename, once its bytes are synced.  Between processes, a lock file
per name lets one fetch while the others wait; within a process likewise.
Lock order: a file's lock before that of the highest slice id.
Least recently used files go when the folder holds more than `bytes_max`; those used within
`GRACE_S` stay, since somebody may be about to map them.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import struct
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from roost.clock import Clock, SystemClock
from roost.errors import InvalidArgument
from roost.sizes import GIB
from roost.volume.data.local_disk import file_system_of, is_local
from roost.volume.model import ChunkNo, Slice
from roost.volume.overlay import visible

CACHE_BYTES_MAX = 64 * GIB
GRACE_S = 600.0
_DRAFT_AGE_S = 24 * 3600.0
_RECORD = struct.Struct(">QIQIII")


class WholeFiles:
    """Finished files of one volume in one local folder.  Safe among threads and processes."""

    def __init__(
        self,
        folder: Path,
        volume_uuid: str,
        *,
        bytes_max: int = CACHE_BYTES_MAX,
        clock: Clock | None = None,
    ) -> None:
        """Use `folder`, which is made if needed.  Raises InvalidArgument if it is not local."""
        self._uuid = volume_uuid
        self._folder = folder / f"roost-{volume_uuid}" / "whole"
        self._bytes_max = bytes_max
        self._clock = clock or SystemClock()
        self._folder.mkdir(parents=True, exist_ok=True)
        if not is_local(self._folder):
            raise InvalidArgument(
                f"the cache folder {folder} is on {file_system_of(self._folder)}",
                hint="Put the cache folder on a local disk; files there are mapped into memory.",
            )

    def name_of(self, length: int, chunks: Iterable[tuple[ChunkNo, tuple[Slice, ...]]]) -> str:
        """Return the name of the file that `chunks` (all of them, in order) describe.

        The name ends in the highest slice id of the file.
        """
        highest = 0
        digest = hashlib.sha256(f"{self._uuid} {length}\n".encode())
        for chunk_no, records in chunks:
            for piece in visible(records):
                digest.update(
                    _RECORD.pack(
                        chunk_no, piece.pos, piece.id, piece.size, piece.offset, piece.length
                    )
                )
                highest = max(highest, piece.id)
        return f"{digest.hexdigest()}-{highest}"

    def find(self, name: str) -> Path | None:
        """Return the cached file, marking it used."""
        path = self._path(name)
        try:
            os.utime(path)
        except FileNotFoundError:
            return None
        return path

    def fetch(self, name: str, fill: Callable[[int], None]) -> Path:
        """Return the cached file; if it is not there, `fill` writes it into a descriptor.

        Only one of all who ask at a time fills.  What `fill` raises is passed on.
        """
        found = self.find(name)
        if found is not None:
            return found
        with self._locked(name):
            found = self.find(name)
            if found is not None:
                return found
            draft = self._draft(name)
            try:
                with draft.open("xb") as file:
                    fill(file.fileno())
                    os.fsync(file.fileno())
                return self._install(draft, name)
            finally:
                draft.unlink(missing_ok=True)

    def adopt(self, name: str, local: Path) -> Path:
        """Take the finished local file into the cache: moved, or copied from another disk."""
        with self._locked(name):
            draft = self._draft(name)
            try:
                try:
                    local.rename(draft)
                except OSError:
                    shutil.copyfile(local, draft)
                    local.unlink()
                with draft.open("rb") as file:  # it may be read-only
                    os.fsync(file.fileno())
                return self._install(draft, name)
            finally:
                draft.unlink(missing_ok=True)

    def check_rollback(self, issued: Callable[[], int]) -> bool:
        """Empty the cache if the volume has issued fewer slice ids than were seen here.

        `issued` is asked after the cache: a writer may issue and keep more at the same time.
        Returns True if it was emptied.
        """
        seen = self._highest()
        volume_slice_id = issued()
        rolled_back = seen > volume_slice_id
        with self._locked("highest"):
            if rolled_back:
                self._empty()
            if rolled_back or volume_slice_id > self._highest():
                self._store_highest(volume_slice_id)
        return rolled_back

    def _install(self, draft: Path, name: str) -> Path:
        path = self._path(name)
        path.parent.mkdir(exist_ok=True)
        highest = int(name.rpartition("-")[2])
        with self._locked("highest"):
            if highest > self._highest():
                self._store_highest(highest)
        draft.chmod(0o444)
        draft.rename(path)
        self._evict()
        return path

    def _evict(self) -> None:
        """Remove old drafts of a crash, and the least recently used files above the limit."""
        for draft in self._folder.glob("*.tmp"):
            with contextlib.suppress(FileNotFoundError):
                if draft.stat().st_ctime < self._clock.wall_ns() / 1e9 - _DRAFT_AGE_S:
                    draft.unlink()
        found = []
        for path in self._files():
            with contextlib.suppress(FileNotFoundError):
                stat = path.stat()
                found.append((stat.st_mtime, stat.st_size, path))
        excess = sum(size for _, size, _ in found) - self._bytes_max
        oldest_kept_s = self._clock.wall_ns() / 1e9 - GRACE_S
        for used_s, size, path in sorted(found):
            if excess <= 0 or used_s > oldest_kept_s:
                return
            path.unlink(missing_ok=True)
            excess -= size

    def _empty(self) -> None:
        for path in self._files():
            path.unlink(missing_ok=True)

    def _files(self) -> Iterator[Path]:
        return self._folder.glob("[0-9a-f][0-9a-f]/*")

    def _highest(self) -> int:
        try:
            return int((self._folder / "highest-slice-id").read_text())
        except FileNotFoundError:
            return 0
        except ValueError:  # half written in a crash: then nothing here can be trusted
            return 1 << 64

    def _store_highest(self, slice_id: int) -> None:
        path = self._folder / "highest-slice-id"
        draft = path.with_suffix(f".{uuid.uuid4().hex}")
        with draft.open("x") as file:
            file.write(str(slice_id))
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)

    def _path(self, name: str) -> Path:
        return self._folder / name[:2] / name

    def _draft(self, name: str) -> Path:
        return self._folder / f"{name}.{uuid.uuid4().hex[:12]}.tmp"

    @contextlib.contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """Hold the lock file of `name`, among threads and processes.

        The file is removed by its holder, so after locking one checks that it is still the one
        that the name leads to.
        """
        path = self._folder / f"{name}.lock"
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if _is_at(descriptor, path):
                    try:
                        yield
                    finally:
                        path.unlink(missing_ok=True)
                    return
            finally:
                os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
