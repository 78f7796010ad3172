"""One set of operations on three kinds of tree: a plain folder, an official mount, a client.

The first two are here; the client's is in client_side.py, and side_of_user.py does the first two as
somebody else.  A side takes paths relative to its own top folder and raises OSError with POSIX's
errno, so that the same step can be done on any of them and what came of it compared.
"""

import ctypes
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from roost.volume.model import RenameFlag

FALLOC_KEEP_SIZE = 1
FALLOC_PUNCH_HOLE = 2
FALLOC_ZERO_RANGE = 16
ACCESS_ACL = "system.posix_acl_access"
DEFAULT_ACL = "system.posix_acl_default"

_libc = ctypes.CDLL(None, use_errno=True)
_AT_FDCWD = -100


@dataclass(frozen=True, slots=True)
class Seen:
    """What a side shows of one node; the times only compare between two sides of one volume."""

    kind: int
    mode: int
    uid: int
    gid: int
    nlink: int
    size: int
    target: str
    data: bytes
    xattrs: tuple[tuple[str, bytes], ...]
    mtime_ns: int
    ctime_ns: int

    def without_times(self) -> "Seen":
        """Return what a tree that is no volume can be compared with.

        A name that lies in a volume's trash still counts as a link.  A clone takes the umask from
        the modes of symbolic links too, which elsewhere have one mode alone.
        """
        nlink = self.nlink if stat.S_ISDIR(self.kind) else 0
        mode = 0o777 if stat.S_ISLNK(self.kind) else self.mode
        return replace(self, mode=mode, nlink=nlink, mtime_ns=0, ctime_ns=0)


class Verbs(Protocol):
    """What is done to a tree.  Every verb raises OSError."""

    def write(self, path: str, offset: int, data: bytes) -> None:
        """Write into a file, making it if needed, and close it."""
        ...

    def append(self, path: str, data: bytes) -> None:
        """Add to the end of a file, making it if needed, and close it."""
        ...

    def truncate(self, path: str, length: int) -> None:
        """Cut or grow a file."""
        ...

    def fallocate(self, path: str, mode: int, offset: int, size_bytes: int) -> None:
        """Allocate, punch or zero a range.  Source: fallocate(2)."""
        ...

    def copy_range(self, source: str, offset: int, target: str, to: int, size_bytes: int) -> int:
        """Copy a range between two files; return the bytes.  Source: copy_file_range(2)."""
        ...

    def mkdir(self, path: str, mode: int) -> None:
        """Make a folder."""
        ...

    def rmdir(self, path: str) -> None:
        """Remove an empty folder."""
        ...

    def unlink(self, path: str) -> None:
        """Remove a name that is no folder."""
        ...

    def rename(self, path: str, new_path: str, flags: RenameFlag) -> None:
        """Move a name.  Source: renameat2(2)."""
        ...

    def link(self, path: str, new_path: str) -> None:
        """Give a node one more name."""
        ...

    def symlink(self, target: str, path: str) -> None:
        """Make a symbolic link."""
        ...

    def chmod(self, path: str, mode: int) -> None:
        """Change permission bits."""
        ...

    def chown(self, path: str, uid: int, gid: int) -> None:
        """Change the owner, of a link itself too."""
        ...

    def set_mtime(self, path: str, mtime_ns: int) -> None:
        """Change atime and mtime."""
        ...

    def setxattr(self, path: str, name: str, value: bytes) -> None:
        """Store an extended attribute or an ACL."""
        ...

    def removexattr(self, path: str, name: str) -> None:
        """Remove an extended attribute or an ACL."""
        ...


class Side(Verbs, Protocol):
    """A tree that can be changed and looked at."""

    def tree(self) -> dict[str, Seen]:
        """Return all nodes below the top folder by path."""
        ...


