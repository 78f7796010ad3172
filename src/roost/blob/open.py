"""From the words of a volume's settings to its store: the one place where stores are registered.

From the inside out: the store itself, its limits, its retries; then shards, then the counting.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from roost.blob.counted import CountedStore
from roost.blob.directory import DirectoryStore
from roost.blob.limits import LimitedStore, Limits
from roost.blob.many import SERVICES
from roost.blob.patience import PATIENT, Patience
from roost.blob.place import Place
from roost.blob.retrying import RetryingStore
from roost.blob.s3_address import DIALECTS
from roost.blob.sharded import ShardedStore
from roost.blob.store import BlobStore
from roost.clock import Clock
from roost.errors import InvalidArgument, Unsupported

Opener = Callable[[Place, Patience, Mapping[str, str]], BlobStore]


def _open_directory(place: Place, _patience: Patience, _env: Mapping[str, str]) -> BlobStore:
    if not place.bucket.startswith("/"):
        raise InvalidArgument(f"bucket {place.bucket!r} of storage file is not an absolute path")
    return DirectoryStore(Path(place.bucket), fellows=tuple(map(Path, place.fellows)))


# The libraries are imported when a store of theirs is opened: they cost a tenth of a second.
def _open_s3(place: Place, patience: Patience, environment: Mapping[str, str]) -> BlobStore:
    from roost.blob.cloud_open import open_s3

    return open_s3(place, patience, environment)


def _open_azure(place: Place, patience: Patience, environment: Mapping[str, str]) -> BlobStore:
    from roost.blob.cloud_open import open_azure

    return open_azure(place, patience, environment)


def _open_google(place: Place, patience: Patience, environment: Mapping[str, str]) -> BlobStore:
    from roost.blob.cloud_open import open_google

    return open_google(place, patience, environment)


def _open_dal(place: Place, patience: Patience, environment: Mapping[str, str]) -> BlobStore:
    from roost.blob.dal import open_dal

    return open_dal(place, patience, environment)


_STORES: dict[str, Opener] = {
    "file": _open_directory,
    "gs": _open_google,
    "wasb": _open_azure,
    **dict.fromkeys(DIALECTS, _open_s3),
    **dict.fromkeys(SERVICES, _open_dal),
}
"""JuiceFS's storage name -> what opens a bucket of it."""


def storages() -> tuple[str, ...]:
    """Return the storage names that are served."""
    return tuple(sorted(_STORES))


def open_store(
    place: Place,
    *,
    patience: Patience = PATIENT,
    clock: Clock | None = None,
    environment: Mapping[str, str] | None = None,
) -> BlobStore:
    """Return the store that a place names.

    `environment`: where credentials are looked up that the place does not state; default: this
    process's.  Nothing is asked of the store yet.  Raises Unsupported for a storage that is not
    registered, InvalidArgument for a wrong bucket.
    """
    place = replace(place, storage=place.storage.lower())
    opener = _STORES.get(place.storage)
    if opener is None:
        raise Unsupported(
            f"object storage {place.storage!r} is not served by this Roost",
            hint=f"Use one of: {', '.join(storages())}.",
        )
    limits = Limits(place.upload_mbps, place.download_mbps, clock=clock)
    variables = os.environ if environment is None else environment
    stores: list[BlobStore] = []
    for bucket in place.buckets():
        store: BlobStore = LimitedStore(opener(bucket, patience, variables), limits)
        if place.storage != "file":
            store = RetryingStore(store, patience, clock)
        stores.append(store)
    return CountedStore(ShardedStore(stores) if len(stores) > 1 else stores[0])
