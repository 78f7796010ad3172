"""What may be defined and what not."""

from dataclasses import replace

import pytest

from roost.errors import InvalidArgument
from roost.vector.api import NewCollection
from roost.vector.engine.definitions import checked_collection, checked_name
from roost.vector.errors import SchemaError
from roost.vector.schema import CollectionSchema, DataType, Field

KEY = Field("id", DataType.INT64, primary=True)
VECTOR = Field("vector", DataType.FLOAT_VECTOR, dim=4)


def new(*fields: Field, name: str = "things") -> NewCollection:
    return NewCollection(name, CollectionSchema(fields))


def test_ids_start_at_100_and_the_dynamic_field_comes_last() -> None:
    meta = Field("$meta", DataType.JSON, dynamic=True)
    schema = checked_collection(new(KEY, meta, VECTOR)).schema
    assert [(f.name, f.id) for f in schema.fields] == [("id", 100), ("vector", 101), ("$meta", 102)]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ((VECTOR,), "primary key is not specified"),
        ((KEY,), "does not contain vector field"),
        ((KEY, replace(KEY, name="other"), VECTOR), "more than one primary key"),
        ((KEY, VECTOR, replace(VECTOR)), "duplicated field name"),
        ((replace(KEY, dtype=DataType.FLOAT), VECTOR), "should be Int64 or VarChar"),
        ((KEY, replace(VECTOR, dim=0)), "invalid dimension: 0"),
        ((KEY, replace(VECTOR, dim=32_769)), "invalid dimension"),
        ((KEY, replace(VECTOR, nullable=True)), "must not be nullable"),
        ((KEY, VECTOR, Field("name", DataType.VARCHAR)), "maximum length"),
        ((KEY, VECTOR, Field("s", DataType.SPARSE_FLOAT_VECTOR)), "not supported"),
        ((KEY, VECTOR, Field("n", DataType.INT8, default=128)), "out of range"),
        ((KEY, VECTOR, Field("n", DataType.INT8, default="x")), "does not fit"),
        ((KEY, VECTOR, Field("n", DataType.INT8, auto_id=True)), "AutoID"),
        ((KEY, VECTOR, Field("1x", DataType.INT8)), "Invalid field name"),
    ],
)
def test_a_schema_milvus_refuses_is_refused(fields: tuple[Field, ...], words: str) -> None:
    with pytest.raises(SchemaError, match=words):
        checked_collection(new(*fields))


@pytest.mark.parametrize("name", ["", "1st", "a-b", "x" * 256, "a b"])
def test_a_bad_collection_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument):
        checked_name("collection", name)
