"""Reading JuiceFS's tables in SQLite.

The connection's text_factory is bytes: slices that JuiceFS appended to are stored as TEXT with
embedded zeros, and names are never text here.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from roost.volume.codec import decode_delayed, decode_kind, decode_slices, join_micros
from roost.volume.meta.reads import Wanted
from roost.volume.model import (
    Attr,
    ChunkNo,
    ChunkSlices,
    DelayedSlices,
    DeletedFile,
    DirUsage,
    Edge,
    Ino,
    Quota,
    QuotaKind,
    Session,
    SessionId,
    Slice,
    SliceId,
    SliceRef,
)

ROWS_AT_ONCE = 1000
_NODE = (
    "SELECT inode, type, flags, mode, uid, gid, atime, mtime, ctime, atimensec, mtimensec,"
    " ctimensec, nlink, length, rdev, parent, access_acl_id, default_acl_id, tier_id FROM jfs_node"
)
Row = tuple[Any, ...]
T = TypeVar("T")


def attr_of(row: Row) -> Attr:
    """Return the attributes in a row of jfs_node.  Raises CorruptRecord for an unknown kind."""
    (
        ino, kind, flags, mode, uid, gid, atime, mtime, ctime, atime_rest, mtime_rest, ctime_rest,
        nlink, length, rdev, parent, access_acl, default_acl, tier,
    ) = row  # fmt: skip
    return Attr(
        kind=decode_kind(kind, f"inode {ino}"),
        mode=mode,
        uid=uid,
        gid=gid,
        atime_ns=join_micros(atime, atime_rest),
        mtime_ns=join_micros(mtime, mtime_rest),
        ctime_ns=join_micros(ctime, ctime_rest),
        nlink=nlink,
        length=length,
        rdev=rdev or 0,
        parent=Ino(parent or 0),
        flags=flags,
        access_acl=access_acl or 0,
        default_acl=default_acl or 0,
        tier=tier or 0,
    )


class SqliteReads:
    """Satisfies meta.reads.Reads over one connection; remembers nodes until `forget`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._nodes: dict[Ino, Attr | None] = {}

    def forget(self) -> None:
        """Drop remembered nodes: a new transaction begins."""
        self._nodes.clear()

    def remember(self, ino: Ino, attr: Attr | None) -> None:
        """Note what this transaction made of a node."""
        self._nodes[ino] = attr

    def one(self, statement: str, *values: int | str | bytes) -> Row | None:
        """Return the first row of a query."""
        row: Row | None = self._connection.execute(statement, values).fetchone()
        return row

    def all(self, statement: str, *values: int | str | bytes) -> list[Row]:
        """Return all rows of a query."""
        return self._connection.execute(statement, values).fetchall()

    # ---- Reads
    def load(self, wanted: Sequence[Wanted]) -> None:
        """Nothing to fetch: a read costs no round trip."""

    def node(self, ino: Ino) -> Attr | None:
        """As in Reads."""
        if ino in self._nodes:
            return self._nodes[ino]
        row = self.one(_NODE + " WHERE inode = ?", ino)
        attr = None if row is None else attr_of(row)
        self._nodes[ino] = attr
        return attr

    def edge(self, parent: Ino, name: bytes) -> Edge | None:
        """As in Reads."""
        row = self.one(
            "SELECT type, inode FROM jfs_edge WHERE parent = ? AND name = ?", parent, name
        )
        if row is None:
            return None
        return Edge(decode_kind(row[0], f"entry of directory {parent}"), Ino(row[1]))

    def has_entries(self, ino: Ino) -> bool:
        """As in Reads."""
        return self.one("SELECT 1 FROM jfs_edge WHERE parent = ? LIMIT 1", ino) is not None

    def entries(self, ino: Ino, after: bytes | None, limit: int) -> tuple[tuple[bytes, Edge], ...]:
        """As in Reads."""
        rows = self.all(
            "SELECT name, type, inode FROM jfs_edge WHERE parent = ? AND name > ?"
            " ORDER BY name LIMIT ?",
            ino,
            b"" if after is None else after,
            limit,
        )
        where = f"entry of directory {ino}"
        return tuple((row[0], Edge(decode_kind(row[1], where), Ino(row[2]))) for row in rows)

    def parents(self, ino: Ino) -> dict[Ino, int]:
        """As in Reads."""
        rows = self.all(
            "SELECT parent, COUNT(*) FROM jfs_edge WHERE inode = ? GROUP BY parent", ino
        )
        return {Ino(parent): count for parent, count in rows}

    def symlink(self, ino: Ino) -> bytes | None:
        """As in Reads."""
        return self._value("SELECT target FROM jfs_symlink WHERE inode = ?", ino)

    def xattr(self, ino: Ino, name: bytes) -> bytes | None:
        """As in Reads."""
        return self._value(
            "SELECT value FROM jfs_xattr WHERE inode = ? AND name = CAST(? AS TEXT)", ino, name
        )

    def _value(self, statement: str, *values: int | bytes) -> bytes | None:
        row = self.one(statement, *values)
        return None if row is None else bytes(row[0])

    def xattr_names(self, ino: Ino) -> tuple[bytes, ...]:
        """As in Reads."""
        rows = self.all("SELECT name FROM jfs_xattr WHERE inode = ?", ino)
        return tuple(sorted(bytes(row[0]) for row in rows))

    def slices(self, ino: Ino, chunk_no: ChunkNo) -> tuple[Slice, ...]:
        """As in Reads."""
        raw = self._value(
            "SELECT slices FROM jfs_chunk WHERE inode = ? AND indx = ?", ino, chunk_no
        )
        return () if raw is None else decode_slices(raw, f"chunk {chunk_no} of inode {ino}")

    def chunk_numbers(self, ino: Ino) -> tuple[ChunkNo, ...]:
        """As in Reads."""
        rows = self.all("SELECT indx FROM jfs_chunk WHERE inode = ? ORDER BY indx", ino)
        return tuple(ChunkNo(row[0]) for row in rows)

    def slice_refs(self, slice_id: SliceId, size: int) -> int | None:
        """As in Reads."""
        row = self.one("SELECT refs FROM jfs_chunk_ref WHERE chunkid = ?", slice_id)
        return None if row is None else int(row[0])

    def counter(self, name: str) -> int | None:
        """As in Reads."""
        row = self.one("SELECT value FROM jfs_counter WHERE name = ?", name)
        return None if row is None else int(row[0])

    def setting(self) -> str | None:
        """As in Reads."""
        raw = self._value("SELECT value FROM jfs_setting WHERE name = 'format'")
        return None if raw is None else raw.decode()

    def session(self, sid: SessionId) -> Session | None:
        """As in Reads."""
        row = self.one("SELECT sid, expire, info FROM jfs_session2 WHERE sid = ?", sid)
        return None if row is None else _session(row)

    def sustained(self, sid: SessionId) -> tuple[Ino, ...]:
        """As in Reads."""
        rows = self.all("SELECT inode FROM jfs_sustained WHERE sid = ? ORDER BY inode", sid)
        return tuple(Ino(row[0]) for row in rows)

    def deleted_file(self, ino: Ino) -> DeletedFile | None:
        """As in Reads."""
        row = self.one("SELECT inode, length, expire FROM jfs_delfile WHERE inode = ?", ino)
        return None if row is None else _deleted(row)

    def delayed(self, chunk_id: SliceId) -> DelayedSlices | None:
        """As in Reads."""
        row = self.one(
            "SELECT chunkid, deleted, slices FROM jfs_delslices WHERE chunkid = ?", chunk_id
        )
        return None if row is None else _delayed(row)


