"""Setting, listing, removing and checking quotas.

A quota counts from the moment it is stored, by the commits of every client that knows it; what was
there before is counted by a walk.  What others change between the two may be missed: `check` with
`repair` mends that, and so does JuiceFS's.
Source: the volume format reference, section 2.9.
"""

import errno
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from roost.volume.errors import FsError
from roost.volume.meta import quotas, rules, summary, usage
from roost.volume.meta.answers import Progress, QuotaCheck, QuotaOf, ignore_progress
from roost.volume.meta.effects import PutQuota, PutSetting, UseQuota
from roost.volume.meta.open_volume import OpenVolume
from roost.volume.meta.reads import Reads
from roost.volume.meta.txn import Txn
from roost.volume.model import NODE_SPACE_BYTES, ROOT, TRASH, DirUsage, Ino, Quota, QuotaKind
from roost.volume.settings import decode_settings, encode_settings

_KEYS_AT_ONCE = 500  # of one commit
_ENTRIES_AT_ONCE = 1000
_DEPTH_MAX = 4096


@dataclass(frozen=True, slots=True)
class Limits:
    """New limits; None leaves one alone, 0 lifts it."""

    space_bytes_max: int | None
    inodes_max: int | None

    def laid_over(self, quota: Quota) -> Quota:
        """Return the quota with these limits."""
        return replace(
            quota,
            space_bytes_max=_limit(self.space_bytes_max, quota.space_bytes_max),
            inodes_max=_limit(self.inodes_max, quota.inodes_max),
        )


def _limit(new: int | None, old: int) -> int:
    if new is None:
        return old
    return new if new > 0 else -1


@dataclass(frozen=True, slots=True)
class CheckTask:
    """What is to be checked, and how; `key` None means all of a kind."""

    kind: QuotaKind
    key: int | None
    strict: bool
    repair: bool
    progress: Progress


def set_quota(
    volume: OpenVolume, kind: QuotaKind, key: int, limits: Limits, *, strict: bool
) -> Quota:
    """Store limits and return the quota.

    Raises FsError: ENOENT, ENOTDIR; EPERM the trash; EINVAL a key below 0.
    """
    if key < 0:
        raise FsError(errno.EINVAL)
    if kind is QuotaKind.DIRECTORY:
        return _set_directory(volume, Ino(key), limits, strict=strict)
    is_first = not volume.settings.user_group_quota
    _change_settings(volume, user_group_quota=True)
    quota = _put_limits(volume, kind, key, limits)
    if is_first:
        check(volume, CheckTask(QuotaKind.USER, None, True, True, ignore_progress))
        check(volume, CheckTask(QuotaKind.GROUP, None, True, True, ignore_progress))
        quota = get(volume, kind, key) or quota
    volume.quotas = quotas.load(volume.engine)
    return quota


def _set_directory(volume: OpenVolume, ino: Ino, limits: Limits, *, strict: bool) -> Quota:
    if rules.is_trash(ino):
        raise FsError(errno.EPERM, ino)
    attr = volume.engine.read(lambda reads: rules.directory(ino, reads.node(ino)))
    if rules.is_in_trash(attr):
        raise FsError(errno.EPERM, ino)
    is_new = get(volume, QuotaKind.DIRECTORY, ino) is None
    _change_settings(volume, dir_stats=True)
    quota = _put_limits(volume, QuotaKind.DIRECTORY, ino, limits)
    volume.quotas = quotas.load(volume.engine)
    if is_new:
        check(volume, CheckTask(QuotaKind.DIRECTORY, ino, strict, True, ignore_progress))
        quota = get(volume, QuotaKind.DIRECTORY, ino) or quota
    return quota


def _put_limits(volume: OpenVolume, kind: QuotaKind, key: int, limits: Limits) -> Quota:
    def put(txn: Txn) -> Quota:
        quota = limits.laid_over(txn.quota(kind, key) or Quota())
        txn.do(PutQuota(kind, key, quota))
        return quota

    return volume.engine.run(put)


def _change_settings(
    volume: OpenVolume, *, dir_stats: bool = False, user_group_quota: bool = False
) -> None:
    """Switch accounts on in the stored settings and in those at hand."""

    def put(txn: Txn) -> None:
        text = txn.setting()
        if text is None:
            raise FsError(errno.ENOENT)
        stored = decode_settings(text)
        wanted = replace(
            stored,
            dir_stats=stored.dir_stats or dir_stats,
            user_group_quota=stored.user_group_quota or user_group_quota,
        )
        if wanted != stored:
            txn.do(PutSetting(encode_settings(wanted)))

    settings = volume.settings
    volume.engine.run(put)
    volume.settings = replace(
        settings,
        dir_stats=settings.dir_stats or dir_stats,
        user_group_quota=settings.user_group_quota or user_group_quota,
    )


def get(volume: OpenVolume, kind: QuotaKind, key: int) -> Quota | None:
    """Return a quota as stored."""
    return volume.engine.read(lambda reads: reads.quota(kind, key))


