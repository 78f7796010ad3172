"""copy_file_range: one file shows the slices of another, without moving data.

What the source shows in the range becomes records of the target; each one more counts as a
reference of its slice.  Holes become records of zeros, because the target may have data there.
"""

import errno
from dataclasses import dataclass

from roost.volume.errors import FsError
from roost.volume.layout import CHUNK_BYTES, FILE_BYTES_MAX, split_by_chunk
from roost.volume.meta import rules, trash, usage
from roost.volume.meta.answers import Copied
from roost.volume.meta.effects import (
    AddSliceRefs,
    AppendSlices,
    ChangeNode,
    NodeChange,
    merged,
)
from roost.volume.meta.open_volume import OpenVolume
from roost.volume.meta.reads import NodeWanted, SlicesWanted
from roost.volume.meta.slices import charge, grow
from roost.volume.meta.txn import Txn
from roost.volume.model import Attr, Caller, ChunkNo, Flag, Ino, Slice
from roost.volume.overlay import cover

COPY_BYTES_MAX = 64 * CHUNK_BYTES  # of one commit; copy_file_range(2) may copy less than asked
_GUARDED = int(Flag.IMMUTABLE | Flag.APPEND_ONLY)


@dataclass(frozen=True, slots=True)
class Copy:
    """What is to be copied where, in bytes."""

    source: Ino
    source_offset: int
    target: Ino
    target_offset: int
    length: int


def copy_range(volume: OpenVolume, copy: Copy, caller: Caller) -> Copied:
    """Copy a range and return how much, and the target's attributes.  One commit, or none.

    At most COPY_BYTES_MAX are copied, and no more than the source has.
    Raises FsError: ENOENT, EINVAL, EPERM, EACCES, EFBIG, ENOSPC, EDQUOT.
    Source: copy_file_range(2).
    """
    _check(copy)

    def apply(txn: Txn) -> Copied:
        first = ChunkNo(copy.source_offset // CHUNK_BYTES)
        txn.load(
            NodeWanted(copy.source),
            NodeWanted(copy.target),
            SlicesWanted(copy.source, first),
            *usage.limits_wanted(volume),
        )
        source, target = _ends(txn, copy, caller)
        length = min(copy.length, source.length - copy.source_offset, COPY_BYTES_MAX)
        if length <= 0:
            return Copied(0, target)
        end = copy.target_offset + length
        accounts = grow(txn, volume, copy.target, target, max(end, target.length))
        for effect in _records(_pieces(txn, copy, length), copy):
            txn.do(effect)
        change = NodeChange(
            length_at_least=end, data_time_ns=txn.now_ns, ctime_at_least_ns=txn.now_ns
        )
        txn.do(ChangeNode(copy.target, change))
        after = merged(target, change)
        charge(txn, volume, target, after, accounts)
        return Copied(length, after)

    return volume.run_held(apply, copy.source, copy.target)


def _check(copy: Copy) -> None:
    if min(copy.source_offset, copy.target_offset, copy.length) < 0:
        raise FsError(errno.EINVAL, copy.target)
    apart = abs(copy.source_offset - copy.target_offset) >= copy.length
    if copy.source == copy.target and not apart:
        raise FsError(errno.EINVAL, copy.target)
    if copy.target_offset + min(copy.length, COPY_BYTES_MAX) > FILE_BYTES_MAX:
        raise FsError(errno.EFBIG, copy.target)


def _ends(txn: Txn, copy: Copy, caller: Caller) -> tuple[Attr, Attr]:
    source = rules.found(copy.source, txn.exact_node(copy.source))
    target = rules.found(copy.target, txn.exact_node(copy.target))
    for ino, attr in ((copy.source, source), (copy.target, target)):
        if not attr.is_file:
            raise FsError(errno.EISDIR if attr.is_directory else errno.EINVAL, ino)
    if target.flags & _GUARDED:
        raise FsError(errno.EPERM, copy.target)
    trash.refuse_in_trash(copy.target, target)
    rules.demand(txn, copy.source, source, caller, rules.READ)
    rules.demand(txn, copy.target, target, caller, rules.WRITE)
    return source, target


def _pieces(txn: Txn, copy: Copy, length: int) -> list[tuple[int, Slice]]:
    """Return (offset in the target, piece) of all that the source shows; only reads."""
    ranges = list(split_by_chunk(copy.source_offset, length))
    txn.load(*(SlicesWanted(copy.source, chunk_no) for chunk_no, _, _ in ranges))
    pieces: list[tuple[int, Slice]] = []
    for chunk_no, pos, size in ranges:
        shift = copy.target_offset - copy.source_offset + chunk_no * CHUNK_BYTES
        records = txn.slices(copy.source, chunk_no)
        pieces += [(shift + p.pos, p) for p in cover(records, pos, pos + size)]
    return pieces


def _records(pieces: list[tuple[int, Slice]], copy: Copy) -> list[AppendSlices | AddSliceRefs]:
    """Return the effects that lay the pieces over the target, split at its chunks' borders."""
    effects: list[AppendSlices | AddSliceRefs] = []
    for start, piece in pieces:
        done = 0
        for chunk_no, pos, size in split_by_chunk(start, piece.length):
            offset = piece.offset + done if piece.id else 0
            record = Slice(pos, piece.id, piece.size, offset, size)
            effects.append(AppendSlices(copy.target, chunk_no, (record,)))
            if piece.id:
                effects.append(AddSliceRefs(piece.id, 1, piece.size))
            done += size
    return effects
