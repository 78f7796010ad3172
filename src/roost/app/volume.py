"""The embedded volume: made on first use, opened by each process in its role."""

import fcntl
import logging
from pathlib import Path

from roost.app.data_directory import VOLUME_NAME, DataDirectory
from roost.app.volume_files import VolumeFiles
from roost.clock import SystemClock
from roost.errors import AlreadyExists, InvalidArgument
from roost.volume.client import VolumeClient
from roost.volume.data.settings import DataSettings
from roost.volume.errors import NotFormatted
from roost.volume.formatting import MARKER, NewVolume, existing_volume, make_volume
from roost.volume.meta.upkeep import Upkeep
from roost.volume.settings import VolumeSettings

log = logging.getLogger(__name__)

ENGINE_FOLDER = "/milvus"
"""Where the engine's files lie inside the volume; the rest of it is the user's."""


class EngineVolume:
    """The engine's files, the client beneath them, and a writer's upkeep of the volume."""

    def __init__(self, directory: DataDirectory, *, read_only: bool = False) -> None:
        """Open it; a writer makes the volume if there is none, and does its hourly jobs.

        Raises NotFormatted for a read-only opening before that, AlreadyExists for objects without
        their metadata, InvalidArgument for a folder copied or moved, Damage, Unavailable.
        """
        if not read_only:
            _ensure_volume(directory)
        try:
            self._client = VolumeClient.open(
                directory.meta_url,
                read_only=read_only,
                cache_dir=directory.cache,
                data=DataSettings(compact=False),  # a log is read once, then deleted (H17)
            )
        except NotFormatted as error:
            hint = "Start the writer first: roost serve --role rw."
            raise NotFormatted(error.message, hint=hint) from error
        self._upkeep: Upkeep | None = None
        try:
            _demand_own_objects(directory, self._client.settings)
            self.files = VolumeFiles(self._client, ENGINE_FOLDER, directory.cache)
            if not read_only:
                self._start_writing()
        except BaseException:
            self._client.close()
            raise

    def close(self) -> None:
        """Store what is pending and let go."""
        if self._upkeep is not None:
            self._upkeep.stop()
        self.files.close()
        self._client.close()

    def _start_writing(self) -> None:
        meta = self._client.meta
        log.info("volume %s: a commit survives %s", meta.settings.name, meta.durability)
        self._upkeep = Upkeep(meta, self._client.core.delete_slice, SystemClock())
        self._upkeep.start()


def _demand_own_objects(directory: DataDirectory, settings: VolumeSettings) -> None:
    """Refuse a data directory that was copied or moved.

    Its metadata names the objects by an absolute path: a copy would write over the blocks of the
    original, since both give their slices the same numbers.
    """
    marker = directory.objects / VOLUME_NAME / MARKER
    if not marker.exists() or marker.read_text() != settings.uuid:
        return  # the settings name a volume made elsewhere
    bucket = Path(settings.bucket)
    if not bucket.exists() or not bucket.samefile(directory.objects):
        raise InvalidArgument(
            f"{directory.root} was copied or moved: its volume keeps its objects in {bucket}",
            hint="Move it back, or run: roost config "
            f"{directory.meta_url} --bucket {directory.objects}/",
        )


def _ensure_volume(directory: DataDirectory) -> None:
    """Make the embedded volume unless it is there; one process at a time."""
    with (directory.locks / "format.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if existing_volume(directory.meta_url) is not None:
            return
        blocks = directory.objects / VOLUME_NAME / "chunks"
        if any(path.is_file() for path in blocks.rglob("*")):
            # A new volume would give its slices the same names and overwrite them.
            raise AlreadyExists(
                f"{directory.objects} holds the blocks of a volume whose metadata is missing: "
                f"{directory.meta_url}",
                hint="Bring its metadata back, or choose another folder with --data.",
            )
        # By force: all there can be is the marker of an attempt that was killed half-way.
        new = NewVolume(VOLUME_NAME, bucket=str(directory.objects))
        make_volume(directory.meta_url, new, force=True)
