"""Names and attributes of a volume by path: what the client offers besides the files' bytes.

Paths are text from the volume's root, with or without the first "/"; symbolic links above the last
name are followed as the kernel does it.
"""

import errno
import os
from collections.abc import Iterator

from roost.volume.errors import FsError
from roost.volume.meta.answers import CloneOptions, Progress, RemoveOptions, ignore_progress
from roost.volume.meta.api import Meta
from roost.volume.model import (
    Attr,
    AttrChange,
    Caller,
    DirEntry,
    Kind,
    Node,
    RenameFlag,
    XattrFlag,
)
from roost.volume.paths import Paths
from roost.volume.vfs.core import Core
from roost.volume.vfs.open_files import OpenFiles


class Tree:
    """The names of a volume as one caller sees them.  Safe to use from several threads."""

    def __init__(self, meta: Meta, core: Core, caller: Caller) -> None:
        self.meta = meta
        self._core = core
        self._table = OpenFiles(core)
        self._caller = caller
        self._paths = Paths(meta, caller)

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
        node = self._paths.resolve(path, follow=False)
        target = self.meta.readlink(node.ino)
        self._core.accessed(node.ino, node.attr)
        return os.fsdecode(target)

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

    def remove_tree(
        self, path: str, *, skip_trash: bool = False, progress: Progress = ignore_progress
    ) -> int:
        """Remove a folder and all in it, or a single name; return how many names.

        Raises FsError; what was removed before stays removed.
        """
        options = RemoveOptions(
            skip_trash=skip_trash, on_deleted=self._core.remove_data, progress=progress
        )
        return self.meta.remove_tree(*self._paths.place(path), self._caller, options=options)

    def clone(
        self,
        path: str,
        new_path: str,
        *,
        options: CloneOptions | None = None,
        progress: Progress = ignore_progress,
    ) -> Node:
        """Copy a file or a tree without copying data, and return the copy.

        What this client has written is in the copy.  Raises FsError: as Meta.clone.
        """
        source = self._paths.resolve(path, follow=False)
        for file in self._table.all():
            file.flush()
        return self.meta.clone(
            source.ino,
            *self._paths.place(new_path),
            self._caller,
            options=options,
            progress=progress,
        )

    def readdir(self, path: str = "/", *, with_attrs: bool = False) -> list[DirEntry]:
        """Return a folder's entries in order of name.  Raises FsError: ENOENT, ENOTDIR."""
        node = self._paths.resolve(path)
        entries = self.meta.readdir(node.ino, with_attrs=with_attrs, caller=self._caller)
        self._core.accessed(node.ino, node.attr)
        return list(entries)

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
        ino = self._paths.resolve(path, follow=follow).ino
        attr = self.meta.setattr(ino, change, self._caller)
        file = self._table.find(ino)
        if file is not None:
            file.forget_attr()  # whoever has it open goes by the new mode
        return attr

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
        ino = self._paths.resolve(path).ino
        self.meta.setxattr(ino, os.fsencode(name), value, flags, self._caller)

    def removexattr(self, path: str, name: str) -> None:
        """Remove an extended attribute.  Raises FsError ENODATA."""
        self.meta.removexattr(self._paths.resolve(path).ino, os.fsencode(name), self._caller)
