"""Moving names: rename, with NOREPLACE and EXCHANGE.

A directory is moved only if it is not above the place it goes to; every ancestor of that place is
read, so the same commit refuses what two clients would tie into a loop.
Source: rename(2), renameat2(2); the volume format reference, section 4.3.
"""

import errno
from dataclasses import dataclass, field

from roost.errors import CorruptRecord
from roost.volume.errors import FsError
from roost.volume.meta import dir_times, rules, summary, trash, usage
from roost.volume.meta.effects import AddEdge, ChangeNode, DropEdge, NodeChange
from roost.volume.meta.lookup import missing_node
from roost.volume.meta.open_files import Removal
from roost.volume.meta.open_volume import OpenVolume
from roost.volume.meta.reads import EdgeWanted, NodeWanted
from roost.volume.meta.remove import (
    Loss,
    Removed,
    carry_out,
    decide,
    directory_loss,
    first,
    run_removal,
)
from roost.volume.meta.txn import Txn
from roost.volume.model import (
    ROOT,
    Attr,
    Caller,
    DeletedFile,
    DirUsage,
    Edge,
    Ino,
    Kind,
    QuotaKind,
    RenameFlag,
)


@dataclass(frozen=True, slots=True)
class Move:
    """What the caller asked for."""

    parent: Ino
    name: bytes
    new_parent: Ino
    new_name: bytes
    flags: RenameFlag
    caller: Caller
    restoring: bool = False  # out of the trash: the directory may lie there too

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


@dataclass(slots=True)
class _Quotas:
    """The quotas that a move leaves and enters, and what moves.

    `sizes` holds what whole trees use, itself included, as measured before the transaction; a
    tree that must be charged and is not measured is noted in `unmeasured`.
    """

    left: tuple[Ino, ...]
    entered: tuple[Ino, ...]
    target_dirs: tuple[Ino, ...]
    sizes: dict[Ino, DirUsage]
    unmeasured: list[Ino] = field(default_factory=list)

    @property
    def differ(self) -> bool:
        """True if a move changes what any quota counts."""
        return bool(self.left or self.entered)

    def size(self, end: "_End") -> DirUsage:
        """Return what the node and all below it use."""
        if not end.attr.is_directory:
            return usage.as_child(end.attr)
        if end.edge.ino not in self.sizes:
            self.unmeasured.append(end.edge.ino)
            return DirUsage()
        return self.sizes[end.edge.ino]


def rename(volume: OpenVolume, move: Move) -> DeletedFile | None:
    """Move a name.  One commit, after a walk over a directory that goes to another quota.

    Return the file that was replaced if its data may go.
    Raises FsError: ENOENT, EEXIST with NOREPLACE, ENOTDIR, EISDIR, ENOTEMPTY, EACCES, EPERM, EINVAL
    a directory into itself, or flags that exclude each other; EDQUOT; CorruptRecord.
    """
    _check_flags(move.flags)
    if {move.name, move.new_name} & {b".", b".."}:
        raise FsError(errno.EBUSY, move.parent, move.name)
    rules.check_name(move.parent, move.name)
    rules.check_new_name(move.new_parent, move.new_name)
    work = _Work()

    def apply(txn: Txn, removal: Removal) -> Removed:
        work.unmeasured.clear()
        return _apply(txn, volume, removal, move, work)

    while True:
        removed = run_removal(volume, apply)
        if not work.unmeasured:
            return first(removed)
        for ino in work.unmeasured:  # Nothing was committed: count them, and try again.
            whole = summary.summary(volume, ino, strict=False)
            work.sizes[ino] = DirUsage(whole.length, whole.space_bytes, whole.inodes)


@dataclass(frozen=True, slots=True)
class _Work:
    """What whole trees were found to use, and which are still to be measured."""

    sizes: dict[Ino, DirUsage] = field(default_factory=dict)
    unmeasured: list[Ino] = field(default_factory=list)


