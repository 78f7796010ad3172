"""Databases for tests of the engines, where fsync costs nothing."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

MEMORY_FOLDER = "/dev/shm" if Path("/dev/shm").is_dir() else None


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=MEMORY_FOLDER) as made:
        yield Path(made)
