"""What is known of a name in a volume, and how it is changed: stat, modes, times, xattrs."""

import errno
import os
import stat

from roost.volume.access.entries import stat_result
from roost.volume.access.errors import as_os_errors
from roost.volume.client import VolumeClient
from roost.volume.model import AttrChange, XattrFlag

PathLike = str | os.PathLike[str]

_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)


class Attributes:
    """The part of `Volume` that asks for and changes attributes."""

    client: VolumeClient
    device: int

    # ---- questions
    def stat(self, path: PathLike, *, follow_symlinks: bool = True) -> os.stat_result:
        """Return the attributes.  Source: os.stat."""
        where = os.fspath(path)
        with as_os_errors(where):
            return stat_result(self.client.node(where, follow=follow_symlinks), self.device)

    def lstat(self, path: PathLike) -> os.stat_result:
        """Return the attributes; of a symbolic link its own."""
        return self.stat(path, follow_symlinks=False)

    def exists(self, path: PathLike) -> bool:
        """True if the path leads to something."""
        return self._mode(path) != 0

    def lexists(self, path: PathLike) -> bool:
        """True if the name is there, be it a broken link."""
        return self._mode(path, follow=False) != 0

    def is_file(self, path: PathLike) -> bool:
        """True if the path leads to a regular file."""
        return stat.S_ISREG(self._mode(path))

    def is_dir(self, path: PathLike) -> bool:
        """True if the path leads to a folder."""
        return stat.S_ISDIR(self._mode(path))

    def is_symlink(self, path: PathLike) -> bool:
        """True if the name is a symbolic link."""
        return stat.S_ISLNK(self._mode(path, follow=False))

    def statvfs(self) -> os.statvfs_result:
        """Return what the volume holds and has left.  Source: os.statvfs."""
        with as_os_errors("/"):
            usage = self.client.statfs()
        block = 4096
        free = usage.available_bytes // block
        return os.statvfs_result(
            (
                block,
                block,
                usage.total_bytes // block,
                free,
                free,
                usage.used_inodes + usage.available_inodes,
                usage.available_inodes,
                usage.available_inodes,
                os.ST_RDONLY if self.client.meta.is_read_only else 0,
                255,
            )
        )

    # ---- attributes
    def chmod(self, path: PathLike, mode: int, *, follow_symlinks: bool = True) -> None:
        """Change the permission bits.  Source: os.chmod."""
        self._change(path, AttrChange(mode=stat.S_IMODE(mode)), follow_symlinks)

    def chown(
        self, path: PathLike, uid: int = -1, gid: int = -1, *, follow_symlinks: bool = True
    ) -> None:
        """Change the owner; -1 leaves one alone.  Source: os.chown."""
        change = AttrChange(uid=None if uid < 0 else uid, gid=None if gid < 0 else gid)
        self._change(path, change, follow_symlinks)

    def utime(
        self,
        path: PathLike,
        times: tuple[float, float] | None = None,
        *,
        ns: tuple[int, int] | None = None,
        follow_symlinks: bool = True,
    ) -> None:
        """Set (access, modification) time in seconds or in nanoseconds; default: now."""
        if ns is None:
            if times is None:
                now = self.client.core.clock.wall_ns()
                ns = (now, now)
            else:
                ns = (round(times[0] * 1e9), round(times[1] * 1e9))
        self._change(path, AttrChange(atime_ns=ns[0], mtime_ns=ns[1]), follow_symlinks)

    def getxattr(self, path: PathLike, name: str) -> bytes:
        """Return an extended attribute.  Raises OSError ENODATA."""
        where = os.fspath(path)
        with as_os_errors(where):
            return self.client.getxattr(where, name)

    def listxattr(self, path: PathLike) -> list[str]:
        """Return the names of the extended attributes, sorted."""
        where = os.fspath(path)
        with as_os_errors(where):
            return self.client.listxattr(where)

    def setxattr(
        self, path: PathLike, name: str, value: bytes, flags: XattrFlag = XattrFlag.NONE
    ) -> None:
        """Store an extended attribute; os.XATTR_CREATE and os.XATTR_REPLACE work as flags."""
        where = os.fspath(path)
        with as_os_errors(where):
            self.client.setxattr(where, name, value, XattrFlag(flags))

    def removexattr(self, path: PathLike, name: str) -> None:
        """Remove an extended attribute.  Raises OSError ENODATA."""
        where = os.fspath(path)
        with as_os_errors(where):
            self.client.removexattr(where, name)

    def _change(self, path: PathLike, change: AttrChange, follow: bool) -> None:
        where = os.fspath(path)
        with as_os_errors(where):
            self.client.setattr(where, change, follow=follow)

    def _mode(self, path: PathLike, *, follow: bool = True) -> int:
        """Return st_mode, 0 if nothing is there."""
        try:
            with as_os_errors():
                return self.client.stat(os.fspath(path), follow=follow).st_mode
        except OSError as error:
            if error.errno in _ABSENT:
                return 0
            raise
