"""Changing attributes: mode, owner, times, flags.  Length is changed in `slices`."""

import errno
import stat
from dataclasses import replace

from roost.volume.errors import FsError
from roost.volume.meta import acl, rules, trash, usage
from roost.volume.meta.effects import ChangeNode, NodeChange, PutAcl, UseQuota, merged
from roost.volume.meta.open_volume import OpenVolume
from roost.volume.meta.reads import NodeWanted
from roost.volume.meta.txn import Txn
from roost.volume.model import ROOT, SUPERUSER, TRASH, Attr, AttrChange, Caller, Flag, Ino

_GUARDED = int(Flag.IMMUTABLE | Flag.APPEND_ONLY)


def setattr_(volume: OpenVolume, ino: Ino, change: AttrChange, caller: Caller) -> Attr:
    """Apply `change` and return the attributes as they are then.  One commit, or none.

    chmod of a node with an access ACL changes the rule too.  A new owner is charged, but limits do
    not refuse a chown.
    Raises FsError: ENOENT; EPERM not the owner, not in the group, guarded, or in the trash; EACCES
    times set to now by who may not write.
    Source: chmod(2), chown(2), utimensat(2), acl(5).
    """

    def apply(txn: Txn) -> Attr:
        txn.load(NodeWanted(ino))
        attr = rules.found(ino, txn.exact_node(ino))
        trash.refuse_in_trash(ino, attr)
        _check_allowed(txn, ino, attr, change, caller)
        wanted, new_rule = _wanted(txn, attr, change, caller)
        if merged(attr, wanted) == attr:
            return attr
        if new_rule is not None:
            txn.do(new_rule)
        final = replace(wanted, ctime_at_least_ns=txn.now_ns)
        after = merged(attr, final)
        txn.do(ChangeNode(ino, final))
        if volume.settings.user_group_quota and ino not in (ROOT, TRASH):
            txn.do(*_charged(attr, after))
        return after

    return volume.engine.run(apply)


def drop_set_id(volume: OpenVolume, ino: Ino, caller: Caller) -> None:
    """Take setuid and setgid away from a file that `caller` is about to change.

    The superuser leaves them, and so does a member of the group setgid without group execution.
    Raises FsError ENOENT.  Source: write(2); Linux fs/attr.c, setattr_should_drop_suidgid.
    """
    if caller.uid == SUPERUSER.uid:
        return

    def apply(txn: Txn) -> None:
        txn.load(NodeWanted(ino))
        attr = rules.found(ino, txn.exact_node(ino))
        mode = attr.mode & ~stat.S_ISUID
        if mode & stat.S_IXGRP or not caller.is_member(attr.gid):
            mode &= ~stat.S_ISGID
        if mode != attr.mode and not attr.is_directory:
            txn.do(ChangeNode(ino, NodeChange(mode=mode, ctime_at_least_ns=txn.now_ns)))

    volume.engine.run(apply)


def _wanted(
    txn: Txn, attr: Attr, change: AttrChange, caller: Caller
) -> tuple[NodeChange, PutAcl | None]:
    """Return what is to change besides ctime, and the effect that stores a rewritten rule."""
    mode = _new_mode(attr, change, caller)
    access_acl, new_rule = None, None
    if mode is not None and attr.access_acl and change.mode is not None:
        rule = acl.with_mode(acl.read(txn, attr.access_acl), mode)
        access_acl, new_rule = acl.number_of(txn, rule)
    wanted = NodeChange(
        mode=mode,
        uid=change.uid,
        gid=change.gid,
        atime_ns=change.atime_ns,
        mtime_ns=change.mtime_ns,
        flags=change.flags,
        access_acl=access_acl,
    )
    return wanted, new_rule


def _charged(before: Attr, after: Attr) -> list[UseQuota]:
    """Return the effects that move what a node uses to another owner or group."""
    space_bytes = usage.space_of(before)
    moved_uid, moved_gid = before.uid != after.uid, before.gid != after.gid
    charges: list[UseQuota] = []
    for owner, sign in ((before, -1), (after, 1)):
        uid, gid = owner.uid if moved_uid else None, owner.gid if moved_gid else None
        charges += usage.owned(uid, gid, sign * space_bytes, sign)
    return charges


def _check_allowed(txn: Txn, ino: Ino, attr: Attr, change: AttrChange, caller: Caller) -> None:
    only_flags = AttrChange(flags=change.flags) == change
    if attr.flags & _GUARDED and not only_flags:
        raise FsError(errno.EPERM, ino)
    if not caller.check or caller.uid == SUPERUSER.uid:
        return
    is_owner = caller.uid == attr.uid
    foreign_uid = change.uid is not None and change.uid != attr.uid
    foreign_gid = change.gid is not None and not (is_owner and caller.is_member(change.gid))
    own_values = (change.mode, change.uid, change.gid)
    if (
        change.flags is not None
        or foreign_uid
        or (foreign_gid and change.gid != attr.gid)
        or (not is_owner and any(value is not None for value in own_values))
    ):
        raise FsError(errno.EPERM, ino)
    sets_times = change.atime_ns is not None or change.mtime_ns is not None
    if sets_times and not is_owner:
        if not change.times_are_now:
            raise FsError(errno.EPERM, ino)
        rules.demand(txn, ino, attr, caller, rules.WRITE)


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
