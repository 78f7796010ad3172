"""Merging parts gives what one part with all rows would have given."""

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
from hypothesis import given, settings

from roost.vector.collection.merge import (
    join_rows,
    merge_counts,
    merge_hits,
    merge_rows,
    newest_of_keys,
)
from roost.vector.collection.parts import PartHits, PartRows

Hit = tuple[int, int, int]  # query, key, score
HITS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 6), st.integers(0, 9)), max_size=15)
NQ = 3


def part_of(hits: list[Hit], number: int, *, near: bool, strings: bool) -> PartHits:
    """Return a part as a member gives it: best first, keys distinct within a query."""
    sign = 1 if near else -1
    kept: list[Hit] = []
    for query, key, score in sorted(hits, key=lambda hit: (hit[0], sign * hit[2])):
        if (query, key) not in {(q, k) for q, k, _ in kept}:
            kept.append((query, key, score))
    keys = [str(key) if strings else key for _, key, _ in kept]
    return PartHits(
        counts=np.bincount([q for q, _, _ in kept], minlength=NQ).astype(np.int64),
        ids=pa.array(keys, pa.string() if strings else pa.int64()),
        scores=np.array([score for _, _, score in kept], np.float32),
        segment_ids=np.full(len(kept), number, np.int64),
        offsets=np.arange(len(kept)),
    )


@settings(deadline=None)
@given(
    st.lists(HITS, min_size=1, max_size=4),
    st.integers(1, 5),
    st.integers(0, 3),
    st.booleans(),
    st.booleans(),
)
def test_merged_hits_are_the_best_of_all(
    lists: list[list[Hit]], k: int, offset: int, near: bool, strings: bool
) -> None:
    parts = [part_of(h, at, near=near, strings=strings) for at, h in enumerate(lists)]
    merged = merge_hits(parts, k, nearest_first=near, offset=offset)
    sign = 1 if near else -1
    start = 0
    for query, count in enumerate(merged.counts.tolist()):
        best: dict[int, int] = {}
        for hits in lists:
            for asked, key, score in hits:
                if asked == query:
                    best[key] = min(sign * score, best.get(key, sign * score))
        scores = (sign * merged.scores[start : start + count]).tolist()
        assert scores == sorted(best.values())[offset : offset + k]
        keys = [int(key) for key in merged.ids[start : start + count].to_pylist()]
        assert [best[key] for key in keys] == scores
        assert len(set(keys)) == count
        start += count
    for number, offset_there, key, score in zip(
        merged.segment_ids, merged.offsets, merged.ids, merged.scores, strict=True
    ):
        there = parts[number]
        assert (there.ids[offset_there], there.scores[offset_there]) == (key, score)


@settings(deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5)), max_size=12),
        min_size=1,
        max_size=3,
    ),
    st.sampled_from([None, 1, 4]),
    st.integers(0, 3),
    st.booleans(),
)
def test_merged_rows_are_the_newest_of_each_key_in_order(
    lists: list[list[tuple[int, int]]], limit: int | None, offset: int, strings: bool
) -> None:
    parts = []
    for rows in lists:
        newest = dict(sorted(rows))  # a part has each key once
        keys = [str(key) if strings else key for key in newest]
        kind = pa.string() if strings else pa.int64()
        batch = pa.RecordBatch.from_arrays(
            [pa.array(keys, kind), pa.array(newest.values(), pa.int64())], names=["pk", "ts"]
        )
        parts.append(PartRows(batch, np.array(list(newest.values()), np.int64), len(newest)))
    merged = merge_rows(parts, "pk", limit, offset)
    expected = sorted(dict(sorted(row for rows in lists for row in rows)).items())
    end = None if limit is None else offset + limit
    assert [int(key) for key in merged.rows.column("pk").to_pylist()] == [
        key for key, _ in expected[offset:end]
    ]
    assert merged.row_ts.tolist() == merged.rows.column("ts").to_pylist()
    assert merged.row_ts.tolist() == [ts for _, ts in expected[offset:end]]
    assert merged.count == len(merged.row_ts)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 50)), max_size=80),
    st.integers(1, 6),
    st.booleans(),
)
def test_a_page_of_many_rows_is_the_start_of_all_rows(
    rows: list[tuple[int, int]], limit: int, strings: bool
) -> None:
    keys = pa.array([str(k) if strings else k for k, _ in rows], pa.string() if strings else None)
    keys = keys if len(rows) else pa.array([], pa.int64())
    row_ts = np.array([ts for _, ts in rows], np.int64)
    chosen = newest_of_keys(keys, row_ts, limit)
    every = newest_of_keys(keys, row_ts, None)[:limit]
    assert keys.take(pa.array(chosen)).equals(keys.take(pa.array(every)))
    assert row_ts[chosen].tolist() == row_ts[every].tolist()
    newest = dict(sorted(rows))
    assert [newest[int(keys[at].as_py())] for at in chosen.tolist()] == row_ts[chosen].tolist()


def test_counts_are_added_and_splits_undone() -> None:
    empty = pa.RecordBatch.from_arrays([pa.array([], pa.int64())], names=["pk"])
    none = np.empty(0, np.int64)
    assert merge_counts([PartRows(empty, none, 3), PartRows(empty, none, 4)]) == 7
    batches = [pa.RecordBatch.from_arrays([pa.array(v)], names=["x"]) for v in ([10, 30], [0, 20])]
    joined = join_rows(batches, [np.array([1, 3]), np.array([0, 2])])
    assert joined.column("x").to_pylist() == [0, 10, 20, 30]
    assert join_rows(batches[:1], [np.array([1, 0])]).column("x").to_pylist() == [30, 10]
