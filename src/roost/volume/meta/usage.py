"""What files and directories use, whom it is charged to, and what may refuse it.

Accounts change in the transaction itself.  A node, once: the volume's `usedSpace` and
`totalInodes`, and with user and group quotas its owner and its group.  A name, once per name: the
statistics of the directory that holds it (direct children only) and the quota of every directory
above, unless the name lies in the trash.
Source: the volume format reference, sections 2.4, 2.9 and 4.2.
"""

import errno
from collections.abc import Iterable

from roost.errors import CorruptRecord
from roost.volume.errors import FsError
from roost.volume.layout import align_4k
from roost.volume.meta import rules
from roost.volume.meta.effects import AddCounter, UseDirectory, UseQuota
from roost.volume.meta.open_volume import OpenVolume
from roost.volume.meta.reads import CounterWanted, Reads, Wanted
from roost.volume.meta.txn import Txn
from roost.volume.model import (
    NODE_SPACE_BYTES,
    ROOT,
    TRASH,
    Attr,
    DirUsage,
    Ino,
    Quota,
    QuotaKind,
    VolumeUsage,
)
from roost.volume.settings import VolumeSettings

USED_SPACE = "usedSpace"
TOTAL_INODES = "totalInodes"

TIGHT_OPERATIONS = 64  # more than one client has under way at a time
_UNLIMITED_BYTES = 1 << 50
_UNLIMITED_INODES = 10 << 20


def space_of(attr: Attr) -> int:
    """Return the bytes a node is charged."""
    return align_4k(attr.length) if attr.is_file else NODE_SPACE_BYTES


def as_child(attr: Attr, sign: int = 1) -> DirUsage:
    """Return what a node adds to (or with sign −1 takes from) its directory's statistics."""
    length = attr.length if attr.is_file else 0
    return DirUsage(sign * length, sign * space_of(attr), sign)


def total(parts: Iterable[DirUsage]) -> DirUsage:
    """Return the sum."""
    length = space_bytes = inodes = 0
    for part in parts:
        length += part.length
        space_bytes += part.space_bytes
        inodes += part.inodes
    return DirUsage(length, space_bytes, inodes)


# ---- limits
def limits_wanted(volume: OpenVolume) -> tuple[Wanted, ...]:
    """Return what `check_growth` will read of the volume, for Txn.load."""
    settings = volume.settings
    if not settings.capacity_bytes and not settings.inodes_max:
        return ()
    return (CounterWanted(USED_SPACE), CounterWanted(TOTAL_INODES))


def quota_dirs(txn: Txn, volume: OpenVolume, parent: Ino) -> tuple[Ino, ...]:
    """Return the directories with a quota, from `parent` up to the root.

    None of them for the trash and what lies in it.  Every ancestor becomes part of what the commit
    depends on, so a directory moved meanwhile is never charged to the wrong tree.
    """
    counted = volume.quotas.directories
    if not counted:
        return ()
    found: list[Ino] = []
    seen: set[Ino] = set()
    ino = parent
    while not rules.is_trash(ino):
        if ino in counted:
            found.append(ino)
        if ino == ROOT:
            return tuple(found)
        if ino in seen:
            raise CorruptRecord(f"directory {parent}", "its ancestors form a loop")
        seen.add(ino)
        ino = rules.directory(ino, txn.node(ino)).parent
    return ()


def check_growth(
    txn: Txn,
    volume: OpenVolume,
    owner: Attr,
    above: Iterable[Ino],
    space_bytes: int,
    inodes: int,
) -> None:
    """Refuse growth of a node of `owner`'s uid and gid below the quotas of `above`.

    Only what grows is checked.  Raises FsError: EDQUOT a quota; ENOSPC the volume is full.
    """
    limited = volume.quotas.limited
    if limited and volume.settings.user_group_quota:
        check_quota(txn, volume, QuotaKind.USER, owner.uid, space_bytes, inodes)
        check_quota(txn, volume, QuotaKind.GROUP, owner.gid, space_bytes, inodes)
    settings = volume.settings
    _check_counter(txn, USED_SPACE, settings.capacity_bytes, space_bytes)
    _check_counter(txn, TOTAL_INODES, settings.inodes_max, inodes)
    for ino in above:
        check_quota(txn, volume, QuotaKind.DIRECTORY, ino, space_bytes, inodes)


def check_quota(
    txn: Txn, volume: OpenVolume, kind: QuotaKind, key: int, space_bytes: int, inodes: int
) -> None:
    """Refuse growth beyond one quota.  Raises FsError EDQUOT."""
    if (kind, key) not in volume.quotas.limited:
        return
    quota = txn.loose_quota(kind, key)
    if quota is not None and (
        _is_tight(quota.space_bytes_max, quota.used_space_bytes, space_bytes)
        or _is_tight(quota.inodes_max, quota.used_inodes, inodes)
    ):
        quota = txn.quota(kind, key)
    if quota is None:
        return
    too_big = _is_beyond(quota.space_bytes_max, quota.used_space_bytes, space_bytes)
    too_many = _is_beyond(quota.inodes_max, quota.used_inodes, inodes)
    if too_big or too_many:
        raise FsError(errno.EDQUOT, Ino(key) if kind is QuotaKind.DIRECTORY else 0)


