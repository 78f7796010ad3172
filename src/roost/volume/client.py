"""The volume in process: paths in, bytes out, no mount and no privileges.

Paths are text from the volume's root, with or without the first "/"; symbolic links are followed
as the kernel does it.  Refusals are FsError with POSIX's errno.  Cost: a path of n names is n
metadata reads; each change is one commit.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Literal
from uuid import uuid4

from typing_extensions import Buffer

from roost.blob.store import BlobStore
from roost.clock import Clock, SystemClock
from roost.errors import RoostError
from roost.volume.data.settings import DataSettings
from roost.volume.data.staging import Staged
from roost.volume.data.transfer import Progress, nobody
from roost.volume.errors import FsError
from roost.volume.local_files import LocalFiles
from roost.volume.meta.api import Meta, open_meta
from roost.volume.model import (
    Attr,
    AttrChange,
    Caller,
    DirEntry,
    Kind,
    Node,
    RenameFlag,
    VolumeUsage,
    XattrFlag,
)
from roost.volume.paths import Paths
from roost.volume.settings import VolumeSettings
from roost.volume.storage import volume_store
from roost.volume.vfs.core import Core
from roost.volume.vfs.handles import VolumeFile
from roost.volume.vfs.open_files import OpenFiles

__all__ = ["Mode", "VolumeClient", "default_cache_dir", "volume_store"]

Mode = Literal["r", "r+", "w", "w+", "x", "x+", "a", "a+"]


def default_cache_dir() -> Path:
    """Return where finished files are kept unless told otherwise: the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "roost"


