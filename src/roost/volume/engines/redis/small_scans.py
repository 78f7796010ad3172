"""Listings of the small tables, and of the counts of slices."""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import hiredis
import numpy as np
from numpy.typing import NDArray

from roost.errors import CorruptRecord
from roost.volume.engines.redis import records
from roost.volume.engines.redis.connection import Command, Connection, Replies
from roost.volume.engines.redis.errors import failure
from roost.volume.engines.redis.keys import Keys, counter_offset
from roost.volume.engines.redis.upkeep import Hints, glob, scanned, scanned_keys
from roost.volume.engines.redis.wants import fields, members
from roost.volume.meta.damage import Leniency, OnDamage
from roost.volume.model import (
    AclRule,
    DelayedSlices,
    DeletedFile,
    DetachedNode,
    Ino,
    Quota,
    QuotaKind,
    Session,
    SessionId,
    SliceId,
    SliceRef,
)

AT_ONCE = 1000
_REF = np.dtype([("id", np.int64), ("size", np.int64), ("refs", np.int64)])
Numbers = NDArray[np.int64]


class SmallScans:
    """The part of RedisScans that reads small tables, over a connection of its own."""

    def __init__(self, connection: Connection, keys: Keys, place: str, hints: Hints) -> None:
        self._connection = connection
        self._keys = keys
        self._place = place
        self._hints = hints
        self._damage = Leniency()

    def tell_damage(self, told: OnDamage) -> None:
        """As in TellsDamage."""
        self._damage.told = told

    def _replies(self, commands: list[Command]) -> Replies:
        """Return the replies, refusals among them."""
        return self._connection.call(commands)

    def _call(self, commands: list[Command]) -> Replies:
        replies = self._replies(commands)
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
            Session(SessionId(sid), int(expire_s), infos.get(b"%d" % sid, b""))
            for sid, expire_s in sorted(
                (records.number(raw, b"allSessions"), expire_s) for raw, expire_s in scores
            )
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
            numbers = sorted(records.number(raw, b"session%d" % sid) for raw in inos)
            found += [(SessionId(sid), Ino(number)) for number in numbers]
        return tuple(found)

    def deleted_files(self, before_s: int, limit: int) -> tuple[DeletedFile, ...]:
        """As in Scans."""
        limits = ("LIMIT", 0, limit)
        key = self._keys.deleted_files
        found = self._ask("ZRANGEBYSCORE", key, "-inf", f"({before_s}", "WITHSCORES", *limits)
        if found and not isinstance(found[0], list):
            found = list(zip(found[::2], found[1::2], strict=True))
        self._hints.note_deleted(member for member, _ in found)
        files = self._damage.each(found, lambda row: self._deleted(*row))
        return tuple(sorted(files, key=lambda file: (file.deleted_s, file.ino)))

    def _deleted(self, member: bytes, score: Any) -> DeletedFile:
        ino, _, length = member.partition(b":")
        where = self._keys.deleted_files
        size = records.number(length, where)
        return DeletedFile(Ino(records.number(ino, where)), size, int(float(score)))

    def all_deleted_files(self) -> Iterator[DeletedFile]:
        """As in Scans."""
        rows = self._scores(self._keys.deleted_files)
        files = self._damage.each(rows, lambda row: self._deleted(*row))
        return iter(sorted(files, key=lambda file: file.ino))

    def delayed_slices(self, before_s: int) -> tuple[DelayedSlices, ...]:
        """As in Scans."""
        return tuple(delayed for delayed in self.all_delayed() if delayed.deleted_s < before_s)

    def all_delayed(self) -> Iterator[DelayedSlices]:
        """As in Scans."""
        names = list(self._fields(self._keys.delayed))
        self._hints.note_delayed(names)
        numbered = self._damage.each(
            names, lambda name: (records.number(name.partition(b"_")[0], b"delSlices"), name)
        )
        for _, name in sorted(numbered):
            raw = self._ask("HGET", self._keys.delayed, name)
            if raw is not None:
                yield from self._damage.each([raw], partial(records.delayed_slices, name))

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
        where = b"detachedNodes"
        found = [DetachedNode(Ino(records.number(m, where)), int(s)) for m, s in rows]
        return tuple(sorted(found, key=_ino))

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
            try:
                cursor, flat = self._ask("HSCAN", self._keys.slice_refs, cursor, "COUNT", 10_000)
            except CorruptRecord as error:
                self._damage.take(CorruptRecord("sliceRef", error.message))
                return np.empty(0, _REF)
            rows = self._damage.each(zip(flat[::2], flat[1::2], strict=True), _counted)
            parts.append(np.array(rows, dtype=_REF))
            if int(cursor) == 0:
                return np.unique(np.concatenate(parts))

    # ---- numbers of keys
    def _numbers(self, kind: bytes) -> Numbers:
        """Return the numbers behind keys of a kind, sorted."""
        begins = self._keys.prefix + kind
        found = scanned_keys(self._call, glob(begins) + b"[0-9]*")
        names = (key[len(begins) :] for key in found)
        numbers = self._numbers_of_keys(begins, (name for name in names if name.isdigit()))
        return np.unique(np.fromiter(numbers, np.int64))

    def _numbers_of_keys(self, begins: bytes, names: Iterable[bytes]) -> Iterator[int]:
        for name in names:
            if len(name) <= records.DIGITS_SAFE:
                yield int(name)
            else:
                yield from self._numbers_in((name,), begins + name)

    def _fields(self, key: bytes) -> Iterator[bytes]:
        """Yield the names in a hash; none of a key of another kind that was told of."""
        try:
            yield from scanned(self._call, "HSCAN", key, b"*")
        except CorruptRecord as error:
            self._damage.take(CorruptRecord(key.decode(), error.message))

    def _numbers_in(self, names: Iterable[bytes], where: bytes) -> Iterator[int]:
        for name in names:
            try:
                yield records.number(name, where)
            except CorruptRecord as error:
                self._damage.take(error)


def _all_of(names: tuple[bytes, ...]) -> list[Command]:
    return [("HGETALL", name) for name in names]


def _counted(pair: tuple[bytes, bytes]) -> tuple[int, int, int]:
    return (*_slice_name(pair[0]), records.number(pair[1], b"sliceRef") + 1)


def _slice_name(name: bytes) -> tuple[int, int]:
    slice_id, _, size = name[1:].partition(b"_")
    return records.number(slice_id, b"sliceRef"), records.number(size, b"sliceRef")


def _ref(row: Any) -> SliceRef:
    return SliceRef(SliceId(int(row["id"])), int(row["size"]), int(row["refs"]))


def _ino(node: DetachedNode) -> int:
    return node.ino