def _check_counter(txn: Txn, name: str, limit: int, growth: int) -> None:
    """Refuse growth beyond the volume's size.  Raises FsError ENOSPC."""
    if limit <= 0 or growth <= 0:
        return
    used = txn.loose_counter(name)
    if _is_tight(limit, used, growth):
        used = txn.counter(name)
    if _is_beyond(limit, used, growth):
        raise FsError(errno.ENOSPC)


def _is_beyond(limit: int, used: int, growth: int) -> bool:
    return limit > 0 and growth > 0 and used + growth > limit


def _is_tight(limit: int, used: int, growth: int) -> bool:
    """True if so little is left that what is used must not change before the commit.

    Further away from a limit, those who grow meanwhile must not conflict.
    """
    return limit > 0 and growth > 0 and limit - used < TIGHT_OPERATIONS * growth


# ---- charging
def charge_node(txn: Txn, volume: OpenVolume, owner: Attr, space_bytes: int, inodes: int) -> None:
    """Add to the volume's counters and, if they are kept, to the owner's and the group's."""
    if space_bytes:
        txn.do(AddCounter(USED_SPACE, space_bytes))
    if inodes:
        txn.do(AddCounter(TOTAL_INODES, inodes))
    if volume.settings.user_group_quota and (space_bytes or inodes):
        txn.do(*owned(owner.uid, owner.gid, space_bytes, inodes))


def owned(uid: int | None, gid: int | None, space_bytes: int, inodes: int) -> list[UseQuota]:
    """Return the effects that charge a user and a group; None leaves one out."""
    charges = []
    for kind, key in ((QuotaKind.USER, uid), (QuotaKind.GROUP, gid)):
        if key is not None:
            charges.append(UseQuota(kind, key, space_bytes, inodes, create=True))
    return charges


def charge_name(
    txn: Txn, volume: OpenVolume, parent: Ino, above: Iterable[Ino], by: DirUsage
) -> None:
    """Add to the directory's statistics, if the volume keeps them, and to the quotas above.

    The trash itself has none, as in JuiceFS; the hours in it have.
    """
    if by == DirUsage():
        return
    if volume.settings.dir_stats and parent != TRASH:
        txn.do(UseDirectory(parent, by))
    charge_quotas(txn, above, by.space_bytes, by.inodes)


def charge_quotas(txn: Txn, above: Iterable[Ino], space_bytes: int, inodes: int) -> None:
    """Add to the quotas of directories."""
    if not space_bytes and not inodes:
        return
    for ino in above:
        txn.do(UseQuota(QuotaKind.DIRECTORY, ino, space_bytes, inodes))


# ---- statfs
def statfs(volume: OpenVolume, ino: Ino) -> VolumeUsage:
    """Return what the volume uses and what is left for a directory."""

    def read(reads: Reads) -> VolumeUsage:
        used = (reads.counter(USED_SPACE) or 0, reads.counter(TOTAL_INODES) or 0)
        found: list[Quota] = []
        here, seen = ino, set[Ino]()
        while volume.quotas.directories and here not in seen and not rules.is_trash(here):
            seen.add(here)
            quota = reads.quota(QuotaKind.DIRECTORY, here)
            attr = reads.node(here)
            found += [] if quota is None else [quota]
            if here == ROOT or attr is None:
                break
            here = attr.parent
        return within_quotas(volume_usage(volume.settings, *used), found)

    return volume.engine.read(read)


def volume_usage(settings: VolumeSettings, used_bytes: int, used_inodes: int) -> VolumeUsage:
    """Return the answer of statfs; counters that drifted below zero count as zero."""
    used_bytes, used_inodes = max(used_bytes, 0), max(used_inodes, 0)
    total_bytes = max(settings.capacity_bytes, used_bytes)
    if not settings.capacity_bytes:
        total_bytes = _UNLIMITED_BYTES
        while total_bytes * 8 < used_bytes * 10:
            total_bytes *= 2
    free_inodes = max(settings.inodes_max - used_inodes, 0)
    if not settings.inodes_max:
        free_inodes = _UNLIMITED_INODES
        while used_inodes > free_inodes * 4:
            free_inodes *= 2
    return VolumeUsage(total_bytes, total_bytes - used_bytes, used_inodes, free_inodes)


def within_quotas(whole: VolumeUsage, quotas: Iterable[Quota]) -> VolumeUsage:
    """Return the answer of statfs below quotas, nearest first.

    Every limit lowers what is left; what is used is what the nearest quota counts.
    """
    left_bytes, left_inodes = whole.available_bytes, whole.available_inodes
    nearest: Quota | None = None
    for quota in quotas:
        nearest = nearest or quota
        if quota.space_bytes_max > 0:
            left_bytes = min(left_bytes, _left(quota.space_bytes_max, quota.used_space_bytes))
        if quota.inodes_max > 0:
            left_inodes = min(left_inodes, _left(quota.inodes_max, quota.used_inodes))
    if nearest is None:
        return whole
    used_bytes, used_inodes = max(nearest.used_space_bytes, 0), max(nearest.used_inodes, 0)
    return VolumeUsage(used_bytes + left_bytes, left_bytes, used_inodes, left_inodes)


def _left(limit: int, used: int) -> int:
    return max(limit - max(used, 0), 0)
