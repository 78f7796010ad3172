"""Exact search by scanning: the reference for all indexes, and the answer when few rows survive."""

import numpy as np
import numpy.typing as npt

from roost.vector.index.searcher import Bitmap, Hits
from roost.vector.index.spec import Metric, SearchOptions


class ExactSearcher:
    """A `Searcher` that reads every allowed row of `vectors` ((n, dim) float32, may be mapped)."""

    def __init__(self, vectors: npt.NDArray[np.float32], metric: Metric | str) -> None:
        raise NotImplementedError

    @property
    def rows(self) -> int:
        """As in Searcher."""
        raise NotImplementedError

    def search(
        self,
        queries: npt.NDArray[np.float32],
        k: int,
        options: SearchOptions | None = None,
        allowed: Bitmap | None = None,
    ) -> Hits:
        """As in Searcher."""
        raise NotImplementedError


def search(
    vectors: npt.NDArray[np.float32],
    queries: npt.NDArray[np.float32],
    k: int,
    metric: Metric | str,
    allowed: Bitmap | None = None,
    options: SearchOptions | None = None,
) -> Hits:
    """Return what `ExactSearcher(vectors, metric).search` does, for one call."""
    raise NotImplementedError
