"""Memory for large objects that is used again when nobody looks at it any more.

The first touch of new memory costs more than reading a cached file into it, and the system's
allocator gives pieces of this size back at once and takes new ones.  Blocks have one size, so the
memory of one that was dropped serves the next.

It is made of small pages.  numpy asks for huge ones, and before the first byte is read into such a
page the system clears all of it, in memory that nobody had for long.
"""

import contextlib
import io
import mmap
import os
import threading
import weakref

import numpy as np
import numpy.typing as npt
from typing_extensions import Buffer

from roost.sizes import KIB, MIB

WORTH_BYTES = 256 * KIB
"""Smaller pieces come from the allocator, which keeps them by itself."""
SPARE_BYTES_MAX = 32 * MIB
"""What is held while nobody uses it."""

Piece = npt.NDArray[np.uint8]


class RecycledMemory:
    """Pieces of memory, handed out and taken back.  Thread-safe; `_lock` guards the spare ones."""

    def __init__(self, spare_bytes_max: int = SPARE_BYTES_MAX) -> None:
        self._spare_bytes_max = spare_bytes_max
        # Taken by finalizers too, which may run in a thread that holds it.
        self._lock = threading.RLock()
        self._spare: list[Piece] = []
        self._spare_bytes = 0

    def begin_anew(self) -> None:
        """Forget the spare pieces and the lock: a forked child may find it held for ever."""
        self._lock = threading.RLock()
        self._spare = []
        self._spare_bytes = 0

    def take(self, size_bytes: int) -> memoryview:
        """Return that many bytes, of any content.

        They are the caller's, and those to whom it hands parts of the view, until the last is gone.
        Nobody may hold on to the view's `obj` alone: its slices do not count.
        """
        with self._lock:
            fitting = (at for at, piece in enumerate(self._spare) if len(piece) == size_bytes)
            at = next(fitting, None)
            whole = None if at is None else self._spare.pop(at)
            if whole is not None:
                self._spare_bytes -= size_bytes
        if whole is None:
            whole = _new(size_bytes)
        # Views of the memoryview keep `lent` alive; slices of an array would keep `whole` alone.
        lent = whole[:]
        weakref.finalize(lent, self._take_back, whole).atexit = False
        return lent.data

    def _take_back(self, whole: Piece) -> None:
        with self._lock:
            if len(whole) > self._spare_bytes_max:
                return
            # The newest stay: their size is what is read now.
            self._spare.append(whole)
            self._spare_bytes += len(whole)
            while self._spare_bytes > self._spare_bytes_max:
                self._spare_bytes -= len(self._spare.pop(0))


def _new(size_bytes: int) -> Piece:
    area = mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(AttributeError, OSError):  # not everywhere are there huge pages
        area.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(area, np.uint8)


def read_all(file: io.FileIO, memory: RecycledMemory) -> Buffer:
    """Return the whole content of a file that nobody changes, in memory that never changes."""
    size_bytes = os.fstat(file.fileno()).st_size
    if size_bytes < WORTH_BYTES:
        return file.readall()
    view = memory.take(size_bytes)
    done = 0
    while done < size_bytes and (count := file.readinto(view[done:])):
        done += count
    return view[:done].toreadonly()
