"""Compaction: many records of a chunk become one slice.  (JuiceFS's algorithm.)"""

from typing import TYPE_CHECKING

from roost.volume.model import ChunkNo, Ino

if TYPE_CHECKING:
    from roost.volume.vfs.core import Core


def compact_chunk(core: "Core", ino: Ino, chunk_no: ChunkNo) -> int:
    """Merge the chunk's records into one slice; return how many records went, 0 if none did.

    Safe beside readers, writers and other clients: whoever commits first wins, and the loser's
    slice is deleted.  Raises MissingBlock, CorruptRecord, Unavailable, StorageFull, FsError.
    """
    raise NotImplementedError
