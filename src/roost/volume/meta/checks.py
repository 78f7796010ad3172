"""What a transaction depends on: predicates that must hold when it commits.

Predicates are on what a rule decided with, not comparisons of whole records: times, link counts
and lengths that a rule did not ask for may change meanwhile without a conflict.
"""

from typing import Literal, Protocol

from roost.volume.meta.reads import Reads
from roost.volume.model import (
    AclRule,
    Attr,
    ChunkNo,
    Edge,
    Ino,
    Quota,
    QuotaKind,
    SessionId,
    Slice,
    SliceId,
)
from roost.volume.values import value

RowKind = Literal[
    "session", "sustained", "deleted_file", "chunk_numbers", "setting", "delayed",
    "dir_usage", "flocks", "range_locks", "detached",
]  # fmt: skip


class Check(Protocol):
    """A predicate that must hold at the moment of the commit."""

    def holds(self, reads: Reads) -> bool:
        """True if what the rule saw is still so, as far as it matters."""
        ...


def identity(attr: Attr | None) -> tuple[object, ...] | None:
    """Return the part of the attributes that rules decide on: no times, link count or length."""
    if attr is None:
        return None
    return (
        attr.kind, attr.mode, attr.uid, attr.gid, attr.flags, attr.parent,
        attr.access_acl, attr.default_acl, attr.tier,
    )  # fmt: skip


@value(frozen=True, slots=True)
class NodeIs:
    """The node's identity is as seen."""

    ino: Ino
    seen: tuple[object, ...] | None

    def holds(self, reads: Reads) -> bool:
        """As in Check."""
        return identity(reads.node(self.ino)) == self.seen


@value(frozen=True, slots=True)
class NodeIsExactly:
    """The node is as seen in every field."""

    ino: Ino
    seen: Attr | None

    def holds(self, reads: Reads) -> bool:
        """As in Check."""
        return reads.node(self.ino) == self.seen


@value(frozen=True, slots=True)
class EdgeIs:
    """The entry is as seen; None: there is none."""

    parent: Ino
    name: bytes
    seen: Edge | None

    def holds(self, reads: Reads) -> bool:
        """As in Check."""
        return reads.edge(self.parent, self.name) == self.seen


@value(frozen=True, slots=True)
class EntriesAre:
    """The directory has entries, or none, as seen."""

    ino: Ino
    seen: bool

    def holds(self, reads: Reads) -> bool:
        """As in Check."""
        return reads.has_entries(self.ino) == self.seen


@value(frozen=True, slots=True)
class ParentsAre:
    """The directories that name the node, and how often, are as seen."""

    ino: Ino
    seen: tuple[tuple[Ino, int], ...]

    def holds(self, reads: Reads) -> bool:
        """As in Check."""
        return tuple(sorted(reads.parents(self.ino).items())) == self.seen


@value(frozen=True, slots=True)
class XattrIs:
    """The extended attribute is as seen."""

    ino: Ino
    name: bytes
    seen: bytes | None

    def holds(self, reads: Reads) -> bool:
        """As in Check."""
        return reads.xattr(self.ino, self.name) == self.seen


@value(frozen=True, slots=True)
class CounterIs:
    """The counter has the value seen."""

    name: str
    seen: int | None

    def holds(self, reads: Reads) -> bool:
        """As in Check."""
        return reads.counter(self.name) == self.seen


@value(frozen=True, slots=True)
class SlicesAre:
    """The chunk's records are those seen."""

    ino: Ino
    chunk_no: ChunkNo
    seen: tuple[Slice, ...]

    def holds(self, reads: Reads) -> bool:
        """As in Check."""
        return reads.slices(self.ino, self.chunk_no) == self.seen


@value(frozen=True, slots=True)
class SlicesBegin:
    """The chunk's oldest records are those seen; others may have been appended since."""

    ino: Ino
    chunk_no: ChunkNo
    seen: tuple[Slice, ...]

    def holds(self, reads: Reads) -> bool:
        """As in Check."""
        return reads.slices(self.ino, self.chunk_no)[: len(self.seen)] == self.seen


@value(frozen=True, slots=True)
class SliceRefsAre:
    """The number of records that refer to a slice is as seen."""

    slice_id: SliceId
    size: int
    seen: int | None

    def holds(self, reads: Reads) -> bool:
        """As in Check."""
        return reads.slice_refs(self.slice_id, self.size) == self.seen


@value(frozen=True, slots=True)
class QuotaIs:
    """The quota is as seen."""

    kind: QuotaKind
    key: int
    seen: Quota | None

    def holds(self, reads: Reads) -> bool:
        """As in Check."""
        return reads.quota(self.kind, self.key) == self.seen


@value(frozen=True, slots=True)
class AclIdIs:
    """The number of an equal rule is as seen; None: no such rule is stored."""

    rule: AclRule
    seen: int | None

    def holds(self, reads: Reads) -> bool:
        """As in Check."""
        return reads.acl_id(self.rule) == self.seen


@value(frozen=True, slots=True)
class RowIs:
    """A single row is as seen: one that few operations read, compared as a whole."""

    what: RowKind  # the method of Reads
    key: int
    seen: object

    def holds(self, reads: Reads) -> bool:
        """As in Check."""
        return row(reads, self.what, self.key) == self.seen


def row(reads: Reads, what: RowKind, key: int) -> object:
    """Return what the method `what` of `reads` gives for `key`."""
    match what:
        case "session":
            return reads.session(SessionId(key))
        case "sustained":
            return reads.sustained(SessionId(key))
        case "deleted_file":
            return reads.deleted_file(Ino(key))
        case "chunk_numbers":
            return reads.chunk_numbers(Ino(key))
        case "setting":
            return reads.setting()
        case "delayed":
            return reads.delayed(SliceId(key))
        case "dir_usage":
            return reads.dir_usage(Ino(key))
        case "flocks":
            return reads.flocks(Ino(key))
        case "range_locks":
            return reads.range_locks(Ino(key))
        case "detached":
            return reads.detached(Ino(key))
