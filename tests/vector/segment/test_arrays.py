"""Vectors that grow: whatever the sizes of the batches, a view has every row at its number."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from roost.vector.segment.arrays import GrowingVectors

DIM = 2_048  # few rows fill a run
BATCHES = st.lists(st.tuples(st.integers(1, 700), st.booleans()), min_size=1, max_size=12)


@given(BATCHES)
def test_views_hold_every_row_and_never_change(batches: list[tuple[int, bool]]) -> None:
    growing, end, dropped = GrowingVectors(DIM), 0, 0
    views = []
    for count, drops in batches:
        rows = np.arange(end, end + count, dtype=np.float32)
        growing.append(np.repeat(rows[:, None], DIM, axis=1))
        end += count
        if drops:
            dropped = end - count // 2
            growing.drop(dropped)
        views.append((dropped, end, growing.view()))
    for first, last, view in views:
        wanted = np.arange(first, last)
        assert view.take(wanted[::-1])[:, 0].tolist() == wanted[::-1].tolist()
        assert [r.end for r in view.runs[:-1]] == [r.first for r in view.runs[1:]]
        for run in view.runs:
            assert run.vectors[:, -1].tolist() == list(range(run.first, run.end))


def test_a_large_batch_is_kept_where_it_lies_and_small_ones_are_gathered() -> None:
    growing = GrowingVectors(4)
    large = np.ones((50_000, 4), np.float32)
    growing.append(large)
    for _ in range(10):
        growing.append(large[:3])
    growing.append(large)
    runs = growing.view().runs
    assert [len(run.vectors) for run in runs] == [50_000, 30, 50_000]
    assert all(run.is_closed for run in runs)
    assert np.shares_memory(runs[0].vectors, large)
    assert not np.shares_memory(runs[1].vectors, large)
