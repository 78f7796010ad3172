"""What a rule may look at: the typed records of the metadata, as of one moment."""

from collections.abc import Iterator
from typing import Protocol

from roost.volume.model import (
    Attr,
    ChunkNo,
    ChunkSlices,
    DelayedSlices,
    DeletedFile,
    DirUsage,
    Edge,
    Ino,
    Session,
    SessionId,
    Slice,
    SliceId,
    SliceRef,
)


class Reads(Protocol):
    """The records a rule may look at, as of one moment."""

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

    def slice_refs(self, slice_id: SliceId) -> int | None:
        """Return how many records refer to a slice."""
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

    def deleted_file(self, ino: Ino) -> DeletedFile | None:
        """Return the note that a file's data is to be removed."""
        ...

    def delayed(self, chunk_id: SliceId) -> DelayedSlices | None:
        """Return the note of what the compaction into this slice replaced."""
        ...


class Scans(Protocol):
    """Listings of whole tables, for cleaning up and checking; not for rules.

    Iterators read in pages with constant memory; all see one snapshot.
    """

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
        """Yield all known slices in order of id."""
        ...

    def all_dir_usage(self) -> Iterator[tuple[Ino, DirUsage]]:
        """Yield the statistics of all directories in order of number."""
        ...

    def quota_count(self) -> int:
        """Return how many directory, user and group quotas there are."""
        ...
