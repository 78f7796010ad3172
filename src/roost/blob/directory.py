"""Objects as files of a local directory, where JuiceFS's `file` storage would put them.

An object is written to `.jfs.<name>.tmp.<random>` beside its place and renamed.  The file, and
every folder on the way to it, are synced before `put` returns (H10: the original does not).

A bucket that vanished (a disk not mounted, a folder deleted) is a missing bucket: no object is
"absent" there, and nothing is stored in its place.

Invariants: a folder in `_durable` was made durable, with all folders above it, by this process;
`_root_seen` tells the root last found, by device and inode.
Lock order: `_lock` guards `_durable` alone and is not held during system calls.
"""

import contextlib
import errno
import logging
import os
import re
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from typing_extensions import Buffer

from roost.blob.recycled import RecycledMemory, read_all
from roost.blob.regular_files import open_regular
from roost.blob.store import (
    KEY_BYTES_MAX,
    BlobExists,
    BlobInfo,
    BlobNotFound,
    BucketMissing,
    check_key,
    key_problem,
)
from roost.errors import CorruptRecord, RoostError, StorageFull, Unavailable

log = logging.getLogger(__name__)

_MEMORY = RecycledMemory()
"""Of all directories of this process, however many shards a volume has."""
os.register_at_fork(after_in_child=_MEMORY.begin_anew)

_DURABLE_FOLDERS_MAX = 1 << 16
_FULL = (errno.ENOSPC, errno.EDQUOT)
_HINT = "Is its disk mounted?"
_NO_FILE = (errno.EINVAL, errno.ENXIO)  # of a FIFO or a device; of a socket
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR)
_DRAFT = re.compile(r"\.jfs\.[!-~]+\.tmp\.(?:[0-9a-f]{12}|[0-9]{1,19})")
"""The name of a draft of ours, or of JuiceFS, whose random numbers are decimal."""
_Identity = tuple[int, int]  # of a folder: its device and inode


