"""Effects as statements: what a commit, or several at once, writes into JuiceFS's tables.

Effects of one kind on several records become one statement, effects that add up on one record are
summed first.  The order is the same for every commit, so that two clients wait for each other's
rows in the same order: entries and nodes taken away, nodes, entries, data, sessions, and last of
all what everybody writes: statistics, quotas, counters.

No effects given here together need another order: a commit removes a record before it stores
another in its place, and commits that touch one record are not written together (`conflicts`).
"""

import functools
import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from roost.volume.codec import encode_slices
from roost.volume.engines.sql import rows as codec
from roost.volume.engines.sql.dialect import Dialect, Statement, Value
from roost.volume.engines.sql.node_writes import change_statement, fused
from roost.volume.engines.sql.queries import NODE_COLUMNS, QUOTA_COLUMNS
from roost.volume.engines.sql.single_writes import single
from roost.volume.meta import effects as fx
from roost.volume.model import ChunkNo, Ino, QuotaKind, SliceId

ROWS_AT_ONCE = 200
Row = tuple[Value, ...]
T = TypeVar("T")

_APPENDING = (
    " ON CONFLICT (inode, indx)"
    " DO UPDATE SET slices = CAST(jfs_chunk.slices || excluded.slices AS BLOB)"
)
_KNOWING = " ON CONFLICT (chunkid) DO UPDATE SET refs = jfs_chunk_ref.refs + excluded.refs"
USE_DIRECTORY = (
    "UPDATE jfs_dir_stats SET data_length = data_length + ?, used_space = used_space + ?,"
    " used_inodes = used_inodes + ? WHERE inode = ?"
)
# Takes the lock and changes nothing: two who find no statistics would each count without the other.
_LOCK_DIRECTORY = "UPDATE jfs_node SET nlink = nlink WHERE inode = ?"
_CHILDREN = "FROM jfs_edge e JOIN jfs_node n ON n.inode = e.inode WHERE e.parent = m.inode)"
_COMPUTE_USAGE = (
    "INSERT INTO jfs_dir_stats (inode, data_length, used_space, used_inodes) SELECT m.inode,"
    f" (SELECT COALESCE(SUM(CASE WHEN n.type = 1 THEN n.length ELSE 0 END), 0) {_CHILDREN},"
    " (SELECT COALESCE(SUM(CASE WHEN n.type = 1 AND n.length > 0"
    f" THEN ((n.length + 4095) >> 12) << 12 ELSE 4096 END), 0) {_CHILDREN},"
    f" (SELECT COUNT(*) {_CHILDREN} FROM jfs_node m"
    " WHERE m.inode = ? AND NOT EXISTS (SELECT 1 FROM jfs_dir_stats s WHERE s.inode = m.inode)"
)
_USE_DIR_QUOTA = (
    "UPDATE jfs_dir_quota SET used_space = used_space + ?, used_inodes = used_inodes + ?"
    " WHERE inode = ?"
)
_USE_OWNER_QUOTA = (
    "UPDATE jfs_user_group_quota SET used_space = used_space + ?, used_inodes = used_inodes + ?"
    " WHERE qtype = ? AND qkey = ?"
)
_CREATE_OWNER_QUOTA = (
    f"INSERT INTO jfs_user_group_quota (qtype, qkey, {QUOTA_COLUMNS})"
    " VALUES (?, ?, -1, -1, ?, ?) ON CONFLICT (qtype, qkey) DO UPDATE SET"
    " used_space = jfs_user_group_quota.used_space + excluded.used_space,"
    " used_inodes = jfs_user_group_quota.used_inodes + excluded.used_inodes"
)


def statements(
    effects: Iterable[fx.Effect], dialect: Dialect, counted: Collection[Ino] = ()
) -> list[Statement]:
    """Return what applies the effects, in order; the caller's transaction is around them.

    `counted` are directories known to have statistics; others are computed if they have none.
    """
    plan = _Plan(dialect)
    for effect in effects:
        plan.add(effect)
    return plan.statements(counted)


