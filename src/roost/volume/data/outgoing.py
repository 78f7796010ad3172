"""Blocks on their way out: to the store, or with write-back to this host's disk first."""

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from typing_extensions import Buffer

from roost.volume.data.blocks import BlockRef, Blocks
from roost.volume.data.buffers import WriteBuffers
from roost.volume.data.pool import BoundedPool

Keep = Callable[[BlockRef, Buffer], object]


class Outgoing:
    """Stores blocks in the background.  `put` says where; it returns once the block is safe."""

    def __init__(self, blocks: Blocks, put: Keep, pool: BoundedPool, buffers: WriteBuffers) -> None:
        self._put = put
        self._pool = pool
        self.block_bytes = blocks.block_bytes
        self.buffers = buffers

    def store(self, ref: BlockRef, buffer: bytearray) -> "Future[None]":
        """Store the block that `buffer` begins with, and give the memory back afterwards."""
        return self._submit(partial(self._store, ref, buffer), partial(self._give_back, buffer))

    def store_view(self, ref: BlockRef, view: memoryview) -> "Future[None]":
        """Store a block from memory that nobody changes and that is counted as reserved."""
        return self._submit(
            partial(self._store_view, ref, view), partial(self.buffers.release, len(view))
        )

    def _submit(self, task: Callable[[], None], undo: Callable[[], None]) -> "Future[None]":
        try:
            return self._pool.submit(task)
        except BaseException:
            undo()
            raise

    def _store(self, ref: BlockRef, buffer: bytearray) -> None:
        try:
            with memoryview(buffer) as whole, whole[: ref.size_bytes] as block:
                self._put(ref, block)
        finally:
            self._give_back(buffer)

    def _store_view(self, ref: BlockRef, view: memoryview) -> None:
        try:
            self._put(ref, view)
        finally:
            self.buffers.release(len(view))

    def _give_back(self, buffer: bytearray) -> None:
        self.buffers.give_back(buffer)
