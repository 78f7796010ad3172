"""A transaction: what a rule read, what must still hold, what it will do.

A rule is a function over `Txn`.  It reads first and writes after, touches nothing else, and may run
several times.  Every read leaves its predicate behind, so a rule cannot forget one.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from roost.volume.meta.checks import (
    AclIdIs,
    Check,
    CounterIs,
    EdgeIs,
    EntriesAre,
    NodeIs,
    NodeIsExactly,
    ParentsAre,
    QuotaIs,
    RowIs,
    SliceRefsAre,
    SlicesAre,
    SlicesBegin,
    XattrIs,
    identity,
)
from roost.volume.meta.claim import Claim
from roost.volume.meta.effects import Effect
from roost.volume.meta.reads import Reads, Scans, Wanted
from roost.volume.model import (
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
from roost.volume.values import value

T = TypeVar("T")


@value(frozen=True, slots=True)
class Commit:
    """One atomic step: all checks hold, then all effects are applied in order; or nothing is."""

    checks: tuple[Check, ...]
    effects: tuple[Effect, ...]


class Txn:
    """What a rule sees.  `now_ns` is the same for the whole transaction."""

    def __init__(self, reads: Reads, now_ns: int) -> None:
        self._reads = reads
        self._checks: list[Check] = []
        self._effects: list[Effect] = []
        self.now_ns = now_ns

    @property
    def now_s(self) -> int:
        """Unix seconds."""
        return self.now_ns // 1_000_000_000

    @property
    def commit(self) -> Commit:
        """What the engine is to commit."""
        return Commit(tuple(self._checks), tuple(self._effects))

    def do(self, *effects: Effect) -> None:
        """Add effects, applied in this order."""
        self._effects.extend(effects)

    def _depends(self, check: Check) -> None:
        assert not self._effects, "a rule reads before it writes"
        self._checks.append(check)

    # ---- reads; as in Reads
    def load(self, *wanted: Wanted) -> None:
        """Say what will be read, so that an engine far away fetches it in one round trip."""
        self._reads.load(wanted)

    def node(self, ino: Ino) -> Attr | None:
        """Return the attributes; the rule may decide on identity only, and not answer with them."""
        attr = self._reads.node(ino)
        self._depends(NodeIs(ino, identity(attr)))
        return attr

    def exact_node(self, ino: Ino) -> Attr | None:
        """Return the attributes; the rule may decide on, and answer with, all of them."""
        attr = self._reads.node(ino)
        self._depends(NodeIsExactly(ino, attr))
        return attr

    def edge(self, parent: Ino, name: bytes) -> Edge | None:
        """Return what an entry points at."""
        edge = self._reads.edge(parent, name)
        self._depends(EdgeIs(parent, name, edge))
        return edge

    def has_entries(self, ino: Ino) -> bool:
        """True if the directory is not empty."""
        found = self._reads.has_entries(ino)
        self._depends(EntriesAre(ino, found))
        return found

    def parents(self, ino: Ino) -> dict[Ino, int]:
        """Return how many names each directory has for the node."""
        parents = self._reads.parents(ino)
        self._depends(ParentsAre(ino, tuple(sorted(parents.items()))))
        return parents

    def symlink(self, ino: Ino) -> bytes | None:
        """Return a link's target, which never changes while the node exists."""
        return self._reads.symlink(ino)

    def xattr(self, ino: Ino, name: bytes) -> bytes | None:
        """Return an extended attribute."""
        value = self._reads.xattr(ino, name)
        self._depends(XattrIs(ino, name, value))
        return value

    def slices(self, ino: Ino, chunk_no: ChunkNo) -> tuple[Slice, ...]:
        """Return a chunk's records, oldest first."""
        slices = self._reads.slices(ino, chunk_no)
        self._depends(SlicesAre(ino, chunk_no, slices))
        return slices

    def chunk_numbers(self, ino: Ino) -> tuple[ChunkNo, ...]:
        """Return the chunks of a file that have records, ascending."""
        numbers = self._reads.chunk_numbers(ino)
        self._depends(RowIs("chunk_numbers", ino, numbers))
        return numbers

    def first_slices(self, ino: Ino, chunk_no: ChunkNo, count: int) -> tuple[Slice, ...]:
        """Return a chunk's oldest records; others may be appended before the commit."""
        slices = self._reads.slices(ino, chunk_no)[:count]
        self._depends(SlicesBegin(ino, chunk_no, slices))
        return slices

    def slice_refs(self, slice_id: SliceId, size: int) -> int | None:
        """Return how many records refer to a slice."""
        refs = self._reads.slice_refs(slice_id, size)
        self._depends(SliceRefsAre(slice_id, size, refs))
        return refs

    def counter(self, name: str) -> int:
        """Return a counter; an absent one is 0."""
        value = self._reads.counter(name)
        self._depends(CounterIs(name, value))
        return value or 0

    def loose_counter(self, name: str) -> int:
        """Return a counter that may move on before the commit: a limit, not an identity."""
        return self._reads.counter(name) or 0

    def setting(self) -> str | None:
        """Return the volume's settings as stored."""
        text = self._reads.setting()
        self._depends(RowIs("setting", 0, text))
        return text

    def session(self, sid: SessionId) -> Session | None:
        """Return a session."""
        session = self._reads.session(sid)
        self._depends(RowIs("session", sid, session))
        return session

    def sustained(self, sid: SessionId) -> tuple[Ino, ...]:
        """Return the nameless files that a session keeps."""
        inos = self._reads.sustained(sid)
        self._depends(RowIs("sustained", sid, inos))
        return inos

    def loose_locked(self, sid: SessionId) -> tuple[Ino, ...]:
        """Return the files of which a session holds locks, and may take others meanwhile."""
        return self._reads.locked(sid)

    def deleted_file(self, ino: Ino) -> DeletedFile | None:
        """Return the note that a file's data is to be removed."""
        file = self._reads.deleted_file(ino)
        self._depends(RowIs("deleted_file", ino, file))
        return file

    def delayed(self, chunk_id: SliceId) -> DelayedSlices | None:
        """Return the note of what the compaction into this slice replaced."""
        delayed = self._reads.delayed(chunk_id)
        self._depends(RowIs("delayed", chunk_id, delayed))
        return delayed

    def acl(self, acl_id: int) -> AclRule | None:
        """Return a stored rule, which never changes."""
        return self._reads.acl(acl_id)

    def acl_id(self, rule: AclRule) -> int | None:
        """Return the number of an equal rule."""
        acl_id = self._reads.acl_id(rule)
        self._depends(AclIdIs(rule, acl_id))
        return acl_id

    def dir_usage(self, ino: Ino) -> DirUsage | None:
        """Return the statistics of a directory."""
        usage = self._reads.dir_usage(ino)
        self._depends(RowIs("dir_usage", ino, usage))
        return usage

    def quota(self, kind: QuotaKind, key: int) -> Quota | None:
        """Return a quota."""
        quota = self._reads.quota(kind, key)
        self._depends(QuotaIs(kind, key, quota))
        return quota

    def loose_quota(self, kind: QuotaKind, key: int) -> Quota | None:
        """Return a quota whose use may move on before the commit: a limit, not an identity."""
        return self._reads.quota(kind, key)

    def flocks(self, ino: Ino) -> tuple[tuple[LockHolder, LockKind], ...]:
        """Return who holds the whole file."""
        locks = self._reads.flocks(ino)
        self._depends(RowIs("flocks", ino, locks))
        return locks

    def range_locks(self, ino: Ino) -> tuple[tuple[LockHolder, tuple[RangeLock, ...]], ...]:
        """Return who holds which ranges."""
        locks = self._reads.range_locks(ino)
        self._depends(RowIs("range_locks", ino, locks))
        return locks

    def detached(self, ino: Ino) -> DetachedNode | None:
        """Return the note that the directory is an unfinished clone."""
        node = self._reads.detached(ino)
        self._depends(RowIs("detached", ino, node))
        return node


