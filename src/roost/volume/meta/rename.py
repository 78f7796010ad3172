"""Moving names: rename, with NOREPLACE and EXCHANGE.

A directory is moved only if it is not above the place it goes to; every ancestor of that place is
read, so the same commit refuses what two clients would tie into a loop.
Source: rename(2), renameat2(2); the volume format reference, section 4.3.
"""

import errno
from dataclasses import dataclass

from roost.errors import CorruptRecord
from roost.volume.errors import FsError
from roost.volume.meta import rules, trash, usage
from roost.volume.meta.effects import AddEdge, ChangeNode, DropEdge, NodeChange
from roost.volume.meta.lookup import missing_node
from roost.volume.meta.open_files import Removal
from roost.volume.meta.open_volume import OpenVolume
from roost.volume.meta.remove import Loss, Removed, carry_out, decide, directory_loss, run_removal
from roost.volume.meta.txn import Txn
from roost.volume.model import ROOT, Attr, Caller, DeletedFile, Edge, Ino, RenameFlag


@dataclass(frozen=True, slots=True)
class Move:
    """What the caller asked for."""

    parent: Ino
    name: bytes
    new_parent: Ino
    new_name: bytes
    flags: RenameFlag
    caller: Caller

    @property
    def changes_parent(self) -> bool:
        """True if the name goes to another directory."""
        return self.parent != self.new_parent


@dataclass(frozen=True, slots=True)
class _End:
    """One end of a move: the directory, and the entry there with its node."""

    folder: Attr
    edge: Edge
    attr: Attr


def rename(volume: OpenVolume, move: Move) -> DeletedFile | None:
    """Move a name.  One commit.

    Return the file that was replaced if its data may go.
    Raises FsError: ENOENT, EEXIST with NOREPLACE, ENOTDIR, EISDIR, ENOTEMPTY, EACCES, EPERM, EINVAL
    a directory into itself, or flags that exclude each other; CorruptRecord.
    """
    _check_flags(move.flags)
    if {move.name, move.new_name} & {b".", b".."}:
        raise FsError(errno.EBUSY, move.parent, move.name)
    rules.check_name(move.parent, move.name)
    rules.check_new_name(move.new_parent, move.new_name)

    def apply(txn: Txn, removal: Removal) -> Removed:
        source = _source(txn, move)
        target_folder = rules.directory_to_add_to(
            move.new_parent, txn.node(move.new_parent), move.caller
        )
        target_edge = txn.edge(move.new_parent, move.new_name)
        if move.flags & RenameFlag.EXCHANGE:
            if target_edge is None:
                raise FsError(errno.ENOENT, move.new_parent, move.new_name)
            return _exchange(txn, volume, move, source, target_folder, target_edge)
        if move.flags & RenameFlag.NOREPLACE and target_edge is not None:
            raise FsError(errno.EEXIST, move.new_parent, move.new_name)
        if target_edge is not None and target_edge.ino == source.edge.ino:
            return Removed()  # Two names of one node: POSIX does nothing.
        _check_directory_move(txn, move, source)
        loss = None
        if target_edge is not None:
            target = _End(target_folder, target_edge, _node(txn, move, target_edge))
            loss = _replaced(txn, volume, removal, move, source, target)
        return _move(txn, volume, move, source, loss)

    return run_removal(volume, apply)


def _check_flags(flags: RenameFlag) -> None:
    if flags & RenameFlag.WHITEOUT:
        raise FsError(errno.ENOTSUP)
    both = RenameFlag.NOREPLACE | RenameFlag.EXCHANGE
    if int(flags) & ~int(both) or flags == both:
        raise FsError(errno.EINVAL)


def _source(txn: Txn, move: Move) -> _End:
    folder = rules.directory_to_remove_from(move.parent, txn.node(move.parent), move.caller)
    edge = txn.edge(move.parent, move.name)
    if edge is None:
        raise FsError(errno.ENOENT, move.parent, move.name)
    attr = txn.exact_node(edge.ino)
    if attr is None:
        raise missing_node(move.parent, move.name, edge.ino)
    rules.check_unnaming(folder, edge.ino, attr, move.caller)
    return _End(folder, edge, attr)


def _node(txn: Txn, move: Move, edge: Edge) -> Attr:
    attr = txn.exact_node(edge.ino)
    if attr is None:
        raise missing_node(move.new_parent, move.new_name, edge.ino)
    return attr


def _check_directory_move(txn: Txn, move: Move, source: _End) -> None:
    if not source.attr.is_directory or not move.changes_parent:
        return
    rules.demand(source.edge.ino, source.attr, move.caller, rules.WRITE)  # its `..` changes
    _refuse_below(txn, source.edge.ino, move.new_parent)


