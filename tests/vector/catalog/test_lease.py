"""Who may write: hazards H1 and H22, on clocks that tests move."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roost.errors import LeaseLost, Unavailable
from roost.testing.clock import ManualClock
from roost.vector.catalog.catalog import Catalog
from roost.vector.catalog.lease import RESERVE_MS, Lease, LeaseTerms
from roost.vector.catalog.values import LeaseRow
from roost.vector.timestamps import from_ms, to_ms

TERM_S, MARGIN_S = 3.0, 0.5
WAIT_S = 10.0


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    opened = Catalog(f"sqlite:///{tmp_path / 'catalog.db'}")
    yield opened
    opened.close()


class RowStore:
    """The lease row in memory, with the catalog's rules; can be made to fail."""

    def __init__(self) -> None:
        self.row = LeaseRow(0, "", 0, 0, True, 0.0)
        self.fail_renewals = False
        self.failed = 0

    def lease(self) -> LeaseRow:
        return self.row

    def claim_generation(self, member_id: str, expected: LeaseRow, term_s: float) -> LeaseRow:
        if (expected.generation, expected.renewals) != (self.row.generation, self.row.renewals):
            raise LeaseLost("it moved")
        self.row = LeaseRow(
            expected.generation + 1,
            member_id,
            expected.renewals + 1,
            expected.high_water_ts,
            False,
            term_s,
        )
        return self.row

    def renew(self, generation: int, reserve_ts: int) -> None:
        if self.fail_renewals:
            self.failed += 1
            raise Unavailable("no catalog")
        row = self.row
        if generation != row.generation or row.released:
            raise LeaseLost("taken")
        high = max(row.high_water_ts, reserve_ts)
        self.row = LeaseRow(row.generation, row.holder, row.renewals + 1, high, False, row.term_s)

    def release(self, generation: int) -> None:
        row = self.row
        if generation == row.generation:
            self.row = LeaseRow(
                generation, row.holder, row.renewals + 1, row.high_water_ts, True, row.term_s
            )


def test_the_first_member_claims_at_once(catalog: Catalog) -> None:
    lease = Lease(catalog, "a", ManualClock())
    assert lease.try_acquire()
    assert lease.generation == 1
    lease.check()
    row = catalog.lease()
    assert (row.generation, row.holder, row.released, row.term_s) == (1, "a", False, 3.0)


def test_a_standby_waits_a_full_term_of_its_own_clock(catalog: Catalog) -> None:
    Lease(catalog, "a", ManualClock()).try_acquire()
    clock = ManualClock()
    standby = Lease(catalog, "b", clock)
    assert not standby.try_acquire(), "the first look starts the span"
    clock.advance(TERM_S - 0.01)
    assert not standby.try_acquire()
    clock.advance(0.01)
    assert standby.try_acquire()
    assert standby.generation == 2


def test_each_renewal_makes_a_standby_wait_again(catalog: Catalog) -> None:
    holder = Lease(catalog, "a", ManualClock())
    holder.try_acquire()
    clock = ManualClock()
    standby = Lease(catalog, "b", clock)
    for _ in range(5):
        assert not standby.try_acquire()
        clock.advance(TERM_S - 0.1)
        catalog.renew(1, 0)
    assert not standby.try_acquire()


