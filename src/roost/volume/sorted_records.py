"""More records than memory holds, put in any order and taken out in order of one field.

Records are rows of a numpy dtype.  A bounded number is kept; what is more is sorted and spilled to
nameless temporary files.  Taking out merges the files, a range of keys at a time, and several sets
at once: so two or three large tables are joined on a key in constant memory.

Invariants: a run is sorted by the key; no range splits records of equal key.
"""

import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import IO, Any

import numpy as np
import numpy.typing as npt

Records = npt.NDArray[Any]
"""A one-dimensional array of a structured dtype."""

RUN_RECORDS = 1 << 18  # kept in memory before they are spilled
RANGE_RECORDS = 1 << 17  # roughly, of one set in one range
_WINDOW_RECORDS_MIN = 1 << 10


class SortedRecords:
    """A set of records with a key.  Filled by one thread, then taken out once by `ranges`."""

    def __init__(self, dtype: np.dtype[Any], key: str) -> None:
        self.dtype = dtype
        self.key = key
        self.count = 0
        self._waiting: list[Records] = []
        self._waiting_count = 0
        self._spilled: list[tuple[IO[bytes], int]] = []

    def add(self, records: Records) -> None:
        """Add records in any order.  Raises OSError if the temporary folder is full."""
        if not len(records):
            return
        assert records.dtype == self.dtype
        self._waiting.append(records)
        self._waiting_count += len(records)
        self.count += len(records)
        if self._waiting_count >= RUN_RECORDS:
            self._spill()

    def _sorted(self) -> Records:
        waiting, self._waiting, self._waiting_count = self._waiting, [], 0
        if not waiting:
            return np.empty(0, self.dtype)
        records: Records = np.concatenate(waiting)
        keys = records[self.key]
        if len(keys) > 1 and not bool((keys[:-1] <= keys[1:]).all()):
            records = records[np.argsort(keys, kind="stable")]
        return records

    def _spill(self) -> None:
        records = self._sorted()
        file = tempfile.TemporaryFile(prefix="roost-sort-")  # noqa: SIM115  # closed by `close`
        self._spilled.append((file, len(records)))
        records.tofile(file)

    def runs(self) -> "list[Run]":
        """Return the sorted runs, for `ranges`."""
        runs = [Run(self.dtype, self.key, count, file) for file, count in self._spilled]
        rest = self._sorted()
        if len(rest):
            self._waiting = [rest]  # so that the set can be taken out again
            self._waiting_count = len(rest)
            runs.append(Run(self.dtype, self.key, len(rest), None, rest))
        return runs

    def close(self) -> None:
        """Let go of the temporary files."""
        for file, _ in self._spilled:
            file.close()
        self._spilled.clear()
        self._waiting.clear()

    def __enter__(self) -> "SortedRecords":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Run:
    """One sorted run, read through a window."""

    def __init__(
        self,
        dtype: np.dtype[Any],
        key: str,
        count: int,
        file: IO[bytes] | None,
        window: Records | None = None,
    ) -> None:
        self._dtype = dtype
        self._key = key
        self._file = file
        self._unread = 0 if file is None else count
        self._at = 0
        self._window: Records = np.empty(0, dtype) if window is None else window

    @property
    def is_empty(self) -> bool:
        """True if everything was taken."""
        return not self._unread and not len(self._window)

    @property
    def limit(self) -> int | None:
        """The last key at hand; records of that key may follow.  None if all are at hand."""
        return int(self._window[self._key][-1]) if self._unread else None

    def fill(self, records: int, *, more: bool = False) -> None:
        """Have at least so many records at hand, or with `more` so many more than now."""
        wanted = min(records if more else records - len(self._window), self._unread)
        if wanted <= 0:
            return
        assert self._file is not None
        self._file.seek(self._at * self._dtype.itemsize)
        fresh: Records = np.fromfile(self._file, self._dtype, wanted)
        assert len(fresh) == wanted, "a temporary file was cut"
        self._at += wanted
        self._unread -= wanted
        self._window = np.concatenate([self._window, fresh]) if len(self._window) else fresh

    def take_below(self, limit: int | None) -> Records:
        """Remove and return the records with keys below `limit`; all if it is None."""
        if limit is None:
            taken, self._window = self._window, self._window[:0]
            return taken
        end = int(np.searchsorted(self._window[self._key], limit, side="left"))
        taken, self._window = self._window[:end], self._window[end:]
        return taken


def ranges(*sets: SortedRecords) -> Iterator[tuple[Records, ...]]:
    """Yield, range after range of keys, the records of each set in that range, sorted by key.

    Records of one key lie in one range, whichever set they are of; a range is as large as it must
    be for that.
    """
    groups = [one.runs() for one in sets]
    runs = [run for group in groups for run in group]
    window = max(RANGE_RECORDS // max(len(runs), 1), _WINDOW_RECORDS_MIN)
    while not all(run.is_empty for run in runs):
        for run in runs:
            run.fill(window)
        limits = [run.limit for run in runs]
        limit = min((one for one in limits if one is not None), default=None)
        parts = [[run.take_below(limit) for run in group] for group in groups]
        if limit is not None and not any(len(part) for group in parts for part in group):
            for run in runs:
                if run.limit == limit:
                    run.fill(window, more=True)
            continue
        yield tuple(_merged(one, group) for one, group in zip(sets, parts, strict=True))


def _merged(owner: SortedRecords, parts: list[Records]) -> Records:
    kept = [part for part in parts if len(part)]
    if not kept:
        return np.empty(0, owner.dtype)
    if len(kept) == 1:
        return kept[0]
    records: Records = np.concatenate(kept)
    return records[np.argsort(records[owner.key], kind="stable")]
