"""Volumes and file systems for the tests of the Python access."""

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from roost.testing.volumes import TestVolume
from roost.volume import Volume
from roost.volume.access.filesystem import RoostFileSystem


@pytest.fixture
def v(volume: TestVolume) -> Iterator[Volume]:
    """A volume, checked at the end of the test."""
    made = Volume.over(volume.open())
    yield made
    made.close()


@pytest.fixture
def fs(volume: TestVolume, tmp_path: Path) -> Iterator[RoostFileSystem]:
    """The volume as an fsspec file system."""
    made = fsspec.filesystem(
        "roost",
        meta=volume.meta_url,
        cache_dir=str(tmp_path / "cache"),
        skip_instance_cache=True,
    )
    yield made
    made.close()
