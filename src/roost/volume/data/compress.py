"""The three ways JuiceFS stores a block: as it is, as a raw LZ4 block, as a zstd frame.

Compression is a property of the volume: every block goes through it and no header says so.
Source: the volume format reference, section 5.5; JuiceFS pkg/compress.
"""

from typing import Protocol

import lz4.block
import zstandard
from typing_extensions import Buffer

from roost.errors import CorruptRecord, Unsupported

_ZSTD_LEVEL = 1
_KIB_128 = 128 << 10


class Compression(Protocol):
    """How block bytes become object bytes.  Safe to call from several threads."""

    @property
    def keeps_bytes(self) -> bool:
        """True if an object's bytes are the block's, so that ranges can be read."""
        ...

    def encode(self, data: Buffer) -> Buffer:
        """Return the object's bytes."""
        ...

    def decode(self, stored: Buffer, size_bytes: int, where: str) -> Buffer:
        """Return the block's `size_bytes` bytes.  Raises CorruptRecord, naming `where`."""
        ...

    def stored_bytes_max(self, size_bytes: int) -> int:
        """Return how large the object of a block of `size_bytes` may be; JuiceFS reads no more."""
        ...


class Uncompressed:
    """`Compression` that does nothing."""

    keeps_bytes = True

    def encode(self, data: Buffer) -> Buffer:
        """As in Compression."""
        return data

    def decode(self, stored: Buffer, size_bytes: int, where: str) -> Buffer:
        """As in Compression."""
        _check_size(memoryview(stored).nbytes, size_bytes, where)
        return stored

    def stored_bytes_max(self, size_bytes: int) -> int:
        """As in Compression."""
        return size_bytes


class Lz4:
    """`Compression` by one raw LZ4 block without a size in front."""

    keeps_bytes = False

    def encode(self, data: Buffer) -> Buffer:
        """As in Compression."""
        packed: bytes = lz4.block.compress(data, store_size=False)
        return packed

    def decode(self, stored: Buffer, size_bytes: int, where: str) -> bytes:
        """As in Compression."""
        try:
            data: bytes = lz4.block.decompress(stored, uncompressed_size=size_bytes)
        except lz4.block.LZ4BlockError as error:
            raise CorruptRecord(where, f"not an LZ4 block: {error}") from error
        _check_size(len(data), size_bytes, where)
        return data

    def stored_bytes_max(self, size_bytes: int) -> int:
        """As in Compression."""
        return size_bytes + size_bytes // 255 + 16


class Zstd:
    """`Compression` by one zstd frame."""

    keeps_bytes = False

    def encode(self, data: Buffer) -> Buffer:
        """As in Compression."""
        # A compressor is not safe to share between threads; making one is cheap beside a block.
        return zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(memoryview(data))

    def decode(self, stored: Buffer, size_bytes: int, where: str) -> bytes:
        """As in Compression.  Frames of any level, with or without a size, are read."""
        try:
            data = zstandard.ZstdDecompressor().decompress(
                memoryview(stored), max_output_size=size_bytes, allow_extra_data=False
            )
        except zstandard.ZstdError as error:
            raise CorruptRecord(where, f"not a zstd frame: {error}") from error
        _check_size(len(data), size_bytes, where)
        return data

    def stored_bytes_max(self, size_bytes: int) -> int:
        """As in Compression."""
        small = (_KIB_128 - size_bytes) >> 11 if size_bytes < _KIB_128 else 0
        return size_bytes + (size_bytes >> 8) + small


_BY_NAME: dict[str, type[Uncompressed] | type[Lz4] | type[Zstd]] = {
    "": Uncompressed,
    "none": Uncompressed,
    "lz4": Lz4,
    "zstd": Zstd,
}


def compression_named(name: str) -> Compression:
    """Return the compression of a volume's settings.  Raises Unsupported."""
    found = _BY_NAME.get(name.lower())
    if found is None:
        raise Unsupported(
            f"compression {name!r} is not served by this Roost",
            hint="Use one of: none, lz4, zstd.",
        )
    return found()


def _check_size(found_bytes: int, size_bytes: int, where: str) -> None:
    if found_bytes != size_bytes:
        raise CorruptRecord(where, f"{found_bytes} bytes instead of {size_bytes}")
