"""Rows of JuiceFS's tables as values, and back; the same for all databases.

Source: the volume format reference, sections 2.8, 2.10 and 3.2.
"""

import os
import struct
from typing import Any

from roost.errors import CorruptRecord
from roost.volume.codec import (
    KINDS,
    decode_delayed,
    decode_kind,
    decode_slices,
    join_micros,
    split_micros,
)
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
    SliceId,
    SliceRef,
)

Row = tuple[Any, ...]
_NAMED = struct.Struct(">IH")
_RANGE = struct.Struct(">IIQQ")
_FLOCK_LETTERS = {LockKind.READ: ord("R"), LockKind.WRITE: ord("W")}
_FLOCK_KINDS = {letter: kind for kind, letter in _FLOCK_LETTERS.items()}
_U64 = 1 << 64


def unpacked(columns: Row) -> Row | None:
    """Return the numbers of PACKED columns; None if the first is NULL."""
    if len(columns) == 1 and columns[0] is not None:
        return tuple(map(int, columns[0].split()))
    return None if columns[0] is None else columns


def blob(value: object) -> bytes:
    """Return the bytes of a column.  Raises TypeError for anything else.

    `bytes` would make zeros of a number.
    """
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise TypeError(f"no bytes: {value!r:.40}")


# ---- nodes and entries
def attr_of(row: Row) -> Attr:
    """Return the attributes in a row of jfs_node.  Raises CorruptRecord for an unknown kind."""
    (
        ino, kind, flags, mode, uid, gid, atime, mtime, ctime, atime_rest, mtime_rest, ctime_rest,
        nlink, length, rdev, parent, access_acl, default_acl, tier,
    ) = row  # fmt: skip
    try:
        if flags | mode | uid | gid | nlink | length < 0:
            raise CorruptRecord(f"inode {ino}", "numbers below zero")
        times = (
            join_micros(atime, atime_rest),
            join_micros(mtime, mtime_rest),
            join_micros(ctime, ctime_rest),
        )
    except TypeError as error:  # SQLite stores what it is given
        raise CorruptRecord(f"inode {ino}", f"a value that cannot be: {error}") from error
    return Attr(
        kind=KINDS.get(kind) or decode_kind(kind, f"inode {ino}"),
        mode=mode,
        uid=uid,
        gid=gid,
        atime_ns=times[0],
        mtime_ns=times[1],
        ctime_ns=times[2],
        nlink=nlink,
        length=length,
        rdev=rdev or 0,
        parent=Ino(parent or 0),
        flags=flags,
        access_acl=access_acl or 0,
        default_acl=default_acl or 0,
        tier=tier or 0,
    )


def node_columns(attr: Attr) -> tuple[int, ...]:
    """Return the columns of jfs_node after `inode`, in order."""
    atime, atime_rest = split_micros(attr.atime_ns)
    mtime, mtime_rest = split_micros(attr.mtime_ns)
    ctime, ctime_rest = split_micros(attr.ctime_ns)
    return (
        int(attr.kind), int(attr.flags), attr.mode, attr.uid, attr.gid, atime, mtime, ctime,
        atime_rest, mtime_rest, ctime_rest, attr.nlink, attr.length, attr.rdev, attr.parent,
        attr.access_acl, attr.default_acl, attr.tier,
    )  # fmt: skip


def edge_of(kind: int, ino: int, parent: Ino) -> Edge:
    """Return what an entry points at.  Raises CorruptRecord for an unknown kind."""
    return Edge(decode_kind(kind, f"entry of directory {parent}"), Ino(ino))


def entry_of(row: Row, parent: Ino) -> tuple[bytes, Edge]:
    """Return a row (name, type, inode).  Raises CorruptRecord, with the name."""
    name, number, ino = row
    kind = KINDS.get(number)
    if kind is None or type(ino) is not int or ino < 1:
        where = f"entry {os.fsdecode(blob(name))!r} of directory {parent}"
        decode_kind(number, where)
        raise CorruptRecord(where, f"it names {ino!r:.40}")
    return name if type(name) is bytes else blob(name), Edge(kind, Ino(ino))


# ---- data
def chunk_of(row: Row) -> ChunkSlices:
    """Return a row (inode, indx, slices)."""
    slices = decode_slices(blob(row[2]), f"chunk {row[1]} of inode {row[0]}")
    return ChunkSlices(Ino(row[0]), ChunkNo(row[1]), slices)


def ref_of(row: Row) -> SliceRef:
    """Return a row (chunkid, size, refs)."""
    return SliceRef(SliceId(row[0]), row[1], row[2])