def _apply(txn: Txn, volume: OpenVolume, removal: Removal, move: Move, work: _Work) -> Removed:
    _load(txn, volume, move)
    source = _source(txn, move)
    target_folder = rules.directory_to_add_to(
        txn, move.new_parent, txn.node(move.new_parent), move.caller, restoring=move.restoring
    )
    target_edge = txn.edge(move.new_parent, move.new_name)
    if move.flags & RenameFlag.EXCHANGE:
        if target_edge is None:
            raise FsError(errno.ENOENT, move.new_parent, move.new_name)
        return _exchange(txn, volume, move, source, _Target(target_folder, target_edge, work))
    if move.flags & RenameFlag.NOREPLACE and target_edge is not None:
        raise FsError(errno.EEXIST, move.new_parent, move.new_name)
    if target_edge is not None and target_edge.ino == source.edge.ino:
        return Removed()  # Two names of one node: POSIX does nothing.
    _check_directory_move(txn, move, source)
    quotas = _quotas(txn, volume, move, work.sizes)
    loss = None
    if target_edge is not None:
        target = _End(target_folder, target_edge, _node(txn, move, target_edge))
        loss = _replaced(txn, volume, removal, move, source, target)
    size = quotas.size(source) if quotas.differ else DirUsage()
    if quotas.unmeasured:
        work.unmeasured.extend(quotas.unmeasured)
        return Removed()
    _check_entering(txn, volume, quotas.entered, size, loss)
    return _move(txn, volume, move, source, _Change(target_folder, quotas, size, loss))


@dataclass(frozen=True, slots=True)
class _Change:
    """What a decided move does besides: the directory it enters, quotas, what it replaces."""

    folder: Attr
    quotas: _Quotas
    size: DirUsage
    loss: Loss | None


@dataclass(frozen=True, slots=True)
class _Target:
    """The other end of an exchange."""

    folder: Attr
    edge: Edge
    work: _Work


def _load(txn: Txn, volume: OpenVolume, move: Move) -> None:
    txn.load(
        NodeWanted(move.parent),
        EdgeWanted(move.parent, move.name, child=True),
        NodeWanted(move.new_parent),
        EdgeWanted(move.new_parent, move.new_name, child=True),
        *trash.wanted(txn, volume, move.new_parent),
    )


def _quotas(txn: Txn, volume: OpenVolume, move: Move, sizes: dict[Ino, DirUsage]) -> _Quotas:
    target_dirs = usage.quota_dirs(txn, volume, move.new_parent)
    if not move.changes_parent:
        return _Quotas((), (), target_dirs, sizes)
    source_dirs = usage.quota_dirs(txn, volume, move.parent)
    left = tuple(ino for ino in source_dirs if ino not in target_dirs)
    entered = tuple(ino for ino in target_dirs if ino not in source_dirs)
    return _Quotas(left, entered, target_dirs, sizes)


def _check_entering(
    txn: Txn,
    volume: OpenVolume,
    entered: tuple[Ino, ...],
    size: DirUsage,
    loss: Loss | None,
) -> None:
    """Raise FsError EDQUOT if what comes in, less what it replaces, is too much."""
    gone = DirUsage() if loss is None else usage.as_child(loss.attr)
    space_bytes, inodes = size.space_bytes - gone.space_bytes, size.inodes - gone.inodes
    for ino in entered:
        usage.check_quota(txn, volume, QuotaKind.DIRECTORY, ino, space_bytes, inodes)


def _check_flags(flags: RenameFlag) -> None:
    if flags & RenameFlag.WHITEOUT:
        raise FsError(errno.ENOTSUP)
    both = RenameFlag.NOREPLACE | RenameFlag.EXCHANGE
    if int(flags) & ~int(both) or flags == both:
        raise FsError(errno.EINVAL)


def _source(txn: Txn, move: Move) -> _End:
    folder = rules.directory_to_remove_from(txn, move.parent, txn.node(move.parent), move.caller)
    edge = txn.edge(move.parent, move.name)
    if edge is None:
        raise FsError(errno.ENOENT, move.parent, move.name)
    # Statistics go by a file's length only if they move: else it may be written to meanwhile.
    counts = edge.kind is Kind.FILE and move.changes_parent
    attr = txn.exact_node(edge.ino) if counts else txn.node(edge.ino)
    if attr is None:
        raise missing_node(move.parent, move.name, edge.ino)
    rules.check_unnaming(folder, edge.ino, attr, move.caller)
    return _End(folder, edge, attr)


def _node(txn: Txn, move: Move, edge: Edge) -> Attr:
    is_directory = edge.kind is Kind.DIRECTORY  # Its length and link count decide nothing.
    attr = txn.node(edge.ino) if is_directory else txn.exact_node(edge.ino)
    if attr is None:
        raise missing_node(move.new_parent, move.new_name, edge.ino)
    return attr


def _check_directory_move(txn: Txn, move: Move, source: _End) -> None:
    if not source.attr.is_directory or not move.changes_parent:
        return
    rules.demand(txn, source.edge.ino, source.attr, move.caller, rules.WRITE)  # its `..` changes
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
    rules.directory_to_remove_from(txn, move.new_parent, target.folder, move.caller)
    rules.check_unnaming(target.folder, ino, attr, move.caller)
    place = trash.find_place(txn, volume, move.new_parent, move.new_name, ino, attr)
    if attr.is_directory:
        return directory_loss(ino, attr, place)
    return decide(volume, removal, ino, attr, place)


