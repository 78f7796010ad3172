"""What all open files of a volume share: metadata, blocks, caches and pools.

The pools are bounded: uploads give back-pressure to writers, downloads to whole-file transfers;
removals that find no place run where they are asked for.
"""

import contextlib
import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from typing_extensions import Buffer

from roost.blob.place import Place
from roost.blob.store import BlobStore
from roost.clock import Clock
from roost.errors import RoostError, Unavailable
from roost.volume.data.blocks import BlockRef, Blocks
from roost.volume.data.buffers import WriteBuffers
from roost.volume.data.cache import BlockCache
from roost.volume.data.cache_folders import demand_usable, first_usable, usable
from roost.volume.data.compact import compact_chunk
from roost.volume.data.compress import compression_named
from roost.volume.data.disk_cache import DiskCache, DiskLimits
from roost.volume.data.disk_caches import DiskCaches
from roost.volume.data.local_disk import is_local_bucket
from roost.volume.data.outgoing import Outgoing
from roost.volume.data.pool import BoundedPool
from roost.volume.data.settings import DataSettings
from roost.volume.data.source import BlockSource
from roost.volume.data.staged_elsewhere import StagedElsewhere
from roost.volume.data.staging import Staged, Staging, StagingLimits
from roost.volume.data.whole_files import WholeFiles
from roost.volume.meta.api import Meta
from roost.volume.model import Attr, DeletedFile, Ino, SliceRef
from roost.volume.vfs.compacting import Compaction
from roost.volume.vfs.windows import ReadWindows

log = logging.getLogger(__name__)

UPLOADS_WAITING_MAX = 8
DOWNLOADS_WAITING_MAX = 32
REMOVALS_WAITING_MAX = 256
COMMIT_THREADS = 2
COMMITS_WAITING_MAX = 62


