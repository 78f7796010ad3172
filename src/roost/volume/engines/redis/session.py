"""What one run of a rule reads: from the cache, or fetched; and whether it is of one moment.

A miss is fetched together with all that the rule has looked at so far, in one atomic step.  If that
is unchanged, everything seen is of the moment of the fetch; if not, `Restart` ends the run and the
rule is run again on what was fetched.

An entry that is not known is guessed to be absent, where guessing is allowed: most entries asked
for are names to be made; and a directory is guessed to be empty, since that is asked to remove it.
A commit verifies it; an outcome that commits nothing is not final.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from roost.volume.codec import decode_attr, decode_edge, decode_slices
from roost.volume.engines.redis import records
from roost.volume.engines.redis.cache import Record, RecordCache
from roost.volume.engines.redis.keys import Keys, counter_offset
from roost.volume.engines.redis.wants import fields, members
from roost.volume.layout import CHUNK_BYTES
from roost.volume.meta.reads import CounterWanted, EdgeWanted, NodeWanted, Wanted
from roost.volume.model import (
    ROOT,
    TRASH,
    AclRule,
    Attr,
    ChunkNo,
    DelayedSlices,
    DeletedFile,
    DetachedNode,
    DirUsage,
    Edge,
    Ino,
    LockHolder,
    LockKind,
    Quota,
    QuotaKind,
    RangeLock,
    Session,
    SessionId,
    Slice,
    SliceId,
)

READ_AGAIN_MAX = 256  # a rule that looked at more is not read again as a whole with each miss
PROBED_BEYOND = 64  # chunks looked for beyond a file's end: what truncating left there
CHUNKS_PROBED_MAX = 10_000
_MISSING = object()
_GUESSED: dict[str, Any] = {"edge": None, "entries": 0}  # no such entry, an empty directory

Raw = dict[Record, Any]
Page = tuple[tuple[bytes, Edge], ...]
Pages = dict[tuple[Ino, bytes | None, int], Page]


class Restart(Exception):
    """What a rule looked at has changed meanwhile; it is to run again on `known`."""

    def __init__(self, known: Raw) -> None:
        super().__init__()
        self.known = known


class Server(Protocol):
    """What a session needs of the engine."""

    @property
    def keys(self) -> Keys:
        """The names of the volume's keys."""
        ...

    def fetch(self, wanted: Sequence[Record], lookups: Sequence[Record]) -> Raw:
        """Return raw values, all of one moment; nodes found by `lookups` among them."""
        ...

    def listing(self, ino: Ino, after: bytes | None, limit: int) -> tuple[tuple[bytes, Edge], ...]:
        """Return a page of a directory."""
        ...

    def deleted_member(self, ino: Ino) -> bytes | None:
        """Return the member of `delfiles` that notes this file."""
        ...

    def delayed_field(self, chunk_id: SliceId) -> bytes | None:
        """Return the field of `delSlices` that notes this slice."""
        ...

    def existing_chunks(self, ino: Ino) -> tuple[ChunkNo, ...]:
        """Return a file's chunks by looking at all keys."""
        ...


