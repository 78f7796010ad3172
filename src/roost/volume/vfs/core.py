"""What all open files of a volume share: metadata, blocks, cache and pools.

The pools are bounded: uploads give back-pressure to writers, downloads to whole-file transfers;
removals that find no place run where they are asked for.
"""

import logging
from pathlib import Path

from roost.blob.store import BlobStore
from roost.clock import Clock
from roost.errors import RoostError
from roost.volume.data.blocks import Blocks
from roost.volume.data.cache import BlockCache
from roost.volume.data.compress import compression_named
from roost.volume.data.pool import BoundedPool
from roost.volume.data.whole_files import WholeFiles
from roost.volume.meta.api import Meta
from roost.volume.model import DeletedFile, SliceRef

log = logging.getLogger(__name__)

UPLOAD_THREADS = 8
UPLOADS_WAITING_MAX = 8
DOWNLOAD_THREADS = 8
DOWNLOADS_WAITING_MAX = 32
REMOVALS_WAITING_MAX = 256


class Core:
    """The parts of an open volume, put together."""

    def __init__(self, meta: Meta, store: BlobStore, cache_dir: Path, clock: Clock) -> None:
        settings = meta.settings
        self.meta = meta
        self.clock = clock
        self.blocks = Blocks(
            store,
            compression_named(settings.compression),
            settings.block_bytes,
            hash_prefix=settings.hash_prefix,
        )
        self.whole_files = WholeFiles(cache_dir, settings.uuid, clock=clock)
        if self.whole_files.check_rollback(meta.highest_slice_id()):
            log.warning("cache emptied, the metadata was rolled back: volume=%s", settings.name)
        self.uploads = BoundedPool("roost-upload", UPLOAD_THREADS, UPLOADS_WAITING_MAX)
        self.downloads = BoundedPool("roost-download", DOWNLOAD_THREADS, DOWNLOADS_WAITING_MAX)
        self.removals = BoundedPool("roost-remove", 1, REMOVALS_WAITING_MAX)
        self.cache = BlockCache(self.blocks, self.downloads)

    def remove_data(self, file: DeletedFile | None) -> None:
        """Remove the blocks of a file that has no name any more, in the background."""
        if file is None:
            return
        if self.removals.try_submit(lambda: self._remove_quietly(file)) is None:
            self._remove_quietly(file)

    def delete_slice(self, ref: SliceRef) -> None:
        """Delete the blocks of a slice; those that are gone already do not matter."""
        self.blocks.delete(ref.id, ref.size)

    def close(self) -> None:
        """Wait for all background work and stop the pools."""
        for pool in (self.uploads, self.downloads, self.removals):
            pool.close()

    def _remove_quietly(self, file: DeletedFile) -> None:
        try:
            for ref in self.meta.release_deleted_file(file):
                self.delete_slice(ref)
                self.meta.forget_slice(ref)
        except RoostError as error:  # the metadata still lists it, so a later clean-up finds it
            log.warning("file data left for clean-up: ino=%d error=%s", file.ino, error)
