"""The fault wrapper itself."""

import pytest

from roost.blob.memory import MemoryStore
from roost.errors import StorageFull, Unavailable
from roost.testing.faulty_store import FaultyStore


def test_the_nth_call_fails_before_or_after_it_took_effect() -> None:
    store = FaultyStore(MemoryStore())
    store.fail("put", 2)
    store.put("a", b"x")
    with pytest.raises(Unavailable):
        store.put("b", b"x")
    assert [info.key for info in store.list()] == ["a"]
    store.fail("put", 1, after=True, error=StorageFull)
    with pytest.raises(StorageFull):
        store.put("c", b"x")
    assert [info.key for info in store.list()] == ["a", "c"]
    assert store.calls["put"] == 3
