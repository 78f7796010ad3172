"""Masks over rows: a bounded cache, and the conjunction of masks.

A mask is a bool for each row; None stands for "every row", which saves both time and memory.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from roost.vector.expr import Filter
from roost.vector.index import Bitmap

Mask = npt.NDArray[np.bool_]
MASKS_MAX = 8
"""Masks remembered for one block of rows: a byte a row each, beside 4 bytes a dimension."""

K = TypeVar("K")
V = TypeVar("V")


class BoundedCache(Generic[K, V]):
    """Remembers the last few values computed.  Thread-safe; two threads may compute one value."""

    def __init__(self, entries_max: int) -> None:
        self._entries_max = entries_max
        self._lock = threading.Lock()
        self._entries: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K, compute: Callable[[], V]) -> V:
        """Return the value of `key`, computed outside the lock if it is not remembered."""
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
                return self._entries[key]
        value = compute()
        with self._lock:
            self._entries[key] = value
            while len(self._entries) > self._entries_max:
                self._entries.popitem(last=False)
        return value


@dataclass(frozen=True, slots=True)
class NamedFilter:
    """A compiled filter and the key under which its masks are remembered."""

    key: str
    compiled: Filter


def filter_key(text: str, params: Mapping[str, Any]) -> str:
    """Return a name for a filter with these template values; equal names mean equal filters."""
    return f"{text}\0{sorted(params.items())!r}" if params else text


def both(first: Mask | None, second: Mask | None) -> Mask | None:
    """Return the rows in both masks."""
    if first is None:
        return second
    if second is None:
        return first
    return first & second


def bitmap_of(mask: Mask | None) -> Bitmap | None:
    """Return the mask as indexes want it: a bit a row, least significant first."""
    return None if mask is None else np.packbits(mask, bitorder="little")


def rows_of(mask: Mask | None, rows: int) -> npt.NDArray[np.int64]:
    """Return the numbers of the rows in the mask, ascending; `rows` is how many there are."""
    return np.arange(rows) if mask is None else np.flatnonzero(mask)
