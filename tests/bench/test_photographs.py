"""The demo's vectors are the known ones, or refused."""

from pathlib import Path

import numpy as np
import pytest

from roost.bench import photographs
from roost.errors import CorruptRecord


def store(folder: Path, vectors: np.ndarray) -> None:
    count = len(vectors)
    np.savez(
        folder / "dense-sift-100000.npz",
        vectors=vectors,
        pictures=np.zeros(count, np.uint8),
        places=np.zeros((count, 3), np.float32),
    )


def test_other_vectors_than_the_known_ones_are_refused(tmp_path: Path) -> None:
    store(tmp_path, np.zeros((110_000, photographs.DIM), np.uint8))
    with pytest.raises(CorruptRecord, match="not the demo's vectors"):
        photographs.load(100_000, tmp_path)


def test_an_array_rounded_differently_is_accepted_and_said_to_be_so(tmp_path: Path) -> None:
    fill = np.full((110_000, photographs.DIM), 30, np.uint8)
    fill[:, :23] += 1  # mean 30.18, as the known array's
    store(tmp_path, fill)
    assert not photographs.load(100_000, tmp_path).exact
