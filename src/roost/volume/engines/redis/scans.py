"""Listings of whole tables.

Redis has no snapshots: what changes during a listing may or may not show, and two listings are of
two moments.  What looks wrong is to be read again before it is believed; `touched` brings a listing
up to one moment.

Order and memory: keys are found by SCAN, in no order; their numbers are kept, eight bytes each,
sorted, and their records then read in batches.  So memory grows by eight bytes for an inode,
sixteen for a chunk, and by the entries of the one directory being read.
"""

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import hiredis
import numpy as np

from roost.errors import CorruptRecord
from roost.volume.codec import (
    SLICE_BYTES,
    decode_attr,
    decode_edge,
    decode_names,
    decode_slices,
)
from roost.volume.engines.redis import records
from roost.volume.engines.redis.connection import Command
from roost.volume.engines.redis.errors import failure
from roost.volume.engines.redis.listings import read_entries
from roost.volume.engines.redis.session import CHUNKS_PROBED_MAX
from roost.volume.engines.redis.small_scans import AT_ONCE, Numbers, SmallScans
from roost.volume.engines.redis.upkeep import chunks_of, glob, scanned_keys
from roost.volume.engines.redis.wants import fields
from roost.volume.layout import CHUNK_BYTES
from roost.volume.model import (
    Attr,
    ChunkNo,
    ChunkSlices,
    DirUsage,
    Edge,
    Ino,
)

_CHUNK_NO_MAX = (1 << 32) - 1
_CHUNK_DIGITS_SAFE = len(str(_CHUNK_NO_MAX)) - 1
_PLACE = re.compile(rb"[1-9][0-9]*_(0|[1-9][0-9]*)")
_PAIR = np.dtype([("first", np.int64), ("second", np.int64)])


