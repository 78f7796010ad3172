"""What POSIX and JuiceFS allow, as pure functions over attributes.

Source: man pages of section 2; JuiceFS Community 1.4 pkg/meta/base.go and sql.go; the volume format
reference, section 4.2.
"""

import errno
import stat

from roost.errors import CorruptRecord
from roost.volume.errors import FsError
from roost.volume.meta import acl
from roost.volume.model import (
    DIRECTORY_LENGTH_BYTES,
    NAME_BYTES_MAX,
    ROOT,
    SUPERUSER,
    TRASH,
    TRASH_NAME,
    Attr,
    Caller,
    Flag,
    Ino,
    Kind,
)
from roost.volume.values import value

READ, WRITE, EXECUTE = 4, 2, 1
# Plain numbers: operations on enumerations cost microseconds in every rule.
_GUARDED = int(Flag.IMMUTABLE | Flag.APPEND_ONLY)
_IMMUTABLE = int(Flag.IMMUTABLE)
_SKIP_TRASH = int(Flag.SKIP_TRASH)


def is_trash(ino: Ino) -> bool:
    """True for the trash, its hourly directories, and nothing else."""
    return ino >= TRASH


def is_in_trash(attr: Attr) -> bool:
    """True for a node that lies in an hourly directory of the trash."""
    return attr.parent > TRASH


def found(ino: Ino, attr: Attr | None) -> Attr:
    """Return `attr`; raise FsError ENOENT if there is none, CorruptRecord if it is the root."""
    if attr is None:
        if ino == ROOT:
            raise CorruptRecord("inode 1", "the root directory does not exist")
        raise FsError(errno.ENOENT, ino)
    return attr


def directory(ino: Ino, attr: Attr | None) -> Attr:
    """Return `attr` of a directory; raise FsError ENOENT or ENOTDIR."""
    known = found(ino, attr)
    if not known.is_directory:
        raise FsError(errno.ENOTDIR, ino)
    return known


def demand(acls: acl.Acls, ino: Ino, attr: Attr, caller: Caller, wanted: int) -> None:
    """Raise FsError EACCES unless the caller has all of the READ, WRITE, EXECUTE bits `wanted`.

    `acls` is where the node's access rule is read, if it has one: the transaction or snapshot.
    """
    if caller.uid == SUPERUSER.uid or not caller.check:
        return
    if not acl.granted(acls, attr, caller, wanted):
        raise FsError(errno.EACCES, ino)


def check_new_name(parent: Ino, name: bytes) -> None:
    """Refuse a name that can never be given.

    Raises FsError: EINVAL empty or with / or NUL; EEXIST . and ..; ENAMETOOLONG; EPERM the trash.
    """
    check_name(parent, name)
    if name in (b".", b".."):
        raise FsError(errno.EEXIST, parent, name)
    if is_trash(parent):
        raise FsError(errno.EPERM, parent, name)


def check_name(parent: Ino, name: bytes) -> None:
    """Refuse what can never be a name.  Raises FsError: EINVAL, ENAMETOOLONG, EPERM the trash."""
    if not name or b"/" in name or b"\0" in name:
        raise FsError(errno.EINVAL, parent, name)
    if len(name) > NAME_BYTES_MAX:
        raise FsError(errno.ENAMETOOLONG, parent, name[:32])
    if parent == ROOT and name == TRASH_NAME:
        raise FsError(errno.EPERM, parent, name)


def directory_to_add_to(
    acls: acl.Acls, ino: Ino, attr: Attr | None, caller: Caller, *, restoring: bool = False
) -> Attr:
    """Return the directory's attributes if the caller may add a name.

    Raises FsError: ENOENT, also for a trashed directory unless `restoring`; ENOTDIR; EACCES; EPERM
    immutable.
    """
    folder = directory(ino, attr)
    if is_in_trash(folder) and not restoring:
        raise FsError(errno.ENOENT, ino)
    demand(acls, ino, folder, caller, WRITE | EXECUTE)
    if folder.flags & _IMMUTABLE:
        raise FsError(errno.EPERM, ino)
    return folder


def directory_to_remove_from(acls: acl.Acls, ino: Ino, attr: Attr | None, caller: Caller) -> Attr:
    """Return the directory's attributes if the caller may remove a name.

    Raises FsError: ENOENT, ENOTDIR, EACCES; EPERM immutable or append-only.
    """
    folder = directory(ino, attr)
    demand(acls, ino, folder, caller, WRITE | EXECUTE)
    if folder.flags & _GUARDED or (is_trash(ino) and caller.uid != SUPERUSER.uid):
        raise FsError(errno.EPERM, ino)
    return folder


def check_unnaming(folder: Attr, ino: Ino, attr: Attr, caller: Caller) -> None:
    """Refuse to take a name in `folder` away from the node.

    Raises FsError: EPERM immutable or append-only; EACCES by the sticky bit.
    """
    if attr.flags & _GUARDED:
        raise FsError(errno.EPERM, ino)
    sticky = folder.mode & stat.S_ISVTX
    if sticky and caller.uid not in (SUPERUSER.uid, folder.uid, attr.uid):
        raise FsError(errno.EACCES, ino)


@value(frozen=True, slots=True)
class Start:
    """What a new node is by itself, before its directory has its say."""

    kind: Kind
    mode: int
    rdev: int = 0
    length: int = 0
    access_acl: int = 0
    default_acl: int = 0


def new_child(parent: Ino, folder: Attr, caller: Caller, start: Start, now_ns: int) -> Attr:
    """Return the attributes of a node just made in `folder`.

    A directory with the setgid bit hands down its group, and the bit to directories.
    """
    kind, mode, gid = start.kind, start.mode, caller.gid
    is_directory = kind is Kind.DIRECTORY
    if folder.mode & stat.S_ISGID:
        gid = folder.gid
        if is_directory:
            mode |= stat.S_ISGID
        elif (
            mode & (stat.S_ISGID | stat.S_IXGRP) == stat.S_ISGID | stat.S_IXGRP
            and caller.check
            and caller.uid != SUPERUSER.uid
            and not caller.is_member(gid)
        ):
            mode &= ~stat.S_ISGID
    return Attr(
        kind=kind,
        mode=mode,
        uid=caller.uid,
        gid=gid,
        atime_ns=now_ns,
        mtime_ns=now_ns,
        ctime_ns=now_ns,
        nlink=2 if is_directory else 1,
        length=DIRECTORY_LENGTH_BYTES if is_directory else start.length,
        rdev=start.rdev,
        parent=parent,
        flags=folder.flags & _SKIP_TRASH,
        access_acl=start.access_acl,
        default_acl=start.default_acl,
        tier=folder.tier,
    )
