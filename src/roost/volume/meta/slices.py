"""A file's data, as far as metadata knows it: slice records, length, times.

Records are only ever appended; a later one covers earlier ones.  Cutting and growing a file both
append records of zeros over the range between the two lengths, so that old data never comes back.
"""

import errno
from dataclasses import dataclass

from roost.errors import InvalidArgument
from roost.volume.errors import FsError
from roost.volume.layout import CHUNK_BYTES, FILE_BYTES_MAX, align_4k, chunk_of, split_by_chunk
from roost.volume.meta import rules, trash, usage
from roost.volume.meta.effects import AddSliceRefs, AppendSlices, ChangeNode, NodeChange, merged
from roost.volume.meta.open_volume import OpenVolume
from roost.volume.meta.reads import NodeWanted, Reads
from roost.volume.meta.txn import Engine, Txn
from roost.volume.model import Attr, Caller, ChunkNo, DirUsage, Flag, Ino, Slice
from roost.volume.overlay import zeros

_GUARDED = int(Flag.IMMUTABLE | Flag.APPEND_ONLY)


def read_chunk(engine: Engine, ino: Ino, chunk_no: ChunkNo) -> tuple[Slice, ...]:
    """Return the chunk's records, oldest first; none for a hole.  Raises FsError ENOENT."""

    def records(reads: Reads) -> tuple[Slice, ...]:
        rules.found(ino, reads.node(ino))
        return reads.slices(ino, chunk_no)

    return engine.read(records)


def write_slice(
    volume: OpenVolume, ino: Ino, chunk_no: ChunkNo, record: Slice, mtime_ns: int | None
) -> Attr:
    """Append a record whose blocks are stored, and return the attributes.  One commit.

    mtime becomes `mtime_ns` (now, if None), or a nanosecond more if that is what it was.
    Raises FsError: ENOENT; EPERM no regular file; EFBIG; ENOSPC, EDQUOT over a limit.
    InvalidArgument for a record that does not fit its chunk or its slice.
    """
    check_record(record)
    if chunk_no < 0:
        raise InvalidArgument(f"chunk {chunk_no} lies before the file")
    end = chunk_no * CHUNK_BYTES + record.end
    if end > FILE_BYTES_MAX:
        raise FsError(errno.EFBIG, ino)

    def append(txn: Txn) -> Attr:
        volume.demand_ours(record.id)
        txn.load(NodeWanted(ino), *usage.limits_wanted(volume))
        attr = regular(ino, txn.exact_node(ino))
        accounts = grow(txn, volume, ino, attr, max(end, attr.length))
        change = NodeChange(
            length_at_least=end,
            data_time_ns=txn.now_ns if mtime_ns is None else mtime_ns,
            ctime_at_least_ns=txn.now_ns,
        )
        txn.do(
            AppendSlices(ino, chunk_no, (record,)),
            AddSliceRefs(record.id, 1, record.size, is_new=True),
            ChangeNode(ino, change),
        )
        after = merged(attr, change)
        charge(txn, volume, attr, after, accounts)
        return after

    return volume.run_held(append, ino)


def truncate(volume: OpenVolume, ino: Ino, length: int, caller: Caller) -> Attr:
    """Cut or grow a file to `length` and return the attributes.  One commit, or none if equal.

    Raises FsError: ENOENT; EPERM no regular file, guarded, or in the trash; EACCES; EINVAL; EFBIG;
    ENOSPC, EDQUOT over a limit.  Source: truncate(2).
    """
    if length < 0:
        raise FsError(errno.EINVAL, ino)
    if length > FILE_BYTES_MAX:
        raise FsError(errno.EFBIG, ino)

    def cut(txn: Txn) -> Attr:
        txn.load(NodeWanted(ino), *usage.limits_wanted(volume))
        attr = regular(ino, txn.exact_node(ino))
        if attr.flags & _GUARDED:
            raise FsError(errno.EPERM, ino)
        trash.refuse_in_trash(ino, attr)
        rules.demand(txn, ino, attr, caller, rules.WRITE)
        if length == attr.length:
            return attr
        accounts = grow(txn, volume, ino, attr, length)
        blanks = _blanks(txn, ino, min(length, attr.length), max(length, attr.length))
        change = NodeChange(length=length, data_time_ns=txn.now_ns, ctime_at_least_ns=txn.now_ns)
        txn.do(*blanks, ChangeNode(ino, change))
        after = merged(attr, change)
        charge(txn, volume, attr, after, accounts)
        return after

    return volume.run_held(cut, ino)


