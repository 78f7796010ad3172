"""Removing what nobody can reach any more: chunks of deleted files, slices, old trash.

References are dropped first, in metadata; then the caller deletes blocks; then the slice is
forgotten.  A crash anywhere leaves a row that a later run finds: nothing leaks, and nothing that is
referred to is ever given away.
"""

import errno
import logging
from collections.abc import Iterable

from roost.errors import CorruptRecord
from roost.volume.errors import FsError
from roost.volume.meta import remove, trash, tree_removal
from roost.volume.meta.effects import (
    AddSliceRefs,
    DropChunk,
    DropDelayed,
    DropDeletedFile,
    DropSliceRef,
)
from roost.volume.meta.listing import readdir
from roost.volume.meta.open_volume import OpenVolume
from roost.volume.meta.reads import Reads
from roost.volume.meta.txn import Txn
from roost.volume.model import (
    SUPERUSER,
    TRASH,
    ChunkNo,
    DelayedSlices,
    DeletedFile,
    Ino,
    SliceRef,
)

log = logging.getLogger(__name__)


def release_deleted_file(volume: OpenVolume, file: DeletedFile) -> tuple[SliceRef, ...]:
    """Drop the file's chunks and the note; return slices nobody refers to.  A commit per chunk.

    Raises CorruptRecord if the file still exists: then nothing is dropped.
    """
    released: list[SliceRef] = []
    for chunk_no in volume.engine.read(lambda reads: reads.chunk_numbers(file.ino)):
        released += _drop_chunk(volume, file.ino, chunk_no)

    def forget(txn: Txn) -> None:
        if not txn.chunk_numbers(file.ino) and txn.deleted_file(file.ino) is not None:
            txn.do(DropDeletedFile(file.ino))

    volume.engine.run(forget)
    return without_reference(volume, released)


def _drop_chunk(volume: OpenVolume, ino: Ino, chunk_no: ChunkNo) -> list[SliceRef]:
    def drop(txn: Txn) -> list[SliceRef]:
        if txn.deleted_file(ino) is None:
            return []  # Another client was faster.
        if txn.node(ino) is not None:
            raise CorruptRecord(f"inode {ino}", "it is noted as deleted but exists")
        refs = [SliceRef(s.id, s.size) for s in txn.slices(ino, chunk_no) if s.id]
        txn.do(DropChunk(ino, chunk_no), *(AddSliceRefs(ref.id, -1, ref.size) for ref in refs))
        return refs

    return volume.engine.run(drop)


def release_delayed(volume: OpenVolume, delayed: DelayedSlices) -> tuple[SliceRef, ...]:
    """Drop the references that the trash kept for a compaction.  One commit."""

    def drop(txn: Txn) -> bool:
        if txn.delayed(delayed.chunk_id) != delayed:
            return False  # Another client was faster.
        txn.do(
            DropDelayed(delayed.chunk_id),
            *(AddSliceRefs(ref.id, -1, ref.size) for ref in delayed.slices),
        )
        return True

    if not volume.engine.run(drop):
        return ()
    return without_reference(volume, delayed.slices)


def without_reference(volume: OpenVolume, refs: Iterable[SliceRef]) -> tuple[SliceRef, ...]:
    """Return those that no record refers to now, each once."""
    distinct = {ref.id: ref for ref in refs}

    def select(reads: Reads) -> tuple[SliceRef, ...]:
        counted = ((ref, reads.slice_refs(ref.id, ref.size)) for ref in distinct.values())
        return tuple(
            SliceRef(ref.id, ref.size, count)
            for ref, count in counted
            if count is not None and count <= 0
        )

    return volume.engine.read(select)


def forget_slice(volume: OpenVolume, ref: SliceRef) -> None:
    """Drop the slice's row after its blocks are deleted.  One commit.

    A slice that is referred to is left alone.
    """
    volume.engine.run(lambda txn: txn.do(DropSliceRef(ref.id, ref.size)))


def clean_trash(volume: OpenVolume) -> int:
    """Remove for good what lies in the trash too long; return how many entries went."""
    if volume.engine.read(lambda reads: reads.node(TRASH)) is None:
        return 0
    gone = 0
    for folder in list(readdir(volume.engine, TRASH, SUPERUSER, with_attrs=False)):
        if trash.expired(folder.name, volume.now_s, volume.settings.trash_days):
            gone += _empty(volume, folder.ino, folder.name)
    return gone


def _empty(volume: OpenVolume, ino: Ino, name: bytes) -> int:
    gone = 0
    try:
        gone = tree_removal.empty_for_good(volume, ino)
        remove.rmdir(volume, TRASH, name, SUPERUSER, skip_trash=True)
    except FsError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):  # Another client was faster.
            log.warning("not removed from the trash: %r: %s", name, error)
    except CorruptRecord as error:  # The hours after it are cleaned all the same.
        log.warning("not removed from the trash: %r: %s", name, error)
    return gone
