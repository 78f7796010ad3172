"""A file's data, as far as metadata knows it: slice records, length, times.

Records are only ever appended; a later one covers earlier ones.  Cutting and growing a file both
append records of zeros over the range between the two lengths, so that old data never comes back.
"""

import errno

from roost.errors import InvalidArgument
from roost.volume.errors import FsError
from roost.volume.layout import CHUNK_BYTES, FILE_BYTES_MAX, align_4k, chunk_of
from roost.volume.meta import rules, trash, usage
from roost.volume.meta.effects import AddSliceRefs, AppendSlices, ChangeNode, NodeChange, merged
from roost.volume.meta.open_volume import OpenVolume
from roost.volume.meta.reads import Reads
from roost.volume.meta.txn import Engine, Txn
from roost.volume.model import Attr, Caller, ChunkNo, DirUsage, Flag, Ino, Slice
from roost.volume.overlay import zeros


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
    Raises FsError: ENOENT; EPERM no regular file; EFBIG; ENOSPC over a limit.
    InvalidArgument for a record that does not fit its chunk or its slice.
    """
    _check_record(record)
    end = chunk_no * CHUNK_BYTES + record.end
    if end > FILE_BYTES_MAX:
        raise FsError(errno.EFBIG, ino)

    def append(txn: Txn) -> Attr:
        attr = _regular(ino, txn.exact_node(ino))
        charged = _parents(txn, ino, attr)
        _check_growth(txn, volume, attr, end)
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
        _charge(txn, volume, attr, after, charged)
        return after

    return volume.engine.run(append)


def truncate(volume: OpenVolume, ino: Ino, length: int, caller: Caller) -> Attr:
    """Cut or grow a file to `length` and return the attributes.  One commit, or none if equal.

    Raises FsError: ENOENT; EPERM no regular file, guarded, or in the trash; EACCES; EINVAL; EFBIG;
    ENOSPC over a limit.  Source: truncate(2).
    """
    if length < 0:
        raise FsError(errno.EINVAL, ino)
    if length > FILE_BYTES_MAX:
        raise FsError(errno.EFBIG, ino)

    def cut(txn: Txn) -> Attr:
        attr = _regular(ino, txn.exact_node(ino))
        if attr.flags & (Flag.IMMUTABLE | Flag.APPEND_ONLY):
            raise FsError(errno.EPERM, ino)
        trash.refuse_in_trash(ino, attr)
        rules.demand(ino, attr, caller, rules.WRITE)
        if length == attr.length:
            return attr
        charged = _parents(txn, ino, attr)
        _check_growth(txn, volume, attr, length)
        blanks = _blanks(txn, ino, min(length, attr.length), max(length, attr.length))
        change = NodeChange(length=length, data_time_ns=txn.now_ns, ctime_at_least_ns=txn.now_ns)
        txn.do(*blanks, ChangeNode(ino, change))
        after = merged(attr, change)
        _charge(txn, volume, attr, after, charged)
        return after

    return volume.engine.run(cut)


def _check_record(record: Slice) -> None:
    fits_chunk = record.pos >= 0 and record.length > 0 and record.end <= CHUNK_BYTES
    fits_slice = record.offset >= 0 and record.offset + record.length <= record.size
    if record.id <= 0 or not fits_chunk or not fits_slice or record.size > CHUNK_BYTES:
        raise InvalidArgument(f"not a slice of a chunk: {record}")


def _regular(ino: Ino, attr: Attr | None) -> Attr:
    known = rules.found(ino, attr)
    if not known.is_file:
        raise FsError(errno.EPERM, ino)
    return known


def _check_growth(txn: Txn, volume: OpenVolume, attr: Attr, length: int) -> None:
    usage.check_limits(txn, volume.settings, align_4k(length) - align_4k(attr.length), 0)


def _parents(txn: Txn, ino: Ino, attr: Attr) -> dict[Ino, int]:
    """Return the directories whose statistics the file counts in, and how often."""
    if attr.nlink == 0:
        return {}
    return {attr.parent: 1} if attr.parent else txn.parents(ino)


def _charge(
    txn: Txn, volume: OpenVolume, before: Attr, after: Attr, parents: dict[Ino, int]
) -> None:
    space_bytes = align_4k(after.length) - align_4k(before.length)
    usage.charge_volume(txn, space_bytes, 0)
    for parent, count in parents.items():
        grown = DirUsage((after.length - before.length) * count, space_bytes * count, 0)
        usage.charge_directory(txn, volume.settings, parent, grown)


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
