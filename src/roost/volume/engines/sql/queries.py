"""The question behind each method of Reads, as a statement and how its rows become the answer.

A query is known by `key`, which is what record caches go by.  `locks` says that its statement may
end in FOR UPDATE: it reads rows of one table.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from roost.volume.codec import decode_slices
from roost.volume.engines.sql import rows as codec
from roost.volume.engines.sql.dialect import Statement, Value
from roost.volume.engines.sql.rows import Row
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
Key = tuple[object, ...]

NODE_COLUMNS = (
    "inode, type, flags, mode, uid, gid, atime, mtime, ctime, atimensec, mtimensec, ctimensec,"
    " nlink, length, rdev, parent, access_acl_id, default_acl_id, tier_id"
)
QUOTA_COLUMNS = "max_space, max_inodes, used_space, used_inodes"
ACL_COLUMNS = 'owner, "group", mask, other, named_users, named_groups'
ACL_COUNTER = "aclMaxId"  # SQL keeps it as the highest number in the table


@dataclass(frozen=True, slots=True)
class Query(Generic[T]):
    """One question and the way to its answer."""

    key: Key
    text: str
    values: tuple[Value, ...]
    made: Callable[[list[Row]], T]
    locks: bool = True

    @property
    def statement(self) -> Statement:
        """The text and its values."""
        return self.text, self.values


def _first(made: Callable[[Row], T]) -> Callable[[list[Row]], T | None]:
    return lambda found: made(found[0]) if found else None


def _tuple(made: Callable[[Row], T]) -> Callable[[list[Row]], tuple[T, ...]]:
    return lambda found: tuple(map(made, found))


NODE_BY_INO = f"SELECT {NODE_COLUMNS} FROM jfs_node WHERE inode = ?"
EDGE_BY_NAME = "SELECT type, inode FROM jfs_edge WHERE parent = ? AND name = ?"
_attr_of_first = _first(codec.attr_of)


def node(ino: Ino) -> Query[Attr | None]:
    """As Reads.node."""
    return Query(("node", ino), NODE_BY_INO, (ino,), _attr_of_first)


def edge(parent: Ino, name: bytes) -> Query[Edge | None]:
    """As Reads.edge."""

    def made(found: list[Row]) -> Edge | None:
        return codec.edge_of(found[0][0], found[0][1], parent) if found else None

    return Query(("edge", parent, name), EDGE_BY_NAME, (parent, name), made)


def has_entries(ino: Ino) -> Query[bool]:
    """As Reads.has_entries."""
    text = "SELECT 1 FROM jfs_edge WHERE parent = ? LIMIT 1"
    return Query(("has_entries", ino), text, (ino,), bool)


def entries(ino: Ino, after: bytes | None, limit: int) -> Query[tuple[tuple[bytes, Edge], ...]]:
    """As Reads.entries."""
    text = (
        "SELECT name, type, inode FROM jfs_edge WHERE parent = ? AND name > ? ORDER BY name LIMIT ?"
    )
    start = b"" if after is None else after
    made = _tuple(lambda row: codec.entry_of(row, ino))
    return Query(("entries", ino, after, limit), text, (ino, start, limit), made, locks=False)


def parents(ino: Ino) -> Query[dict[Ino, int]]:
    """As Reads.parents."""
    text = "SELECT parent, COUNT(*) FROM jfs_edge WHERE inode = ? GROUP BY parent"
    return Query(
        ("parents", ino),
        text,
        (ino,),
        lambda found: {Ino(parent): count for parent, count in found},
        locks=False,
    )


def symlink(ino: Ino) -> Query[bytes | None]:
    """As Reads.symlink."""
    text = "SELECT target FROM jfs_symlink WHERE inode = ?"
    return Query(("symlink", ino), text, (ino,), _first(lambda row: bytes(row[0])))


def xattr(ino: Ino, name: bytes) -> Query[bytes | None]:
    """As Reads.xattr."""
    text = "SELECT value FROM jfs_xattr WHERE inode = ? AND EXACT(name) = ?"
    return Query(("xattr", ino, name), text, (ino, name), _first(lambda row: bytes(row[0])))


def xattr_names(ino: Ino) -> Query[tuple[bytes, ...]]:
    """As Reads.xattr_names."""
    text = "SELECT EXACT(name) FROM jfs_xattr WHERE inode = ?"
    return Query(
        ("xattr_names", ino),
        text,
        (ino,),
        lambda found: tuple(sorted(bytes(row[0]) for row in found)),
    )


def slices(ino: Ino, chunk_no: ChunkNo) -> Query[tuple[Slice, ...]]:
    """As Reads.slices."""

    def made(found: list[Row]) -> tuple[Slice, ...]:
        where = f"chunk {chunk_no} of inode {ino}"
        return decode_slices(codec.blob(found[0][0]), where) if found else ()

    text = "SELECT slices FROM jfs_chunk WHERE inode = ? AND indx = ?"
    return Query(("slices", ino, chunk_no), text, (ino, chunk_no), made)


def chunk_numbers(ino: Ino) -> Query[tuple[ChunkNo, ...]]:
    """As Reads.chunk_numbers."""
    text = "SELECT indx FROM jfs_chunk WHERE inode = ? ORDER BY indx"
    return Query(("chunk_numbers", ino), text, (ino,), _tuple(lambda row: ChunkNo(row[0])))


def slice_refs(slice_id: SliceId) -> Query[int | None]:
    """As Reads.slice_refs."""
    text = "SELECT refs FROM jfs_chunk_ref WHERE chunkid = ?"
    return Query(("slice_refs", slice_id), text, (slice_id,), _first(lambda row: int(row[0])))


def counter(name: str) -> Query[int | None]:
    """As Reads.counter; `aclMaxId` is the highest number of a rule."""
    if name == ACL_COUNTER:
        text = "SELECT id FROM jfs_acl ORDER BY id DESC LIMIT 1"
        return Query(("counter", name), text, (), _first(lambda row: int(row[0])))
    text = "SELECT value FROM jfs_counter WHERE name = ?"
    return Query(("counter", name), text, (name,), _first(lambda row: int(row[0])))


def setting() -> Query[str | None]:
    """As Reads.setting."""

    def made(found: list[Row]) -> str | None:
        if not found:
            return None
        value: str | bytes = found[0][0]
        return value if isinstance(value, str) else value.decode()

    text = "SELECT value FROM jfs_setting WHERE name = 'format'"
    return Query(("setting", 0), text, (), made)


def session(sid: SessionId) -> Query[Session | None]:
    """As Reads.session."""
    text = "SELECT sid, expire, info FROM jfs_session2 WHERE sid = ?"
    return Query(("session", sid), text, (sid,), _first(codec.session_of))


def sustained(sid: SessionId) -> Query[tuple[Ino, ...]]:
    """As Reads.sustained."""
    text = "SELECT inode FROM jfs_sustained WHERE sid = ? ORDER BY inode"
    return Query(("sustained", sid), text, (sid,), _tuple(lambda row: Ino(row[0])))


def locked(sid: SessionId) -> Query[tuple[Ino, ...]]:
    """As Reads.locked."""
    tables = ("jfs_flock", "jfs_plock")
    text = " UNION ".join(f"SELECT inode FROM {table} WHERE sid = ?" for table in tables)
    made = _tuple(lambda row: Ino(row[0]))
    return Query(("locked", sid), f"{text} ORDER BY inode", (sid, sid), made, locks=False)


def deleted_file(ino: Ino) -> Query[DeletedFile | None]:
    """As Reads.deleted_file."""
    text = "SELECT inode, length, expire FROM jfs_delfile WHERE inode = ?"
    return Query(("deleted_file", ino), text, (ino,), _first(codec.deleted_of))


def delayed(chunk_id: SliceId) -> Query[DelayedSlices | None]:
    """As Reads.delayed."""
    text = "SELECT chunkid, deleted, slices FROM jfs_delslices WHERE chunkid = ?"
    return Query(("delayed", chunk_id), text, (chunk_id,), _first(codec.delayed_of))


def acl(acl_id: int) -> Query[AclRule | None]:
    """As Reads.acl."""
    text = f"SELECT {ACL_COLUMNS} FROM jfs_acl WHERE id = ?"
    return Query(("acl", acl_id), text, (acl_id,), _first(codec.acl_of))


def acl_id(rule: AclRule) -> Query[int | None]:
    """As Reads.acl_id."""
    text = (
        'SELECT id FROM jfs_acl WHERE owner = ? AND "group" = ? AND mask = ? AND other = ?'
        " AND COALESCE(named_users, ?) = ? AND COALESCE(named_groups, ?) = ? ORDER BY id LIMIT 1"
    )
    columns = codec.acl_columns(rule)
    values = (*columns[:4], b"", columns[4], b"", columns[5])
    return Query(("acl_id", rule), text, values, _first(lambda row: int(row[0])), locks=False)


def dir_usage(ino: Ino) -> Query[DirUsage | None]:
    """As Reads.dir_usage."""
    text = "SELECT data_length, used_space, used_inodes FROM jfs_dir_stats WHERE inode = ?"
    return Query(("dir_usage", ino), text, (ino,), _first(codec.usage_of))


def quota(kind: QuotaKind, key: int) -> Query[Quota | None]:
    """As Reads.quota."""
    if kind is QuotaKind.DIRECTORY:
        text = f"SELECT {QUOTA_COLUMNS} FROM jfs_dir_quota WHERE inode = ?"
        return Query(("quota", kind, key), text, (key,), _first(codec.quota_of))
    text = f"SELECT {QUOTA_COLUMNS} FROM jfs_user_group_quota WHERE qtype = ? AND qkey = ?"
    return Query(("quota", kind, key), text, (int(kind), key), _first(codec.quota_of))


def flocks(ino: Ino) -> Query[tuple[tuple[LockHolder, LockKind], ...]]:
    """As Reads.flocks."""
    return Query(
        ("flocks", ino),
        "SELECT sid, owner, ltype FROM jfs_flock WHERE inode = ?",
        (ino,),
        lambda found: tuple(sorted(codec.flock_of(row, ino) for row in found)),
    )


def range_locks(ino: Ino) -> Query[tuple[tuple[LockHolder, tuple[RangeLock, ...]], ...]]:
    """As Reads.range_locks."""
    return Query(
        ("range_locks", ino),
        "SELECT sid, owner, records FROM jfs_plock WHERE inode = ?",
        (ino,),
        lambda found: tuple(
            sorted((codec.ranges_of(row, ino) for row in found), key=lambda held: held[0])
        ),
    )


def detached(ino: Ino) -> Query[DetachedNode | None]:
    """As Reads.detached."""
    text = "SELECT inode, added FROM jfs_detached_node WHERE inode = ?"
    return Query(("detached", ino), text, (ino,), _first(codec.detached_of))
