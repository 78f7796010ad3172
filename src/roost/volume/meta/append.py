"""Appending at the end that a file has when the commit happens."""

import errno

from roost.errors import InvalidArgument
from roost.volume.errors import FsError
from roost.volume.layout import CHUNK_BYTES, FILE_BYTES_MAX, split_by_chunk
from roost.volume.meta import usage
from roost.volume.meta.answers import Appended
from roost.volume.meta.effects import AddSliceRefs, AppendSlices, ChangeNode, NodeChange, merged
from roost.volume.meta.open_volume import OpenVolume
from roost.volume.meta.reads import NodeWanted
from roost.volume.meta.slices import charge, grow, regular
from roost.volume.meta.txn import Txn
from roost.volume.model import Ino, Slice, SliceId


def append_slice(
    volume: OpenVolume, ino: Ino, slice_id: SliceId, length: int, mtime_ns: int | None
) -> Appended:
    """Put a stored slice at the file's end; where that is, the commit decides.

    A slice across a chunk's border becomes two records of the one slice, so it counts two.
    Raises FsError: as write_slice.  InvalidArgument for an impossible slice.
    """
    if slice_id <= 0 or not 0 < length <= CHUNK_BYTES:
        raise InvalidArgument(f"not a slice: id {slice_id}, {length} bytes")

    def append(txn: Txn) -> Appended:
        volume.demand_ours(slice_id)
        txn.load(NodeWanted(ino), *usage.limits_wanted(volume))
        attr = regular(ino, txn.exact_node(ino))
        offset = attr.length
        if offset + length > FILE_BYTES_MAX:
            raise FsError(errno.EFBIG, ino)
        accounts = grow(txn, volume, ino, attr, offset + length)
        change = NodeChange(
            length=offset + length,
            data_time_ns=txn.now_ns if mtime_ns is None else mtime_ns,
            ctime_at_least_ns=txn.now_ns,
        )
        pieces, done = list(split_by_chunk(offset, length)), 0
        txn.do(AddSliceRefs(slice_id, len(pieces), length, is_new=True))
        for chunk_no, pos, piece in pieces:
            txn.do(AppendSlices(ino, chunk_no, (Slice(pos, slice_id, length, done, piece),)))
            done += piece
        txn.do(ChangeNode(ino, change))
        after = merged(attr, change)
        charge(txn, volume, attr, after, accounts)
        return Appended(offset, after)

    return volume.run_held(append, ino)
