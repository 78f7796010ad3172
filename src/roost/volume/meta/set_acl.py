"""Reading and changing a node's access control lists.

Source: acl(5), setfacl(1); the volume format reference, section 4.3.
"""

import errno
import stat

from roost.volume.errors import FsError
from roost.volume.meta import acl, rules, trash
from roost.volume.meta.effects import ChangeNode, NodeChange, PutAcl
from roost.volume.meta.open_volume import OpenVolume
from roost.volume.meta.reads import NodeWanted, Reads
from roost.volume.meta.txn import Txn
from roost.volume.model import (
    SUPERUSER,
    AclRule,
    Attr,
    Caller,
    Flag,
    Ino,
    Kind,
    XattrFlag,
)

_SPECIAL_BITS = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX


def get_acl(volume: OpenVolume, ino: Ino, name: bytes) -> bytes:
    """Return a list in the form of an extended attribute.

    Raises FsError: ENODATA none; ENOTSUP on a volume without ACLs; ENOENT.
    """
    _check_enabled(volume, ino, name)

    def value(reads: Reads) -> bytes:
        attr = rules.found(ino, reads.node(ino))
        number = _number(attr, name)
        if not number:
            raise FsError(errno.ENODATA, ino, name)
        return acl.encode_xattr(acl.read(reads, number))

    return volume.engine.read(value)


def names_of(attr: Attr) -> tuple[bytes, ...]:
    """Return the names of the lists that a node has."""
    return tuple(name for name in acl.NAMES if _number(attr, name))


def set_acl(
    volume: OpenVolume, ino: Ino, name: bytes, raw: bytes, flags: XattrFlag, caller: Caller
) -> None:
    """Give the node a list, or take it away with an empty one.  One commit, or none.

    An access list that a mode can say becomes the mode.
    Raises FsError: ENOENT, EINVAL; EPERM not the owner, immutable, or in the trash; EACCES a
    default list of no directory; ENOTSUP a symbolic link, or a volume without ACLs; EEXIST with
    CREATE; ENODATA with REPLACE.
    """
    _check_enabled(volume, ino, name)
    _set(volume, ino, name, acl.decode_xattr(ino, raw), flags, caller)


def remove_acl(volume: OpenVolume, ino: Ino, name: bytes, caller: Caller) -> None:
    """Take a list away.  Raises FsError: as set_acl; ENODATA none."""
    _check_enabled(volume, ino, name)
    _set(volume, ino, name, AclRule(), XattrFlag.REPLACE, caller)


def _set(
    volume: OpenVolume, ino: Ino, name: bytes, rule: AclRule, flags: XattrFlag, caller: Caller
) -> None:
    def apply(txn: Txn) -> None:
        txn.load(NodeWanted(ino))
        attr = rules.found(ino, txn.node(ino))
        _check_allowed(ino, attr, name, rule, caller)
        old = _number(attr, name)
        if flags & XattrFlag.CREATE and old:
            raise FsError(errno.EEXIST, ino, name)
        if flags & XattrFlag.REPLACE and not old:
            raise FsError(errno.ENODATA, ino, name)
        mode, number, new_rule = _outcome(txn, attr, name, rule)
        if caller.uid != SUPERUSER.uid and caller.check and not caller.is_member(attr.gid):
            mode &= ~stat.S_ISGID
        if (mode, number) == (attr.mode, old):
            return
        if new_rule is not None:
            txn.do(new_rule)
        is_access = name == acl.ACCESS_NAME
        change = NodeChange(
            mode=mode,
            ctime_at_least_ns=txn.now_ns,
            access_acl=number if is_access else None,
            default_acl=None if is_access else number,
        )
        txn.do(ChangeNode(ino, change))

    volume.engine.run(apply)


def _outcome(txn: Txn, attr: Attr, name: bytes, rule: AclRule) -> tuple[int, int, PutAcl | None]:
    """Return the node's mode and the list's number then, and the effect that stores the rule."""
    is_access = name == acl.ACCESS_NAME
    if acl.is_empty(rule):
        return attr.mode, 0, None
    if is_access and acl.is_minimal(rule):
        return attr.mode & _SPECIAL_BITS | acl.mode_bits(rule), 0, None
    number, new_rule = acl.number_of(txn, acl.with_unset_from_mode(rule, attr.mode))
    mode = attr.mode & _SPECIAL_BITS | acl.mode_bits(rule) if is_access else attr.mode
    return mode, number, new_rule


def _check_enabled(volume: OpenVolume, ino: Ino, name: bytes) -> None:
    if not volume.settings.enable_acl:
        raise FsError(errno.ENOTSUP, ino, name)


def _check_allowed(ino: Ino, attr: Attr, name: bytes, rule: AclRule, caller: Caller) -> None:
    is_owner = caller.uid in (SUPERUSER.uid, attr.uid) or not caller.check
    if not is_owner or attr.flags & Flag.IMMUTABLE or rules.is_trash(ino):
        raise FsError(errno.EPERM, ino)
    trash.refuse_in_trash(ino, attr)
    if attr.kind is Kind.SYMLINK:
        raise FsError(errno.ENOTSUP, ino, name)
    if name == acl.DEFAULT_NAME and not attr.is_directory and not acl.is_empty(rule):
        raise FsError(errno.EACCES, ino, name)


def _number(attr: Attr, name: bytes) -> int:
    return attr.access_acl if name == acl.ACCESS_NAME else attr.default_acl
