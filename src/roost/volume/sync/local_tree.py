"""A directory as one side of a sync."""

import contextlib
import errno
import os
import stat
import weakref
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from roost.errors import InvalidArgument
from roost.volume.sync.endpoint import TREE, UNSEEN_MODE, Abilities
from roost.volume.sync.items import Item, Kind
from roost.volume.sync.listing import Found, walk
from roost.volume.sync.location import Location
from roost.volume.sync.root_seen import RootSeen

Identity = tuple[int, int]
"""Device and inode."""

_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class LocalTree:
    """`Endpoint` over a directory, which is made when something is written.

    With `durable` a file's name is synced before `write` returns; its bytes always are.

    Invariant: `_held` is the root that was seen first, once one was.  While it is held its inode
    stays what it is, also on file systems that make them up.
    """

    def __init__(self, root: Path, *, durable: bool = False) -> None:
        self._root = os.path.abspath(root)
        self._durable = durable
        self._held: _Held | None = None
        self._root_seen = RootSeen(self._identity)

    @property
    def name(self) -> str:
        """As in Endpoint."""
        return f"file://{self._root.rstrip('/')}/"

    @property
    def abilities(self) -> Abilities:
        """As in Endpoint."""
        return TREE

    def location_of(self, key: str) -> Location:
        """As in Endpoint."""
        real = os.path.realpath(self._path(key))
        parts = tuple(part for part in real.split("/") if part)
        folders = tuple(_identities(parts))
        file = _identity_of(real) if len(folders) == len(parts) else None
        return Location("file", parts, folders, file)

    def is_there(self) -> bool:
        """As in Endpoint."""
        return self._root_seen.is_there()

    def demand_there(self) -> None:
        """As in Endpoint."""
        self._root_seen.demand_there(self.name)

    def demand_same(self) -> None:
        """As in Endpoint."""
        self._root_seen.demand(self.name)

    def list(self, prefix: str, start: str, *, follow: bool) -> Iterator[Item]:
        """As in Endpoint."""
        return walk(partial(self._folder, follow=follow), prefix, start)

    def head(self, key: str, *, follow: bool) -> Item | None:
        """As in Endpoint."""
        return self._item(key.rstrip("/"), follow)

    @contextlib.contextmanager
    def open(self, key: str) -> Iterator["_Reader"]:
        """As in Endpoint."""
        descriptor = os.open(self._path(key), os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield _Reader(descriptor)
        finally:
            os.close(descriptor)

    def write(self, item: Item, pieces: Iterator[bytes], draft: str) -> None:
        """As in Endpoint."""
        self.demand_same()
        target = self._path(item.key)
        place = os.path.join(os.path.dirname(target), draft) if draft else target
        os.makedirs(os.path.dirname(target), exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        mode = 0o666 if item.mode is None else UNSEEN_MODE
        descriptor = os.open(place, flags | (os.O_NOFOLLOW if draft else 0), mode)
        try:
            try:
                for piece in pieces:
                    _write_all(descriptor, piece)
                os.utime(descriptor, ns=(item.mtime_ns, item.mtime_ns))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if draft:
                os.replace(place, target)
        except BaseException:
            if draft:
                with contextlib.suppress(OSError):
                    os.unlink(place)
            raise
        if self._durable:
            _sync_folder(os.path.dirname(target))

    def make_folder(self, key: str) -> None:
        """As in Endpoint."""
        self.demand_same()
        os.makedirs(self._path(key), exist_ok=True)

    def make_link(self, key: str, target: str) -> None:
        """As in Endpoint."""
        self.demand_same()
        path = self._path(key)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        os.symlink(target, path)

    def set_mode(self, item: Item) -> None:
        """As in Endpoint."""
        path = self._path(item.key)
        if item.uid is not None and item.gid is not None:
            with contextlib.suppress(PermissionError):  # only root may give files away
                os.chown(path, item.uid, item.gid)
        if item.mode is not None:
            os.chmod(path, item.mode)

    def set_time(self, key: str, mtime_ns: int) -> None:
        """As in Endpoint."""
        os.utime(self._path(key), ns=(mtime_ns, mtime_ns))

    def delete(self, key: str) -> None:
        """As in Endpoint."""
        path = self._path(key)
        self.demand_same()
        self._check_real(os.path.dirname(path))
        with contextlib.suppress(FileNotFoundError):
            if key.endswith("/"):
                os.rmdir(path)
            else:
                os.unlink(path)

    def read_note(self, name: str) -> bytes | None:
        """As in Endpoint."""
        try:
            return Path(self._path(name)).read_bytes()
        except FileNotFoundError:
            self.demand_same()
            return None

    def write_note(self, name: str, data: bytes) -> None:
        """As in Endpoint."""
        self.write(Item(name, Kind.FILE, len(data)), iter([data]), f"{name}.tmp")
        _sync_folder(self._root)

    def close(self) -> None:
        """As in Endpoint."""
        held, self._held = self._held, None
        if held is not None:
            held.close()

    def _identity(self) -> Identity | None:
        root = os.path.join(self._root, ".")  # with "." what is to be mounted is
        try:
            if self._held is None:
                self._held = _Held(root)
            found = os.stat(root)
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            raise
        return found.st_dev, found.st_ino

    def _check_real(self, folder: str) -> None:
        """Raise InvalidArgument if the folder lies behind a symbolic link below the root."""
        root = os.path.realpath(self._root)
        if os.path.realpath(folder) != os.path.normpath(
            os.path.join(root, os.path.relpath(folder, self._root))
        ):
            raise InvalidArgument(
                f"{folder} lies behind a symbolic link: nothing is deleted there",
                hint="Sync with --links, or sync the folder that the link leads to.",
            )

    def _path(self, key: str) -> str:
        return os.path.join(self._root, key.rstrip("/"))

    def _folder(self, folder: str, *, follow: bool) -> Sequence[Found]:
        try:
            with os.scandir(self._path(folder) or "/") as entries:
                return [self._found(folder, entry, follow) for entry in entries]
        except (FileNotFoundError, NotADirectoryError):
            self.demand_same()
            return []

    def _found(self, folder: str, entry: "os.DirEntry[str]", follow: bool) -> Found:
        key = folder + entry.name
        is_folder = entry.is_dir(follow_symlinks=follow)
        if is_folder and entry.is_symlink() and self._is_loop(key):
            return Found(key, lambda: Item(key, Kind.OTHER))
        return Found(key + "/" if is_folder else key, lambda: self._item(key, follow))

    def _is_loop(self, key: str) -> bool:
        """True if the link leads to a folder that it lies in."""
        there = os.path.realpath(self._path(key))
        here = os.path.realpath(os.path.dirname(self._path(key)))
        return os.path.commonpath((there, here)) == there

    def _item(self, key: str, follow: bool) -> Item | None:
        path = self._path(key)
        try:
            found = self._stat(path, follow)
            target = os.readlink(path) if stat.S_ISLNK(found.st_mode) else ""
        except OSError as error:
            if error.errno in _ABSENT:
                self.demand_same()
                return None
            raise
        kind = _kind(found.st_mode)
        if follow and kind is Kind.LINK:
            kind, target = Kind.OTHER, ""
        return Item(
            key + "/" if kind is Kind.FOLDER else key,
            kind,
            found.st_size if kind is Kind.FILE else 0,
            found.st_mtime_ns,
            stat.S_IMODE(found.st_mode),
            found.st_uid,
            found.st_gid,
            target,
        )

    def _stat(self, path: str, follow: bool) -> os.stat_result:
        """Return the attributes; those of a link itself if it leads nowhere."""
        if follow:
            try:
                return os.stat(path)
            except OSError as error:
                if error.errno not in _ABSENT:
                    raise
        return os.lstat(path)


class _Held:
    """A folder held open; let go of when nobody knows this object any more, at the latest."""

    def __init__(self, folder: str) -> None:
        descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self.close = weakref.finalize(self, os.close, descriptor)


class _Reader:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self, offset: int, size_bytes: int) -> bytes:
        """As in Source."""
        return os.pread(self._descriptor, size_bytes, offset)


def _identities(parts: Sequence[str]) -> Iterator[Identity]:
    """Yield the identities of "/" and the folders below it, down to the last that exists."""
    path = "/"
    for part in ("", *parts):
        path = os.path.join(path, part)
        found = _identity_of(path, stat.S_IFDIR)
        if found is None:
            return
        yield found


def _identity_of(path: str, kind: int = stat.S_IFREG) -> Identity | None:
    """Return the identity of a file, or what else is asked for; None if there is none."""
    try:
        found = os.lstat(path)
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise
    return (found.st_dev, found.st_ino) if stat.S_IFMT(found.st_mode) == kind else None


def _kind(mode: int) -> Kind:
    if stat.S_ISREG(mode):
        return Kind.FILE
    if stat.S_ISDIR(mode):
        return Kind.FOLDER
    return Kind.LINK if stat.S_ISLNK(mode) else Kind.OTHER


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:  # a write may be short
        view = view[os.write(descriptor, view) :]


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
