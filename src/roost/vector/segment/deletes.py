"""Deletes of a sealed segment: files of (offset, timestamp) pairs, and the ones in memory."""

import numpy as np
import numpy.typing as npt

from roost.vector.files import Files


def write_deletes(
    files: Files, path: str, offsets: npt.NDArray[np.int64], delete_ts: npt.NDArray[np.int64]
) -> int:
    """Store a delete file durably and return its bytes.  `offsets` and `delete_ts` are (n,) int64."""
    raise NotImplementedError


def read_deletes(files: Files, path: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Undo `write_deletes`: (offsets, delete_ts).  Raises NotFound, CorruptRecord, NewerFormat."""
    raise NotImplementedError