class PosixSide:
    """A folder of the system, which may lie on a mount."""

    def __init__(self, top: Path) -> None:
        self._top = top

    def write(self, path: str, offset: int, data: bytes) -> None:
        """As in Side."""
        file = os.open(self._top / path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            os.pwrite(file, data, offset)
        finally:
            os.close(file)

    def append(self, path: str, data: bytes) -> None:
        """As in Side."""
        file = os.open(self._top / path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(file, data)
        finally:
            os.close(file)

    def truncate(self, path: str, length: int) -> None:
        """As in Side."""
        os.truncate(self._top / path, length)

    def fallocate(self, path: str, mode: int, offset: int, size_bytes: int) -> None:
        """As in Side."""
        file = os.open(self._top / path, os.O_WRONLY)
        try:
            done = _libc.fallocate(file, mode, ctypes.c_int64(offset), ctypes.c_int64(size_bytes))
            _raise_unless(done)
        finally:
            os.close(file)

    def copy_range(self, source: str, offset: int, target: str, to: int, size_bytes: int) -> int:
        """As in Side."""
        read = os.open(self._top / source, os.O_RDONLY)
        try:
            write = os.open(self._top / target, os.O_WRONLY)
            try:
                return os.copy_file_range(read, write, size_bytes, offset, to)
            finally:
                os.close(write)
        finally:
            os.close(read)

    def mkdir(self, path: str, mode: int) -> None:
        """As in Side."""
        os.mkdir(self._top / path, mode)

    def rmdir(self, path: str) -> None:
        """As in Side."""
        os.rmdir(self._top / path)

    def unlink(self, path: str) -> None:
        """As in Side."""
        os.unlink(self._top / path)

    def rename(self, path: str, new_path: str, flags: RenameFlag) -> None:
        """As in Side."""
        _raise_unless(
            _libc.renameat2(
                _AT_FDCWD,
                os.fsencode(self._top / path),
                _AT_FDCWD,
                os.fsencode(self._top / new_path),
                int(flags),
            )
        )

    def link(self, path: str, new_path: str) -> None:
        """As in Side."""
        os.link(self._top / path, self._top / new_path, follow_symlinks=False)

    def symlink(self, target: str, path: str) -> None:
        """As in Side."""
        os.symlink(target, self._top / path)

    def chmod(self, path: str, mode: int) -> None:
        """As in Side."""
        os.chmod(self._top / path, mode)

    def chown(self, path: str, uid: int, gid: int) -> None:
        """As in Side."""
        os.lchown(self._top / path, uid, gid)

    def set_mtime(self, path: str, mtime_ns: int) -> None:
        """As in Side."""
        os.utime(self._top / path, ns=(mtime_ns, mtime_ns))

    def setxattr(self, path: str, name: str, value: bytes) -> None:
        """As in Side."""
        os.setxattr(self._top / path, name, value)

    def removexattr(self, path: str, name: str) -> None:
        """As in Side."""
        os.removexattr(self._top / path, name)

    def clone(self, path: str, new_path: str) -> None:
        """Copy a tree, links as links, as `cp -a` does it but with new times."""
        source, target = self._top / path, self._top / new_path
        if source.is_dir() and not source.is_symlink():
            shutil.copytree(source, target, symlinks=True)
        else:
            shutil.copy2(source, target, follow_symlinks=False)

    def tree(self) -> dict[str, Seen]:
        """As in Side."""
        return {path: self.seen(path) for path in self._paths(self._top)}

    def _paths(self, folder: Path) -> Iterator[str]:
        for entry in sorted(os.scandir(folder), key=lambda e: e.name):
            yield os.path.relpath(entry.path, self._top)
            if entry.is_dir(follow_symlinks=False):
                yield from self._paths(Path(entry.path))

    def seen(self, path: str) -> Seen:
        """Return what is shown of one node."""
        place = self._top / path
        found = place.lstat()
        is_link, is_file = stat.S_ISLNK(found.st_mode), stat.S_ISREG(found.st_mode)
        return Seen(
            kind=stat.S_IFMT(found.st_mode),
            mode=stat.S_IMODE(found.st_mode),
            uid=found.st_uid,
            gid=found.st_gid,
            nlink=found.st_nlink,
            size=0 if stat.S_ISDIR(found.st_mode) else found.st_size,
            target=os.readlink(place) if is_link else "",
            data=place.read_bytes() if is_file else b"",
            xattrs=()
            if is_link
            else tuple(
                (name, os.getxattr(place, name))
                for name in sorted(os.listxattr(place))
                if name.startswith("user.") or name in (ACCESS_ACL, DEFAULT_ACL)
            ),
            mtime_ns=found.st_mtime_ns,
            ctime_ns=found.st_ctime_ns,
        )


def _raise_unless(done: int) -> None:
    if done != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
