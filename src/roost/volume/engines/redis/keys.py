"""The names of the keys of a volume in Redis.

Source: the volume format reference, sections 2.1, 2.2 and 2.4.
"""

from roost.volume.model import ChunkNo, Ino, LockHolder, QuotaKind, SessionId, SliceId

# Numbers that JuiceFS counts differently here: lower case, and the last one given, not the next.
_LAST_GIVEN = {"nextInode": b"nextinode", "nextChunk": b"nextchunk"}
_OTHER_NAMES = {"nextSession": b"nextsession"}
_QUOTAS = {
    QuotaKind.DIRECTORY: b"dirQuota",
    QuotaKind.USER: b"userQuota",
    QuotaKind.GROUP: b"groupQuota",
}


class Keys:
    """Names keys; in a cluster each begins with `{db}`, so that all lie in one slot."""

    __slots__ = (
        "_counters", "acls", "all_sessions", "delayed", "deleted_files", "detached",
        "dir_inodes", "dir_length", "dir_space", "prefix", "quotas", "session_infos", "setting",
        "slice_refs", "statistics",
    )  # fmt: skip

    def __init__(self, prefix: bytes = b"") -> None:
        self.prefix = prefix
        self._counters: dict[str, bytes] = {}
        self.setting = prefix + b"setting"
        self.acls = prefix + b"acl"
        self.slice_refs = prefix + b"sliceRef"
        self.deleted_files = prefix + b"delfiles"
        self.delayed = prefix + b"delSlices"
        self.all_sessions = prefix + b"allSessions"
        self.session_infos = prefix + b"sessionInfos"
        self.detached = prefix + b"detachedNodes"
        self.dir_length = prefix + b"dirDataLength"
        self.dir_space = prefix + b"dirUsedSpace"
        self.dir_inodes = prefix + b"dirUsedInodes"
        self.statistics = (self.dir_space, self.dir_length, self.dir_inodes)
        self.quotas = {
            kind: (prefix + name, prefix + name + b"UsedSpace", prefix + name + b"UsedInodes")
            for kind, name in _QUOTAS.items()
        }

    def node(self, ino: Ino) -> bytes:
        """Attributes."""
        return b"%si%d" % (self.prefix, ino)

    def folder(self, ino: Ino) -> bytes:
        """The entries of a directory: hash of name → kind and inode."""
        return b"%sd%d" % (self.prefix, ino)

    def parents(self, ino: Ino) -> bytes:
        """The parents of a node with several names: hash of inode → count."""
        return b"%sp%d" % (self.prefix, ino)

    def symlink(self, ino: Ino) -> bytes:
        """A link's target."""
        return b"%ss%d" % (self.prefix, ino)

    def xattrs(self, ino: Ino) -> bytes:
        """Extended attributes: hash of name → value."""
        return b"%sx%d" % (self.prefix, ino)

    def chunk(self, ino: Ino, chunk_no: ChunkNo | int) -> bytes:
        """The records of a chunk: list."""
        return b"%sc%d_%d" % (self.prefix, ino, chunk_no)

    def sustained(self, sid: SessionId) -> bytes:
        """The nameless files of a session: set of inodes."""
        return b"%ssession%d" % (self.prefix, sid)

    def locked(self, sid: SessionId) -> bytes:
        """The keys of the locks in which a session holds something: set."""
        return b"%slocked%d" % (self.prefix, sid)

    def flocks(self, ino: Ino) -> bytes:
        """Locks of the whole file: hash of holder → R or W."""
        return b"%slockf%d" % (self.prefix, ino)

    def range_locks(self, ino: Ino) -> bytes:
        """Locks of ranges: hash of holder → records."""
        return b"%slockp%d" % (self.prefix, ino)

    def locked_file(self, key: bytes) -> Ino | None:
        """Return the file whose locks are at one of the keys that `locked` names; else None."""
        for kind in (b"lockf", b"lockp"):
            digits = key.removeprefix(self.prefix + kind)
            if digits.isdigit() and key == b"%s%s%d" % (self.prefix, kind, int(digits)):
                return Ino(int(digits))
        return None

    def counter(self, name: str) -> bytes:
        """A counter, by its name in SQL."""
        key = self._counters.get(name)
        if key is None:
            renamed = _LAST_GIVEN.get(name) or _OTHER_NAMES.get(name) or name.encode()
            key = self._counters[name] = self.prefix + renamed
        return key

    def tokens(self, client: int) -> bytes:
        """This client's commit tokens: hash; JuiceFS ignores keys that begin so."""
        return b"%sroost:%x" % (self.prefix, client)

    def fence(self, client: int) -> bytes:
        """The number of this client's newest connection."""
        return b"%sroost:%x:fence" % (self.prefix, client)


def counter_offset(name: str) -> int:
    """Return what to add to a stored counter: Redis stores the last inode and slice given."""
    return 1 if name in _LAST_GIVEN else 0


def slice_field(slice_id: SliceId, size: int) -> bytes:
    """Return the field of `sliceRef`."""
    return b"k%d_%d" % (slice_id, size)


def deleted_member(ino: Ino, length: int) -> bytes:
    """Return the member of `delfiles`."""
    return b"%d:%d" % (ino, length)


def holder_field(holder: LockHolder) -> bytes:
    """Return the field of a lock's hash."""
    return b"%d_%016X" % (holder.sid, holder.owner)