def _move(txn: Txn, volume: OpenVolume, move: Move, source: _End, change: _Change) -> Removed:
    loss, quotas = change.loss, change.quotas
    txn.do(DropEdge(move.parent, move.name))
    removed = Removed()
    if loss is not None:
        txn.do(DropEdge(move.new_parent, move.new_name))
        gone = usage.as_child(loss.attr, -1)
        usage.charge_name(txn, volume, move.new_parent, quotas.target_dirs, gone)
        removed = carry_out(txn, volume, loss)
    txn.do(AddEdge(move.new_parent, move.new_name, source.edge))
    txn.do(_moved(txn, source, move.new_parent if move.changes_parent else None))
    if move.changes_parent:
        child, size = source.attr, change.size
        usage.charge_name(txn, volume, move.parent, (), usage.as_child(child, -1))
        usage.charge_name(txn, volume, move.new_parent, (), usage.as_child(child))
        usage.charge_quotas(txn, quotas.left, -size.space_bytes, -size.inodes)
        usage.charge_quotas(txn, quotas.entered, size.space_bytes, size.inodes)
    moves_directory = int(source.attr.is_directory and move.changes_parent)
    loses_directory = int(loss is not None and loss.attr.is_directory)
    old = (source.folder, -moves_directory)
    new = (change.folder, moves_directory - loses_directory)
    _touch_both(txn, volume, move, old, new)
    return removed


def _exchange(txn: Txn, volume: OpenVolume, move: Move, source: _End, other: _Target) -> Removed:
    folder, edge = other.folder, other.edge
    if edge.ino == source.edge.ino:
        return Removed()
    if rules.is_trash(move.parent):
        raise FsError(errno.EPERM, move.parent, move.name)
    rules.directory_to_remove_from(txn, move.new_parent, folder, move.caller)
    target = _End(folder, edge, _node(txn, move, edge))
    rules.check_unnaming(folder, edge.ino, target.attr, move.caller)
    _check_directory_move(txn, move, source)
    if target.attr.is_directory and move.changes_parent:
        rules.demand(txn, edge.ino, target.attr, move.caller, rules.WRITE)
        _refuse_below(txn, edge.ino, move.parent)
    quotas = _quotas(txn, volume, move, other.work.sizes)
    grown = _difference(quotas, source, target) if quotas.differ else DirUsage()
    if quotas.unmeasured:
        other.work.unmeasured.extend(quotas.unmeasured)
        return Removed()
    for ino, sign in [(i, 1) for i in quotas.entered] + [(i, -1) for i in quotas.left]:
        by, count = sign * grown.space_bytes, sign * grown.inodes
        usage.check_quota(txn, volume, QuotaKind.DIRECTORY, ino, by, count)

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
            usage.charge_name(txn, volume, ino, (), usage.as_child(gained))
            usage.charge_name(txn, volume, ino, (), usage.as_child(lost, -1))
        usage.charge_quotas(txn, quotas.entered, grown.space_bytes, grown.inodes)
        usage.charge_quotas(txn, quotas.left, -grown.space_bytes, -grown.inodes)
    _touch_both(txn, volume, move, (source.folder, -came), (folder, came))
    return Removed()


def _difference(quotas: _Quotas, source: _End, target: _End) -> DirUsage:
    """Return what the target's side gains by an exchange."""
    came, went = quotas.size(source), quotas.size(target)
    return DirUsage(0, came.space_bytes - went.space_bytes, came.inodes - went.inodes)


def _moved(txn: Txn, end: _End, new_parent: Ino | None) -> ChangeNode:
    """Return the change of a node that has another name; several parents stay unrecorded."""
    parent = new_parent if end.attr.parent else None
    return ChangeNode(end.edge.ino, NodeChange(ctime_at_least_ns=txn.now_ns, parent=parent))


def _touch_both(
    txn: Txn, volume: OpenVolume, move: Move, old: tuple[Attr, int], new: tuple[Attr, int]
) -> None:
    """Touch the directories, given as they were read and with what their link counts change by."""
    (folder, nlink_by), (new_folder, new_nlink_by) = old, new
    if not move.changes_parent:
        dir_times.touch(txn, volume, move.parent, folder, nlink_by + new_nlink_by)
        return
    if not rules.is_trash(move.parent):
        dir_times.touch(txn, volume, move.parent, folder, nlink_by)
    dir_times.touch(txn, volume, move.new_parent, new_folder, new_nlink_by)
