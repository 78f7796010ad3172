"""The bucket of a volume: made if need be, proved by use, empty before, marked after.

Source: the volume format reference, section 1.3.
"""

import logging
import secrets

from roost.blob.store import BlobNotFound, BlobStore, BucketMissing, StoreDenied
from roost.errors import (
    AlreadyExists,
    Failure,
    NotFound,
    RoostError,
    StorageFull,
    Unavailable,
    Unsupported,
)
from roost.volume.settings import VolumeSettings, open_secrets
from roost.volume.storage import place_of

log = logging.getLogger(__name__)

MARKER = "juicefs_uuid"
TRIALS = "testing"
_TRIAL_BYTES = 100


def prove(store: BlobStore, settings: VolumeSettings) -> None:
    """Write, read and delete an object; a bucket that is missing is made first where we can.

    Raises Unavailable, StoreDenied, BucketMissing, StorageFull, naming the bucket.
    """
    try:
        try:
            _try(store)
        except BucketMissing:
            from roost.blob.make_bucket import make_bucket  # brings in HTTP

            try:
                make_bucket(place_of(open_secrets(settings)))
            except Unsupported as refusal:
                raise BucketMissing(
                    f"the bucket {store.name} does not exist", hint=refusal.hint
                ) from refusal
            _try(store)
    except RoostError as error:
        kind = Unavailable
        if isinstance(error, BucketMissing | StoreDenied | StorageFull):
            kind = type(error)  # type: ignore[assignment]  # the same constructor
        raise kind(
            f"the bucket {store.name} cannot be used: {error}",
            hint=error.hint or "Check that it exists and that you may write there.",
        ) from error


def _try(store: BlobStore) -> None:
    key = f"{TRIALS}/{secrets.token_hex(5)}"
    trial = secrets.token_bytes(_TRIAL_BYTES)
    store.put(key, trial)
    found = store.get(key)
    if found != trial:
        raise Unavailable(f"{store.name} returned other bytes than were stored")
    try:
        store.delete(key)
    except StoreDenied as error:  # whoever may not delete may still keep a volume
        log.warning("objects cannot be deleted, so space is never given back: %s", error)


def time_ns_of(store: BlobStore) -> int:
    """Return what time it is by the store: the date that it gives to a new object, unix ns.

    Of a sharded store it is the time of one of its buckets.  Raises what put, head and delete do;
    Unsupported if the store gives no dates.
    """
    key = f"{TRIALS}/{secrets.token_hex(5)}"
    store.put(key, b"what time is it")
    time_ns = store.head(key).mtime_ns
    store.delete(key)
    if time_ns <= 0:
        raise Unsupported(
            f"{store.name} gives its objects no dates, so nobody knows how old they are",
            hint="Look for leaked objects without --delete, and remove them by hand.",
        )
    return time_ns


def demand_empty(store: BlobStore) -> None:
    """Raise AlreadyExists if the volume's prefix holds anything but trials."""
    for info in store.list():
        if info.size_bytes and info.key.split("/")[0] != TRIALS:
            raise AlreadyExists(
                f"the bucket already holds {store.name}{info.key}",
                hint="Choose another name or bucket, or use --force if you are sure.",
            )


def has_mark(store: BlobStore) -> bool:
    """True if the bucket is marked for some volume."""
    try:
        store.head(MARKER)
    except BlobNotFound:
        return False
    return True


def marked_for(store: BlobStore) -> str | None:
    """Return the UUID of the volume that the bucket is marked for, None if it is not marked.

    Raises CorruptRecord if the mark is encrypted with another key.
    """
    try:
        return bytes(store.get(MARKER)).decode("ascii", "replace")
    except BlobNotFound:
        return None


def demand_own(store: BlobStore, settings: VolumeSettings) -> None:
    """Raise AlreadyExists if the bucket is marked for another volume, NotFound if for none."""
    found = marked_for(store)
    if found is None:
        raise NotFound(
            f"{store.name} does not hold the objects of volume {settings.name}",
            hint="Copy them there first, or use --force if you are sure.",
        )
    if found != settings.uuid:
        raise AlreadyExists(
            f"the bucket {store.name} belongs to volume {found}, not {settings.uuid}",
            hint="Choose the volume's own bucket, or use --force if you are sure.",
        )


def demand_not_anothers(store: BlobStore, settings: VolumeSettings) -> None:
    """Raise AlreadyExists if the bucket is marked for another volume: two would mix their blocks.

    A bucket without a mark is taken as it is, and so is one that cannot be asked now: whoever reads
    or writes blocks will be told.  Raises CorruptRecord if the mark is encrypted with another key.
    """
    try:
        found = marked_for(store)
    except Failure as error:
        log.info("the bucket's mark cannot be read: %s", error)
        return
    if found is not None and found != settings.uuid:
        raise AlreadyExists(
            f"the bucket {store.name} belongs to volume {found}, not {settings.uuid}",
            hint="Bring back the volume's own objects or metadata, or open it read-only.",
        )
