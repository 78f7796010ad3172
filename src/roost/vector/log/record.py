"""One record of the log, in memory and as bytes.

    offset  bytes  field (little endian)
         0      4  magic "RLG1": the last character is the format version
         4      4  crc32c of the payload followed by bytes 8 … 48
         8      8  payload length, bytes
        16      8  generation of the writer
        24      8  timestamp (hybrid); rises strictly from record to record
        32      8  collection id
        40      4  partition id (low 32 bits); 0 in a DELETE means all partitions
        44      2  kind
        46      2  flags: bit 0, the record opens a group commit; other bits zero
        48      …  payload, then zeros up to a multiple of 64

Payload: INSERT and UPSERT the rows (`columns.encode_rows`, primary key included); DELETE one
column of primary keys in the same encoding; BARRIER JSON that names a catalog change that is
committed already.  An UPSERT deletes its primary keys at its own timestamp, and its rows are not
touched by that (`row_ts < delete_ts` is false), so one record is one instant.

The payload comes first in the checksum so that callers compute it side by side, before the
timestamp is known.  A record that opens a group exists only if the group before it was durable:
that is how a torn tail (never acknowledged) is told from damage (see `scan`).
"""

import enum
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import google_crc32c
import pyarrow as pa
from typing_extensions import Buffer

from roost.errors import CorruptRecord, NewerFormat
from roost.vector.api import KeptBy

FORMAT_VERSION = 1
HEADER_BYTES = 48
ALIGNMENT_BYTES = 64
OPENS_GROUP = 1
_FAMILY = b"RLG"
_MAGIC = _FAMILY + str(FORMAT_VERSION).encode()
_HEADER = struct.Struct("<4sIQQQQIHH")
_COVERED = struct.Struct("<QQQQIHH")
_START_BYTES = HEADER_BYTES - _COVERED.size
_PARTITION_MASK = (1 << 32) - 1
assert _HEADER.size == HEADER_BYTES


class RecordKind(enum.IntEnum):
    """What a record does."""

    INSERT = 1
    DELETE = 2
    UPSERT = 3
    BARRIER = 4


@dataclass(frozen=True, slots=True)
class Record:
    """One change, as it was logged."""

    kind: RecordKind
    generation: int
    timestamp: int
    collection_id: int
    partition_id: int
    payload: pa.Buffer
    payload_crc: int | None = field(default=None, compare=False)
    """`payload_checksum(payload)`, if somebody computed it already."""
    kept_by: KeptBy | None = field(default=None, compare=False)
    """The follower that has the payload already; not stored."""


@dataclass(frozen=True, slots=True, order=True)
class LogPosition:
    """A place in the log of one generation: `offset` bytes into file number `file`."""

    file: int
    offset: int


def payload_checksum(payload: pa.Buffer) -> int:
    """Return the crc32c of `payload`, for `encode`; 51 MB take about 14 ms, without a copy."""
    checksum: int = google_crc32c.value(payload)
    return checksum


class RunningChecksum:
    """The checksum of one record's payload, while the record's bytes arrive piece by piece."""

    def __init__(self) -> None:
        self._crc = 0
        self._at = 0
        self._end = HEADER_BYTES

    def add(self, piece: memoryview) -> None:
        """Take the next bytes of the record.  Raises CorruptRecord if the first lack the header."""
        if not self._at:
            if len(piece) < HEADER_BYTES:
                raise CorruptRecord("record", "the header does not come in one piece")
            self._end = HEADER_BYTES + _HEADER.unpack_from(piece)[2]
        start = max(HEADER_BYTES - self._at, 0)
        stop = min(self._end - self._at, len(piece))
        if start < stop:
            # An Arrow buffer is the one view that google_crc32c takes without a copy.
            self._crc = google_crc32c.extend(self._crc, pa.py_buffer(piece[start:stop]))
        self._at += len(piece)

    @property
    def value(self) -> int:
        """As `payload_checksum`, once all pieces were added."""
        return self._crc


