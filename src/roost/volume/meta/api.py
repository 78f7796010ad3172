"""The metadata of one volume, as the data layer and the tools see it.

Each method is one transaction unless it says otherwise.  All are safe to call from many threads.
A commit has three outcomes: it returns (done), raises FsError (refused, nothing changed), or raises
CommitUnknown when not even the commit token could be read back.
"""

from collections.abc import Iterator
from types import TracebackType

from roost.clock import Clock, SystemClock
from roost.volume.model import (
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
from roost.volume.settings import VolumeSettings


def format_volume(
    meta_url: str, settings: VolumeSettings, *, clock: Clock | None = None
) -> VolumeSettings:
    """Make a volume: create its tables, root and counters, and store `settings`.

    Raises AlreadyFormatted if the database holds a volume; InvalidArgument for a bad URL.
    """
    raise NotImplementedError


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
    raise NotImplementedError


class Meta:
    """An open volume's metadata."""

    # ---- the volume
    @property
    def settings(self) -> VolumeSettings:
        """The settings as last read; refreshed by the heartbeat.  Secrets are in plain text."""
        raise NotImplementedError

    @property
    def sid(self) -> SessionId:
        """The session's number; 0 without a session."""
        raise NotImplementedError

    @property
    def is_read_only(self) -> bool:
        """True if every change is refused with EROFS."""
        raise NotImplementedError

    def statfs(self) -> VolumeUsage:
        """Return what the volume uses and what is left."""
        raise NotImplementedError

    def sessions(self) -> tuple[Session, ...]:
        """Return all registered sessions, also of other clients."""
        raise NotImplementedError

    def close(self) -> None:
        """End the session: sustained files are deleted, the heartbeat stops.  May be repeated."""
        raise NotImplementedError

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
        raise NotImplementedError

    def resolve(
        self, path: str | bytes, caller: Caller = SUPERUSER, *, follow: bool = True
    ) -> Node:
        """Return the node at `path` from the volume's root, following symbolic links.

        With `follow` off a link in the last place is returned itself.
        Raises FsError: as lookup; ELOOP after 40 links.
        """
        raise NotImplementedError

    def getattr(self, ino: Ino) -> Attr:
        """Return the attributes as stored now.  Raises FsError ENOENT."""
        raise NotImplementedError

    def readdir(
        self, ino: Ino, *, with_attrs: bool = False, caller: Caller = SUPERUSER
    ) -> Iterator[DirEntry]:
        """Yield the entries in order of name, without `.` and `..`; read in pages.

        Entries present throughout are yielded once; concurrent changes may or may not show.
        Raises FsError: ENOENT, ENOTDIR, EACCES.
        """
        raise NotImplementedError

    def readlink(self, ino: Ino) -> bytes:
        """Return a symbolic link's target.  Raises FsError: ENOENT; EINVAL not a link."""
        raise NotImplementedError

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
        raise NotImplementedError

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
        raise NotImplementedError

    def mkdir(
        self, parent: Ino, name: bytes, mode: int = 0o755, caller: Caller = SUPERUSER
    ) -> Node:
        """Add a directory.  Raises FsError: as mknod."""
        raise NotImplementedError

    def symlink(self, parent: Ino, name: bytes, target: bytes, caller: Caller = SUPERUSER) -> Node:
        """Add a symbolic link.  Raises FsError: as mknod; EINVAL, ENAMETOOLONG for the target."""
        raise NotImplementedError

    def link(self, ino: Ino, parent: Ino, name: bytes, caller: Caller = SUPERUSER) -> Node:
        """Give the node one more name.  Raises FsError: as mknod; EPERM a directory."""
        raise NotImplementedError

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
        raise NotImplementedError

    def rmdir(
        self,
        parent: Ino,
        name: bytes,
        caller: Caller = SUPERUSER,
        *,
        skip_trash: bool = False,
    ) -> None:
        """Remove an empty directory.  Raises FsError: ENOENT, ENOTDIR, ENOTEMPTY, EACCES, EINVAL."""
        raise NotImplementedError

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
        raise NotImplementedError

    # ---- attributes
    def setattr(self, ino: Ino, change: AttrChange, caller: Caller = SUPERUSER) -> Attr:
        """Change mode, owner, times or flags.  Raises FsError: ENOENT, EPERM, EACCES."""
        raise NotImplementedError

    def truncate(self, ino: Ino, length: int, caller: Caller = SUPERUSER) -> Attr:
        """Cut or grow a file; what is grown reads as zeros.

        Raises FsError: ENOENT, EPERM, EACCES, EINVAL, EFBIG, ENOSPC.
        """
        raise NotImplementedError

    def getxattr(self, ino: Ino, name: bytes) -> bytes:
        """Return an extended attribute.  Raises FsError: ENODATA, ENOENT."""
        raise NotImplementedError

    def listxattr(self, ino: Ino) -> tuple[bytes, ...]:
        """Return the names of the extended attributes.  Raises FsError ENOENT."""
        raise NotImplementedError

    def setxattr(
        self, ino: Ino, name: bytes, value: bytes, flags: XattrFlag = XattrFlag.NONE
    ) -> None:
        """Store an extended attribute.  Raises FsError: EEXIST, ENODATA, ERANGE, E2BIG, EINVAL."""
        raise NotImplementedError

    def removexattr(self, ino: Ino, name: bytes) -> None:
        """Remove an extended attribute.  Raises FsError: ENODATA, ENOENT."""
        raise NotImplementedError

    # ---- open files
    def open(self, ino: Ino) -> Attr:
        """Keep the file's data while this process has it open; count one open.

        Raises FsError ENOENT.  Permissions are the caller's affair.
        """
        raise NotImplementedError

    def close_file(self, ino: Ino) -> DeletedFile | None:
        """Undo one open.  Return the file whose data may now be removed, if it has no name."""
        raise NotImplementedError

    # ---- data
    def new_slice_id(self) -> SliceId:
        """Return a slice number never given before; reserved in batches."""
        raise NotImplementedError

    def read_chunk(self, ino: Ino, chunk_no: ChunkNo) -> tuple[Slice, ...]:
        """Return the chunk's records, oldest first; none means all zeros.  See overlay.visible."""
        raise NotImplementedError

    def write_slice(
        self, ino: Ino, chunk_no: ChunkNo, record: Slice, mtime_ns: int | None = None
    ) -> Attr:
        """Append a record whose blocks are stored, and raise length and mtime: one commit.

        Return the file's attributes as committed.
        Raises FsError: ENOENT, EPERM no file or immutable, EFBIG, ENOSPC.
        """
        raise NotImplementedError

    # ---- cleaning up
    def deleted_files(
        self, before_s: int | None = None, limit: int = 1000
    ) -> tuple[DeletedFile, ...]:
        """Return files without a name whose data is to be removed, deleted before `before_s`."""
        raise NotImplementedError

    def release_deleted_file(self, file: DeletedFile) -> tuple[SliceRef, ...]:
        """Drop the file's chunks and return the slices nobody refers to any more.

        Delete their blocks, then call `forget_slice` for each.  After a crash in between,
        `unreferenced_slices` names them again.
        """
        raise NotImplementedError

    def unreferenced_slices(self, limit: int = 1000) -> tuple[SliceRef, ...]:
        """Return slices that no record refers to and whose blocks may still exist."""
        raise NotImplementedError

    def forget_slice(self, ref: SliceRef) -> None:
        """Drop the slice's row after its blocks are deleted; a slice in use is left alone."""
        raise NotImplementedError

    def delayed_slices(self, before_s: int) -> tuple[DelayedSlices, ...]:
        """Return what compactions before `before_s` replaced and the trash still keeps."""
        raise NotImplementedError

    def release_delayed_slices(self, delayed: DelayedSlices) -> tuple[SliceRef, ...]:
        """Drop one reference of each; return as release_deleted_file does."""
        raise NotImplementedError

    def clean_trash(self) -> int:
        """Remove what lies in the trash longer than the volume says; return how many entries."""
        raise NotImplementedError

    def clean_stale_sessions(self) -> int:
        """Take over what sessions with an ended lease left; return how many there were."""
        raise NotImplementedError

    # ---- looking at everything
    def list_slices(self) -> Iterator[ChunkSlices]:
        """Yield all chunks of all files, in order of inode and chunk; constant memory."""
        raise NotImplementedError

    def list_slice_refs(self) -> Iterator[SliceRef]:
        """Yield all slices known, in order of id, with their reference counts."""
        raise NotImplementedError

    def check(self) -> tuple[Problem, ...]:
        """Return what is wrong in the metadata: the whole tree is read, nothing is changed."""
        raise NotImplementedError


_SYSTEM_CLOCK: Clock = SystemClock()
