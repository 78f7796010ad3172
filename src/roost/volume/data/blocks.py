"""Blocks of slices as objects of the store: names, compression, and what damage means.

A block that is missing or does not decode to its size is Damage that names the object; it is
never zeros.  One wrong answer is not yet damage: a store, or a proxy before it, that cut
one short gives the next one whole.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from typing_extensions import Buffer

from roost.blob.store import BlobNotFound, BlobStore
from roost.errors import CorruptRecord, MissingBlock
from roost.volume import layout
from roost.volume.data.compress import Compression
from roost.volume.model import SliceId

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BlockRef:
    """One block: `size_bytes` is its size before compression, which its name contains."""

    slice_id: SliceId
    block_no: int
    size_bytes: int


class Blocks:
    """The blocks of one volume.  Holds no state; safe to call from several threads."""

    def __init__(
        self,
        store: BlobStore,
        compression: Compression,
        block_bytes: int,
        *,
        hash_prefix: bool = False,
        before_put: Callable[[SliceId], None] | None = None,
    ) -> None:
        """`before_put` is asked right before a block is stored, and raises if it must not be."""
        self.store = store
        self.block_bytes = block_bytes
        self.compression = compression
        self._hash_prefix = hash_prefix
        self._before_put = before_put

    def refs(self, slice_id: SliceId, slice_bytes: int) -> list[BlockRef]:
        """Return the blocks of a slice, in order."""
        return [
            BlockRef(slice_id, no, layout.block_size(slice_bytes, no, self.block_bytes))
            for no in range(layout.block_count(slice_bytes, self.block_bytes))
        ]

    def key(self, ref: BlockRef) -> str:
        """Return the block's object name inside the volume's prefix."""
        return layout.block_key(
            ref.slice_id, ref.block_no, ref.size_bytes, hash_prefix=self._hash_prefix
        )

    def put(self, ref: BlockRef, data: Buffer) -> None:
        """Store a block durably.  Raises StorageFull, Unavailable, what `before_put` raises."""
        assert memoryview(data).nbytes == ref.size_bytes, ref
        encoded = self.compression.encode(data)
        if self._before_put is not None:
            self._before_put(ref.slice_id)
        self.store.put(self.key(ref), encoded)

    def exists(self, ref: BlockRef) -> bool:
        """True if the store has an object of the block's name.  Raises Unavailable."""
        try:
            self.store.head(self.key(ref))
        except BlobNotFound:
            return False
        return True

    def get(self, ref: BlockRef) -> Buffer:
        """Return a block's bytes.  Raises MissingBlock, CorruptRecord, Unavailable."""
        return _asked_again(lambda: self._get(ref))

    def _get(self, ref: BlockRef) -> Buffer:
        key = self.key(ref)
        try:
            stored = self.store.get(key)
        except BlobNotFound as error:
            raise MissingBlock(f"{self.store.name}{key}") from error
        return self.compression.decode(stored, ref.size_bytes, f"{self.store.name}{key}")

    def get_range(self, ref: BlockRef, offset: int, size_bytes: int) -> Buffer:
        """Return part of a block; only for a volume whose compression keeps bytes.

        Raises MissingBlock, CorruptRecord, Unavailable.
        """
        assert self.compression.keeps_bytes
        assert offset + size_bytes <= ref.size_bytes, ref
        return _asked_again(lambda: self._get_range(ref, offset, size_bytes))

    def _get_range(self, ref: BlockRef, offset: int, size_bytes: int) -> Buffer:
        key = self.key(ref)
        try:
            data = self.store.get_range(key, offset, size_bytes)
        except BlobNotFound as error:
            raise MissingBlock(f"{self.store.name}{key}") from error
        if memoryview(data).nbytes != size_bytes:
            why = f"ends before byte {offset + size_bytes} of {ref.size_bytes}"
            raise CorruptRecord(f"{self.store.name}{key}", why)
        return data

    def delete(self, slice_id: SliceId, slice_bytes: int) -> None:
        """Remove all blocks of a slice; those that are gone already do not matter."""
        for ref in self.refs(slice_id, slice_bytes):
            self.store.delete(self.key(ref))


def _asked_again(read: Callable[[], T]) -> T:
    """Return what `read` does; its damage counts if the store answers so twice."""
    try:
        return read()
    except CorruptRecord as error:
        log.debug("asking the store once more: %s", error)
    return read()