def delayed_of(row: Row) -> DelayedSlices:
    """Return a row (chunkid, deleted, slices)."""
    slices = decode_delayed(blob(row[2]), f"slices replaced by {row[0]}")
    return DelayedSlices(SliceId(row[0]), row[1], slices)


def deleted_of(row: Row) -> DeletedFile:
    """Return a row (inode, length, expire)."""
    return DeletedFile(Ino(row[0]), row[1], row[2])


# ---- sessions and locks
def session_of(row: Row) -> Session:
    """Return a row (sid, expire, info)."""
    return Session(SessionId(row[0]), row[1], bytes(row[2] or b""))


def holder_of(sid: int, owner: int) -> LockHolder:
    """Return who holds a lock; SQL stores the owner as a signed number."""
    return LockHolder(SessionId(sid), owner % _U64)


def signed_owner(holder: LockHolder) -> int:
    """Return the owner as SQL stores it."""
    owner = holder.owner % _U64
    return owner - _U64 if owner >= _U64 >> 1 else owner


def flock_of(row: Row, ino: Ino) -> tuple[LockHolder, LockKind]:
    """Return a row (sid, owner, ltype).  Raises CorruptRecord for an unknown kind."""
    kind = _FLOCK_KINDS.get(row[2])
    if kind is None:
        raise CorruptRecord(f"lock of inode {ino}", f"unknown kind {row[2]}")
    return holder_of(row[0], row[1]), kind


def flock_letter(kind: LockKind) -> int:
    """Return the number that SQL stores for a lock of the whole file."""
    return _FLOCK_LETTERS[kind]


def ranges_of(row: Row, ino: Ino) -> tuple[LockHolder, tuple[RangeLock, ...]]:
    """Return a row (sid, owner, records).  Raises CorruptRecord."""
    raw = bytes(row[2])
    where = f"range locks of inode {ino}"
    if len(raw) % _RANGE.size:
        raise CorruptRecord(where, f"{len(raw)} bytes are no whole records")
    locks = []
    for kind, pid, start, end in _RANGE.iter_unpack(raw):
        if kind not in (LockKind.READ, LockKind.WRITE):
            raise CorruptRecord(where, f"unknown kind {kind}")
        locks.append(RangeLock(LockKind(kind), pid, start, end))
    return holder_of(row[0], row[1]), tuple(locks)


def encode_ranges(locks: tuple[RangeLock, ...]) -> bytes:
    """Return the records of range locks."""
    return b"".join(_RANGE.pack(lock.kind, lock.pid, lock.start, lock.end) for lock in locks)


# ---- access control lists and quotas
def acl_of(row: Row) -> AclRule:
    """Return a row (owner, group, mask, other, named_users, named_groups).

    Raises CorruptRecord for named entries that do not parse.
    """
    owner, group, mask, other = (int(number or 0) for number in row[:4])
    return AclRule(
        owner,
        group,
        mask,
        other,
        named_users=_named(bytes(row[4] or b"")),
        named_groups=_named(bytes(row[5] or b"")),
    )


def acl_columns(rule: AclRule) -> tuple[int | bytes, ...]:
    """Return the columns of jfs_acl after `id`."""
    users, groups = (
        b"".join(_NAMED.pack(*entry) for entry in entries)
        for entries in (rule.named_users, rule.named_groups)
    )
    return rule.owner, rule.group, rule.mask, rule.other, users, groups


def _named(raw: bytes) -> tuple[tuple[int, int], ...]:
    if len(raw) % _NAMED.size:
        raise CorruptRecord("ACL rule", f"{len(raw)} bytes are no whole entries")
    return tuple(_NAMED.iter_unpack(raw))


def quota_of(row: Row) -> Quota:
    """Return a row (max_space, max_inodes, used_space, used_inodes)."""
    return Quota(*(int(number) for number in row))


def quota_columns(quota: Quota) -> tuple[int, ...]:
    """Return the columns of a quota."""
    return quota.space_bytes_max, quota.inodes_max, quota.used_space_bytes, quota.used_inodes


def keyed_quota_of(row: Row) -> tuple[QuotaKind, int, Quota]:
    """Return a row (kind, key, max_space, max_inodes, used_space, used_inodes)."""
    return QuotaKind(row[0]), int(row[1]), quota_of(row[2:])


def usage_of(row: Row) -> DirUsage:
    """Return a row (data_length, used_space, used_inodes)."""
    return DirUsage(*(int(number) for number in row))


def detached_of(row: Row) -> DetachedNode:
    """Return a row (inode, added)."""
    return DetachedNode(Ino(row[0]), row[1])
