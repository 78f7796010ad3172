"""Which version a query runs at and whom it asks; pure."""

import pytest

from roost.cluster.plan import Plan, ReaderView, choose
from roost.errors import Unavailable
from roost.vector.collection.parts import GROWING
from roost.vector.manifest import Manifest, SegmentEntry

COLLECTION = 1


def segment(number: int, partition: int = 1, oldest_read_ts: int = 0) -> SegmentEntry:
    return SegmentEntry(
        number, partition, f"s/{number}", 100, 1_000, 1, 2, oldest_read_ts=oldest_read_ts
    )


MANIFESTS = {
    1: Manifest(COLLECTION, 1, 1, 10, tuple(segment(n) for n in (1, 2))),
    2: Manifest(COLLECTION, 2, 1, 20, tuple(segment(n) for n in (1, 2, 3, 4))),
    3: Manifest(COLLECTION, 3, 1, 20, (segment(5, oldest_read_ts=25), segment(6, partition=2))),
}


def view(name: str, **versions: bool) -> ReaderView:
    held = {int(version[1:]): warm for version, warm in versions.items()}
    return ReaderView(name, {COLLECTION: held}, 100)


def plan_for(*views: ReaderView, replicas: int = 1, local: str = "", exactly: int | None = None):
    return choose(COLLECTION, views, MANIFESTS.__getitem__, replicas, local, exactly)


def found(*views: ReaderView, **how: object) -> Plan:
    plan = plan_for(*views, **how)  # type: ignore[arg-type]
    assert plan is not None
    return plan


def test_the_newest_version_that_all_owners_have_open_is_chosen() -> None:
    both = found(view("a", v1=True, v2=True), view("b", v1=True, v2=True))
    assert both.manifest.version == 2
    behind = found(view("a", v1=True, v2=True), view("b", v1=True, v2=False))
    assert behind.manifest.version == 1, "b still opens its share of version 2"


def test_every_segment_is_asked_for_exactly_once_and_growing_rows_once() -> None:
    plan = found(view("a", v2=True), view("b", v2=True), view("c", v2=True), replicas=2)
    for turn in range(4):
        asked = [s for segments in plan.groups(turn).values() for s in segments]
        assert sorted(asked) == [GROWING, 1, 2, 3, 4]


def test_while_members_change_the_version_that_somebody_holds_is_chosen() -> None:
    joining = found(view("old", v2=True), view("new", v2=False))
    assert joining.manifest.version == 2
    assert set(joining.groups(0)) == {"old"}, "the one that has it open is asked"


def test_without_a_holder_there_is_no_plan() -> None:
    assert plan_for() is None
    assert plan_for(ReaderView("a", {}, 100)) is None


def test_the_local_reader_is_asked_wherever_it_is_an_owner() -> None:
    views = [view(name, v2=True) for name in ("a", "b", "c")]
    for local in ("a", "b", "c"):
        plan = found(*views, replicas=3, local=local)
        assert set(plan.groups(0)) == set(plan.groups(1)) == {local}
        one = found(*views, replicas=1, local=local)
        assert GROWING in one.groups(0)[local]


def test_equal_owners_take_turns() -> None:
    plan = found(view("a", v2=True), view("b", v2=True), replicas=2)
    first, second = plan.groups(0), plan.groups(1)
    by_segment = {s: name for name, segments in first.items() for s in segments}
    again = {s: name for name, segments in second.items() for s in segments}
    assert all(by_segment[s] != again[s] for s in by_segment)


def test_only_segments_of_the_partitions_asked_for_are_asked() -> None:
    plan = found(view("a", v3=True))
    assert plan.groups(0, (2,)) == {"a": (GROWING, 6)}
    assert plan.groups(0) == {"a": (GROWING, 5, 6)}


def test_a_past_instant_needs_a_version_that_still_has_its_rows() -> None:
    views = (view("a", v2=True, v3=True),)
    assert found(*views).manifest.version == 3
    assert found(*views).readable_from == 25
    assert found(*views, exactly=24).manifest.version == 2
    assert found(*views, exactly=25).manifest.version == 3
    assert plan_for(view("a", v3=True), exactly=24) is None


def test_readers_that_failed_are_passed_over_until_nobody_is_left() -> None:
    plan = found(view("a", v2=True), view("b", v2=True))
    assert set(plan.regroup([1, 2, 3, 4], without={"a"})) == {"b"}
    with pytest.raises(Unavailable):
        plan.regroup([1], without={"a", "b"})
