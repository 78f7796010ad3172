"""The container of every file of a segment: sections, a directory behind them, a trailer.

    offset    bytes  field (little endian)
         0        …  sections, each at a multiple of 64, zeros between
         …        …  directory: JSON, UTF-8
    end-32        8  offset of the directory
    end-24        4  length of the directory, bytes
    end-20        4  crc32c of the directory
    end-16        4  format version
    end-12        4  zero
     end-8        8  magic "ROOSTSEG"

The directory is `{"kind": …, "meta": {…}, "sections": [{"name", "offset", "size_bytes",
"piece_bytes", "crc32c": […]}]}`, one crc32c for each piece.  The first section is at offset 0, so
that the vectors of a vector file are a raw array from its first byte on.  A piece is checked when
it is first touched.  See docs/formats/segment.md.
"""

import json
import mmap
import struct
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt

from roost.errors import CorruptRecord, NewerFormat
from roost.sizes import MIB

FORMAT_VERSION = 1
ALIGNMENT = 64
PIECE_BYTES = 1 * MIB
_MAGIC = b"ROOSTSEG"
_TRAILER = struct.Struct("<QIIII8s")
assert _TRAILER.size == 32

Bytes = npt.NDArray[np.uint8]


def crc32c(data: Bytes) -> int:
    """Return the checksum of contiguous bytes."""
    data.flags.writeable = False  # what the C function demands of a buffer
    return int(google_crc32c.value(data))


def write_container(
    target: Path, kind: str, meta: Mapping[str, Any], sections: Iterable[tuple[str, Any]]
) -> int:
    """Write a new file of (name, contiguous array or buffer) sections and return its bytes."""
    entries: list[dict[str, Any]] = []
    with target.open("xb") as out:
        for name, content in sections:
            data = np.frombuffer(content, dtype=np.uint8) if len(content) else np.empty(0, np.uint8)
            out.write(bytes(-out.tell() % ALIGNMENT))
            entry = {"name": name, "offset": out.tell(), "size_bytes": len(data)}
            pieces = [data[at : at + PIECE_BYTES] for at in range(0, len(data), PIECE_BYTES)]
            entry |= {"piece_bytes": PIECE_BYTES, "crc32c": [crc32c(piece) for piece in pieces]}
            out.write(data.data)
            entries.append(entry)
        out.write(bytes(-out.tell() % ALIGNMENT))
        directory = json.dumps(
            {"kind": kind, "meta": meta, "sections": entries}, separators=(",", ":")
        ).encode()
        checksum = int(google_crc32c.value(directory))
        trailer = (out.tell(), len(directory), checksum, FORMAT_VERSION, 0, _MAGIC)
        out.write(directory + _TRAILER.pack(*trailer))
        return out.tell()


@dataclass(frozen=True, slots=True)
class _Section:
    offset: int
    size_bytes: int
    piece_bytes: int
    checksums: Sequence[int]


class Container:
    """An open file of sections, memory-mapped and read-only.  Thread-safe."""

    def __init__(self, local: Path, where: str, kind: str) -> None:
        """Map it and read its directory.

        Raises CorruptRecord, NewerFormat naming `where`; FileNotFoundError.
        """
        self.where = where
        self._data = _map(local)
        directory = self._directory(kind)
        try:
            self.meta: dict[str, Any] = directory["meta"]
            self._sections = {
                raw["name"]: _Section(
                    raw["offset"], raw["size_bytes"], raw["piece_bytes"], raw["crc32c"]
                )
                for raw in directory["sections"]
            }
        except (KeyError, TypeError) as error:
            raise CorruptRecord(where, f"not a directory of sections: {error}") from error
        self._lock = threading.Lock()
        self._checked = {
            name: np.zeros(len(section.checksums), dtype=np.bool_)
            for name, section in self._sections.items()
        }

    @property
    def size_bytes(self) -> int:
        """Bytes of the whole file."""
        return len(self._data)

    def section(self, name: str) -> Bytes:
        """Return a whole section, every piece checked.  Raises CorruptRecord."""
        data = self.unchecked(name)
        self.check(name, 0, len(data))
        return data

    def unchecked(self, name: str) -> Bytes:
        """Return a whole section, of which `check` has yet to see what is read."""
        section = self._sections.get(name)
        if section is None:
            raise CorruptRecord(self.where, f"has no section {name}")
        return self._data[section.offset : section.offset + section.size_bytes]

    def check(self, name: str, start: int, stop: int) -> None:
        """Compare the pieces that hold bytes `start` … `stop` of a section, each once."""
        section = self._sections[name]
        if stop > start:
            numbers = np.arange(start // section.piece_bytes, -(-stop // section.piece_bytes))
            self.check_pieces(name, numbers)

    def check_pieces(self, name: str, numbers: npt.NDArray[np.int64]) -> None:
        """Compare pieces of a section with their checksums, each once.  Raises CorruptRecord."""
        section, checked = self._sections[name], self._checked[name]
        missing = numbers[~checked[numbers]]
        for number in missing.tolist():
            start = section.offset + number * section.piece_bytes
            end = min(start + section.piece_bytes, section.offset + section.size_bytes)
            if crc32c(self._data[start:end]) != section.checksums[number]:
                raise CorruptRecord(self.where, f"checksum of {name} fails at byte {start}")
        with self._lock:
            checked[missing] = True

    def piece_bytes(self, name: str) -> int:
        """Bytes of a section that one checksum covers."""
        return self._sections[name].piece_bytes

    def verify(self) -> None:
        """Compare every piece again.  Raises CorruptRecord."""
        for name, checked in self._checked.items():
            with self._lock:
                checked[:] = False
            self.section(name)

    def _directory(self, kind: str) -> dict[str, Any]:
        data, where = self._data, self.where
        if len(data) < _TRAILER.size:
            raise CorruptRecord(where, f"{len(data)} bytes, too short for a segment file")
        raw = _TRAILER.unpack(data[-_TRAILER.size :].tobytes())
        offset, length, checksum, version, _, magic = raw
        if magic != _MAGIC:
            raise CorruptRecord(where, "does not end like a segment file")
        if version > FORMAT_VERSION:
            raise NewerFormat(where, version, FORMAT_VERSION)
        if offset + length + _TRAILER.size != len(data):
            raise CorruptRecord(where, "its directory is not where the trailer says")
        text = data[offset : offset + length].tobytes()
        if int(google_crc32c.value(text)) != checksum:
            raise CorruptRecord(where, "checksum of the directory fails")
        directory: dict[str, Any] = json.loads(text)
        if directory["kind"] != kind:
            raise CorruptRecord(where, f"holds {directory['kind']}, not {kind}")
        for raw_section in directory["sections"]:
            if raw_section["offset"] + raw_section["size_bytes"] > offset:
                raise CorruptRecord(where, f"section {raw_section['name']} is beyond the end")
        return directory


def _map(local: Path) -> Bytes:
    with local.open("rb") as file:
        size_bytes = file.seek(0, 2)
        if not size_bytes:
            return np.empty(0, dtype=np.uint8)
        mapped = mmap.mmap(file.fileno(), size_bytes, access=mmap.ACCESS_READ)
    return np.frombuffer(mapped, dtype=np.uint8)
