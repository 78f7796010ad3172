"""The bytes of records that only Redis keeps in this form: quotas, ACL rules, locks.

All integers are big endian.  Source: the volume format reference, sections 2.8 to 2.10.
"""

import struct

from roost.errors import CorruptRecord
from roost.volume.codec import decode_delayed
from roost.volume.model import (
    AclRule,
    DelayedSlices,
    DirUsage,
    Ino,
    LockHolder,
    LockKind,
    Quota,
    RangeLock,
    SessionId,
    SliceId,
)

NUMBER_MAX = (1 << 63) - 2
"""The largest number that is taken: one more can be added to it."""
DIGITS_SAFE = len(str(NUMBER_MAX)) - 1
"""So many digits are no number beyond it."""
UNLIMITED = b"\xff" * 16
_LIMITS = struct.Struct(">qq")
_ACL = struct.Struct(">HHHH")
_COUNT = struct.Struct(">I")
_NAMED = struct.Struct(">IH")
_RANGE = struct.Struct(">IIQQ")
_FLOCKS = {LockKind.READ: b"R", LockKind.WRITE: b"W"}
_FLOCK_KINDS = {stored: kind for kind, stored in _FLOCKS.items()}


def number(raw: object, where: bytes) -> int:
    """Return a decimal number as Redis stores counters.  Raises CorruptRecord."""
    why = "not a number"
    try:
        if isinstance(raw, bytes | int):
            value = int(raw)
            if -NUMBER_MAX <= value <= NUMBER_MAX:
                return value
            why = "beyond 63 bits"
    except ValueError:
        pass
    raise CorruptRecord(where.decode("utf-8", "replace"), f"{why}: {raw!r:.80}")


def encode_limits(quota: Quota) -> bytes:
    """Return i64 bytes and i64 inodes."""
    return _LIMITS.pack(quota.space_bytes_max, quota.inodes_max)


def decode_limits(raw: bytes | None, where: str) -> tuple[int, int]:
    """Undo `encode_limits`; no record means no limits.  Raises CorruptRecord."""
    if raw is None:
        return -1, -1
    if len(raw) != _LIMITS.size:
        raise CorruptRecord(where, f"limits of {len(raw)} bytes")
    space_bytes, inodes = _LIMITS.unpack(raw)
    return space_bytes, inodes


def encode_acl(rule: AclRule) -> bytes:
    """Return u16 owner, group, mask, other; then users and groups: u32 count, u32 id and u16."""
    parts = [_ACL.pack(rule.owner, rule.group, rule.mask, rule.other)]
    for named in (rule.named_users, rule.named_groups):
        parts.append(_COUNT.pack(len(named)))
        parts += [_NAMED.pack(number, bits) for number, bits in named]
    return b"".join(parts)


def decode_acl(raw: bytes, where: str) -> AclRule:
    """Undo `encode_acl`.  Raises CorruptRecord."""
    try:
        owner, group, mask, other = _ACL.unpack_from(raw)
        users, at = _named(raw, _ACL.size)
        groups, at = _named(raw, at)
    except struct.error as error:
        raise CorruptRecord(where, f"ACL rule of {len(raw)} bytes") from error
    if at != len(raw):
        raise CorruptRecord(where, f"ACL rule of {len(raw)} bytes, {at} of them understood")
    return AclRule(owner, group, mask, other, users, groups)


def _named(raw: bytes, at: int) -> tuple[tuple[tuple[int, int], ...], int]:
    (count,) = _COUNT.unpack_from(raw, at)
    at += _COUNT.size
    if count * _NAMED.size > len(raw):
        raise struct.error("more entries than bytes")
    named = tuple(_NAMED.unpack_from(raw, at + i * _NAMED.size) for i in range(count))
    return tuple((number, bits) for number, bits in named), at + count * _NAMED.size


def encode_flock(kind: LockKind) -> bytes:
    """Return R or W."""
    return _FLOCKS[kind]


def decode_flock(raw: bytes, where: str) -> LockKind:
    """Undo `encode_flock`.  Raises CorruptRecord."""
    kind = _FLOCK_KINDS.get(raw)
    if kind is None:
        raise CorruptRecord(where, f"unknown lock {raw!r}")
    return kind


def encode_ranges(locks: tuple[RangeLock, ...]) -> bytes:
    """Return per range u32 kind, u32 pid, u64 start, u64 end (inclusive)."""
    return b"".join(_RANGE.pack(lock.kind, lock.pid, lock.start, lock.end) for lock in locks)


def decode_ranges(raw: bytes, where: str) -> tuple[RangeLock, ...]:
    """Undo `encode_ranges`.  Raises CorruptRecord."""
    if len(raw) % _RANGE.size:
        raise CorruptRecord(where, f"range locks of {len(raw)} bytes")
    locks = []
    for kind, pid, start, end in _RANGE.iter_unpack(raw):
        if kind not in (LockKind.READ, LockKind.WRITE):
            raise CorruptRecord(where, f"unknown kind of lock {kind}")
        locks.append(RangeLock(LockKind(kind), pid, start, end))
    return tuple(locks)


def decode_holder(field: bytes, where: str) -> LockHolder:
    """Undo keys.holder_field.  Raises CorruptRecord."""
    sid, _, owner = field.partition(b"_")
    try:
        return LockHolder(SessionId(int(sid)), int(owner, 16))
    except ValueError as error:
        raise CorruptRecord(where, f"unknown holder {field!r}") from error


def dir_usage(
    ino: int, length: bytes | None, space: bytes | None, inodes: bytes | None
) -> DirUsage | None:
    """Return a directory's statistics from its three fields; they exist if the space does."""
    if space is None:
        return None
    where = b"statistics of directory %d" % ino
    return DirUsage(
        number(length or b"0", where),
        number(space, where),
        number(inodes or b"0", where),
    )


def quota(
    name: bytes, limits: bytes | None, space: bytes | None, inodes: bytes | None
) -> Quota | None:
    """Return a quota from its three fields; it exists if the inodes in use do."""
    if inodes is None:
        return None
    where = b"quota of " + name
    return Quota(
        *decode_limits(limits, where.decode()),
        number(space or b"0", where),
        number(inodes, where),
    )


def delayed_slices(field: bytes, raw: bytes) -> DelayedSlices:
    """Return the note of a compaction.  Raises CorruptRecord."""
    chunk_id, _, deleted_s = field.partition(b"_")
    where = f"delayed slices {field.decode('ascii', 'replace')}"
    try:
        return DelayedSlices(SliceId(int(chunk_id)), int(deleted_s), decode_delayed(raw, where))
    except ValueError as error:
        raise CorruptRecord(where, "not named by slice and time") from error


def parent_counts(ino: Ino, raw: dict[bytes, bytes]) -> dict[Ino, int]:
    """Return how many names each directory has for a node.  Raises CorruptRecord."""
    where = b"parents of inode %d" % ino
    return {Ino(number(parent, where)): number(names, where) for parent, names in raw.items()}
