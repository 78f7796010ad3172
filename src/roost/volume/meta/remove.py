"""Removing names: unlink, rmdir, many at once, and what a replacing rename does to its target.

What becomes of a node when it loses a name is one of four: moved to the trash; one link fewer;
kept without a name while this session has it open; gone, and its data noted for removal.
"""

import errno
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Protocol

from roost.volume.errors import FsError
from roost.volume.meta import dir_times, leases, rules, trash, usage
from roost.volume.meta.effects import (
    ChangeNode,
    DropEdge,
    DropNode,
    DropSustained,
    DropXattrs,
    NodeChange,
    PutDeletedFile,
    PutDirUsage,
    PutSustained,
)
from roost.volume.meta.open_files import Removal
from roost.volume.meta.open_volume import OpenVolume
from roost.volume.meta.reads import EdgeWanted, NodeWanted
from roost.volume.meta.txn import Txn
from roost.volume.model import (
    NO_SESSION,
    Attr,
    Caller,
    DeletedFile,
    Ino,
    Kind,
    SessionId,
)


class Fate(Enum):
    """What becomes of a node that loses a name."""

    TRASHED = auto()
    ONE_LINK_FEWER = auto()
    KEPT_OPEN = auto()
    GONE = auto()


@dataclass(frozen=True, slots=True)
class Loss:
    """A decided fate, and all that carrying it out needs."""

    ino: Ino
    attr: Attr
    fate: Fate
    place: trash.TrashPlace | None = None


@dataclass(slots=True)
class Removed:
    """What a removal left to do after its commit."""

    deleted: list[DeletedFile] = field(default_factory=list)
    kept: list[Ino] = field(default_factory=list)


def unlink(
    volume: OpenVolume, parent: Ino, name: bytes, caller: Caller, *, skip_trash: bool
) -> DeletedFile | None:
    """Remove the name of anything but a directory.  One commit.

    Raises FsError: ENOENT, ENOTDIR, EACCES; EPERM a directory or a guarded node; EINVAL.
    Source: unlink(2).
    """
    rules.check_name(parent, name)

    def remove(txn: Txn, removal: Removal) -> Removed:
        _load(txn, volume, parent, name)
        folder = rules.directory_to_remove_from(txn, parent, txn.node(parent), caller)
        edge = txn.edge(parent, name)
        if edge is None:
            raise FsError(errno.ENOENT, parent, name)
        if edge.kind is Kind.DIRECTORY:
            raise FsError(errno.EPERM, parent, name)
        attr = txn.exact_node(edge.ino)
        if attr is None:  # A damaged entry is removed, never trashed.
            txn.do(DropEdge(parent, name))
            return Removed()
        rules.check_unnaming(folder, edge.ino, attr, caller)
        place = None if skip_trash else trash.find_place(txn, volume, parent, name, edge.ino, attr)
        loss = decide(volume, removal, edge.ino, attr, place)
        above = usage.quota_dirs(txn, volume, parent)
        txn.do(DropEdge(parent, name))
        touch(txn, volume, parent, folder)
        usage.charge_name(txn, volume, parent, above, usage.as_child(attr, -1))
        return carry_out(txn, volume, loss)

    return first(run_removal(volume, remove))


def rmdir(
    volume: OpenVolume, parent: Ino, name: bytes, caller: Caller, *, skip_trash: bool
) -> None:
    """Remove an empty directory.  One commit.

    Raises FsError: ENOENT, ENOTDIR, ENOTEMPTY, EACCES, EPERM, EINVAL.  Source: rmdir(2).
    """
    if name == b".":
        raise FsError(errno.EINVAL, parent, name)
    if name == b"..":
        raise FsError(errno.ENOTEMPTY, parent, name)
    rules.check_name(parent, name)

    def remove(txn: Txn) -> None:
        _load(txn, volume, parent, name)
        folder = rules.directory_to_remove_from(txn, parent, txn.node(parent), caller)
        edge = txn.edge(parent, name)
        if edge is None:
            raise FsError(errno.ENOENT, parent, name)
        if edge.kind is not Kind.DIRECTORY:
            raise FsError(errno.ENOTDIR, parent, name)
        attr = txn.node(edge.ino)
        if attr is None:
            txn.do(DropEdge(parent, name))
            return
        rules.check_unnaming(folder, edge.ino, attr, caller)
        if txn.has_entries(edge.ino):
            raise FsError(errno.ENOTEMPTY, parent, name)
        place = None if skip_trash else trash.find_place(txn, volume, parent, name, edge.ino, attr)
        above = usage.quota_dirs(txn, volume, parent)
        txn.do(DropEdge(parent, name))
        touch(txn, volume, parent, folder, nlink_by=-1)
        usage.charge_name(txn, volume, parent, above, usage.as_child(attr, -1))
        carry_out(txn, volume, directory_loss(edge.ino, attr, place))

    volume.engine.run(remove)