class DirectoryStore:
    """`BlobStore` over a local directory."""

    def __init__(
        self, root: Path, *, makes_root: bool = False, fellows: Sequence[Path] = ()
    ) -> None:
        """With `makes_root` a root that is not there is an empty bucket, and made by a `put`.

        So is one of several shards while any of its `fellows` is there: JuiceFS makes the folder of
        a shard with its first object.  A shard whose disk was not mounted when this process began
        may look the same, so a folder that is made for this reason is told as a warning; where
        shards have disks of their own, none is made beside those disks.
        """
        self._root = root
        self._makes_root = makes_root
        self._fellows = fellows
        self._root_seen: _Identity | None = None
        self._lock = threading.Lock()
        self._durable: set[Path] = set()

    @property
    def name(self) -> str:
        """As in BlobStore."""
        return f"{self._root}/"

    def put(self, key: str, data: Buffer) -> None:
        """As in BlobStore."""
        target = self._path(key)
        with self._plainly(key, absent=()):
            draft = self._write_draft(target, data)
            try:
                draft.rename(target)
            except OSError:
                draft.unlink(missing_ok=True)
                raise
            _sync_folder(target.parent)

    def put_if_absent(self, key: str, data: Buffer) -> None:
        """As in BlobStore."""
        target = self._path(key)
        with self._plainly(key, absent=()):
            draft = self._write_draft(target, data)
            try:
                os.link(draft, target)
            except FileExistsError:
                raise BlobExists(key) from None
            finally:
                draft.unlink(missing_ok=True)
            _sync_folder(target.parent)

    def get(self, key: str) -> Buffer:
        """As in BlobStore."""
        with self._plainly(key), open(self._open(key), "rb", buffering=0) as file:
            return read_all(file, _MEMORY)

    def get_range(self, key: str, offset: int, size_bytes: int) -> bytes:
        """As in BlobStore."""
        with self._plainly(key), open(self._open(key), "rb") as file:
            file.seek(offset)
            return file.read(size_bytes)

    def head(self, key: str) -> BlobInfo:
        """As in BlobStore."""
        target = self._path(key)
        with self._plainly(key):
            found = target.stat()
            if not target.is_file():
                raise BlobNotFound(key)
        return BlobInfo(key, found.st_size, found.st_mtime_ns)

    def delete(self, key: str) -> None:
        """As in BlobStore."""
        with contextlib.suppress(BlobNotFound), self._plainly(key):
            self._path(key).unlink()

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """As in BlobStore.  Files being written are not objects yet and are passed over.

        Raises BucketMissing, too, if another folder is in the place of the root before the end:
        what is in neither of them would look absent.
        """
        folder = prefix.rpartition("/")[0]
        if folder:
            check_key(folder)
        root = self._demand_root()
        top = self._root / folder if folder else self._root
        yield from self._walk(top, folder, prefix, root, _is_object)
        self._demand_same_root(root)

    def drafts(self, prefix: str) -> Iterator[BlobInfo]:
        """Yield what a put under way has written, or a crash has left of one; `delete` takes it.

        Those of JuiceFS too, which ends their names otherwise.  Raises as `list`.
        """
        folder = prefix.rpartition("/")[0]
        root = self._demand_root()
        yield from self._walk(self._root / folder, folder, prefix, root, _is_whole_draft)

    def _walk(
        self,
        folder: Path,
        name: str,
        prefix: str,
        root: _Identity | None,
        is_wanted: Callable[[str], bool],
    ) -> Iterator[BlobInfo]:
        for entry, is_folder in self._entries(folder, root):
            key = f"{name}/{entry.name}" if name else entry.name
            matching = key.startswith(prefix)
            if is_folder and (matching or prefix.startswith(key + "/")):
                yield from self._walk(folder / entry.name, key, prefix, root, is_wanted)
            elif matching and not is_folder and is_wanted(entry.name):
                # A name that the system gives and that is ASCII can only be too long.
                is_plain = len(key) <= KEY_BYTES_MAX and key.isascii()
                problem = None if is_plain else key_problem(key)
                if problem is not None:
                    raise CorruptRecord(f"{self._root}/{key!r}", f"the object's name {problem}")
                try:
                    found = entry.stat()
                except (FileNotFoundError, NotADirectoryError):
                    self._demand_same_root(root)  # deleted since its folder was read, or all gone
                    continue
                except OSError as error:
                    raise Unavailable(f"{entry.path}: {error.strerror}") from error
                yield BlobInfo(key, found.st_size, found.st_mtime_ns)

    def _entries(
        self, folder: Path, root: _Identity | None = None
    ) -> Sequence[tuple["os.DirEntry[str]", bool]]:
        """Return a folder's entries so that walking them yields keys in ascending order."""
        try:
            with os.scandir(folder) as scan:
                found = [(entry, entry.is_dir(follow_symlinks=False)) for entry in scan]
        except (FileNotFoundError, NotADirectoryError):
            self._demand_same_root(root)  # it may be gone together with the bucket
            return []
        except OSError as error:
            raise Unavailable(f"{folder}: {error.strerror}") from error
        return sorted(found, key=lambda pair: pair[0].name + ("/" if pair[1] else ""))

    def _path(self, key: str) -> Path:
        check_key(key)
        if self._root_seen is None:
            self._demand_root()
        return self._root / key

    def _open(self, key: str) -> int:
        """Return a descriptor to read an object; what is no file is damage, and not waited for."""
        path = self._path(key)
        try:
            return open_regular(path, follow_links=True)
        except OSError as error:
            if error.errno in _NO_FILE:
                raise CorruptRecord(str(path), "not a regular file") from error
            raise

    def _demand_root(self) -> _Identity | None:
        """Return which folder the root is; None if it is one that may be made.

        Raises BucketMissing if it is not there, or an empty folder took its place: such a one is
        what a disk that was unmounted leaves behind.
        """
        try:
            found = self._root.stat()
        except (FileNotFoundError, NotADirectoryError) as error:
            if self._may_make_root():
                return None
            hint = f"{_HINT}  If the bucket is a new one, make it: mkdir -p {self._root}"
            raise BucketMissing(f"{self.name}: there is no such folder", hint=hint) from error
        except OSError as error:
            raise Unavailable(f"{self.name}: {error.strerror}") from error
        identity = (found.st_dev, found.st_ino)
        if self._root_seen not in (None, identity) and not self._entries(self._root):
            raise BucketMissing(f"{self.name}: an empty folder took its place", hint=_HINT)
        self._root_seen = identity
        return identity

    def _demand_same_root(self, root: _Identity | None) -> None:
        """Raise BucketMissing if the root is another folder than that; None asks nothing."""
        if root is not None and self._demand_root() not in (root, None):
            raise BucketMissing(f"{self.name}: another folder took its place", hint=_HINT)

    def _may_make_root(self) -> bool:
        """True if a root that is not there would be one that nothing was stored in yet."""
        if self._makes_root:
            return True
        return self._root_seen is None and _may_be_new(self._root, self._fellows)

    @contextlib.contextmanager
    def _plainly(self, key: str, absent: tuple[int, ...] = _ABSENT) -> Iterator[None]:
        """Turn the system's errors about one object into the words of `BlobStore`.

        `absent` are the errors that mean "no such object"; when storing there are none.
        """
        try:
            yield
        except RoostError:
            raise
        except OSError as error:
            if error.errno in absent:
                self._demand_root()
                raise BlobNotFound(key) from error
            if error.errno in _FULL:
                raise StorageFull(f"{key}: {error.strerror}") from error
            raise Unavailable(f"{error.filename or key}: {error.strerror}") from error

    def _write_draft(self, target: Path, data: Buffer) -> Path:
        draft = target.with_name(f".jfs.{target.name[:200]}.tmp.{uuid.uuid4().hex[:12]}")
        self._make_durable(target.parent)
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileNotFoundError:  # somebody removed the folder since we made it
            with self._lock:
                self._durable.clear()
            self._make_durable(target.parent)
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            try:
                _write_all(descriptor, data)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError:
            draft.unlink(missing_ok=True)
            raise
        return draft

    def _make_durable(self, folder: Path) -> None:
        """Make `folder` and sync every name on the way to it, once in the life of this store."""
        with self._lock:
            if folder in self._durable:
                return
        self._demand_root()
        if self._may_make_root() and not self._root.is_dir():
            if not self._makes_root:
                log.warning("shard was not there and is made: folder=%s", self._root)
            make_directory(self._root)
            self._demand_root()  # seen from now on
        below = folder.relative_to(self._root).parts
        way = [self._root.joinpath(*below[:depth]) for depth in range(len(below) + 1)]
        for part in way[1:]:
            part.mkdir(exist_ok=True)
        for part in reversed(way):
            _sync_folder(part.parent)
        with self._lock:
            if len(self._durable) >= _DURABLE_FOLDERS_MAX:
                self._durable.clear()
            self._durable.add(folder)


