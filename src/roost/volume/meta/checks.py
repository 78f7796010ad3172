"""What a transaction depends on: predicates that must hold when it commits.

Predicates are on what a rule decided with, not comparisons of whole records: times, link counts
and lengths that a rule did not ask for may change meanwhile without a conflict.
"""

from dataclasses import dataclass
from typing import Protocol

from roost.volume.meta.reads import Reads
from roost.volume.model import Attr, ChunkNo, Edge, Ino, SessionId, Slice, SliceId


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


@dataclass(frozen=True, slots=True)
class NodeIs:
    """The node's identity is as seen."""

    ino: Ino
    seen: tuple[object, ...] | None

    def holds(self, reads: Reads) -> bool:
        """As in Check."""
        return identity(reads.node(self.ino)) == self.seen


@dataclass(frozen=True, slots=True)
class NodeIsExactly:
    """The node is as seen in every field."""

    ino: Ino
    seen: Attr | None

    def holds(self, reads: Reads) -> bool:
        """As in Check."""
        return reads.node(self.ino) == self.seen


@dataclass(frozen=True, slots=True)
class EdgeIs:
    """The entry is as seen; None: there is none."""

    parent: Ino
    name: bytes
    seen: Edge | None

    def holds(self, reads: Reads) -> bool:
        """As in Check."""
        return reads.edge(self.parent, self.name) == self.seen


@dataclass(frozen=True, slots=True)
class EntriesAre:
    """The directory has entries, or none, as seen."""

    ino: Ino
    seen: bool

    def holds(self, reads: Reads) -> bool:
        """As in Check."""
        return reads.has_entries(self.ino) == self.seen


@dataclass(frozen=True, slots=True)
class ParentsAre:
    """The directories that name the node, and how often, are as seen."""

    ino: Ino
    seen: tuple[tuple[Ino, int], ...]

    def holds(self, reads: Reads) -> bool:
        """As in Check."""
        return tuple(sorted(reads.parents(self.ino).items())) == self.seen


@dataclass(frozen=True, slots=True)
class XattrIs:
    """The extended attribute is as seen."""

    ino: Ino
    name: bytes
    seen: bytes | None

    def holds(self, reads: Reads) -> bool:
        """As in Check."""
        return reads.xattr(self.ino, self.name) == self.seen


@dataclass(frozen=True, slots=True)
class CounterIs:
    """The counter has the value seen."""

    name: str
    seen: int | None

    def holds(self, reads: Reads) -> bool:
        """As in Check."""
        return reads.counter(self.name) == self.seen


@dataclass(frozen=True, slots=True)
class SlicesAre:
    """The chunk's records are those seen."""

    ino: Ino
    chunk_no: ChunkNo
    seen: tuple[Slice, ...]

    def holds(self, reads: Reads) -> bool:
        """As in Check."""
        return reads.slices(self.ino, self.chunk_no) == self.seen


@dataclass(frozen=True, slots=True)
class RowIs:
    """Settings, a session, its sustained files, a note or a slice count are as seen."""

    what: str  # the method of Reads
    key: int
    seen: object

    def holds(self, reads: Reads) -> bool:
        """As in Check."""
        number = self.key
        match self.what:
            case "session":
                return reads.session(SessionId(number)) == self.seen
            case "sustained":
                return reads.sustained(SessionId(number)) == self.seen
            case "deleted_file":
                return reads.deleted_file(Ino(number)) == self.seen
            case "chunk_numbers":
                return reads.chunk_numbers(Ino(number)) == self.seen
            case "setting":
                return reads.setting() == self.seen
            case "delayed":
                return reads.delayed(SliceId(number)) == self.seen
            case _:
                assert self.what == "slice_refs", self.what
                return reads.slice_refs(SliceId(number)) == self.seen
