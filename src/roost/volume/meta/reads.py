"""What a rule may look at: the typed records of the metadata, as of one moment."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from roost.volume.model import (
    AclRule,
    Attr,
    ChunkNo,
    ChunkSlices,
    DelayedSlices,
    DeletedFile,
    DetachedNode,
    DirUsage,
    Edge,
    Ino,
    LockHolder,
    LockKind,
    Quota,
    QuotaKind,
    RangeLock,
    Session,
    SessionId,
    Slice,
    SliceId,
    SliceRef,
)
from roost.volume.values import value


@value(frozen=True, slots=True)
class NodeWanted:
    """A node's attributes will be read."""

    ino: Ino


@value(frozen=True, slots=True)
class EdgeWanted:
    """An entry will be read and, with `child`, the attributes of what it points at."""

    parent: Ino
    name: bytes
    child: bool = False


@value(frozen=True, slots=True)
class SlicesWanted:
    """A chunk's records will be read."""

    ino: Ino
    chunk_no: ChunkNo


@value(frozen=True, slots=True)
class CounterWanted:
    """A counter will be read."""

    name: str


Wanted = NodeWanted | EdgeWanted | SlicesWanted | CounterWanted


class Reads(Protocol):
    """The records a rule may look at, as of one moment."""

    def load(self, wanted: Sequence[Wanted]) -> None:
        """Fetch what is not at hand in one round trip.

        A promise of speed only: reads return the same without it.  Engines whose reads cost
        nothing do nothing.
        """
        ...

    def node(self, ino: Ino) -> Attr | None:
        """Return a node's attributes."""
        ...

    def edge(self, parent: Ino, name: bytes) -> Edge | None:
        """Return what an entry points at."""
        ...

    def has_entries(self, ino: Ino) -> bool:
        """True if the directory is not empty."""
        ...

    def entries(self, ino: Ino, after: bytes | None, limit: int) -> tuple[tuple[bytes, Edge], ...]:
        """Return up to `limit` entries with names above `after`, in order of name."""
        ...

    def parents(self, ino: Ino) -> dict[Ino, int]:
        """Return how many names each directory has for the node."""
        ...

    def symlink(self, ino: Ino) -> bytes | None:
        """Return a link's target."""
        ...

    def xattr(self, ino: Ino, name: bytes) -> bytes | None:
        """Return an extended attribute."""
        ...

    def xattr_names(self, ino: Ino) -> tuple[bytes, ...]:
        """Return the names of the extended attributes, sorted."""
        ...

    def slices(self, ino: Ino, chunk_no: ChunkNo) -> tuple[Slice, ...]:
        """Return a chunk's records, oldest first."""
        ...

    def chunk_numbers(self, ino: Ino) -> tuple[ChunkNo, ...]:
        """Return the chunks of a file that have records, ascending."""
        ...

    def slice_refs(self, slice_id: SliceId, size: int) -> int | None:
        """Return how many records refer to a slice of `size` bytes; None if it is not known.

        An engine that stores no count for slices with one reference returns 1 for any other.
        """
        ...

    def counter(self, name: str) -> int | None:
        """Return a counter."""
        ...

    def setting(self) -> str | None:
        """Return the volume's settings as stored."""
        ...

    def session(self, sid: SessionId) -> Session | None:
        """Return a session."""
        ...

    def sustained(self, sid: SessionId) -> tuple[Ino, ...]:
        """Return the nameless files that a session keeps."""
        ...

    def locked(self, sid: SessionId) -> tuple[Ino, ...]:
        """Return the files of which a session holds locks, of any kind."""
        ...

    def deleted_file(self, ino: Ino) -> DeletedFile | None:
        """Return the note that a file's data is to be removed."""
        ...

    def delayed(self, chunk_id: SliceId) -> DelayedSlices | None:
        """Return the note of what the compaction into this slice replaced."""
        ...

    def acl(self, acl_id: int) -> AclRule | None:
        """Return a stored rule."""
        ...

    def acl_id(self, rule: AclRule) -> int | None:
        """Return the lowest number under which an equal rule is stored."""
        ...

    def dir_usage(self, ino: Ino) -> DirUsage | None:
        """Return the statistics of a directory; None if there are none."""
        ...

    def quota(self, kind: QuotaKind, key: int) -> Quota | None:
        """Return a quota: by inode, uid or gid."""
        ...

    def flocks(self, ino: Ino) -> tuple[tuple[LockHolder, LockKind], ...]:
        """Return who holds the whole file, in order of holder.  Source: flock(2)."""
        ...

    def range_locks(self, ino: Ino) -> tuple[tuple[LockHolder, tuple[RangeLock, ...]], ...]:
        """Return who holds which ranges, in order of holder and range.  Source: fcntl(2)."""
        ...

    def detached(self, ino: Ino) -> DetachedNode | None:
        """Return the note that the directory is an unfinished clone."""
        ...


