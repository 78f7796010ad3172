"""The checks of a commit as conditions that the database judges in the commit itself.

Rows that must be as seen are locked while they are compared, nodes first and in ascending order
(H15): FOR UPDATE where the commit changes the node, FOR SHARE elsewhere.  A directory's statistics
count as the node, since they may be computed from entries in the commit: where they may be missing
the node is locked although nothing is asked of it.  What must be absent
cannot be locked: it is asked for in a later statement, when the nodes are locked that whoever adds
it locks too, or a unique index refuses the second of two.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from roost.volume.codec import SLICE_BYTES, encode_slices
from roost.volume.engines.sql.dialect import Value
from roost.volume.meta import checks as ck
from roost.volume.meta import effects as fx
from roost.volume.meta.txn import Commit
from roost.volume.model import Attr, Ino

_IDENTITY = (
    "type = ? AND mode = ? AND uid = ? AND gid = ? AND flags = ? AND COALESCE(parent, 0) = ?"
    " AND COALESCE(access_acl_id, 0) = ? AND COALESCE(default_acl_id, 0) = ?"
    " AND COALESCE(tier_id, 0) = ?"
)
_REST = (
    " AND nlink = ? AND length = ? AND COALESCE(rdev, 0) = ? AND atime * 1000 + atimensec = ?"
    " AND mtime * 1000 + mtimensec = ? AND ctime * 1000 + ctimensec = ?"
)
Condition = tuple[str, tuple[Value, ...]]
_NEVER: Condition = ("1 = 0", ())


@dataclass(slots=True)
class Guard:
    """What must hold: nodes by number, rows by table, and conditions for a later statement."""

    nodes: dict[Ino, Condition] = field(default_factory=dict)
    changed: set[Ino] = field(default_factory=set)  # that the commit writes, or their statistics
    used: set[Ino] = field(default_factory=set)  # directories whose statistics it adds to
    rows: dict[str, dict[Condition, None]] = field(default_factory=dict)
    later: list[Condition] = field(default_factory=list)
    disagrees: bool = False  # two states of one node were seen: not all who saw them are right

    def add_node(self, ino: Ino, condition: Condition) -> None:
        """Take in what a node is to be; of two conditions that agree the one that says more."""
        less, more = condition, self.nodes.get(ino, condition)
        if len(less[1]) > len(more[1]):
            less, more = more, less
        self.disagrees |= more[1][: len(less[1])] != less[1]
        self.nodes[ino] = more

    def merge(self, other: "Guard") -> None:
        """Take in what another commit of the same transaction depends on."""
        for ino, condition in other.nodes.items():
            self.add_node(ino, condition)
        self.disagrees |= other.disagrees
        self.changed |= other.changed
        self.used |= other.used
        for table, rows in other.rows.items():
            self.rows.setdefault(table, {}).update(rows)
        self.later.extend(other.later)

    def conditions(self, counted: Collection[Ino] = ()) -> list[Condition]:
        """Return the conditions that lock what they compare.

        `counted` are directories known to have statistics.
        """
        found = [_NEVER] if self.disagrees else []
        uncounted = self.used.difference(counted)
        found += [self._nodes(uncounted)] if self.nodes or uncounted else []
        found += [_all_there(table, list(rows), "UPDATE") for table, rows in self.rows.items()]
        return found

    def _nodes(self, uncounted: set[Ino]) -> Condition:
        terms = []
        shared = sorted(self.nodes.keys() - self.changed)
        if shared:
            found = [self.nodes[ino] for ino in shared]
            terms.append((shared[0], _all_there("jfs_node", found, "SHARE", "inode")))
        changed = sorted((self.nodes.keys() & self.changed) | uncounted)
        if changed:
            found = [self.nodes[ino] for ino in changed if ino in self.nodes]
            others = [ino for ino in changed if ino not in self.nodes]
            if others:
                terms.append((changed[0], _all_there_and_locked(found, others)))
            else:
                terms.append((changed[0], _all_there("jfs_node", found, "UPDATE", "inode")))
        return joined([term for _, term in sorted(terms)])


def joined(conditions: Sequence[Condition]) -> Condition:
    """Return one condition that holds if all do."""
    values = tuple(value for _, given in conditions for value in given)
    return " AND ".join(text for text, _ in conditions), values


def _all_there(table: str, rows: list[Condition], mode: str, order: str = "") -> Condition:
    """Return the condition that every one of `rows` is found, locking those that are."""
    text = " OR ".join(f"({row[0]})" for row in rows) if len(rows) > 1 else rows[0][0]
    values = tuple(value for row in rows for value in row[1])
    ordered = f" ORDER BY {order}" if order and len(rows) > 1 else ""
    select = f"SELECT 1 AS one FROM {table} WHERE {text}{ordered} FOR {mode}"
    return f"(SELECT COUNT(*) FROM ({select}) t) = {len(rows)}", values


def _all_there_and_locked(nodes: list[Condition], others: list[Ino]) -> Condition:
    """Return the condition that `nodes` are found, locking them and `others`, which may be gone."""
    text = " OR ".join(f"({node[0]})" for node in nodes) or "1 = 0"
    values = tuple(value for node in nodes for value in node[1])
    select = (
        f"SELECT CASE WHEN {text} THEN 1 END AS one FROM jfs_node"
        f" WHERE {text} OR inode IN ({', '.join('?' * len(others))}) ORDER BY inode FOR UPDATE"
    )
    return f"(SELECT COUNT(t.one) FROM ({select}) t) = {len(nodes)}", (*values, *values, *others)


def guard_of(commit: Commit) -> Guard | None:
    """Return what the database can judge by itself; None if a check is not of that kind."""
    guard = Guard()
    added: set[tuple[Ino, bytes]] = set()
    new_nodes: set[Ino] = set()
    for effect in commit.effects:
        match effect:
            case fx.AddEdge(parent, name):
                added.add((parent, name))
            case fx.AddNode(ino):
                new_nodes.add(ino)
            case fx.UseDirectory(ino):
                guard.changed.add(ino)
                guard.used.add(ino)
            case fx.ChangeNode(ino) | fx.DropNode(ino):
                guard.changed.add(ino)
    guard.used -= new_nodes
    for check in commit.checks:
        match check:
            case ck.NodeIs(ino, None) | ck.NodeIsExactly(ino, None):
                if ino not in new_nodes:
                    guard.later.append(_absent("jfs_node", "inode = ?", ino))
            case ck.NodeIs(ino, seen):
                assert seen is not None
                guard.add_node(ino, _identity(ino, seen))
            case ck.NodeIsExactly(ino, attr):
                assert attr is not None
                guard.add_node(ino, _exactly(ino, attr))
            case ck.EdgeIs(parent, name, None):
                if (parent, name) not in added:  # else the unique index refuses a second one
                    guard.later.append(_absent("jfs_edge", "parent = ? AND name = ?", parent, name))
            case _:
                if not _other(guard, check):
                    return None
    return guard


def _other(guard: Guard, check: ck.Check) -> bool:
    """Add a check of another kind; False if the database cannot judge it."""
    there: tuple[str, str, tuple[Value, ...]] | None = None
    match check:
        case ck.EdgeIs(parent, name, seen):
            assert seen is not None
            text = "parent = ? AND name = ? AND inode = ? AND type = ?"
            there = ("jfs_edge", text, (parent, name, seen.ino, int(seen.kind)))
        case ck.EntriesAre(ino, seen):
            text = (
                "CASE WHEN EXISTS (SELECT 1 FROM jfs_edge WHERE parent = ?) THEN 1 ELSE 0 END = ?"
            )
            guard.later.append((text, (ino, int(seen))))
        case ck.ParentsAre(ino, seen):
            guard.later.extend(_parents(ino, seen))
        case ck.XattrIs(ino, name, None):
            guard.later.append(_absent("jfs_xattr", "inode = ? AND EXACT(name) = ?", ino, name))
        case ck.XattrIs(ino, name, value):
            text = "inode = ? AND EXACT(name) = ? AND value = ?"
            there = ("jfs_xattr", text, (ino, name, value))
        case ck.CounterIs("aclMaxId"):
            return False
        case ck.CounterIs(name, None):
            guard.later.append(_absent("jfs_counter", "name = ?", name))
        case ck.CounterIs(name, value):
            there = ("jfs_counter", "name = ? AND value = ?", (name, value))
        case ck.SlicesAre(ino, chunk_no, ()):
            text = "inode = ? AND indx = ? AND LENGTH(slices) > 0"
            guard.later.append(_absent("jfs_chunk", text, ino, chunk_no))
        case ck.SlicesAre(ino, chunk_no, slices):
            text = "inode = ? AND indx = ? AND slices = ?"
            there = ("jfs_chunk", text, (ino, chunk_no, encode_slices(slices)))
        case ck.SlicesBegin(ino, chunk_no, slices):
            text = "inode = ? AND indx = ? AND SUBSTR(slices, 1, ?) = ?"
            begin = encode_slices(slices)
            there = ("jfs_chunk", text, (ino, chunk_no, len(slices) * SLICE_BYTES, begin))
        case _:
            return False
    if there is not None:
        table, text, values = there
        guard.rows.setdefault(table, {})[text, values] = None
    return True


def _absent(table: str, text: str, *values: Value) -> Condition:
    return f"(SELECT COUNT(*) FROM {table} WHERE {text}) = 0", values


def _parents(ino: Ino, seen: Iterable[tuple[Ino, int]]) -> Iterable[Condition]:
    total = 0
    for parent, count in seen:
        total += count
        text = "(SELECT COUNT(*) FROM jfs_edge WHERE inode = ? AND parent = ?) = ?"
        yield text, (ino, parent, count)
    yield "(SELECT COUNT(*) FROM jfs_edge WHERE inode = ?) = ?", (ino, total)


def _identity(ino: Ino, seen: tuple[object, ...]) -> Condition:
    numbers = tuple(int(value) for value in seen)  # type: ignore[call-overload]  # ids and bits
    kind, mode, uid, gid, flags, parent, access, default, tier = numbers
    values = (ino, kind, mode, uid, gid, flags, parent, access, default, tier)
    return f"inode = ? AND {_IDENTITY}", values


def _exactly(ino: Ino, attr: Attr) -> Condition:
    identity = ck.identity(attr)
    assert identity is not None
    text, values = _identity(ino, identity)
    rest = (
        attr.nlink, attr.length, attr.rdev, attr.atime_ns, attr.mtime_ns, attr.ctime_ns,
    )  # fmt: skip
    return text + _REST, (*values, *rest)