class RedisScans(SmallScans):
    """Satisfies meta.reads.Scans over a connection of its own."""

    # ---- the large tables
    def all_nodes(self) -> Iterator[tuple[Ino, Attr]]:
        """As in Scans."""
        for inos in _batches(self._numbers(b"i")):
            yield from self._damage.each(self._listed_nodes(inos), _node, _first)

    def _listed_nodes(self, inos: Sequence[Ino]) -> list[tuple[Ino, bytes]]:
        """Return nodes just listed with their records; without what has gone or was told of.

        A key of another kind is read as one that is not there, so that is asked for once more.
        """
        raws = self.stored_nodes_of(inos)
        if not all(raws):
            reads: list[Command] = [("GET", self._keys.node(ino)) for ino in inos]
            raws = [
                self._damage_in(reply, ino, f"inode {ino}")
                for ino, reply in zip(inos, self._replies(reads), strict=True)
            ]
            return [(ino, raw) for ino, raw in zip(inos, raws, strict=True) if raw]
        return list(zip(inos, raws, strict=True))  # type: ignore[arg-type]  # none is None

    def _damage_in(self, reply: Any, ino: int, where: str, *, is_lenient: bool = True) -> Any:
        """Return a reply, or None for the damage that it is or that an empty record is."""
        if isinstance(reply, hiredis.ReplyError):
            error = failure(reply, self._place)
            if not isinstance(error, CorruptRecord):
                raise error
            odd = CorruptRecord(where, f"its key is of another kind: {reply}")
            if not is_lenient:
                raise odd
            self._damage.take(odd, ino)
            return None
        if reply == b"":
            self._damage.take(CorruptRecord(where, "an empty record"), ino)
        return reply

    def nodes_of(self, inos: Sequence[Ino]) -> list[Attr | None]:
        """As in Scans."""
        return [
            None if raw is None else decode_attr(raw, f"inode {ino}")
            for ino, raw in zip(inos, self.stored_nodes_of(inos), strict=True)
        ]

    def stored_nodes_of(self, inos: Sequence[Ino]) -> list[bytes | None]:
        """As in StoredScans."""
        raws: list[bytes | None] = []
        if inos:
            raws = self._ask("MGET", *map(self._keys.node, inos))
        return raws

    def stored_first_chunks_of(self, inos: Sequence[Ino]) -> list[bytes]:
        """As in StoredScans."""
        return list(self._records([(ino, 0) for ino in inos])) if inos else []

    def all_symlinks(self) -> Iterator[tuple[Ino, bytes]]:
        """As in Scans."""
        return self._each(b"s", self._targets)

    def _targets(self, inos: Sequence[Ino]) -> list[bytes | None]:
        targets: list[bytes | None] = self._ask("MGET", *map(self._keys.symlink, inos))
        return targets

    def symlinks_of(self, inos: Sequence[Ino]) -> dict[Ino, bytes]:
        """As in Scans."""
        targets = zip(inos, self._targets(inos) if inos else (), strict=True)
        return {ino: target for ino, target in targets if target is not None}

    def all_edges(self) -> Iterator[tuple[Ino, bytes, Edge]]:
        """As in Scans."""
        for number in self._numbers(b"d").tolist():
            for name, edge in self.entries_of(Ino(number)):
                yield Ino(number), name, edge

    def entries_of(self, ino: Ino) -> Iterator[tuple[bytes, Edge]]:
        """As in Scans."""
        for page in self._entry_pages(ino):
            yield from page

    def _entry_pages(self, ino: Ino) -> Iterator[list[tuple[bytes, Edge]]]:
        try:
            found = read_entries(self._call, self._keys.folder(ino))
        except CorruptRecord as error:
            self._damage.take(CorruptRecord(f"directory {ino}", error.message), ino)
            return
        for start in range(0, len(found), AT_ONCE):
            rows = found[start : start + AT_ONCE]
            try:
                page = [(name, decode_edge(raw)) for name, raw in rows]
            except CorruptRecord:  # once more, with names
                page = self._damage.each(rows, partial(named_edge, ino), lambda _: ino)
            yield page

    def all_xattrs(self) -> Iterator[tuple[Ino, bytes, bytes]]:
        """As in Scans."""
        for inos in _batches(self._numbers(b"x")):
            for ino, pairs in self.xattrs_of(inos).items():
                for name, value in pairs:
                    yield ino, name, value

    def xattrs_of(self, inos: Sequence[Ino]) -> dict[Ino, list[tuple[bytes, bytes]]]:
        """As in Scans."""
        # Few nodes have any, so one look at a whole page mostly spares one at each.
        if not inos or not self._ask("EXISTS", *map(self._keys.xattrs, inos)):
            return {}
        tables = self._call([("HGETALL", self._keys.xattrs(ino)) for ino in inos])
        pairs = ((ino, sorted(fields(t).items())) for ino, t in zip(inos, tables, strict=True))
        return {ino: found for ino, found in pairs if found}

    def all_dir_usage(self) -> Iterator[tuple[Ino, DirUsage]]:
        """As in Scans."""
        names = self._fields(self._keys.dir_space)
        found = np.fromiter(self._numbers_in(names, b"dirUsedSpace"), np.int64)
        return self._usages_of(np.unique(found))

    def _usages_of(self, found: Numbers) -> Iterator[tuple[Ino, DirUsage]]:
        keys = self._keys
        for inos in _batches(found):
            columns = (keys.dir_length, keys.dir_space, keys.dir_inodes)
            replies = self._call([("HMGET", name, *inos) for name in columns])
            rows = zip(inos, *replies, strict=True)
            for ino, usage in self._damage.each(rows, _usage, _first):
                if usage is not None:
                    yield ino, usage

    def all_chunks(self) -> Iterator[ChunkSlices]:
        """As in Scans."""
        for places in self._chunk_places():
            if self._damage.told is None:
                yield from self._chunks(places)
            else:
                yield from self._readable_chunks(places)

    def _readable_chunks(self, places: Sequence[tuple[int, int]]) -> list[ChunkSlices]:
        """Return the chunks that parse, and tell of the others."""
        with contextlib.suppress(CorruptRecord):
            return list(self._chunks(places))
        found: list[ChunkSlices] = []
        for place in places:
            try:
                found += self._chunks([place])
            except CorruptRecord as error:
                self._damage.take(error, place[0])
        return found

    def _chunk_places(self) -> Iterator[list[tuple[int, int]]]:
        """Yield the numbers behind the keys of chunks, in order, a batch at a time."""
        begins = self._keys.prefix + b"c"
        found = scanned_keys(self._call, glob(begins) + b"[0-9]*_*")
        numbers = self._places_in(key[len(begins) :] for key in found)
        places = np.unique(np.fromiter(numbers, _PAIR))
        for start in range(0, len(places), AT_ONCE):
            yield places[start : start + AT_ONCE].tolist()

    def _places_in(self, names: Iterable[bytes]) -> Iterator[tuple[int, int]]:
        """Yield the numbers in what follows the letter of chunks' keys; others are damage."""
        for name in names:
            ino, _, number = name.partition(b"_")
            if _PLACE.fullmatch(name) and (
                len(ino) <= records.DIGITS_SAFE and len(number) <= _CHUNK_DIGITS_SAFE
            ):
                yield int(ino), int(number)
                continue
            where = self._keys.prefix + b"c" + name
            try:
                place = records.number(ino, where), records.number(number, where)
                if b"%d_%d" % place != name or min(place) < 0:  # looked for under another key
                    raise CorruptRecord(where.decode("utf-8", "replace"), "no chunk is named so")
                if place[1] > _CHUNK_NO_MAX:
                    raise CorruptRecord(where.decode(), f"beyond 32 bits: chunk {place[1]}")
            except CorruptRecord as error:
                self._damage.take(error)
            else:
                yield place

    def _chunks(self, places: Sequence[tuple[int, int]]) -> Iterator[ChunkSlices]:
        for (ino, number), raw in zip(places, self._records(places), strict=True):
            slices = decode_slices(raw, f"chunk {number} of inode {ino}")
            if slices:
                yield ChunkSlices(Ino(ino), ChunkNo(number), slices)

    def _records(
        self, places: Sequence[tuple[int, int]], *, is_lenient: bool = False
    ) -> Iterator[bytes]:
        """Yield the records of chunks as they are stored; if lenient, those that parse."""
        reads: list[Command] = [
            ("LRANGE", self._keys.chunk(Ino(ino), number), 0, -1) for ino, number in places
        ]
        for (ino, number), reply in zip(places, self._replies(reads), strict=True):
            if isinstance(reply, hiredis.ReplyError):
                self._damage_in(reply, ino, f"chunk {number} of inode {ino}", is_lenient=is_lenient)
                yield b""
                continue
            raw = b"".join(reply)
            if is_lenient and len(raw) % SLICE_BYTES and self._damage.told is not None:
                why = f"{len(raw)} bytes are no whole number of slice records"
                self._damage.take(CorruptRecord(f"chunk {number} of inode {ino}", why), ino)
                raw = b"".join([one for one in reply if len(one) == SLICE_BYTES])
            yield raw

    def slices_of(
        self, inos: Sequence[Ino], lengths: Sequence[int] | None = None
    ) -> dict[Ino, list[ChunkSlices]]:
        """As in Scans; chunks beyond a file's length are not looked for."""
        places: list[tuple[int, int]] = []
        if lengths is None:
            inos = list(dict.fromkeys(inos))  # a file with two names may be asked for twice
            attrs = self.nodes_of(inos)
            lengths = [attr.length if attr is not None and attr.is_file else 0 for attr in attrs]
        for ino, length in zip(inos, lengths, strict=True):
            end = -(-length // CHUNK_BYTES)
            if end > CHUNKS_PROBED_MAX:
                places += [(ino, number) for number in chunks_of(self._call, self._keys, ino)]
            else:
                places += [(ino, number) for number in range(end)]
        found: dict[Ino, list[ChunkSlices]] = {}
        for start in range(0, len(places), AT_ONCE):
            for chunk in self._chunks(places[start : start + AT_ONCE]):
                found.setdefault(chunk.ino, []).append(chunk)
        return found

    # ---- the large tables as plain rows; as in scan_pages.RowScans
    def node_rows(self) -> Iterator[list[tuple[int, ...]]]:
        """As in RowScans."""
        for inos in _batches(self._numbers(b"i")):
            pairs = self._listed_nodes(inos)
            try:
                page: list[tuple[int, ...]] = [
                    (ino, *decode_names(raw, f"inode {ino}")) for ino, raw in pairs
                ]
            except CorruptRecord:
                page = self._damage.each(pairs, _names, _first)
            yield page

    def edge_rows(self) -> Iterator[list[tuple[int, ...]]]:
        """As in RowScans."""
        for number in self._numbers(b"d").tolist():
            for page in self._entry_pages(Ino(number)):
                yield [(0, edge.ino, number, edge.kind) for _, edge in page]

    def chunk_rows(self) -> Iterator[list[tuple[int, int, int, bytes]]]:
        """As in RowScans."""
        for places in self._chunk_places():
            raws = zip(places, self._records(places, is_lenient=True), strict=True)
            if page := [(0, ino, number, raw) for (ino, number), raw in raws if raw]:
                yield page

    def count_rows(self) -> Iterator[list[tuple[int, int, int]]]:
        """As in RowScans."""
        rows = self._refs()
        for start in range(0, len(rows), AT_ONCE):
            yield rows[start : start + AT_ONCE].tolist()

    def parent_rows(self) -> Iterator[list[tuple[int, int, int]]]:
        """As in CountsParents."""
        for inos in _batches(self._numbers(b"p")):
            tables = self._replies([("HGETALL", self._keys.parents(ino)) for ino in inos])
            sound = [
                self._damage_in(table, ino, f"parents of inode {ino}") or {}
                for ino, table in zip(inos, tables, strict=True)
            ]
            pairs = zip(inos, sound, strict=True)
            counted = self._damage.each(pairs, _parents, _first)
            yield [(ino, *count) for ino, counts in counted for count in counts.items()]

    def _each(self, kind: bytes, read: Callable[[Sequence[Ino]], list[Any]]) -> Iterator[Any]:
        return self._each_of(self._numbers(kind), read)

    def _each_of(self, found: Numbers, read: Callable[[Sequence[Ino]], list[Any]]) -> Iterator[Any]:
        """Yield (inode, record) of those that still exist."""
        for inos in _batches(found):
            for ino, record in zip(inos, read(inos), strict=True):
                if record is not None:
                    yield ino, record


def _batches(found: Numbers) -> Iterator[list[Ino]]:
    for start in range(0, len(found), AT_ONCE):
        yield [Ino(number) for number in found[start : start + AT_ONCE].tolist()]


def _first(row: tuple[Any, ...]) -> Any:
    return row[0]


def _node(pair: tuple[Ino, bytes]) -> tuple[Ino, Attr]:
    return pair[0], decode_attr(pair[1], f"inode {pair[0]}")


def _names(pair: tuple[Ino, bytes]) -> tuple[int, ...]:
    return (pair[0], *decode_names(pair[1], f"inode {pair[0]}"))


def named_edge(ino: Ino, row: tuple[bytes, bytes]) -> tuple[bytes, Edge]:
    """Return an entry.  Raises CorruptRecord, with its name."""
    return row[0], decode_edge(row[1], f"entry {os.fsdecode(row[0])!r} of directory {ino}")


def _usage(row: tuple[Any, ...]) -> tuple[Ino, DirUsage | None]:
    return row[0], records.dir_usage(*row)


def _parents(pair: tuple[Ino, Any]) -> tuple[Ino, dict[Ino, int]]:
    return pair[0], records.parent_counts(pair[0], fields(pair[1]))
