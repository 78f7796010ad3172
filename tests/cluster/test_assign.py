"""Segments to readers: balanced, stable, the same everywhere."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from roost.cluster import assign

SEGMENTS = {segment: 100_000 for segment in range(1, 201)}
READERS = [f"reader-{number}" for number in range(5)]


def owners_of(order: dict[int, tuple[str, ...]], replicas: int = 1) -> dict[int, tuple[str, ...]]:
    return {segment: names[:replicas] for segment, names in order.items()}


@given(
    st.dictionaries(st.integers(1, 500), st.integers(0, 1_000_000), max_size=60),
    st.sets(st.text("abcdef", min_size=1, max_size=4), min_size=1, max_size=7),
    st.integers(1, 3),
)
def test_no_reader_is_more_than_its_bound_over_the_mean(
    rows: dict[int, int], readers: set[str], replicas: int
) -> None:
    order = assign.preference(rows, readers, replicas)
    copies = min(replicas, len(readers))
    load = Counter[str]()
    for segment, names in order.items():
        assert sorted(names) == sorted(readers), "every reader stands somewhere in the order"
        for name in names[:copies]:
            load[name] += max(1, rows[segment])
    mean = sum(load.values()) / len(readers)
    largest = max((max(1, n) for n in rows.values()), default=0)
    # One reader may go over by what did not fit anywhere, at most one segment.
    assert all(n <= max(assign.LOAD_FACTOR * mean, largest) + largest for n in load.values())


def test_equal_segments_spread_within_the_load_factor() -> None:
    order = assign.preference(SEGMENTS, READERS)
    load = Counter(names[0] for names in order.values())
    assert max(load.values()) <= assign.LOAD_FACTOR * len(SEGMENTS) / len(READERS)
    assert min(load.values()) > 0


def test_the_answer_does_not_depend_on_the_order_of_the_arguments() -> None:
    backwards = dict(reversed(SEGMENTS.items()))
    assert assign.preference(backwards, READERS[::-1], 2) == assign.preference(SEGMENTS, READERS, 2)


def test_a_reader_that_leaves_moves_little_more_than_its_own_segments() -> None:
    before = owners_of(assign.preference(SEGMENTS, READERS))
    after = owners_of(assign.preference(SEGMENTS, READERS[1:]))
    lost = [segment for segment, names in before.items() if names == (READERS[0],)]
    moved = [segment for segment in SEGMENTS if before[segment] != after[segment]]
    assert set(lost) <= set(moved)
    assert len(moved) <= len(lost) + 0.15 * len(SEGMENTS)


def test_a_reader_that_comes_takes_its_share_and_little_else_moves() -> None:
    before = owners_of(assign.preference(SEGMENTS, READERS))
    after = owners_of(assign.preference(SEGMENTS, [*READERS, "new"]))
    taken = [segment for segment, names in after.items() if names == ("new",)]
    moved = [segment for segment in SEGMENTS if before[segment] != after[segment]]
    assert set(taken) <= set(moved)
    assert len(taken) >= 0.5 * len(SEGMENTS) / 6
    assert len(moved) <= len(taken) + 0.15 * len(SEGMENTS)


def test_a_new_segment_moves_few_others() -> None:
    before = owners_of(assign.preference(SEGMENTS, READERS))
    after = owners_of(assign.preference({**SEGMENTS, 1000: 100_000}, READERS))
    assert sum(before[segment] != after[segment] for segment in SEGMENTS) <= 0.05 * len(SEGMENTS)


def test_owners_are_who_the_preference_says() -> None:
    order = assign.preference(SEGMENTS, READERS, 2)
    for me in READERS:
        owned = assign.owned(SEGMENTS, READERS, 2, me)
        assert owned == {segment for segment, names in order.items() if me in names[:2]}


def test_without_readers_nobody_is_asked() -> None:
    assert assign.preference({1: 10}, []) == {1: ()}