def _refuse_below(txn: Txn, moved: Ino, place: Ino) -> None:
    """Raise FsError EINVAL if `moved` is `place` or one of its ancestors."""
    seen = set()
    ino = place
    while ino != ROOT:
        if ino == moved:
            raise FsError(errno.EINVAL, moved)
        if ino in seen:
            raise CorruptRecord(f"directory {place}", "its ancestors form a loop")
        seen.add(ino)
        ino = rules.directory(ino, txn.node(ino)).parent


def _replaced(
    txn: Txn, volume: OpenVolume, removal: Removal, move: Move, source: _End, target: _End
) -> Loss:
    """Decide what becomes of the node that is replaced."""
    ino, attr = target.edge.ino, target.attr
    if source.attr.is_directory and not attr.is_directory:
        raise FsError(errno.ENOTDIR, move.new_parent, move.new_name)
    if attr.is_directory and not source.attr.is_directory:
        raise FsError(errno.EISDIR, move.new_parent, move.new_name)
    if attr.is_directory and txn.has_entries(ino):
        raise FsError(errno.ENOTEMPTY, move.new_parent, move.new_name)
    rules.directory_to_remove_from(move.new_parent, target.folder, move.caller)
    rules.check_unnaming(target.folder, ino, attr, move.caller)
    place = trash.find_place(txn, volume, move.new_parent, move.new_name, ino, attr)
    if attr.is_directory:
        return directory_loss(ino, attr, place)
    return decide(volume, removal, ino, attr, place)


def _move(txn: Txn, volume: OpenVolume, move: Move, source: _End, loss: Loss | None) -> Removed:
    txn.do(DropEdge(move.parent, move.name))
    removed = Removed()
    if loss is not None:
        txn.do(DropEdge(move.new_parent, move.new_name))
        usage.charge_directory(txn, volume.settings, move.new_parent, usage.as_child(loss.attr, -1))
        removed = carry_out(txn, volume, loss)
    txn.do(AddEdge(move.new_parent, move.new_name, source.edge))
    txn.do(_moved(txn, source, move.new_parent if move.changes_parent else None))
    if move.changes_parent:
        child = source.attr
        usage.charge_directory(txn, volume.settings, move.parent, usage.as_child(child, -1))
        usage.charge_directory(txn, volume.settings, move.new_parent, usage.as_child(child))
    moves_directory = int(source.attr.is_directory and move.changes_parent)
    loses_directory = int(loss is not None and loss.attr.is_directory)
    _touch_both(txn, move, -moves_directory, moves_directory - loses_directory)
    return removed


def _exchange(
    txn: Txn, volume: OpenVolume, move: Move, source: _End, folder: Attr, edge: Edge
) -> Removed:
    if edge.ino == source.edge.ino:
        return Removed()
    if rules.is_trash(move.parent):
        raise FsError(errno.EPERM, move.parent, move.name)
    rules.directory_to_remove_from(move.new_parent, folder, move.caller)
    target = _End(folder, edge, _node(txn, move, edge))
    rules.check_unnaming(folder, edge.ino, target.attr, move.caller)
    _check_directory_move(txn, move, source)
    if target.attr.is_directory and move.changes_parent:
        rules.demand(edge.ino, target.attr, move.caller, rules.WRITE)
        _refuse_below(txn, edge.ino, move.parent)

    txn.do(
        DropEdge(move.parent, move.name),
        DropEdge(move.new_parent, move.new_name),
        AddEdge(move.parent, move.name, edge),
        AddEdge(move.new_parent, move.new_name, source.edge),
        _moved(txn, source, move.new_parent if move.changes_parent else None),
        _moved(txn, target, move.parent if move.changes_parent else None),
    )
    came = 0
    if move.changes_parent:
        came = int(source.attr.is_directory) - int(target.attr.is_directory)
        for ino, gained, lost in (
            (move.parent, target.attr, source.attr),
            (move.new_parent, source.attr, target.attr),
        ):
            usage.charge_directory(txn, volume.settings, ino, usage.as_child(gained))
            usage.charge_directory(txn, volume.settings, ino, usage.as_child(lost, -1))
    _touch_both(txn, move, -came, came)
    return Removed()


def _moved(txn: Txn, end: _End, new_parent: Ino | None) -> ChangeNode:
    """Return the change of a node that has another name; several parents stay unrecorded."""
    parent = new_parent if end.attr.parent else None
    return ChangeNode(end.edge.ino, NodeChange(ctime_at_least_ns=txn.now_ns, parent=parent))


def _touch_both(txn: Txn, move: Move, nlink_by: int, new_nlink_by: int) -> None:
    if not move.changes_parent:
        txn.do(rules.touched(move.parent, txn.now_ns, nlink_by=nlink_by + new_nlink_by))
        return
    if not rules.is_trash(move.parent):
        txn.do(rules.touched(move.parent, txn.now_ns, nlink_by=nlink_by))
    txn.do(rules.touched(move.new_parent, txn.now_ns, nlink_by=new_nlink_by))
