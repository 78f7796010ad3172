"""A volume, or a folder in it, as one side of a sync: in process, without a mount."""

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence
from functools import partial

from roost.errors import InvalidArgument
from roost.volume.client import VolumeClient
from roost.volume.errors import FsError
from roost.volume.model import Attr, AttrChange, Ino
from roost.volume.model import Kind as NodeKind
from roost.volume.sync.endpoint import TREE, UNSEEN_MODE, Abilities
from roost.volume.sync.items import Item, Kind, ancestors
from roost.volume.sync.listing import Found, walk
from roost.volume.sync.location import Location
from roost.volume.sync.root_seen import RootSeen
from roost.volume.sync.volume_location import real_location
from roost.volume.vfs.handles import VolumeFile

_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_KINDS = {
    NodeKind.FILE: Kind.FILE,
    NodeKind.DIRECTORY: Kind.FOLDER,
    NodeKind.SYMLINK: Kind.LINK,
}


class VolumeTree:
    """`Endpoint` over a folder of a volume, which is made when something is written."""

    def __init__(self, client: VolumeClient, root: str = "/") -> None:
        """Take over `client`: closing the one closes the other."""
        self._client = client
        self._root = "/" + root.strip("/")
        self._root_seen = RootSeen(self._identity)

    @property
    def name(self) -> str:
        """As in Endpoint."""
        return f"jfs://{self._client.settings.name}{self._root.rstrip('/')}/"

    @property
    def abilities(self) -> Abilities:
        """As in Endpoint."""
        return TREE

    def location_of(self, key: str) -> Location:
        """As in Endpoint."""
        return real_location(self._client, self._path(key))

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
        plain = key.rstrip("/")
        try:
            attr = self._stat(key, follow)
            target = self._client.readlink(self._path(key)) if not follow and _is_link(attr) else ""
        except FsError as error:
            if error.errno in _ABSENT:
                self.demand_same()
                return None
            raise
        if follow and _is_link(attr):
            return Item(plain, Kind.OTHER)
        return _item(plain, attr, target)

    @contextlib.contextmanager
    def open(self, key: str) -> Iterator["_Reader"]:
        """As in Endpoint."""
        with self._client.open_file(self._path(key)) as file:
            yield _Reader(file)

    def write(self, item: Item, pieces: Iterator[bytes], draft: str) -> None:
        """As in Endpoint."""
        self.demand_same()
        target = self._path(item.key)
        place = f"{target.rpartition('/')[0]}/{draft}" if draft else target
        file = self._create(item, place)
        try:
            try:
                offset = 0
                for piece in pieces:
                    file.pwrite(offset, piece)
                    offset += len(piece)
            except BaseException:
                file.discard()
                raise
            file.close()
            self._client.setattr(place, _times(item.mtime_ns))
            if draft:
                self._client.rename(place, target)
        except BaseException:
            if draft:
                with contextlib.suppress(FsError):
                    self._client.remove(place, skip_trash=True)
            raise

    def make_folder(self, key: str) -> None:
        """As in Endpoint."""
        self.demand_same()
        path = self._path(key)
        if path != "/":
            self._client.mkdir(path, parents=True, exist_ok=True)

    def make_link(self, key: str, target: str) -> None:
        """As in Endpoint."""
        self.demand_same()
        path = self._path(key)
        with _forgiving(errno.ENOENT):
            self._client.remove(path)
        try:
            self._client.symlink(target, path)
        except FsError as error:
            if error.errno != errno.ENOENT:
                raise
            self._make_parents(key)
            self._client.symlink(target, path)

    def set_mode(self, item: Item) -> None:
        """As in Endpoint."""
        path = self._path(item.key)
        if item.uid is not None and item.gid is not None:
            with _forgiving(errno.EPERM, errno.EACCES):  # only root may give files away
                self._set(path, AttrChange(uid=item.uid, gid=item.gid))
        if item.mode is not None:
            self._set(path, AttrChange(mode=item.mode))

    def set_time(self, key: str, mtime_ns: int) -> None:
        """As in Endpoint."""
        self._set(self._path(key), _times(mtime_ns))

    def delete(self, key: str) -> None:
        """As in Endpoint."""
        self.demand_same()
        with _forgiving(errno.ENOENT):
            self._check_real(key)
            if key.endswith("/"):
                self._client.rmdir(self._path(key))
            else:
                self._client.remove(self._path(key))

    def read_note(self, name: str) -> bytes | None:
        """As in Endpoint."""
        try:
            return self._client.read(self._path(name))
        except FsError as error:
            if error.errno in _ABSENT:
                self.demand_same()
                return None
            raise

    def write_note(self, name: str, data: bytes) -> None:
        """As in Endpoint."""
        self.write(Item(name, Kind.FILE, len(data)), iter([data]), f"{name}.tmp")

    def close(self) -> None:
        """As in Endpoint."""
        self._client.close()

    def _identity(self) -> Ino | None:
        try:
            found = self._client.node(self._root)
        except FsError as error:
            if error.errno in _ABSENT:
                return None
            raise
        return found.ino if found.attr.is_directory else None

    def _check_real(self, key: str) -> None:
        """Raise InvalidArgument if the key lies behind a symbolic link below the root."""
        for folder in ancestors(key):
            if _is_link(self._client.stat(self._path(folder), follow=False)):
                raise InvalidArgument(
                    f"{folder} is a symbolic link: nothing is deleted behind it",
                    hint="Sync with --links, or sync the folder that the link leads to.",
                )

    def _path(self, key: str) -> str:
        return f"{self._root.rstrip('/')}/{key.rstrip('/')}" if key else self._root

    def _stat(self, key: str, follow: bool) -> Attr:
        """Return the attributes; those of a link itself if it leads nowhere."""
        if follow:
            try:
                return self._client.stat(self._path(key))
            except FsError as error:
                if error.errno not in _ABSENT:
                    raise
        return self._client.stat(self._path(key), follow=False)

    def _set(self, path: str, change: AttrChange) -> None:
        self._client.setattr(path, change)

    def _create(self, item: Item, place: str) -> VolumeFile:
        """Open the file for writing, making the folders above it if it must be."""
        permissions = 0o644 if item.mode is None else UNSEEN_MODE
        try:
            return self._client.open_file(place, "w", permissions=permissions)
        except FsError as error:
            if error.errno != errno.ENOENT:
                raise
        self._make_parents(item.key)
        return self._client.open_file(place, "w", permissions=permissions)

    def _make_parents(self, key: str) -> None:
        above = ancestors(key)
        folder = self._path(above[-1] if above else "")
        if folder != "/":
            self._client.mkdir(folder, parents=True, exist_ok=True)

    def _folder(self, folder: str, *, follow: bool) -> Sequence[Found]:
        try:
            entries = self._client.readdir(self._path(folder), with_attrs=True)
        except FsError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                self.demand_same()
                return []
            raise
        found = []
        for entry in entries:
            assert entry.attr is not None
            key = folder + os.fsdecode(entry.name)
            if _is_link(entry.attr):
                found.append(self._link(key, follow))
            else:
                item = _item(key, entry.attr, "")
                found.append(Found(item.key, partial(_same, item)))
        return found

    def _link(self, key: str, follow: bool) -> Found:
        item = self.head(key, follow=follow)
        if item is not None and item.is_folder and self._is_loop(key):
            item = Item(key, Kind.OTHER)
        return Found(item.key if item else key, partial(_same, item))

    def _is_loop(self, key: str) -> bool:
        """True if the link leads to a folder that it lies in."""
        there = self._client.node(self._path(key)).ino
        above = ["", *ancestors(key)]
        return any(self._client.node(self._path(folder)).ino == there for folder in above)


class _Reader:
    def __init__(self, file: VolumeFile) -> None:
        self._file = file

    def read(self, offset: int, size_bytes: int) -> bytes:
        """As in Source."""
        return self._file.pread(offset, size_bytes)


def _same(item: Item | None) -> Item | None:
    return item


def _is_link(attr: Attr) -> bool:
    return attr.kind is NodeKind.SYMLINK


def _times(mtime_ns: int) -> AttrChange:
    return AttrChange(atime_ns=mtime_ns, mtime_ns=mtime_ns)


def _item(key: str, attr: Attr, target: str) -> Item:
    kind = _KINDS.get(attr.kind, Kind.OTHER)
    return Item(
        key + "/" if kind is Kind.FOLDER else key,
        kind,
        attr.length if kind is Kind.FILE else 0,
        attr.mtime_ns,
        attr.mode,
        attr.uid,
        attr.gid,
        target,
    )


@contextlib.contextmanager
def _forgiving(*errnos: int) -> Iterator[None]:
    """Let refusals of these kinds pass."""
    try:
        yield
    except FsError as error:
        if error.errno not in errnos:
            raise
