"""The metadata of one volume, as the data layer and the tools see it.

Each method is one transaction unless it says otherwise.  All are safe to call from many threads.
A commit has three outcomes: it returns (done), raises FsError (refused, nothing changed), or raises
CommitUnknown when not even the commit token could be read back.
"""

import errno
from collections.abc import Iterator
from types import TracebackType

from roost.clock import Clock, SystemClock
from roost.volume.errors import FsError, VolumeReplaced
from roost.volume.meta import (
    attrs,
    check,
    cleanup,
    create,
    link,
    listing,
    lookup,
    remove,
    rename,
    sessions,
    slices,
    usage,
    xattrs,
)
from roost.volume.meta.create import NewNode
from roost.volume.meta.heartbeat import Heartbeat
from roost.volume.meta.open_volume import OpenVolume, open_volume
from roost.volume.meta.opening import format_database, open_engine, read_settings
from roost.volume.meta.txn import Engine
from roost.volume.model import (
    NO_SESSION,
    SUPERUSER,
    Attr,
    AttrChange,
    Caller,
    ChunkNo,
    ChunkSlices,
    DelayedSlices,
    DeletedFile,
    DirEntry,
    Ino,
    Kind,
    Node,
    Problem,
    RenameFlag,
    Session,
    SessionId,
    Slice,
    SliceId,
    SliceRef,
    VolumeUsage,
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


class Meta:
    """An open volume's metadata.  Made by open_meta."""

    def __init__(self, volume: OpenVolume, *, read_only: bool) -> None:
        self._opened = volume
        self._read_only = read_only
        self._heartbeat: Heartbeat | None = None

    @property
    def _volume(self) -> OpenVolume:
        """The volume, to read from.  Raises VolumeReplaced."""
        if self._heartbeat is not None and self._heartbeat.lost is not None:
            raise VolumeReplaced(self._heartbeat.lost.message)
        return self._opened

    @property
    def _engine(self) -> Engine:
        return self._volume.engine

    @property
    def _writable(self) -> OpenVolume:
        """The volume, to change.  Raises FsError EROFS, VolumeReplaced."""
        if self._read_only:
            raise FsError(errno.EROFS)
        return self._volume

    # ---- the volume
    def begin_session(self, mount_point: str = "") -> None:
        """Register a session and keep its lease.  open_meta does it unless told not to."""
        volume = self._writable
        assert volume.sid == NO_SESSION, "one session per open volume"
        volume.sid = sessions.begin(volume, mount_point)
        self._heartbeat = Heartbeat(volume, mount_point)
        self._heartbeat.start()

    @property
    def settings(self) -> VolumeSettings:
        """The settings as last read; refreshed by the heartbeat.  Secrets are in plain text."""
        return self._opened.settings

    @property
    def sid(self) -> SessionId:
        """The session's number; 0 without a session."""
        return self._opened.sid

    @property
    def is_read_only(self) -> bool:
        """True if every change is refused with EROFS."""
        return self._read_only

    def statfs(self) -> VolumeUsage:
        """Return what the volume uses and what is left."""
        volume = self._volume
        used = volume.engine.read(
            lambda reads: (
                reads.counter(usage.USED_SPACE) or 0,
                reads.counter(usage.TOTAL_INODES) or 0,
            )
        )
        return usage.volume_usage(volume.settings, *used)

    def sessions(self) -> tuple[Session, ...]:
        """Return all registered sessions, also of other clients."""
        with self._engine.scan() as scans:
            return scans.sessions()

    def close(self) -> None:
        """End the session: sustained files are deleted, the heartbeat stops.  May be repeated."""
        heartbeat, self._heartbeat = self._heartbeat, None
        if heartbeat is not None:
            heartbeat.stop()
            if heartbeat.lost is None:
                sessions.end(self._opened, self._opened.sid)
            self._opened.sid = NO_SESSION
        self._opened.engine.close()

    def __enter__(self) -> "Meta":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

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

    # ---- cleaning up
    def deleted_files(
        self, before_s: int | None = None, limit: int = 1000
    ) -> tuple[DeletedFile, ...]:
        """Return files without a name whose data is to be removed, deleted before `before_s`."""
        before = self._volume.now_s + 1 if before_s is None else before_s
        with self._engine.scan() as scans:
            return scans.deleted_files(before, limit)

    def release_deleted_file(self, file: DeletedFile) -> tuple[SliceRef, ...]:
        """Drop the file's chunks and return the slices nobody refers to any more.

        Delete their blocks, then call `forget_slice` for each.  After a crash in between,
        `unreferenced_slices` names them again.
        """
        return cleanup.release_deleted_file(self._writable, file)

    def unreferenced_slices(self, limit: int = 1000) -> tuple[SliceRef, ...]:
        """Return slices that no record refers to and whose blocks may still exist."""
        with self._engine.scan() as scans:
            return scans.unreferenced_slices(limit)

    def forget_slice(self, ref: SliceRef) -> None:
        """Drop the slice's row after its blocks are deleted; a slice in use is left alone."""
        cleanup.forget_slice(self._writable, ref)

    def delayed_slices(self, before_s: int) -> tuple[DelayedSlices, ...]:
        """Return what compactions before `before_s` replaced and the trash still keeps."""
        with self._engine.scan() as scans:
            return scans.delayed_slices(before_s)

    def release_delayed_slices(self, delayed: DelayedSlices) -> tuple[SliceRef, ...]:
        """Drop one reference of each; return as release_deleted_file does."""
        return cleanup.release_delayed(self._writable, delayed)

    def clean_trash(self) -> int:
        """Remove what lies in the trash longer than the volume says; return how many entries."""
        return cleanup.clean_trash(self._writable)

    def clean_stale_sessions(self) -> int:
        """Take over what sessions with an ended lease left; return how many there were."""
        return sessions.clean_stale(self._writable)

    # ---- looking at everything
    def list_slices(self) -> Iterator[ChunkSlices]:
        """Yield all chunks of all files, in order of inode and chunk; constant memory."""
        with self._engine.scan() as scans:
            yield from scans.all_chunks()

    def list_slice_refs(self) -> Iterator[SliceRef]:
        """Yield all slices known, in order of id, with their reference counts."""
        with self._engine.scan() as scans:
            yield from scans.all_slice_refs()

    def check(self) -> tuple[Problem, ...]:
        """Return what is wrong in the metadata: the whole tree is read, nothing is changed."""
        return check.check(self._engine)
