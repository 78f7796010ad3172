"""A commit as the words of the commit script: verifications first, then changes.

What a rule saw is compared in its raw form, as the session read it, so that a record written in
another way by another client still equals itself.
"""

import struct
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from roost.errors import CorruptRecord, InvalidArgument
from roost.volume.codec import encode_slices
from roost.volume.engines.redis.cache import Record, RecordCache
from roost.volume.engines.redis.commit_script import CODES, FROM_BACK
from roost.volume.engines.redis.connection import Replies
from roost.volume.engines.redis.keys import Keys
from roost.volume.engines.redis.session import Reading
from roost.volume.engines.redis.wants import fields, members
from roost.volume.errors import InodeTaken
from roost.volume.meta import checks as ck
from roost.volume.meta.checks import Check
from roost.volume.model import Ino, SessionId

OPERANDS_MAX = 100_000  # of one commit: a script runs alone, and everybody waits for it
STRINGS_MAX = 4_000  # keys that one MGET reads; Lua unpacks no more than 8,000
OTHERS_MAX = 30_000
_FIRST_STRING = 3  # after the tokens and the fence
_CODES = {word: bytes([number]) for word, number in CODES.items()}
_DONE = _CODES["done"] + bytes(2)
_SIZES = struct.Struct(">HH")
Word = bytes | str | int
C = TypeVar("C", bound=Check)


class Encoded:
    """The program of one commit, and what is known once it is done."""

    __slots__ = (
        "_others", "_strings", "added", "adjusted", "again", "cache", "change_words", "changes",
        "dropped", "hints", "keys", "known", "reading", "results", "stored", "to_compute",
        "verifications", "verify_words",
    )  # fmt: skip

    def __init__(self, keys: Keys, reading: Reading, cache: RecordCache) -> None:
        self.keys = keys
        self.reading = reading
        self.cache = cache
        self._strings: dict[bytes, int] = {}
        self._others: dict[bytes | tuple[bytes, ...], int] = {}
        self.verifications: list[bytes] = []
        self.verify_words: list[Word] = []
        self.changes: list[bytes] = []
        self.change_words: list[Word] = []
        self.again: dict[int, None] = {}  # cached keys that are written: tracked again
        self.added: set[int] = set()  # places of nodes that must be new
        self.known: set[int | tuple[int, Word]] = set()  # what needs no more verifying
        self.results: list[tuple[str, Ino]] = []  # of the changes that answer, in order
        self.stored: dict[Record, Any] = {}  # what records are after the commit
        self.dropped: list[Record] = []  # records to be forgotten
        self.adjusted: list[tuple[Record, Callable[[Any], Any]]] = []  # and those that move on
        self.hints: list[bytes] = []  # members added to `delfiles`
        self.to_compute: list[Ino] = []  # directories whose statistics are to be computed after

    # ---- keys
    def string(self, key: bytes) -> int:
        """Return the place of a string's key; the script reads it, and so verifies its type."""
        place = self._strings.get(key)
        if place is None:
            place = self._strings[key] = len(self._strings) + _FIRST_STRING
        return place

    def other(self, key: bytes) -> int:
        """Return the place of another key."""
        place = self._others.get(key)
        if place is None:
            place = self._others[key] = len(self._others) + FROM_BACK
        return place

    def others(self, keys: tuple[bytes, ...]) -> int:
        """Return the first of the places, in a row, of keys that belong together."""
        place = self._others.get(keys)
        if place is None:
            place = len(self._others) + FROM_BACK
            self._others[keys] = place
            for key in keys[1:]:  # a key may have two places
                self._others[key, place] = len(self._others) + FROM_BACK  # type: ignore[index]
        return place

    # ---- words
    def expect(self, op: str, place: int, *words: Word) -> None:
        """Add a verification."""
        self.verifications.append(_CODES[op] + place.to_bytes(2))
        self.verify_words += words

    def change(self, op: str, place: int, *words: Word) -> None:
        """Add a change."""
        self.changes.append(_CODES[op] + place.to_bytes(2))
        self.change_words += words

    def of_type(self, key: bytes, kind: str) -> int:
        """Return the place of a key that is absent or of the type to be written, verified once."""
        place = self.other(key)
        if place not in self.known:
            self.known.add(place)
            self.expect("type", place, kind)
        return place

    def of_numbers(self, key: bytes, field: Word) -> int:
        """Return the place of a hash whose field can be added to, verified once."""
        place = self.other(key)
        if (place, field) not in self.known:
            self.known.add(place)
            self.known.add((place, field))
            self.expect("field_number", place, field)
        return place

    def unfit(self, place: str, key: bytes) -> CorruptRecord:
        """Return the damage of a key that cannot take what this commit writes."""
        name = key.removeprefix(self.keys.prefix)
        is_node = name[:1] == b"i" and name[1:].isdigit()
        if is_node and key in self._strings and self._strings[key] in self.added:
            return InodeTaken(place, int(name[1:]))
        return CorruptRecord(
            f"{place}: key {key.decode('utf-8', 'replace')}",
            "it exists already or is of another kind; nothing was changed",
        )

    def note(self, cache: RecordCache, replies: Replies) -> None:
        """Keep what the commit made of records, in the order of the wire."""
        answer = replies[0]
        if not isinstance(answer, list) or answer[0] != 0:
            return
        stored = self.stored
        for (what, ino), value in zip(self.results, answer[1:], strict=True):
            if what == "node":
                stored["node", ino] = value
        for record in self.dropped:
            stored.pop(record, None)
        if stored:
            cache.put(stored.items())
        if self.dropped:
            cache.drop(self.dropped)
        for record, how in self.adjusted:
            before = cache.get(record, self)
            if before is not self:
                cache.put([(record, how(before))])

    def words(self, client: int, fence: int, slot: int | str, token: int) -> tuple[Word, ...]:
        """Return the number of KEYS, KEYS and ARGV.  Raises InvalidArgument: too much at once."""
        strings, others = self._strings, self._others
        operands = len(self.verify_words) + len(self.change_words)
        if len(strings) > STRINGS_MAX or len(others) > OTHERS_MAX or operands > OPERANDS_MAX:
            raise InvalidArgument("the change is too large for one step")
        keys = [
            self.keys.tokens(client), self.keys.fence(client), *strings,
            *[key if isinstance(key, bytes) else key[0] for key in reversed(others)],
        ]  # fmt: skip
        program = b"".join(
            (
                _SIZES.pack(len(strings), len(keys)),
                *self.verifications, _DONE, *self.changes, _DONE,
            )
        )  # fmt: skip
        declared = keys
        if not self.keys.prefix:
            back = len(keys) - 1 + FROM_BACK
            declared = [
                keys[place - 1 if place < FROM_BACK else back - place] for place in self.again
            ]
        return (
            len(declared), *declared, fence, slot, token, program,
            *keys, *self.verify_words, *self.change_words,
        )  # fmt: skip