class Engine(Protocol):
    """A store of metadata that commits in one atomic step."""

    @property
    def is_read_only(self) -> bool:
        """True if `run` refuses every effect."""
        ...

    @property
    def durability(self) -> str:
        """What a commit that was answered survives, in words for a person."""
        ...

    def hold(self, claim: Claim) -> None:
        """Ask `claim` at every new connection, before anything is read or committed through it.

        Its counters are raised as it says.  A database that is another volume's now, or none's,
        is not touched any more: every call raises VolumeReplaced.
        """
        ...

    def read(self, rule: Callable[[Reads], T]) -> T:
        """Return what `rule` makes of one consistent snapshot.  Raises VolumeReplaced."""
        ...

    def run(self, rule: Callable[[Txn], T]) -> T:
        """Run `rule` until its commit is done, and return its answer.

        A refusal (an FsError it raises) or a commit of nothing is final only if it was computed
        from real reads.  Raises CommitUnknown if even the commit token cannot be read back,
        Unavailable if nothing was committed because the store does not answer, VolumeReplaced,
        FsError EROFS for effects on a read-only engine; InodeTaken if a node to be added is there.
        """
        ...

    def scan(self) -> AbstractContextManager[Scans]:
        """Give access to listings of whole tables, all of one snapshot."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of this store, for `status`: each a warning in one line."""
        ...

    def destroy(self) -> None:
        """Remove every record of the volume, so that the place is as if never formatted.

        Raises FsError EROFS on a read-only engine; Unavailable.
        """
        ...

    def close(self) -> None:
        """Let go of connections and threads."""
        ...
