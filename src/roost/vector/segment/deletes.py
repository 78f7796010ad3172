"""Deletes: remembered from the log by key, resolved to rows, and stored as files of a segment.

A delete at `delete_ts` hides a row if row_ts < delete_ts <= read_ts (hazard H7).  Rows that an
upsert adds have its own timestamp and are not hidden by it.
"""

import threading
import uuid
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from roost.errors import CorruptRecord
from roost.vector.files import Files
from roost.vector.segment.arrays import GrowingNumbers
from roost.vector.segment.blocks import Block, Blocks, take_rows
from roost.vector.segment.keys import KeyIndex, TakeKeys, key_numbers, same_keys
from roost.vector.segment.layout import Container, write_container

Int64s = npt.NDArray[np.int64]
RowDeletes = tuple[Int64s, Int64s]
"""(row numbers, delete_ts), in the order of delete_ts."""
ALL_PARTITIONS = 0
_KEY = "key"
_KIND = "deletes"


def no_deletes() -> RowDeletes:
    """Return none."""
    return np.empty(0, np.int64), np.empty(0, np.int64)


def write_deletes(files: Files, path: str, offsets: Int64s, delete_ts: Int64s) -> int:
    """Store a delete file durably and return its bytes.

    `offsets` (row numbers in the segment) and `delete_ts` are (n,) int64.
    """
    assert len(offsets) == len(delete_ts)
    local = files.scratch() / uuid.uuid4().hex
    sections = [
        ("offsets", np.ascontiguousarray(offsets, dtype="<i8")),
        ("timestamps", np.ascontiguousarray(delete_ts, dtype="<i8")),
    ]
    write_container(local, _KIND, {"count": len(offsets)}, sections)
    return files.adopt(local, path)


def read_deletes(files: Files, path: str) -> RowDeletes:
    """Undo `write_deletes`.  Raises NotFound, CorruptRecord, NewerFormat."""
    container = Container(files.open_local(path), path, _KIND)
    offsets = container.section("offsets").view("<i8")
    delete_ts = container.section("timestamps").view("<i8")
    if not len(offsets) == len(delete_ts) == container.meta.get("count"):
        raise CorruptRecord(path, "offsets and timestamps differ in number")
    return offsets, delete_ts


@dataclass(frozen=True, slots=True)
class KeyDeletes:
    """Some deletes by key, in the order of the log."""

    numbers: Int64s
    """As `keys.key_numbers` gives them."""
    delete_ts: Int64s
    partition_ids: Int64s
    blocks: tuple[Block, ...]
    """The keys themselves; delete i is row `first` + i."""
    first: int

    @property
    def end(self) -> int:
        """The position in the log of deletes after the last of these."""
        return self.first + len(self.numbers)

    def resolve(
        self, index: KeyIndex, take: TakeKeys, row_ts: Int64s, partition_ids: Int64s | int
    ) -> RowDeletes:
        """Return the rows of `index` that these hide, and since when.

        `row_ts` has every row's timestamp, `partition_ids` every row's partition or the one of all.
        """
        positions, rows = index.find(self.numbers)
        if not len(rows):
            return no_deletes()
        hides = row_ts[rows] < self.delete_ts[positions]
        here = partition_ids if isinstance(partition_ids, int) else partition_ids[rows]
        told = self.partition_ids[positions]
        hides &= (told == ALL_PARTITIONS) | (told == here)
        positions, rows = positions[hides], rows[hides]
        if len(rows) and self.blocks:
            keys = take_rows(self.blocks, positions + self.first, [_KEY]).column(0)
            same = same_keys(keys, take(rows))
            positions, rows = positions[same], rows[same]
        return rows, self.delete_ts[positions]


class DeleteLog:
    """Deletes by primary key since some timestamp, in the order of the log.  Thread-safe.

    Invariant: every delete with a timestamp above `known_from` that was applied is here.
    """

    def __init__(self, known_from: int = 0) -> None:
        self._lock = threading.Lock()
        self._known_from = known_from
        self._numbers = GrowingNumbers()
        self._delete_ts = GrowingNumbers()
        self._partition_ids = GrowingNumbers()
        self._keys = Blocks(_KEY)

    @property
    def known_from(self) -> int:
        """Deletes up to this timestamp may have been forgotten."""
        with self._lock:
            return self._known_from

    @property
    def first(self) -> int:
        """The position of the first delete still remembered."""
        with self._lock:
            return self._numbers.first

    @property
    def end(self) -> int:
        """The position after the last delete."""
        with self._lock:
            return self._numbers.end

    def append(self, keys: pa.Array, delete_ts: int, partition_id: int) -> None:
        """Add a delete of `keys`; `partition_id` 0 is all partitions."""
        numbers = key_numbers(keys)
        with self._lock:
            self._numbers.append(numbers)
            self._delete_ts.append_repeated(delete_ts, len(keys))
            self._partition_ids.append_repeated(partition_id, len(keys))
            if pa.types.is_string(keys.type):  # integers are their own numbers
                self._keys.append(pa.RecordBatch.from_arrays([keys], names=[_KEY]))

    def position_after(self, timestamp: int) -> int:
        """Return the position of the first delete above `timestamp`."""
        with self._lock:
            after = np.searchsorted(self._delete_ts.view(), timestamp, side="right")
            return self._delete_ts.first + int(after)

    def since(self, position: int) -> KeyDeletes:
        """Return all deletes from a position on."""
        with self._lock:
            return KeyDeletes(
                self._numbers.view(position),
                self._delete_ts.view(position),
                self._partition_ids.view(position),
                self._keys.blocks(),
                position,
            )

    def forget(self, up_to_ts: int) -> None:
        """Forget deletes up to a timestamp; nothing may ask for them again."""
        position = self.position_after(up_to_ts)
        with self._lock:
            self._known_from = max(self._known_from, up_to_ts)
            for numbers in (self._numbers, self._delete_ts, self._partition_ids):
                numbers.drop(position)
            self._keys.drop(position)
