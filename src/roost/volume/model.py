"""The words of the file system: inodes, attributes, entries, slices, sessions.

Values only: frozen, compared by content, without behaviour that needs a store.  The stored form
of each is in `codec` (bytes) and `engines` (tables).
Source: JuiceFS Community 1.4 metadata model.
"""

import stat
from dataclasses import field
from enum import IntEnum, IntFlag
from typing import NewType

from roost.volume.values import value

Ino = NewType("Ino", int)
SliceId = NewType("SliceId", int)
ChunkNo = NewType("ChunkNo", int)
SessionId = NewType("SessionId", int)

ROOT = Ino(1)
TRASH = Ino(0x7FFFFFFF10000000)
TRASH_NAME = b".trash"
NO_SESSION = SessionId(0)

NODE_SPACE_BYTES = 4096  # what a node without file data is charged
DIRECTORY_LENGTH_BYTES = 4096
NAME_BYTES_MAX = 255
SYMLINK_BYTES_MAX = 4095
XATTR_NAME_BYTES_MAX = 255
XATTR_VALUE_BYTES_MAX = 65536


class Kind(IntEnum):
    """What a node is; the numbers are stored."""

    FILE = 1
    DIRECTORY = 2
    SYMLINK = 3
    FIFO = 4
    BLOCK_DEVICE = 5
    CHAR_DEVICE = 6
    SOCKET = 7


_STAT_FORMAT = {
    Kind.FILE: stat.S_IFREG,
    Kind.DIRECTORY: stat.S_IFDIR,
    Kind.SYMLINK: stat.S_IFLNK,
    Kind.FIFO: stat.S_IFIFO,
    Kind.BLOCK_DEVICE: stat.S_IFBLK,
    Kind.CHAR_DEVICE: stat.S_IFCHR,
    Kind.SOCKET: stat.S_IFSOCK,
}


class Flag(IntFlag):
    """The attribute flags of chattr(1) that are stored."""

    NONE = 0
    IMMUTABLE = 0x01
    APPEND_ONLY = 0x02
    WINDOWS_HIDDEN = 0x04
    WINDOWS_SYSTEM = 0x08
    WINDOWS_ARCHIVE = 0x10
    SKIP_TRASH = 0x20


class RenameFlag(IntFlag):
    """Flags of renameat2(2)."""

    NONE = 0
    NOREPLACE = 1
    EXCHANGE = 2
    WHITEOUT = 4


class XattrFlag(IntFlag):
    """Flags of setxattr(2)."""

    NONE = 0
    CREATE = 1
    REPLACE = 2


@value(frozen=True, slots=True)
class Attr:
    """What is known of a node besides its data.  Times are nanoseconds since the epoch.

    `parent` is 0 once hard links have given the node several; `length` is in bytes.
    """

    kind: Kind
    mode: int = 0o644  # twelve permission bits
    uid: int = 0
    gid: int = 0
    atime_ns: int = 0
    mtime_ns: int = 0
    ctime_ns: int = 0
    nlink: int = 1
    length: int = 0
    rdev: int = 0
    parent: Ino = Ino(0)
    flags: int = 0
    access_acl: int = 0
    default_acl: int = 0
    tier: int = 0

    @property
    def is_directory(self) -> bool:
        """True for a directory."""
        return self.kind is Kind.DIRECTORY

    @property
    def is_file(self) -> bool:
        """True for a regular file."""
        return self.kind is Kind.FILE

    @property
    def st_mode(self) -> int:
        """The mode as stat(2) gives it: format and permission bits."""
        return _STAT_FORMAT[self.kind] | self.mode


@value(frozen=True, slots=True)
class Node:
    """A node that exists: its number and its attributes."""

    ino: Ino
    attr: Attr


@value(frozen=True, slots=True)
class Edge:
    """What a directory entry points at."""

    kind: Kind
    ino: Ino


@value(frozen=True, slots=True)
class DirEntry:
    """One row of a directory listing; `attr` is None unless it was asked for."""

    name: bytes
    ino: Ino
    kind: Kind
    attr: Attr | None = None


@value(frozen=True, slots=True)
class Slice:
    """A record of a chunk: `length` bytes from `offset` of slice `id` lie at `pos` of the chunk.

    `size` is the whole slice's bytes, from which object names are derived.  Id 0 means zeros.
    """

    pos: int
    id: SliceId
    size: int
    offset: int
    length: int

    @property
    def end(self) -> int:
        """The first position in the chunk after the slice."""
        return self.pos + self.length


