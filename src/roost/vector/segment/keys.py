"""Finding rows by primary key, in bulk.

A key is found by its *number*: an integer key is its own number, a string's number is a 64-bit hash
(part of the stored format, see `string_numbers`).  A `KeyIndex` has the numbers of all rows sorted,
with the row of each.  Numbers of strings may collide, so whoever looks strings up compares them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_MULTIPLIER = 0x9E3779B97F4A7C15
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_STRINGS_AT_ONCE = 65_536
"""Bounds the memory of hashing: about 30 bytes for each byte of text."""


def key_numbers(keys: pa.Array) -> npt.NDArray[np.int64]:
    """Return one int64 for each key; equal keys have equal numbers.  `keys` has no nulls."""
    if pa.types.is_integer(keys.type):
        numbers: npt.NDArray[np.int64] = keys.to_numpy(zero_copy_only=False)
        return numbers.astype(np.int64, copy=False)
    if len(keys) <= _STRINGS_AT_ONCE:
        return string_numbers(keys)
    pieces = range(0, len(keys), _STRINGS_AT_ONCE)
    return np.concatenate([string_numbers(keys.slice(at, _STRINGS_AT_ONCE)) for at in pieces])


def string_numbers(keys: pa.Array) -> npt.NDArray[np.int64]:
    """Return the hash of each string's UTF-8 bytes b[0] … b[n-1].

    sum of (b[i] + 1) × 0x9E3779B97F4A7C15^i, plus n, modulo 2^64, then splitmix64's last steps;
    read as a signed number.
    """
    _, offset_buffer, data_buffer = keys.buffers()
    offsets = np.frombuffer(offset_buffer, dtype=np.int32)[keys.offset :][: len(keys) + 1]
    offsets = offsets.astype(np.int64)
    lengths = np.diff(offsets)
    total = int(offsets[-1] - offsets[0]) if len(keys) else 0
    sums = np.zeros(total + 1, dtype=np.uint64)
    starts = offsets - offsets[0] if len(keys) else offsets
    if total:
        text = np.frombuffer(data_buffer, dtype=np.uint8)[int(offsets[0]) : int(offsets[-1])]
        within = np.arange(total) - np.repeat(starts[:-1], lengths)
        powers = np.full(int(lengths.max()), _MULTIPLIER, dtype=np.uint64)
        powers[0] = 1
        np.multiply.accumulate(powers, out=powers)
        np.cumsum((text.astype(np.uint64) + np.uint64(1)) * powers[within], out=sums[1:])
    value = sums[starts[1:]] - sums[starts[:-1]] + lengths.astype(np.uint64)
    value = (value ^ (value >> np.uint64(30))) * _MIX_1
    value = (value ^ (value >> np.uint64(27))) * _MIX_2
    mixed: npt.NDArray[np.uint64] = value ^ (value >> np.uint64(31))
    return mixed.view(np.int64)


@dataclass(frozen=True, slots=True)
class KeyIndex:
    """The numbers of some rows' keys, ascending, and the row of each."""

    numbers: npt.NDArray[np.int64]
    rows: npt.NDArray[np.uint32]

    @staticmethod
    def of(numbers: npt.NDArray[np.int64]) -> "KeyIndex":
        """Return the index of rows 0 … n-1 with these numbers; equal ones keep their order."""
        order = np.argsort(numbers, kind="stable")
        return KeyIndex(numbers[order], order.astype(np.uint32))

    def find(
        self, wanted: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return (position in `wanted`, row) of every pair with equal numbers, by position."""
        if not len(self.numbers) or not len(wanted):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        low = np.searchsorted(self.numbers, wanted, side="left")
        high = np.searchsorted(self.numbers, wanted, side="right")
        counts = high - low
        positions = np.repeat(np.arange(len(wanted)), counts)
        # The j-th pair of a position is at low + j: a running number, less where its run began.
        within = np.arange(len(positions)) - np.repeat(np.cumsum(counts) - counts, counts)
        return positions, self.rows[low[positions] + within].astype(np.int64)


TakeKeys = Callable[[npt.NDArray[np.int64]], pa.Array]
"""Gives the primary keys of some rows."""


def taker(column: pa.Array) -> TakeKeys:
    """Return what takes keys from a column."""

    def take(rows: npt.NDArray[np.int64]) -> pa.Array:
        return column.take(pa.array(rows))

    return take


def find_keys(
    index: KeyIndex, keys: pa.Array, numbers: npt.NDArray[np.int64], take: TakeKeys
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return (position in `keys`, row) of every row that has the key, by position."""
    positions, rows = index.find(numbers)
    if not len(rows) or not pa.types.is_string(keys.type):
        return positions, rows
    same = same_keys(keys.take(pa.array(positions)), take(rows))
    return positions[same], rows[same]


def same_keys(left: pa.Array, right: pa.Array) -> npt.NDArray[np.bool_]:
    """Return where two arrays of keys are equal."""
    same: npt.NDArray[np.bool_] = pc.equal(left, right).to_numpy(zero_copy_only=False)
    return same
