"""Rows of clients: what is refused, what is completed, and with which words."""

import json

import numpy as np
import pyarrow as pa
import pytest

from roost.clock import SystemClock
from roost.vector.columns import rows_schema, vector_column
from roost.vector.engine import rows
from roost.vector.engine.rows import checked_keys, complete_rows, last_of_each_key
from roost.vector.errors import RowsRefused
from roost.vector.schema import CollectionSchema, DataType, Field
from roost.vector.timestamps import HybridClock

SCHEMA = CollectionSchema(
    (
        Field("id", DataType.INT64, primary=True),
        Field("vector", DataType.FLOAT_VECTOR, dim=4),
        Field("name", DataType.VARCHAR, max_length=5, nullable=True),
        Field("rank", DataType.INT8, default=7),
        Field("$meta", DataType.JSON, dynamic=True),
    )
).numbered()
AUTO = CollectionSchema(
    (
        Field("id", DataType.INT64, primary=True, auto_id=True),
        Field("vector", DataType.FLOAT_VECTOR, dim=4),
    )
).numbered()


def vectors(count: int) -> pa.Array:
    return vector_column(np.arange(count * 4, dtype=np.float32).reshape(-1, 4))


def complete(
    schema: CollectionSchema, *, upsert: bool = False, **columns: object
) -> pa.RecordBatch:
    arrays = [c if isinstance(c, pa.Array) else pa.array(c) for c in columns.values()]
    rows = pa.RecordBatch.from_arrays(arrays, names=[n.replace("meta", "$meta") for n in columns])
    return complete_rows(schema, rows, HybridClock(SystemClock()), upsert=upsert)


def test_absent_columns_become_defaults_nulls_and_empty_objects() -> None:
    rows = complete(SCHEMA, vector=vectors(2), id=[1, 2])
    assert rows.schema.equals(rows_schema(SCHEMA))
    assert rows.column("name").to_pylist() == [None, None]
    assert rows.column("rank").to_pylist() == [7, 7]
    assert rows.column("$meta").to_pylist() == [b"{}", b"{}"]


def test_a_null_becomes_the_default() -> None:
    rows = complete(SCHEMA, id=[1, 2], vector=vectors(2), rank=pa.array([3, None], pa.int8()))
    assert rows.column("rank").to_pylist() == [3, 7]


def test_complete_rows_do_not_copy_vectors_that_fit() -> None:
    column = vectors(3)
    rows = complete(SCHEMA, id=[1, 2, 3], vector=column)
    assert rows.column("vector").values.buffers()[1].address == column.values.buffers()[1].address


def test_automatic_keys_rise_and_never_repeat() -> None:
    clock = HybridClock(SystemClock())
    keys: list[int] = []
    for _ in range(3):
        rows = pa.RecordBatch.from_arrays([vectors(1000)], names=["vector"])
        keys += complete_rows(AUTO, rows, clock, upsert=False).column("id").to_pylist()
    assert keys == sorted(set(keys))
    assert clock.next() > keys[-1]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"id": [1]}, "missed an field `vector`"),
        ({"id": [1], "vector": vectors(1), "colour": ["red"]}, "unexpected field `colour`"),
        ({"id": ["a"], "vector": vectors(1)}, "expected INT64, got string"),
        ({"id": [None], "vector": vectors(1)}, "not nullable"),
        ({"id": [1], "vector": vector_column(np.zeros((1, 3), np.float32))}, "dim \\(3\\)"),
        ({"id": [1], "vector": pa.array([[1.0, 2.0, 3.0, 4.0, 5.0]])}, "dim \\(5\\)"),
        ({"id": [1], "vector": pa.array([[1.0, None, 3.0, 4.0]])}, "nulls"),
        ({"id": [1], "vector": pa.array(["x"])}, "expected FLOAT_VECTOR"),
        (
            {"id": [1], "vector": vector_column(np.array([[1, 2, np.nan, 4]], np.float32))},
            "value 'nan'",
        ),
        (
            {"id": [1], "vector": vector_column(np.array([[1, 2, np.inf, 4]], np.float32))},
            "not a number or infinity",
        ),
        ({"id": [1], "vector": vectors(1), "name": ["äöü"]}, "length: 6, max length: 5"),
        ({"id": [1], "vector": vectors(1), "rank": [300]}, "does not fit"),
        ({"id": [1], "vector": vectors(1), "meta": ["[1]"]}, "must be a JSON object"),
        ({"id": [1], "vector": vectors(1), "meta": ["{oops"]}, "does not parse"),
        ({"id": [1], "vector": vectors(1), "meta": ['{"a":1},{"b":2}']}, "does not parse"),
    ],
)
def test_rows_that_do_not_fit_are_refused(columns: dict[str, object], words: str) -> None:
    with pytest.raises(RowsRefused, match=words):
        complete(SCHEMA, **columns)


