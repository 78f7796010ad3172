"""What a sync has done so far, in JuiceFS's words.

Lock order: `_lock` is taken alone.
"""

import threading
from dataclasses import dataclass, fields


@dataclass(slots=True)
class Counts:
    """Numbers of keys and bytes."""

    found: int = 0
    excluded: int = 0
    excluded_bytes: int = 0
    skipped: int = 0
    skipped_bytes: int = 0
    copied: int = 0
    copied_bytes: int = 0
    extra: int = 0
    extra_bytes: int = 0
    checked: int = 0
    checked_bytes: int = 0
    deleted: int = 0
    failed: int = 0
    absent: int = 0  # of a list of files


class Tally:
    """Counts, added to from several threads."""

    def __init__(self, counts: Counts | None = None) -> None:
        self._lock = threading.Lock()
        self._counts = counts or Counts()

    def add(self, word: str, count: int = 1, size_bytes: int | None = None) -> None:
        """Count `word`, and its bytes if it has any."""
        with self._lock:
            setattr(self._counts, word, getattr(self._counts, word) + count)
            if size_bytes is not None:
                name = f"{word}_bytes"
                setattr(self._counts, name, getattr(self._counts, name) + size_bytes)

    def put(self, word: str, count: int) -> None:
        """Set a number that is counted elsewhere."""
        with self._lock:
            setattr(self._counts, word, count)

    def counts(self) -> Counts:
        """Return the numbers of this moment."""
        with self._lock:
            return Counts(*(getattr(self._counts, field.name) for field in fields(Counts)))
