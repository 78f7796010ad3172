"""Quotas of directories, users and groups, and the statistics of directories."""

from roost.volume.meta import dir_stats, quota_admin
from roost.volume.meta.answers import (
    Progress,
    QuotaCheck,
    QuotaOf,
    StatsRepair,
    ignore_progress,
)
from roost.volume.meta.handle import VolumeHandle
from roost.volume.model import ROOT, Ino, Quota, QuotaKind


class Quotas(VolumeHandle):
    """The operations on accounts.

    Limits hold from the commit on in this client, within a heartbeat (12 s) in others.
    """

    def quota_set(
        self,
        kind: QuotaKind,
        key: int,
        *,
        space_bytes_max: int | None = None,
        inodes_max: int | None = None,
        strict: bool = False,
    ) -> Quota:
        """Limit a directory's tree (`key`: its inode), a user (uid) or a group (gid).

        None leaves a limit as it is (none, for a new quota); 0 lifts it.  A new quota counts what
        is there: `strict` by reading every file, else from the directories' statistics.  The first
        quota of a user or group makes the volume count all users and groups from then on.
        Raises FsError: ENOENT, ENOTDIR; EPERM the trash.
        """
        limits = quota_admin.Limits(space_bytes_max, inodes_max)
        return quota_admin.set_quota(self._writable, kind, key, limits, strict=strict)

    def quota_get(self, kind: QuotaKind, key: int) -> Quota | None:
        """Return a quota as stored, or None."""
        return quota_admin.get(self._volume, kind, key)

    def quota_list(self, kind: QuotaKind | None = None) -> tuple[QuotaOf, ...]:
        """Return the quotas that limit anything, in order of kind and key."""
        return quota_admin.list_all(self._volume, kind)

    def quota_delete(self, kind: QuotaKind, key: int) -> bool:
        """Remove a quota; False if there was none.  Users and groups are counted on."""
        return quota_admin.delete(self._writable, kind, key)

    def quota_check(
        self,
        kind: QuotaKind,
        key: int | None = None,
        *,
        strict: bool = False,
        repair: bool = False,
        progress: Progress = ignore_progress,
    ) -> tuple[QuotaCheck, ...]:
        """Compare what quotas say is used with what is there; with `repair` store the latter.

        `key` None: all of this kind.
        """
        task = quota_admin.CheckTask(kind, key, strict, repair, progress)
        return quota_admin.check(self._volume if not repair else self._writable, task)

    def sync_dir_stats(
        self,
        ino: Ino = ROOT,
        *,
        recursive: bool = True,
        repair: bool = False,
        progress: Progress = ignore_progress,
    ) -> StatsRepair:
        """Compare the statistics of directories with their entries; with `repair` store them."""
        volume = self._volume if not repair else self._writable
        return dir_stats.sync(volume, ino, recursive=recursive, repair=repair, progress=progress)