@value(frozen=True, slots=True)
class SliceRef:
    """A slice as the object store knows it, with the number of records that point at it."""

    id: SliceId
    size: int
    refs: int = 1


@value(frozen=True, slots=True)
class ChunkSlices:
    """All records of one chunk, oldest first."""

    ino: Ino
    chunk_no: ChunkNo
    slices: tuple[Slice, ...]


@value(frozen=True, slots=True)
class DeletedFile:
    """A file without a name whose data is still to be removed."""

    ino: Ino
    length: int
    deleted_s: int  # unix seconds


@value(frozen=True, slots=True)
class DelayedSlices:
    """Slices that a compaction replaced and the trash keeps for a while."""

    chunk_id: SliceId  # the slice that replaced them
    deleted_s: int
    slices: tuple[SliceRef, ...]


@value(frozen=True, slots=True)
class DirUsage:
    """What the direct children of a directory use."""

    length: int = 0
    space_bytes: int = 0
    inodes: int = 0


ACL_NOT_SET = 0xFFFF  # in place of permission bits


@value(frozen=True, slots=True)
class AclRule:
    """A POSIX access control list; permission bits are 0 to 7, ACL_NOT_SET where there are none.

    Rules are stored once and shared by number.  Named entries keep the order they were given in.
    Source: acl(5); the volume format reference, section 2.10.
    """

    owner: int = ACL_NOT_SET
    group: int = ACL_NOT_SET
    mask: int = ACL_NOT_SET
    other: int = ACL_NOT_SET
    named_users: tuple[tuple[int, int], ...] = ()  # (uid, permission bits)
    named_groups: tuple[tuple[int, int], ...] = ()  # (gid, permission bits)


class QuotaKind(IntEnum):
    """Whom a quota limits; USER and GROUP are the numbers that SQL stores."""

    DIRECTORY = 0
    USER = 1
    GROUP = 2


@value(frozen=True, slots=True)
class Quota:
    """Limits and use of a directory's tree, a user or a group; a limit of 0 or less is none."""

    space_bytes_max: int = -1
    inodes_max: int = -1
    used_space_bytes: int = 0
    used_inodes: int = 0


@value(frozen=True, slots=True, order=True)
class LockHolder:
    """Who holds a lock: a session, and in it the owner that its kernel or process names (u64)."""

    sid: SessionId
    owner: int


class LockKind(IntEnum):
    """What a lock allows others; the numbers are those of stored range locks."""

    READ = 0
    WRITE = 1
    UNLOCK = 2  # asked for, never stored


RANGE_END_MAX = 0x7FFFFFFFFFFFFFFF  # "to the end of the file"


@value(frozen=True, slots=True)
class RangeLock:
    """A lock of the bytes `start` to `end`, both inclusive.  Source: fcntl(2)."""

    kind: LockKind
    pid: int
    start: int
    end: int


@value(frozen=True, slots=True)
class DetachedNode:
    """The root of a directory clone that is not in the tree yet."""

    ino: Ino
    added_s: int  # unix seconds


@value(frozen=True, slots=True)
class VolumeUsage:
    """The answer of statfs: bytes and inodes of the whole volume."""

    total_bytes: int
    available_bytes: int
    used_inodes: int
    available_inodes: int

    @property
    def used_bytes(self) -> int:
        """Bytes in use."""
        return self.total_bytes - self.available_bytes


@value(frozen=True, slots=True)
class Session:
    """A client that may write; `expire_s` is the end of its lease in unix seconds."""

    sid: SessionId
    expire_s: int
    info: bytes = b""  # JSON


@value(frozen=True, slots=True)
class Caller:
    """Who asks.  With `check` off the caller's kernel has judged permissions already."""

    uid: int = 0
    gid: int = 0
    groups: frozenset[int] = field(default_factory=frozenset)
    check: bool = True

    def is_member(self, gid: int) -> bool:
        """True if the caller belongs to group `gid`."""
        return gid == self.gid or gid in self.groups


SUPERUSER = Caller()


@value(frozen=True, slots=True)
class AttrChange:
    """What setattr is to change; None leaves a value alone.  Length is changed by truncate.

    `times_are_now` says that the times given are the present: whoever may write may set those.
    """

    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    atime_ns: int | None = None
    mtime_ns: int | None = None
    flags: int | None = None
    times_are_now: bool = False


@value(frozen=True, slots=True)
class Problem:
    """One finding of the metadata check."""

    ino: Ino
    what: str
    fatal: bool = True  # False: counters or statistics that drift
