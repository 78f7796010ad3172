"""The tables of the memory engine, and how they are read."""

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field

from roost.volume.meta.reads import Wanted
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


@dataclass(slots=True)
class Tables:
    """All records.  Satisfies meta.reads.Reads and meta.reads.Scans."""

    nodes: dict[Ino, Attr] = field(default_factory=dict)
    folders: dict[Ino, dict[bytes, Edge]] = field(default_factory=dict)
    names: dict[Ino, dict[Ino, int]] = field(default_factory=dict)  # inode → parent → count
    symlinks: dict[Ino, bytes] = field(default_factory=dict)
    xattrs: dict[Ino, dict[bytes, bytes]] = field(default_factory=dict)
    chunks: dict[Ino, dict[ChunkNo, tuple[Slice, ...]]] = field(default_factory=dict)
    refs: dict[SliceId, SliceRef] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    usage: dict[Ino, DirUsage] = field(default_factory=dict)
    live_sessions: dict[SessionId, Session] = field(default_factory=dict)
    kept: dict[SessionId, frozenset[Ino]] = field(default_factory=dict)
    deleted: dict[Ino, DeletedFile] = field(default_factory=dict)
    replaced: dict[SliceId, DelayedSlices] = field(default_factory=dict)
    acls: dict[int, AclRule] = field(default_factory=dict)
    limits: dict[tuple[QuotaKind, int], Quota] = field(default_factory=dict)
    file_locks: dict[Ino, dict[LockHolder, LockKind]] = field(default_factory=dict)
    byte_locks: dict[Ino, dict[LockHolder, tuple[RangeLock, ...]]] = field(default_factory=dict)
    clones: dict[Ino, DetachedNode] = field(default_factory=dict)
    settings: str | None = None

    def copy(self) -> "Tables":
        """Return an independent copy."""
        nested = ("folders", "names", "xattrs", "chunks", "file_locks", "byte_locks")
        made = Tables()
        for name in self.__slots__:
            value = getattr(self, name)
            if name in nested:
                value = {key: dict(inner) for key, inner in value.items()}
            setattr(made, name, copy(value))
        return made

    def clear(self) -> None:
        """Forget all records."""
        empty = Tables()
        for name in self.__slots__:
            setattr(self, name, getattr(empty, name))

    # ---- Reads
    def load(self, wanted: Sequence[Wanted]) -> None:
        """Nothing to fetch."""

    def node(self, ino: Ino) -> Attr | None:
        """As in Reads."""
        return self.nodes.get(ino)

    def edge(self, parent: Ino, name: bytes) -> Edge | None:
        """As in Reads."""
        return self.folders.get(parent, {}).get(name)

    def has_entries(self, ino: Ino) -> bool:
        """As in Reads."""
        return bool(self.folders.get(ino))

    def entries(self, ino: Ino, after: bytes | None, limit: int) -> tuple[tuple[bytes, Edge], ...]:
        """As in Reads."""
        rows = sorted(dict(self.folders.get(ino, {})).items())
        return tuple(row for row in rows if after is None or row[0] > after)[:limit]

    def parents(self, ino: Ino) -> dict[Ino, int]:
        """As in Reads."""
        return dict(self.names.get(ino, {}))

    def symlink(self, ino: Ino) -> bytes | None:
        """As in Reads."""
        return self.symlinks.get(ino)

    def xattr(self, ino: Ino, name: bytes) -> bytes | None:
        """As in Reads."""
        return self.xattrs.get(ino, {}).get(name)

    def xattr_names(self, ino: Ino) -> tuple[bytes, ...]:
        """As in Reads."""
        return tuple(sorted(self.xattrs.get(ino, {})))

    def slices(self, ino: Ino, chunk_no: ChunkNo) -> tuple[Slice, ...]:
        """As in Reads."""
        return self.chunks.get(ino, {}).get(chunk_no, ())

    def chunk_numbers(self, ino: Ino) -> tuple[ChunkNo, ...]:
        """As in Reads."""
        return tuple(sorted(self.chunks.get(ino, {})))

    def slice_refs(self, slice_id: SliceId, size: int) -> int | None:
        """As in Reads."""
        ref = self.refs.get(slice_id)
        return None if ref is None else ref.refs

    def counter(self, name: str) -> int | None:
        """As in Reads."""
        return self.counters.get(name)

    def setting(self) -> str | None:
        """As in Reads."""
        return self.settings

    def session(self, sid: SessionId) -> Session | None:
        """As in Reads."""
        return self.live_sessions.get(sid)

    def sustained(self, sid: SessionId) -> tuple[Ino, ...]:
        """As in Reads."""
        return tuple(sorted(self.kept.get(sid, frozenset())))

    def locked(self, sid: SessionId) -> tuple[Ino, ...]:
        """As in Reads."""
        tables = (self.file_locks, self.byte_locks)
        found = (item for table in tables for item in table.items())
        return tuple(sorted({ino for ino, held in found if any(one.sid == sid for one in held)}))

    def deleted_file(self, ino: Ino) -> DeletedFile | None:
        """As in Reads."""
        return self.deleted.get(ino)

    def delayed(self, chunk_id: SliceId) -> DelayedSlices | None:
        """As in Reads."""
        return self.replaced.get(chunk_id)

    def acl(self, acl_id: int) -> AclRule | None:
        """As in Reads."""
        return self.acls.get(acl_id)

    def acl_id(self, rule: AclRule) -> int | None:
        """As in Reads."""
        return min((number for number, known in self.acls.items() if known == rule), default=None)

    def dir_usage(self, ino: Ino) -> DirUsage | None:
        """As in Reads."""
        return self.usage.get(ino)

    def quota(self, kind: QuotaKind, key: int) -> Quota | None:
        """As in Reads."""
        return self.limits.get((kind, key))

    def flocks(self, ino: Ino) -> tuple[tuple[LockHolder, LockKind], ...]:
        """As in Reads."""
        return tuple(sorted(self.file_locks.get(ino, {}).items()))

    def range_locks(self, ino: Ino) -> tuple[tuple[LockHolder, tuple[RangeLock, ...]], ...]:
        """As in Reads."""
        locks = self.byte_locks.get(ino, {})
        return tuple((holder, locks[holder]) for holder in sorted(locks))

    def detached(self, ino: Ino) -> DetachedNode | None:
        """As in Reads."""
        return self.clones.get(ino)

    # ---- Scans
    @property
    def is_snapshot(self) -> bool:
        """As in Scans."""
        return True

    @property
    def is_for_threads(self) -> bool:
        """As in Scans."""
        return False

    def sessions(self) -> tuple[Session, ...]:
        """As in Scans."""
        return tuple(self.live_sessions[sid] for sid in sorted(self.live_sessions))

    def all_sustained(self) -> tuple[tuple[SessionId, Ino], ...]:
        """As in Scans."""
        return tuple((sid, ino) for sid in sorted(self.kept) for ino in sorted(self.kept[sid]))

    def deleted_files(self, before_s: int, limit: int) -> tuple[DeletedFile, ...]:
        """As in Scans."""
        files = (f for f in self.deleted.values() if f.deleted_s < before_s)
        return tuple(sorted(files, key=lambda f: (f.deleted_s, f.ino)))[:limit]

    def unreferenced_slices(self, limit: int) -> tuple[SliceRef, ...]:
        """As in Scans."""
        return tuple(ref for ref in self.all_slice_refs() if ref.refs <= 0)[:limit]

    def delayed_slices(self, before_s: int) -> tuple[DelayedSlices, ...]:
        """As in Scans."""
        return tuple(d for _, d in sorted(self.replaced.items()) if d.deleted_s < before_s)

    def all_nodes(self) -> Iterator[tuple[Ino, Attr]]:
        """As in Scans."""
        return iter(sorted(self.nodes.items()))

    def all_edges(self) -> Iterator[tuple[Ino, bytes, Edge]]:
        """As in Scans."""
        for parent in sorted(self.folders):
            for name, edge in sorted(self.folders[parent].items()):
                yield parent, name, edge

    def all_chunks(self) -> Iterator[ChunkSlices]:
        """As in Scans."""
        for ino in sorted(self.chunks):
            for chunk_no, slices in sorted(self.chunks[ino].items()):
                yield ChunkSlices(ino, chunk_no, slices)

    def all_slice_refs(self) -> Iterator[SliceRef]:
        """As in Scans."""
        return (self.refs[slice_id] for slice_id in sorted(self.refs))

    def all_dir_usage(self) -> Iterator[tuple[Ino, DirUsage]]:
        """As in Scans."""
        return iter(sorted(self.usage.items()))

    def all_symlinks(self) -> Iterator[tuple[Ino, bytes]]:
        """As in Scans."""
        return iter(sorted(self.symlinks.items()))

    def all_xattrs(self) -> Iterator[tuple[Ino, bytes, bytes]]:
        """As in Scans."""
        for ino in sorted(self.xattrs):
            for name, value in sorted(self.xattrs[ino].items()):
                yield ino, name, value

    def all_acls(self) -> Iterator[tuple[int, AclRule]]:
        """As in Scans."""
        return ((number, self.acls[number]) for number in sorted(self.acls))

    def quotas(self) -> tuple[tuple[QuotaKind, int, Quota], ...]:
        """As in Scans."""
        return tuple((*which, self.limits[which]) for which in sorted(self.limits))

    def all_delayed(self) -> Iterator[DelayedSlices]:
        """As in Scans."""
        return (self.replaced[chunk_id] for chunk_id in sorted(self.replaced))

    def all_deleted_files(self) -> Iterator[DeletedFile]:
        """As in Scans."""
        return (self.deleted[ino] for ino in sorted(self.deleted))

    def detached_nodes(self) -> tuple[DetachedNode, ...]:
        """As in Scans."""
        return tuple(self.clones[ino] for ino in sorted(self.clones))

    # ---- many at once
    def nodes_of(self, inos: Sequence[Ino]) -> list[Attr | None]:
        """As in Scans."""
        return [self.nodes.get(ino) for ino in inos]

    def entries_of(self, ino: Ino) -> Iterator[tuple[bytes, Edge]]:
        """As in Scans."""
        return iter(sorted(self.folders.get(ino, {}).items()))

    def slices_of(
        self, inos: Sequence[Ino], lengths: Sequence[int] | None = None
    ) -> dict[Ino, list[ChunkSlices]]:
        """As in Scans."""
        return {
            ino: [ChunkSlices(ino, no, slices) for no, slices in sorted(self.chunks[ino].items())]
            for ino in inos
            if self.chunks.get(ino)
        }

    def xattrs_of(self, inos: Sequence[Ino]) -> dict[Ino, list[tuple[bytes, bytes]]]:
        """As in Scans."""
        return {ino: sorted(self.xattrs[ino].items()) for ino in inos if self.xattrs.get(ino)}

    def symlinks_of(self, inos: Sequence[Ino]) -> dict[Ino, bytes]:
        """As in Scans."""
        return {ino: self.symlinks[ino] for ino in inos if ino in self.symlinks}
