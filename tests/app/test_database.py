"""`roost.open`: columns in, columns out, and the whole suite of Milvus's clients at `db.uri`."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import roost
from roost.errors import InvalidArgument, Unavailable
from roost.testing.milvus_suite import AliasSuite, MilvusSuite
from roost.vector.errors import RowsRefused
from roost.vector.schema import DataType, Field

FIELDS = (
    Field("id", DataType.INT64, primary=True),
    Field("vector", DataType.FLOAT_VECTOR, dim=4),
    Field("place", DataType.VARCHAR, max_length=32),
)


def columns(count: int, first: int = 0) -> dict[str, object]:
    """Rows whose vectors are far apart."""
    ids = np.arange(first, first + count)
    vectors = np.zeros((count, 4), np.float32)
    vectors[:, 0] = ids
    vectors[:, 1] = 1
    return {
        "id": ids,
        "vector": vectors,
        "place": [f"place {i % 3}" for i in ids],
        "colour": ["red" if i % 2 else "blue" for i in ids],
    }


def test_columns_go_in_and_come_out_and_survive_a_restart(tmp_path: Path) -> None:
    with roost.open(tmp_path / "data") as db:
        db.create_collection("photos", FIELDS, metric="L2")
        assert db.insert("photos", columns(100)).count == 100
        assert db.delete("photos", "id < 10") == 10
        assert db.delete("photos", ids=[10]) == 1
    with roost.open(tmp_path / "data") as db:
        assert db.list_collections() == ["photos"]
        query = np.array([50.2, 1, 0, 0], np.float32)
        hits = db.search("photos", query, 2, filter='colour == "blue"', output_fields=["place"])
        assert hits.ids.to_pylist() == [50, 52]
        assert hits.scores == pytest.approx([0.04, 3.24], rel=1e-3)
        assert hits.rows.column("place").to_pylist() == ["place 2", "place 1"]
        rows = db.query("photos", "id < 13", output_fields=["id", "vector"])
        assert rows.column("id").to_pylist() == [11, 12]
        assert rows.column("vector").to_pylist()[0] == [11, 1, 0, 0]
        db.drop_collection("photos")
        assert db.list_collections() == []


def test_a_column_that_does_not_fit_is_refused_and_nothing_is_stored(tmp_path: Path) -> None:
    with roost.open(tmp_path / "data") as db:
        db.create_collection("photos", FIELDS, dynamic=False)
        good = columns(3)
        del good["colour"]
        for name, value in (
            ("vector", np.zeros((3, 5), np.float32)),
            ("vector", np.full((3, 4), np.nan, np.float32)),
            ("id", ["a", "b", "c"]),
            ("place", ["x" * 33] * 3),
            ("place", ["only one"]),
            ("unknown", [1, 2, 3]),
        ):
            with pytest.raises(RowsRefused):
                db.insert("photos", good | {name: value})
        assert db.query("photos", "id >= 0").num_rows == 0


def test_one_process_at_a_time_may_open_a_folder(tmp_path: Path) -> None:
    with (
        roost.open(tmp_path / "data"),
        pytest.raises(Unavailable, match="in use by process"),
    ):
        roost.open(tmp_path / "data")


def test_an_unknown_number_of_the_engine_is_refused_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument) as caught:
        roost.open(tmp_path / "data", flush_row=3)
    assert "flush_rows" in caught.value.hint


class TestMilvusClients(MilvusSuite, AliasSuite):
    """Everything a Milvus client does, on the real engine over the real volume."""

    @pytest.fixture(scope="class")
    @classmethod
    def address(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
        with roost.open(tmp_path_factory.mktemp("database") / "data") as db:
            yield db.uri.removeprefix("http://")
