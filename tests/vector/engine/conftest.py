"""An engine in a temporary folder for every test that asks for one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from roost.testing.engine_house import House


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.close()
