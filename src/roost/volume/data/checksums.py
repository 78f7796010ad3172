"""The form of a block on this host's disk: its bytes, then what proves them.

    offset        bytes  field
    0              size  the block, neither compressed nor encrypted
    size          4 × n  CRC-32C of each 32 KiB of it, big endian, as JuiceFS writes them
    size + 4 × n      4  CRC-32C of the volume's UUID, the object's name and the checksums before

The last number is ours: it tells a sound file in the wrong place from the right one.
Source: the volume format reference, section 5.8.
"""

import struct

import google_crc32c
from typing_extensions import Buffer

from roost.sizes import KIB

PIECE_BYTES = 32 * KIB
_SEAL = struct.Struct(">I")


def stored_bytes(size_bytes: int) -> int:
    """Return the bytes of the file that keeps a block of `size_bytes`."""
    return size_bytes + _trailer_bytes(size_bytes)


def trailer(data: Buffer, name: str) -> bytes:
    """Return what follows the block `data` that `name` ("UUID/key") names."""
    sums = _sums(data)
    return sums + _SEAL.pack(_seal(name, sums))


def is_sound(name: str, size_bytes: int, tail: bytes, data: Buffer, offset: int = 0) -> bool:
    """True if `tail` proves that `data` are bytes from `offset` of the block `name`.

    `offset`, and the end of `data` unless it is the block's, are multiples of PIECE_BYTES.
    """
    assert offset % PIECE_BYTES == 0
    if not is_seal_sound(name, size_bytes, tail):
        return False
    first = offset // PIECE_BYTES * 4
    sums = _sums(data)
    return tail[first : first + len(sums)] == sums


def is_seal_sound(name: str, size_bytes: int, tail: bytes) -> bool:
    """True if `tail` is the trailer of a block of that name and size."""
    if len(tail) != _trailer_bytes(size_bytes):
        return False
    sums = tail[: -_SEAL.size]
    return tail[-_SEAL.size :] == _SEAL.pack(_seal(name, sums))


def _trailer_bytes(size_bytes: int) -> int:
    return (size_bytes + PIECE_BYTES - 1) // PIECE_BYTES * 4 + _SEAL.size


def _sums(data: Buffer) -> bytes:
    view = memoryview(data).cast("B")
    starts = range(0, len(view), PIECE_BYTES)
    values = [google_crc32c.value(bytes(view[start : start + PIECE_BYTES])) for start in starts]
    return struct.pack(f">{len(values)}I", *values)


def _seal(name: str, sums: bytes) -> int:
    value: int = google_crc32c.extend(google_crc32c.value(name.encode()), sums)
    return value