def test_a_renewal_between_look_and_claim_saves_the_holder(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The claim compares renewals too: the holder now counts on a further term."""
    clock = ManualClock()
    holder = Lease(catalog, "a", ManualClock())
    holder.try_acquire()
    standby = Lease(catalog, "b", clock)
    standby.try_acquire()
    clock.advance(TERM_S)
    claim = catalog.claim_generation

    def renewed_first(member_id: str, expected: LeaseRow, term_s: float) -> LeaseRow:
        catalog.renew(1, 0)
        return claim(member_id, expected, term_s)

    monkeypatch.setattr(catalog, "claim_generation", renewed_first)
    assert not standby.try_acquire()
    holder.check()
    assert catalog.lease().generation == 1


def test_a_lease_released_cleanly_is_claimed_at_once(catalog: Catalog) -> None:
    first = Lease(catalog, "a", ManualClock())
    first.try_acquire()
    first.release()
    with pytest.raises(LeaseLost):
        first.check()
    assert Lease(catalog, "b", ManualClock()).try_acquire()


def test_a_released_lease_cannot_be_renewed_by_a_late_renewal(catalog: Catalog) -> None:
    """Whoever looks next may claim at once; a late renewal must not revive the old holder."""
    row = catalog.claim_generation("a", catalog.lease(), TERM_S)
    catalog.release(row.generation)
    with pytest.raises(LeaseLost):
        catalog.renew(row.generation, 5)
    assert catalog.lease().released


def test_proof_of_death_makes_waiting_needless_but_only_for_the_holder_it_names() -> None:
    store = RowStore()
    Lease(store, "a", ManualClock()).try_acquire()
    standby = Lease(store, "b", ManualClock())
    assert not standby.try_acquire(lambda row: row.holder == "someone else")
    assert standby.try_acquire(lambda row: row.holder == "a")


def test_the_holder_stops_a_margin_before_its_term_ends() -> None:
    store, clock = RowStore(), ManualClock()
    lease = Lease(store, "a", clock)
    lease.try_acquire()
    store.fail_renewals = True
    clock.advance(TERM_S - MARGIN_S - 0.01)
    lease.check()
    clock.advance(0.01)
    with pytest.raises(LeaseLost, match="run out"):
        lease.check()


def test_the_term_counts_from_before_the_renewal_was_sent() -> None:
    store, clock = RowStore(), ManualClock()
    lease = Lease(store, "a", clock)
    renew = store.renew

    def slow(generation: int, reserve_ts: int) -> None:
        renew(generation, reserve_ts)
        clock.advance(2.0)  # the answer takes that long

    store.renew = slow  # type: ignore[method-assign]
    lease.try_acquire()
    store.fail_renewals = True
    clock.advance(0.4)
    lease.check()
    clock.advance(0.1)
    with pytest.raises(LeaseLost):
        lease.check()


def test_a_renewal_slower_than_the_lease_holds_does_not_count() -> None:
    store, clock = RowStore(), ManualClock()
    lease = Lease(store, "a", clock)
    lease.try_acquire()
    renew = store.renew

    def too_slow(generation: int, reserve_ts: int) -> None:
        renew(generation, reserve_ts)
        clock.advance(TERM_S)

    store.renew = too_slow  # type: ignore[method-assign]
    clock.advance(TERM_S)
    with pytest.raises(LeaseLost, match="longer"):
        lease.check()


def test_a_paused_writer_whom_nobody_replaced_goes_on() -> None:
    store, clock = RowStore(), ManualClock()
    lease = Lease(store, "a", clock)
    lease.try_acquire()
    clock.advance(60)
    lease.check()
    assert store.row.generation == 1


def test_a_paused_writer_that_was_replaced_is_refused_for_good() -> None:
    store, clock = RowStore(), ManualClock()
    lease = Lease(store, "a", clock)
    lease.try_acquire()
    clock.advance(60)
    store.claim_generation("b", store.row, TERM_S)
    for _ in range(2):
        with pytest.raises(LeaseLost):
            lease.check()
    store.release(2)
    with pytest.raises(LeaseLost):
        lease.check()


@settings(max_examples=300, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["renew", "fail", "look", "ack"]),
            st.floats(0, 1.5),
            st.floats(0, 1.5),
        ),
        max_size=60,
    ),
    drift=st.floats(0.9, 1.1),
)
def test_nothing_is_acknowledged_after_another_one_claimed(
    steps: list[tuple[str, float, float]], drift: float
) -> None:
    """Two hosts, clocks that differ by 10 %, any interleaving; `check` alone guards the holder."""
    store = RowStore()
    clocks = [ManualClock(), ManualClock()]
    holder, standby = (Lease(store, name, clock) for name, clock in zip("ab", clocks, strict=True))
    assert holder.try_acquire()
    for action, pause_s, slowness_s in steps:
        clocks[0].advance(pause_s)
        clocks[1].advance(pause_s * drift)
        store.fail_renewals = action == "fail"
        if action == "look" and standby.generation == 0:
            standby.try_acquire()
        elif action in ("renew", "fail"):
            try:
                holder._renew()
            except (LeaseLost, Unavailable):
                assert action == "fail" or standby.generation
            clocks[0].advance(slowness_s)
            clocks[1].advance(slowness_s * drift)
        elif action == "ack":
            try:
                holder.check()
            except LeaseLost:
                continue
            assert not standby.generation, "both write"


def test_timestamps_of_a_new_writer_begin_above_all_of_the_old_one() -> None:
    """H22: the standby's clock is a minute slow, and the last timestamps were never logged."""
    store = RowStore()
    old_clock = ManualClock()
    old = Lease(store, "a", old_clock)
    old.try_acquire()
    given_out = [old.timestamps.next() for _ in range(100)]
    old_clock.advance(2.9)
    given_out.append(old.timestamps.next())
    slow = ManualClock()
    slow.jump_wall(-60)
    new = Lease(store, "b", slow)
    assert new.try_acquire(lambda row: True)
    first = new.timestamps.next()
    assert first > max(given_out)
    assert new.timestamps.next() == first + 1, "it crawls until the clock has caught up"


def test_timestamps_stay_below_what_the_catalog_has_reserved() -> None:
    store, clock = RowStore(), ManualClock()
    lease = Lease(store, "a", clock)
    lease.try_acquire()
    reserved = store.row.high_water_ts
    assert to_ms(reserved) == clock.wall_ns() // 1_000_000 + RESERVE_MS
    store.fail_renewals = True
    clock.advance(2.0)
    clock.jump_wall(3600)
    assert lease.timestamps.next() < reserved
    lease.timestamps.raise_floor(reserved - 1)
    assert lease.timestamps.next() == reserved
    with pytest.raises(Unavailable):
        lease.timestamps.next()
    assert store.row.high_water_ts == reserved


def test_a_reservation_counts_from_the_last_timestamp_when_the_clock_went_back() -> None:
    store, clock = RowStore(), ManualClock()
    lease = Lease(store, "a", clock)
    lease.try_acquire()
    last = lease.timestamps.next()
    clock.jump_wall(-3600)
    lease._renew()
    assert store.row.high_water_ts >= last + from_ms(RESERVE_MS)


def test_the_thread_renews_and_tells_once_when_the_lease_is_taken(catalog: Catalog) -> None:
    clock = ManualClock()
    lease = Lease(catalog, "a", clock, LeaseTerms(renew_every_s=1.0))
    lease.try_acquire()
    lost: list[LeaseLost] = []
    told = threading.Event()

    def on_lost(error: LeaseLost) -> None:
        lost.append(error)
        told.set()

    lease.start_renewing(on_lost)
    before = catalog.lease().renewals
    deadline_s = time.monotonic() + WAIT_S
    while catalog.lease().renewals < before + 3:
        clock.advance(0.5)
        assert time.monotonic() < deadline_s
    lease.check()
    row = catalog.lease()
    while True:  # the thread may renew between the look and the claim
        try:
            catalog.claim_generation("b", row, TERM_S)
            break
        except LeaseLost:
            row = catalog.lease()
    while not told.wait(0.005):
        clock.advance(0.5)
        assert time.monotonic() < deadline_s
    assert len(lost) == 1
    lease.release()
    assert catalog.lease().holder == "b"
    assert not catalog.lease().released, "one does not release another one's lease"


def test_the_thread_outlasts_a_catalog_that_does_not_answer() -> None:
    store, clock = RowStore(), ManualClock()
    lease = Lease(store, "a", clock)
    lease.try_acquire()
    store.fail_renewals = True
    lease.start_renewing(lambda error: pytest.fail(str(error)))
    deadline_s = time.monotonic() + WAIT_S
    while store.failed < 3:
        clock.advance(0.5)
        assert time.monotonic() < deadline_s
    store.fail_renewals = False
    before = store.row.renewals
    while store.row.renewals == before:
        clock.advance(0.5)
        assert time.monotonic() < deadline_s
    lease.check()
    lease.release()
    assert store.row.released


def test_acquire_waits_until_the_lease_is_free_and_stops_when_told() -> None:
    store, clock = RowStore(), ManualClock()
    Lease(store, "a", ManualClock()).try_acquire()
    standby, stop = Lease(store, "b", clock), threading.Event()
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(standby.acquire(stop)))
    thread.start()
    deadline_s = time.monotonic() + WAIT_S
    while thread.is_alive():
        clock.advance(0.2)
        assert time.monotonic() < deadline_s
    assert answers == [True]
    stop.set()
    assert not Lease(store, "c", clock).acquire(stop)


def test_terms_of_the_holder_bind_a_standby_configured_with_a_shorter_one() -> None:
    store, clock = RowStore(), ManualClock()
    Lease(store, "a", ManualClock(), LeaseTerms(term_s=10.0)).try_acquire()
    standby = Lease(store, "b", clock, LeaseTerms(term_s=2.0))
    standby.try_acquire()
    clock.advance(9.9)
    assert not standby.try_acquire()
    clock.advance(0.1)
    assert standby.try_acquire()
