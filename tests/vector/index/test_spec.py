"""What indexes and searches may be told."""

from dataclasses import replace
from typing import Any

import pytest

from roost.errors import Unsupported
from roost.vector.api import IndexSpec
from roost.vector.errors import IndexParameterError
from roost.vector.index import (
    IndexPlan,
    Metric,
    SearchOptions,
    check_search_params,
    check_spec,
    plan_of,
)
from roost.vector.schema import DataType, Field

T = DataType
VECTOR = Field("v", DataType.FLOAT_VECTOR, dim=4)


def declared(index_type: str, metric: str = "", **params: str) -> IndexSpec:
    return IndexSpec("v", "name", index_type, metric, params)


def test_an_index_without_a_type_is_autoindex_with_cosine_and_is_built_as_a_graph() -> None:
    for index_type in ("", "AUTOINDEX", "autoindex"):
        checked = check_spec(declared(index_type), VECTOR)
        assert (checked.index_type, checked.metric) == ("AUTOINDEX", "COSINE")
        assert plan_of(checked).kind == "HNSW"
        assert plan_of(checked).needs_file


def test_the_clients_parameters_are_kept_and_checking_twice_changes_nothing() -> None:
    spec = declared("hnsw", "l2", M="16", efConstruction="200", note="mine")
    checked = check_spec(spec, VECTOR)
    assert dict(checked.params) == {"M": "16", "efConstruction": "200", "note": "mine"}
    assert check_spec(checked, VECTOR) == checked
    assert plan_of(checked) == IndexPlan("HNSW", Metric.L2, 16, 200)


def test_hnsw_has_milvus_defaults() -> None:
    assert plan_of(check_spec(declared("HNSW", "IP"), VECTOR)) == IndexPlan(
        "HNSW", Metric.IP, 30, 360
    )


def test_flat_needs_no_file() -> None:
    plan = plan_of(check_spec(declared("FLAT", "IP"), VECTOR))
    assert plan == IndexPlan("FLAT", Metric.IP)
    assert not plan.needs_file


@pytest.mark.parametrize(
    "spec",
    [
        declared("NO_SUCH_INDEX", "L2"),
        declared("HNSW", "HAMMING"),
        declared("HNSW", "L2", M="1"),
        declared("HNSW", "L2", M="2049"),
        declared("HNSW", "L2", M="many"),
        declared("HNSW", "L2", efConstruction="0"),
        declared("HNSW", "L2", efConstruction="1.5"),
    ],
)
def test_bad_parameters_are_refused(spec: IndexSpec) -> None:
    with pytest.raises(IndexParameterError):
        check_spec(spec, VECTOR)


@pytest.mark.parametrize("index_type", ["IVF_FLAT", "diskann", "GPU_CAGRA", "NGRAM", "FAISS"])
def test_types_that_milvus_has_and_roost_has_not_are_named(index_type: str) -> None:
    with pytest.raises(Unsupported, match=index_type.upper()):
        check_spec(declared(index_type, "L2"), VECTOR)


NUMBERS = [T.INT8, T.INT16, T.INT32, T.INT64, T.FLOAT, T.DOUBLE]
SCALARS = [*NUMBERS, T.BOOL, T.VARCHAR]
FITTING = {
    "": SCALARS,
    "AUTOINDEX": SCALARS,
    "INVERTED": SCALARS,
    "STL_SORT": NUMBERS,
    "TRIE": [T.VARCHAR],
    "BITMAP": [T.BOOL, T.INT8, T.INT16, T.INT32, T.INT64, T.VARCHAR],
    "HNSW": [],
    "FLAT": [],
}


@pytest.mark.parametrize("index_type", FITTING)
@pytest.mark.parametrize("dtype", SCALARS)
def test_a_scalar_field_takes_the_types_that_fit_it(dtype: DataType, index_type: str) -> None:
    spec = declared(index_type.lower(), note="mine")
    field = Field("s", dtype)
    if dtype in FITTING[index_type]:
        checked = check_spec(spec, field)
        assert checked == replace(spec, index_type=index_type or "AUTOINDEX")
        assert check_spec(checked, field) == checked
    else:
        why = f"data type {dtype.name} can't build with this index {index_type}"
        with pytest.raises(IndexParameterError, match=why):
            check_spec(spec, field)


def test_the_index_of_a_scalar_has_no_metric() -> None:
    assert check_spec(declared("INVERTED", "L2"), Field("s", DataType.INT64)).metric == ""


@pytest.mark.parametrize("index_type", ["INVERTED", "STL_SORT", "TRIE", "BITMAP"])
def test_the_index_of_a_scalar_does_not_fit_vectors(index_type: str) -> None:
    with pytest.raises(IndexParameterError, match=f"FLOAT_VECTOR can't build .* {index_type}"):
        check_spec(declared(index_type), VECTOR)


def test_a_bitmap_of_primary_keys_is_refused() -> None:
    with pytest.raises(IndexParameterError, match="bitmap index on primary key"):
        check_spec(declared("BITMAP"), Field("id", DataType.INT64, primary=True))


def test_json_has_no_index() -> None:
    for index_type in ("AUTOINDEX", "INVERTED"):
        with pytest.raises(Unsupported, match="an index on JSON"):
            check_spec(declared(index_type), Field("$meta", DataType.JSON, dynamic=True))


def test_a_type_that_nobody_has_is_refused_on_scalars_too() -> None:
    with pytest.raises(IndexParameterError, match="invalid index type: SORTED"):
        check_spec(declared("SORTED"), Field("s", DataType.INT64))


@pytest.mark.parametrize(
    ("params", "options"),
    [
        ({}, SearchOptions()),
        ({"ef": 64}, SearchOptions(width=64)),
        ({"ef": "64", "nprobe": 16}, SearchOptions(width=64)),
        ({"radius": 2, "range_filter": "1.5"}, SearchOptions(radius=2.0, range_filter=1.5)),
    ],
)
def test_search_parameters_are_read(params: dict[str, Any], options: SearchOptions) -> None:
    assert check_search_params(declared("HNSW", "L2"), params, 10, "L2") == options


@pytest.mark.parametrize(
    ("metric", "params", "why"),
    [
        ("L2", {"ef": 9}, r"ef\(9\) should be larger than k\(10\)"),
        ("L2", {"ef": 40000}, "Out of range"),
        ("L2", {"ef": "wide"}, "not an integer"),
        ("L2", {"ef": True}, "not an integer"),
        ("L2", {"radius": "far"}, "not a number"),
        ("L2", {"radius": float("nan")}, "not a number"),
        ("L2", {"range_filter": 1}, "needs radius"),
        ("L2", {"radius": 1, "range_filter": 1}, "must be less than radius"),
        ("IP", {"radius": 1, "range_filter": 0.5}, "must be more than radius"),
    ],
)
def test_bad_search_parameters_are_refused(metric: str, params: dict[str, Any], why: str) -> None:
    with pytest.raises(IndexParameterError, match=why):
        check_search_params(declared("HNSW", metric), params, 10)


def test_another_metric_than_the_indexs_is_refused() -> None:
    with pytest.raises(IndexParameterError, match=r"expected=L2\]\[actual=IP"):
        check_search_params(declared("HNSW", "L2"), {}, 10, "IP")


def test_a_flat_index_ignores_the_beam() -> None:
    assert check_search_params(declared("FLAT", "L2"), {"ef": 1}, 10) == SearchOptions()
