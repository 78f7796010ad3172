"""What a commit changes of nodes and entries, as words of the commit script."""

import struct
from collections import Counter

from roost.volume.codec import encode_attr, encode_edge
from roost.volume.engines.redis.encode import Encoded, Word
from roost.volume.meta import effects as fx
from roost.volume.model import DirUsage, Edge, Ino, Kind

_TIME = struct.Struct(">qI")
_LENGTH = struct.Struct(">Q")
_HEAD = struct.Struct(">BHII")
_ACLS = struct.Struct(">II")
_SECOND_NS = 1_000_000_000
_PARENT_AT, _PARENT_END = 63, 71


class Moves:
    """Names that nodes gain and lose in one commit, for the counts of their parents."""

    __slots__ = (
        "added", "dropped", "dropped_usage", "edges", "new_parents", "new_usage", "refs", "usage",
    )  # fmt: skip

    def __init__(self) -> None:
        self.edges: list[tuple[Ino, Ino, int]] = []  # (node, directory, +1 or -1)
        self.new_parents: dict[Ino, Ino] = {}
        self.added: set[Ino] = set()
        self.dropped: set[Ino] = set()
        self.usage: dict[Ino, DirUsage] = {}  # what is added
        self.new_usage: dict[Ino, DirUsage] = {}  # what is set before that
        self.dropped_usage: set[Ino] = set()  # and what is dropped
        self.refs: dict[bytes, int] = {}


def time_bytes(time_ns: int) -> bytes:
    """Return i64 seconds and u32 nanoseconds."""
    return _TIME.pack(*divmod(time_ns, _SECOND_NS))


# ---- nodes
def add_node(e: Encoded, moves: Moves, effect: fx.AddNode) -> None:
    """Store a node; one that is there already is damage."""
    place, raw = e.string(e.keys.node(effect.ino)), encode_attr(effect.attr)
    if place not in e.added:  # even if it is known: then as another's, say the one to be copied
        e.known.add(place)
        e.added.add(place)
        e.expect("new", place)
    e.change("set", place, raw)
    e.again[place] = None
    e.stored["node", effect.ino] = raw
    moves.new_parents[effect.ino] = effect.attr.parent
    moves.added.add(effect.ino)


