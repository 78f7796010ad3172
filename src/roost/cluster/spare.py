"""Memory for large records, touched before it is needed.

The first touch of fresh memory costs more than filling it: on a virtual machine about a millisecond
for each MiB.  Bulk inserts come in batches of one size, so after a large record the memory for the
next one is made ready while nothing else is going on.
"""

import threading

import numpy as np
import numpy.typing as npt

from roost.sizes import MIB

WORTH_BYTES = 4 * MIB
SPARE_BYTES_MAX = 128 * MIB
DELAY_S = 0.5
"""After a record, so that its first search has the processors."""
_PAGE_BYTES = 4096


class SpareMemory:
    """At most one piece of touched memory.  Thread-safe; `_lock` guards the piece."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spare: npt.NDArray[np.uint8] | None = None
        self._timer: threading.Timer | None = None

    def take(self, size_bytes: int) -> npt.NDArray[np.uint8]:
        """Return `size_bytes` of memory that is the caller's from now on."""
        with self._lock:
            spare, self._spare = self._spare, None
        if spare is None or not size_bytes <= len(spare) <= size_bytes + size_bytes // 4:
            return np.empty(size_bytes, np.uint8)
        return spare[:size_bytes]

    def prepare(self, size_bytes: int) -> None:
        """Have memory for a record like the last one touched in a moment; small ones are not."""
        if not WORTH_BYTES <= size_bytes <= SPARE_BYTES_MAX:
            return
        with self._lock:
            if self._timer is not None and self._timer.is_alive():
                return
            self._timer = threading.Timer(DELAY_S, self._touch, (size_bytes,))
            self._timer.name, self._timer.daemon = "roost-spare", True
            self._timer.start()

    def close(self) -> None:
        """Let go of it."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            self._spare = None

    def _touch(self, size_bytes: int) -> None:
        piece = np.empty(size_bytes + size_bytes // 16, np.uint8)  # the next may be a little larger
        piece[::_PAGE_BYTES] = 0
        with self._lock:
            self._spare = piece
