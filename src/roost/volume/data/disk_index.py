"""Which blocks a cache folder holds, how large they are and when they were used.

Another process may share the folder, so this is a good guess: a file that is gone is a miss, one
that is not listed is found anyway.

The folder is listed in steps while blocks come and go: `look`, look at some files, `add_found`.
What came since the look is known better, and what went is not there any more.

Invariants: `_bytes` is the sum of the sizes in `_items`; `_names` are its keys, each at the place
that its item says; `_struck` are the names struck off since the look, if a step is under way.
Not thread safe: the cache's lock guards it.
"""

import random
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from roost.volume.data.settings import Eviction


@dataclass(slots=True)
class _Item:
    size_bytes: int
    used_s: float
    place: int


class DiskIndex:
    """Names with sizes and times of use, and who goes first."""

    def __init__(self, eviction: Eviction, seed: int | None = None) -> None:
        self._eviction = eviction
        self._random = random.Random(seed)
        self._items: OrderedDict[str, _Item] = OrderedDict()  # least recently used first
        self._names: list[str] = []
        self._bytes = 0
        self._struck: set[str] | None = None

    def __len__(self) -> int:
        return len(self._items)

    @property
    def size_bytes(self) -> int:
        """Bytes of all listed."""
        return self._bytes

    def add(self, name: str, size_bytes: int, used_s: float) -> None:
        """List a file, or list it anew."""
        self.remove(name)
        self._items[name] = _Item(size_bytes, used_s, len(self._names))
        self._names.append(name)
        self._bytes += size_bytes

    def look(self) -> None:
        """Begin a step of listing the folder: what is struck off from now on is remembered."""
        self._struck = set()

    def add_found(self, files: Iterable[tuple[str, int, float]]) -> None:
        """List the files (name, bytes, time of use) that were seen since `look`.

        They count as used before all that is listed.  If all was struck off since, none is added.
        """
        struck, self._struck = self._struck, None
        if struck is None:
            return
        for name, size_bytes, used_s in files:
            if name not in self._items and name not in struck:
                self.add(name, size_bytes, used_s)
                self._items.move_to_end(name, last=False)

    def listing(self, name: str) -> object | None:
        """Return what tells this listing of a file from a later one; None if it is not listed."""
        return self._items.get(name)

    def used(self, name: str, now_s: float) -> None:
        """Note that a file was used."""
        item = self._items.get(name)
        if item is not None:
            item.used_s = now_s
            self._items.move_to_end(name)

    def remove(self, name: str) -> bool:
        """Strike a file off; False if it was not listed."""
        if self._struck is not None:
            self._struck.add(name)
        item = self._items.pop(name, None)
        if item is None:
            return False
        last = self._names.pop()
        if last != name:
            self._names[item.place] = last
            self._items[last].place = item.place
        self._bytes -= item.size_bytes
        return True

    def victim(self) -> str | None:
        """Return who should go next; None if nobody may."""
        if not self._names or self._eviction == "none":
            return None
        if self._eviction == "lru":
            return next(iter(self._items))
        pair = (self._random.choice(self._names), self._random.choice(self._names))
        return min(pair, key=lambda name: self._items[name].used_s)

    def unused_since(self, before_s: float) -> list[str]:
        """Return the files last used before that."""
        return [name for name, item in self._items.items() if item.used_s < before_s]

    def clear(self) -> None:
        """Strike all off."""
        self._items.clear()
        self._names.clear()
        self._bytes = 0
        self._struck = None