class Core:
    """The parts of an open volume, put together."""

    def __init__(
        self, meta: Meta, store: BlobStore, cache_dir: Path, clock: Clock, data: DataSettings
    ) -> None:
        settings = meta.settings
        self.meta = meta
        self.notes_access = meta.notes_access
        self.clock = clock
        self.data = data
        self.blocks = Blocks(
            store,
            compression_named(settings.compression),
            settings.block_bytes,
            hash_prefix=settings.hash_prefix,
            before_put=meta.demand_ours,
        )
        self._cache_dirs = data.cache_dirs or (cache_dir,)
        self._staging_in = self._cache_dirs[0]
        if data.writeback and not meta.is_read_only:
            demand_usable(self._staging_in)
        self.whole_files = WholeFiles(
            first_usable((cache_dir, *data.cache_dirs)),
            settings.uuid,
            proves_content=data.verify_cache_checksum != "none",
            clock=clock,
        )
        place = Place(settings.storage, settings.bucket, shards=settings.shards)
        on_disk = is_local_bucket(place)
        self.disk = self._disk_caches()
        try:
            self._check_rollback()
            self.staging = self._staging(self._staging_in)
        except BaseException:
            if self.disk is not None:
                self.disk.close()  # it lists its folders already
            raise
        self.source = BlockSource(
            self.blocks,
            disk=self.disk,
            staged=self.staging or StagedElsewhere(self._staging_in, settings.uuid, self.blocks),
            partial_only=data.cache_partial_only,
            has_ranges=not settings.is_encrypted,
        )
        self.buffers = WriteBuffers(data.buffer_size_bytes, settings.block_bytes)
        self.uploads = BoundedPool("roost-upload", data.upload_threads, UPLOADS_WAITING_MAX)
        self.downloads = BoundedPool("roost-download", data.download_threads, DOWNLOADS_WAITING_MAX)
        self.commits = BoundedPool("roost-commit", COMMIT_THREADS, COMMITS_WAITING_MAX)
        self.removals = BoundedPool("roost-remove", 1, REMOVALS_WAITING_MAX)
        self._prefetches = BoundedPool("roost-prefetch", max(data.prefetch, 1), data.prefetch)
        self.outgoing = Outgoing(self.blocks, self._put, self.uploads, self.buffers)
        self.cache = BlockCache(self.source.get, self.downloads, data.memory_cache_bytes)
        self.windows = ReadWindows(data, settings.block_bytes, on_local_disk=on_disk)
        compacts = data.compact and not meta.is_read_only
        self.compaction = Compaction(partial(compact_chunk, self) if compacts else None)
        meta.when_doubtful(self._doubt)

    @property
    def durability(self) -> str:
        """Where the bytes of a synced file are, in words."""
        if self.staging is None:
            return f"blocks: in {self.blocks.store.name} before a sync returns"
        return (
            f"blocks: write-back, synced on this host's disk ({self.staging.name}) before a sync "
            f"returns and in {self.blocks.store.name} later; lost with this disk"
        )

    def staged(self) -> Staged:
        """Return what write-back keeps on this host's disk and the store does not have yet."""
        return Staged(0, 0) if self.staging is None else self.staging.staged()

    def is_staged(self, ref: BlockRef) -> bool:
        """True if a client of this host keeps the block for the store: it is not missing."""
        here = self.staging or StagedElsewhere(
            self._staging_in, self.meta.settings.uuid, self.blocks
        )
        return here.get(ref) is not None or here.find_foreign(ref) is not None

    def accessed(self, ino: Ino, attr: Attr | None = None) -> None:
        """Note a read of the node, if reads count here.  A time that is not stored fails nobody."""
        if not self.notes_access:
            return
        try:
            self.meta.accessed(ino, attr)
        except RoostError as error:
            log.info("access time not stored: ino=%d error=%s", ino, error)

    def prefetch(self, ref: BlockRef) -> None:
        """Fetch the whole block of which somebody read a part, unless enough of that goes on."""
        if self.data.prefetch:
            self._prefetches.try_submit(partial(self._fetch_quietly, ref))

    def remove_data(self, file: DeletedFile | None) -> None:
        """Remove the blocks of a file that has no name any more, in the background."""
        if file is not None:
            self._later(partial(self._remove_quietly, file))

    def remove_slice(self, ref: SliceRef | None) -> None:
        """Delete the blocks of a slice that was never committed, in the background."""
        if ref is not None:
            self._later(partial(self._delete_quietly, ref))

    def release_slices(self, refs: Sequence[SliceRef]) -> None:
        """Delete the blocks of slices nobody refers to, and forget them, in the background."""
        if refs:
            self._later(partial(self._release_quietly, refs))

    def delete_slice(self, ref: SliceRef) -> None:
        """Delete the blocks of a slice; those that are gone already do not matter."""
        if self.staging is not None:
            self.staging.drop(ref.id, ref.size)
        for block in self.blocks.refs(ref.id, ref.size):
            self.source.forget(block)
        self.blocks.delete(ref.id, ref.size)

    def close(self) -> None:
        """Wait for all background work and stop the pools.  Raises MissingBlock as Staging."""
        with contextlib.ExitStack() as closing:
            if self.disk is not None:
                closing.callback(self.disk.close)
            if self.staging is not None:
                closing.callback(self.staging.close)
            closing.callback(self.removals.close)
            for pool in (self.downloads, self.uploads, self.commits, self._prefetches):
                closing.callback(pool.close)
            closing.callback(self.compaction.close)

    def _put(self, ref: BlockRef, data: Buffer) -> None:
        if self.staging is None or not self.staging.put(ref, data):
            self.blocks.put(ref, data)
        self.source.written(ref, data, large_too=self.data.cache_large_write)

    def _disk_caches(self) -> DiskCaches | None:
        data, settings = self.data, self.meta.settings
        if not data.cache_size_bytes or (settings.storage == "file" and not data.cache_dirs):
            return None
        folders = usable(self._cache_dirs, settings.uuid)
        if not folders:
            return None
        limits = DiskLimits(
            size_bytes=data.cache_size_bytes // len(self._cache_dirs),
            items=data.cache_items // len(self._cache_dirs),
            free_space_ratio=data.free_space_ratio,
            mode=data.cache_mode,
            checksum=data.verify_cache_checksum,
            eviction=data.cache_eviction,
            expire_s=data.cache_expire_s,
        )
        return DiskCaches(
            [DiskCache(folder, settings.uuid, limits, self.clock) for folder in folders]
        )

    def _staging(self, folder: Path) -> Staging | None:
        """Return the write-back, also if only a replay is left to be done."""
        data, settings = self.data, self.meta.settings
        left_over = StagedElsewhere(folder, settings.uuid, self.blocks).has_owners
        if self.meta.is_read_only or not (data.writeback or left_over):
            return None
        limits = StagingLimits(
            size_bytes=data.stage_size_bytes if data.writeback else 0,
            writers=max(data.max_stage_write, 1),
            threads=data.upload_threads,
            delay_s=data.upload_delay_s,
        )
        try:
            return Staging(
                folder,
                settings.uuid,
                self.blocks,
                limits,
                self.clock,
                is_doubtful=self.meta.is_doubtful,
            )
        except OSError as error:
            left = "Let the folder be written to: the store does not have yet what is staged there."
            other = "Choose another cache folder, or open the volume without write-back."
            raise Unavailable(
                f"write-back cannot use {folder}: {error.strerror}",
                hint=left if left_over else other,
            ) from error

    def _check_rollback(self) -> None:
        emptied = self.whole_files.check_rollback(self.meta.highest_slice_id)
        if self.disk is not None and self.disk.check_rollback(self.meta.highest_slice_id):
            emptied = True
        if emptied:
            name = self.meta.settings.name
            log.warning("cache emptied, the metadata was rolled back: volume=%s", name)

    def _doubt(self, start: int, end: int) -> None:
        """Let go of what this host keeps under slice numbers that may be another client's now."""
        if self.staging is not None:
            self.staging.set_aside(start, end)
        if self.disk is not None:
            self.disk.forget_slices(start, end)
        self.whole_files.forget_slices(start, end)
        self.cache.forget()  # last of all: it is filled from the others

    def _later(self, task: partial[None]) -> None:
        if self.removals.try_submit(task) is None:
            task()

    def _fetch_quietly(self, ref: BlockRef) -> None:
        with contextlib.suppress(RoostError):  # whoever needs it will be told
            self.cache.get(ref)

    def _delete_quietly(self, ref: SliceRef) -> None:
        if self.meta.is_doubtful(ref.id):
            log.warning("blocks are left, they may be another client's: id=%d", ref.id)
            return
        try:
            self.delete_slice(ref)
        except RoostError as error:  # an object that no slice names: gc finds it
            log.info("blocks of a slice never committed are left: id=%d error=%s", ref.id, error)

    def _release_quietly(self, refs: Sequence[SliceRef]) -> None:
        for ref in refs:
            try:
                self.delete_slice(ref)
                self.meta.forget_slice(ref)
            except RoostError as error:  # the metadata still lists it, so a clean-up finds it
                log.warning("slice left for clean-up: id=%d error=%s", ref.id, error)

    def _remove_quietly(self, file: DeletedFile) -> None:
        try:
            for ref in self.meta.release_deleted_file(file):
                self.delete_slice(ref)
                self.meta.forget_slice(ref)
        except RoostError as error:  # the metadata still lists it, so a later clean-up finds it
            log.warning("file data left for clean-up: ino=%d error=%s", file.ino, error)
