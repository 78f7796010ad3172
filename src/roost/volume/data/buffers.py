"""Memory for bytes on their way to the store: bounded, and used again.

Touching fresh memory costs more than copying into it, so whole blocks come from a small store of
used ones.  A writer that takes memory above the limit is slowed down by `SLOW_S` a block; at twice
the limit it waits until uploads, or the flusher's, have given some back.  The flusher passes over
a file that is busy waiting, so a writer sends what its own file holds before it waits (`is_short`).

Invariant: `_used` is the sum of what was taken and not given back.
Lock order: the condition's lock is the only one; nothing is called under it.
"""

import threading

from roost.errors import TimedOut
from roost.sizes import KIB

SMALL_BYTES = 64 * KIB
SLOW_S = 0.01
WAIT_MAX_S = 300.0
_SPARE_BLOCKS_MAX = 8


class WriteBuffers:
    """Hands out memory for blocks of one volume.  Safe to use from several threads."""

    def __init__(self, bytes_max: int, block_bytes: int) -> None:
        self._bytes_max = max(bytes_max, block_bytes)
        self._block_bytes = block_bytes
        self._small_bytes = min(SMALL_BYTES, block_bytes)
        self._changed = threading.Condition()
        self._used = 0
        self._spare: list[bytearray] = []

    @property
    def used_bytes(self) -> int:
        """Bytes taken and not given back."""
        with self._changed:
            return self._used

    @property
    def is_short(self) -> bool:
        """True if the next taker is slowed down or made to wait."""
        return self.used_bytes >= self._bytes_max

    def take(self, size_bytes: int) -> bytearray:
        """Return memory for a block of which `size_bytes` are known; its content is anything.

        It is small or a whole block.  Raises TimedOut if the store gave nothing back for long.
        """
        wanted = self._small_bytes if size_bytes <= self._small_bytes else self._block_bytes
        self.reserve(wanted)
        if wanted == self._block_bytes:
            with self._changed:
                if self._spare:
                    return self._spare.pop()
        return bytearray(wanted)

    def give_back(self, buffer: bytearray) -> None:
        """Take back what `take` returned; nobody may look at it any more."""
        with self._changed:
            if len(buffer) == self._block_bytes and len(self._spare) < _SPARE_BLOCKS_MAX:
                self._spare.append(buffer)
            self._used -= len(buffer)
            self._changed.notify_all()

    def reserve(self, size_bytes: int) -> None:
        """Count memory that is somebody else's; waits as `take` does."""
        with self._changed:
            if self._used >= 2 * self._bytes_max:
                if not self._changed.wait_for(self._is_below_stop, WAIT_MAX_S):
                    raise TimedOut(
                        f"no block could be stored for {WAIT_MAX_S:g} s",
                        hint="Look at the object store; what was not synced is not stored.",
                    )
            elif self._used >= self._bytes_max:
                self._changed.wait(SLOW_S)
            self._used += size_bytes

    def release(self, size_bytes: int) -> None:
        """Undo `reserve`."""
        with self._changed:
            self._used -= size_bytes
            self._changed.notify_all()

    def _is_below_stop(self) -> bool:
        return self._used < 2 * self._bytes_max
