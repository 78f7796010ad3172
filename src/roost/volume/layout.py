"""Where bytes live: chunk and block arithmetic, and the names of block objects.

Source: JuiceFS Community 1.4, pkg/chunk; the volume format reference, sections 5.1 and 5.2.
"""

from collections.abc import Iterator

from roost.sizes import MIB
from roost.volume.model import NODE_SPACE_BYTES, ChunkNo, SliceId

CHUNK_BYTES = 64 * MIB
FILE_BYTES_MAX = CHUNK_BYTES << 31


def align_4k(length: int) -> int:
    """Return the space a file of `length` bytes is charged; an empty file costs one page too."""
    if length == 0:
        return NODE_SPACE_BYTES
    return ((length - 1) // NODE_SPACE_BYTES + 1) * NODE_SPACE_BYTES


def chunk_of(offset: int) -> tuple[ChunkNo, int]:
    """Return the chunk that holds byte `offset` of a file, and the position inside the chunk."""
    return ChunkNo(offset // CHUNK_BYTES), offset % CHUNK_BYTES


def chunk_count(length: int) -> int:
    """Return how many chunks a file of `length` bytes spans."""
    return (length + CHUNK_BYTES - 1) // CHUNK_BYTES


def split_by_chunk(offset: int, length: int) -> Iterator[tuple[ChunkNo, int, int]]:
    """Yield (chunk_no, position, bytes) of the pieces of a file range, in order."""
    end = offset + length
    while offset < end:
        chunk_no, pos = chunk_of(offset)
        piece = min(CHUNK_BYTES - pos, end - offset)
        yield chunk_no, pos, piece
        offset += piece


def block_count(slice_bytes: int, block_bytes: int) -> int:
    """Return how many block objects a slice of `slice_bytes` has."""
    return (slice_bytes + block_bytes - 1) // block_bytes


def block_size(slice_bytes: int, block_no: int, block_bytes: int) -> int:
    """Return the bytes of block `block_no`, before compression; the last is the shorter one."""
    size = min(block_bytes, slice_bytes - block_no * block_bytes)
    assert size > 0, "no such block"
    return size


def block_key(
    slice_id: SliceId, block_no: int, size_bytes: int, *, hash_prefix: bool = False
) -> str:
    """Return the object name of a block inside the volume's prefix.

    `size_bytes` is the block's size before compression and encryption.
    """
    if hash_prefix:
        folder = f"{slice_id % 256:02X}/{slice_id // 1_000_000}"
    else:
        folder = f"{slice_id // 1_000_000}/{slice_id // 1000}"
    return f"chunks/{folder}/{slice_id}_{block_no}_{size_bytes}"


def block_keys(
    slice_id: SliceId, slice_bytes: int, block_bytes: int, *, hash_prefix: bool = False
) -> list[str]:
    """Return the object names of all blocks of a slice, in order."""
    return [
        block_key(
            slice_id,
            block_no,
            block_size(slice_bytes, block_no, block_bytes),
            hash_prefix=hash_prefix,
        )
        for block_no in range(block_count(slice_bytes, block_bytes))
    ]


def parse_block_key(key: str) -> tuple[SliceId, int, int] | None:
    """Return (slice id, block_no, size_bytes) that `key` names, or None if it names no block."""
    if not key.startswith("chunks/"):
        return None
    parts = key.rsplit("/", 1)[-1].split("_")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts):
        return None
    slice_id, block_no, size_bytes = map(int, parts)
    return SliceId(slice_id), block_no, size_bytes
