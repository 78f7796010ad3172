"""Bandwidth and parallel requests held to their limits."""

import threading

import pytest

from roost.blob.limits import LimitedStore, Limits, Rate
from roost.blob.memory import MemoryStore
from roost.blob.store import BlobStore
from roost.testing.blob_suite import BlobStoreSuite
from tests.blob.test_retrying import HurriedClock


class TestLimited(BlobStoreSuite):
    @pytest.fixture
    def store(self) -> BlobStore:
        return LimitedStore(MemoryStore(), Limits(1000, 1000))


def test_a_megabit_a_second_is_125000_bytes_a_second() -> None:
    clock = HurriedClock()
    store = LimitedStore(MemoryStore(), Limits(upload_mbps=1, download_mbps=2, clock=clock))
    began_s = clock.monotonic_s()
    for n in range(10):
        store.put(f"k{n}", bytes(125_000))
    assert clock.monotonic_s() - began_s == pytest.approx(10 - 0.1)
    began_s = clock.monotonic_s()
    for n in range(10):
        store.get(f"k{n}")
    assert clock.monotonic_s() - began_s == pytest.approx(5 - 0.1)


def test_a_pause_is_not_saved_up() -> None:
    clock = HurriedClock()
    rate = Rate(1000, clock)
    rate.take(1000)
    clock.advance(3600)
    began_s = clock.monotonic_s()
    rate.take(1000)
    rate.take(1000)
    assert clock.monotonic_s() - began_s == pytest.approx(2 - 0.1)


def test_no_limit_never_waits() -> None:
    clock = HurriedClock()
    store = LimitedStore(MemoryStore(), Limits(clock=clock))
    store.put("a", bytes(10_000_000))
    store.get("a")
    assert clock.waits == []


def test_no_more_requests_than_allowed_run_at_once() -> None:
    inner = _Crowd()
    store = LimitedStore(inner, Limits(requests_max=3))
    threads = [threading.Thread(target=store.put, args=(f"k{n}", b"x")) for n in range(12)]
    for thread in threads:
        thread.start()
    assert inner.full.wait(10), "three run at once"
    inner.go.set()
    for thread in threads:
        thread.join()
    assert inner.most == 3


class _Crowd(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self.guard = threading.Lock()
        self.full, self.go = threading.Event(), threading.Event()
        self.now = self.most = 0

    def put(self, key, data):  # type: ignore[no-untyped-def]
        with self.guard:
            self.now += 1
            self.most = max(self.most, self.now)
            if self.now == 3:
                self.full.set()
        self.go.wait(10)
        with self.guard:
            self.now -= 1
