"""What a transaction does, as plain values that an engine applies in one atomic step.

Times merge by maximum, link counts and counters by addition, so that two creators in one directory
never conflict.
"""

from roost.volume.meta.stored_files import AddStoredFiles
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

ACL_COUNTER = "aclMaxId"


@value(frozen=True, slots=True)
class NodeChange:
    """How a node's stored attributes become new ones; None and 0 leave a value alone.

    `data_time_ns` becomes mtime and never equals the one before, because caches of other clients
    go by a different mtime.
    """

    nlink_by: int = 0
    mtime_at_least_ns: int | None = None
    ctime_at_least_ns: int | None = None
    data_time_ns: int | None = None
    atime_ns: int | None = None
    mtime_ns: int | None = None
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    flags: int | None = None
    parent: Ino | None = None
    length: int | None = None
    length_at_least: int | None = None
    access_acl: int | None = None
    default_acl: int | None = None
    tier: int | None = None


def merged(attr: Attr, change: NodeChange) -> Attr:
    """Return `attr` after `change`; engines call it on what is stored at the commit."""
    mtime_ns = attr.mtime_ns if change.mtime_ns is None else change.mtime_ns
    if change.mtime_at_least_ns is not None:
        mtime_ns = max(mtime_ns, change.mtime_at_least_ns)
    if change.data_time_ns is not None:
        mtime_ns = change.data_time_ns + (change.data_time_ns == attr.mtime_ns)
    length = attr.length if change.length is None else change.length
    # Spelled out: dataclasses.replace takes three times as long, and every commit comes here.
    return Attr(
        kind=attr.kind,
        mode=_either(change.mode, attr.mode),
        uid=_either(change.uid, attr.uid),
        gid=_either(change.gid, attr.gid),
        atime_ns=_either(change.atime_ns, attr.atime_ns),
        mtime_ns=mtime_ns,
        ctime_ns=max(attr.ctime_ns, _either(change.ctime_at_least_ns, attr.ctime_ns)),
        nlink=attr.nlink + change.nlink_by,
        length=max(length, _either(change.length_at_least, length)),
        rdev=attr.rdev,
        parent=Ino(_either(change.parent, attr.parent)),
        flags=_either(change.flags, attr.flags),
        access_acl=_either(change.access_acl, attr.access_acl),
        default_acl=_either(change.default_acl, attr.default_acl),
        tier=_either(change.tier, attr.tier),
    )


def _either(new: int | None, old: int) -> int:
    return old if new is None else new


@value(frozen=True, slots=True)
class AddNode:
    """Store a node that is not there."""

    ino: Ino
    attr: Attr


@value(frozen=True, slots=True)
class ChangeNode:
    """Change a node that is there."""

    ino: Ino
    change: NodeChange


@value(frozen=True, slots=True)
class DropNode:
    """Remove a node, its link target and its extended attributes."""

    ino: Ino


@value(frozen=True, slots=True)
class AddEdge:
    """Store an entry that is not there."""

    parent: Ino
    name: bytes
    edge: Edge


@value(frozen=True, slots=True)
class DropEdge:
    """Remove an entry."""

    parent: Ino
    name: bytes


@value(frozen=True, slots=True)
class PutSymlink:
    """Store a link's target."""

    ino: Ino
    target: bytes


@value(frozen=True, slots=True)
class PutXattr:
    """Store an extended attribute; None removes it."""

    ino: Ino
    name: bytes
    value: bytes | None


@value(frozen=True, slots=True)
class DropXattrs:
    """Remove all extended attributes of a node."""

    ino: Ino


@value(frozen=True, slots=True)
class AppendSlices:
    """Append records to a chunk."""

    ino: Ino
    chunk_no: ChunkNo
    records: tuple[Slice, ...]


@value(frozen=True, slots=True)
class DropChunk:
    """Remove a chunk's records."""

    ino: Ino
    chunk_no: ChunkNo


@value(frozen=True, slots=True)
class ReplaceSlices:
    """Put `new` in the place of the oldest `count` records of a chunk, which a check has fixed."""

    ino: Ino
    chunk_no: ChunkNo
    count: int
    new: tuple[Slice, ...]


@value(frozen=True, slots=True)
class AddSliceRefs:
    """Change how many records refer to a slice of `size` bytes.

    `is_new` makes a slice known with `by` references; else one that is not known is left so.
    """

    slice_id: SliceId
    by: int
    size: int
    is_new: bool = False


