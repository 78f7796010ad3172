"""POSIX access control lists: what a rule permits, inherits and becomes, and its form as an xattr.

A rule is stored once and shared by number; a node's attributes hold the numbers of its access rule
and, for directories, of the rule its children start with.  A node without named entries has no
rule: its mode says it all.
Source: acl(5); Linux include/uapi/linux/posix_acl_xattr.h; the volume format reference, 2.10.
"""

import errno
import struct
from dataclasses import replace
from typing import Protocol

from roost.errors import CorruptRecord
from roost.volume.errors import FsError
from roost.volume.meta.effects import ACL_COUNTER, PutAcl
from roost.volume.meta.txn import Txn
from roost.volume.model import ACL_NOT_SET, AclRule, Attr, Caller, Ino

ACCESS_NAME = b"system.posix_acl_access"
DEFAULT_NAME = b"system.posix_acl_default"
NAMES = (ACCESS_NAME, DEFAULT_NAME)
NAMED_ENTRIES_MAX = 8000  # what fits into the 64 KiB of an extended attribute

_VERSION = 2
_HEAD = struct.Struct("<B3x")
_ENTRY = struct.Struct("<HHI")
_USER_OBJ, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_NO_ID = 0xFFFFFFFF
_GROUP_BITS = 0o070


class Acls(Protocol):
    """Where rules are read; a transaction and a snapshot both are."""

    def acl(self, acl_id: int) -> AclRule | None:
        """Return a stored rule."""
        ...


def read(acls: Acls, acl_id: int) -> AclRule:
    """Return a rule that a node names.  Raises CorruptRecord if it is not there."""
    rule = acls.acl(acl_id)
    if rule is None:
        raise CorruptRecord(f"ACL rule {acl_id}", "a node names it but it does not exist")
    return rule


def granted(acls: Acls, attr: Attr, caller: Caller, wanted: int) -> bool:
    """True if the node's mode or access rule grants all bits of `wanted` to the caller."""
    if attr.access_acl and attr.mode & _GROUP_BITS:
        return _rule_grants(read(acls, attr.access_acl), attr, caller, wanted)
    if caller.uid == attr.uid:
        return not wanted & ~(attr.mode >> 6)
    if caller.is_member(attr.gid):
        return not wanted & ~(attr.mode >> 3)
    return not wanted & ~attr.mode


def _rule_grants(rule: AclRule, attr: Attr, caller: Caller, wanted: int) -> bool:
    """Judge as acl(5) does: owner, a named user, any of the groups, others."""
    if caller.uid == attr.uid:
        return not wanted & ~rule.owner
    for uid, bits in rule.named_users:
        if uid == caller.uid:
            return not wanted & ~(bits & rule.mask)
    groups = [(attr.gid, rule.group), *rule.named_groups]
    matching = [bits for gid, bits in groups if caller.is_member(gid)]
    if matching:
        return any(not wanted & ~(bits & rule.mask) for bits in matching)
    return not wanted & ~rule.other


# ---- what rules become
def is_empty(rule: AclRule) -> bool:
    """True for a rule without a single entry: it asks to remove the list."""
    return rule == AclRule()


def is_minimal(rule: AclRule) -> bool:
    """True if a mode can say all that the rule does."""
    return not rule.named_users and not rule.named_groups and rule.mask == ACL_NOT_SET


def mode_bits(rule: AclRule) -> int:
    """Return the nine bits that stat(2) shows: the group's place shows the mask."""
    middle = rule.group if is_minimal(rule) else rule.mask
    return (rule.owner & 7) << 6 | (middle & 7) << 3 | (rule.other & 7)


def with_mode(rule: AclRule, mode: int) -> AclRule:
    """Return the rule after chmod: owner, others, and the mask (the group if there is none)."""
    owner, middle, other = mode >> 6 & 7, mode >> 3 & 7, mode & 7
    if is_minimal(rule):
        return replace(rule, owner=owner, group=middle, other=other)
    return replace(rule, owner=owner, mask=middle, other=other)


