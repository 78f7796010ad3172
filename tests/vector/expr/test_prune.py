"""Pruning by bounds never loses a row, and does prune."""

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roost.vector.expr import ColumnStatistics, compile_filter
from roost.vector.schema import CollectionSchema, DataType, Field

SCHEMA = CollectionSchema(
    (
        Field("n", DataType.INT64, primary=True),
        Field("s", DataType.VARCHAR, max_length=10, nullable=True),
        Field("x", DataType.FLOAT, nullable=True),
    )
)
BOUNDS = {
    "n": ColumnStatistics(10, 20, 0),
    "s": ColumnStatistics("bb", "dd", 2),
    "x": ColumnStatistics(0.5, 1.5, 0),
}


@pytest.mark.parametrize(
    ("text", "may"),
    [
        ("n > 20", False),
        ("n >= 20", True),
        ("n < 10.5", True),
        ("n == 9", False),
        ("5 < n < 9", False),
        ("n in [1, 2]", False),
        ("n in [1, 15]", True),
        ("n in []", False),
        ("n > 20 or s == 'cc'", True),
        ("n > 20 or s == 'a'", False),
        ("n is null", False),
        ("s is null", True),
        ("s like 'c%'", True),
        ("s like 'b%'", True),
        ("s like 'e%'", False),
        ("s like 'a%'", False),
        ("s like 'ee'", False),
        ("s like '%e'", True),
        ("not (n > 5)", True),
        ("x > 1.6", False),
        ("n != 15", True),
    ],
)
def test_bounds_prune(text: str, may: bool) -> None:
    assert compile_filter(text, SCHEMA).may_match(BOUNDS) is may


def test_unknown_bounds_prune_nothing() -> None:
    compiled = compile_filter("n > 20 and s == 'a'", SCHEMA)
    assert compiled.may_match({})
    assert compiled.may_match({"n": ColumnStatistics(None, None, 0)})


values = st.integers(-3, 3)
texts = st.text(alphabet="ab", max_size=2)
rows = st.lists(st.tuples(values, st.none() | texts), min_size=1, max_size=5)
parts = st.one_of(
    st.builds("n {} {}".format, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), values),
    st.builds("n in [{}, {}]".format, values, values),
    st.builds("s {} '{}'".format, st.sampled_from(["<", ">=", "==", "!="]), texts),
    st.builds("s like '{}%'".format, texts),
    st.sampled_from(["s is null", "s is not null", "n not in [1]"]),
)
conditions = st.one_of(
    parts,
    st.builds("({}) and ({})".format, parts, parts),
    st.builds("({}) or not ({})".format, parts, parts),
)


def statistics(column: list[Any]) -> ColumnStatistics:
    there = [v for v in column if v is not None]
    if not there:
        return ColumnStatistics(None, None, len(column))
    return ColumnStatistics(min(there), max(there), len(column) - len(there))


@settings(max_examples=300, deadline=None)
@given(conditions, rows)
def test_what_is_pruned_has_no_match(text: str, values: list[tuple[int, str | None]]) -> None:
    numbers, strings = [n for n, _ in values], [s for _, s in values]
    batch = pa.RecordBatch.from_pydict(
        {"n": pa.array(numbers), "s": pa.array(strings, pa.string())}
    )
    compiled = compile_filter(text, SCHEMA)
    bounds = {"n": statistics(numbers), "s": statistics(strings)}
    assert compiled.may_match(bounds) or not compiled.mask(batch).any()
