"""Rows in memory that only grow: Arrow batches, gathered into blocks of growing size.

Small batches wait until somebody looks, then become one block; neighbouring blocks of like size are
joined, up to a limit, so that n rows lie in O(log n) small blocks and n / BLOCK_ROWS_MAX large ones
whatever the batches were.  A block never changes; what is computed from it is kept beside it.
One thread at a time calls `append`, `blocks` or `drop`; the owner guards that.
"""

import threading
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from roost.sizes import MIB
from roost.vector.columns import decode_rows, encode_rows
from roost.vector.segment.keys import KeyIndex, key_numbers
from roost.vector.segment.masks import MASKS_MAX, BoundedCache, Mask, NamedFilter

BLOCK_ROWS_MAX = 32_768
BLOCK_BYTES_MAX = 64 * MIB
_WAITING_MAX = 256
"""Batches that wait to become a block."""


class Block:
    """Rows `first` … `end` - 1.  Immutable but for caches; thread-safe."""

    def __init__(self, first: int, rows: pa.RecordBatch, primary: str) -> None:
        self.first = first
        self.end = first + rows.num_rows
        self.rows = rows
        self._primary = primary
        self._lock = threading.Lock()
        self._keys: KeyIndex | None = None
        self._masks: BoundedCache[str, Mask] = BoundedCache(MASKS_MAX)

    def keys(self) -> KeyIndex:
        """Return the rows (0 is `first`) by primary key; sorted at the first call."""
        with self._lock:
            if self._keys is None:
                self._keys = KeyIndex.of(key_numbers(self.rows.column(self._primary)))
            return self._keys

    def mask(self, named: NamedFilter) -> Mask:
        """Return which rows the filter allows."""
        return self._masks.get(named.key, lambda: named.compiled.mask(self.rows))


class Blocks:
    """A growing sequence of rows with the primary key and other columns."""

    def __init__(self, primary: str) -> None:
        self._primary = primary
        self._blocks: list[Block] = []
        self._waiting: list[pa.RecordBatch] = []
        self._end = 0

    def append(self, rows: pa.RecordBatch) -> None:
        """Add rows at the end."""
        self._waiting.append(rows)
        if len(self._waiting) >= _WAITING_MAX:
            self._gather()

    def blocks(self) -> tuple[Block, ...]:
        """Return all rows held, in order; blocks are adjacent."""
        self._gather()
        return tuple(self._blocks)

    def drop(self, before: int) -> None:
        """Forget blocks that have only rows before that one."""
        self._gather()
        self._blocks = [block for block in self._blocks if block.end > before]

    def _gather(self) -> None:
        if not self._waiting:
            return
        # Even a single batch is copied: it would keep alive the log payload, vectors and all.
        one = len(self._waiting) == 1
        rows = decode_rows(encode_rows(self._waiting[0])) if one else joined(self._waiting)
        self._waiting = []
        self._blocks.append(Block(self._end, rows, self._primary))
        self._end += rows.num_rows
        while len(self._blocks) >= 2 and self._joinable(*self._blocks[-2:]):
            second, first = self._blocks.pop(), self._blocks.pop()
            rows = joined([first.rows, second.rows])
            self._blocks.append(Block(first.first, rows, self._primary))

    @staticmethod
    def _joinable(first: Block, second: Block) -> bool:
        small = second.end - first.first <= BLOCK_ROWS_MAX
        like = first.rows.num_rows < 2 * second.rows.num_rows
        size_bytes: int = first.rows.nbytes + second.rows.nbytes
        return small and like and size_bytes <= BLOCK_BYTES_MAX


def joined(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """Return at least one batch of the same columns as a single new one."""
    table = pa.Table.from_batches(batches).combine_chunks()
    return pa.RecordBatch.from_arrays(
        [_one_chunk(column) for column in table.columns], schema=table.schema
    )


def take_rows(
    blocks: Sequence[Block], rows: npt.NDArray[np.int64], columns: Sequence[str]
) -> pa.RecordBatch:
    """Return the columns of some rows, in the order of `rows`, all of which are held."""
    assert blocks
    firsts = np.array([block.first for block in blocks])
    groups = grouped(np.searchsorted(firsts, rows, side="right") - 1)
    if not groups:
        return blocks[0].rows.select(columns).slice(0, 0)
    pieces = []
    for number, here in groups:
        local = pa.array(rows[here] - blocks[number].first)
        pieces.append(blocks[number].rows.select(columns).take(local))
    return restored(pieces, [here for _, here in groups])


def grouped(which: npt.NDArray[np.int64]) -> list[tuple[int, npt.NDArray[np.int64]]]:
    """Return (value, its positions, ascending) for every value of `which`, ascending."""
    if not len(which):
        return []
    order = np.arange(len(which))
    if not bool(np.all(which[1:] >= which[:-1])):
        order = np.argsort(which, kind="stable")
        which = which[order]
    starts = np.flatnonzero(np.diff(which, prepend=-1))
    return list(zip(which[starts].tolist(), np.split(order, starts[1:]), strict=True))


def restored(
    pieces: Sequence[pa.RecordBatch], positions: Sequence[npt.NDArray[np.int64]]
) -> pa.RecordBatch:
    """Return row j of `pieces[i]` as row `positions[i][j]`; the positions are a permutation."""
    rows = pieces[0] if len(pieces) == 1 else joined(pieces)
    together = np.concatenate(positions)
    if bool(np.all(together[1:] > together[:-1])):
        return rows
    return rows.take(pa.array(np.argsort(together, kind="stable")))


def empty_rows(schema: pa.Schema) -> pa.RecordBatch:
    """Return no rows, with these columns."""
    return pa.RecordBatch.from_arrays([pa.array([], f.type) for f in schema], schema=schema)


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
