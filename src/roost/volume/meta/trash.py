"""The trash: deleted names wait in hourly directories below `.trash`.

An entry `name` of directory P that pointed at inode I becomes `P-I-name` in the directory named by
the UTC hour of the deletion.  Moving there changes no counter of the volume; an hourly directory
itself costs 4096 bytes and an inode.
Source: the volume format reference, section 2.7.
"""

import errno
import functools
import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

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
from roost.volume.meta.reads import EdgeWanted, NodeWanted, Wanted
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
_HOUR_S = 3600
_SKIP_TRASH = int(Flag.SKIP_TRASH)
_GRACE_HOURS = 2  # as JuiceFS: beyond the days of the settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrashFolder:
    """The hourly directory of this moment, and what of the way to it exists."""

    ino: Ino
    name: bytes
    has_trash: bool
    exists: bool


@dataclass(frozen=True, slots=True)
class TrashPlace:
    """Where a deleted name goes."""

    folder: TrashFolder
    name: bytes


@functools.lru_cache(maxsize=4)
def _hour_name(hour: int) -> bytes:
    return datetime.fromtimestamp(hour * _HOUR_S, tz=UTC).strftime(_HOUR).encode()


def folder_name(now_s: int) -> bytes:
    """Return the name of the hourly directory of this moment."""
    return _hour_name(now_s // _HOUR_S)


def entry_name(parent: Ino, ino: Ino, name: bytes) -> bytes:
    """Return what an entry is called in the trash; cut at the longest name."""
    return (b"%d-%d-%s" % (parent, ino, name))[:NAME_BYTES_MAX]


def _goes_to_trash(volume: OpenVolume, parent: Ino) -> bool:
    return volume.settings.trash_days > 0 and not rules.is_trash(parent)


def wanted(txn: Txn, volume: OpenVolume, parent: Ino) -> tuple[Wanted, ...]:
    """Return what `find_folder` will read, for Txn.load."""
    if not _goes_to_trash(volume, parent):
        return ()
    return (NodeWanted(TRASH), EdgeWanted(TRASH, folder_name(txn.now_s)))


def find_folder(txn: Txn, volume: OpenVolume, parent: Ino) -> TrashFolder | None:
    """Return where names of `parent` go, or None if they are removed for good.  Only reads."""
    if not _goes_to_trash(volume, parent):
        return None
    hour = folder_name(txn.now_s)
    has_trash = txn.node(TRASH) is not None
    edge = txn.edge(TRASH, hour)
    if edge is not None:
        return TrashFolder(edge.ino, hour, has_trash, exists=True)
    return TrashFolder(Ino(TRASH + txn.counter(NEXT_TRASH) + 1), hour, has_trash, exists=False)


def place_in(
    txn: Txn, folder: TrashFolder | None, parent: Ino, name: bytes, ino: Ino, attr: Attr
) -> TrashPlace | None:
    """Return where one name goes, or None if it is removed for good.  Only reads."""
    if folder is None or attr.flags & _SKIP_TRASH:
        return None
    place = TrashPlace(folder, entry_name(parent, ino, name))
    # Only another hard link can have left the same name there within the hour.
    is_taken = attr.nlink > 1 and folder.exists and not attr.is_directory
    if is_taken and txn.edge(folder.ino, place.name) is not None:
        return None
    return place


def find_place(
    txn: Txn, volume: OpenVolume, parent: Ino, name: bytes, ino: Ino, attr: Attr
) -> TrashPlace | None:
    """Return where the name goes, or None if it is to be removed for good.  Only reads."""
    return place_in(txn, find_folder(txn, volume, parent), parent, name, ino, attr)


def open_folder(txn: Txn, volume: OpenVolume, folder: TrashFolder) -> None:
    """Add the effects that make the hourly directory, unless it exists."""
    if not folder.has_trash:
        txn.do(AddNode(TRASH, _folder_attr(ROOT, txn.now_ns)))
    if folder.exists:
        return
    made = _folder_attr(TRASH, txn.now_ns)
    txn.do(
        PutCounter(NEXT_TRASH, folder.ino - TRASH),
        AddNode(folder.ino, made),
        AddEdge(TRASH, folder.name, Edge(Kind.DIRECTORY, folder.ino)),
    )
    if volume.settings.dir_stats:
        txn.do(PutDirUsage(folder.ino, DirUsage()))
    usage.charge_node(txn, volume, made, NODE_SPACE_BYTES, 1)


def move_to(txn: Txn, volume: OpenVolume, place: TrashPlace, ino: Ino, attr: Attr) -> None:
    """Add the effects that put the node into the open hourly directory.

    Its old entry is dropped elsewhere.
    """
    folder = place.folder.ino
    moved = NodeChange(ctime_at_least_ns=txn.now_ns, parent=folder if attr.parent else None)
    txn.do(AddEdge(folder, place.name, Edge(attr.kind, ino)), ChangeNode(ino, moved))
    usage.charge_name(txn, volume, folder, (), usage.as_child(attr))


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
