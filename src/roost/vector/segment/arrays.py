"""Numbers and vectors that only grow at their end and shrink at their start.

What was written never moves under a reader: a view handed out stays valid and unchanged whatever is
appended or dropped later.  Positions count from the beginning of time, not from what is still held.
One thread at a time appends or drops; the owner guards that.
"""

import numpy as np
import numpy.typing as npt

from roost.sizes import MIB

_FIRST_CAPACITY = 256
_CHUNK_BYTES = 16 * MIB
_CHUNK_ROWS_MIN, _CHUNK_ROWS_MAX = 256, 65_536


class GrowingNumbers:
    """int64 numbers in one contiguous array that doubles."""

    def __init__(self) -> None:
        self._values = np.empty(_FIRST_CAPACITY, dtype=np.int64)
        self._first = 0
        self._end = 0

    @property
    def first(self) -> int:
        """The position of the first number still held."""
        return self._first

    @property
    def end(self) -> int:
        """The position after the last number."""
        return self._end

    def append(self, values: npt.NDArray[np.int64]) -> None:
        """Add `values` at the end."""
        held = self._end - self._first
        if held + len(values) > len(self._values):
            larger = np.empty(max(2 * len(self._values), held + len(values)), dtype=np.int64)
            larger[:held] = self._values[:held]
            self._values = larger
        self._values[held : held + len(values)] = values
        self._end += len(values)

    def append_repeated(self, value: int, count: int) -> None:
        """Add `value`, `count` times."""
        self.append(np.full(count, value, dtype=np.int64))

    def view(self, start: int | None = None) -> npt.NDArray[np.int64]:
        """Return the numbers from position `start` (default: all held) on, without copying."""
        skip = 0 if start is None else start - self._first
        assert skip >= 0, (start, self._first)
        return self._values[skip : self._end - self._first]

    def drop(self, before: int) -> None:
        """Forget the numbers before that position."""
        if before > self._first:
            self._values = self.view(before).copy()
            self._first = before
            if not len(self._values):
                self._values = np.empty(_FIRST_CAPACITY, dtype=np.int64)


class GrowingVectors:
    """float32 vectors in chunks of equal size: growing never copies, and scans split well."""

    def __init__(self, dim: int) -> None:
        self._dim = dim
        rows = _CHUNK_BYTES // (4 * dim)
        rows = min(max(rows, _CHUNK_ROWS_MIN), _CHUNK_ROWS_MAX)
        self.chunk_rows = 1 << (rows.bit_length() - 1)
        self._chunks: dict[int, npt.NDArray[np.float32]] = {}
        self._end = 0

    @property
    def dim(self) -> int:
        """Numbers a vector."""
        return self._dim

    def append(self, vectors: npt.NDArray[np.float32]) -> None:
        """Add `vectors` (n, dim) at the end."""
        done = 0
        while done < len(vectors):
            number, at = divmod(self._end, self.chunk_rows)
            if number not in self._chunks:
                # Pages of it take memory only once they are written.
                self._chunks[number] = np.empty((self.chunk_rows, self._dim), dtype=np.float32)
            count = min(len(vectors) - done, self.chunk_rows - at)
            self._chunks[number][at : at + count] = vectors[done : done + count]
            done += count
            self._end += count

    def truncate(self, end: int) -> None:
        """Take back what was added from position `end` on; nobody may have been shown it."""
        assert end <= self._end, (end, self._end)
        self._end = end

    def chunks(self) -> dict[int, npt.NDArray[np.float32]]:
        """Return the chunks held, by number; chunk i begins with row i × `chunk_rows`."""
        return dict(self._chunks)

    def drop(self, before: int) -> None:
        """Forget the chunks that have only rows before that one."""
        for number in [n for n in self._chunks if (n + 1) * self.chunk_rows <= before]:
            del self._chunks[number]