def check_record(record: Slice) -> None:
    """Refuse what is no slice of a chunk.  Raises InvalidArgument."""
    fits_chunk = record.pos >= 0 and record.length > 0 and record.end <= CHUNK_BYTES
    fits_slice = record.offset >= 0 and record.offset + record.length <= record.size
    if record.id <= 0 or not fits_chunk or not fits_slice or record.size > CHUNK_BYTES:
        raise InvalidArgument(f"not a slice of a chunk: {record}")


def regular(ino: Ino, attr: Attr | None) -> Attr:
    """Return the attributes of a regular file.  Raises FsError: ENOENT; EPERM another kind."""
    known = rules.found(ino, attr)
    if not known.is_file:
        raise FsError(errno.EPERM, ino)
    return known


@dataclass(frozen=True, slots=True)
class Accounts:
    """Who is charged for a file: its directories, how often, and the quotas above each."""

    parents: tuple[tuple[Ino, int, tuple[Ino, ...]], ...]


def grow(txn: Txn, volume: OpenVolume, ino: Ino, attr: Attr, length: int) -> Accounts:
    """Return who is to be charged if the file gets this length.

    Raises FsError: ENOSPC, EDQUOT if somebody refuses.
    """
    names = {attr.parent: 1} if attr.parent else txn.parents(ino)
    if attr.nlink == 0:
        names = {}  # Kept without a name: only volume and owner are charged.
    parents = tuple(
        (parent, count, usage.quota_dirs(txn, volume, parent)) for parent, count in names.items()
    )
    by_bytes = align_4k(length) - align_4k(attr.length)
    if by_bytes > 0:
        above = {quota_ino for _, _, dirs in parents for quota_ino in dirs}
        usage.check_growth(txn, volume, attr, sorted(above), by_bytes, 0)
    return Accounts(parents)


def charge(txn: Txn, volume: OpenVolume, before: Attr, after: Attr, accounts: Accounts) -> None:
    """Add the effects that charge a file's new length."""
    space_bytes = align_4k(after.length) - align_4k(before.length)
    usage.charge_node(txn, volume, before, space_bytes, 0)
    for parent, count, above in accounts.parents:
        grown = DirUsage((after.length - before.length) * count, space_bytes * count, 0)
        usage.charge_name(txn, volume, parent, above, grown)


def blank(offset: int, length: int) -> dict[ChunkNo, Slice]:
    """Return the records of zeros over a range of a file, one per chunk."""
    return {chunk_no: zeros(pos, piece) for chunk_no, pos, piece in split_by_chunk(offset, length)}


def _blanks(txn: Txn, ino: Ino, left: int, right: int) -> list[AppendSlices]:
    """Return the records of zeros over [left, right), as JuiceFS lays them.

    The first chunk always gets one, the last if the range ends inside it, those between only if
    they have records.
    """
    first, pos = chunk_of(left)
    last, end = chunk_of(right)
    blanks = [AppendSlices(ino, first, (zeros(pos, min(right - left, CHUNK_BYTES - pos)),))]
    if last > first:
        between = range(first + 1, last)
        numbers = txn.chunk_numbers(ino) if between else ()
        blanks += [
            AppendSlices(ino, number, (zeros(0, CHUNK_BYTES),))
            for number in numbers
            if number in between
        ]
        if end:
            blanks.append(AppendSlices(ino, last, (zeros(0, end),)))
    return blanks
