"""Sorted rows in the bucket: parts that are checked when read, and a manifest that names them.

meta/roost/<id>/00000 …     parts: zstd frames of rows, each with its SHA-256 in the manifest
meta/roost/<id>.json        the manifest, stored last: a backup without one does not exist
meta/roost/<id>.failed      why a run failed, if the bucket could still be written to

An id is the UTC time of the state, to the microsecond.  No name begins like JuiceFS's own backups,
`meta/dump-…`, so its rotation leaves them alone.
"""

import hashlib
import heapq
import json
import struct
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import zstandard

from roost.blob.store import BlobNotFound, BlobStore
from roost.errors import CorruptRecord, NewerFormat
from roost.volume.tools.backup.rows import Row

PREFIX = "meta/roost/"
FORMAT = 1
PART_BYTES = 8 << 20  # of rows, before they are packed
ROW_BYTES_MAX = 64 << 20
_LEVEL = 3
_HEAD = struct.Struct(">BII")  # 1 put or 0 drop, bytes of key and of value
Change = tuple[bytes, bytes | None]


@dataclass(frozen=True, slots=True)
class Part:
    """One stored piece of a run."""

    key: str
    stored_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """A backup: all rows of a moment, or with `previous` what changed since that one."""

    id: str
    uuid: str
    name: str
    taken_ns: int
    previous: str  # id of the backup that this one changes; "" for a base
    base: str  # id of the base below
    rows: int  # of the whole state
    changes: int  # rows in the parts
    parts: tuple[Part, ...]
    format: int = FORMAT

    @property
    def is_base(self) -> bool:
        """True if it needs no other."""
        return not self.previous

    @property
    def stored_bytes(self) -> int:
        """Bytes of all parts."""
        return sum(part.stored_bytes for part in self.parts)


