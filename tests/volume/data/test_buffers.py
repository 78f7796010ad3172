"""Back-pressure by memory."""

import threading

import pytest

from roost.errors import TimedOut
from roost.volume.data import buffers as module
from roost.volume.data.buffers import SMALL_BYTES, WriteBuffers

BLOCK = 1 << 20


def test_memory_is_counted_and_used_again() -> None:
    buffers = WriteBuffers(4 * BLOCK, BLOCK)
    small, large = buffers.take(10), buffers.take(SMALL_BYTES + 1)
    assert (len(small), len(large)) == (SMALL_BYTES, BLOCK)
    assert buffers.used_bytes == SMALL_BYTES + BLOCK
    buffers.give_back(small)
    buffers.give_back(large)
    assert buffers.used_bytes == 0
    assert buffers.take(BLOCK) is large


def test_writers_slow_down_at_the_limit_and_stop_at_twice_the_limit() -> None:
    buffers = WriteBuffers(2 * BLOCK, BLOCK)
    taken = [buffers.take(BLOCK) for _ in range(4)]
    more: list[bytearray] = []
    writer = threading.Thread(target=lambda: more.append(buffers.take(BLOCK)))
    writer.start()
    writer.join(0.1)
    assert writer.is_alive()
    assert buffers.used_bytes == 4 * BLOCK
    buffers.give_back(taken.pop())
    writer.join(30)
    assert len(more) == 1


def test_a_store_that_takes_nothing_for_long_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAIT_MAX_S", 0.01)
    buffers = WriteBuffers(BLOCK, BLOCK)
    for _ in range(2):
        buffers.take(BLOCK)
    with pytest.raises(TimedOut) as waited:
        buffers.take(BLOCK)
    assert waited.value.hint
