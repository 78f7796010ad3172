"""What may be defined: names, schemas, partitions and indexes, checked in Milvus's words.

Pure functions; the catalog stores what they let through.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from roost.errors import InvalidArgument
from roost.vector import api
from roost.vector.errors import SchemaError
from roost.vector.schema import (
    DYNAMIC_FIELD_NAME,
    SUPPORTED,
    DataType,
    Field,
)

NAME_MAX = 255
FIELDS_MAX = 64
VECTOR_FIELDS_MAX = 10
DIM_MAX = 32_768
VARCHAR_MAX = 65_535
PARTITIONS_MAX = 1_024
SHARDS_MAX = 16
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")
_PARTITION = re.compile(r"[A-Za-z_0-9][A-Za-z0-9_$-]*")


def checked_name(kind: str, name: str) -> str:
    """Return `name` if a collection, field or index may have it.  Raises InvalidArgument."""
    if not name:
        raise InvalidArgument(f"{kind} name should not be empty")
    if len(name.encode()) > NAME_MAX:
        raise InvalidArgument(f"the length of a {kind} name must be less than {NAME_MAX}: {name}")
    pattern = _PARTITION if kind == "partition" else _NAME
    if not pattern.fullmatch(name):
        raise InvalidArgument(
            f"Invalid {kind} name: {name}. The first character must be an underscore or letter,"
            " and it can only contain numbers, letters, dollars and underscores"
        )
    return name


def checked_collection(new: api.NewCollection) -> api.NewCollection:
    """Return `new` with a numbered schema, `$meta` last.  Raises SchemaError, InvalidArgument."""
    checked_name("collection", new.name)
    if not 1 <= new.shards <= SHARDS_MAX:
        raise InvalidArgument(f"the number of shards {new.shards} is not in [1, {SHARDS_MAX}]")
    fields = new.schema.fields
    if len(fields) > FIELDS_MAX:
        raise SchemaError(f"maximum field's number should be limited to {FIELDS_MAX}")
    _check_keys(fields)
    if not new.schema.vectors:
        raise SchemaError("schema does not contain vector field")
    if len(new.schema.vectors) > VECTOR_FIELDS_MAX:
        raise SchemaError(f"maximum vector field's number should be limited to {VECTOR_FIELDS_MAX}")
    names = [field.name for field in fields]
    for field in fields:
        if names.count(field.name) > 1:
            raise SchemaError(f"duplicated field name {field.name} found")
        _check_field(field)
    ordered = sorted(fields, key=lambda f: f.dynamic)
    return replace(new, schema=replace(new.schema, fields=tuple(ordered)).numbered())


def _check_keys(fields: tuple[Field, ...]) -> None:
    keys = [field for field in fields if field.primary]
    if not keys:
        raise SchemaError("primary key is not specified")
    if len(keys) > 1:
        raise SchemaError("there are more than one primary key")
    if sum(field.dynamic for field in fields) > 1:
        raise SchemaError("there are more than one dynamic field")
    key = keys[0]
    if key.dtype not in (DataType.INT64, DataType.VARCHAR):
        raise SchemaError("the data type of primary key should be Int64 or VarChar")
    if key.nullable or key.default is not None:
        raise SchemaError(f"primary field {key.name} must not be nullable or have a default value")
    for field in fields:
        if field.auto_id and not field.primary:
            raise SchemaError("only primary field can specify AutoID with true")


def _check_field(field: Field) -> None:
    if field.dynamic:
        if field.name != DYNAMIC_FIELD_NAME or field.dtype is not DataType.JSON:
            raise SchemaError(f"the dynamic field must be named {DYNAMIC_FIELD_NAME}, of JSON")
        return
    try:
        checked_name("field", field.name)
    except InvalidArgument as error:
        raise SchemaError(error.message) from error
    if field.dtype not in SUPPORTED:
        raise SchemaError(
            f"the data type {field.dtype.name} of field {field.name} is not supported"
        )
    if field.dtype.is_vector:
        _check_vector(field)
    if field.dtype is DataType.VARCHAR and not 1 <= field.max_length <= VARCHAR_MAX:
        raise SchemaError(
            f"the maximum length specified for the field {field.name} should be in"
            f" (0, {VARCHAR_MAX}], but got {field.max_length}"
        )
    if field.default is not None:
        _check_default(field)


def _check_vector(field: Field) -> None:
    if not 2 <= field.dim <= DIM_MAX:
        raise SchemaError(
            f"invalid dimension: {field.dim} of field {field.name}."
            f" should be in range 2 ~ {DIM_MAX}"
        )
    if field.nullable or field.default is not None:
        raise SchemaError(f"vector field {field.name} must not be nullable or have a default value")


_PYTHON_TYPES: Mapping[DataType, tuple[type, ...]] = {
    DataType.BOOL: (bool,),
    DataType.INT8: (int,),
    DataType.INT16: (int,),
    DataType.INT32: (int,),
    DataType.INT64: (int,),
    DataType.FLOAT: (int, float),
    DataType.DOUBLE: (int, float),
    DataType.VARCHAR: (str,),
}
_INTEGER_BITS = {DataType.INT8: 8, DataType.INT16: 16, DataType.INT32: 32, DataType.INT64: 64}


def _check_default(field: Field) -> None:
    value: Any = field.default
    if field.dtype not in _PYTHON_TYPES:
        raise SchemaError(f"a field of type {field.dtype.name} cannot have a default value")
    wrong_bool = type(value) is bool and field.dtype is not DataType.BOOL
    if wrong_bool or type(value) not in _PYTHON_TYPES[field.dtype]:
        raise SchemaError(f"type of default value of field {field.name} does not fit: {value!r}")
    bits = _INTEGER_BITS.get(field.dtype)
    if bits is not None and not -(1 << bits - 1) <= value < 1 << bits - 1:
        raise SchemaError(f"default value of field {field.name} is out of range: {value}")
    if field.dtype is DataType.VARCHAR and len(value.encode()) > field.max_length:
        raise SchemaError(
            f"the length ({len(value.encode())}) of default value of field {field.name}"
            f" exceeds max length {field.max_length}"
        )


def checked_new_partition(info: api.CollectionInfo, name: str) -> str:
    """Return `name` if the collection may get that partition.  Raises InvalidArgument."""
    checked_name("partition", name)
    if len(info.partitions) >= PARTITIONS_MAX:
        raise InvalidArgument(f"partition number exceeds max configuration ({PARTITIONS_MAX})")
    return name
