"""Writing a sealed segment: immutable files, made once, never changed."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from roost.vector.files import Files
from roost.vector.manifest import SegmentEntry
from roost.vector.schema import CollectionSchema


@dataclass(frozen=True, slots=True)
class SegmentAddress:
    """What names a new segment."""

    id: int
    partition_id: int
    folder: str
    """Where its files go, as in `Files`; empty or absent before."""


def write_segment(
    files: Files,
    address: SegmentAddress,
    schema: CollectionSchema,
    rows: pa.RecordBatch,
    row_ts: npt.NDArray[np.int64],
    deletes_complete_to: int = 0,
) -> SegmentEntry:
    """Store `rows` (at least one) durably as a sealed segment and return its manifest entry.

    `rows` has the columns of `columns.rows_schema(schema)`; `row_ts` (n,) int64.  Nothing names the
    files until a manifest does.  Raises as `Files.adopt`.
    """
    raise NotImplementedError