def test_a_key_for_automatic_keys_is_refused_on_insert_and_needed_on_upsert() -> None:
    with pytest.raises(RowsRefused, match="auto id"):
        complete(AUTO, id=[1], vector=vectors(1))
    with pytest.raises(RowsRefused, match="must assign pk when upsert"):
        complete(AUTO, upsert=True, vector=vectors(1))


def test_of_repeated_keys_the_last_row_stays_in_place() -> None:
    rows = complete(SCHEMA, id=[5, 3, 5, 4, 3], vector=vectors(5), rank=[0, 1, 2, 3, 4])
    kept = last_of_each_key(SCHEMA, rows)
    assert kept.column("id").to_pylist() == [5, 4, 3]
    assert kept.column("rank").to_pylist() == [2, 3, 4]


def test_of_repeated_string_keys_the_last_row_stays() -> None:
    schema = CollectionSchema(
        (
            Field("id", DataType.VARCHAR, primary=True, max_length=9),
            Field("vector", DataType.FLOAT_VECTOR, dim=4),
        )
    ).numbered()
    kept = last_of_each_key(schema, complete(schema, id=["b", "a", "b"], vector=vectors(3)))
    assert kept.column("id").to_pylist() == ["a", "b"]


def test_keys_to_delete_take_the_type_of_the_key_column() -> None:
    assert checked_keys(SCHEMA, pa.array([1, 2], pa.int32())).type == pa.int64()
    with pytest.raises(RowsRefused):
        checked_keys(SCHEMA, pa.array(["x"]))


@pytest.mark.parametrize(
    "text",
    [
        b'{"a": NaN}',
        b'{"a": [-Infinity]}',
        b'{"a": 1e999}',
        b'{"a": "\\ud800"}',
        b'{"\\uDC00": 1}',
        b'{"a": "\xff"}',
        b'\xef\xbb\xbf{"a": 1}',
        '{"a": 1}'.encode("utf-16"),
        b'{"a": 1} {}',
        b"",
    ],
)
def test_json_that_other_clients_could_not_read_back_is_refused(text: bytes) -> None:
    with pytest.raises(RowsRefused, match=r"the JSON of field \$meta does not parse"):
        complete(SCHEMA, id=[1], vector=vectors(1), meta=pa.array([text], pa.binary()))


def test_whole_pairs_of_surrogates_and_large_numbers_are_json() -> None:
    text = b'{"a": "\\ud83d\\ude00", "b": 1e300, "c": -0.5e-400, "d": 123456789012345678901}'
    rows = complete(SCHEMA, id=[1], vector=vectors(1), meta=pa.array([text], pa.binary()))
    assert rows.column("$meta").to_pylist() == [text]


def test_json_text_is_kept_as_it_came() -> None:
    text = json.dumps({"a": [1, {"b": None}]})
    rows = complete(SCHEMA, id=[1], vector=vectors(1), meta=[text])
    assert rows.column("$meta").to_pylist() == [text.encode()]


@pytest.mark.parametrize("at", [0, rows.FINITE_BLOCK - 1, rows.FINITE_BLOCK, -1])
def test_one_number_that_is_none_is_found_wherever_it_stands(at: int) -> None:
    count = rows.FINITE_BLOCK // 4 + 10
    numbers = np.ones(count * 4, np.float32)
    numbers[at] = np.inf
    with pytest.raises(RowsRefused, match="value 'inf'"):
        complete(SCHEMA, id=list(range(count)), vector=vector_column(numbers.reshape(-1, 4)))


def test_a_payload_beyond_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "PAYLOAD_BYTES_MAX", 100)
    rows.check_size(pa.py_buffer(bytes(100)))
    with pytest.raises(RowsRefused, match="send them in several"):
        rows.check_size(pa.py_buffer(bytes(101)))
