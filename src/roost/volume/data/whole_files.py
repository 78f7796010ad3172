"""The whole-file cache: a finished file once per host, as one contiguous local file to map.

A cached file is named by the volume's UUID, the file's length and its visible slices, so that a
changed file has another name.  Slice ids are issued again when the metadata is rolled back: each
cache folder remembers the highest id seen, and a volume whose counter is below it empties the
cache (H23).  The folder must lie on a local disk: mapping a FUSE or network path turns a failing
read into SIGBUS and may hang the process (H20).

A file appears under its name by rename, once its bytes are synced and the record that proves them
(`file_proof`) lies beside it.  Whoever maps a file trusts each byte of it, so a process reads a
file and compares it before it hands it out for the first time, and again once it was changed.  A
file that fails, or has no record, is fetched again.

Between processes, a lock file per name lets one fetch while the others wait; within a process
likewise.  Lock order: a file's lock, then either that of the highest slice id or the file's in
`_proving`, under which it is read and compared; `_lock` guards `_proved` and `_proving`, and is the
last one.
Least recently used files go when the folder holds more than `bytes_max`; those used within
`GRACE_S` stay, since somebody may be about to map them.  The record's time is when the file was
used: a touch of the file itself would look like a change.
"""

import contextlib
import errno
import fcntl
import hashlib
import logging
import os
import re
import shutil
import struct
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from weakref import WeakValueDictionary

from roost.blob.regular_files import open_regular
from roost.clock import Clock, SystemClock
from roost.errors import InvalidArgument, Unavailable
from roost.sizes import GIB
from roost.volume.data.cached_files import names_in
from roost.volume.data.file_proof import is_proved, proof_of
from roost.volume.data.local_disk import file_system_of, is_local
from roost.volume.model import ChunkNo, Slice
from roost.volume.overlay import visible

CACHE_BYTES_MAX = 64 * GIB
GRACE_S = 600.0
_DRAFT_AGE_S = 24 * 3600.0
_RECORD = struct.Struct(">QIQIII")
_FOLDER = re.compile("[0-9a-f]{2}")
_PROOF = ".crc32c"
_PROVED_MAX = 1 << 16  # files
_HINT = "Make room or mend it, or choose another cache folder on a local disk."
_Stamp = tuple[int, int, int, int, int]  # of a file: device, inode, length, times of change
log = logging.getLogger(__name__)


