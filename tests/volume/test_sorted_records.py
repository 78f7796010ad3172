"""Records come out in order and whole, however many runs they were spilled to."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roost.volume import sorted_records
from roost.volume.sorted_records import SortedRecords, ranges

PAIR = np.dtype([("key", "u8"), ("value", "u4")])
pages = st.lists(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9)), max_size=30), max_size=8
)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorted_records, "RUN_RECORDS", 16)
    monkeypatch.setattr(sorted_records, "RANGE_RECORDS", 8)
    monkeypatch.setattr(sorted_records, "_WINDOW_RECORDS_MIN", 2)


def filled(rows: list[list[tuple[int, int]]]) -> SortedRecords:
    made = SortedRecords(PAIR, "key")
    for page in rows:
        made.add(np.array(page, PAIR))
    return made


@given(pages, pages)
@settings(deadline=None)
def test_ranges_join_two_sets_like_sorting_them_in_memory(
    left: list[list[tuple[int, int]]], right: list[list[tuple[int, int]]]
) -> None:
    with filled(left) as a, filled(right) as b:
        seen_a: list[tuple[int, int]] = []
        seen_b: list[tuple[int, int]] = []
        above = -1
        for part_a, part_b in ranges(a, b):
            keys = [int(k) for k in part_a["key"]] + [int(k) for k in part_b["key"]]
            assert keys, "an empty range"
            assert min(keys) > above, "a key in two ranges"
            above = max(keys)
            seen_a += [(int(k), int(v)) for k, v in part_a]
            seen_b += [(int(k), int(v)) for k, v in part_b]
    for seen, rows in ((seen_a, left), (seen_b, right)):
        flat = [row for page in rows for row in page]
        assert sorted(seen) == sorted(flat)
        assert [k for k, _ in seen] == sorted(k for k, _ in flat)


def test_a_set_can_be_taken_out_again() -> None:
    with filled([[(3, 1), (1, 1)], [(2, 2)]]) as one:
        first = [part.tolist() for (part,) in ranges(one)]
        assert [part.tolist() for (part,) in ranges(one)] == first == [[(1, 1), (2, 2), (3, 1)]]


def test_an_empty_set_has_no_ranges() -> None:
    assert list(ranges(SortedRecords(PAIR, "key"))) == []
