"""The metadata of one volume, as the data layer and the tools see it.

Each method is one transaction unless it says otherwise.  All are safe to call from many threads.
A commit has three outcomes: it returns (done), raises FsError (refused, nothing changed), or raises
CommitUnknown when not even the commit token could be read back.
"""

import errno
from collections.abc import Iterator

from roost.clock import Clock, SystemClock
from roost.volume.errors import FsError
from roost.volume.meta import (
    attrs,
    create,
    link,
    listing,
    lookup,
    remove,
    rename,
    slices,
    xattrs,
)
from roost.volume.meta.create import NewNode
from roost.volume.meta.handle import VolumeHandle
from roost.volume.meta.open_volume import open_volume
from roost.volume.meta.opening import format_database, open_engine, read_settings
from roost.volume.model import (
    SUPERUSER,
    Attr,
    AttrChange,
    Caller,
    ChunkNo,
    DeletedFile,
    DirEntry,
    Ino,
    Kind,
    Node,
    RenameFlag,
    Slice,
    SliceId,
    XattrFlag,
)
from roost.volume.settings import VolumeSettings, open_secrets


def format_volume(
    meta_url: str, settings: VolumeSettings, *, clock: Clock | None = None
) -> VolumeSettings:
    """Make a volume: create its tables, root and counters, and store `settings`.

    Raises AlreadyFormatted if the database holds a volume; InvalidArgument for a bad URL.
    """
    return format_database(meta_url, settings, clock or SystemClock())


def open_meta(
    meta_url: str,
    *,
    read_only: bool = False,
    session: bool = True,
    mount_point: str = "",
    clock: Clock | None = None,
) -> "Meta":
    """Open the volume at `meta_url`: sqlite3://PATH, or memory://NAME inside this process.

    Read-only opens write nothing at all.  With `session` (the default of a writable open) a session
    is registered and a thread keeps its lease.

    Raises NotFormatted; Unsupported (a feature this Roost must not write beside); NewerFormat;
    InvalidArgument for a bad URL; Unavailable.
    """
    engine = open_engine(meta_url, clock or SystemClock(), read_only=read_only)
    try:
        settings = open_secrets(read_settings(engine, meta_url, read_only=read_only))
        volume = open_volume(engine, settings, clock or SystemClock())
        meta = Meta(volume, read_only=read_only)
        if session and not read_only:
            meta.begin_session(mount_point)
    except BaseException:
        engine.close()
        raise
    return meta


class Meta(VolumeHandle):
    """An open volume's metadata.  Made by open_meta."""

    # ---- reading names
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

    # ---- changing names
    def mknod(
        self,
        parent: Ino,
        name: bytes,
        kind: Kind,
        mode: int,
        *,
        rdev: int = 0,
        caller: Caller = SUPERUSER,
    ) -> Node:
        """Add a node; `mode` has the umask applied already.

        Raises FsError: EEXIST, ENOENT, ENOTDIR, EACCES, EPERM, ENAMETOOLONG, ENOSPC.
        """
        new = NewNode(kind, mode, rdev)
        if kind is Kind.SYMLINK:
            raise FsError(errno.EINVAL, parent, name)
        return create.create(self._writable, parent, name, new, caller)

    def create(
        self,
        parent: Ino,
        name: bytes,
        mode: int = 0o644,
        *,
        exclusive: bool = True,
        caller: Caller = SUPERUSER,
    ) -> Node:
        """Add a regular file; unless `exclusive`, an existing regular file is returned instead.

        Raises FsError: as mknod; EISDIR.
        """
        new = NewNode(Kind.FILE, mode, reuse_file=not exclusive)
        return create.create(self._writable, parent, name, new, caller)

    def mkdir(
        self, parent: Ino, name: bytes, mode: int = 0o755, caller: Caller = SUPERUSER
    ) -> Node:
        """Add a directory.  Raises FsError: as mknod."""
        new = NewNode(Kind.DIRECTORY, mode)
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
        EACCES, EPERM.
        """
        move = rename.Move(parent, name, new_parent, new_name, flags, caller)
        return rename.rename(self._writable, move)

    # ---- attributes
    def setattr(self, ino: Ino, change: AttrChange, caller: Caller = SUPERUSER) -> Attr:
        """Change mode, owner, times or flags.  Raises FsError: ENOENT, EPERM, EACCES."""
        return attrs.setattr_(self._writable, ino, change, caller)

    def truncate(self, ino: Ino, length: int, caller: Caller = SUPERUSER) -> Attr:
        """Cut or grow a file; what is grown reads as zeros.

        Raises FsError: ENOENT, EPERM, EACCES, EINVAL, EFBIG, ENOSPC.
        """
        return slices.truncate(self._writable, ino, length, caller)

    def getxattr(self, ino: Ino, name: bytes) -> bytes:
        """Return an extended attribute.  Raises FsError: ENODATA, ENOENT."""
        return xattrs.getxattr(self._engine, ino, name)

    def listxattr(self, ino: Ino) -> tuple[bytes, ...]:
        """Return the names of the extended attributes.  Raises FsError ENOENT."""
        return xattrs.listxattr(self._engine, ino)

    def setxattr(
        self, ino: Ino, name: bytes, value: bytes, flags: XattrFlag = XattrFlag.NONE
    ) -> None:
        """Store an extended attribute.  Raises FsError: EEXIST, ENODATA, ERANGE, E2BIG, EINVAL."""
        xattrs.setxattr(self._writable, ino, name, value, flags)

    def removexattr(self, ino: Ino, name: bytes) -> None:
        """Remove an extended attribute.  Raises FsError: ENODATA, ENOENT."""
        xattrs.removexattr(self._writable, ino, name)

    # ---- open files
    def open(self, ino: Ino) -> Attr:
        """Keep the file's data while this process has it open; count one open.

        Raises FsError ENOENT.  Permissions are the caller's affair.
        """
        volume = self._volume
        volume.opens.opened(ino)
        try:
            return lookup.getattr_(volume.engine, ino)
        except BaseException:
            self.close_file(ino)
            raise

    def close_file(self, ino: Ino) -> DeletedFile | None:
        """Undo one open.  Return the file whose data may now be removed, if it has no name."""
        volume = self._volume
        if not volume.opens.closed(ino):
            return None
        return remove.delete_sustained(volume, volume.sid, ino)

    # ---- data
    def new_slice_id(self) -> SliceId:
        """Return a slice number never given before; reserved in batches."""
        return SliceId(self._writable.slice_ids.take())

    def read_chunk(self, ino: Ino, chunk_no: ChunkNo) -> tuple[Slice, ...]:
        """Return the chunk's records, oldest first; none means all zeros.  See overlay.visible."""
        return slices.read_chunk(self._engine, ino, chunk_no)

    def write_slice(
        self, ino: Ino, chunk_no: ChunkNo, record: Slice, mtime_ns: int | None = None
    ) -> Attr:
        """Append a record whose blocks are stored, and raise length and mtime: one commit.

        Return the file's attributes as committed.
        Raises FsError: ENOENT, EPERM no file or immutable, EFBIG, ENOSPC.
        """
        return slices.write_slice(self._writable, ino, chunk_no, record, mtime_ns)
