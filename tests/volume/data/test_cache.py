"""The memory cache: bounded, and one fetch for all who wait."""

import threading
from collections.abc import Iterator

import pytest

from roost.blob.memory import MemoryStore
from roost.errors import Unavailable
from roost.testing.faulty_store import FaultyStore
from roost.volume.data.blocks import BlockRef, Blocks
from roost.volume.data.cache import BlockCache
from roost.volume.data.compress import compression_named
from roost.volume.data.pool import BoundedPool
from roost.volume.model import SliceId

SIZE = 1000


@pytest.fixture
def pool() -> Iterator[BoundedPool]:
    made = BoundedPool("test-download", 4, 4)
    yield made
    made.close()


@pytest.fixture
def store() -> FaultyStore:
    made = FaultyStore(MemoryStore())
    blocks = Blocks(made, compression_named("none"), 1 << 16)
    for n in range(1, 11):
        blocks.put(ref(n), bytes([n]) * SIZE)
    return made


def ref(n: int) -> BlockRef:
    return BlockRef(SliceId(n), 0, SIZE)


def cache_over(store: FaultyStore, pool: BoundedPool, blocks_max: int = 100) -> BlockCache:
    blocks = Blocks(store, compression_named("none"), 1 << 16)
    return BlockCache(blocks.get, pool, bytes_max=blocks_max * SIZE)


def test_a_block_is_fetched_once(store: FaultyStore, pool: BoundedPool) -> None:
    cache = cache_over(store, pool)
    for _ in range(3):
        assert cache.get(ref(1)) == b"\1" * SIZE
    assert store.calls["get"] == 1


def test_the_least_recently_used_go_first_and_the_limit_holds(
    store: FaultyStore, pool: BoundedPool
) -> None:
    cache = cache_over(store, pool, blocks_max=3)
    for n in (1, 2, 3, 1, 4):
        cache.get(ref(n))
        assert cache.size_bytes <= 3 * SIZE
    assert [n for n in range(1, 5) if cache.peek(ref(n)) is not None] == [1, 3, 4]


def test_all_who_wait_share_one_fetch(store: FaultyStore, pool: BoundedPool) -> None:
    cache = cache_over(store, pool)
    inside, go_on = threading.Event(), threading.Event()

    def hold(_verb: str, _key: str) -> None:
        inside.set()
        assert go_on.wait(10)

    store.before_call = hold
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(cache.get(ref(1)))) for _ in range(6)]
    for thread in threads:
        thread.start()
    assert inside.wait(10)
    go_on.set()
    for thread in threads:
        thread.join()
    assert found == [b"\1" * SIZE] * 6
    assert store.calls["get"] == 1


def test_a_failed_fetch_is_told_and_not_remembered(store: FaultyStore, pool: BoundedPool) -> None:
    cache = cache_over(store, pool)
    store.fail("get")
    with pytest.raises(Unavailable):
        cache.get(ref(1))
    assert cache.get(ref(1)) == b"\1" * SIZE


def test_a_prefetched_block_is_at_hand(store: FaultyStore, pool: BoundedPool) -> None:
    cache = cache_over(store, pool)
    cache.start(ref(1))
    cache.start(ref(1))
    pool.close()
    assert cache.peek(ref(1)) == b"\1" * SIZE
    assert store.calls["get"] == 1


def test_a_failed_prefetch_harms_nobody(store: FaultyStore, pool: BoundedPool) -> None:
    cache = cache_over(store, pool)
    store.fail("get")
    cache.start(ref(1))
    pool.close()
    assert cache.peek(ref(1)) is None
    assert cache.get(ref(1)) == b"\1" * SIZE


def test_a_prefetch_without_a_place_is_skipped(store: FaultyStore) -> None:
    pool = BoundedPool("test-narrow", 1, 0)
    cache = cache_over(store, pool)
    go_on = threading.Event()
    busy = pool.submit(lambda: go_on.wait(10))
    assert cache.start(ref(1)) is None
    assert cache.get(ref(1)) == b"\1" * SIZE
    go_on.set()
    assert busy.result()
    pool.close()


def test_a_block_larger_than_the_cache_is_handed_on_and_not_kept(
    store: FaultyStore, pool: BoundedPool
) -> None:
    cache = cache_over(store, pool, blocks_max=0)
    assert cache.get(ref(1)) == b"\1" * SIZE
    assert cache.size_bytes == 0


def test_a_closed_pool_leaves_nobody_waiting(store: FaultyStore) -> None:
    closed = BoundedPool("test-closed", 1, 1)
    closed.close()
    cache = cache_over(store, closed)
    assert cache.start(ref(1)) is None
    assert cache.get(ref(1)) == bytes([1]) * SIZE


def test_a_fetch_under_way_is_not_kept_once_all_was_forgotten(
    store: FaultyStore, pool: BoundedPool
) -> None:
    cache = cache_over(store, pool)
    inside, go_on = threading.Event(), threading.Event()

    def hold(_verb: str, _key: str) -> None:
        inside.set()
        assert go_on.wait(10)

    store.before_call = hold
    first = cache.start(ref(1))
    assert first is not None
    assert inside.wait(10)
    cache.forget()
    store.before_call = lambda _verb, _key: None
    assert cache.get(ref(1)) == b"\1" * SIZE, "it does not wait for what was forgotten"
    cache.forget()
    go_on.set()
    assert first.result(10) == b"\1" * SIZE
    assert cache.peek(ref(1)) is None
    assert cache.size_bytes == 0
