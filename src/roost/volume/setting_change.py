"""What may become different about a volume that exists, and what never does.

What its objects depend on never changes: name, UUID, block size, compression, shards, hash prefix
and encryption.  Source: the volume format reference, sections 1.3 and 1.5; JuiceFS cmd/config.go.
"""

from dataclasses import dataclass, field, replace
from typing import TypeVar

from roost.errors import InvalidArgument, Unsupported
from roost.volume.formatting import check_tag, file_bucket
from roost.volume.settings import (
    ACL_CLIENT_VERSION,
    TIER_CLIENT_VERSION,
    TIER_MAX,
    Tier,
    VolumeSettings,
    later_version,
)

T = TypeVar("T")

_FIXED = {
    "name": "the name",
    "block_kib": "the block size",
    "compression": "the compression",
    "shards": "the number of shards",
    "hash_prefix": "the hash prefix",
    "encrypt_key": "the encryption key",
    "encrypt_algo": "the encryption",
}
_UNSAID = ("encrypt_key",)


@dataclass(frozen=True, slots=True)
class SettingsChange:
    """What is to become different; None leaves a setting as it is.

    From `name` on they can only be stated again as they are: objects depend on them.  `tier` says
    which tier `storage_class` and `tag` are for; None is the default tier.
    """

    storage: str | None = None
    bucket: str | None = None
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    storage_class: str | None = None
    tag: str | None = None
    tier: int | None = None
    upload_mbps: int | None = None
    download_mbps: int | None = None
    capacity_bytes: int | None = None
    inodes: int | None = None
    trash_days: int | None = None
    enable_acl: bool | None = None
    dir_stats: bool | None = None
    user_group_quota: bool | None = None
    min_client_version: str | None = None
    max_client_version: str | None = None
    encrypt_secret: bool = False
    name: str | None = None
    block_kib: int | None = None
    compression: str | None = None
    shards: int | None = None
    hash_prefix: bool | None = None
    encrypt_key: str | None = field(default=None, repr=False)
    encrypt_algo: str | None = None


def changed(before: VolumeSettings, change: SettingsChange) -> VolumeSettings:
    """Return the settings after `change`.  Raises InvalidArgument, Unsupported."""
    for name, words in _FIXED.items():
        wanted = getattr(change, name)
        if wanted is not None and wanted != getattr(before, name):
            said = "" if name in _UNSAID else f" from {getattr(before, name)!r} to {wanted!r}"
            raise InvalidArgument(
                f"{words} of a volume cannot be changed{said}",
                hint="Make a new volume and copy the files with `roost sync`.",
            )
    _demand_sane(before, change)
    after = replace(
        before,
        storage=_or(change.storage, before.storage).lower(),
        bucket=_or(change.bucket, before.bucket),
        access_key=_or(change.access_key, before.access_key),
        secret_key=_or(change.secret_key, before.secret_key),
        session_token=_or(change.session_token, before.session_token),
        upload_mbps=_or(change.upload_mbps, before.upload_mbps),
        download_mbps=_or(change.download_mbps, before.download_mbps),
        capacity_bytes=_or(change.capacity_bytes, before.capacity_bytes),
        inodes_max=_or(change.inodes, before.inodes_max),
        trash_days=_or(change.trash_days, before.trash_days),
        enable_acl=_or(change.enable_acl, before.enable_acl),
        dir_stats=_or(change.dir_stats, before.dir_stats),
        max_client_version=_or(change.max_client_version, before.max_client_version),
        tiers=_tiers(before, change),
    )
    if after.storage == "file" and change.bucket is not None:
        after = replace(after, bucket=file_bucket(change.bucket))
    least = later_version(before.min_client_version, change.min_client_version or "")
    if after.enable_acl and not before.enable_acl:
        least = later_version(least, ACL_CLIENT_VERSION)
    if change.tier is not None:
        least = later_version(least, TIER_CLIENT_VERSION)
    return replace(after, min_client_version=least)


def _demand_sane(before: VolumeSettings, change: SettingsChange) -> None:
    for name in ("upload_mbps", "download_mbps", "capacity_bytes", "inodes", "trash_days"):
        if (getattr(change, name) or 0) < 0:
            raise InvalidArgument(f"{name.replace('_', ' ')} must not be negative")
    if change.enable_acl is False and before.enable_acl:
        raise InvalidArgument("ACLs cannot be switched off: files may carry them")
    if change.user_group_quota is not None and change.user_group_quota != before.user_group_quota:
        raise Unsupported(
            "quotas of users and groups are not switched here",
            hint="They begin with the first `roost quota set --uid` or `--gid`.",
        )
    wanted = change.min_client_version
    if wanted and later_version(before.min_client_version, wanted) != wanted:
        raise InvalidArgument(
            f"the least client version cannot go back from {before.min_client_version} to {wanted}"
        )
    later_version("", change.max_client_version or "")
    if change.tier is not None and change.storage_class is None and change.tag is None:
        raise InvalidArgument("a tier needs --storage-class or --tag")


def _tiers(before: VolumeSettings, change: SettingsChange) -> tuple[Tier, ...]:
    if change.storage_class is None and change.tag is None:
        return before.tiers
    number = change.tier or 0
    if not 0 <= number <= TIER_MAX:
        raise InvalidArgument(f"tier {number} is not within 0 to {TIER_MAX}")
    known = {tier.id: tier for tier in before.tiers}
    old = known.get(number, Tier(number))
    known[number] = Tier(
        number, _or(change.storage_class, old.storage_class), check_tag(_or(change.tag, old.tag))
    )
    return tuple(known[number] for number in sorted(known))


def _or(new: T | None, old: T) -> T:
    return old if new is None else new
