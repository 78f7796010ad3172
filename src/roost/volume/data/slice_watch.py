"""The highest slice id that a cache folder has seen (H23).

Slice ids are issued again, with other bytes, when the metadata is rolled back.  So the folder
remembers the highest: it is written down before a block of that slice is kept, and a volume that
has issued fewer ids makes the cache invalid.

    roost-<UUID>/highest-slice-id/<number>     empty files; the highest counts

Lock order: `_lock` is the only one.
"""

import threading
from pathlib import Path


class SliceWatch:
    """The bound of one folder, for all processes that use it."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "highest-slice-id"
        self._lock = threading.Lock()
        self._highest = 0

    def saw(self, slice_id: int) -> None:
        """Note a slice id before its block is kept.  Raises OSError."""
        with self._lock:
            if slice_id <= self._highest:
                return
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / str(slice_id)).touch()
            if self._highest:
                (self._folder / str(self._highest)).unlink(missing_ok=True)
            self._highest = slice_id

    def highest(self) -> int:
        """Return the highest id seen here, 0 if none was.  Raises OSError."""
        return max(self._numbers(), default=0)

    def reset(self, volume_slice_id: int) -> None:
        """Begin anew.  Raises OSError."""
        with self._lock:
            for number in self._numbers():
                if number > volume_slice_id:
                    (self._folder / str(number)).unlink(missing_ok=True)
            self._highest = 0

    def _numbers(self) -> list[int]:
        try:
            names = [path.name for path in self._folder.iterdir()]
        except FileNotFoundError:
            return []
        return [int(name) for name in names if name.isascii() and name.isdigit()]
