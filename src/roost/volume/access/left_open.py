"""The files that are still open when their volume closes."""

import contextlib
import io
import threading
import warnings
import weakref
from typing import IO, Any

File = io.IOBase | IO[Any]


class LeftOpen:
    """Knows the outermost layers of the open files, while somebody holds them."""

    def __init__(self) -> None:
        self._files: weakref.WeakSet[File] = weakref.WeakSet()
        self._lock = threading.Lock()

    def add(self, file: File) -> None:
        """Remember it."""
        with self._lock:
            self._files.add(file)

    def close(self) -> None:
        """Close each, and warn of those that were open for writing, as an interpreter's end does.

        All are tried; raises what the last failing one raised.
        """
        with self._lock:
            files = list(self._files)
        with contextlib.ExitStack() as closing:
            for file in files:
                if not file.closed:
                    closing.callback(_close, file)


def _close(file: File) -> None:
    is_written = file.writable()
    file.close()
    if is_written:
        warnings.warn(f"closed with its volume: {file!r}", ResourceWarning, stacklevel=2)
