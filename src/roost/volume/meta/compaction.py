"""The commit of a compaction: one slice in the place of a chunk's oldest records.

Whoever compacts has read the pieces and stored the new slice; here it is put in place only if the
records are still those that were read.  mtime does not change: the bytes are the same.
Source: the volume format reference, section 5.4, step 4.
"""

from dataclasses import dataclass

from roost.errors import InvalidArgument
from roost.volume.meta.answers import Compacted
from roost.volume.meta.cleanup import without_reference
from roost.volume.meta.effects import AddSliceRefs, PutDelayed, ReplaceSlices
from roost.volume.meta.open_volume import OpenVolume
from roost.volume.meta.reads import SlicesWanted
from roost.volume.meta.slices import check_record
from roost.volume.meta.txn import Txn
from roost.volume.model import ChunkNo, DelayedSlices, Ino, Slice, SliceRef


@dataclass(frozen=True, slots=True)
class Replacement:
    """A chunk's oldest records as they were read: those left alone, then those replaced."""

    ino: Ino
    chunk_no: ChunkNo
    skipped: tuple[Slice, ...]
    replaced: tuple[Slice, ...]
    record: Slice


def replace_slices(volume: OpenVolume, work: Replacement) -> Compacted | None:
    """Replace the records.  One commit; None, and nothing changed, if they are others by now.

    Raises InvalidArgument for a record that is no slice of a chunk.
    """
    check_record(work.record)
    if len(work.replaced) < 2:
        raise InvalidArgument("a compaction replaces two records or more")
    seen = work.skipped + work.replaced
    gone = tuple(SliceRef(s.id, s.size) for s in work.replaced if s.id)
    keeps = volume.settings.trash_days > 0

    def replace(txn: Txn) -> bool:
        volume.demand_ours(work.record.id)
        if any(volume.slice_ids.is_doubtful(s.id) for s in work.replaced):
            return False  # its bytes may have been read before they became another's
        txn.load(SlicesWanted(work.ino, work.chunk_no))
        if txn.first_slices(work.ino, work.chunk_no, len(seen)) != seen:
            return False
        record = work.record
        txn.do(
            ReplaceSlices(work.ino, work.chunk_no, len(seen), (*work.skipped, record)),
            AddSliceRefs(record.id, 1, record.size, is_new=True),
        )
        if keeps and gone:
            txn.do(PutDelayed(DelayedSlices(record.id, txn.now_s, gone)))
        else:
            txn.do(*(AddSliceRefs(ref.id, -1, ref.size) for ref in gone))
        return True

    if not volume.engine.run(replace):
        return None
    return Compacted(() if keeps else without_reference(volume, gone))