def _load(txn: Txn, volume: OpenVolume, parent: Ino, name: bytes) -> None:
    entry = EdgeWanted(parent, name, child=True)
    txn.load(NodeWanted(parent), entry, *trash.wanted(txn, volume, parent))


def decide(
    volume: OpenVolume, removal: Removal, ino: Ino, attr: Attr, place: trash.TrashPlace | None
) -> Loss:
    """Return what becomes of a node, not a directory, that loses a name.

    Raises FsError EBUSY for the last name of a file open here if there is no session to keep it.
    """
    if place is not None:
        return Loss(ino, attr, Fate.TRASHED, place)
    if attr.nlink > 1:
        return Loss(ino, attr, Fate.ONE_LINK_FEWER)
    if attr.is_file and removal.is_open(ino):
        if volume.sid == NO_SESSION:
            raise FsError(errno.EBUSY, ino)
        return Loss(ino, attr, Fate.KEPT_OPEN)
    return Loss(ino, attr, Fate.GONE)


def directory_loss(ino: Ino, attr: Attr, place: trash.TrashPlace | None) -> Loss:
    """Return what becomes of an empty directory that loses its name."""
    return Loss(ino, attr, Fate.GONE if place is None else Fate.TRASHED, place)


def carry_out(txn: Txn, volume: OpenVolume, *losses: Loss) -> Removed:
    """Add the effects of fates on the nodes themselves; the entries are the caller's affair."""
    removed = Removed()
    folders = {loss.place.folder for loss in losses if loss.place is not None}
    assert len(folders) <= 1, "a commit uses the trash of one hour"
    for folder in folders:
        trash.open_folder(txn, volume, folder)
    for loss in losses:
        _carry_out(txn, volume, loss, removed)
    return removed


def _carry_out(txn: Txn, volume: OpenVolume, loss: Loss, removed: Removed) -> None:
    ino, attr = loss.ino, loss.attr
    if attr.is_directory:
        txn.do(PutDirUsage(ino, None))
    if loss.place is not None:
        trash.move_to(txn, volume, loss.place, ino, attr)
        return
    fewer = ChangeNode(ino, NodeChange(nlink_by=-1, ctime_at_least_ns=txn.now_ns))
    if loss.fate is Fate.ONE_LINK_FEWER:
        txn.do(fewer)
    elif loss.fate is Fate.KEPT_OPEN:
        leases.make_sure(txn, volume)
        txn.do(fewer, PutSustained(volume.sid, ino), DropXattrs(ino))
        removed.kept.append(ino)
    else:
        deleted = drop_node(txn, volume, ino, attr)
        if deleted is not None:
            removed.deleted.append(deleted)


def drop_node(txn: Txn, volume: OpenVolume, ino: Ino, attr: Attr) -> DeletedFile | None:
    """Add the effects that remove a node; return the note of its data, if it has any."""
    txn.do(DropNode(ino))
    usage.charge_node(txn, volume, attr, -usage.space_of(attr), -1)
    if not attr.is_file:
        return None
    deleted = DeletedFile(ino, attr.length, txn.now_s)
    txn.do(PutDeletedFile(deleted))
    return deleted


def touch(txn: Txn, volume: OpenVolume, parent: Ino, folder: Attr, nlink_by: int = 0) -> None:
    """Add the effect on a directory that lost names; the trash is never touched."""
    if not rules.is_trash(parent):
        dir_times.touch(txn, volume, parent, folder, nlink_by)


def delete_sustained(
    volume: OpenVolume,
    sid: SessionId,
    ino: Ino,
    may: Callable[[Txn], bool] = lambda _txn: True,
) -> DeletedFile | None:
    """Let go of a nameless file that session `sid` kept; return it if its data may go.

    A file that has a name after all is only let go of; nothing happens unless `may` allows it.
    """

    def delete(txn: Txn) -> DeletedFile | None:
        if not may(txn):
            return None
        attr = txn.exact_node(ino)
        txn.do(DropSustained(sid, ino))
        if attr is None or attr.nlink > 0:
            return None
        return drop_node(txn, volume, ino, attr)

    return volume.engine.run(delete)


class RemovalRule(Protocol):
    """A rule that may take the last name of a file."""

    def __call__(self, txn: Txn, removal: Removal) -> Removed:
        """Decide and add effects."""
        ...


def run_removal(volume: OpenVolume, rule: RemovalRule) -> Removed:
    """Run a rule that may take last names, keeping its claims until the commit is done.

    What is returned names every file whose data may go, also those closed during the commit.
    """
    with volume.opens.removal() as removal:
        removed = volume.engine.run(lambda txn: rule(txn, removal))
    for ino in removed.kept:
        if not volume.opens.keep(ino):
            late = delete_sustained(volume, volume.sid, ino)
            if late is not None:
                removed.deleted.append(late)
    return removed


def first(removed: Removed) -> DeletedFile | None:
    """Return the file whose data may go, of a removal of one name."""
    return removed.deleted[0] if removed.deleted else None
