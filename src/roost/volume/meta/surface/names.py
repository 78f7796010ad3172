"""Finding, making, moving and removing names."""

import errno
from collections.abc import Iterator

from roost.volume.errors import FsError
from roost.volume.meta import create, link, listing, lookup, remove, rename
from roost.volume.meta.create import NewNode
from roost.volume.meta.handle import VolumeHandle
from roost.volume.model import (
    SUPERUSER,
    Attr,
    Caller,
    DeletedFile,
    DirEntry,
    Ino,
    Kind,
    Node,
    RenameFlag,
)


class Names(VolumeHandle):
    """The operations on names.  `umask` is left out where the directory has a default ACL."""

    # ---- reading
    def lookup(self, parent: Ino, name: bytes, caller: Caller = SUPERUSER) -> Node:
        """Return the node that `name` in `parent` points at; `.` and `..` too.

        Raises FsError: ENOENT, ENOTDIR, EACCES, ENAMETOOLONG.
        """
        return lookup.lookup(self._engine, parent, name, caller)

    def resolve(
        self, path: str | bytes, caller: Caller = SUPERUSER, *, follow: bool = True
    ) -> Node:
        """Return the node at `path` from the volume's root, following symbolic links.

        With `follow` off a link in the last place is returned itself.
        Raises FsError: as lookup; ELOOP after 40 links.
        """
        return lookup.resolve(self._engine, path, caller, follow=follow)

    def getattr(self, ino: Ino) -> Attr:
        """Return the attributes as stored now.  Raises FsError ENOENT."""
        return lookup.getattr_(self._engine, ino)

    def access(self, node: Node, wanted: int, caller: Caller) -> None:
        """Demand the bits 4 (read), 2 (write), 1 (execute) in `wanted`; ACLs count.

        Raises FsError EACCES.  Source: access(2).
        """
        lookup.access(self._engine, node, wanted, caller)

    def readdir(
        self, ino: Ino, *, with_attrs: bool = False, caller: Caller = SUPERUSER
    ) -> Iterator[DirEntry]:
        """Yield the entries in order of name, without `.` and `..`; read in pages.

        Entries present throughout are yielded once; concurrent changes may or may not show.
        Raises FsError: ENOENT, ENOTDIR, EACCES.
        """
        return listing.readdir(self._engine, ino, caller, with_attrs=with_attrs)

    def readlink(self, ino: Ino) -> bytes:
        """Return a symbolic link's target.  Raises FsError: ENOENT; EINVAL not a link."""
        return lookup.readlink(self._engine, ino)

    # ---- changing
    def mknod(
        self,
        parent: Ino,
        name: bytes,
        kind: Kind,
        mode: int = 0o644,
        rdev: int = 0,
        caller: Caller = SUPERUSER,
        *,
        umask: int = 0,
    ) -> Node:
        """Add a node.

        Raises FsError: EEXIST, ENOENT, ENOTDIR, EACCES, EPERM, ENAMETOOLONG, ENOSPC, EDQUOT.
        """
        if kind is Kind.SYMLINK:
            raise FsError(errno.EINVAL, parent, name)
        new = NewNode(kind, mode, rdev, umask=umask)
        return create.create(self._writable, parent, name, new, caller)

    def create(
        self,
        parent: Ino,
        name: bytes,
        mode: int = 0o644,
        *,
        exclusive: bool = True,
        caller: Caller = SUPERUSER,
        umask: int = 0,
    ) -> Node:
        """Add a regular file; unless `exclusive`, an existing regular file is returned instead.

        Raises FsError: as mknod; EISDIR.
        """
        new = NewNode(Kind.FILE, mode, reuse_file=not exclusive, umask=umask)
        return create.create(self._writable, parent, name, new, caller)

    def create_nameless(
        self, parent: Ino, mode: int = 0o600, caller: Caller = SUPERUSER, *, umask: int = 0
    ) -> Node:
        """Add a regular file without a name, and count one open of it, which `close_file` undoes.

        `link` may give it a name; otherwise it goes with its last close, or with the session.
        Raises FsError: as mknod; ENOTSUP without a session.  Source: open(2), O_TMPFILE.
        """
        new = NewNode(Kind.FILE, mode, umask=umask)
        return create.create_nameless(self._writable, parent, new, caller)

    def mkdir(
        self,
        parent: Ino,
        name: bytes,
        mode: int = 0o755,
        caller: Caller = SUPERUSER,
        *,
        umask: int = 0,
    ) -> Node:
        """Add a directory.  Raises FsError: as mknod."""
        new = NewNode(Kind.DIRECTORY, mode, umask=umask)
        return create.create(self._writable, parent, name, new, caller)

    def symlink(self, parent: Ino, name: bytes, target: bytes, caller: Caller = SUPERUSER) -> Node:
        """Add a symbolic link.  Raises FsError: as mknod; EINVAL, ENAMETOOLONG for the target."""
        new = NewNode(Kind.SYMLINK, 0o777, target=target)
        return create.create(self._writable, parent, name, new, caller)

    def link(self, ino: Ino, parent: Ino, name: bytes, caller: Caller = SUPERUSER) -> Node:
        """Give the node one more name.  Raises FsError: as mknod; EPERM a directory."""
        return link.link(self._writable, ino, parent, name, caller)

    def unlink(
        self,
        parent: Ino,
        name: bytes,
        caller: Caller = SUPERUSER,
        *,
        skip_trash: bool = False,
    ) -> DeletedFile | None:
        """Remove a name.  Return the file whose data may now be removed, if this was its last.

        None if the file went to the trash, has other names, or is open in this session.
        Raises FsError: ENOENT, ENOTDIR, EPERM a directory, EACCES.
        """
        return remove.unlink(self._writable, parent, name, caller, skip_trash=skip_trash)

    def rmdir(
        self,
        parent: Ino,
        name: bytes,
        caller: Caller = SUPERUSER,
        *,
        skip_trash: bool = False,
    ) -> None:
        """Remove an empty directory.

        Raises FsError: ENOENT, ENOTDIR, ENOTEMPTY, EACCES, EPERM, EINVAL.
        """
        remove.rmdir(self._writable, parent, name, caller, skip_trash=skip_trash)

    def rename(
        self,
        parent: Ino,
        name: bytes,
        new_parent: Ino,
        new_name: bytes,
        flags: RenameFlag = RenameFlag.NONE,
        caller: Caller = SUPERUSER,
    ) -> DeletedFile | None:
        """Move a name, replacing, refusing or exchanging as `flags` say.

        Returns as unlink does for a file that was replaced.
        Raises FsError: ENOENT, EEXIST, ENOTDIR, EISDIR, ENOTEMPTY, EINVAL a directory into itself,
        EACCES, EPERM, EDQUOT.
        """
        move = rename.Move(parent, name, new_parent, new_name, flags, caller)
        return rename.rename(self._writable, move)