def _may_be_new(root: Path, fellows: Sequence[Path]) -> bool:
    """True if a shard that is not there may be one in which nothing was stored yet.

    False if no fellow is there; or one is on a disk mounted below what all have in common, and
    this one would not be: its disk is missing.  False, too, if that cannot be told.
    """
    with contextlib.suppress(OSError):
        there = [fellow.stat().st_dev for fellow in fellows if fellow.is_dir()]
        if not there:
            return False
        common = Path(os.path.commonpath(fellows)).stat().st_dev
        if all(device == common for device in there):
            return True
        above = next(folder for folder in root.parents if folder.exists())
        return above.stat().st_dev != common
    return False


def make_directory(root: Path) -> None:
    """Make the folder of a bucket, as `format` does it, durably.  Raises Unavailable, StorageFull.

    One that is there already is left.
    """
    made = [root]
    while not made[-1].parent.exists():
        made.append(made[-1].parent)
    try:
        root.mkdir(parents=True, exist_ok=True)
        for folder in made:
            _sync_folder(folder.parent)
    except OSError as error:
        kind = StorageFull if error.errno in _FULL else Unavailable
        raise kind(f"{error.filename or root}: {error.strerror}") from error


def _is_object(name: str) -> bool:
    return not (name.startswith(".jfs.") and ".tmp." in name)


def _is_whole_draft(name: str) -> bool:
    return _DRAFT.fullmatch(name) is not None


def _write_all(descriptor: int, data: Buffer) -> None:
    view = memoryview(data).cast("B")
    while view:  # a write may be short
        view = view[os.write(descriptor, view) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
