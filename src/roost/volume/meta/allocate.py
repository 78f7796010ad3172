"""fallocate: growing a file ahead of its data, and making ranges zeros."""

import errno

from roost.volume.errors import FsError
from roost.volume.layout import FILE_BYTES_MAX
from roost.volume.meta import rules, trash, usage
from roost.volume.meta.answers import FallocateFlag
from roost.volume.meta.effects import AppendSlices, ChangeNode, NodeChange, merged
from roost.volume.meta.open_volume import OpenVolume
from roost.volume.meta.reads import NodeWanted
from roost.volume.meta.slices import blank, charge, grow
from roost.volume.meta.txn import Txn
from roost.volume.model import Attr, Caller, Flag, Ino, Kind

_SHIFTING = FallocateFlag.COLLAPSE_RANGE | FallocateFlag.INSERT_RANGE
_ZEROING = FallocateFlag.PUNCH_HOLE | FallocateFlag.ZERO_RANGE
_KNOWN = _SHIFTING | _ZEROING | FallocateFlag.KEEP_SIZE


def fallocate(
    volume: OpenVolume, ino: Ino, flags: FallocateFlag, offset: int, length: int, caller: Caller
) -> Attr:
    """Apply fallocate(2) and return the attributes.  One commit.

    Space is not reserved: a file is charged by its length alone.  Data beyond the old end is zeros
    anyway, so only a range before it gets records.
    Raises FsError: EINVAL, EOPNOTSUPP, ENOENT, EPIPE a fifo, EPERM, EACCES, EFBIG, ENOSPC, EDQUOT.
    Source: fallocate(2); the volume format reference, section 4.3.
    """
    _check(ino, flags, offset, length)

    def apply(txn: Txn) -> Attr:
        txn.load(NodeWanted(ino), *usage.limits_wanted(volume))
        attr = rules.found(ino, txn.exact_node(ino))
        _check_node(txn, ino, attr, flags, caller)
        end = attr.length if flags & FallocateFlag.KEEP_SIZE else max(attr.length, offset + length)
        accounts = grow(txn, volume, ino, attr, end)
        change = NodeChange(length=end, data_time_ns=txn.now_ns, ctime_at_least_ns=txn.now_ns)
        if flags & _ZEROING and offset < attr.length:
            for chunk_no, zeros in blank(offset, min(length, attr.length - offset)).items():
                txn.do(AppendSlices(ino, chunk_no, (zeros,)))
        txn.do(ChangeNode(ino, change))
        after = merged(attr, change)
        charge(txn, volume, attr, after, accounts)
        return after

    return volume.run_held(apply, ino)


def _check(ino: Ino, flags: FallocateFlag, offset: int, length: int) -> None:
    """Refuse what no file would allow."""
    for alone in (FallocateFlag.COLLAPSE_RANGE, FallocateFlag.INSERT_RANGE):
        if flags & alone and flags != alone:
            raise FsError(errno.EINVAL, ino)
    if offset < 0 or length <= 0:
        raise FsError(errno.EINVAL, ino)
    if int(flags) & ~int(_KNOWN) or flags & _SHIFTING:
        raise FsError(errno.EOPNOTSUPP, ino)
    if flags & FallocateFlag.PUNCH_HOLE and not flags & FallocateFlag.KEEP_SIZE:
        raise FsError(errno.EINVAL, ino)
    if offset + length > FILE_BYTES_MAX:
        raise FsError(errno.EFBIG, ino)


def _check_node(txn: Txn, ino: Ino, attr: Attr, flags: FallocateFlag, caller: Caller) -> None:
    if attr.kind is Kind.FIFO:
        raise FsError(errno.EPIPE, ino)
    if not attr.is_file or attr.flags & Flag.IMMUTABLE:
        raise FsError(errno.EPERM, ino)
    trash.refuse_in_trash(ino, attr)
    rules.demand(txn, ino, attr, caller, rules.WRITE)
    if attr.flags & Flag.APPEND_ONLY and flags & ~FallocateFlag.KEEP_SIZE:
        raise FsError(errno.EPERM, ino)
