"""The volume in process: paths in, bytes out, no mount and no privileges.

Paths are text from the volume's root, with or without the first "/"; symbolic links are followed
as the kernel does it.  Refusals are FsError with POSIX's errno.  Cost: a path of n names is n
metadata reads; each change is one commit.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Literal
from uuid import uuid4

from typing_extensions import Buffer

from roost.blob.store import BlobStore
from roost.clock import Clock, SystemClock
from roost.errors import RoostError
from roost.volume.bucket import demand_not_anothers
from roost.volume.data.settings import DataSettings
from roost.volume.data.staging import Staged
from roost.volume.data.transfer import Progress, nobody
from roost.volume.engines.forks import Origin
from roost.volume.errors import FsError
from roost.volume.following_store import FollowingStore
from roost.volume.local_files import LocalFiles
from roost.volume.meta.answers import AtimeMode, FallocateFlag
from roost.volume.meta.api import Meta, open_meta
from roost.volume.meta.open_volume import SKIP_DIR_MTIME_S
from roost.volume.model import (
    Caller,
    VolumeUsage,
)
from roost.volume.settings import VolumeSettings
from roost.volume.storage import volume_store
from roost.volume.tree import Tree
from roost.volume.vfs.core import Core
from roost.volume.vfs.handles import VolumeFile

__all__ = ["Mode", "VolumeClient", "default_cache_dir", "volume_store"]

Mode = Literal["r", "r+", "w", "w+", "x", "x+", "a", "a+"]


def default_cache_dir() -> Path:
    """Return where finished files are kept unless told otherwise: the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "roost"


class VolumeClient(Tree):
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
        self._origin = Origin()
        core = Core(meta, store, cache_dir, clock or SystemClock(), data or DataSettings())
        super().__init__(
            meta,
            core,
            caller or Caller(os.geteuid(), os.getegid(), frozenset(os.getgroups())),
        )
        self._local = LocalFiles(self._core)

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
        atime: AtimeMode = AtimeMode.NEVER,
        skip_dir_mtime_s: float = SKIP_DIR_MTIME_S,
    ) -> "VolumeClient":
        """Open the volume whose metadata is at `meta_url` ("sqlite3:///var/lib/roost/meta.db").

        `cache_dir` is where finished files are kept for `open_local`, on a local disk.  `atime`:
        when a read changes the access time, at most once a second; mount's --atime-mode.
        `skip_dir_mtime_s`: how far a directory's times may be behind its last change.
        Raises NotFormatted, NewerFormat, Unsupported, Unavailable, InvalidArgument; AlreadyExists
        if the bucket is marked for another volume (a read-only client does not look).
        """
        meta = open_meta(
            meta_url,
            read_only=read_only,
            clock=clock,
            atime=atime,
            skip_dir_mtime_s=skip_dir_mtime_s,
        )
        try:
            chosen = data or DataSettings()
            store = FollowingStore(
                lambda: meta.settings,
                partial(
                    volume_store,
                    upload_mbps=chosen.upload_limit_mbps,
                    download_mbps=chosen.download_limit_mbps,
                    patience=chosen.patience,
                    clock=clock,
                ),
            )
            if not read_only:
                demand_not_anothers(store, meta.settings)
            return cls(
                meta,
                store,
                cache_dir=cache_dir or default_cache_dir(),
                clock=clock,
                caller=caller,
                data=chosen,
            )
        except BaseException:
            meta.close()
            raise

    def close(self) -> None:
        """Store what is pending, wait for background work, end the session.  May be repeated.

        Every file is tried; raises what the last failing one raised.  In a forked child that
        inherited it nothing is stored or ended: that is its parent's to do.
        """
        if not self._origin.is_here:
            self.meta.engine.close()
            return
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
    def is_here(self) -> bool:
        """False in a forked child that inherited it."""
        return self._origin.is_here

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
        reads = mode[0] == "r" or mode.endswith("+")
        return self._open(path, mode, reads=reads, permissions=permissions, compact=compact)

    def _open(
        self, path: str, mode: Mode, *, reads: bool, permissions: int = 0o644, compact: bool = True
    ) -> VolumeFile:
        """As open_file; whether it `reads` is told apart from the mode, since truncate(2) and the
        like need no right to read.
        """
        if mode != "r" and self.meta.is_read_only:
            raise FsError(errno.EROFS, name=os.fsencode(path))
        node, is_new = self._paths.to_open(path, mode, permissions)
        if not node.attr.is_file:
            raise FsError(errno.EISDIR if node.attr.is_directory else errno.EINVAL, node.ino)
        if not is_new:  # POSIX: whoever creates a file may use it whatever its mode says
            self._paths.permit(node, read=reads, write=mode != "r", append=mode[0] == "a")
        file = self._table.open(node.ino)
        if not compact:
            file.never_compact()
        drop_set_id: Callable[[], None] | None = None
        if self._caller.uid and mode != "r":
            drop_set_id = partial(self.meta.drop_set_id, node.ino, self._caller)
        try:
            if mode[0] == "w" and not is_new:
                if drop_set_id is not None and node.attr.mode & (stat.S_ISUID | stat.S_ISGID):
                    drop_set_id()
                    file.forget_attr()
                file.truncate(0)
        except BaseException:
            self._table.close(file, flush=False)
            raise
        return VolumeFile(
            self._table,
            file,
            readable=reads,
            writable=mode != "r",
            appends=mode[0] == "a",
            before_change=drop_set_id,
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
        with self._open(path, "r+", reads=False) as file:
            file.truncate(length)

    def fallocate(
        self, path: str, offset: int, length: int, flags: FallocateFlag = FallocateFlag.NONE
    ) -> None:
        """Grow a file, or make a range of it zeros.  Source: fallocate(2).

        Raises FsError: EINVAL, EOPNOTSUPP collapse or insert, EPERM, EFBIG, ENOSPC.
        """
        with self._open(path, "r+", reads=False) as file:
            file.fallocate(offset, length, flags)

    def copy_file_range(
        self, source: str, source_offset: int, target: str, target_offset: int, length: int
    ) -> int:
        """Let a range of `target` show bytes of `source`, without moving data; return how many.

        Both files exist.  Raises FsError: EINVAL overlapping ranges of one file, EPERM, EFBIG …
        Source: copy_file_range(2).
        """
        with self.open_file(source) as read, self._open(target, "r+", reads=False) as written:
            return written.copy_from(read, source_offset, target_offset, length)

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
        must not be used afterwards: it may have been moved, unless this raises.  Returns its bytes.
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
            stored = self._local.store(node.ino, local, progress)
            replaced = self.meta.rename(parent, draft, parent, name, caller=self._caller)
        except BaseException:
            with contextlib.suppress(RoostError):  # what went wrong first is what counts
                self._core.remove_data(self.meta.unlink(parent, draft, skip_trash=True))
            raise
        self._core.remove_data(replaced)
        if keep:  # last, so that whoever is refused still has the file
            self._local.adopt(stored, local)
        return stored.size_bytes
