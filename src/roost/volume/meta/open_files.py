"""Which files this process has open, so that removing their last name keeps their data.

The question "is it open?" is asked by a rule before its commit, and the answer must stay true until
the commit is done.  So a removal claims the inode: an `opened` of a claimed inode waits until the
removal has settled, and then finds the node gone or kept.

An inode whose number may be another file's by now is stale until all who had it open closed it:
nobody may write to another's file through what was opened before.

Invariant: an inode is in `_claimed` only while a `removal()` block of some thread is open.
One lock (inside the condition); nothing else is called under it.
"""

import errno
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from roost.volume.errors import FsError
from roost.volume.model import Ino


class Removal:
    """The claims of one operation that may remove a last name; made by OpenFiles.removal."""

    def __init__(self, files: "OpenFiles") -> None:
        self._files = files
        self.claims: set[Ino] = set()

    def is_open(self, ino: Ino) -> bool:
        """True if the file is open here; the answer stays true until the block ends.

        A file not open now cannot be opened before; one open now may be closed meanwhile, which
        `OpenFiles.is_open` tells after the commit.
        """
        return self._files.claim(self, ino)


class OpenFiles:
    """Counts of opens by inode, and the files kept alive for them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._opens: Counter[Ino] = Counter()
        self._claimed: Counter[Ino] = Counter()
        self._kept: set[Ino] = set()
        self._nameable: set[Ino] = set()  # made without a name, so `link` may give one
        self._stale: set[Ino] = set()  # open, and perhaps another file's number by now

    def opened(self, ino: Ino) -> None:
        """Count one open; waits for a removal in flight.  Raises as demand_held."""
        with self._changed:
            self.demand_held(ino)
            while self._claimed[ino]:
                self._changed.wait()
            self._opens[ino] += 1

    def opened_nameless(self, ino: Ino) -> None:
        """Count the first open of a new file that nothing but it keeps."""
        with self._changed:
            self._opens[ino] += 1
            self._kept.add(ino)
            self._nameable.add(ino)

    def doubt(self, start: int, end: int) -> None:
        """Make stale what is open of the inodes `start` to `end`."""
        with self._changed:
            self._stale.update(ino for ino in self._opens if start <= ino < end)

    def demand_held(self, ino: Ino) -> None:
        """Raise FsError ESTALE if the inode is stale."""
        if ino in self._stale:
            raise FsError(errno.ESTALE, ino)

    def is_nameable(self, ino: Ino) -> bool:
        """True for a file made without a name that is still open here."""
        with self._changed:
            return ino in self._nameable

    def named(self, ino: Ino) -> None:
        """Note that such a file has been given a name: without it, it cannot get another."""
        with self._changed:
            self._nameable.discard(ino)

    def closed(self, ino: Ino) -> bool:
        """Undo one open; True if it was the last of a file that is kept without a name.

        A stale one is kept by nobody: it may have become another's.
        """
        with self._changed:
            assert self._opens[ino] > 0, "closed more often than opened"
            self._opens[ino] -= 1
            if self._opens[ino]:
                return False
            del self._opens[ino]
            self._nameable.discard(ino)
            is_kept = ino in self._kept and ino not in self._stale
            self._kept.discard(ino)
            self._stale.discard(ino)
            return is_kept

    def keep(self, ino: Ino) -> bool:
        """Note that the nameless file is kept; False if it was closed meanwhile."""
        with self._changed:
            if not self._opens[ino]:
                return False
            self._kept.add(ino)
            return True

    def claim(self, removal: Removal, ino: Ino) -> bool:
        """Answer Removal.is_open."""
        with self._changed:
            if self._opens[ino]:
                return True
            if ino not in removal.claims:
                removal.claims.add(ino)
                self._claimed[ino] += 1
            return False

    @contextmanager
    def removal(self) -> Iterator[Removal]:
        """Give the claims of one operation; they end with the block."""
        removal = Removal(self)
        try:
            yield removal
        finally:
            with self._changed:
                for ino in removal.claims:
                    self._claimed[ino] -= 1
                    if not self._claimed[ino]:
                        del self._claimed[ino]
                self._changed.notify_all()
