"""Index builds outside the serving process."""

from concurrent.futures import Future
from pathlib import Path

from roost.vector.api import IndexSpec


class IndexBuilder:
    """A bounded set of worker processes at low priority that build index files.

    A killed worker fails its own build only; the next one gets a fresh process.  Workers end with
    this process, however it ends.
    """

    def __init__(self, workers: int = 1, threads_per_worker: int | None = None) -> None:
        raise NotImplementedError

    def submit(
        self, spec: IndexSpec, vectors_path: Path, rows: int, dim: int, out: Path
    ) -> Future[Path]:
        """Build the index of the raw float32 rows in `vectors_path` into `out`.

        The file begins with row 0: `rows` × `dim` little-endian float32.  The future gives `out`,
        or raises Failure if the worker died, or what building raised.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Fail what has not begun, end the workers, and wait for them."""
        raise NotImplementedError
