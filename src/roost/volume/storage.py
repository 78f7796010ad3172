"""The store of a volume's objects, put together from its settings.

From the inside out: the bucket, sharding, the prefix `<Name>/`, encryption.  Compression
lies above, with the blocks.  Source: the volume format reference, section 5.7.
"""

import os
from collections.abc import Mapping
from dataclasses import replace

from roost.blob.encrypted import EncryptedStore, Envelopes, open_key
from roost.blob.open import open_store
from roost.blob.patience import PATIENT, Patience
from roost.blob.place import Place
from roost.blob.prefix import PrefixStore
from roost.blob.store import BlobStore
from roost.clock import Clock
from roost.errors import InvalidArgument
from roost.volume.settings import REMOVED, VolumeSettings, open_secrets

PASSPHRASE = "JFS_RSA_PASSPHRASE"


def volume_store(
    settings: VolumeSettings,
    *,
    tier: int = 0,
    upload_mbps: int | None = None,
    download_mbps: int | None = None,
    patience: Patience = PATIENT,
    clock: Clock | None = None,
    environment: Mapping[str, str] | None = None,
) -> BlobStore:
    """Return the store of a volume's objects, below the volume's name.

    `tier` says where new objects go.  The limits are this client's instead of the volume's.
    `environment`: where the passphrase and keys are looked up; default: this process's.
    Raises Unsupported for a storage or an encryption that this Roost does not serve;
    InvalidArgument for a bucket, key or passphrase that cannot be right.
    """
    settings = open_secrets(settings)
    variables = os.environ if environment is None else environment
    place = place_of(settings, tier)
    place = replace(
        place,
        upload_mbps=place.upload_mbps if upload_mbps is None else upload_mbps,
        download_mbps=place.download_mbps if download_mbps is None else download_mbps,
    )
    store: BlobStore = open_store(place, patience=patience, clock=clock, environment=variables)
    store = PrefixStore(store, f"{settings.name}/")
    if settings.is_encrypted:
        key = open_key(settings.encrypt_key, variables.get(PASSPHRASE, ""))
        store = EncryptedStore(store, Envelopes(key, settings.encrypt_algo))
    return store


def place_of(settings: VolumeSettings, tier: int = 0) -> Place:
    """Return where the objects of a volume lie; the settings' secrets must be open.

    Raises InvalidArgument if a secret was left out of a dump.
    """
    if REMOVED in (settings.secret_key, settings.session_token, settings.encrypt_key):
        raise InvalidArgument(
            f"a secret of volume {settings.name} was removed from its settings",
            hint="Set it again: roost config META-URL --secret-key KEY.",
        )
    target = settings.tier(tier)
    return Place(
        storage=settings.storage,
        bucket=settings.bucket,
        access_key=settings.access_key,
        secret_key=settings.secret_key,
        session_token=settings.session_token,
        storage_class=target.storage_class,
        tag=target.tag,
        shards=settings.shards,
        upload_mbps=settings.upload_mbps,
        download_mbps=settings.download_mbps,
    )
