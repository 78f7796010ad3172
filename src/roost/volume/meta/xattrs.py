"""Extended attributes.  They change neither times nor anything else of the node.

Source: setxattr(2), removexattr(2).
"""

import errno

from roost.volume.errors import FsError
from roost.volume.meta import rules
from roost.volume.meta.effects import PutXattr
from roost.volume.meta.open_volume import OpenVolume
from roost.volume.meta.reads import Reads
from roost.volume.meta.txn import Engine, Txn
from roost.volume.model import XATTR_NAME_BYTES_MAX, XATTR_VALUE_BYTES_MAX, Ino, XattrFlag

_ACL_NAMES = (b"system.posix_acl_access", b"system.posix_acl_default")


def getxattr(engine: Engine, ino: Ino, name: bytes) -> bytes:
    """Return the value.  Raises FsError: ENODATA, ENOENT."""

    def value(reads: Reads) -> bytes:
        rules.found(ino, reads.node(ino))
        stored = reads.xattr(ino, name)
        if stored is None:
            raise FsError(errno.ENODATA, ino, name)
        return stored

    return engine.read(value)


def listxattr(engine: Engine, ino: Ino) -> tuple[bytes, ...]:
    """Return the names, sorted.  Raises FsError ENOENT."""

    def names(reads: Reads) -> tuple[bytes, ...]:
        rules.found(ino, reads.node(ino))
        return reads.xattr_names(ino)

    return engine.read(names)


def setxattr(volume: OpenVolume, ino: Ino, name: bytes, value: bytes, flags: XattrFlag) -> None:
    """Store the value.  One commit.

    Raises FsError: ENOENT; EEXIST with CREATE; ENODATA with REPLACE; ERANGE or E2BIG too long;
    EINVAL; ENOTSUP an ACL.
    """
    _check_name(ino, name)
    if len(value) > XATTR_VALUE_BYTES_MAX:
        raise FsError(errno.E2BIG, ino, name)
    if int(flags) & ~int(XattrFlag.CREATE | XattrFlag.REPLACE):
        raise FsError(errno.EINVAL, ino, name)

    def put(txn: Txn) -> None:
        rules.found(ino, txn.node(ino))
        stored = txn.xattr(ino, name)
        if flags & XattrFlag.CREATE and stored is not None:
            raise FsError(errno.EEXIST, ino, name)
        if flags & XattrFlag.REPLACE and stored is None:
            raise FsError(errno.ENODATA, ino, name)
        if stored != value:
            txn.do(PutXattr(ino, name, value))

    volume.engine.run(put)


def removexattr(volume: OpenVolume, ino: Ino, name: bytes) -> None:
    """Remove the attribute.  One commit.  Raises FsError: ENOENT, ENODATA, EINVAL."""
    _check_name(ino, name)

    def remove(txn: Txn) -> None:
        rules.found(ino, txn.node(ino))
        if txn.xattr(ino, name) is None:
            raise FsError(errno.ENODATA, ino, name)
        txn.do(PutXattr(ino, name, None))

    volume.engine.run(remove)


def _check_name(ino: Ino, name: bytes) -> None:
    if not name or b"\0" in name:
        raise FsError(errno.EINVAL, ino, name)
    if len(name) > XATTR_NAME_BYTES_MAX:
        raise FsError(errno.ERANGE, ino, name[:32])
    if name in _ACL_NAMES:
        raise FsError(errno.ENOTSUP, ino, name)
