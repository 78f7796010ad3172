"""Where a block's bytes come from: this host's disk if it has them, else the store.

Nothing but the store's answer counts as "missing": a damaged or vanished copy on this host is a
miss, not a failure.
"""

from typing_extensions import Buffer

from roost.errors import MissingBlock
from roost.telemetry.metrics import BLOCK_READS
from roost.volume.data.blocks import BlockRef, Blocks
from roost.volume.data.disk_caches import DiskCaches
from roost.volume.data.staged_elsewhere import StagedElsewhere

_FROM_STAGED, _FROM_DISK, _FROM_STORE = map(BLOCK_READS.labels, ("staged", "disk", "store"))


class BlockSource:
    """Reads blocks of one volume.  Safe to use from several threads."""

    def __init__(
        self,
        blocks: Blocks,
        *,
        disk: DiskCaches | None = None,
        staged: StagedElsewhere | None = None,
        partial_only: bool = False,
        has_ranges: bool = True,
    ) -> None:
        """Read through `disk` and `staged` where they are given.

        With `partial_only` the disk keeps no block that was fetched whole for its own sake.
        """
        self._blocks = blocks
        self._disk = disk
        self._staged = staged
        self._partial_only = partial_only
        self.has_ranges = has_ranges and blocks.compression.keeps_bytes

    @property
    def block_bytes(self) -> int:
        """Bytes of a full block."""
        return self._blocks.block_bytes

    def get(self, ref: BlockRef, *, keep: bool = True) -> Buffer:
        """Return a block; without `keep`, one that comes from the store is not cached here.

        Raises MissingBlock, CorruptRecord, Unavailable.
        """
        at_hand = self._here(ref)
        if at_hand is not None:
            return at_hand
        data = self._fetch(ref)
        wanted = keep and not (self._partial_only and self._is_full(ref))
        if self._disk is not None and wanted:
            self._disk.keep(self._blocks.key(ref), data)
        return data

    def get_range(self, ref: BlockRef, offset: int, size_bytes: int) -> Buffer:
        """Return part of a block, without fetching the rest.  Raises as `get`."""
        if self._staged is not None:
            staged = self._staged.get(ref)
            if staged is not None:
                return memoryview(staged)[offset : offset + size_bytes]
        if self._disk is not None:
            cached = self._disk.find_range(
                self._blocks.key(ref), ref.size_bytes, offset, size_bytes
            )
            if cached is not None:
                return cached
        try:
            return self._blocks.get_range(ref, offset, size_bytes)
        except MissingBlock as error:
            return memoryview(self._foreign(ref, error))[offset : offset + size_bytes]

    def written(self, ref: BlockRef, data: Buffer, *, large_too: bool) -> None:
        """Keep a block that was just stored; a full one only with `large_too`."""
        if self._disk is not None and (large_too or not self._is_full(ref)):
            self._disk.keep(self._blocks.key(ref), bytes(data))

    def forget(self, ref: BlockRef) -> None:
        """Drop this host's copy of a block that is deleted."""
        if self._disk is not None:
            self._disk.remove(self._blocks.key(ref))

    def _is_full(self, ref: BlockRef) -> bool:
        return ref.size_bytes == self._blocks.block_bytes

    def _here(self, ref: BlockRef) -> Buffer | None:
        data = None if self._staged is None else self._staged.get(ref)
        if data is not None:
            _FROM_STAGED.inc()
            return data
        if self._disk is not None:
            data = self._disk.find(self._blocks.key(ref), ref.size_bytes)
            if data is not None:
                _FROM_DISK.inc()
        return data

    def _fetch(self, ref: BlockRef) -> Buffer:
        try:
            data = self._blocks.get(ref)
        except MissingBlock as error:
            return self._foreign(ref, error)
        _FROM_STORE.inc()
        return data

    def _foreign(self, ref: BlockRef, error: MissingBlock) -> Buffer:
        """Return the block from another client of this host, if it is there."""
        if self._staged is None or not self._staged.has_owners:
            raise error
        data = self._staged.find_foreign(ref)
        if data is not None:
            _FROM_STAGED.inc()
            return data
        try:
            return self._blocks.get(ref)  # it may have been stored, and then unstaged, meanwhile
        except MissingBlock:
            hint = self._staged.hint(ref)
            raise MissingBlock(error.key, f"the object is missing{hint}") from error
