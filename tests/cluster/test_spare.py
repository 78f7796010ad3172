"""Memory made ready for the next large record."""

import numpy as np
import pytest

from roost.cluster import spare
from roost.cluster.spare import WORTH_BYTES, SpareMemory


def test_memory_is_always_of_the_size_asked_and_never_given_twice() -> None:
    memory = SpareMemory()
    memory._touch(WORTH_BYTES)
    first, second = memory.take(WORTH_BYTES), memory.take(WORTH_BYTES)
    assert len(first) == len(second) == WORTH_BYTES
    assert not np.shares_memory(first, second)


@pytest.mark.parametrize("size_bytes", [10, WORTH_BYTES // 2, 3 * WORTH_BYTES])
def test_a_piece_that_does_not_fit_is_not_used(size_bytes: int) -> None:
    memory = SpareMemory()
    memory._touch(WORTH_BYTES)
    assert len(memory.take(size_bytes)) == size_bytes


def test_only_large_records_have_memory_made_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spare, "DELAY_S", 0.0)
    memory = SpareMemory()
    memory.prepare(WORTH_BYTES - 1)
    memory.prepare(spare.SPARE_BYTES_MAX + 1)
    assert memory._timer is None
    memory.prepare(WORTH_BYTES)
    assert memory._timer is not None
    memory._timer.join()
    assert memory._spare is not None
    memory.close()
    assert memory._spare is None
