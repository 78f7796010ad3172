"""Milvus's CollectionSchema message to ours, and back.

`$meta` is a field of ours when dynamic fields are enabled; Milvus's clients see only the flag.
"""

from collections.abc import Iterable
from typing import Any

from google.protobuf.message import DecodeError

from roost.errors import Unsupported
from roost.serve.milvus.wire import params
from roost.serve.milvus.wire.stubs import schema_pb2
from roost.vector.errors import SchemaError
from roost.vector.schema import DYNAMIC_FIELD_NAME, SUPPORTED, CollectionSchema, DataType, Field

_DEFAULT_SLOTS = {
    DataType.BOOL: "bool_data",
    DataType.INT8: "int_data",
    DataType.INT16: "int_data",
    DataType.INT32: "int_data",
    DataType.INT64: "long_data",
    DataType.FLOAT: "float_data",
    DataType.DOUBLE: "double_data",
    DataType.VARCHAR: "string_data",
    DataType.JSON: "bytes_data",
}

_DYNAMIC_FIELD = Field(DYNAMIC_FIELD_NAME, DataType.JSON, dynamic=True)


def collection_schema(raw: bytes) -> CollectionSchema:
    """Return the schema of a CreateCollection call.

    Raises SchemaError: not a schema, or a parameter that is no number; Unsupported: functions,
    struct fields, partition and clustering keys, field types that this Roost does not store.
    """
    try:
        message = schema_pb2.CollectionSchema.FromString(raw)
    except DecodeError:
        raise SchemaError("the schema of the collection cannot be read") from None
    _refuse_unsupported(message)
    fields = tuple(_field(field, message) for field in message.fields)
    if message.enable_dynamic_field:
        fields += (_DYNAMIC_FIELD,)
    return CollectionSchema(fields, message.description)


def schema_message(name: str, schema: CollectionSchema, properties: Iterable[Any]) -> Any:
    """Undo `collection_schema`, as clients expect it in a description."""
    return schema_pb2.CollectionSchema(
        name=name,
        description=schema.description,
        autoID=schema.primary.auto_id,
        fields=[_field_message(field) for field in schema.fields if not field.dynamic],
        enable_dynamic_field=schema.dynamic is not None,
        properties=properties,
    )


def _refuse_unsupported(message: Any) -> None:
    if len(message.functions):
        raise Unsupported("functions (BM25, embedding, reranking) are not supported by Roost")
    if len(message.struct_array_fields):
        raise Unsupported("struct array fields are not supported by Roost")
    if message.external_source:
        raise Unsupported("external collections are not supported by Roost")
    for field in message.fields:
        if field.is_partition_key:
            raise Unsupported(f"partition keys are not supported by Roost: field {field.name}")
        if field.is_clustering_key:
            raise Unsupported(f"clustering keys are not supported by Roost: field {field.name}")


def _field(message: Any, whole: Any) -> Field:
    dtype = next((kind for kind in SUPPORTED if kind == message.data_type), None)
    if dtype is None:
        kind = schema_pb2.DataType.Name(message.data_type)
        raise Unsupported(f"data type {kind} is not supported by Roost: field {message.name}")
    type_params = params.texts(message.type_params)
    auto_id = message.autoID or (message.is_primary_key and whole.autoID)
    return Field(
        name=message.name,
        dtype=dtype,
        primary=message.is_primary_key,
        auto_id=auto_id,
        nullable=message.nullable,
        default=_default(message, dtype),
        dim=_size(type_params, "dim", message.name),
        max_length=_size(type_params, "max_length", message.name),
        description=message.description,
        params=type_params,
    )


def _size(type_params: dict[str, str], key: str, name: str) -> int:
    """Take a size out of the type parameters; 0 if it is not there."""
    text = type_params.pop(key, "0")
    try:
        return int(text)
    except ValueError:
        raise SchemaError(f"invalid {key} of field {name}: {text}") from None


def _default(message: Any, dtype: DataType) -> Any:
    if not message.HasField("default_value"):
        return None
    kind = message.default_value.WhichOneof("data")
    if kind is None:
        return None
    if kind != _DEFAULT_SLOTS.get(dtype):
        raise SchemaError(
            f"type ({dtype.name}) of field ({message.name}) is not equal to "
            f"the type of its default value ({kind})"
        )
    value = getattr(message.default_value, kind)
    return value.decode() if isinstance(value, bytes) else value


def _field_message(field: Field) -> Any:
    type_params = dict(field.params)
    if field.dim:
        type_params["dim"] = str(field.dim)
    if field.max_length:
        type_params["max_length"] = str(field.max_length)
    message = schema_pb2.FieldSchema(
        fieldID=field.id,
        name=field.name,
        is_primary_key=field.primary,
        description=field.description,
        data_type=int(field.dtype),
        type_params=params.pairs_of(type_params),
        autoID=field.auto_id,
        nullable=field.nullable,
    )
    if field.default is not None:
        slot = _DEFAULT_SLOTS[field.dtype]
        value = field.default.encode() if slot == "bytes_data" else field.default
        setattr(message.default_value, slot, value)
    return message
