"""Reads over SQL: every method is a query, and a subclass says how queries are answered."""

from collections.abc import Sequence
from typing import TypeVar

from roost.volume.engines.sql import queries
from roost.volume.engines.sql.queries import Query
from roost.volume.meta.reads import Wanted
from roost.volume.model import (
    AclRule,
    Attr,
    ChunkNo,
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
)

T = TypeVar("T")


class QueryReads:
    """Satisfies meta.reads.Reads."""

    def answer(self, query: Query[T]) -> T:
        """Return the answer to a query."""
        raise NotImplementedError

    def load(self, wanted: Sequence[Wanted]) -> None:
        """As in Reads; nothing, where a read costs no round trip."""

    def node(self, ino: Ino) -> Attr | None:
        """As in Reads."""
        return self.answer(queries.node(ino))

    def edge(self, parent: Ino, name: bytes) -> Edge | None:
        """As in Reads."""
        return self.answer(queries.edge(parent, name))

    def has_entries(self, ino: Ino) -> bool:
        """As in Reads."""
        return self.answer(queries.has_entries(ino))

    def entries(self, ino: Ino, after: bytes | None, limit: int) -> tuple[tuple[bytes, Edge], ...]:
        """As in Reads."""
        return self.answer(queries.entries(ino, after, limit))

    def parents(self, ino: Ino) -> dict[Ino, int]:
        """As in Reads."""
        return self.answer(queries.parents(ino))

    def symlink(self, ino: Ino) -> bytes | None:
        """As in Reads."""
        return self.answer(queries.symlink(ino))

    def xattr(self, ino: Ino, name: bytes) -> bytes | None:
        """As in Reads."""
        return self.answer(queries.xattr(ino, name))

    def xattr_names(self, ino: Ino) -> tuple[bytes, ...]:
        """As in Reads."""
        return self.answer(queries.xattr_names(ino))

    def slices(self, ino: Ino, chunk_no: ChunkNo) -> tuple[Slice, ...]:
        """As in Reads."""
        return self.answer(queries.slices(ino, chunk_no))

    def chunk_numbers(self, ino: Ino) -> tuple[ChunkNo, ...]:
        """As in Reads."""
        return self.answer(queries.chunk_numbers(ino))

    def slice_refs(self, slice_id: SliceId, size: int) -> int | None:
        """As in Reads."""
        return self.answer(queries.slice_refs(slice_id))

    def counter(self, name: str) -> int | None:
        """As in Reads."""
        return self.answer(queries.counter(name))

    def setting(self) -> str | None:
        """As in Reads."""
        return self.answer(queries.setting())

    def session(self, sid: SessionId) -> Session | None:
        """As in Reads."""
        return self.answer(queries.session(sid))

    def sustained(self, sid: SessionId) -> tuple[Ino, ...]:
        """As in Reads."""
        return self.answer(queries.sustained(sid))

    def locked(self, sid: SessionId) -> tuple[Ino, ...]:
        """As in Reads."""
        return self.answer(queries.locked(sid))

    def deleted_file(self, ino: Ino) -> DeletedFile | None:
        """As in Reads."""
        return self.answer(queries.deleted_file(ino))

    def delayed(self, chunk_id: SliceId) -> DelayedSlices | None:
        """As in Reads."""
        return self.answer(queries.delayed(chunk_id))

    def acl(self, acl_id: int) -> AclRule | None:
        """As in Reads."""
        return self.answer(queries.acl(acl_id))

    def acl_id(self, rule: AclRule) -> int | None:
        """As in Reads."""
        return self.answer(queries.acl_id(rule))

    def dir_usage(self, ino: Ino) -> DirUsage | None:
        """As in Reads."""
        return self.answer(queries.dir_usage(ino))

    def quota(self, kind: QuotaKind, key: int) -> Quota | None:
        """As in Reads."""
        return self.answer(queries.quota(kind, key))

    def flocks(self, ino: Ino) -> tuple[tuple[LockHolder, LockKind], ...]:
        """As in Reads."""
        return self.answer(queries.flocks(ino))

    def range_locks(self, ino: Ino) -> tuple[tuple[LockHolder, tuple[RangeLock, ...]], ...]:
        """As in Reads."""
        return self.answer(queries.range_locks(ino))

    def detached(self, ino: Ino) -> DetachedNode | None:
        """As in Reads."""
        return self.answer(queries.detached(ino))