class Scans(Protocol):
    """Listings of whole tables, for cleaning up, checking and dumping; not for rules.

    Iterators read in pages with constant memory.  All see one snapshot where the engine has
    snapshots; Redis has none, so what looks wrong there is read again before it is believed.
    """

    @property
    def is_snapshot(self) -> bool:
        """True if all that is read is of one moment."""
        ...

    @property
    def is_for_threads(self) -> bool:
        """True if several threads may read at once.  If not, one at a time, and the same one."""
        ...

    def counter(self, name: str) -> int | None:
        """Return a counter."""
        ...

    def sessions(self) -> tuple[Session, ...]:
        """Return all sessions."""
        ...

    def all_sustained(self) -> tuple[tuple[SessionId, Ino], ...]:
        """Return all nameless files that sessions keep."""
        ...

    def deleted_files(self, before_s: int, limit: int) -> tuple[DeletedFile, ...]:
        """Return files to be removed that were deleted before, oldest first."""
        ...

    def unreferenced_slices(self, limit: int) -> tuple[SliceRef, ...]:
        """Return known slices without a reference."""
        ...

    def delayed_slices(self, before_s: int) -> tuple[DelayedSlices, ...]:
        """Return what compactions before replaced."""
        ...

    def all_nodes(self) -> Iterator[tuple[Ino, Attr]]:
        """Yield all nodes in order of number."""
        ...

    def all_edges(self) -> Iterator[tuple[Ino, bytes, Edge]]:
        """Yield all entries in order of directory and name."""
        ...

    def all_chunks(self) -> Iterator[ChunkSlices]:
        """Yield all chunks in order of inode and number."""
        ...

    def all_slice_refs(self) -> Iterator[SliceRef]:
        """Yield the slices with a stored count, in order of id.

        On Redis a slice with one reference has none.
        """
        ...

    def all_dir_usage(self) -> Iterator[tuple[Ino, DirUsage]]:
        """Yield the statistics of all directories in order of number."""
        ...

    def all_symlinks(self) -> Iterator[tuple[Ino, bytes]]:
        """Yield the targets of all links in order of number."""
        ...

    def all_xattrs(self) -> Iterator[tuple[Ino, bytes, bytes]]:
        """Yield all extended attributes (inode, name, value) in order of inode and name."""
        ...

    def all_acls(self) -> Iterator[tuple[int, AclRule]]:
        """Yield all stored rules in order of number."""
        ...

    def quotas(self) -> tuple[tuple[QuotaKind, int, Quota], ...]:
        """Return all quotas in order of kind and key."""
        ...

    def all_delayed(self) -> Iterator[DelayedSlices]:
        """Yield what compactions replaced and the trash keeps, in order of slice."""
        ...

    def all_deleted_files(self) -> Iterator[DeletedFile]:
        """Yield all files whose data is to be removed, in order of number."""
        ...

    def detached_nodes(self) -> tuple[DetachedNode, ...]:
        """Return all unfinished clones in order of number."""
        ...

    # ---- many records at once, for walks over the tree
    def nodes_of(self, inos: Sequence[Ino]) -> list[Attr | None]:
        """Return the attributes of each node, in the order asked."""
        ...

    def entries_of(self, ino: Ino) -> Iterator[tuple[bytes, Edge]]:
        """Yield a directory's entries in order of name."""
        ...

    def slices_of(
        self, inos: Sequence[Ino], lengths: Sequence[int] | None = None
    ) -> dict[Ino, list[ChunkSlices]]:
        """Return per file its chunks that have records, in order; files without are left out.

        `lengths` of the files, if the caller knows them, may spare a look.
        """
        ...

    def xattrs_of(self, inos: Sequence[Ino]) -> dict[Ino, list[tuple[bytes, bytes]]]:
        """Return per node its extended attributes by name; nodes without are left out."""
        ...

    def symlinks_of(self, inos: Sequence[Ino]) -> dict[Ino, bytes]:
        """Return the targets of those that are links."""
        ...
