"""What proves the bytes of a whole cached file: a record in a file beside it.

    offset      bytes  field
    0               8  "RoostSum"
    8               8  length of the file, big endian
    16          4 × n  CRC-32C of each MiB of it, big endian
    16 + 4 × n      4  CRC-32C of the file's name and of all before

A MiB at a time goes through the processor's cache once more for its checksum; nothing is mapped,
so a file that is cut meanwhile is a short read.
"""

import os
import struct
from collections.abc import Iterator

import google_crc32c

from roost.sizes import MIB

PIECE_BYTES = MIB
_MAGIC = b"RoostSum"
_HEAD = struct.Struct(">8sQ")
_SUM = struct.Struct(">I")


def proof_of(descriptor: int, name: str) -> bytes:
    """Return the record of the file that `name` names.  Raises OSError."""
    sums = [_SUM.pack(google_crc32c.value(piece)) for piece in _pieces(descriptor)]
    body = _HEAD.pack(_MAGIC, os.fstat(descriptor).st_size) + b"".join(sums)
    return body + _seal(name, body)


def is_proved(descriptor: int, proof: bytes, name: str, *, content: bool = True) -> bool:
    """True if `proof` is the record of `name`, and the file has its length and its bytes.

    Without `content` the bytes are not looked at.  Raises OSError.
    """
    body, seal = proof[: -_SUM.size], proof[-_SUM.size :]
    if len(body) < _HEAD.size or seal != _seal(name, body):
        return False
    magic, length = _HEAD.unpack_from(body)
    if magic != _MAGIC or length != os.fstat(descriptor).st_size:
        return False
    if not content:
        return True
    end = _HEAD.size
    for piece in _pieces(descriptor):
        start, end = end, end + _SUM.size
        if body[start:end] != _SUM.pack(google_crc32c.value(piece)):
            return False
    return end == len(body)


def _pieces(descriptor: int) -> Iterator[bytes]:
    """Yield the file's bytes, all pieces full but the last one."""
    offset = 0
    while True:
        piece = os.pread(descriptor, PIECE_BYTES, offset)
        while piece and len(piece) < PIECE_BYTES:  # a read may be short
            more = os.pread(descriptor, PIECE_BYTES - len(piece), offset + len(piece))
            if not more:
                break
            piece += more
        if not piece:
            return
        yield piece
        offset += len(piece)


def _seal(name: str, body: bytes) -> bytes:
    return _SUM.pack(google_crc32c.extend(google_crc32c.value(name.encode()), body))
