"""The trash: deleted names wait in hourly directories below `.trash`.

An entry `name` of directory P that pointed at inode I becomes `P-I-name` in the directory named by
the UTC hour of the deletion.  Moving there changes no counter of the volume; an hourly directory
itself costs 4096 bytes and an inode.
Source: the volume format reference, section 2.7.
"""

import errno
import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from roost.errors import CorruptRecord
from roost.volume.errors import FsError
from roost.volume.meta import rules, usage
from roost.volume.meta.effects import (
    AddEdge,
    AddNode,
    ChangeNode,
    NodeChange,
    PutCounter,
    PutDirUsage,
)
from roost.volume.meta.open_volume import OpenVolume
from roost.volume.meta.txn import Txn
from roost.volume.model import (
    DIRECTORY_LENGTH_BYTES,
    NAME_BYTES_MAX,
    NODE_SPACE_BYTES,
    ROOT,
    TRASH,
    Attr,
    DirUsage,
    Edge,
    Flag,
    Ino,
    Kind,
)

NEXT_TRASH = "nextTrash"
FOLDER_MODE = 0o555
_HOUR = "%Y-%m-%d-%H"
_GRACE_HOURS = 2  # as JuiceFS: beyond the days of the settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrashPlace:
    """Where a deleted name goes."""

    folder: Ino
    name: bytes
    folder_name: bytes
    has_trash: bool
    has_folder: bool


def folder_name(now_s: int) -> bytes:
    """Return the name of the hourly directory of this moment."""
    return datetime.fromtimestamp(now_s, tz=UTC).strftime(_HOUR).encode()


def entry_name(parent: Ino, ino: Ino, name: bytes) -> bytes:
    """Return what an entry is called in the trash; cut at the longest name."""
    return (b"%d-%d-%s" % (parent, ino, name))[:NAME_BYTES_MAX]


def find_place(
    txn: Txn, volume: OpenVolume, parent: Ino, name: bytes, ino: Ino, attr: Attr
) -> TrashPlace | None:
    """Return where the name goes, or None if it is to be removed for good.  Only reads."""
    if volume.settings.trash_days <= 0 or rules.is_trash(parent):
        return None
    if attr.flags & Flag.SKIP_TRASH:
        return None
    hour = folder_name(txn.now_s)
    has_trash = txn.node(TRASH) is not None
    edge = txn.edge(TRASH, hour)
    if edge is None:
        number = txn.counter(NEXT_TRASH) + 1
        return TrashPlace(
            Ino(TRASH + number), entry_name(parent, ino, name), hour, has_trash, False
        )
    place = TrashPlace(edge.ino, entry_name(parent, ino, name), hour, has_trash, True)
    if txn.edge(place.folder, place.name) is None:
        return place
    # The same name of the same node was deleted within the hour: that is another hard link.
    if attr.nlink < 2:
        raise CorruptRecord(f"inode {ino}", "it is in the trash already but has one link")
    return None


def move_to(txn: Txn, volume: OpenVolume, place: TrashPlace, ino: Ino, attr: Attr) -> None:
    """Add the effects that put the node into the trash; its old entry is dropped elsewhere."""
    if not place.has_trash:
        txn.do(AddNode(TRASH, _folder_attr(ROOT, txn.now_ns)))
    if not place.has_folder:
        txn.do(
            PutCounter(NEXT_TRASH, place.folder - TRASH),
            AddNode(place.folder, _folder_attr(TRASH, txn.now_ns)),
            AddEdge(TRASH, place.folder_name, Edge(Kind.DIRECTORY, place.folder)),
        )
        if volume.settings.dir_stats:
            txn.do(PutDirUsage(place.folder, DirUsage()))
        usage.charge_volume(txn, NODE_SPACE_BYTES, 1)
        made = DirUsage(0, NODE_SPACE_BYTES, 1)
        usage.charge_directory(txn, volume.settings, TRASH, made)
    moved = NodeChange(ctime_at_least_ns=txn.now_ns, parent=place.folder if attr.parent else None)
    txn.do(AddEdge(place.folder, place.name, Edge(attr.kind, ino)), ChangeNode(ino, moved))
    usage.charge_directory(txn, volume.settings, place.folder, usage.as_child(attr))


def _folder_attr(parent: Ino, now_ns: int) -> Attr:
    return Attr(
        kind=Kind.DIRECTORY,
        mode=FOLDER_MODE,
        atime_ns=now_ns,
        mtime_ns=now_ns,
        ctime_ns=now_ns,
        nlink=2,
        length=DIRECTORY_LENGTH_BYTES,
        parent=parent,
    )


def expired(name: bytes, now_s: int, trash_days: int) -> bool:
    """True if the hourly directory `name` is older than the settings keep.

    A name that is no hour is never expired.
    """
    try:
        made = datetime.strptime(name.decode(), _HOUR).replace(tzinfo=UTC)
    except ValueError:
        log.warning("not an hourly directory of the trash: %r", name)
        return False
    age = datetime.fromtimestamp(now_s, tz=UTC) - made
    return age > timedelta(hours=24 * trash_days + _GRACE_HOURS)


def refuse_in_trash(ino: Ino, attr: Attr) -> None:
    """Raise FsError EPERM for a node that lies in the trash."""
    if rules.is_in_trash(attr):
        raise FsError(errno.EPERM, ino)
