"""What files and directories use, and the limits of the volume.

Three accounts change in the transaction itself: the volume's `usedSpace` and `totalInodes`, and
the statistics of the directory that holds the name (direct children only).
Source: the volume format reference, sections 2.4 and 2.9.
"""

import errno

from roost.volume.errors import FsError
from roost.volume.layout import align_4k
from roost.volume.meta.effects import AddCounter, UseDirectory
from roost.volume.meta.txn import Txn
from roost.volume.model import (
    NODE_SPACE_BYTES,
    Attr,
    DirUsage,
    Ino,
    VolumeUsage,
)
from roost.volume.settings import VolumeSettings

USED_SPACE = "usedSpace"
TOTAL_INODES = "totalInodes"

_UNLIMITED_BYTES = 1 << 50
_UNLIMITED_INODES = 10 << 20


def space_of(attr: Attr) -> int:
    """Return the bytes a node is charged."""
    return align_4k(attr.length) if attr.is_file else NODE_SPACE_BYTES


def as_child(attr: Attr, sign: int = 1) -> DirUsage:
    """Return what a node adds to (or with sign −1 takes from) its directory's statistics."""
    length = attr.length if attr.is_file else 0
    return DirUsage(sign * length, sign * space_of(attr), sign)


def check_limits(txn: Txn, settings: VolumeSettings, space_bytes: int, inodes: int) -> None:
    """Refuse growth beyond the volume's capacity.  Raises FsError ENOSPC."""
    if settings.capacity_bytes and space_bytes > 0:
        used = txn.loose_counter(USED_SPACE)
        if used + space_bytes > settings.capacity_bytes:
            raise FsError(errno.ENOSPC)
    if settings.inodes_max and inodes > 0:
        used = txn.loose_counter(TOTAL_INODES)
        if used + inodes > settings.inodes_max:
            raise FsError(errno.ENOSPC)


def charge_volume(txn: Txn, space_bytes: int, inodes: int) -> None:
    """Add to the volume's counters."""
    if space_bytes:
        txn.do(AddCounter(USED_SPACE, space_bytes))
    if inodes:
        txn.do(AddCounter(TOTAL_INODES, inodes))


def charge_directory(txn: Txn, settings: VolumeSettings, ino: Ino, by: DirUsage) -> None:
    """Add to a directory's statistics, if the volume keeps them."""
    if settings.dir_stats and by != DirUsage():
        txn.do(UseDirectory(ino, by))


def volume_usage(settings: VolumeSettings, used_bytes: int, used_inodes: int) -> VolumeUsage:
    """Return the answer of statfs; counters that drifted below zero count as zero."""
    used_bytes, used_inodes = max(used_bytes, 0), max(used_inodes, 0)
    total = max(settings.capacity_bytes, used_bytes)
    if not settings.capacity_bytes:
        total = _UNLIMITED_BYTES
        while total * 8 < used_bytes * 10:
            total *= 2
    free_inodes = max(settings.inodes_max - used_inodes, 0)
    if not settings.inodes_max:
        free_inodes = _UNLIMITED_INODES
        while used_inodes > free_inodes * 4:
            free_inodes *= 2
    return VolumeUsage(total, total - used_bytes, used_inodes, free_inodes)
