"""Unfinished files in a volume's directory.

A put writes a draft beside the object's place and renames it; a crash between the two leaves it.
Of the other stores HDFS alone has such files, under the same names: nothing looks for them there.
"""

from collections.abc import Iterator
from pathlib import Path

from roost.blob.directory import DirectoryStore
from roost.blob.store import BlobInfo, BucketMissing
from roost.volume.settings import VolumeSettings
from roost.volume.storage import place_of


def drafts(settings: VolumeSettings) -> Iterator[tuple[DirectoryStore, BlobInfo]]:
    """Yield the drafts of a volume, and the store whose `delete` removes each.

    None if its objects are in no directory.  A shard without a folder has none: whether it is
    missing is for the listing of the objects to say.  Raises Unavailable.
    """
    if settings.storage.lower() != "file":
        return
    for place in place_of(settings).buckets():
        store = DirectoryStore(Path(place.bucket))
        try:
            for info in store.drafts(f"{settings.name}/"):
                yield store, info
        except BucketMissing:
            continue
