"""Making a volume: bucket first, then metadata.

The order of JuiceFS: metadata that exists is left alone; the bucket is proved by a write, a read
and a delete, must hold no objects of another volume, and gets the marker `juicefs_uuid`; then the
metadata is written.  A bucket that was marked for a volume whose metadata could not be made is
unmarked again.
Source: the volume format reference, section 1.3.
"""

import contextlib
from dataclasses import dataclass, field, replace
from pathlib import Path

from roost.blob.place import SHARDS_MAX
from roost.errors import InvalidArgument, RoostError
from roost.volume.bucket import MARKER, demand_empty, has_mark, prove
from roost.volume.errors import AlreadyFormatted, NotFormatted
from roost.volume.meta.api import format_volume, open_meta
from roost.volume.settings import (
    ACL_CLIENT_VERSION,
    ENCRYPTIONS,
    Tier,
    VolumeSettings,
    later_version,
    new_settings,
    open_secrets,
    seal_secrets,
)
from roost.volume.storage import volume_store

__all__ = ["MARKER", "NewVolume", "existing_volume", "make_volume"]


@dataclass(frozen=True, slots=True)
class NewVolume:
    """What `roost format` asks for.  Zero means unlimited or none.

    `encrypt_key` is the text of an RSA private key in PEM; without one nothing is encrypted.
    """

    name: str
    storage: str = "file"
    bucket: str = "/var/lib/roost/objects"
    access_key: str = ""
    secret_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)
    storage_class: str = ""
    tag: str = ""
    block_kib: int = 4096
    compression: str = "none"
    encrypt_key: str = field(default="", repr=False)
    encrypt_algo: str = "aes256gcm-rsa"
    trash_days: int = 1
    capacity_bytes: int = 0
    inodes: int = 0
    shards: int = 0
    hash_prefix: bool = False
    enable_acl: bool = False


def make_volume(meta_url: str, new: NewVolume, *, force: bool = False) -> VolumeSettings:
    """Make a volume and return its settings, secrets in plain text.

    With `force` a bucket that holds objects under the volume's name is taken over; metadata that
    exists is never overwritten.  Raises AlreadyFormatted, AlreadyExists, InvalidArgument,
    Unsupported, Unavailable.
    """
    settings = _settings_of(new)
    store = volume_store(settings)
    _demand_no_volume(meta_url)
    prove(store, settings)
    if not force:
        demand_empty(store)
    had_marker = has_mark(store)
    if not had_marker:
        store.put(MARKER, settings.uuid.encode())
    try:
        made = format_volume(meta_url, seal_secrets(settings))
    except BaseException:
        if not had_marker:
            with contextlib.suppress(RoostError):  # what went wrong first is what counts
                store.delete(MARKER)
        raise
    if had_marker:
        store.put(MARKER, settings.uuid.encode())
    return open_secrets(made)


def existing_volume(meta_url: str) -> VolumeSettings | None:
    """Return the settings of the volume at `meta_url`, None if there is none.

    Raises Unsupported, Damage, Unavailable.
    """
    try:
        with open_meta(meta_url, read_only=True) as meta:
            return meta.settings
    except NotFormatted:
        return None


def file_bucket(bucket: str) -> str:
    """Return a local directory as the settings name it: absolute, with a slash at the end."""
    return f"{Path(bucket).expanduser().absolute()}/"


def _settings_of(new: NewVolume) -> VolumeSettings:
    storage = new.storage.lower()
    if min(new.capacity_bytes, new.inodes, new.shards) < 0:
        raise InvalidArgument("capacity, inodes and shards must not be negative")
    if new.shards > SHARDS_MAX:
        raise InvalidArgument(f"{new.shards} shards are more than {SHARDS_MAX}")
    if new.encrypt_algo not in ENCRYPTIONS:
        raise InvalidArgument(
            f"unknown encryption {new.encrypt_algo!r}", hint="Use aes256gcm-rsa or chacha20-rsa."
        )
    settings = new_settings(
        new.name,
        storage=storage,
        bucket=file_bucket(new.bucket) if storage == "file" else new.bucket,
        block_kib=new.block_kib,
        compression=new.compression,
        trash_days=new.trash_days,
    )
    least = settings.min_client_version
    return replace(
        settings,
        access_key=new.access_key,
        secret_key=new.secret_key,
        session_token=new.session_token,
        storage_class=new.storage_class,
        tiers=(Tier(0, new.storage_class, check_tag(new.tag)),),
        capacity_bytes=new.capacity_bytes,
        inodes_max=new.inodes,
        shards=new.shards if new.shards > 1 else 0,
        hash_prefix=new.hash_prefix,
        encrypt_key=new.encrypt_key,
        encrypt_algo=new.encrypt_algo,
        enable_acl=new.enable_acl,
        min_client_version=later_version(least, ACL_CLIENT_VERSION) if new.enable_acl else least,
    )


def check_tag(tag: str) -> str:
    """Return `tag` if it is empty or one key=value.  Raises InvalidArgument."""
    name, found, value = tag.partition("=")
    if tag and not (found and name and value and "=" not in value and "&" not in tag):
        raise InvalidArgument(f"bad tag {tag!r}", hint="Write one KEY=VALUE.")
    return tag


def _demand_no_volume(meta_url: str) -> None:
    """Raise AlreadyFormatted before the bucket is touched; `format_volume` has the last word."""
    found = existing_volume(meta_url)
    if found is not None:
        raise AlreadyFormatted(f"there is a volume already: {found.name} ({found.uuid})")