@value(frozen=True, slots=True)
class DropSliceRef:
    """Forget a slice that no record refers to; one in use is left alone."""

    slice_id: SliceId
    size: int


@value(frozen=True, slots=True)
class AddCounter:
    """Add to a counter, which starts at 0."""

    name: str
    by: int


@value(frozen=True, slots=True)
class PutCounter:
    """Set a counter."""

    name: str
    value: int


@value(frozen=True, slots=True)
class UseDirectory:
    """Add to the statistics of a directory; absent ones are computed from its entries."""

    ino: Ino
    by: DirUsage


@value(frozen=True, slots=True)
class PutDirUsage:
    """Store the statistics of a directory; None removes them, and a quota of it."""

    ino: Ino
    usage: DirUsage | None


@value(frozen=True, slots=True)
class PutSession:
    """Register or renew a session."""

    session: Session


@value(frozen=True, slots=True)
class DropSession:
    """Remove a session with its locks, all in one step: so they must not be too many."""

    sid: SessionId


@value(frozen=True, slots=True)
class DropLocks:
    """Let a session, whoever of its owners, hold no lock of these files."""

    sid: SessionId
    inos: tuple[Ino, ...]


@value(frozen=True, slots=True)
class PutSustained:
    """Keep a nameless file while a session has it open."""

    sid: SessionId
    ino: Ino


@value(frozen=True, slots=True)
class DropSustained:
    """No longer keep a file."""

    sid: SessionId
    ino: Ino


@value(frozen=True, slots=True)
class PutDeletedFile:
    """Note that a file's data is to be removed."""

    file: DeletedFile


@value(frozen=True, slots=True)
class DropDeletedFile:
    """Remove the note."""

    ino: Ino


@value(frozen=True, slots=True)
class PutDelayed:
    """Note which slices a compaction replaced, for the trash to keep."""

    delayed: DelayedSlices


@value(frozen=True, slots=True)
class DropDelayed:
    """Remove the note of slices that a compaction replaced."""

    chunk_id: SliceId


@value(frozen=True, slots=True)
class PutAcl:
    """Store a rule under a number that no rule has: one more than the counter `aclMaxId`.

    The counter becomes `acl_id` with it.  SQL keeps no such counter: there, reading it gives the
    highest number in the table, and 0 for an empty one.
    """

    acl_id: int
    rule: AclRule


@value(frozen=True, slots=True)
class PutQuota:
    """Store a quota with its use; None removes it."""

    kind: QuotaKind
    key: int
    quota: Quota | None


@value(frozen=True, slots=True)
class UseQuota:
    """Add to the use that a quota counts; without the quota nothing happens.

    With `create` a quota without limits is made: users and groups are counted from their first
    file on.
    """

    kind: QuotaKind
    key: int
    space_bytes: int
    inodes: int
    create: bool = False


@value(frozen=True, slots=True)
class PutFlock:
    """Let the holder have the whole file; None lets go."""

    ino: Ino
    holder: LockHolder
    kind: LockKind | None


@value(frozen=True, slots=True)
class PutRangeLocks:
    """Let the holder have exactly these ranges, sorted and apart; none lets go."""

    ino: Ino
    holder: LockHolder
    locks: tuple[RangeLock, ...]


@value(frozen=True, slots=True)
class PutDetached:
    """Note that a directory is an unfinished clone."""

    node: DetachedNode


@value(frozen=True, slots=True)
class DropDetached:
    """Remove the note."""

    ino: Ino


@value(frozen=True, slots=True)
class PutSetting:
    """Store the volume's settings."""

    text: str


Effect = (
    AddNode | ChangeNode | DropNode | AddEdge | DropEdge | PutSymlink | PutXattr | DropXattrs
    | AppendSlices | DropChunk | AddSliceRefs | DropSliceRef | AddCounter | PutCounter
    | UseDirectory | PutDirUsage | PutSession | DropSession | DropLocks | PutSustained
    | DropSustained | PutDeletedFile | DropDeletedFile | PutDelayed | DropDelayed
    | ReplaceSlices | PutAcl | PutQuota | UseQuota | PutFlock | PutRangeLocks | PutDetached
    | DropDetached | PutSetting | AddStoredFiles
)  # fmt: skip
