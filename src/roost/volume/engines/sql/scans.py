"""Listings of whole tables, paged by key, so that memory stays constant.

A table with a key of two columns is paged by two statements, one for the rest of the first column's
value and one for what is above it: `(a, b) > (x, y)` makes MySQL read from the table's beginning
each time.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Protocol, TypeVar

from roost.volume.engines.sql import queries
from roost.volume.engines.sql import rows as codec
from roost.volume.engines.sql.dialect import Value
from roost.volume.engines.sql.queries import ACL_COLUMNS, NODE_COLUMNS, QUOTA_COLUMNS
from roost.volume.engines.sql.rows import Row
from roost.volume.meta.damage import Leniency, OnDamage
from roost.volume.model import (
    AclRule,
    Attr,
    ChunkSlices,
    DelayedSlices,
    DeletedFile,
    DetachedNode,
    DirUsage,
    Edge,
    Ino,
    Quota,
    QuotaKind,
    Session,
    SessionId,
    SliceRef,
)

ROWS_AT_ONCE = 2000
KEYS_AT_ONCE = 500
_NODE_NUMBERS = (
    "flags, mode, uid, gid, atime, mtime, ctime, atimensec, mtimensec, ctimensec, nlink, length;"
    " rdev, parent, access_acl_id, default_acl_id, tier_id"
)
T = TypeVar("T")


class RowSource(Protocol):
    """A connection in one snapshot."""

    def __call__(self, text: str, *values: Value) -> list[Row]:
        """Return the rows of a statement with `?` for values."""
        ...


class SqlScans:
    """Satisfies meta.reads.Scans."""

    def __init__(self, source: RowSource) -> None:
        self._rows = source
        self._damage = Leniency()

    def tell_damage(self, told: OnDamage) -> None:
        """As in TellsDamage."""
        self._damage.told = told

    @property
    def is_snapshot(self) -> bool:
        """As in Scans."""
        return True

    @property
    def is_for_threads(self) -> bool:
        """As in Scans."""
        return False

    def counter(self, name: str) -> int | None:
        """As in Scans."""
        query = queries.counter(name)
        return query.made(self._rows(query.text, *query.values))

    # ---- small tables
    def sessions(self) -> tuple[Session, ...]:
        """As in Scans."""
        rows = self._rows("SELECT sid, expire, info FROM jfs_session2 ORDER BY sid")
        return tuple(map(codec.session_of, rows))

    def all_sustained(self) -> tuple[tuple[SessionId, Ino], ...]:
        """As in Scans."""
        rows = self._rows("SELECT sid, inode FROM jfs_sustained ORDER BY sid, inode")
        return tuple((SessionId(sid), Ino(ino)) for sid, ino in rows)

    def deleted_files(self, before_s: int, limit: int) -> tuple[DeletedFile, ...]:
        """As in Scans."""
        text = (
            "SELECT inode, length, expire FROM jfs_delfile WHERE expire < ?"
            " ORDER BY expire, inode LIMIT ?"
        )
        return tuple(map(codec.deleted_of, self._rows(text, before_s, limit)))

    def unreferenced_slices(self, limit: int) -> tuple[SliceRef, ...]:
        """As in Scans."""
        text = (
            "SELECT chunkid, size, refs FROM jfs_chunk_ref WHERE refs <= 0 ORDER BY chunkid LIMIT ?"
        )
        return tuple(map(codec.ref_of, self._rows(text, limit)))

    def delayed_slices(self, before_s: int) -> tuple[DelayedSlices, ...]:
        """As in Scans."""
        text = (
            "SELECT chunkid, deleted, slices FROM jfs_delslices WHERE deleted < ? ORDER BY chunkid"
        )
        return tuple(map(codec.delayed_of, self._rows(text, before_s)))

    def quotas(self) -> tuple[tuple[QuotaKind, int, Quota], ...]:
        """As in Scans."""
        rows = self._rows(
            f"SELECT 0 AS kind, inode AS what, {QUOTA_COLUMNS} FROM jfs_dir_quota UNION ALL"
            f" SELECT qtype, qkey, {QUOTA_COLUMNS} FROM jfs_user_group_quota ORDER BY 1, 2"
        )
        return tuple(map(codec.keyed_quota_of, rows))

    def detached_nodes(self) -> tuple[DetachedNode, ...]:
        """As in Scans."""
        rows = self._rows("SELECT inode, added FROM jfs_detached_node ORDER BY inode")
        return tuple(map(codec.detached_of, rows))

    # ---- whole tables
    def all_nodes(self) -> Iterator[tuple[Ino, Attr]]:
        """As in Scans."""
        made = lambda row: (Ino(row[0]), codec.attr_of(row))  # noqa: E731
        return self._paged(f"SELECT {NODE_COLUMNS} FROM jfs_node", "inode", made)

    def all_edges(self) -> Iterator[tuple[Ino, bytes, Edge]]:
        """As in Scans."""
        return self._paged_by_two(
            "SELECT parent, name, type, inode FROM jfs_edge",
            ("parent", "name"),
            lambda row: (Ino(row[0]), *codec.entry_of(row[1:], Ino(row[0]))),
        )

    def all_chunks(self) -> Iterator[ChunkSlices]:
        """As in Scans."""
        text = "SELECT inode, indx, slices FROM jfs_chunk"
        return self._paged_by_two(text, ("inode", "indx"), codec.chunk_of)

    def all_slice_refs(self) -> Iterator[SliceRef]:
        """As in Scans."""
        text = "SELECT chunkid, size, refs FROM jfs_chunk_ref"
        return self._paged(text, "chunkid", codec.ref_of, _nothing)

    def all_dir_usage(self) -> Iterator[tuple[Ino, DirUsage]]:
        """As in Scans."""
        text = "SELECT inode, data_length, used_space, used_inodes FROM jfs_dir_stats"
        return self._paged(text, "inode", lambda row: (Ino(row[0]), codec.usage_of(row[1:])))

    def all_symlinks(self) -> Iterator[tuple[Ino, bytes]]:
        """As in Scans."""
        text = "SELECT inode, target FROM jfs_symlink"
        return self._paged(text, "inode", lambda row: (Ino(row[0]), bytes(row[1])))

    def all_xattrs(self) -> Iterator[tuple[Ino, bytes, bytes]]:
        """As in Scans."""
        # By inode alone: the order of names is the collation's, and a node has few.
        inos = self._paged("SELECT DISTINCT inode FROM jfs_xattr", "inode", lambda row: Ino(row[0]))
        for some in _groups(inos):
            for ino, pairs in self.xattrs_of(some).items():
                for name, value in pairs:
                    yield ino, name, value

    def all_acls(self) -> Iterator[tuple[int, AclRule]]:
        """As in Scans."""
        text = f"SELECT id, {ACL_COLUMNS} FROM jfs_acl"
        return self._paged(text, "id", lambda row: (int(row[0]), codec.acl_of(row[1:])), _nothing)

    def all_delayed(self) -> Iterator[DelayedSlices]:
        """As in Scans."""
        text = "SELECT chunkid, deleted, slices FROM jfs_delslices"
        return self._paged(text, "chunkid", codec.delayed_of, _nothing)

    def all_deleted_files(self) -> Iterator[DeletedFile]:
        """As in Scans."""
        text = "SELECT inode, length, expire FROM jfs_delfile"
        return self._paged(text, "inode", codec.deleted_of)

    # ---- few columns of whole tables, as in RowScans
    def node_rows(self) -> Iterator[list[Row]]:
        """As in RowScans."""
        text = (
            f"SELECT inode, COALESCE(parent, 0), length, nlink, NUMBERS({_NODE_NUMBERS}: type)"
            " FROM jfs_node"
        )
        return self._row_pages(text, "inode")

    def edge_rows(self) -> Iterator[list[Row]]:
        """As in RowScans."""
        text = "SELECT id, inode, parent, NUMBERS(inode, parent: type) FROM jfs_edge"
        return self._row_pages(text, "id")

    def chunk_rows(self) -> Iterator[list[Row]]:
        """As in RowScans."""
        return self._row_pages(
            "SELECT id, inode, indx, NUMBERS(inode, indx: slices) FROM jfs_chunk", "id"
        )

    def count_rows(self) -> Iterator[list[Row]]:
        """As in RowScans."""
        return self._row_pages(
            "SELECT chunkid, size, NUMBERS(size, refs: refs) FROM jfs_chunk_ref", "chunkid"
        )

    # ---- many records at once
    def nodes_of(self, inos: Sequence[Ino]) -> list[Attr | None]:
        """As in Scans."""
        text = f"SELECT {NODE_COLUMNS} FROM jfs_node WHERE inode IN"
        found = {row[0]: codec.attr_of(row) for row in self._among(text, inos)}
        return [found.get(ino) for ino in inos]

    def entries_of(self, ino: Ino) -> Iterator[tuple[bytes, Edge]]:
        """As in Scans."""
        after: bytes | None = None
        while True:
            query = queries.entries(ino, after, ROWS_AT_ONCE)
            page = self._rows(query.text, *query.values)
            yield from self._entries(ino, page)
            if len(page) < ROWS_AT_ONCE:
                return
            after = bytes(page[-1][0])

    def _entries(self, ino: Ino, page: list[Row]) -> list[tuple[bytes, Edge]]:
        return self._damage.each(page, lambda row: codec.entry_of(row, ino), lambda _: ino)

    def slices_of(
        self, inos: Sequence[Ino], lengths: Sequence[int] | None = None
    ) -> dict[Ino, list[ChunkSlices]]:
        """As in Scans."""
        text = "SELECT inode, indx, slices FROM jfs_chunk WHERE inode IN"
        found: dict[Ino, list[ChunkSlices]] = {}
        for chunk in sorted(
            map(codec.chunk_of, self._among(text, inos)), key=lambda c: (c.ino, c.chunk_no)
        ):
            if chunk.slices:
                found.setdefault(chunk.ino, []).append(chunk)
        return found

    def xattrs_of(self, inos: Sequence[Ino]) -> dict[Ino, list[tuple[bytes, bytes]]]:
        """As in Scans."""
        text = "SELECT inode, EXACT(name), value FROM jfs_xattr WHERE inode IN"
        found: dict[Ino, list[tuple[bytes, bytes]]] = {}
        rows = [(Ino(row[0]), bytes(row[1]), bytes(row[2])) for row in self._among(text, inos)]
        for ino, name, value in sorted(rows):
            found.setdefault(ino, []).append((name, value))
        return found

    def symlinks_of(self, inos: Sequence[Ino]) -> dict[Ino, bytes]:
        """As in Scans."""
        text = "SELECT inode, target FROM jfs_symlink WHERE inode IN"
        return {Ino(row[0]): bytes(row[1]) for row in self._among(text, inos)}

    # ---- pages
    def _among(self, text: str, inos: Sequence[Ino]) -> Iterator[Row]:
        for some in _groups(dict.fromkeys(inos)):
            marks = ", ".join("?" * len(some))
            yield from self._rows(f"{text} ({marks})", *some)

    def _paged(
        self,
        text: str,
        key: str,
        made: Callable[[Row], T],
        ino_of: Callable[[Row], object] = itemgetter(0),
    ) -> Iterator[T]:
        after = -1
        statement = f"{text} WHERE {key} > ? ORDER BY {key} LIMIT ?"
        while True:
            page = self._rows(statement, after, ROWS_AT_ONCE)
            yield from self._damage.each(page, made, ino_of)
            if len(page) < ROWS_AT_ONCE:
                return
            after = page[-1][0]

    def _row_pages(self, text: str, key: str) -> Iterator[list[Row]]:
        """Yield pages of rows, which begin with `key`."""
        after = -1
        statement = f"{text} WHERE {key} > ? ORDER BY {key} LIMIT ?"
        while page := self._rows(statement, after, ROWS_AT_ONCE):
            yield page
            after = page[-1][0]

    def _paged_by_two(
        self, text: str, keys: tuple[str, str], made: Callable[[Row], T]
    ) -> Iterator[T]:
        first, second = keys
        order = f"ORDER BY {first}, {second} LIMIT ?"
        above = f"{text} WHERE {first} > ? {order}"
        rest = f"{text} WHERE {first} = ? AND {second} > ? {order}"
        page = self._rows(above, -1, ROWS_AT_ONCE)
        while page:
            yield from self._damage.each(page, made, itemgetter(0))
            if len(page) == ROWS_AT_ONCE:
                last = page[-1]
                page = self._rows(rest, last[0], last[1], ROWS_AT_ONCE)
                if len(page) < ROWS_AT_ONCE:
                    yield from self._damage.each(page, made, itemgetter(0))
                    page = self._rows(above, last[0], ROWS_AT_ONCE)
            else:
                return


def _nothing(_row: Row) -> int:
    """Return no inode, for tables of other things."""
    return 0


def _groups(inos: Iterable[Ino]) -> Iterator[list[Ino]]:
    group: list[Ino] = []
    for ino in inos:
        group.append(ino)
        if len(group) == KEYS_AT_ONCE:
            yield group
            group = []
    if group:
        yield group
