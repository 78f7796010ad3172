"""The store of a volume's objects, put together from its settings.

From the inside out: the bucket, sharding, the prefix `<Name>/`, encryption.  Compression
lies above, with the blocks.  Source: the volume format reference, section 5.7.
"""

from roost.blob.open import open_store
from roost.blob.place import Place
from roost.blob.prefix import PrefixStore
from roost.blob.store import BlobStore
from roost.errors import Unsupported
from roost.volume.settings import VolumeSettings


def volume_store(settings: VolumeSettings) -> BlobStore:
    """Return the store of a volume's objects, below the volume's name.

    Raises Unsupported for a storage or an encryption that this Roost does not serve.
    """
    if settings.is_encrypted:
        raise Unsupported(
            f"volume {settings.name} is encrypted ({settings.encrypt_algo}), which this Roost "
            "does not serve yet",
            hint="Read it with the juicefs client.",
        )
    bucket = open_store(Place(settings.storage, settings.bucket, shards=settings.shards))
    return PrefixStore(bucket, f"{settings.name}/")
