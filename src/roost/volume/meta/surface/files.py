"""Attributes, extended attributes, open files, and the data of files as metadata knows it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from roost.volume.meta import (
    allocate,
    append,
    atime,
    attrs,
    compaction,
    copying,
    lookup,
    remove,
    slices,
    xattrs,
)
from roost.volume.meta.answers import Appended, Compacted, Copied, FallocateFlag
from roost.volume.meta.handle import VolumeHandle
from roost.volume.model import (
    SUPERUSER,
    Attr,
    AttrChange,
    Caller,
    ChunkNo,
    DeletedFile,
    Ino,
    Slice,
    SliceId,
    XattrFlag,
)


class Files(VolumeHandle):
    """The operations on one node."""

    # ---- attributes
    def setattr(self, ino: Ino, change: AttrChange, caller: Caller = SUPERUSER) -> Attr:
        """Change mode, owner, times or flags.  Raises FsError: ENOENT, EPERM, EACCES, EDQUOT."""
        return attrs.setattr_(self._writable, ino, change, caller)

    def drop_set_id(self, ino: Ino, caller: Caller) -> None:
        """Take setuid and setgid away, as a change of the content by `caller` does.

        Raises FsError ENOENT.
        """
        attrs.drop_set_id(self._writable, ino, caller)

    def accessed(self, ino: Ino, attr: Attr | None = None) -> None:
        """Note a read, as the volume's atime mode says; usually nothing happens.

        `attr`, if it was just read, spares asking.  Raises nothing for a node that is gone.
        """
        if not self.is_read_only:
            atime.accessed(self._writable, ino, attr)

    def truncate(self, ino: Ino, length: int, caller: Caller = SUPERUSER) -> Attr:
        """Cut or grow a file; what is grown reads as zeros.

        Raises FsError: ENOENT, EPERM, EACCES, EINVAL, EFBIG, ENOSPC, EDQUOT.
        """
        return slices.truncate(self._writable, ino, length, caller)

    def fallocate(
        self, ino: Ino, flags: FallocateFlag, offset: int, length: int, caller: Caller = SUPERUSER
    ) -> Attr:
        """Grow a file, or make a range of it zeros; return the attributes.

        Raises FsError: ENOENT, EINVAL, EOPNOTSUPP collapse or insert, EPERM no regular file or
        guarded, EPIPE a fifo, EACCES, EFBIG, ENOSPC, EDQUOT.  Source: fallocate(2).
        """
        return allocate.fallocate(self._writable, ino, flags, offset, length, caller)

    # ---- extended attributes; system.posix_acl_access and _default are the ACLs
    def getxattr(self, ino: Ino, name: bytes) -> bytes:
        """Return an extended attribute.  Raises FsError: ENODATA, ENOENT, ENOTSUP an ACL."""
        return xattrs.getxattr(self._volume, ino, name)

    def listxattr(self, ino: Ino) -> tuple[bytes, ...]:
        """Return the names of the extended attributes, sorted.  Raises FsError ENOENT."""
        return xattrs.listxattr(self._volume, ino)

    def setxattr(
        self,
        ino: Ino,
        name: bytes,
        value: bytes,
        flags: XattrFlag = XattrFlag.NONE,
        caller: Caller = SUPERUSER,
    ) -> None:
        """Store an extended attribute.

        Raises FsError: EEXIST, ENODATA, ERANGE, E2BIG, EINVAL; for an ACL EPERM not the owner,
        EACCES a default one of no directory, ENOTSUP on a volume without ACLs.
        """
        xattrs.setxattr(self._writable, ino, name, value, flags, caller)

    def removexattr(self, ino: Ino, name: bytes, caller: Caller = SUPERUSER) -> None:
        """Remove an extended attribute.  Raises FsError: ENODATA, ENOENT; an ACL: as setxattr."""
        xattrs.removexattr(self._writable, ino, name, caller)

    # ---- open files
    def open(self, ino: Ino) -> Attr:
        """Keep the file's data while this process has it open; count one open.

        Raises FsError: ENOENT; ESTALE while a handle is open that is stale, see demand_held.
        Permissions are the caller's affair.
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

    def demand_held(self, ino: Ino) -> None:
        """Raise FsError ESTALE if what is open here may be another client's file by now.

        So it is, until all have closed it, once the metadata forgot that this client has the
        number.  What changes a file's content asks by itself; ask after a read.
        """
        self._opened.opens.demand_held(ino)

    # ---- data
    def new_slice_id(self) -> SliceId:
        """Return a slice number never given before; reserved in batches."""
        return SliceId(self._writable.slice_ids.take())

    def is_doubtful(self, slice_id: SliceId) -> bool:
        """True if another client may have been given this number as well: see `claim`.

        The blocks of such a slice are not to be deleted.
        """
        return self._opened.slice_ids.is_doubtful(slice_id)

    def demand_ours(self, slice_id: SliceId) -> None:
        """Raise Unavailable if `slice_id` is doubtful: what is stored now may be another's."""
        self._opened.demand_ours(slice_id)

    def when_doubtful(self, listener: Callable[[int, int], None]) -> None:
        """Call `listener` with ranges of slice numbers that become doubtful, as Ids.tell says."""
        self._opened.slice_ids.tell(listener)

    @contextmanager
    def _ours(self, slice_id: SliceId) -> Iterator[None]:
        """Around the commit of a slice, which looks at its number before.

        The commit itself may be what met the database again.
        """
        yield
        self._opened.demand_ours(slice_id)

    def read_chunk(self, ino: Ino, chunk_no: ChunkNo) -> tuple[Slice, ...]:
        """Return the chunk's records, oldest first; none means all zeros.  See overlay.visible."""
        return slices.read_chunk(self._engine, ino, chunk_no)

    def write_slice(
        self, ino: Ino, chunk_no: ChunkNo, record: Slice, mtime_ns: int | None = None
    ) -> Attr:
        """Append a record whose blocks are stored, and raise length and mtime: one commit.

        Return the file's attributes as committed.
        Raises FsError: ENOENT, EPERM no file or immutable, EFBIG, ENOSPC, EDQUOT.
        """
        with self._ours(record.id):
            return slices.write_slice(self._writable, ino, chunk_no, record, mtime_ns)

    def append_slice(
        self, ino: Ino, slice_id: SliceId, length: int, mtime_ns: int | None = None
    ) -> Appended:
        """Put a slice, all of whose `length` bytes are stored, at the file's end as of the commit.

        So several hosts append without overwriting each other.  A slice that crosses a chunk's
        border becomes two records.  Raises FsError: as write_slice.
        """
        with self._ours(slice_id):
            return append.append_slice(self._writable, ino, slice_id, length, mtime_ns)

    def copy_range(
        self,
        source: Ino,
        source_offset: int,
        target: Ino,
        target_offset: int,
        length: int,
        caller: Caller = SUPERUSER,
    ) -> Copied:
        """Let a range of one file show the bytes of another (or of itself); no data moves.

        Fewer bytes are copied where the source ends.  What is not committed yet is not seen:
        flush first.
        Raises FsError: ENOENT; EINVAL no regular file, or ranges of one file that overlap; EPERM
        guarded; EACCES; EFBIG; ENOSPC; EDQUOT.  Source: copy_file_range(2).
        """
        return copying.copy_range(
            self._writable,
            copying.Copy(source, source_offset, target, target_offset, length),
            caller,
        )

    # ---- compaction
    def replace_slices(
        self,
        ino: Ino,
        chunk_no: ChunkNo,
        skipped: tuple[Slice, ...],
        replaced: tuple[Slice, ...],
        record: Slice,
    ) -> Compacted | None:
        """Put `record` in the place of the records `replaced`, which follow `skipped`, the oldest.

        None, and nothing is changed, if the chunk's oldest records are no longer these: the blocks
        of the new slice are then to be deleted.  Records appended meanwhile stay after it.  With a
        trash the old slices wait there (`delayed_slices`); without, those that nobody refers to
        any more are returned.
        """
        work = compaction.Replacement(ino, chunk_no, skipped, replaced, record)
        with self._ours(record.id):
            return compaction.replace_slices(self._writable, work)
