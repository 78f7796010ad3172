"""A commit as the words of the commit script: verifications first, then changes.

What a rule saw is compared in its raw form, as the session read it, so that a record written in
another way by another client still equals itself.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from roost.errors import InvalidArgument
from roost.volume.codec import encode_slices
from roost.volume.engines.redis.cache import Record, RecordCache
from roost.volume.engines.redis.keys import Keys
from roost.volume.engines.redis.session import Reading
from roost.volume.engines.redis.wants import fields, members
from roost.volume.meta import checks as ck
from roost.volume.meta.checks import Check
from roost.volume.model import Ino

WORDS_MAX = 200_000  # of one commit: a script runs alone, and everybody waits for it
Word = bytes | str | int
C = TypeVar("C", bound=Check)


class Encoded:
    """The words of one commit, and what is known once it is done."""

    __slots__ = (
        "adjusted", "cache", "change_keys", "changes", "dropped", "ended", "hints", "keys", "known",
        "reading", "results", "stored", "touched", "verify", "verify_keys",
    )  # fmt: skip

    def __init__(self, keys: Keys, reading: Reading, cache: RecordCache) -> None:
        self.keys = keys
        self.reading = reading
        self.cache = cache
        self.verify_keys: list[bytes] = []
        self.verify: list[Word] = []
        self.change_keys: list[bytes] = []
        self.changes: list[Word] = []
        self.touched: dict[bytes, None] = {}  # cached keys that are written: tracked again
        self.known: set[bytes | tuple[bytes, Word]] = set()  # keys whose type needs no more looks
        self.results: list[tuple[str, Ino]] = []  # of the changes that answer, in order
        self.stored: dict[Record, Any] = {}  # what records are after the commit
        self.dropped: list[Record] = []  # records to be forgotten
        self.adjusted: list[tuple[Record, Callable[[Any], Any]]] = []  # and those that move on
        self.hints: list[bytes] = []  # members added to `delfiles`
        self.ended: list[int] = []  # sessions whose locks go first

    # ---- words
    def expect(self, key: bytes, op: str, *words: Word) -> None:
        """Add a verification."""
        self.verify_keys.append(key)
        self.verify.append(op)
        self.verify += words

    def change(self, key: bytes, op: str, *words: Word) -> None:
        """Add a change."""
        self.change_keys.append(key)
        self.changes.append(op)
        self.changes += words

    def needs_type(self, key: bytes, kind: str) -> None:
        """Verify that a key is absent or of the type that will be written, if it is not yet."""
        if key not in self.known:
            self.known.add(key)
            self.expect(key, "type", kind)

    def needs_number(self, key: bytes, field: Word) -> None:
        """Verify that a hash's field can be added to."""
        place = (key, field)
        if place not in self.known:
            self.known.add(key)
            self.known.add(place)
            self.expect(key, "numbers", field)

    def words(self, client: int, fence: int, slot: int, token: int) -> tuple[Word, ...]:
        """Return the number of KEYS, KEYS and ARGV.  Raises InvalidArgument: too much at once."""
        key_count = 2 + len(self.verify_keys) + len(self.change_keys) + len(self.touched)
        if key_count + len(self.verify) + len(self.changes) > WORDS_MAX:
            raise InvalidArgument("the change is too large for one step")
        return (
            key_count, self.keys.tokens(client), self.keys.fence(client),
            *self.verify_keys, *self.change_keys, *self.touched,
            fence, slot, token, *self.verify, ".", *self.changes,
        )  # fmt: skip


def identity_of(raw: bytes) -> bytes:
    """Return the part of stored attributes that NodeIs compares."""
    return raw[:11] + raw[63:]


# ---- checks
def _node(e: Encoded, check: ck.NodeIs) -> None:
    key, raw = e.keys.node(check.ino), e.reading.raw(("node", check.ino))
    if raw is None:
        e.expect(key, "absent")
    else:
        e.known.add(key)
        e.expect(key, "identity", identity_of(raw))


def _node_exactly(e: Encoded, check: ck.NodeIsExactly) -> None:
    key, raw = e.keys.node(check.ino), e.reading.raw(("node", check.ino))
    if raw is None:
        e.expect(key, "absent")
    else:
        e.known.add(key)
        e.expect(key, "value", raw)


def _field(e: Encoded, key: bytes, field: Word, raw: bytes | None) -> None:
    e.known.add(key)
    if raw is None:
        e.expect(key, "no field", field)
    else:
        e.expect(key, "field", field, raw)


def _edge(e: Encoded, check: ck.EdgeIs) -> None:
    raw = e.reading.raw(("edge", check.parent, check.name))
    _field(e, e.keys.folder(check.parent), check.name, raw)


def _entries(e: Encoded, check: ck.EntriesAre) -> None:
    e.expect(e.keys.folder(check.ino), "present" if check.seen else "absent")


def _hash(e: Encoded, key: bytes, raw: Any) -> None:
    e.known.add(key)
    pairs = fields(raw)
    e.expect(key, "hash", len(pairs), *(word for pair in pairs.items() for word in pair))


def _parents(e: Encoded, check: ck.ParentsAre) -> None:
    _node(e, ck.NodeIs(check.ino, None))
    if ("parents", check.ino) in e.reading.seen:
        _hash(e, e.keys.parents(check.ino), e.reading.raw(("parents", check.ino)))


def _xattr(e: Encoded, check: ck.XattrIs) -> None:
    raw = e.reading.raw(("xattr", check.ino, check.name))
    _field(e, e.keys.xattrs(check.ino), check.name, raw)


def _value(e: Encoded, key: bytes, raw: bytes | None) -> None:
    e.known.add(key)
    if raw is None:
        e.expect(key, "absent")
    else:
        e.expect(key, "value", raw)


def _counter(e: Encoded, check: ck.CounterIs) -> None:
    _value(e, e.keys.counter(check.name), e.reading.raw(("counter", check.name)))


def _slices(e: Encoded, check: ck.SlicesAre) -> None:
    raw = e.reading.raw(("slices", check.ino, check.chunk_no))
    key = e.keys.chunk(check.ino, check.chunk_no)
    e.known.add(key)
    e.expect(key, "list", len(raw), b"".join(raw))


def _slices_begin(e: Encoded, check: ck.SlicesBegin) -> None:
    key = e.keys.chunk(check.ino, check.chunk_no)
    e.known.add(key)
    e.expect(key, "list begins", len(check.seen), encode_slices(check.seen))


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
        e.known.add(e.keys.acls)
        e.expect(e.keys.acls, "fields", len(rules) if isinstance(rules, dict) else len(rules) // 2)
        _value(e, e.keys.counter("aclMaxId"), highest)


def _row(e: Encoded, check: ck.RowIs) -> None:
    _ROWS[check.what](e, check)


def _session(e: Encoded, check: ck.RowIs) -> None:
    score, info = e.reading.raw(("session", check.key))
    _score(e, e.keys.all_sessions, check.key, score)
    _field(e, e.keys.session_infos, check.key, info)


def _score(e: Encoded, key: bytes, member: Word, score: Any) -> None:
    e.known.add(key)
    if score is None:
        e.expect(key, "no score", member)
    else:
        e.expect(key, "score", member, repr(float(score)))


def _sustained(e: Encoded, check: ck.RowIs) -> None:
    raw = members(e.reading.raw(("sustained", check.key)))
    key = e.keys.sustained(check.key)  # type: ignore[arg-type]  # RowIs keeps plain numbers
    e.known.add(key)
    e.expect(key, "set", len(raw), *raw)


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
        e.expect(e.keys.chunk(Ino(check.key), number), "present")


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