class VolumeClient:
    """A volume opened by this process.  Safe to use from several threads."""

    def __init__(
        self,
        meta: Meta,
        store: BlobStore,
        *,
        cache_dir: Path,
        clock: Clock | None = None,
        caller: Caller | None = None,
        data: DataSettings | None = None,
    ) -> None:
        """Put a client together from its parts; `open` does it from a URL.

        `caller` is whose permissions count; default: this process's user.
        """
        self.meta = meta
        self._core = Core(meta, store, cache_dir, clock or SystemClock(), data or DataSettings())
        self._table = OpenFiles(self._core)
        self._local = LocalFiles(self._core)
        self._caller = caller or Caller(os.geteuid(), os.getegid(), frozenset(os.getgroups()))
        self._paths = Paths(meta, self._caller)

    @classmethod
    def open(
        cls,
        meta_url: str,
        *,
        read_only: bool = False,
        cache_dir: Path | None = None,
        clock: Clock | None = None,
        caller: Caller | None = None,
        data: DataSettings | None = None,
    ) -> "VolumeClient":
        """Open the volume whose metadata is at `meta_url` ("sqlite3:///var/lib/roost/meta.db").

        `cache_dir` is where finished files are kept for `open_local`, on a local disk.
        Raises NotFormatted, NewerFormat, Unsupported, Unavailable, InvalidArgument.
        """
        meta = open_meta(meta_url, read_only=read_only, clock=clock)
        try:
            store = volume_store(meta.settings)
            return cls(
                meta,
                store,
                cache_dir=cache_dir or default_cache_dir(),
                clock=clock,
                caller=caller,
                data=data,
            )
        except BaseException:
            meta.close()
            raise

    def close(self) -> None:
        """Store what is pending, wait for background work, end the session.  May be repeated.

        Every file is tried; raises what the last failing one raised.
        """
        with contextlib.ExitStack() as closing:
            closing.callback(self.meta.close)
            closing.callback(self._core.close)
            for file in self._table.all():
                closing.callback(file.flush)
            closing.callback(self._table.flusher.stop)

    def __enter__(self) -> "VolumeClient":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def settings(self) -> VolumeSettings:
        """The volume's settings."""
        return self.meta.settings

    @property
    def core(self) -> Core:
        """The parts beneath, for tools such as the check and the upkeep."""
        return self._core

    @property
    def durability(self) -> str:
        """What data survives once `fsync` has returned, in words for `status`."""
        return f"metadata: {self.meta.durability}; {self._core.durability}"

    def staged(self) -> Staged:
        """Return what write-back keeps on this host's disk and the store does not have yet."""
        return self._core.staged()

    def statfs(self) -> VolumeUsage:
        """Return what the volume uses and what is left.  Source: statvfs(3)."""
        return self.meta.statfs()

    # ---- files
    def open_file(
        self, path: str, mode: Mode = "r", *, permissions: int = 0o644, compact: bool = True
    ) -> VolumeFile:
        """Open a file as open(3) spells its modes; "x" demands that it is new, "a" appends.

        Without `compact` this client leaves the file's records as they are while it is open: right
        for a log, which is read once and deleted.
        Raises FsError: ENOENT, EEXIST, EISDIR, EACCES, EROFS, ELOOP.
        """
        if mode != "r" and self.meta.is_read_only:
            raise FsError(errno.EROFS, name=os.fsencode(path))
        node, is_new = self._paths.to_open(path, mode, permissions)
        if not node.attr.is_file:
            raise FsError(errno.EISDIR if node.attr.is_directory else errno.EINVAL, node.ino)
        plus = mode.endswith("+")
        if not is_new:  # POSIX: whoever creates a file may use it whatever its mode says
            self._paths.permit(
                node, read=mode[0] == "r" or plus, write=mode != "r", append=mode[0] == "a"
            )
        file = self._table.open(node.ino)
        if not compact:
            file.never_compact()
        try:
            if mode[0] == "w" and not is_new:
                file.truncate(0)
        except BaseException:
            self._table.close(file, flush=False)
            raise
        return VolumeFile(
            self._table,
            file,
            readable=mode[0] == "r" or plus,
            writable=mode != "r",
            appends=mode[0] == "a",
        )

    def read(self, path: str, offset: int = 0, size_bytes: int | None = None) -> bytes:
        """Return bytes of a file, short at its end.  Raises FsError, Damage."""
        with self.open_file(path) as file:
            return file.pread(offset, size_bytes)

    def write(self, path: str, data: Buffer) -> None:
        """Make `data` the file's whole content, durably.

        Not atomic for others: the file is cut first.  `adopt` replaces in one step.
        """
        with self.open_file(path, "w") as file:
            file.write(data)

    def append(self, path: str, data: Buffer) -> int:
        """Add `data` to the end of the file durably, making it if needed; return its offset.

        Hosts that append at the same time do not overwrite each other.
        """
        with self.open_file(path, "a") as file:
            return file.append_durably(data)

    def truncate(self, path: str, length: int) -> None:
        """Cut or grow a file.  Source: truncate(2)."""
        with self.open_file(path, "r+") as file:
            file.truncate(length)

    def fsync(self, path: str) -> None:
        """Make durable what this process wrote to the file through any handle."""
        file = self._table.find(self._paths.resolve(path).ino)
        if file is not None:
            file.flush()

    def open_local(self, path: str) -> Path:
        """Return a path on a local disk with the finished file's bytes, fit for `mmap`.

        The first call on a host copies the file into the cache folder.  The local file is not to
        be written.  Raises FsError, MissingBlock, CorruptRecord, Unavailable.
        """
        node = self._paths.resolve(path)
        self._paths.permit(node, read=True, write=False)
        file = self._table.find(node.ino)
        if file is not None:
            file.flush()
        return self._local.open_local(node.ino)

    def adopt(self, local: Path, path: str, *, progress: Progress = nobody) -> int:
        """Store the finished local file as `path` durably, and keep it as the local copy.

        It replaces what was there, complete or not at all; its blocks go up in parallel.  `local`
        must not be used afterwards: it may have been moved.  Returns its bytes.
        """
        return self.upload(local, path, keep=True, progress=progress)

    def download(self, path: str, local: Path, *, progress: Progress = nobody) -> int:
        """Copy a file to the new local file `local`, without keeping it in the cache folder."""
        node = self._paths.resolve(path)
        self._paths.permit(node, read=True, write=False)
        file = self._table.find(node.ino)
        if file is not None:
            file.flush()
        return self._local.download(node.ino, local, progress)

    def upload(
        self, local: Path, path: str, *, keep: bool = False, progress: Progress = nobody
    ) -> int:
        """As `adopt`; unless `keep`, the local file stays where it is and is not cached."""
        parent, name = self._paths.place(path)
        draft = f".roost.{uuid4().hex}.tmp".encode()
        mode = stat.S_IMODE(local.stat().st_mode)
        node = self.meta.create(parent, draft, mode | stat.S_IRUSR, caller=self._caller)
        try:
            size_bytes = self._local.store(node.ino, local, keep=keep, progress=progress)
            replaced = self.meta.rename(parent, draft, parent, name, caller=self._caller)
        except BaseException:
            with contextlib.suppress(RoostError):  # what went wrong first is what counts
                self._core.remove_data(self.meta.unlink(parent, draft, skip_trash=True))
            raise
        self._core.remove_data(replaced)
        return size_bytes

    # ---- names
    def rename(self, path: str, new_path: str, *, replace: bool = True) -> None:
        """Move a name, replacing a file or an empty folder unless told not to.  Source: rename(2).

        Raises FsError: ENOENT, EEXIST, ENOTDIR, EISDIR, ENOTEMPTY, EINVAL.
        """
        flags = RenameFlag.NONE if replace else RenameFlag.NOREPLACE
        old, new = self._paths.place(path), self._paths.place(new_path)
        self._core.remove_data(self.meta.rename(*old, *new, flags, self._caller))

    def link(self, path: str, new_path: str) -> None:
        """Give a file one more name.  Source: link(2)."""
        node = self._paths.resolve(path, follow=False)
        self.meta.link(node.ino, *self._paths.place(new_path), self._caller)

    def symlink(self, target: str, path: str) -> None:
        """Make a symbolic link at `path`.  Source: symlink(2)."""
        self.meta.symlink(*self._paths.place(path), os.fsencode(target), self._caller)

    def readlink(self, path: str) -> str:
        """Return a symbolic link's target."""
        return os.fsdecode(self.meta.readlink(self._paths.resolve(path, follow=False).ino))

    def mkdir(
        self, path: str, mode: int = 0o755, *, parents: bool = False, exist_ok: bool = False
    ) -> None:
        """Make a folder; with `parents` those above it too.  Raises FsError EEXIST, ENOENT …"""
        if parents:
            above = os.path.dirname(path.strip("/"))
            if above:
                self.mkdir(above, mode, parents=True, exist_ok=True)
        try:
            self.meta.mkdir(*self._paths.place(path), mode, self._caller)
        except FsError as error:
            if not exist_ok or error.errno != errno.EEXIST:
                raise
            if not self._paths.resolve(path).attr.is_directory:
                raise

    def remove(self, path: str, *, skip_trash: bool = False) -> None:
        """Remove a name that is no folder; into the trash if the volume has one.

        Raises FsError: ENOENT, EPERM a folder.
        """
        parent, name = self._paths.place(path)
        self._core.remove_data(self.meta.unlink(parent, name, self._caller, skip_trash=skip_trash))

    def rmdir(self, path: str, *, skip_trash: bool = False) -> None:
        """Remove an empty folder.  Raises FsError: ENOENT, ENOTDIR, ENOTEMPTY."""
        self.meta.rmdir(*self._paths.place(path), self._caller, skip_trash=skip_trash)

    def remove_tree(self, path: str, *, skip_trash: bool = False) -> int:
        """Remove a folder and all in it, children first, or a single name; return how many names.

        Raises FsError; what was removed before stays removed.
        """
        if self._paths.resolve(path, follow=False).attr.kind is not Kind.DIRECTORY:
            self.remove(path, skip_trash=skip_trash)
            return 1
        count = 0
        for entry in self.readdir(path):
            below = f"{path.rstrip('/')}/{os.fsdecode(entry.name)}"
            if entry.kind is Kind.DIRECTORY:
                count += self.remove_tree(below, skip_trash=skip_trash)
            else:
                self.remove(below, skip_trash=skip_trash)
                count += 1
        self.rmdir(path, skip_trash=skip_trash)
        return count + 1

    def readdir(self, path: str = "/", *, with_attrs: bool = False) -> list[DirEntry]:
        """Return a folder's entries in order of name.  Raises FsError: ENOENT, ENOTDIR."""
        ino = self._paths.resolve(path).ino
        return list(self.meta.readdir(ino, with_attrs=with_attrs, caller=self._caller))

    def listdir(self, path: str = "/") -> list[str]:
        """Return the names in a folder, sorted by their bytes."""
        return [os.fsdecode(entry.name) for entry in self.readdir(path)]

    def walk(self, path: str = "/") -> Iterator[tuple[str, list[str], list[str]]]:
        """Yield (folder, folders in it, other names in it), top down, in order of name."""
        folders: list[str] = []
        others: list[str] = []
        for entry in self.readdir(path):
            kind = folders if entry.kind is Kind.DIRECTORY else others
            kind.append(os.fsdecode(entry.name))
        yield path, folders, others
        for name in folders:
            yield from self.walk(f"{path.rstrip('/')}/{name}")

    # ---- attributes
    def node(self, path: str, *, follow: bool = True) -> Node:
        """Return inode and attributes, with all that this process wrote in them.

        Raises FsError: ENOENT, ENOTDIR, EACCES, ELOOP.
        """
        node = self._paths.resolve(path, follow=follow)
        file = self._table.find(node.ino)
        return node if file is None else Node(node.ino, file.attr())

    def stat(self, path: str, *, follow: bool = True) -> Attr:
        """Return the attributes.  Source: stat(2), lstat(2)."""
        return self.node(path, follow=follow).attr

    def exists(self, path: str) -> bool:
        """True if the path leads to something."""
        try:
            self._paths.resolve(path)
        except FsError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                return False
            raise
        return True

    def setattr(self, path: str, change: AttrChange, *, follow: bool = True) -> Attr:
        """Change mode, owner, times or flags.  Source: chmod(2), chown(2), utimensat(2)."""
        return self.meta.setattr(self._paths.resolve(path, follow=follow).ino, change, self._caller)

    def getxattr(self, path: str, name: str) -> bytes:
        """Return an extended attribute.  Raises FsError ENODATA."""
        return self.meta.getxattr(self._paths.resolve(path).ino, os.fsencode(name))

    def listxattr(self, path: str) -> list[str]:
        """Return the names of the extended attributes."""
        return sorted(os.fsdecode(n) for n in self.meta.listxattr(self._paths.resolve(path).ino))

    def setxattr(
        self, path: str, name: str, value: bytes, flags: XattrFlag = XattrFlag.NONE
    ) -> None:
        """Store an extended attribute.  Raises FsError: EEXIST, ENODATA, EROFS."""
        self.meta.setxattr(self._paths.resolve(path).ino, os.fsencode(name), value, flags)

    def removexattr(self, path: str, name: str) -> None:
        """Remove an extended attribute.  Raises FsError ENODATA."""
        self.meta.removexattr(self._paths.resolve(path).ino, os.fsencode(name))
