"""Side jobs that need a search: notes by inode, statistics, removing all."""

import logging
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import hiredis

from roost.errors import CorruptRecord, Unavailable
from roost.volume.codec import decode_attr, decode_edge
from roost.volume.engines.redis.connection import Command, Connection, Replies
from roost.volume.engines.redis.errors import ConnectionLost
from roost.volume.engines.redis.keys import Keys
from roost.volume.engines.redis.link import Link
from roost.volume.engines.redis.listings import read_entries
from roost.volume.meta.usage import as_child
from roost.volume.model import ChunkNo, DirUsage, Ino, SliceId

HINTS_MAX = 100_000
AT_ONCE = 1000
COUNT = 10_000  # of a scan
WATCHED_MAX = 50_000  # children whose directory's statistics are computed in one step
TRIES_MAX = 20

Call = Callable[[list[Command]], Replies]
log = logging.getLogger(__name__)

# All keys that JuiceFS or Roost makes in a volume's database; nothing else is removed.
_OURS = re.compile(
    rb"(setting|i\d+|d\d+|p\d+|s\d+|x\d+|c\d+_\d+|sliceRef|delfiles|delSlices|allSessions"
    rb"|sessions|sessionInfos|session\d+|locked\d+|lock[fp]\d+|acl|aclMaxId|detachedNodes"
    rb"|(dir|user|group)Quota(UsedSpace|UsedInodes)?|dir(DataLength|UsedSpace|UsedInodes)"
    rb"|krbToken|krbTokenMaxId|txnLog|txnLastLog|next(inode|chunk|session|Trash|CleanupSlices)"
    rb"|usedSpace|totalInodes|lastCleanup\w+|roost:[0-9a-f]+(:fence)?)"
)


class Hints:
    """What notes are called that are asked for by number; bounded, and only to save a search."""

    def __init__(self) -> None:
        self._deleted: OrderedDict[int, bytes] = OrderedDict()
        self._delayed: OrderedDict[int, bytes] = OrderedDict()

    def note_deleted(self, found: Iterable[bytes]) -> None:
        """Remember members of `delfiles`, inode:length."""
        _note(self._deleted, found, b":")

    def note_delayed(self, found: Iterable[bytes]) -> None:
        """Remember fields of `delSlices`, slice_time."""
        _note(self._delayed, found, b"_")

    def deleted(self, call: Call, keys: Keys, ino: Ino) -> bytes | None:
        """Return the member that notes a file."""
        known = self._deleted.get(ino)
        if known is None:
            self.note_deleted(scanned(call, "ZSCAN", keys.deleted_files, b"%d:*" % ino))
            known = self._deleted.get(ino)
        return known

    def delayed(self, call: Call, keys: Keys, chunk_id: SliceId) -> bytes | None:
        """Return the field that notes a slice."""
        known = self._delayed.get(chunk_id)
        if known is None:
            self.note_delayed(scanned(call, "HSCAN", keys.delayed, b"%d_*" % chunk_id))
            known = self._delayed.get(chunk_id)
        return known


def _note(hints: "OrderedDict[int, bytes]", found: Iterable[bytes], between: bytes) -> None:
    for name in found:
        number = name.partition(between)[0]
        if number.isdigit():
            hints[int(number)] = name
            if len(hints) > HINTS_MAX:
                hints.popitem(last=False)


def scanned(call: Call, command: str, key: bytes, pattern: bytes) -> Iterator[bytes]:
    """Yield the fields of a hash or the members of a sorted set that match."""
    cursor: Any = 0
    while True:
        cursor, flat = call([(command, key, cursor, "MATCH", pattern, "COUNT", COUNT)])[0]
        yield from flat[::2]
        if int(cursor) == 0:
            return


def scanned_keys(call: Call, pattern: bytes) -> Iterator[bytes]:
    """Yield the keys that match; one may come twice."""
    cursor: Any = 0
    while True:
        cursor, found = call([("SCAN", cursor, "MATCH", pattern, "COUNT", COUNT)])[0]
        yield from found
        if int(cursor) == 0:
            return


def glob(literal: bytes) -> bytes:
    """Return a pattern that matches just this."""
    return re.sub(rb"([\[\]*?\\])", rb"\\\1", literal)


def chunks_of(call: Call, keys: Keys, ino: Ino) -> tuple[ChunkNo, ...]:
    """Return a file's chunks by a look at all keys; for files too long to probe."""
    begins = keys.chunk(ino, 0)[:-1]
    found = {key[len(begins) :] for key in scanned_keys(call, glob(begins) + b"*")}
    return tuple(sorted(ChunkNo(int(number)) for number in found if number.isdigit()))


def in_batches(items: Iterable[bytes], size: int) -> Iterator[list[bytes]]:
    """Yield lists of up to `size` items."""
    waiting = iter(items)
    while batch := list(islice(waiting, size)):
        yield batch


def remove_all(call: Call, keys: Keys) -> None:
    """Remove every key of the volume, and no other.  Settings go first: it is no volume then."""
    call([("DEL", keys.setting)])
    begins = len(keys.prefix)
    ours = (
        key for key in scanned_keys(call, glob(keys.prefix) + b"*") if _OURS.fullmatch(key[begins:])
    )
    for some in in_batches(ours, AT_ONCE):
        call([("DEL", *some)])


def compute_usage(link: Link, ino: Ino, *, is_broken: bool) -> None:
    """Store the statistics of a directory that had none, or not numbers, from its entries.

    The commit that found them missing is done, so this never fails: what cannot be computed now is
    left to the next change.
    """
    problem: Exception | None = None
    for attempt in link.patiently():
        if attempt == TRIES_MAX:
            break
        try:
            connection = link.open_connection()
        except Unavailable as error:
            problem = error
            continue
        try:
            if _computed(connection, link.keys, ino, "HSET" if is_broken else "HSETNX"):
                return
        except (ConnectionLost, CorruptRecord) as error:
            problem = error
        finally:
            connection.close()
    why = problem or "it changes too fast"
    log.warning("the statistics of directory %d are not computed: %s", ino, why)


def _computed(connection: Connection, keys: Keys, ino: Ino, put: str) -> bool:
    def call(commands: list[Command]) -> Replies:
        replies = connection.call(commands)
        for reply in replies:
            if isinstance(reply, hiredis.ReplyError):
                raise CorruptRecord(f"directory {ino}", str(reply))
        return replies

    folder = keys.folder(ino)
    call([("WATCH", folder)])
    entries = read_entries(call, folder)
    nodes = [keys.node(decode_edge(raw).ino) for _, raw in entries]
    if nodes and len(nodes) <= WATCHED_MAX:
        call([("WATCH", *nodes)])
    total = DirUsage()
    for some in in_batches(nodes, AT_ONCE):
        for key, raw in zip(some, call([("MGET", *some)])[0], strict=True):
            if raw is not None:
                child = as_child(decode_attr(raw, key.decode()))
                total = DirUsage(
                    total.length + child.length,
                    total.space_bytes + child.space_bytes,
                    total.inodes + child.inodes,
                )
    values = (
        (keys.dir_space, total.space_bytes),
        (keys.dir_length, total.length),
        (keys.dir_inodes, total.inodes),
    )
    writes: list[Command] = [(put, key, ino, value) for key, value in values]
    return call([("MULTI",), *writes, ("EXEC",)])[-1] is not None
