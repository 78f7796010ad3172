"""What the writer takes out of a collection to seal it, and out of segments to rewrite them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from roost.vector.segment.deletes import RowDeletes
from roost.vector.segment.growing import GrowingView
from roost.vector.segment.sealed import SealedSegment


@dataclass(frozen=True, slots=True)
class GrowingStatistics:
    """Rows not yet in any sealed segment of the newest version."""

    rows: int
    size_bytes: int
    oldest_ts: int
    """Of the oldest such row; 0 if there is none."""


@dataclass(frozen=True, slots=True)
class CutRows:
    """Growing rows of one partition, to become one or more segments, with their deletes."""

    partition_id: int
    rows: pa.RecordBatch
    """Whole rows, in the order they were written; deleted ones too, so that reads at an instant
    before their delete still find them."""
    row_ts: npt.NDArray[np.int64]
    delete_offsets: npt.NDArray[np.int64]
    """Row numbers within `rows` that are deleted up to the cut …"""
    delete_ts: npt.NDArray[np.int64]
    """… and when; for `deletes.write_deletes`."""


@dataclass(frozen=True, slots=True)
class LiveRows:
    """The rows of a sealed segment that live at an instant."""

    rows: pa.RecordBatch
    row_ts: npt.NDArray[np.int64]


def cut(
    view: GrowingView, after_ts: int, up_to_ts: int, left_out: Collection[int]
) -> list[CutRows]:
    """Return the rows in (`after_ts`, `up_to_ts`] by partition, without those `left_out`."""
    start, end = view.span(after_ts, up_to_ts)
    of_rows = view.partition_ids[start - view.first : end - view.first]
    deletes = within(view.deleted, 0, up_to_ts)
    columns = [field.name for field in view.schema.fields]
    found = []
    for partition_id in np.unique(of_rows).tolist():
        if partition_id not in left_out:
            rows = np.flatnonzero(of_rows == partition_id) + start
            offsets, delete_ts = _renumbered(deletes, rows)
            taken = view.take(rows, columns)
            found.append(
                CutRows(partition_id, taken, view.timestamps(rows).copy(), offsets, delete_ts)
            )
    return found


def within(deletes: RowDeletes, after_ts: int, up_to_ts: int) -> RowDeletes:
    """Return the deletes in (`after_ts`, `up_to_ts`]."""
    rows, delete_ts = deletes
    start, end = np.searchsorted(delete_ts, (after_ts, up_to_ts), side="right")
    return rows[start:end], delete_ts[start:end]


def live_rows(segment: SealedSegment, at_ts: int, columns: Sequence[str]) -> LiveRows:
    """Return the rows of a segment that live at `at_ts`."""
    rows = segment.allowed(at_ts).rows
    return LiveRows(segment.take(rows, columns), segment.row_ts[rows])


def _renumbered(deletes: RowDeletes, rows: npt.NDArray[np.int64]) -> RowDeletes:
    """Return the deletes of some rows (ascending), which become rows 0, 1, 2 …"""
    numbers, delete_ts = deletes
    at = np.searchsorted(rows, numbers)
    here = at < len(rows)
    here[here] = rows[at[here]] == numbers[here]
    return at[here], delete_ts[here]
