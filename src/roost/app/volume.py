"""The embedded volume: made on first use, opened by each process in its role."""

import fcntl

from roost.app.data_directory import VOLUME_NAME, DataDirectory
from roost.app.volume_files import VolumeFiles
from roost.volume.client import VolumeClient
from roost.volume.errors import NotFormatted
from roost.volume.meta.api import format_volume, open_meta
from roost.volume.settings import new_settings

ENGINE_FOLDER = "/milvus"
"""Where the engine's files lie inside the volume; the rest of it is the user's."""


def open_files(directory: DataDirectory, *, read_only: bool = False) -> VolumeFiles:
    """Return the engine's files on the volume; the first writer makes the volume.

    Raises NotFormatted for a read-only opening before that, Damage, Unavailable.
    """
    if not read_only:
        _ensure_volume(directory)
    client = VolumeClient.open(directory.meta_url, read_only=read_only, cache_dir=directory.cache)
    return VolumeFiles(client, ENGINE_FOLDER)


def _ensure_volume(directory: DataDirectory) -> None:
    """Make the embedded volume unless it is there; one process at a time."""
    with (directory.locks / "format.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            open_meta(directory.meta_url, read_only=True, session=False).close()
        except NotFormatted:
            bucket = f"{directory.objects}/"
            format_volume(directory.meta_url, new_settings(VOLUME_NAME, bucket=bucket))