def identity_of(raw: bytes) -> bytes:
    """Return the part of stored attributes that NodeIs compares."""
    return raw[:11] + raw[63:]


# ---- checks
def _node(e: Encoded, check: ck.NodeIs) -> None:
    place, raw = e.string(e.keys.node(check.ino)), e.reading.raw(("node", check.ino))
    if raw is None:
        e.expect("absent", place)
    else:
        e.known.add(place)
        e.expect("identity", place, identity_of(raw))


def _value(e: Encoded, key: bytes, raw: bytes | None) -> None:
    place = e.string(key)
    e.known.add(place)
    if raw is None:
        e.expect("absent", place)
    else:
        e.expect("value", place, raw)


def _node_exactly(e: Encoded, check: ck.NodeIsExactly) -> None:
    _value(e, e.keys.node(check.ino), e.reading.raw(("node", check.ino)))


def _field(e: Encoded, key: bytes, field: Word, raw: bytes | None) -> None:
    place = e.other(key)
    e.known.add(place)
    if raw is None:
        e.expect("no_field", place, field)
    else:
        e.expect("field", place, field, raw)


def _edge(e: Encoded, check: ck.EdgeIs) -> None:
    raw = e.reading.raw(("edge", check.parent, check.name))
    _field(e, e.keys.folder(check.parent), check.name, raw)


def _entries(e: Encoded, check: ck.EntriesAre) -> None:
    place = e.other(e.keys.folder(check.ino))
    e.expect("exists" if check.seen else "not_exists", place)


def _hash(e: Encoded, key: bytes, raw: Any) -> None:
    place = e.other(key)
    e.known.add(place)
    pairs = fields(raw)
    e.expect("hash", place, len(pairs), *(word for pair in pairs.items() for word in pair))


def _parents(e: Encoded, check: ck.ParentsAre) -> None:
    _node(e, ck.NodeIs(check.ino, None))
    if ("parents", check.ino) in e.reading.seen:
        _hash(e, e.keys.parents(check.ino), e.reading.raw(("parents", check.ino)))


def _xattr(e: Encoded, check: ck.XattrIs) -> None:
    raw = e.reading.raw(("xattr", check.ino, check.name))
    _field(e, e.keys.xattrs(check.ino), check.name, raw)


def _counter(e: Encoded, check: ck.CounterIs) -> None:
    _value(e, e.keys.counter(check.name), e.reading.raw(("counter", check.name)))


def _slices(e: Encoded, check: ck.SlicesAre) -> None:
    raw = e.reading.raw(("slices", check.ino, check.chunk_no))
    place = e.other(e.keys.chunk(check.ino, check.chunk_no))
    e.known.add(place)
    e.expect("list", place, len(raw), b"".join(raw))


def _slices_begin(e: Encoded, check: ck.SlicesBegin) -> None:
    place = e.other(e.keys.chunk(check.ino, check.chunk_no))
    e.known.add(place)
    e.expect("list_begins", place, len(check.seen), encode_slices(check.seen))


