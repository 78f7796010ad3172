"""Numbers and vectors that only grow at their end and shrink at their start.

What was written never moves under a reader: a view handed out stays valid and unchanged whatever is
appended or dropped later.  Positions count from the beginning of time, not from what is still held.
One thread at a time appends or drops; the owner guards that.
"""

from dataclasses import dataclass, replace

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


@dataclass(frozen=True, slots=True)
class VectorRun:
    """Vectors of adjacent rows, from row `first` on."""

    first: int
    vectors: npt.NDArray[np.float32]
    """(rows, dim)"""
    is_closed: bool
    """True if it never grows."""

    @property
    def end(self) -> int:
        """The row after the last."""
        return self.first + len(self.vectors)


@dataclass(frozen=True, slots=True)
class VectorsView:
    """The vectors as they were at some instant."""

    dim: int
    runs: tuple[VectorRun, ...]
    """In the order of their rows, without gaps."""

    def take(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Return the vectors (n, dim) of some rows, in their order."""
        out = np.empty((len(rows), self.dim), dtype=np.float32)
        starts = np.array([run.first for run in self.runs], dtype=np.int64)
        of_row = np.searchsorted(starts, rows, side="right") - 1
        for number in np.unique(of_row).tolist():
            run, here = self.runs[number], of_row == number
            out[here] = run.vectors[rows[here] - run.first]
        return out


class GrowingVectors:
    """float32 vectors in runs.

    A large batch becomes a run of its own where it lies, without a copy; small ones are gathered in
    runs that fill up.
    """

    def __init__(self, dim: int) -> None:
        self._dim = dim
        rows = min(max(_CHUNK_BYTES // (4 * dim), _CHUNK_ROWS_MIN), _CHUNK_ROWS_MAX)
        self._gather_rows = rows
        self._adopt_rows = max(rows // 8, 1)
        self._runs: list[VectorRun] = []
        self._filling: npt.NDArray[np.float32] | None = None
        """The memory of the last run, if it still has room."""
        self._end = 0

    @property
    def dim(self) -> int:
        """Numbers a vector."""
        return self._dim

    @property
    def first(self) -> int:
        """The first row still held."""
        return self._runs[0].first if self._runs else self._end

    def append(self, vectors: npt.NDArray[np.float32]) -> None:
        """Add `vectors` (n, dim) at the end; they must never change, for they may be kept."""
        if len(vectors) >= self._adopt_rows:
            self._close()
            self._runs.append(VectorRun(self._end, vectors, is_closed=True))
            self._end += len(vectors)
            return
        done = 0
        while done < len(vectors):
            done += self._fill(vectors[done:])

    def view(self) -> VectorsView:
        """Return what is here now, without copying."""
        return VectorsView(self._dim, tuple(self._runs))

    def drop(self, before: int) -> None:
        """Forget the runs that have only rows before that one."""
        kept = [run for run in self._runs if run.end > before]
        if not kept:
            self._filling = None
        self._runs = kept

    def _fill(self, vectors: npt.NDArray[np.float32]) -> int:
        """Add what fits in the run being filled; return how many."""
        if self._filling is None:
            # Pages of it take memory only once they are written.
            self._filling = np.empty((self._gather_rows, self._dim), dtype=np.float32)
            self._runs.append(VectorRun(self._end, self._filling[:0], is_closed=False))
        run = self._runs[-1]
        held = len(run.vectors)
        count = min(len(vectors), self._gather_rows - held)
        self._filling[held : held + count] = vectors[:count]
        is_full = held + count == self._gather_rows
        self._runs[-1] = VectorRun(run.first, self._filling[: held + count], is_full)
        if is_full:
            self._filling = None
        self._end += count
        return count

    def _close(self) -> None:
        if self._filling is not None:
            self._runs[-1] = replace(self._runs[-1], is_closed=True)
            self._filling = None