@dataclass(slots=True)
class _Plan:
    """Effects sorted by what they do."""

    dialect: Dialect
    dropped_edges: list[tuple[Ino, bytes]] = field(default_factory=list)
    dropped_nodes: list[Ino] = field(default_factory=list)
    dropped_xattrs: list[Ino] = field(default_factory=list)
    dropped_usage: list[Ino] = field(default_factory=list)
    nodes: list[Row] = field(default_factory=list)
    changes: dict[Ino, list[fx.NodeChange]] = field(default_factory=dict)
    edges: list[Row] = field(default_factory=list)
    symlinks: list[Row] = field(default_factory=list)
    usage: list[Row] = field(default_factory=list)
    used: dict[Ino, tuple[int, int, int]] = field(default_factory=dict)
    refs: dict[SliceId, tuple[int, int, bool]] = field(default_factory=dict)
    chunks: dict[tuple[Ino, ChunkNo], bytes] = field(default_factory=dict)
    others: list[Statement] = field(default_factory=list)
    quotas: dict[tuple[QuotaKind, int, bool], tuple[int, int]] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    last: list[Statement] = field(default_factory=list)

    # ---- sorting
    def add(self, effect: fx.Effect) -> None:
        """Take in one effect."""
        match effect:
            case fx.ChangeNode(ino, change):
                self.changes.setdefault(ino, []).append(change)
            case fx.AddNode(ino, attr):
                self.nodes.append((ino, *codec.node_columns(attr)))
            case fx.AddEdge(parent, name, edge):
                self.edges.append((parent, name, edge.ino, int(edge.kind)))
            case fx.AppendSlices(ino, chunk_no, records):
                before = self.chunks.get((ino, chunk_no), b"")
                self.chunks[ino, chunk_no] = before + encode_slices(records)
            case fx.AddCounter(name, by):
                self.counters[name] = self.counters.get(name, 0) + by
            case fx.UseDirectory(ino, by):
                length, space, count = self.used.get(ino, (0, 0, 0))
                self.used[ino] = (length + by.length, space + by.space_bytes, count + by.inodes)
            case fx.DropEdge(parent, name):
                self.dropped_edges.append((parent, name))
            case fx.DropNode(ino):
                self.dropped_nodes.append(ino)
            case fx.PutSymlink(ino, target):
                self.symlinks.append((ino, target))
            case fx.PutDirUsage(ino, None):
                self.dropped_usage.append(ino)
            case fx.PutDirUsage(ino, usage):
                assert usage is not None
                self.usage.append((ino, usage.length, usage.space_bytes, usage.inodes))
            case _:
                self._add_rarer(effect)

    def _add_rarer(self, effect: fx.Effect) -> None:
        match effect:
            case fx.DropXattrs(ino):
                self.dropped_xattrs.append(ino)
            case fx.AddSliceRefs(slice_id, by, size, is_new):
                before, known, was_new = self.refs.get(slice_id, (0, size, False))
                # How large it is says who makes it known.
                stored = known if was_new else size
                self.refs[slice_id] = (before + by, stored, is_new or was_new)
            case fx.UseQuota(kind, key, space_bytes, inodes, create):
                space, count = self.quotas.get((kind, key, create), (0, 0))
                self.quotas[kind, key, create] = (space + space_bytes, count + inodes)
            case fx.DropSliceRef(slice_id):
                text = "DELETE FROM jfs_chunk_ref WHERE chunkid = ? AND refs <= 0"
                self.last.append((text, (slice_id,)))
            case fx.DropChunk() | fx.ReplaceSlices():
                self.others.extend(self._appended())  # what came before
                self.others.extend(single(effect, self.dialect))
            case _:
                self.others.extend(single(effect, self.dialect))

    # ---- writing; most commits are of few kinds, so each kind is looked for before it is written
    def statements(self, counted: Collection[Ino]) -> list[Statement]:
        """Return everything in order."""
        made: list[Statement] = []
        if self.dropped_edges or self.dropped_nodes or self.dropped_xattrs or self.dropped_usage:
            made.extend(self._removals())
        if self.nodes:
            made.extend(_insert("jfs_node", NODE_COLUMNS, self.nodes))
        if self.changes:
            made.extend(self._changes())
        if self.edges:
            made.extend(_insert("jfs_edge", "parent, name, inode, type", self.edges))
        if self.symlinks:
            made.extend(_insert("jfs_symlink", "inode, target", self.symlinks))
        if self.refs:
            made.extend(self._refs())
        made.extend(self.others)
        if self.chunks:
            made.extend(self._appended())
        if self.usage or self.used:
            made.extend(self._usage(counted))
        if self.quotas:
            made.extend(self._quotas())
        if self.counters:
            made.extend(self._counters())
        made.extend(self.last)
        return made

    def _removals(self) -> Iterator[Statement]:
        for places in _parts(sorted(self.dropped_edges)):
            text = " OR ".join(["(parent = ? AND name = ?)"] * len(places))
            values = tuple(value for place in places for value in place)
            yield f"DELETE FROM jfs_edge WHERE {text}", values
        if self.dropped_nodes:
            yield from _delete("jfs_node", self.dropped_nodes)
            yield from _delete("jfs_symlink", self.dropped_nodes)
        if self.dropped_nodes or self.dropped_xattrs:
            yield from _delete("jfs_xattr", [*self.dropped_nodes, *self.dropped_xattrs])
        if self.dropped_usage:
            yield from _delete("jfs_dir_stats", self.dropped_usage)
            yield from _delete("jfs_dir_quota", self.dropped_usage)

    def _changes(self) -> Iterator[Statement]:
        for ino, changes in sorted(self.changes.items()):
            for change in changes if len(changes) == 1 else fused(changes):
                statement = change_statement(ino, change, self.dialect)
                if statement is not None:
                    yield statement

    def _refs(self) -> Iterator[Statement]:
        """Slices in order of id; those made known stand together up to one that is.

        What one commit adds to a slice is one sum, as several records may name a new slice.
        """
        new: list[Row] = []
        for slice_id, (by, size, is_new) in sorted(self.refs.items()):
            if is_new:
                new.append((slice_id, size, by))
                continue
            yield from _know_slices(new)
            new.clear()
            yield "UPDATE jfs_chunk_ref SET refs = refs + ? WHERE chunkid = ?", (by, slice_id)
        yield from _know_slices(new)

    def _appended(self) -> list[Statement]:
        """Return what appends records to chunks, and forget them."""
        rows = [(*place, records) for place, records in self.chunks.items()]
        self.chunks.clear()
        return list(_insert("jfs_chunk", "inode, indx, slices", rows, _APPENDING))

    def _usage(self, counted: Collection[Ino]) -> Iterator[Statement]:
        yield from _insert(
            "jfs_dir_stats",
            "inode, data_length, used_space, used_inodes",
            self.usage,
            " ON CONFLICT (inode) DO UPDATE SET data_length = excluded.data_length,"
            " used_space = excluded.used_space, used_inodes = excluded.used_inodes",
        )
        for ino, by in sorted(self.used.items()):
            if ino not in counted:
                yield _LOCK_DIRECTORY, (ino,)
            yield USE_DIRECTORY, (*by, ino)
            if ino not in counted:
                yield compute_usage(ino)

    def _quotas(self) -> Iterator[Statement]:
        for (kind, key, create), use in sorted(self.quotas.items()):
            if kind is QuotaKind.DIRECTORY:
                assert not create, "only users and groups are counted without a quota"
                yield _USE_DIR_QUOTA, (*use, key)
            elif create:
                yield _CREATE_OWNER_QUOTA, (int(kind), key, *use)
            else:
                yield _USE_OWNER_QUOTA, (*use, int(kind), key)

    def _counters(self) -> Iterator[Statement]:
        rows = sorted((name, by) for name, by in self.counters.items() if by)
        return _insert(
            "jfs_counter",
            "name, value",
            rows,
            " ON CONFLICT (name) DO UPDATE SET value = jfs_counter.value + excluded.value",
        )


