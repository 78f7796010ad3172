"""What a collection's rows look like.

Field ids start at 100 in the order of the schema, as clients of Milvus expect; 0 and 1 are Milvus's
hidden row id and timestamp and never used here.
"""

import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from roost.vector.errors import FieldNotFound

FIRST_FIELD_ID = 100
DYNAMIC_FIELD_NAME = "$meta"


class DataType(enum.IntEnum):
    """Milvus's numbers.  Source: milvus-proto schema.proto, DataType."""

    BOOL = 1
    INT8 = 2
    INT16 = 3
    INT32 = 4
    INT64 = 5
    FLOAT = 10
    DOUBLE = 11
    VARCHAR = 21
    ARRAY = 22
    JSON = 23
    BINARY_VECTOR = 100
    FLOAT_VECTOR = 101
    FLOAT16_VECTOR = 102
    BFLOAT16_VECTOR = 103
    SPARSE_FLOAT_VECTOR = 104
    INT8_VECTOR = 105

    @property
    def is_vector(self) -> bool:
        """True for every type that an index of vectors is built on."""
        return self >= DataType.BINARY_VECTOR


SUPPORTED = frozenset(
    {
        DataType.BOOL,
        DataType.INT8,
        DataType.INT16,
        DataType.INT32,
        DataType.INT64,
        DataType.FLOAT,
        DataType.DOUBLE,
        DataType.VARCHAR,
        DataType.JSON,
        DataType.FLOAT_VECTOR,
    }
)


@dataclass(frozen=True, slots=True)
class Field:
    """One column."""

    name: str
    dtype: DataType
    id: int = 0
    """From 100; 0 until `CollectionSchema.numbered` gave it one."""
    primary: bool = False
    auto_id: bool = False
    nullable: bool = False
    default: Any = None
    """Value for rows that leave the field out; None if there is no default."""
    dim: int = 0
    """Of vectors; 0 for scalars."""
    max_length: int = 0
    """Of VARCHAR, in bytes of UTF-8; 0 for other types."""
    dynamic: bool = False
    """True only for `$meta`, the JSON column that takes what the schema does not name."""
    description: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    """Further type parameters, stored and echoed (mmap.enabled …)."""


@dataclass(frozen=True, slots=True)
class CollectionSchema:
    """The fields of a collection, in order; `$meta` last when dynamic fields are enabled."""

    fields: tuple[Field, ...]
    description: str = ""
    version: int = 1

    @property
    def primary(self) -> Field:
        """The primary key field."""
        return next(f for f in self.fields if f.primary)

    @property
    def vectors(self) -> tuple[Field, ...]:
        """The vector fields, in order."""
        return tuple(f for f in self.fields if f.dtype.is_vector)

    @property
    def dynamic(self) -> Field | None:
        """The `$meta` field, None if the collection takes no dynamic fields."""
        return next((f for f in self.fields if f.dynamic), None)

    def field(self, name: str) -> Field:
        """Return the field of that name.  Raises FieldNotFound."""
        for candidate in self.fields:
            if candidate.name == name:
                return candidate
        raise FieldNotFound(name)

    def numbered(self) -> "CollectionSchema":
        """Return the schema with ids given from 100 on, in order."""
        numbered = (replace(f, id=FIRST_FIELD_ID + at) for at, f in enumerate(self.fields))
        return replace(self, fields=tuple(numbered))

    def to_json(self) -> str:
        """Return the stored form, JSON text."""
        return json.dumps(
            {
                "version": self.version,
                "description": self.description,
                "fields": [
                    {slot: getattr(f, slot) for slot in Field.__slots__}
                    | {"params": dict(f.params)}
                    for f in self.fields
                ],
            }
        )

    @staticmethod
    def from_json(text: str) -> "CollectionSchema":
        """Undo `to_json`."""
        raw = json.loads(text)
        fields = tuple(Field(**{**f, "dtype": DataType(f["dtype"])}) for f in raw["fields"])
        return CollectionSchema(fields, raw["description"], raw["version"])
