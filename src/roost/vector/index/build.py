"""Index files: built once, opened by mapping."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from roost.vector.api import IndexSpec
from roost.vector.index.searcher import Searcher


def build_file(
    spec: IndexSpec, vectors: npt.NDArray[np.float32], out: Path, *, threads: int = 1
) -> None:
    """Build the index of `vectors` ((n, dim) float32) and store it as `out`, whole or not at all.

    Only for plans with `needs_file`.
    """
    raise NotImplementedError


def open_file(
    path: Path, spec: IndexSpec, vectors: npt.NDArray[np.float32], *, verify: bool = True
) -> Searcher:
    """Map an index file of `vectors`, the segment's own rows, which exact answers are read from.

    `verify` reads the file once and checks its checksum (and so warms the page cache).
    Raises CorruptRecord, NewerFormat.
    """
    raise NotImplementedError