def record_size(payload_bytes: int) -> int:
    """Return the bytes that a record with such a payload takes in a file."""
    return -(-(HEADER_BYTES + payload_bytes) // ALIGNMENT_BYTES) * ALIGNMENT_BYTES


def encode(record: Record, *, opens_group: bool = False) -> list[Buffer]:
    """Return the record as buffers to append one after the other; the payload is not copied."""
    known = record.payload_crc
    crc = payload_checksum(record.payload) if known is None else known
    covered = _COVERED.pack(
        record.payload.size,
        record.generation,
        record.timestamp,
        record.collection_id,
        record.partition_id & _PARTITION_MASK,
        record.kind,
        OPENS_GROUP if opens_group else 0,
    )
    crc = google_crc32c.extend(crc, covered)
    header = _MAGIC + crc.to_bytes(4, "little") + covered
    padding = record_size(record.payload.size) - HEADER_BYTES - record.payload.size
    return [header, record.payload, bytes(padding)]


@dataclass(frozen=True, slots=True)
class Framed:
    """A record found in a file, and where it lies."""

    record: Record
    offset: int
    end: int
    opens_group: bool


def decode(
    data: Buffer, offset: int = 0, where: str = "log", payload_crc: int | None = None
) -> Framed:
    """Return the record at `offset`; its payload points into `data`.

    `payload_crc` is the checksum of the payload if the caller computed it on the way.

    Raises CorruptRecord naming `where` and the offset if no whole, sound record lies there;
    NewerFormat if a newer Roost wrote it.
    """
    buffer = pa.py_buffer(data)
    place = f"{where} at offset {offset}"
    if buffer.size - offset < HEADER_BYTES:
        raise CorruptRecord(place, "the record's header is cut off")
    header = buffer.slice(offset, HEADER_BYTES).to_pybytes()
    _check_magic(header[: len(_MAGIC)], place)
    length = _HEADER.unpack(header)[2]
    end = offset + record_size(length)
    if end > buffer.size:
        raise CorruptRecord(place, "the record is cut off")
    payload_end = offset + HEADER_BYTES + length
    payload = buffer.slice(offset + HEADER_BYTES, length)
    record, opens_group = decode_apart(header, payload, place, payload_crc)
    if buffer.slice(payload_end, end - payload_end).to_pybytes().strip(b"\0"):
        raise CorruptRecord(place, "the padding is not zero")
    return Framed(record, offset, end, opens_group)


def timestamp_of(header: bytes, generation: int, place: str) -> int:
    """Return the timestamp in the header of a record whose payload is not at hand.

    Without the payload its checksum says nothing.  Raises CorruptRecord if it is no header of a
    record of that generation, NewerFormat.
    """
    if len(header) != HEADER_BYTES:
        raise CorruptRecord(place, "the record's header is cut off")
    _check_magic(header[: len(_MAGIC)], place)
    _, _, _, found, timestamp, *_ = _HEADER.unpack(header)
    if found != generation:
        raise CorruptRecord(place, f"a record of generation {found}")
    return int(timestamp)


def decode_apart(
    header: bytes, payload: pa.Buffer, place: str, payload_crc: int | None = None
) -> tuple[Record, bool]:
    """Return the record of a header and a payload that lie apart, and whether it opens a group.

    Raises as `decode` if they do not belong together.
    """
    if len(header) != HEADER_BYTES:
        raise CorruptRecord(place, "the record's header is cut off")
    _check_magic(header[: len(_MAGIC)], place)
    _, crc, length, generation, timestamp, collection, partition, kind, flags = _HEADER.unpack(
        header
    )
    found = payload_checksum(payload) if payload_crc is None else payload_crc
    if length != payload.size or google_crc32c.extend(found, header[_START_BYTES:]) != crc:
        raise CorruptRecord(place, "the checksum is wrong")
    if flags & ~OPENS_GROUP or kind not in RecordKind.__members__.values():
        raise CorruptRecord(place, f"unknown kind {kind} or flags {flags}")
    record = Record(RecordKind(kind), generation, timestamp, collection, partition, payload, found)
    return record, bool(flags & OPENS_GROUP)


def scan(data: Buffer, where: str = "log", *, may_be_torn: bool = False) -> Iterator[Framed]:
    """Yield the records of a whole file, in order; payloads point into `data`.

    With `may_be_torn` (the last, unsealed file of a generation) the records end quietly before
    the first bad one, provided no later record opens a group: a group after it would prove that
    the bad one had been durable.  Otherwise, and for timestamps or generations out of order:

    Raises CorruptRecord naming `where` and the offset; NewerFormat.
    """
    buffer = pa.py_buffer(data)
    offset, last = 0, None
    while offset < buffer.size:
        try:
            framed = decode(buffer, offset, where)
            _check_order(last, framed, where)
        except CorruptRecord:
            if may_be_torn and not _group_opens_after(buffer, offset, last):
                return
            raise
        yield framed
        last, offset = framed, framed.end


def _check_magic(magic: bytes, place: str) -> None:
    if magic == _MAGIC:
        return
    if magic[:3] == _FAMILY and magic[3:].isdigit() and int(magic[3:]) > FORMAT_VERSION:
        raise NewerFormat(place, int(magic[3:]), FORMAT_VERSION)
    raise CorruptRecord(place, f"no record starts here: {magic!r}")


def _check_order(last: Framed | None, found: Framed, where: str) -> None:
    if last is None:
        return
    before, after = last.record, found.record
    if after.timestamp <= before.timestamp or after.generation != before.generation:
        place = f"{where} at offset {found.offset}"
        raise CorruptRecord(
            place,
            f"generation {after.generation} timestamp {after.timestamp} follows"
            f" generation {before.generation} timestamp {before.timestamp}",
        )


def _group_opens_after(buffer: pa.Buffer, bad: int, last: Framed | None) -> bool:
    """True if a sound record that opens a group lies beyond the bad one at offset `bad`."""
    raw = buffer.to_pybytes()
    at = raw.find(_MAGIC, bad + 1)
    while at >= 0:
        if at % ALIGNMENT_BYTES == 0:
            try:
                framed = decode(buffer, at)
                _check_order(last, framed, "log")
            except CorruptRecord:
                pass
            else:
                if framed.opens_group:
                    return True
        at = raw.find(_MAGIC, at + 1)
    return False
