"""From the words of a volume's settings to its store: the one place where stores are registered."""

from collections.abc import Callable
from pathlib import Path

from roost.blob.counted import CountedStore
from roost.blob.directory import DirectoryStore
from roost.blob.sharded import ShardedStore
from roost.blob.store import BlobStore
from roost.errors import InvalidArgument, Unsupported

SHARDS_MAX = 256


def _open_directory(bucket: str) -> BlobStore:
    if not bucket.startswith("/"):
        raise InvalidArgument(f"bucket {bucket!r} of storage file is not an absolute path")
    return DirectoryStore(Path(bucket))


_STORES: dict[str, Callable[[str], BlobStore]] = {
    "file": _open_directory,
}
"""JuiceFS's storage name -> what opens a bucket of it."""


def open_store(storage: str, bucket: str, shards: int = 0) -> BlobStore:
    """Return the store that `--storage storage --bucket bucket --shards shards` names.

    Raises Unsupported for a storage that is not registered, InvalidArgument for a wrong bucket.
    """
    opener = _STORES.get(storage.lower())
    if opener is None:
        raise Unsupported(
            f"object storage {storage!r} is not served by this Roost",
            hint=f"Use one of: {', '.join(sorted(_STORES))}.",
        )
    if shards <= 1:
        return CountedStore(opener(bucket))
    if shards > SHARDS_MAX:
        raise InvalidArgument(f"{shards} shards are more than {SHARDS_MAX}")
    if bucket.count("%d") != 1:
        raise InvalidArgument(
            f"bucket {bucket!r} of a sharded volume must hold one %d",
            hint="Write the number's place as %d, for example --bucket /data/shard%d/.",
        )
    stores = [opener(bucket.replace("%d", str(shard))) for shard in range(shards)]
    return CountedStore(ShardedStore(stores))