def change_node(e: Encoded, moves: Moves, effect: fx.ChangeNode) -> None:
    """Merge a change into what is stored."""
    ino, change = effect.ino, effect.change
    place = e.string(e.keys.node(ino))
    if place not in e.known:
        e.known.add(place)
        e.expect("present", place)
    e.again[place] = None
    e.results.append(("node", ino))
    if change.parent is not None:
        moves.new_parents[ino] = change.parent
    words = _words(e, ino, change)
    if len(words) == 4 + 2 * bool(change.nlink_by) and _is_touch(change):
        e.change("touch", place, change.nlink_by, words[-1])
    else:
        e.change("change", place, len(words) // 2, *words)


def _is_touch(change: fx.NodeChange) -> bool:
    at_least = change.mtime_at_least_ns
    return at_least is not None and at_least == change.ctime_at_least_ns


def _words(e: Encoded, ino: Ino, change: fx.NodeChange) -> list[Word]:
    words: list[Word] = []
    if change.nlink_by:
        words += ("nlink by", change.nlink_by)
    if change.mtime_ns is not None:
        words += ("mtime", time_bytes(change.mtime_ns))
    if change.mtime_at_least_ns is not None:
        words += ("mtime at least", time_bytes(change.mtime_at_least_ns))
    if change.data_time_ns is not None:
        words += ("data time", time_bytes(change.data_time_ns))
    if change.length is not None:
        words += ("length", _LENGTH.pack(change.length))
    if change.length_at_least is not None:
        words += ("length at least", _LENGTH.pack(change.length_at_least))
    if change.atime_ns is not None:
        words += ("atime", time_bytes(change.atime_ns))
    if change.parent is not None:
        words += ("parent", _LENGTH.pack(change.parent))
    if _any(change.mode, change.uid, change.gid, change.flags):
        words += ("identity", _new_head(e, ino, change))
    if _any(change.access_acl, change.default_acl, change.tier):
        words += ("rest", _new_rest(e, ino, change))
    if change.ctime_at_least_ns is not None:
        words += ("ctime at least", time_bytes(change.ctime_at_least_ns))
    return words


def _any(*values: int | None) -> bool:
    return values.count(None) < len(values)


def _new_head(e: Encoded, ino: Ino, change: fx.NodeChange) -> bytes:
    """Return flags, kind and mode, uid, gid.  The rule decided on them, so they are checked."""
    attr = e.reading.node(ino)
    assert attr is not None, "a node that is changed was looked at"
    mode = attr.mode if change.mode is None else change.mode
    return _HEAD.pack(
        attr.flags if change.flags is None else change.flags,
        attr.kind << 12 | mode,
        attr.uid if change.uid is None else change.uid,
        attr.gid if change.gid is None else change.gid,
    )


def _new_rest(e: Encoded, ino: Ino, change: fx.NodeChange) -> bytes:
    """Return what follows the parent: ACLs, tier, and the zero."""
    attr = e.reading.node(ino)
    assert attr is not None, "a node that is changed was looked at"
    acls = (
        attr.access_acl if change.access_acl is None else change.access_acl,
        attr.default_acl if change.default_acl is None else change.default_acl,
    )
    tier = attr.tier if change.tier is None else change.tier
    return (_ACLS.pack(*acls) if any(acls) else b"") + (bytes([tier]) if tier else b"") + b"\0"


def drop_node(e: Encoded, moves: Moves, effect: fx.DropNode) -> None:
    """Remove a node with its link target, extended attributes and parents."""
    ino = effect.ino
    raw = e.reading.raw(("node", ino))
    e.change("del", e.string(e.keys.node(ino)))
    e.change("del", e.other(e.keys.xattrs(ino)))
    if raw is None or raw[1] >> 4 == Kind.SYMLINK:
        e.change("del", e.other(e.keys.symlink(ino)))
    if raw is None or raw[_PARENT_AT:_PARENT_END] == bytes(8):
        e.change("del", e.other(e.keys.parents(ino)))
    e.dropped.append(("node", ino))
    moves.dropped.add(ino)


# ---- entries
def add_edge(e: Encoded, moves: Moves, effect: fx.AddEdge) -> None:
    """Store an entry."""
    place, raw = e.of_type(e.keys.folder(effect.parent), "hash"), encode_edge(effect.edge)
    e.change("hset", place, effect.name, raw)
    e.again[place] = None
    e.stored["edge", effect.parent, effect.name] = raw
    if effect.edge.kind is not Kind.DIRECTORY:
        moves.edges.append((effect.edge.ino, effect.parent, 1))


def drop_edge(e: Encoded, moves: Moves, effect: fx.DropEdge) -> None:
    """Remove an entry."""
    place = e.of_type(e.keys.folder(effect.parent), "hash")
    e.change("hdel", place, effect.name)
    e.again[place] = None
    e.stored["edge", effect.parent, effect.name] = None
    edge: Edge | None = e.reading.edge(effect.parent, effect.name)
    if edge is not None and edge.kind is not Kind.DIRECTORY:
        moves.edges.append((edge.ino, effect.parent, -1))


def count_parents(e: Encoded, moves: Moves) -> None:
    """Count the parents of nodes with several names, whose own `parent` is or becomes 0."""
    counts: dict[Ino, Counter[int]] = {}
    for ino, parent, by in moves.edges:
        if moves.new_parents.get(ino) or ino in moves.dropped:
            continue
        if ino not in counts:
            if ino in moves.added:
                before = 0  # all its names are among the edges
            else:
                raw = e.reading.raw(("node", ino))
                if raw is None:
                    continue  # a damaged entry
                before = int.from_bytes(raw[_PARENT_AT:_PARENT_END])
            if moves.new_parents.get(ino, before):
                continue
            counts[ino] = Counter({before: 1} if before else {})
        counts[ino][parent] += by
    for ino, of_node in counts.items():
        key = e.keys.parents(ino)
        for name, by in of_node.items():
            if by:
                e.change("hincr", e.of_numbers(key, name), name, by)


def put_symlink(e: Encoded, moves: Moves, effect: fx.PutSymlink) -> None:
    """Store a link's target."""
    e.change("set", e.string(e.keys.symlink(effect.ino)), effect.target)


def put_xattr(e: Encoded, moves: Moves, effect: fx.PutXattr) -> None:
    """Store or remove an extended attribute."""
    place = e.of_type(e.keys.xattrs(effect.ino), "hash")
    if effect.value is None:
        e.change("hdel", place, effect.name)
    else:
        e.change("hset", place, effect.name, effect.value)


def drop_xattrs(e: Encoded, moves: Moves, effect: fx.DropXattrs) -> None:
    """Remove all extended attributes of a node."""
    e.change("del", e.other(e.keys.xattrs(effect.ino)))
