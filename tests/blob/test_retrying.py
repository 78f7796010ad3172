"""Asking again: bounded, only for what may pass, and never twice in effect."""

import threading

import pytest

from roost.blob.memory import MemoryStore
from roost.blob.patience import Patience
from roost.blob.retrying import RetryingStore
from roost.blob.store import BlobExists, BlobNotFound, BlobStore, BucketMissing, StoreDenied
from roost.errors import CorruptRecord, RoostError, StorageFull, Unavailable
from roost.testing.blob_suite import BlobStoreSuite
from roost.testing.clock import ManualClock
from roost.testing.faulty_store import FaultyStore


class HurriedClock(ManualClock):
    """A clock on which waiting takes no time of ours."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        self.waits.append(timeout_s)
        self.advance(timeout_s)
        return event.is_set()


PATIENCE = Patience(tries_max=4, delay_first_s=1, delay_max_s=3, total_s=100)


class TestRetrying(BlobStoreSuite):
    @pytest.fixture
    def store(self) -> BlobStore:
        return RetryingStore(MemoryStore())


@pytest.fixture
def clock() -> HurriedClock:
    return HurriedClock()


@pytest.fixture
def faulty() -> FaultyStore:
    return FaultyStore(MemoryStore())


@pytest.fixture
def store(faulty: FaultyStore, clock: HurriedClock) -> RetryingStore:
    return RetryingStore(faulty, PATIENCE, clock)


@pytest.mark.parametrize("after", [False, True])
def test_every_verb_is_asked_again(store: RetryingStore, faulty: FaultyStore, after: bool) -> None:
    faulty.fail("put", after=after)
    store.put("a", b"data")
    for verb, call in {
        "get": lambda: store.get("a"),
        "get_range": lambda: store.get_range("a", 0, 4),
        "head": lambda: store.head("a").size_bytes,
        "list": lambda: [info.key for info in store.list()],
        "delete": lambda: store.delete("a"),
    }.items():
        faulty.fail(verb, after=after)
        assert call() in (b"data", 4, ["a"], None)
        assert faulty.calls[verb] == 2
    with pytest.raises(BlobNotFound):
        store.get("a")


class SlowToFail:
    """Fails every call after some seconds, as a host does that drops packets."""

    def __init__(self, clock: HurriedClock, error: Unavailable, seconds: float = 5) -> None:
        self._clock, self._error, self._seconds = clock, error, seconds

    def __call__(self, _verb: str, _key: str) -> None:
        self._clock.advance(self._seconds)
        raise self._error


@pytest.mark.parametrize("verb", ["head", "list"])
def test_a_store_that_never_answered_is_given_up_sooner(
    faulty: FaultyStore, clock: HurriedClock, verb: str
) -> None:
    store = RetryingStore(faulty, Patience(first_answer_s=20), clock)
    faulty.before_call = SlowToFail(clock, Unavailable("no route"))
    calls = {"head": lambda: store.head("a"), "list": lambda: list(store.list())}
    began_s = clock.monotonic_s()
    with pytest.raises(Unavailable, match="no route"):
        calls[verb]()
    assert clock.monotonic_s() - began_s <= 25
    assert faulty.calls[verb] > 2


@pytest.mark.parametrize("first", ["success", "absent", "an answer of trouble"])
def test_a_store_that_has_answered_is_waited_for(
    faulty: FaultyStore, clock: HurriedClock, first: str
) -> None:
    store = RetryingStore(faulty, Patience(), clock)
    error = Unavailable("down")
    if first == "success":
        assert list(store.list()) == []
    elif first == "absent":
        with pytest.raises(BlobNotFound):
            store.get("a")
    else:
        error = Unavailable("s3://b/a: Server returned status: 503 Service Unavailable")
    faulty.before_call = SlowToFail(clock, error, 15)
    began_s = clock.monotonic_s()
    with pytest.raises(Unavailable):
        store.get("a")
    assert clock.monotonic_s() - began_s > 100


def test_delays_double_up_to_a_bound_and_tries_end(
    store: RetryingStore, faulty: FaultyStore, clock: HurriedClock
) -> None:
    faulty.before_call = _always(Unavailable("down"))
    with pytest.raises(Unavailable, match="down"):
        store.get("a")
    assert faulty.calls["get"] == 4
    assert len(clock.waits) == 3
    for waited, bound in zip(clock.waits, (1, 2, 3), strict=True):
        assert bound / 2 <= waited <= bound


def test_no_try_is_begun_after_the_total_time(faulty: FaultyStore, clock: HurriedClock) -> None:
    patience = Patience(tries_max=1000, delay_first_s=10, delay_max_s=10, total_s=25)
    faulty.before_call = _always(Unavailable("down"))
    with pytest.raises(Unavailable):
        RetryingStore(faulty, patience, clock).get("a")
    assert sum(clock.waits) <= 25
    assert 3 <= faulty.calls["get"] <= 6


@pytest.mark.parametrize(
    "error",
    [StorageFull("full"), StoreDenied("no"), BucketMissing("none"), CorruptRecord("a", "bad")],
)
def test_what_does_not_pass_is_not_asked_again(
    store: RetryingStore, faulty: FaultyStore, error: RoostError
) -> None:
    faulty.before_call = _always(error)
    with pytest.raises(type(error)):
        store.put("a", b"x")
    assert faulty.calls["put"] == 1


def test_a_lost_answer_of_put_if_absent_is_resolved(
    store: RetryingStore, faulty: FaultyStore
) -> None:
    faulty.fail("put_if_absent", after=True)
    store.put_if_absent("lease", b"mine")
    assert faulty.calls["put_if_absent"] == 2


def test_a_name_taken_by_another_is_refused_even_after_a_failure(
    store: RetryingStore, faulty: FaultyStore
) -> None:
    store.put("lease", b"theirs")
    faulty.fail("put_if_absent")
    with pytest.raises(BlobExists):
        store.put_if_absent("lease", b"mine")
    assert store.get("lease") == b"theirs"


def test_a_listing_that_breaks_goes_on_where_it_was(clock: HurriedClock) -> None:
    inner = _BreakingList()
    for n in range(9):
        inner.put(f"k{n}", b"x")
    store = RetryingStore(inner, PATIENCE, clock)
    assert [info.key for info in store.list()] == [f"k{n}" for n in range(9)]
    assert inner.listings > 1


class _BreakingList(MemoryStore):
    """Each listing breaks after two more names than the one before."""

    listings = 0

    def list(self, prefix=""):  # type: ignore[no-untyped-def]
        self.listings += 1
        for number, info in enumerate(super().list(prefix)):
            if number == self.listings * 2:
                raise Unavailable("the connection ended")
            yield info


def _always(error: RoostError):  # type: ignore[no-untyped-def]
    def fail(_verb: str, _key: str) -> None:
        raise error

    return fail
