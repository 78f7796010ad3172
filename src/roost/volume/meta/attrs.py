"""Changing attributes: mode, owner, times, flags.  Length is changed in `slices`."""

import errno
import stat

from roost.volume.errors import FsError
from roost.volume.meta import rules, trash
from roost.volume.meta.effects import ChangeNode, NodeChange, merged
from roost.volume.meta.open_volume import OpenVolume
from roost.volume.meta.txn import Txn
from roost.volume.model import SUPERUSER, Attr, AttrChange, Caller, Flag, Ino

_GUARDED = Flag.IMMUTABLE | Flag.APPEND_ONLY


def setattr_(volume: OpenVolume, ino: Ino, change: AttrChange, caller: Caller) -> Attr:
    """Apply `change` and return the attributes as they are then.  One commit, or none.

    Raises FsError: ENOENT; EPERM not the owner, not in the group, guarded, or in the trash.
    Source: chmod(2), chown(2), utimensat(2).
    """

    def apply(txn: Txn) -> Attr:
        attr = rules.found(ino, txn.exact_node(ino))
        trash.refuse_in_trash(ino, attr)
        _check_allowed(ino, attr, change, caller)
        mode = _new_mode(attr, change, caller)
        wanted = NodeChange(
            mode=mode,
            uid=change.uid,
            gid=change.gid,
            atime_ns=change.atime_ns,
            mtime_ns=change.mtime_ns,
            flags=change.flags,
        )
        if merged(attr, wanted) == attr:
            return attr
        final = NodeChange(
            mode=mode,
            uid=change.uid,
            gid=change.gid,
            atime_ns=change.atime_ns,
            mtime_ns=change.mtime_ns,
            flags=change.flags,
            ctime_at_least_ns=txn.now_ns,
        )
        txn.do(ChangeNode(ino, final))
        return merged(attr, final)

    return volume.engine.run(apply)


def _check_allowed(ino: Ino, attr: Attr, change: AttrChange, caller: Caller) -> None:
    only_flags = AttrChange(flags=change.flags) == change
    if attr.flags & _GUARDED and not only_flags:
        raise FsError(errno.EPERM, ino)
    if not caller.check or caller.uid == SUPERUSER.uid:
        return
    is_owner = caller.uid == attr.uid
    foreign_uid = change.uid is not None and change.uid != attr.uid
    foreign_gid = change.gid is not None and not (is_owner and caller.is_member(change.gid))
    own_values = (change.mode, change.uid, change.gid, change.atime_ns, change.mtime_ns)
    if (
        change.flags is not None
        or foreign_uid
        or (foreign_gid and change.gid != attr.gid)
        or (not is_owner and any(value is not None for value in own_values))
    ):
        raise FsError(errno.EPERM, ino)


def _new_mode(attr: Attr, change: AttrChange, caller: Caller) -> int | None:
    """Return the mode to store; chown takes setuid and setgid away from non-directories."""
    mode = change.mode
    if mode is not None:
        mode &= 0o7777
        in_group = caller.uid == SUPERUSER.uid or not caller.check or caller.is_member(attr.gid)
        if not in_group:
            mode &= ~stat.S_ISGID
    elif (change.uid is not None or change.gid is not None) and not attr.is_directory:
        # Without group execution setgid marks mandatory locking, which the superuser may keep.
        keeps_setgid = caller.uid == SUPERUSER.uid and not attr.mode & stat.S_IXGRP
        mode = attr.mode & (0o3777 if keeps_setgid else 0o1777)
    return mode
