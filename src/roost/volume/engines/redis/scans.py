"""Listings of whole tables.

Redis has no snapshots: what changes during a listing may or may not show, and two listings are of
two moments.  What looks wrong is to be read again before it is believed; `touched` brings a listing
up to one moment.

Order and memory: keys are found by SCAN, in no order; their numbers are kept, eight bytes each,
sorted, and their records then read in batches.  So memory grows by eight bytes for an inode,
sixteen for a chunk, and by the entries of the one directory being read.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import hiredis
import numpy as np
from numpy.typing import NDArray

from roost.volume.codec import decode_attr, decode_edge, decode_names, decode_slices
from roost.volume.engines.redis import records
from roost.volume.engines.redis.connection import Command, Connection, Replies
from roost.volume.engines.redis.errors import failure
from roost.volume.engines.redis.keys import Keys, counter_offset
from roost.volume.engines.redis.listings import read_entries
from roost.volume.engines.redis.session import CHUNKS_PROBED_MAX
from roost.volume.engines.redis.upkeep import Hints, chunks_of, glob, scanned, scanned_keys
from roost.volume.engines.redis.wants import fields, members
from roost.volume.layout import CHUNK_BYTES
from roost.volume.model import (
    AclRule,
    Attr,
    ChunkNo,
    ChunkSlices,
    DelayedSlices,
    DeletedFile,
    DetachedNode,
    DirUsage,
    Edge,
    Ino,
    Quota,
    QuotaKind,
    Session,
    SessionId,
    SliceId,
    SliceRef,
)

AT_ONCE = 1000
_PAIR = np.dtype([("first", np.int64), ("second", np.int64)])
_REF = np.dtype([("id", np.int64), ("size", np.int64), ("refs", np.int64)])
Numbers = NDArray[np.int64]


class RedisScans:
    """Satisfies meta.reads.Scans over a connection of its own."""

    def __init__(self, connection: Connection, keys: Keys, place: str, hints: Hints) -> None:
        self._connection = connection
        self._keys = keys
        self._place = place
        self._hints = hints

    def _call(self, commands: list[Command]) -> Replies:
        replies = self._connection.call(commands)
        for reply in replies:
            if isinstance(reply, hiredis.ReplyError):
                raise failure(reply, self._place)
        return replies

    def _ask(self, *command: bytes | str | int) -> Any:
        return self._call([command])[0]

    @property
    def is_snapshot(self) -> bool:
        """As in Scans."""
        return False

    @property
    def is_for_threads(self) -> bool:
        """As in Scans."""
        return True

    # ---- small tables
    def counter(self, name: str) -> int | None:
        """As in Scans."""
        raw = self._ask("GET", self._keys.counter(name))
        return None if raw is None else records.number(raw, name.encode()) + counter_offset(name)

    def sessions(self) -> tuple[Session, ...]:
        """As in Scans."""
        infos = fields(self._ask("HGETALL", self._keys.session_infos))
        scores = self._scores(self._keys.all_sessions)
        return tuple(
            Session(SessionId(int(sid)), int(expire_s), infos.get(sid, b""))
            for sid, expire_s in sorted(scores, key=lambda row: int(row[0]))
        )

    def _scores(self, key: bytes) -> list[tuple[bytes, float]]:
        """Return a sorted set, whatever the protocol's form."""
        rows = self._ask("ZRANGE", key, 0, -1, "WITHSCORES")
        if rows and isinstance(rows[0], list):
            return [(member, float(score)) for member, score in rows]
        return list(zip(rows[::2], map(float, rows[1::2]), strict=True))

    def all_sustained(self) -> tuple[tuple[SessionId, Ino], ...]:
        """As in Scans."""
        found = []
        for sid in self._numbers(b"session").tolist():
            inos = members(self._ask("SMEMBERS", self._keys.sustained(SessionId(sid))))
            found += [(SessionId(sid), ino) for ino in sorted(Ino(int(raw)) for raw in inos)]
        return tuple(found)

    def deleted_files(self, before_s: int, limit: int) -> tuple[DeletedFile, ...]:
        """As in Scans."""
        limits = ("LIMIT", 0, limit)
        key = self._keys.deleted_files
        found = self._ask("ZRANGEBYSCORE", key, "-inf", f"({before_s}", "WITHSCORES", *limits)
        if found and not isinstance(found[0], list):
            found = list(zip(found[::2], found[1::2], strict=True))
        self._hints.note_deleted(member for member, _ in found)
        files = (self._deleted(member, score) for member, score in found)
        return tuple(sorted(files, key=lambda file: (file.deleted_s, file.ino)))

    def _deleted(self, member: bytes, score: Any) -> DeletedFile:
        ino, _, length = member.partition(b":")
        where = self._keys.deleted_files
        size = records.number(length, where)
        return DeletedFile(Ino(records.number(ino, where)), size, int(float(score)))

    def all_deleted_files(self) -> Iterator[DeletedFile]:
        """As in Scans."""
        rows = self._scores(self._keys.deleted_files)
        return iter(sorted((self._deleted(*row) for row in rows), key=lambda file: file.ino))

    def delayed_slices(self, before_s: int) -> tuple[DelayedSlices, ...]:
        """As in Scans."""
        return tuple(delayed for delayed in self.all_delayed() if delayed.deleted_s < before_s)

    def all_delayed(self) -> Iterator[DelayedSlices]:
        """As in Scans."""
        names = list(scanned(self._call, "HSCAN", self._keys.delayed, b"*"))
        self._hints.note_delayed(names)
        numbers = {name: int(name.partition(b"_")[0]) for name in names}
        for name in sorted(numbers, key=numbers.__getitem__):
            raw = self._ask("HGET", self._keys.delayed, name)
            if raw is not None:
                yield records.delayed_slices(name, raw)

    def all_acls(self) -> Iterator[tuple[int, AclRule]]:
        """As in Scans."""
        rules = fields(self._ask("HGETALL", self._keys.acls))
        numbered = sorted((records.number(name, b"acl"), raw) for name, raw in rules.items())
        return ((number, records.decode_acl(raw, f"ACL {number}")) for number, raw in numbered)

    def quotas(self) -> tuple[tuple[QuotaKind, int, Quota], ...]:
        """As in Scans."""
        found = []
        for kind, names in self._keys.quotas.items():
            limits, space, inodes = (fields(table) for table in self._call(_all_of(names)))
            for name in inodes:
                made = records.quota(name, limits.get(name), space.get(name), inodes[name])
                assert made is not None, "it exists if the inodes in use do"
                found.append((kind, records.number(name, names[0]), made))
        return tuple(sorted(found, key=lambda row: row[:2]))

    def detached_nodes(self) -> tuple[DetachedNode, ...]:
        """As in Scans."""
        rows = self._scores(self._keys.detached)
        return tuple(sorted((DetachedNode(Ino(int(m)), int(s)) for m, s in rows), key=_ino))

    # ---- slices
    def unreferenced_slices(self, limit: int) -> tuple[SliceRef, ...]:
        """As in Scans."""
        rows = self._refs()
        return tuple(_ref(row) for row in rows[rows["refs"] <= 0][:limit])

    def all_slice_refs(self) -> Iterator[SliceRef]:
        """As in Scans; a slice with one reference has no stored count."""
        return (_ref(row) for row in self._refs())

    def _refs(self) -> NDArray[np.void]:
        parts = []
        cursor: Any = 0
        while True:
            cursor, flat = self._ask("HSCAN", self._keys.slice_refs, cursor, "COUNT", 10_000)
            rows = [
                (*_slice_name(name), records.number(raw, b"sliceRef") + 1)
                for name, raw in zip(flat[::2], flat[1::2], strict=True)
            ]
            parts.append(np.array(rows, dtype=_REF))
            if int(cursor) == 0:
                return np.unique(np.concatenate(parts))

    # ---- the large tables
    def all_nodes(self) -> Iterator[tuple[Ino, Attr]]:
        """As in Scans."""
        return self._each(b"i", self.nodes_of)

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
        for name, raw in read_entries(self._call, self._keys.folder(ino)):
            yield name, decode_edge(raw, f"entry of directory {ino}")

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
        names = scanned(self._call, "HSCAN", self._keys.dir_space, b"*")
        found = np.fromiter((int(name) for name in names), np.int64)
        return self._each_of(np.unique(found), self._usages)

    def _usages(self, inos: Sequence[Ino]) -> list[DirUsage | None]:
        keys = self._keys
        names = (keys.dir_length, keys.dir_space, keys.dir_inodes)
        columns = self._call([("HMGET", name, *inos) for name in names])
        return [records.dir_usage(ino, *row) for ino, *row in zip(inos, *columns, strict=True)]

    def all_chunks(self) -> Iterator[ChunkSlices]:
        """As in Scans."""
        for places in self._chunk_places():
            yield from self._chunks(places)

    def _chunk_places(self) -> Iterator[list[tuple[int, int]]]:
        """Yield the numbers behind the keys of chunks, in order, a batch at a time."""
        begins = self._keys.prefix + b"c"
        found = scanned_keys(self._call, glob(begins) + b"[0-9]*_[0-9]*")
        pairs = (key[len(begins) :].partition(b"_")[::2] for key in found)
        numbers = ((int(a), int(b)) for a, b in pairs if a.isdigit() and b.isdigit())
        places = np.unique(np.fromiter(numbers, _PAIR))
        for start in range(0, len(places), AT_ONCE):
            yield places[start : start + AT_ONCE].tolist()

    def _chunks(self, places: Sequence[tuple[int, int]]) -> Iterator[ChunkSlices]:
        for (ino, number), raw in zip(places, self._records(places), strict=True):
            slices = decode_slices(raw, f"chunk {number} of inode {ino}")
            if slices:
                yield ChunkSlices(Ino(ino), ChunkNo(number), slices)

    def _records(self, places: Sequence[tuple[int, int]]) -> Iterator[bytes]:
        """Return the records of chunks as they are stored."""
        reads: list[Command] = [
            ("LRANGE", self._keys.chunk(Ino(ino), number), 0, -1) for ino, number in places
        ]
        return map(b"".join, self._call(reads))

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
            raws = zip(inos, self._ask("MGET", *map(self._keys.node, inos)), strict=True)
            yield [
                (ino, *decode_names(raw, f"inode {ino}")) for ino, raw in raws if raw is not None
            ]

    def edge_rows(self) -> Iterator[list[tuple[int, ...]]]:
        """As in RowScans."""
        for number in self._numbers(b"d").tolist():
            where = f"entry of directory {number}"
            found = read_entries(self._call, self._keys.folder(Ino(number)))
            for start in range(0, len(found), AT_ONCE):
                edges = (decode_edge(raw, where) for _, raw in found[start : start + AT_ONCE])
                yield [(0, edge.ino, number, edge.kind) for edge in edges]

    def chunk_rows(self) -> Iterator[list[tuple[int, int, int, bytes]]]:
        """As in RowScans."""
        for places in self._chunk_places():
            raws = zip(places, self._records(places), strict=True)
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
            tables = self._call([("HGETALL", self._keys.parents(ino)) for ino in inos])
            yield [
                (ino, parent, names)
                for ino, table in zip(inos, tables, strict=True)
                for parent, names in records.parent_counts(ino, fields(table)).items()
            ]

    # ---- numbers of keys
    def _numbers(self, kind: bytes) -> Numbers:
        """Return the numbers behind keys of a kind, sorted."""
        begins = self._keys.prefix + kind
        found = scanned_keys(self._call, glob(begins) + b"[0-9]*")
        numbers = (key[len(begins) :] for key in found)
        return np.unique(np.fromiter((int(n) for n in numbers if n.isdigit()), np.int64))

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


def _all_of(names: tuple[bytes, ...]) -> list[Command]:
    return [("HGETALL", name) for name in names]


def _ino(node: DetachedNode) -> int:
    return node.ino


def _slice_name(name: bytes) -> tuple[int, int]:
    slice_id, _, size = name[1:].partition(b"_")
    return records.number(slice_id, b"sliceRef"), records.number(size, b"sliceRef")


def _ref(row: Any) -> SliceRef:
    return SliceRef(SliceId(int(row["id"])), int(row["size"]), int(row["refs"]))