def with_unset_from_mode(rule: AclRule, mode: int) -> AclRule:
    """Return the rule with owner, group and others that it leaves out taken from a mode."""
    return replace(
        rule,
        owner=mode >> 6 & 7 if rule.owner == ACL_NOT_SET else rule.owner,
        group=mode >> 3 & 7 if rule.group == ACL_NOT_SET else rule.group,
        other=mode & 7 if rule.other == ACL_NOT_SET else rule.other,
    )


def child_rule(default: AclRule, mode: int) -> AclRule:
    """Return the access rule of a node made with `mode` below a directory with this default."""
    return replace(
        default,
        owner=mode >> 6 & 7 & default.owner,
        mask=mode >> 3 & 7 & default.mask,
        other=mode & 7 & default.other,
    )


# ---- storing
def number_of(txn: Txn, rule: AclRule) -> tuple[int, PutAcl | None]:
    """Return the number of the rule, and the effect that stores it unless an equal one is."""
    known = txn.acl_id(rule)
    if known is not None:
        return known, None
    number = txn.counter(ACL_COUNTER) + 1
    return number, PutAcl(number, rule)


# ---- the form of an extended attribute
def encode_xattr(rule: AclRule) -> bytes:
    """Return the rule as the kernel passes it: version 2, then (tag, bits, id) entries."""
    entries = [(_USER_OBJ, rule.owner, _NO_ID)]
    entries += [(_USER, bits, uid) for uid, bits in rule.named_users]
    entries.append((_GROUP_OBJ, rule.group, _NO_ID))
    entries += [(_GROUP, bits, gid) for gid, bits in rule.named_groups]
    if rule.mask != ACL_NOT_SET:
        entries.append((_MASK, rule.mask, _NO_ID))
    entries.append((_OTHER, rule.other, _NO_ID))
    return _HEAD.pack(_VERSION) + b"".join(_ENTRY.pack(*entry) for entry in entries)


def decode_xattr(ino: Ino, raw: bytes) -> AclRule:
    """Undo `encode_xattr`; no entries at all make an empty rule.

    Raises FsError: EINVAL for what is no list; ENOTSUP another version.
    """
    body = raw[_HEAD.size :]
    if len(raw) < _HEAD.size or len(body) % _ENTRY.size:
        raise FsError(errno.EINVAL, ino)
    if raw[0] != _VERSION:
        raise FsError(errno.ENOTSUP, ino)
    single: dict[int, int] = {}
    users: list[tuple[int, int]] = []
    groups: list[tuple[int, int]] = []
    for tag, bits, number in _ENTRY.iter_unpack(body):
        if bits & ~7:
            raise FsError(errno.EINVAL, ino)
        if tag == _USER:
            users.append((number, bits))
        elif tag == _GROUP:
            groups.append((number, bits))
        elif tag in (_USER_OBJ, _GROUP_OBJ, _MASK, _OTHER) and tag not in single:
            single[tag] = bits
        else:
            raise FsError(errno.EINVAL, ino)
    rule = AclRule(
        owner=single.get(_USER_OBJ, ACL_NOT_SET),
        group=single.get(_GROUP_OBJ, ACL_NOT_SET),
        mask=single.get(_MASK, ACL_NOT_SET),
        other=single.get(_OTHER, ACL_NOT_SET),
        named_users=tuple(users),
        named_groups=tuple(groups),
    )
    _check(ino, rule)
    return rule


def _check(ino: Ino, rule: AclRule) -> None:
    """Refuse what acl_valid(3) refuses.  Raises FsError EINVAL."""
    if is_empty(rule):
        return
    named = (rule.named_users, rule.named_groups)
    bad = (
        any(len({number for number, _ in entries}) != len(entries) for entries in named)
        or sum(map(len, named)) > NAMED_ENTRIES_MAX
        or ACL_NOT_SET in (rule.owner, rule.group, rule.other)
        or (any(named) and rule.mask == ACL_NOT_SET)
    )
    if bad:
        raise FsError(errno.EINVAL, ino)