def _slice_refs(e: Encoded, check: ck.SliceRefsAre) -> None:
    record = ("ref", check.slice_id, check.size)
    _field(e, e.keys.slice_refs, b"k%d_%d" % record[1:], e.reading.raw(record))


def _quota(e: Encoded, check: ck.QuotaIs) -> None:
    name = b"%d" % check.key
    tables = e.reading.raw(("quotas", int(check.kind)))
    for key, table in zip(e.keys.quotas[check.kind], tables, strict=True):
        _field(e, key, name, fields(table).get(name))


def _acl_id(e: Encoded, check: ck.AclIdIs) -> None:
    rules, highest = e.reading.raw(("acls",))
    if check.seen is None:  # Rules are never removed: as many as before are the same as before.
        place = e.other(e.keys.acls)
        e.known.add(place)
        e.expect("hash_size", place, len(fields(rules)))
        _value(e, e.keys.counter("aclMaxId"), highest)


def _row(e: Encoded, check: ck.RowIs) -> None:
    _ROWS[check.what](e, check)


def _session(e: Encoded, check: ck.RowIs) -> None:
    score, info = e.reading.raw(("session", check.key))
    _score(e, e.keys.all_sessions, check.key, score)
    _field(e, e.keys.session_infos, check.key, info)


def _score(e: Encoded, key: bytes, member: Word, score: Any) -> None:
    place = e.other(key)
    e.known.add(place)
    if score is None:
        e.expect("no_score", place, member)
    else:
        e.expect("score", place, member, repr(float(score)))


def _sustained(e: Encoded, check: ck.RowIs) -> None:
    raw = members(e.reading.raw(("sustained", check.key)))
    place = e.other(e.keys.sustained(SessionId(check.key)))
    e.known.add(place)
    e.expect("set_is", place, len(raw), *raw)


def _seen_of(e: Encoded, kind: str, begins: bytes) -> Iterable[tuple[bytes, Any]]:
    return [
        (record[1], raw)
        for record, raw in e.reading.seen.items()
        if record[0] == kind and record[1].startswith(begins)
    ]


def _deleted_file(e: Encoded, check: ck.RowIs) -> None:
    for member, score in _seen_of(e, "deleted", b"%d:" % check.key):
        _score(e, e.keys.deleted_files, member, score)


def _delayed(e: Encoded, check: ck.RowIs) -> None:
    for name, raw in _seen_of(e, "delayed", b"%d_" % check.key):
        _field(e, e.keys.delayed, name, raw)


def _chunk_numbers(e: Encoded, check: ck.RowIs) -> None:
    """A file's chunks come with a new mtime, and go when the file is gone: its node decides."""
    _node_exactly(e, ck.NodeIsExactly(Ino(check.key), None))
    assert isinstance(check.seen, tuple), "numbers of chunks"
    for number in check.seen:
        e.expect("exists", e.other(e.keys.chunk(Ino(check.key), number)))


def _setting(e: Encoded, check: ck.RowIs) -> None:
    _value(e, e.keys.setting, e.reading.raw(("setting",)))


def _usage(e: Encoded, check: ck.RowIs) -> None:
    names = (e.keys.dir_length, e.keys.dir_space, e.keys.dir_inodes)
    for key, raw in zip(names, e.reading.raw(("usage", check.key)), strict=True):
        _field(e, key, check.key, raw)


def _flocks(e: Encoded, check: ck.RowIs) -> None:
    _hash(e, e.keys.flocks(Ino(check.key)), e.reading.raw(("flocks", check.key)))


def _ranges(e: Encoded, check: ck.RowIs) -> None:
    _hash(e, e.keys.range_locks(Ino(check.key)), e.reading.raw(("ranges", check.key)))


def _detached(e: Encoded, check: ck.RowIs) -> None:
    _score(e, e.keys.detached, check.key, e.reading.raw(("detached", check.key)))


_ROWS: dict[str, Callable[[Encoded, ck.RowIs], None]] = {
    "session": _session,
    "sustained": _sustained,
    "deleted_file": _deleted_file,
    "chunk_numbers": _chunk_numbers,
    "setting": _setting,
    "delayed": _delayed,
    "dir_usage": _usage,
    "flocks": _flocks,
    "range_locks": _ranges,
    "detached": _detached,
}
_CHECKS: dict[type, Callable[[Encoded, Any], None]] = {
    ck.NodeIs: _node,
    ck.NodeIsExactly: _node_exactly,
    ck.EdgeIs: _edge,
    ck.EntriesAre: _entries,
    ck.ParentsAre: _parents,
    ck.XattrIs: _xattr,
    ck.CounterIs: _counter,
    ck.SlicesAre: _slices,
    ck.SlicesBegin: _slices_begin,
    ck.SliceRefsAre: _slice_refs,
    ck.QuotaIs: _quota,
    ck.AclIdIs: _acl_id,
    ck.RowIs: _row,
}


def encode_checks(e: Encoded, checks: Iterable[Check]) -> None:
    """Add what a commit verifies."""
    for check in checks:
        _CHECKS[type(check)](e, check)