def id_of(taken_ns: int) -> str:
    """Return the name of the state of a moment; names sort as moments do."""
    moment = datetime.fromtimestamp(taken_ns // 1_000_000_000, tz=UTC)
    return f"{moment:%Y%m%dT%H%M%S}.{taken_ns % 1_000_000_000 // 1000:06d}Z"


def manifest_key(id_: str) -> str:
    """Return the name of a manifest."""
    return f"{PREFIX}{id_}.json"


# ---- writing
def write_run(
    store: BlobStore, id_: str, changes: Iterable[Change]
) -> tuple[tuple[Part, ...], int]:
    """Store rows in parts; return the parts and the number of rows."""
    parts: list[Part] = []
    waiting: list[bytes] = []
    size = count = 0

    def flush() -> None:
        packed = zstandard.ZstdCompressor(level=_LEVEL).compress(b"".join(waiting))
        key = f"{PREFIX}{id_}/{len(parts):05d}"
        store.put(key, packed)
        parts.append(Part(key, len(packed), hashlib.sha256(packed).hexdigest()))
        waiting.clear()

    for key, value in changes:
        raw = value or b""
        waiting += (_HEAD.pack(value is not None, len(key), len(raw)), key, raw)
        size += _HEAD.size + len(key) + len(raw)
        count += 1
        if size >= PART_BYTES:
            flush()
            size = 0
    if waiting:
        flush()
    return tuple(parts), count


def put_manifest(store: BlobStore, manifest: Manifest) -> None:
    """Store a manifest, which makes its backup exist."""
    document = asdict(manifest)
    document["checksum"] = _checksum(document)
    store.put(manifest_key(manifest.id), json.dumps(document, indent=1).encode())


def _checksum(document: dict[str, Any]) -> str:
    plain = {name: value for name, value in document.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


# ---- reading
def read_manifest(store: BlobStore, id_: str) -> Manifest:
    """Return a backup's manifest.  Raises CorruptRecord, BlobNotFound, NewerFormat."""
    where = manifest_key(id_)
    raw = bytes(store.get(where))
    try:
        document = json.loads(raw)
        found = document.get("format", 0)
        if isinstance(found, int) and found > FORMAT:
            raise NewerFormat(where, found, FORMAT)
        if document.pop("checksum") != _checksum(document):
            raise CorruptRecord(where, "its checksum is another")
        parts = tuple(Part(**part) for part in document.pop("parts"))
        manifest = Manifest(**document, parts=parts)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptRecord(where, f"no manifest: {error}") from error
    if manifest.id != id_:
        raise CorruptRecord(where, f"the manifest of {manifest.id}")
    return manifest


def read_run(store: BlobStore, manifest: Manifest) -> Iterator[Change]:
    """Yield a backup's rows in order of key.

    Raises CorruptRecord, naming the object, for one that is missing or not as it was stored.
    """
    before = b""
    for part in manifest.parts:
        for change in _unpacked(part.key, _part(store, part)):
            if change[0] <= before:
                raise CorruptRecord(part.key, "rows out of order")
            before = change[0]
            yield change


def _part(store: BlobStore, part: Part) -> bytes:
    try:
        packed = bytes(store.get(part.key))
    except BlobNotFound as error:
        raise CorruptRecord(part.key, "part of a backup is missing") from error
    if len(packed) != part.stored_bytes or hashlib.sha256(packed).hexdigest() != part.sha256:
        raise CorruptRecord(part.key, "it is not what was stored")
    try:
        rows: bytes = zstandard.ZstdDecompressor().decompress(
            packed, max_output_size=PART_BYTES + ROW_BYTES_MAX
        )
    except zstandard.ZstdError as error:
        raise CorruptRecord(part.key, f"not a zstd frame: {error}") from error
    return rows


def _unpacked(where: str, raw: bytes) -> Iterator[Change]:
    at = 0
    while at < len(raw):
        if at + _HEAD.size > len(raw):
            raise CorruptRecord(where, "a row is cut")
        is_put, key_bytes, value_bytes = _HEAD.unpack_from(raw, at)
        start = at + _HEAD.size
        middle, at = start + key_bytes, start + key_bytes + value_bytes
        if at > len(raw):
            raise CorruptRecord(where, "a row is cut")
        yield raw[start:middle], raw[middle:at] if is_put else None


def merged(runs: Iterable[Iterator[Change]]) -> Iterator[Row]:
    """Yield the rows that a base and its changes, oldest first, come to."""

    def numbered(run: Iterator[Change], age: int) -> Iterator[tuple[bytes, int, bytes | None]]:
        return ((key, age, value) for key, value in run)

    # The newest first among rows of one key; values are never compared.
    streams = [numbered(run, -number) for number, run in enumerate(runs)]
    everything = heapq.merge(*streams, key=lambda row: row[:2])
    for key, rows in groupby(everything, key=lambda row: row[0]):
        value = next(rows)[2]
        if value is not None:
            yield key, value


def chain(store: BlobStore, manifest: Manifest) -> list[Manifest]:
    """Return the base below a backup and all changes up to it, oldest first.

    Raises CorruptRecord if a link is missing.
    """
    links = [manifest]
    while not links[-1].is_base:
        previous = links[-1].previous
        try:
            link = read_manifest(store, previous)
        except BlobNotFound as error:
            why = f"it builds on {previous}, which is gone"
            raise CorruptRecord(manifest_key(links[-1].id), why) from error
        if link.uuid != manifest.uuid or link.id >= links[-1].id:
            raise CorruptRecord(manifest_key(link.id), "it does not belong to this chain")
        links.append(link)
    return links[::-1]


def rows_of(store: BlobStore, manifest: Manifest) -> Iterator[Row]:
    """Yield the rows of the state that a backup holds.  Raises CorruptRecord."""
    links = chain(store, manifest)
    if len(links) == 1:
        return ((key, value) for key, value in read_run(store, links[0]) if value is not None)
    return merged([read_run(store, link) for link in links])
