"""Making a volume: bucket first, then metadata.

The order of JuiceFS: metadata that exists is left alone; the bucket is proved by a write, a read
and a delete, must hold no objects of another volume, and gets the marker `juicefs_uuid`; then the
metadata is written.  A bucket that was marked for a volume whose metadata could not be made is
unmarked again.
Source: the volume format reference, section 1.3.
"""

import secrets
from dataclasses import dataclass, replace
from pathlib import Path

from roost.blob.store import BlobStore
from roost.errors import AlreadyExists, InvalidArgument, RoostError, Unavailable
from roost.sizes import GIB
from roost.volume.storage import volume_store
from roost.volume.errors import AlreadyFormatted, NotFormatted
from roost.volume.meta.api import format_volume, open_meta
from roost.volume.settings import VolumeSettings, new_settings

MARKER = "juicefs_uuid"
_TRIAL_BYTES = 100


@dataclass(frozen=True, slots=True)
class NewVolume:
    """What `roost format` asks for.  Zero means unlimited or none."""

    name: str
    storage: str = "file"
    bucket: str = "/var/lib/roost/objects"
    block_kib: int = 4096
    compression: str = "none"
    trash_days: int = 1
    capacity_gib: int = 0
    inodes: int = 0
    shards: int = 0
    hash_prefix: bool = False


def make_volume(meta_url: str, new: NewVolume, *, force: bool = False) -> VolumeSettings:
    """Make a volume and return its settings.

    With `force` a bucket that holds objects under the volume's name is taken over; metadata that
    exists is never overwritten.  Raises AlreadyFormatted, AlreadyExists, InvalidArgument,
    Unsupported, Unavailable.
    """
    settings = _settings_of(new)
    store = volume_store(settings)
    _demand_no_volume(meta_url)
    _prove(store)
    if not force:
        _demand_empty(store)
    had_marker = any(info.key == MARKER for info in store.list(MARKER))
    if not had_marker:
        store.put(MARKER, settings.uuid.encode())
    try:
        made = format_volume(meta_url, settings)
    except BaseException:
        if not had_marker:
            store.delete(MARKER)
        raise
    if had_marker:
        store.put(MARKER, settings.uuid.encode())
    return made


def existing_volume(meta_url: str) -> VolumeSettings | None:
    """Return the settings of the volume at `meta_url`, None if there is none.

    Raises Unsupported, Damage, Unavailable.
    """
    try:
        with open_meta(meta_url, read_only=True) as meta:
            return meta.settings
    except NotFormatted:
        return None


def _settings_of(new: NewVolume) -> VolumeSettings:
    bucket = new.bucket
    if new.storage.lower() == "file":
        bucket = f"{Path(bucket).expanduser().absolute()}/"
    if min(new.capacity_gib, new.inodes, new.shards) < 0:
        raise InvalidArgument("capacity, inodes and shards must not be negative")
    settings = new_settings(
        new.name,
        storage=new.storage.lower(),
        bucket=bucket,
        block_kib=new.block_kib,
        compression=new.compression,
        trash_days=new.trash_days,
    )
    return replace(
        settings,
        capacity_bytes=new.capacity_gib * GIB,
        inodes_max=new.inodes,
        shards=new.shards if new.shards > 1 else 0,
        hash_prefix=new.hash_prefix,
    )


def _demand_no_volume(meta_url: str) -> None:
    """Raise AlreadyFormatted before the bucket is touched; `format_volume` has the last word."""
    found = existing_volume(meta_url)
    if found is not None:
        raise AlreadyFormatted(f"there is a volume already: {found.name} ({found.uuid})")


def _prove(store: BlobStore) -> None:
    """Raise Unavailable unless an object can be written, read and deleted."""
    key = f"testing/{secrets.token_hex(5)}"
    trial = secrets.token_bytes(_TRIAL_BYTES)
    try:
        store.put(key, trial)
        found = store.get(key)
        store.delete(key)
    except RoostError as error:
        raise Unavailable(
            f"the bucket {store.name} cannot be used: {error}",
            hint="Check that it exists and that you may write there.",
        ) from error
    if found != trial:
        raise Unavailable(f"the bucket {store.name} returned other bytes than were stored")


def _demand_empty(store: BlobStore) -> None:
    for info in store.list():
        if info.size_bytes and not info.key.startswith("testing"):
            raise AlreadyExists(
                f"the bucket already holds {store.name}{info.key}",
                hint="Choose another name or bucket, or use --force if you are sure.",
            )