def compute_usage(ino: Ino) -> Statement:
    """Return what computes a directory's statistics from its entries, if it has none."""
    return _COMPUTE_USAGE, (ino,)


def _insert(
    table: str, columns: str, rows: Sequence[Row], otherwise: str = ""
) -> Iterator[Statement]:
    for some in _parts(rows):
        text = _insert_text(table, columns, len(some), otherwise)
        yield text, some[0] if len(some) == 1 else tuple(itertools.chain.from_iterable(some))


@functools.lru_cache(maxsize=1024)
def _insert_text(table: str, columns: str, count: int, otherwise: str) -> str:
    marks = f"({', '.join('?' * (columns.count(',') + 1))})"
    return f"INSERT INTO {table} ({columns}) VALUES {', '.join([marks] * count)}{otherwise}"


def _know_slices(rows: Sequence[Row]) -> Iterator[Statement]:
    return _insert("jfs_chunk_ref", "chunkid, size, refs", rows, _KNOWING)


def _delete(table: str, inos: Collection[Ino]) -> Iterator[Statement]:
    for some in _parts(sorted(set(inos))):
        yield f"DELETE FROM {table} WHERE inode IN ({', '.join('?' * len(some))})", (*some,)


def _parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    if 0 < len(items) <= ROWS_AT_ONCE:
        return iter((items,))
    return (items[start : start + ROWS_AT_ONCE] for start in range(0, len(items), ROWS_AT_ONCE))