class WholeFiles:
    """Finished files of one volume in one local folder.  Safe among threads and processes."""

    def __init__(
        self,
        folder: Path,
        volume_uuid: str,
        *,
        bytes_max: int = CACHE_BYTES_MAX,
        proves_content: bool = True,
        clock: Clock | None = None,
    ) -> None:
        """Use `folder`, which is made when the first file comes.

        Without `proves_content` only the length of a file is compared before it is handed out.
        Raises InvalidArgument if the folder is not local.
        """
        self._uuid = volume_uuid
        self._folder = folder / f"roost-{volume_uuid}" / "whole"
        self._bytes_max = bytes_max
        self._proves_content = proves_content
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._proved: dict[str, tuple[_Stamp, bool]] = {}
        self._proving: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()
        self._forgotten: tuple[tuple[int, int], ...] = ()  # ranges of slices
        self._refusal: OSError | None = None  # then nothing here can be trusted
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
        """Return the cached file if it is here and sound, marking it used."""
        if self._refusal is not None:
            return None
        path = self._path(name)
        with contextlib.suppress(OSError):  # a folder may be there to be read only
            os.utime(_proof_path(path))
        try:
            return path if self._is_sound(name) else None
        except OSError:
            return None

    def fetch(self, name: str, fill: Callable[[int], None]) -> Path:
        """Return the cached file; if it is not there, `fill` writes it into a descriptor.

        Only one of all who ask at a time fills.  What `fill` raises is passed on, but for OSError:
        raises Unavailable if the folder cannot take the file.
        """
        found = self.find(name)
        if found is not None:
            return found
        try:
            with self._locked(name):
                return self.find(name) or self._filled(name, fill)
        except OSError as error:
            raise Unavailable(
                f"the cache folder {self._folder} cannot keep the file: {error.strerror or error}",
                hint=_HINT,
            ) from error

    def adopt(self, name: str, local: Path) -> Path:
        """Take the finished local file into the cache: moved, or copied from another disk.

        Raises OSError.
        """
        with self._locked(name):
            draft = self._draft(name)
            try:
                try:
                    local.rename(draft)
                except OSError:
                    shutil.copyfile(local, draft)
                    local.unlink()
                path = self._install(draft, name)
                if any(start <= _highest_of(name) < end for start, end in self._forgotten):
                    self.remove(name)
                    raise OSError(errno.ESTALE, "its slices may be another client's")
                return path
            finally:
                draft.unlink(missing_ok=True)

    def remove(self, name: str) -> None:
        """Drop a file; who has it mapped keeps it.  Raises OSError."""
        with self._lock:
            self._proved.pop(name, None)
        path = self._path(name)
        path.unlink(missing_ok=True)
        _proof_path(path).unlink(missing_ok=True)

    def forget_slices(self, start: int, end: int) -> None:
        """Drop the files with slices `start` to `end`, and those that are being fetched now."""
        self._forgotten = (*self._forgotten, (start, end))
        try:
            self._empty(lowest=start)  # a file with a higher slice may have one of these too
        except OSError as error:
            log.warning("the cache folder %s cannot be used: %s", self._folder, error.strerror)
            self._refusal = error

    def check_rollback(self, issued: Callable[[], int]) -> bool:
        """Empty the cache if the volume has issued fewer slice ids than were seen here.

        `issued` is asked after the cache: a writer may issue and keep more at the same time.
        Returns True if it was emptied.  A folder that cannot be emptied is not used.
        """
        try:
            if not self._folder.is_dir():
                return False
            seen = self._highest()
            volume_slice_id = issued()
            if volume_slice_id < seen:
                with self._locked("highest"):
                    self._empty()
                    self._store_highest(volume_slice_id)
                return True
        except OSError as error:
            log.warning("the cache folder %s cannot be used: %s", self._folder, error.strerror)
            self._refusal = error
            return False
        with contextlib.suppress(OSError), self._locked("highest"):  # each file stores its own
            if volume_slice_id > self._highest():
                self._store_highest(volume_slice_id)
        return False

    def _is_sound(self, name: str) -> bool:
        """True if the file is what was stored; it is read unless this process has done so.

        Of several threads one reads.  Raises OSError.
        """
        path = self._path(name)
        with self._lock:
            proving = self._proving.setdefault(name, threading.Lock())
        with proving, open(open_regular(path), "rb", buffering=0) as file:
            stamp = _stamp(file.fileno())
            with self._lock:
                known, sound = self._proved.get(name, (None, False))
            if known != stamp:
                with open(open_regular(_proof_path(path)), "rb") as beside:
                    proof = beside.read()
                sound = is_proved(file.fileno(), proof, name, content=self._proves_content)
                self._note_proved(name, stamp, sound)
        return sound

    def _note_proved(self, name: str, stamp: _Stamp, sound: bool) -> None:
        with self._lock:
            if len(self._proved) >= _PROVED_MAX:
                self._proved.clear()
            self._proved[name] = stamp, sound

    def _filled(self, name: str, fill: Callable[[int], None]) -> Path:
        """Fetch a file that is not there or not sound, under its lock."""
        path = self._path(name)
        if path.exists() and _proof_path(path).exists():
            log.warning("cached file is damaged, fetching it again: %s", path)
        self.remove(name)
        draft, forgotten = self._draft(name), self._forgotten
        try:
            with draft.open("xb") as file:
                fill(file.fileno())
            path = self._install(draft, name)
            if self._forgotten is not forgotten:
                self.remove(name)
                raise OSError(errno.ESTALE, "the database lost commits meanwhile")
            return path
        finally:
            draft.unlink(missing_ok=True)

    def _install(self, draft: Path, name: str) -> Path:
        path = self._path(name)
        path.parent.mkdir(exist_ok=True)
        draft.chmod(0o444)
        with draft.open("rb") as file:  # it may be read-only
            os.fsync(file.fileno())
            self._store_proof(path, proof_of(file.fileno(), name))
            highest = _highest_of(name)
            with self._locked("highest"):
                if highest > self._highest():
                    self._store_highest(highest)
            draft.rename(path)
            self._note_proved(name, _stamp(file.fileno()), True)
        self._evict()
        return path

    def _store_proof(self, path: Path, proof: bytes) -> None:
        """Put the record in its place; one that a loss of power empties costs a fetch."""
        draft = self._draft(_proof_path(path).name)
        try:
            draft.write_bytes(proof)
            draft.rename(_proof_path(path))
        finally:
            draft.unlink(missing_ok=True)

    def _evict(self) -> None:
        """Remove what a crash left, and the least recently used files above the limit."""
        for path in self._left_behind():
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_ctime < self._clock.wall_ns() / 1e9 - _DRAFT_AGE_S:
                    path.unlink()
        found = []
        for path in self._files():
            with contextlib.suppress(FileNotFoundError):
                found.append((_used_s(path), path.stat().st_size, path))
        excess = sum(size for _, size, _ in found) - self._bytes_max
        oldest_kept_s = self._clock.wall_ns() / 1e9 - GRACE_S
        for used_s, size, path in sorted(found):
            if excess <= 0 or used_s > oldest_kept_s:
                return
            self.remove(path.name)
            excess -= size

    def _empty(self, lowest: int = 0) -> None:
        """Remove all files whose highest slice is not below `lowest`.

        Raises OSError, also if a folder cannot be listed.
        """
        for folder in names_in(self._folder):
            if _FOLDER.fullmatch(folder):
                for name in names_in(self._folder / folder):
                    if not lowest or _highest_of(name) >= lowest:
                        self.remove(name.removesuffix(_PROOF))

    def _files(self) -> Iterator[Path]:
        """Yield the cached files, without the records beside them."""
        found = self._folder.glob("[0-9a-f][0-9a-f]/*")
        return (path for path in found if not path.name.endswith(_PROOF))

    def _left_behind(self) -> Iterator[Path]:
        """Yield drafts, and records without a file."""
        yield from self._folder.glob("*.tmp")
        for path in self._folder.glob(f"[0-9a-f][0-9a-f]/*{_PROOF}"):
            if not path.with_suffix("").exists():
                yield path

    def _highest(self) -> int:
        try:
            with open(open_regular(self._folder / "highest-slice-id"), "rb") as file:
                return int(file.read())
        except FileNotFoundError:
            return 0
        except ValueError:  # half written in a crash: then nothing here can be trusted
            return 1 << 64

    def _store_highest(self, slice_id: int) -> None:
        path = self._folder / "highest-slice-id"
        draft = self._draft(path.name)
        try:
            with draft.open("x") as file:
                file.write(str(slice_id))
                file.flush()
                os.fsync(file.fileno())
            draft.rename(path)
        finally:
            draft.unlink(missing_ok=True)

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
        if self._refusal is not None:
            raise OSError(
                self._refusal.errno, self._refusal.strerror
            )  # each a traceback of its own
        path = self._folder / f"{name}.lock"
        while True:
            self._folder.mkdir(parents=True, exist_ok=True)  # it may have been removed
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


def _highest_of(name: str) -> int:
    """Return the highest slice of a file, or of a record; 0 of another name."""
    digits = name.removesuffix(_PROOF).rpartition("-")[2]
    return int(digits) if digits.isdecimal() else 0


def _proof_path(path: Path) -> Path:
    return path.with_name(path.name + _PROOF)


def _used_s(path: Path) -> float:
    """Return when a file was used last.  Raises FileNotFoundError if it is gone."""
    try:
        return _proof_path(path).stat().st_mtime
    except FileNotFoundError:
        return path.stat().st_mtime


def _stamp(descriptor: int) -> _Stamp:
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