class SqliteScans:
    """Satisfies meta.reads.Scans over one connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._reads = SqliteReads(connection)
        self._rows = self._reads.all

    def counter(self, name: str) -> int | None:
        """As in Scans."""
        return self._reads.counter(name)

    def sessions(self) -> tuple[Session, ...]:
        """As in Scans."""
        return tuple(
            map(_session, self._rows("SELECT sid, expire, info FROM jfs_session2 ORDER BY sid"))
        )

    def all_sustained(self) -> tuple[tuple[SessionId, Ino], ...]:
        """As in Scans."""
        rows = self._rows("SELECT sid, inode FROM jfs_sustained ORDER BY sid, inode")
        return tuple((SessionId(sid), Ino(ino)) for sid, ino in rows)

    def deleted_files(self, before_s: int, limit: int) -> tuple[DeletedFile, ...]:
        """As in Scans."""
        rows = self._rows(
            "SELECT inode, length, expire FROM jfs_delfile WHERE expire < ?"
            " ORDER BY expire, inode LIMIT ?",
            before_s,
            limit,
        )
        return tuple(map(_deleted, rows))

    def unreferenced_slices(self, limit: int) -> tuple[SliceRef, ...]:
        """As in Scans."""
        rows = self._rows(
            "SELECT chunkid, size, refs FROM jfs_chunk_ref WHERE refs <= 0"
            " ORDER BY chunkid LIMIT ?",
            limit,
        )
        return tuple(map(_ref, rows))

    def delayed_slices(self, before_s: int) -> tuple[DelayedSlices, ...]:
        """As in Scans."""
        rows = self._rows(
            "SELECT chunkid, deleted, slices FROM jfs_delslices WHERE deleted < ? ORDER BY chunkid",
            before_s,
        )
        return tuple(map(_delayed, rows))

    def all_nodes(self) -> Iterator[tuple[Ino, Attr]]:
        """As in Scans."""
        return self._paged(
            _NODE + " WHERE inode > ? ORDER BY inode LIMIT ?",
            (-1,),
            lambda row: row[:1],
            lambda row: (Ino(row[0]), attr_of(row)),
        )

    def all_edges(self) -> Iterator[tuple[Ino, bytes, Edge]]:
        """As in Scans."""
        return self._paged(
            "SELECT parent, name, type, inode FROM jfs_edge WHERE (parent, name) > (?, ?)"
            " ORDER BY parent, name LIMIT ?",
            (-1, b""),
            lambda row: row[:2],
            lambda row: (Ino(row[0]), row[1], Edge(decode_kind(row[2], "entry"), Ino(row[3]))),
        )

    def all_chunks(self) -> Iterator[ChunkSlices]:
        """As in Scans."""
        return self._paged(
            "SELECT inode, indx, slices FROM jfs_chunk WHERE (inode, indx) > (?, ?)"
            " ORDER BY inode, indx LIMIT ?",
            (-1, -1),
            lambda row: row[:2],
            _chunk,
        )

    def all_slice_refs(self) -> Iterator[SliceRef]:
        """As in Scans."""
        return self._paged(
            "SELECT chunkid, size, refs FROM jfs_chunk_ref WHERE chunkid > ?"
            " ORDER BY chunkid LIMIT ?",
            (-1,),
            lambda row: row[:1],
            _ref,
        )

    def all_dir_usage(self) -> Iterator[tuple[Ino, DirUsage]]:
        """As in Scans."""
        return self._paged(
            "SELECT inode, data_length, used_space, used_inodes FROM jfs_dir_stats WHERE inode > ?"
            " ORDER BY inode LIMIT ?",
            (-1,),
            lambda row: row[:1],
            lambda row: (Ino(row[0]), DirUsage(*row[1:])),
        )

    def quotas(self) -> tuple[tuple[QuotaKind, int, Quota], ...]:
        """As in Scans."""
        rows = self._rows(
            "SELECT 0, inode, max_space, max_inodes, used_space, used_inodes FROM jfs_dir_quota"
            " UNION ALL SELECT qtype, qkey, max_space, max_inodes, used_space, used_inodes"
            " FROM jfs_user_group_quota ORDER BY 1, 2"
        )
        return tuple((QuotaKind(row[0]), int(row[1]), Quota(*row[2:])) for row in rows)

    def _paged(
        self, statement: str, start: Row, key: Callable[[Row], Row], made: Callable[[Row], T]
    ) -> Iterator[T]:
        after = start
        while rows := self._rows(statement, *after, ROWS_AT_ONCE):
            yield from map(made, rows)
            after = key(rows[-1])


def _session(row: Row) -> Session:
    return Session(SessionId(row[0]), row[1], bytes(row[2] or b""))


def _deleted(row: Row) -> DeletedFile:
    return DeletedFile(Ino(row[0]), row[1], row[2])


def _delayed(row: Row) -> DelayedSlices:
    slices = decode_delayed(bytes(row[2]), f"slices replaced by {row[0]}")
    return DelayedSlices(SliceId(row[0]), row[1], slices)


def _ref(row: Row) -> SliceRef:
    return SliceRef(SliceId(row[0]), row[1], row[2])


def _chunk(row: Row) -> ChunkSlices:
    slices = decode_slices(bytes(row[2]), f"chunk {row[1]} of inode {row[0]}")
    return ChunkSlices(Ino(row[0]), ChunkNo(row[1]), slices)
