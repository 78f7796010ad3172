"""Extended attributes.  They change neither times nor anything else of the node; ACLs do.

Source: setxattr(2), removexattr(2), xattr(7).
"""

import errno

from roost.volume.errors import FsError
from roost.volume.meta import acl, rules, set_acl
from roost.volume.meta.effects import PutXattr
from roost.volume.meta.open_volume import OpenVolume
from roost.volume.meta.reads import NodeWanted, Reads
from roost.volume.meta.txn import Txn
from roost.volume.model import (
    SUPERUSER,
    XATTR_NAME_BYTES_MAX,
    XATTR_VALUE_BYTES_MAX,
    Caller,
    Ino,
    XattrFlag,
)


def getxattr(volume: OpenVolume, ino: Ino, name: bytes) -> bytes:
    """Return the value.  Raises FsError: ENODATA, ENOENT; ENOTSUP an ACL where there are none."""
    if name in acl.NAMES:
        return set_acl.get_acl(volume, ino, name)

    def value(reads: Reads) -> bytes:
        rules.found(ino, reads.node(ino))
        stored = reads.xattr(ino, name)
        if stored is None:
            raise FsError(errno.ENODATA, ino, name)
        return stored

    return volume.engine.read(value)


def listxattr(volume: OpenVolume, ino: Ino) -> tuple[bytes, ...]:
    """Return the names, sorted, those of ACLs too.  Raises FsError ENOENT."""

    def names(reads: Reads) -> tuple[bytes, ...]:
        attr = rules.found(ino, reads.node(ino))
        return tuple(sorted(reads.xattr_names(ino) + set_acl.names_of(attr)))

    return volume.engine.read(names)


def setxattr(
    volume: OpenVolume, ino: Ino, name: bytes, value: bytes, flags: XattrFlag, caller: Caller
) -> None:
    """Store the value.  One commit.

    Raises FsError: ENOENT; EEXIST with CREATE; ENODATA with REPLACE; ERANGE or E2BIG too long;
    EINVAL; EACCES `user.` names of a file one may not write; EPERM others of a file of somebody
    else; for an ACL as set_acl.
    """
    _check_name(ino, name)
    if len(value) > XATTR_VALUE_BYTES_MAX:
        raise FsError(errno.E2BIG, ino, name)
    if int(flags) & ~int(XattrFlag.CREATE | XattrFlag.REPLACE):
        raise FsError(errno.EINVAL, ino, name)
    if name in acl.NAMES:
        set_acl.set_acl(volume, ino, name, value, flags, caller)
        return

    def put(txn: Txn) -> None:
        txn.load(NodeWanted(ino))
        _check_allowed(txn, ino, name, caller)
        stored = txn.xattr(ino, name)
        if flags & XattrFlag.CREATE and stored is not None:
            raise FsError(errno.EEXIST, ino, name)
        if flags & XattrFlag.REPLACE and stored is None:
            raise FsError(errno.ENODATA, ino, name)
        if stored != value:
            txn.do(PutXattr(ino, name, value))

    volume.engine.run(put)


def removexattr(volume: OpenVolume, ino: Ino, name: bytes, caller: Caller) -> None:
    """Remove the attribute.  One commit.

    Raises FsError: ENOENT, ENODATA, EINVAL, EACCES, EPERM; for an ACL as set_acl.
    """
    _check_name(ino, name)
    if name in acl.NAMES:
        set_acl.remove_acl(volume, ino, name, caller)
        return

    def remove(txn: Txn) -> None:
        txn.load(NodeWanted(ino))
        _check_allowed(txn, ino, name, caller)
        if txn.xattr(ino, name) is None:
            raise FsError(errno.ENODATA, ino, name)
        txn.do(PutXattr(ino, name, None))

    volume.engine.run(remove)


def _check_allowed(txn: Txn, ino: Ino, name: bytes, caller: Caller) -> None:
    """Demand what xattr(7) demands of who changes an attribute of this name space."""
    attr = rules.found(ino, txn.node(ino))
    if name.startswith(b"user."):
        rules.demand(txn, ino, attr, caller, rules.WRITE)
    elif caller.check and caller.uid not in (SUPERUSER.uid, attr.uid):
        raise FsError(errno.EPERM, ino, name)


def _check_name(ino: Ino, name: bytes) -> None:
    if not name or b"\0" in name:
        raise FsError(errno.EINVAL, ino, name)
    if len(name) > XATTR_NAME_BYTES_MAX:
        raise FsError(errno.ERANGE, ino, name[:32])