class Reading:
    """One run.  Satisfies meta.reads.Reads."""

    __slots__ = (
        "_cached", "_guesses", "_known", "_listed", "_pages", "_server", "is_committing",
        "is_snapshot", "seen",
    )  # fmt: skip

    def __init__(
        self, server: Server, cache: RecordCache | None, known: Raw, pages: Pages, *, guesses: bool
    ) -> None:
        """`known` is of one moment; `cache` is looked at for what it lacks.

        `pages` are of directories listed by an earlier run of the same rule, which are kept.
        """
        self._server = server
        self._pages = pages
        self._cached: Raw = {} if cache is None else cache.values
        self._known = known
        self._guesses = guesses
        self._listed: list[Record] = []
        self.seen: Raw = {}
        self.is_snapshot = True
        self.is_committing = False  # the rule is done: an error is the commit's

    # ---- raw values
    def raw(self, record: Record) -> Any:
        """Return a record's raw value, and remember that it was looked at."""
        value = self.seen.get(record, _MISSING)
        if value is not _MISSING:
            return value
        value = self._known.get(record, _MISSING)
        if value is _MISSING:
            value = self._cached.get(record, _MISSING)
            if value is not _MISSING:
                self.is_snapshot = False
            elif self._guesses and record[0] in _GUESSED:
                self.is_snapshot = False
                value = _GUESSED[record[0]]
            else:
                value = self._fetch([record], [])[record]
        self.seen[record] = value
        return value

    def fetch(self, records: Sequence[Record]) -> None:
        """Read in one go what `raw` will be asked for."""
        missing = [record for record in records if self._at_hand(record) is _MISSING]
        if missing:
            self._fetch(missing, [])

    def load(self, wanted: Sequence[Wanted]) -> None:
        """As in Reads; what will be guessed is not fetched for its own sake."""
        plain: list[Record] = []
        lookups: list[Record] = []
        missing = False
        finds_one = False  # an entry that is there
        for want in wanted:
            record = _record(want)
            value = self._at_hand(record)
            if isinstance(want, EdgeWanted) and value is _MISSING:
                if want.child:
                    lookups.append(record)
                elif not self._guesses:
                    plain.append(record)
                    missing = True
                continue
            plain.append(record)
            missing = missing or value is _MISSING
            if isinstance(want, EdgeWanted) and want.child and value is not None:
                finds_one = True
                child = ("node", decode_edge(value).ino)
                plain.append(child)
                missing = missing or self._at_hand(child) is _MISSING
        # The one entry that is not known is what a rename makes, if another is known to be there.
        if missing or (lookups and not (finds_one and self._guesses)):
            self._fetch(plain, lookups)

    def _at_hand(self, record: Record) -> Any:
        value = self.seen.get(record, _MISSING)
        if value is _MISSING:
            value = self._known.get(record, _MISSING)
        if value is _MISSING:
            value = self._cached.get(record, _MISSING)
        return value

    def _fetch(self, wanted: list[Record], lookups: list[Record]) -> Raw:
        if self._listed and wanted and wanted[0][0] == "node":
            wanted = [*wanted, *self._listed]  # the first of a listing's nodes: all will follow
            self._listed = []
        if len(self.seen) > max(READ_AGAIN_MAX, len(wanted)):
            fetched = self._server.fetch(wanted, lookups)
            self.is_snapshot = self.is_snapshot and not self.seen
            self._known = {**self._known, **fetched}
            return fetched
        asked = set(lookups)
        # What is known stays known: an entry forgotten here would be guessed, in each run anew.
        known = self._known if len(self._known) <= READ_AGAIN_MAX else ()
        again = [r for r in dict.fromkeys((*self.seen, *known, *wanted)) if r not in asked]
        fetched = self._server.fetch(again, lookups)
        for record, value in self.seen.items():
            if fetched.get(record, value) != value:
                raise Restart(fetched)
        self.is_snapshot = True
        self._known = fetched
        return fetched

    # ---- Reads
    def node(self, ino: Ino) -> Attr | None:
        """As in Reads."""
        raw = self.raw(("node", ino))
        return None if raw is None else decode_attr(raw, f"inode {ino}")

    def edge(self, parent: Ino, name: bytes) -> Edge | None:
        """As in Reads."""
        raw = self.raw(("edge", parent, name))
        return None if raw is None else decode_edge(raw, f"entry of directory {parent}")

    def has_entries(self, ino: Ino) -> bool:
        """As in Reads."""
        return bool(self.raw(("entries", ino)))

    def entries(self, ino: Ino, after: bytes | None, limit: int) -> Page:
        """As in Reads; a directory has no order in Redis, so it is read whole, then sorted."""
        place = (ino, after, limit)
        page = self._pages.get(place)
        if page is None:
            page = self._pages[place] = self._server.listing(ino, after, limit)
        self._listed = [("node", edge.ino) for _, edge in page]
        return page

    def parents(self, ino: Ino) -> dict[Ino, int]:
        """As in Reads."""
        attr = self.node(ino)
        if attr is None or attr.nlink == 0 or ino in (ROOT, TRASH):
            return {}
        if attr.parent:
            return {attr.parent: 1}
        counts = records.parent_counts(ino, fields(self.raw(("parents", ino))))
        return {parent: count for parent, count in counts.items() if count > 0}

    def symlink(self, ino: Ino) -> bytes | None:
        """As in Reads."""
        target: bytes | None = self.raw(("symlink", ino))
        return target

    def xattr(self, ino: Ino, name: bytes) -> bytes | None:
        """As in Reads."""
        value: bytes | None = self.raw(("xattr", ino, name))
        return value

    def xattr_names(self, ino: Ino) -> tuple[bytes, ...]:
        """As in Reads."""
        return tuple(members(self.raw(("xattrs", ino))))

    def slices(self, ino: Ino, chunk_no: ChunkNo) -> tuple[Slice, ...]:
        """As in Reads."""
        raw = b"".join(self.raw(("slices", ino, chunk_no)))
        return decode_slices(raw, f"chunk {chunk_no} of inode {ino}")

    def chunk_numbers(self, ino: Ino) -> tuple[ChunkNo, ...]:
        """As in Reads; Redis has no list of them, so those that the length allows are probed."""
        attr = self.node(ino)
        length = self._deleted_length(ino) if attr is None else attr.length
        end = -(-length // CHUNK_BYTES) + PROBED_BEYOND
        if end > CHUNKS_PROBED_MAX:
            self.is_snapshot = self.is_snapshot and not self.seen
            return self._server.existing_chunks(ino)
        found = self.raw(("chunks", ino, 0, end))
        return tuple(ChunkNo(number) for number, exists in enumerate(found) if exists)

    def _deleted_length(self, ino: Ino) -> int:
        member = self._server.deleted_member(ino)
        return 0 if member is None else int(member.partition(b":")[2])

    def slice_refs(self, slice_id: SliceId, size: int) -> int | None:
        """As in Reads."""
        raw = self.raw(("ref", slice_id, size))
        return 1 if raw is None else records.number(raw, b"sliceRef") + 1

    def counter(self, name: str) -> int | None:
        """As in Reads."""
        raw = self.raw(("counter", name))
        return None if raw is None else records.number(raw, name.encode()) + counter_offset(name)

    def setting(self) -> str | None:
        """As in Reads."""
        raw = self.raw(("setting",))
        return None if raw is None else raw.decode("utf-8", "surrogateescape")

    def session(self, sid: SessionId) -> Session | None:
        """As in Reads."""
        score, info = self.raw(("session", sid))
        return None if score is None else Session(sid, int(float(score)), info or b"")

    def sustained(self, sid: SessionId) -> tuple[Ino, ...]:
        """As in Reads."""
        found = self.raw(("sustained", sid))
        return tuple(sorted(Ino(records.number(raw, b"session")) for raw in found))

    def locked(self, sid: SessionId) -> tuple[Ino, ...]:
        """As in Reads."""
        found = {key: self._server.keys.locked_file(key) for key in self.raw(("locked", sid))}
        return tuple(sorted({ino for ino in found.values() if ino is not None}))

    def deleted_file(self, ino: Ino) -> DeletedFile | None:
        """As in Reads."""
        member = self._server.deleted_member(ino)
        score = None if member is None else self.raw(("deleted", member))
        if score is None:
            return None
        return DeletedFile(ino, self._deleted_length(ino), int(float(score)))

    def delayed(self, chunk_id: SliceId) -> DelayedSlices | None:
        """As in Reads."""
        field = self._server.delayed_field(chunk_id)
        raw = None if field is None else self.raw(("delayed", field))
        if field is None or raw is None:
            return None
        return records.delayed_slices(field, raw)

    def acl(self, acl_id: int) -> AclRule | None:
        """As in Reads."""
        raw = fields(self.raw(("acls",))[0]).get(b"%d" % acl_id)
        return None if raw is None else records.decode_acl(raw, f"ACL {acl_id}")

    def acl_id(self, rule: AclRule) -> int | None:
        """As in Reads."""
        stored, wanted = fields(self.raw(("acls",))[0]), records.encode_acl(rule)
        found = [records.number(name, b"acl") for name, raw in stored.items() if raw == wanted]
        return min(found, default=None)

    def dir_usage(self, ino: Ino) -> DirUsage | None:
        """As in Reads."""
        return records.dir_usage(ino, *self.raw(("usage", ino)))

    def quota(self, kind: QuotaKind, key: int) -> Quota | None:
        """As in Reads."""
        limits, space, inodes = (fields(table) for table in self.raw(("quotas", int(kind))))
        name = b"%d" % key
        return records.quota(name, limits.get(name), space.get(name), inodes.get(name))

    def flocks(self, ino: Ino) -> tuple[tuple[LockHolder, LockKind], ...]:
        """As in Reads."""
        where = f"locks of inode {ino}"
        held = fields(self.raw(("flocks", ino))).items()
        return tuple(
            sorted(
                (records.decode_holder(name, where), records.decode_flock(raw, where))
                for name, raw in held
            )
        )

    def range_locks(self, ino: Ino) -> tuple[tuple[LockHolder, tuple[RangeLock, ...]], ...]:
        """As in Reads."""
        where = f"range locks of inode {ino}"
        held = {
            records.decode_holder(name, where): records.decode_ranges(raw, where)
            for name, raw in fields(self.raw(("ranges", ino))).items()
        }
        return tuple((holder, held[holder]) for holder in sorted(held))

    def detached(self, ino: Ino) -> DetachedNode | None:
        """As in Reads."""
        score = self.raw(("detached", ino))
        return None if score is None else DetachedNode(ino, int(float(score)))


def _record(want: Wanted) -> Record:
    if isinstance(want, NodeWanted):
        return ("node", want.ino)
    if isinstance(want, EdgeWanted):
        return ("edge", want.parent, want.name)
    if isinstance(want, CounterWanted):
        return ("counter", want.name)
    return ("slices", want.ino, want.chunk_no)
