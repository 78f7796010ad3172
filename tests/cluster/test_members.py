"""Who lives, judged by counters on the observer's own clock."""

from pathlib import Path

import pytest

from roost.cluster.members import WATCH_S, Liveness, StaticDirectory
from roost.errors import Unavailable
from roost.testing.clock import ManualClock
from roost.vector.catalog.catalog import Catalog
from roost.vector.catalog.values import LeaseRow, Member


def test_a_member_whose_counter_stands_still_is_dead_after_the_limit() -> None:
    liveness = Liveness(dead_after_s=4)
    liveness.observe({"a": 1, "b": 1}, 0)
    liveness.observe({"a": 2, "b": 1}, 3)
    assert liveness.alive(3.9) == {"a", "b"}
    assert liveness.alive(4.0) == {"a"}
    assert liveness.silent_s("b", 10) == 10


def test_a_counter_that_moves_again_brings_a_member_back_to_life() -> None:
    liveness = Liveness(dead_after_s=4)
    liveness.observe({"a": 7}, 0)
    liveness.observe({"a": 7}, 9)
    assert liveness.alive(9) == frozenset()
    liveness.observe({"a": 8}, 10)
    assert liveness.alive(10) == {"a"}


def test_a_counter_that_starts_again_below_counts_as_moved() -> None:
    liveness = Liveness(dead_after_s=4)
    liveness.observe({"a": 700}, 0)
    liveness.observe({"a": 0}, 5)
    assert liveness.alive(5) == {"a"}


def test_a_member_off_the_list_is_forgotten() -> None:
    liveness = Liveness()
    liveness.observe({"a": 1}, 0)
    liveness.observe({}, 1)
    assert liveness.alive(1) == frozenset()
    assert liveness.silent_s("a", 1) == float("inf")


def test_a_static_list_names_readers_and_its_only_writer() -> None:
    members = [
        Member("r2", "ro", "h:3"),
        Member("w", "rw", "h:1"),
        Member("r1", "ro", "h:2"),
        Member("x", "router", ""),
    ]
    directory = StaticDirectory(members)
    directory.refresh()
    assert [member.id for member in directory.readers()] == ["r1", "r2"]
    writer = directory.writer()
    assert writer is not None
    assert writer.id == "w"


def test_a_static_list_of_two_writers_shows_a_take_over_by_itself(tmp_path: Path) -> None:
    catalog = Catalog(f"sqlite:///{tmp_path / 'catalog.db'}")
    clock = ManualClock()
    members = [Member("w1", "rw", "h:1"), Member("w2", "rw", "h:2")]
    directory = StaticDirectory(members, catalog, clock)
    assert directory.writer() is None
    for name in ("w1", "w2"):
        catalog.claim_generation(name, catalog.lease(), 3.0)
        clock.advance(WATCH_S)
        assert [directory.writer(), directory.writer()] == [m for m in members if m.id == name] * 2
    catalog.close()


def two_writers(catalog: Catalog, clock: ManualClock) -> StaticDirectory:
    return StaticDirectory([Member("w1", "rw", "h:1"), Member("w2", "rw", "h:2")], catalog, clock)


def test_a_static_list_asks_the_catalog_once_in_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog, clock = Catalog(f"sqlite:///{tmp_path / 'catalog.db'}"), ManualClock()
    looks: list[int] = []
    real = catalog.lease

    def counted() -> LeaseRow:
        looks.append(1)
        return real()

    monkeypatch.setattr(catalog, "lease", counted)
    directory = two_writers(catalog, clock)
    for _ in range(3):
        clock.advance(WATCH_S)
        for _ in range(5):
            directory.writer()
    assert len(looks) == 3
    catalog.close()


def test_a_static_list_goes_on_with_the_last_writer_while_the_catalog_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    catalog, clock = Catalog(f"sqlite:///{tmp_path / 'catalog.db'}"), ManualClock()
    directory = two_writers(catalog, clock)
    catalog.claim_generation("w1", catalog.lease(), 3.0)

    def away() -> LeaseRow:
        raise Unavailable("the catalog is away")

    before = directory.writer()
    monkeypatch.setattr(catalog, "lease", away)
    clock.advance(WATCH_S)
    assert directory.writer() == before
    assert before is not None
    assert "cannot read who writes" in caplog.text
    catalog.close()