def list_all(volume: OpenVolume, kind: QuotaKind | None) -> tuple[QuotaOf, ...]:
    """Return the quotas that limit anything, directories with a path."""
    with volume.engine.scan() as scans:
        rows = scans.quotas()
    return tuple(
        QuotaOf(k, key, quota, path_of(volume, Ino(key)) if k is QuotaKind.DIRECTORY else "")
        for k, key, quota in rows
        if kind in (None, k) and quotas.has_limit(quota)
    )


def path_of(volume: OpenVolume, ino: Ino) -> str:
    """Return the path of a directory, or "" if it cannot be reached."""

    def climb(reads: Reads) -> str:
        names: list[bytes] = []
        here = ino
        while here != ROOT:
            attr = reads.node(here)
            if attr is None or len(names) > _DEPTH_MAX:
                return ""
            name = _name_in(reads, attr.parent, here)
            if name is None:
                return ""
            names.append(name)
            here = attr.parent
        return "/" + b"/".join(reversed(names)).decode("utf-8", "surrogateescape")

    return volume.engine.read(climb)


def _name_in(reads: Reads, folder: Ino, child: Ino) -> bytes | None:
    after: bytes | None = None
    while page := reads.entries(folder, after, _ENTRIES_AT_ONCE):
        for name, edge in page:
            if edge.ino == child:
                return name
        after = page[-1][0]
    return None


def delete(volume: OpenVolume, kind: QuotaKind, key: int) -> bool:
    """Remove a quota; of users and groups only the limits go.  False if there was none."""

    def drop(txn: Txn) -> bool:
        quota = txn.quota(kind, key)
        if quota is None:
            return False
        if kind is QuotaKind.DIRECTORY:
            txn.do(PutQuota(kind, key, None))
            return True
        unlimited = replace(quota, space_bytes_max=-1, inodes_max=-1)
        if unlimited == quota:
            return False
        txn.do(PutQuota(kind, key, unlimited))
        return True

    done = volume.engine.run(drop)
    volume.quotas = quotas.load(volume.engine)
    return done


# ---- checking
def check(volume: OpenVolume, task: CheckTask) -> tuple[QuotaCheck, ...]:
    """Compare quotas with what is there.  Raises FsError ENOENT for a key without a quota."""
    if task.kind is QuotaKind.DIRECTORY:
        found = list(_check_directories(volume, task))
    else:
        found = _check_owners(volume, task)
    if task.key is not None and not found:
        raise FsError(errno.ENOENT)
    if not task.repair:
        return tuple(found)
    wrong = [one for one in found if not one.is_consistent]
    for start in range(0, len(wrong), _KEYS_AT_ONCE):
        _repair(volume, wrong[start : start + _KEYS_AT_ONCE])
    return tuple(replace(one, repaired=not one.is_consistent) for one in found)


def _repair(volume: OpenVolume, wrong: list[QuotaCheck]) -> None:
    """Add the differences: what others charge meanwhile is kept."""

    def add(txn: Txn) -> None:
        for one in wrong:
            space_bytes = one.counted.space_bytes - one.stored.space_bytes
            inodes = one.counted.inodes - one.stored.inodes
            is_owner = one.kind is not QuotaKind.DIRECTORY
            txn.do(UseQuota(one.kind, one.key, space_bytes, inodes, create=is_owner))

    volume.engine.run(add)


def _check_directories(volume: OpenVolume, task: CheckTask) -> Iterable[QuotaCheck]:
    with volume.engine.scan() as scans:
        rows = [(key, quota) for kind, key, quota in scans.quotas() if kind is task.kind]
    chosen = [(key, quota) for key, quota in rows if task.key in (None, key)]
    for done, (key, quota) in enumerate(chosen, start=1):
        whole = summary.summary(volume, Ino(key), strict=task.strict)
        own = NODE_SPACE_BYTES
        counted = DirUsage(whole.length, whole.space_bytes - own, whole.inodes - 1)
        stored = get(volume, task.kind, key) or quota
        yield _compared(task.kind, key, stored, counted)
        task.progress(done, len(chosen))


def _check_owners(volume: OpenVolume, task: CheckTask) -> list[QuotaCheck]:
    counted: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    done = 0
    with volume.engine.scan() as scans:
        stored = {key: quota for kind, key, quota in scans.quotas() if kind is task.kind}
        for ino, attr in scans.all_nodes():
            if ino in (ROOT, TRASH):
                continue
            sums = counted[attr.uid if task.kind is QuotaKind.USER else attr.gid]
            sums[0] += usage.space_of(attr)
            sums[1] += 1
            done += 1
            task.progress(done, 0)
    keys = sorted(set(counted) | set(stored))
    return [
        _compared(task.kind, key, stored.get(key, Quota()), DirUsage(0, *counted[key]))
        for key in keys
        if task.key in (None, key)
    ]


def _compared(kind: QuotaKind, key: int, quota: Quota, counted: DirUsage) -> QuotaCheck:
    stored = DirUsage(counted.length, quota.used_space_bytes, quota.used_inodes)
    return QuotaCheck(kind, key, stored, counted)
