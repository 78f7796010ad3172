"""The exercise finds stores that are wrong, and leaves nothing behind."""

from collections.abc import Callable

import pytest

from roost.blob.exercise import FAILED, PASSED, UNSUPPORTED, Load, check_store, measure_store
from roost.blob.memory import MemoryStore
from roost.blob.open import open_store
from roost.blob.place import Place
from roost.blob.store import BlobInfo, BlobStore
from roost.errors import Unsupported
from roost.testing.faulty_store import FaultyStore

LOAD = Load(block_bytes=1000, big_bytes=5000, small_bytes=10, small_count=7, threads=2)


def nobody(_done: int, _total: int) -> None:
    pass


def outcomes(store: BlobStore) -> dict[str, str]:
    return {found.name: found.outcome for found in check_store(store, nobody)}


def test_a_right_store_passes_and_is_left_clean() -> None:
    store = MemoryStore()
    store.put("mine", b"x")
    assert set(outcomes(store).values()) == {PASSED}
    assert [info.key for info in store.list()] == ["mine"]


class _ReturnsBuffers(MemoryStore):
    """As stores do whose libraries keep the bytes: what they return has no hash."""

    def get(self, key: str) -> bytearray:  # type: ignore[override]
        return bytearray(super().get(key))

    def get_range(self, key: str, offset: int, size_bytes: int) -> bytearray:  # type: ignore[override]
        return bytearray(super().get_range(key, offset, size_bytes))


def test_a_store_that_returns_buffers_passes_and_is_left_clean() -> None:
    store = _ReturnsBuffers()
    assert set(outcomes(store).values()) == {PASSED}
    assert list(store.list()) == []


def test_an_azure_server_passes_and_is_left_clean(
    azure_place: Place, azure_environment: dict[str, str]
) -> None:
    store = open_store(azure_place, environment=azure_environment)
    assert set(outcomes(store).values()) == {PASSED}
    assert list(store.list()) == []


class _CutsRanges(MemoryStore):
    def get_range(self, key: str, offset: int, size_bytes: int) -> bytes:
        return super().get_range(key, offset, size_bytes)[:1]


class _LosesPuts(MemoryStore):
    def put(self, key: str, data: object) -> None:
        if "list" not in key:
            super().put(key, data)  # type: ignore[arg-type]


class _Overwrites(MemoryStore):
    def put_if_absent(self, key: str, data: object) -> None:
        super().put(key, data)  # type: ignore[arg-type]


class _NeverDeletes(MemoryStore):
    def delete(self, key: str) -> None:
        pass


class _OldClock(MemoryStore):
    def head(self, key: str) -> BlobInfo:
        info = super().head(key)
        return BlobInfo(info.key, info.size_bytes, 0)


@pytest.mark.parametrize(
    ("make", "check"),
    [
        (_CutsRanges, "get ranges"),
        (_LosesPuts, "list in order"),
        (_Overwrites, "put only if absent (optional)"),
        (_NeverDeletes, "delete"),
        (_OldClock, "size and date"),
    ],
)
def test_a_wrong_store_is_found_out(make: Callable[[], BlobStore], check: str) -> None:
    found = outcomes(make())
    assert found.pop(check) == FAILED
    assert FAILED not in found.values()


def test_what_a_store_cannot_do_is_not_its_failure() -> None:
    store = FaultyStore(MemoryStore())
    store.fail("put_if_absent", error=Unsupported)
    assert outcomes(store)["put only if absent (optional)"] == UNSUPPORTED


def test_a_measurement_covers_every_verb_and_cleans_up() -> None:
    store = FaultyStore(MemoryStore())
    told: list[tuple[int, int]] = []
    paces = measure_store(store, LOAD, lambda done, total: told.append((done, total)))
    assert [pace.count for pace in paces] == [5, 5, 7, 7, 7, 10, 7]
    assert all(pace.per_s > 0 for pace in paces)
    assert sum(pace.mib_per_s > 0 for pace in paces) == 4
    assert told[-1] == (48, 48)
    assert list(store.list()) == []
