"""Every volume test ends with a check of the volume and without an unexpected warning."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from roost.testing.volumes import TestVolume, make_test_volume, no_warnings


@pytest.fixture
def expected_warnings() -> list[str]:
    """A test that provokes a warning adds part of its text."""
    return []


@pytest.fixture(autouse=True)
def _no_unexpected_warning(expected_warnings: list[str]) -> Iterator[None]:
    with no_warnings(expected_warnings):
        yield


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[TestVolume]:
    """A volume on SQLite and a directory, with blocks of 64 KiB and without trash."""
    made = make_test_volume(tmp_path)
    yield made
    made.finish()
