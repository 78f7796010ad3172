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


class EngineVolume:
    """The engine's files, and the client beneath them."""

    def __init__(self, directory: DataDirectory, *, read_only: bool = False) -> None:
        """Open it; a writer makes the volume if there is none.

        Raises NotFormatted for a read-only opening before that, Damage, Unavailable.
        """
        if not read_only:
            _ensure_volume(directory)
        self._client = VolumeClient.open(
            directory.meta_url, read_only=read_only, cache_dir=directory.cache
        )
        self.files = VolumeFiles(self._client, ENGINE_FOLDER, directory.cache)

    def close(self) -> None:
        """Store what is pending and let go."""
        self.files.close()
        self._client.close()


def _ensure_volume(directory: DataDirectory) -> None:
    """Make the embedded volume unless it is there; one process at a time."""
    with (directory.locks / "format.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            open_meta(directory.meta_url, read_only=True, session=False).close()
        except NotFormatted:
            bucket = f"{directory.objects}/"
            format_volume(directory.meta_url, new_settings(VOLUME_NAME, bucket=bucket))
