"""What can be asked of the vectors of one segment, whatever index is behind."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from roost.vector.index.spec import SearchOptions

Bitmap = npt.NDArray[np.uint8]
"""One bit a row, least significant first (`np.packbits(mask, bitorder="little")`)."""
Hits = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]
"""(nq, k) scores and row offsets, best first; offset -1 where there are no more hits."""


class Searcher(Protocol):
    """Answers searches; immutable, any number of threads may share it."""

    @property
    def rows(self) -> int:
        """Rows that are searched."""
        ...

    def search(
        self,
        queries: npt.NDArray[np.float32],
        k: int,
        options: SearchOptions | None = None,
        allowed: Bitmap | None = None,
    ) -> Hits:
        """Return the `k` nearest of the allowed rows for each query, or all if they are fewer.

        `queries` is (nq, dim) float32, C order.  Scores are Milvus's: squared distance for L2,
        similarity for IP and COSINE.  With `options.radius`, only rows within the range.
        """
        ...
