"""Vectors that look like real ones: clusters of different sizes and spreads."""

import numpy as np
import numpy.typing as npt
import pytest

ROWS, QUERIES, DIM = 6000, 100, 32


def clustered(rows: int, dim: int, seed: int) -> npt.NDArray[np.float32]:
    """Return rows around forty centres."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(7).normal(size=(40, dim)) * 3
    spread = random.uniform(0.3, 1.5, size=(rows, 1))
    rows_of = centres[random.integers(0, 40, rows)]
    around: npt.NDArray[np.float32] = (rows_of + random.normal(size=(rows, dim)) * spread).astype(
        np.float32
    )
    return around


@pytest.fixture(scope="session")
def vectors() -> npt.NDArray[np.float32]:
    """The rows of a segment."""
    return clustered(ROWS, DIM, 1)


@pytest.fixture(scope="session")
def queries() -> npt.NDArray[np.float32]:
    """Questions from the same clusters."""
    return clustered(QUERIES, DIM, 2)
