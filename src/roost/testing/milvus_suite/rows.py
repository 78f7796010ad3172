"""Rows of every kind: stored, read back, replaced, deleted."""

from typing import Any

import numpy as np
from pymilvus import DataType, MilvusClient

from roost.testing.milvus_suite.base import (
    DIM,
    Suite,
    create,
    ids_of,
    index_and_load,
    simple_rows,
    vectors,
)

ODD_TEXT = "ü \"quoted\" 'single' \\ back\nline \U0001f985"


class RowSuite(Suite):
    """What is stored is what is read."""

    def test_every_type_is_read_back_as_it_was_stored(
        self, client: MilvusClient, name: str
    ) -> None:
        schema = client.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=DIM)
        kinds = {
            "yes": DataType.BOOL,
            "tiny": DataType.INT8,
            "small": DataType.INT16,
            "middle": DataType.INT32,
            "big": DataType.INT64,
            "single": DataType.FLOAT,
            "double": DataType.DOUBLE,
            "json": DataType.JSON,
        }
        for field, kind in kinds.items():
            schema.add_field(field, kind)
        schema.add_field("text", DataType.VARCHAR, max_length=100)
        client.create_collection(name, schema=schema, consistency_level="Strong")
        index_and_load(client, name)
        row: dict[str, Any] = {
            "id": -(1 << 63),
            "vector": [float(at) / 3 for at in range(DIM)],
            "yes": True,
            "tiny": -128,
            "small": 32767,
            "middle": -(1 << 31),
            "big": (1 << 63) - 1,
            "single": 0.1,
            "double": 0.1,
            "json": {"a": [1, None, {"b": "c"}], "ü": ODD_TEXT},
            "text": ODD_TEXT,
        }
        client.insert(name, [row])
        (read,) = client.query(name, filter="small == 32767", output_fields=["*"])
        assert list(read.pop("vector")) == np.array(row.pop("vector"), np.float32).tolist()
        assert read.pop("single") == float(np.float32(row.pop("single")))
        assert read == row

        hit = client.search(name, data=[[0.0] * DIM], limit=1, output_fields=["*"])[0][0]
        assert hit["entity"]["json"] == row["json"]
        assert hit["entity"]["text"] == row["text"]
        assert hit["entity"]["big"] == row["big"]

    def test_nulls_and_defaults_fill_what_rows_leave_out(
        self, client: MilvusClient, name: str
    ) -> None:
        schema = client.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=DIM)
        schema.add_field("maybe", DataType.INT32, nullable=True)
        schema.add_field("note", DataType.VARCHAR, max_length=10, nullable=True)
        schema.add_field("stars", DataType.INT64, default_value=3)
        client.create_collection(name, schema=schema, consistency_level="Strong")
        index_and_load(client, name)
        values: list[dict[str, Any]] = [
            {"maybe": 5, "note": "x", "stars": 1},
            {"maybe": None, "note": None, "stars": None},
            {},
            {"maybe": 7},
        ]
        rows = simple_rows(4)
        client.insert(name, [row | value for row, value in zip(rows, values, strict=True)])
        read = client.query(name, filter="id >= 0", output_fields=["maybe", "note", "stars"])
        assert [(row["maybe"], row["note"], row["stars"]) for row in read] == [
            (5, "x", 1),
            (None, None, 3),
            (None, None, 3),
            (7, None, 3),
        ]
        assert ids_of(client.query(name, filter="maybe is null")) == [1, 2]
        assert ids_of(client.query(name, filter="maybe is not null")) == [0, 3]
        assert ids_of(client.query(name, filter="not (maybe == 5)")) == [3]
        found = client.search(
            name, data=[rows[1]["vector"]], limit=4, output_fields=["maybe", "stars"]
        )[0]
        assert found[0]["entity"] == {"maybe": None, "stars": 3}

    def test_automatic_keys_are_unique_and_rise(self, client: MilvusClient, name: str) -> None:
        client.create_collection(name, dimension=DIM, auto_id=True, consistency_level="Strong")
        first = client.insert(name, [{"vector": v} for v in vectors(5).tolist()])["ids"]
        second = client.insert(name, [{"vector": v} for v in vectors(5, 2).tolist()])["ids"]
        assert len({*first, *second}) == 10
        assert sorted([*first, *second]) == [*first, *second]
        assert ids_of(client.get(name, ids=[first[0], second[4]])) == [first[0], second[4]]

    def test_text_keys_work_like_numbers(self, client: MilvusClient, name: str) -> None:
        client.create_collection(
            name, dimension=DIM, id_type="string", max_length=64, consistency_level="Strong"
        )
        keys = ["b", "a'b", 'a"b', "ü", "", "c d"]
        rows = [{"id": k, "vector": v} for k, v in zip(keys, vectors(6).tolist(), strict=True)]
        assert client.insert(name, rows)["ids"] == keys
        assert ids_of(client.query(name, filter='id != "zz"')) == sorted(keys)
        assert ids_of(client.get(name, ids=["ü", "c d"])) == ["c d", "ü"]
        assert ids_of(client.query(name, filter='id == "a\'b"')) == ["a'b"]
        assert ids_of(client.query(name, filter="id == 'a\"b'")) == ['a"b']
        assert client.search(name, data=[rows[3]["vector"]], limit=1)[0][0]["id"] == "ü"
        client.delete(name, ids=["b", "ü"])
        assert ids_of(client.query(name, filter='id != "zz"')) == sorted(["a'b", 'a"b', "", "c d"])

    def test_upsert_replaces_and_adds(self, client: MilvusClient, name: str) -> None:
        create(client, name)
        client.insert(name, [row | {"n": 1} for row in simple_rows(4)])
        answer = client.upsert(name, [row | {"n": 2} for row in simple_rows(4, start=2)])
        assert answer["upsert_count"] == 4
        read = client.query(name, filter="id >= 0", output_fields=["n"])
        assert [(row["id"], row["n"]) for row in read] == [
            (0, 1),
            (1, 1),
            (2, 2),
            (3, 2),
            (4, 2),
            (5, 2),
        ]
        moved = simple_rows(4, start=2)[0]["vector"]
        hit = client.search(name, data=[moved], limit=1)[0][0]
        assert (hit["id"], hit["distance"]) == (2, 0.0)
        assert client.get_collection_stats(name)["row_count"] == 6

    def test_dynamic_keys_keep_their_json_types(self, client: MilvusClient, name: str) -> None:
        create(client, name)
        extra = {"s": "x", "i": 3, "f": 1.5, "b": True, "l": [1, "a"], "o": {"k": None}, "n": None}
        client.insert(name, [simple_rows(1)[0] | extra])
        (row,) = client.query(name, filter="id == 0", output_fields=["*"])
        assert {key: row[key] for key in extra} == extra
        (row,) = client.query(name, filter="id == 0", output_fields=["s", "o"])
        assert row == {"id": 0, "s": "x", "o": {"k": None}}
        assert ids_of(client.query(name, filter='o["k"] == 1 or i == 3')) == [0]

    def test_deleted_rows_stay_deleted_until_they_are_inserted_again(
        self, client: MilvusClient, plain: str
    ) -> None:
        rows = simple_rows(20)
        client.insert(plain, rows)
        client.delete(plain, ids=[3])
        client.delete(plain, filter="id > 15")
        client.delete(plain, filter="id in {keys}", filter_params={"keys": [4, 5]})
        client.flush(plain)
        gone = {3, 4, 5, 16, 17, 18, 19}
        assert set(ids_of(client.query(plain, filter="id >= 0"))) == set(range(20)) - gone
        assert gone.isdisjoint(ids_of(client.search(plain, data=[rows[3]["vector"]], limit=20)[0]))
        client.insert(plain, [rows[3]])
        assert client.search(plain, data=[rows[3]["vector"]], limit=1)[0][0]["id"] == 3

    def test_a_large_insert_is_stored_whole(self, client: MilvusClient, plain: str) -> None:
        count = 20_000
        many = np.random.default_rng(7).random((count, DIM), dtype=np.float32)
        answer = client.insert(
            plain, [{"id": at, "vector": vector} for at, vector in enumerate(many)]
        )
        assert answer["insert_count"] == count
        assert client.query(plain, output_fields=["count(*)"])[0]["count(*)"] == count
        (row,) = client.get(plain, ids=[12_345])
        assert list(row["vector"]) == many[12_345].tolist()
