"""Rows that clients send, checked against the schema and made whole.

Everything is done on columns.  What is refused is refused before anything is logged, in Milvus's
words, and the whole batch with it.
"""

import json
import math

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from roost.sizes import GIB, format_size
from roost.vector.columns import arrow_type, rows_schema, vector_column, vectors_of
from roost.vector.errors import FieldNotFound, RowsRefused
from roost.vector.schema import CollectionSchema, DataType, Field
from roost.vector.timestamps import HybridClock

ROWS_MAX = 16_777_216
"""Rows of one request; more would make one record of the log too large to replay in steps."""
PAYLOAD_BYTES_MAX = 1 * GIB
"""Of one request; a follower takes a record of twice that."""
FINITE_BLOCK = 1 << 16
"""Numbers looked at in one go."""
_SURROGATE = rb"\ud"
_INTEGERS = (DataType.INT8, DataType.INT16, DataType.INT32, DataType.INT64)
_FLOATS = (DataType.FLOAT, DataType.DOUBLE)


def complete_rows(
    schema: CollectionSchema, rows: pa.RecordBatch, clock: HybridClock, *, upsert: bool
) -> pa.RecordBatch:
    """Return `rows` with exactly the schema's columns, types and order.

    Automatic keys are taken from `clock`, so they rise and are unique over restarts.
    Raises RowsRefused, FieldNotFound; nothing is changed then.
    """
    if not 0 < rows.num_rows <= ROWS_MAX:
        raise RowsRefused(f"the number of rows {rows.num_rows} is not in [1, {ROWS_MAX}]")
    _check_names(schema, rows.schema.names, upsert=upsert)
    columns = []
    for field in schema.fields:
        at = rows.schema.get_field_index(field.name)
        if at < 0:
            columns.append(_absent(field, rows.num_rows, clock))
        else:
            columns.append(_checked(field, rows.column(at)))
    return pa.RecordBatch.from_arrays(columns, schema=rows_schema(schema))


def check_size(payload: pa.Buffer) -> None:
    """Refuse what would be too large a record.  Raises RowsRefused."""
    if payload.size > PAYLOAD_BYTES_MAX:
        raise RowsRefused(
            f"the rows of one request take {format_size(payload.size)},"
            f" more than {format_size(PAYLOAD_BYTES_MAX)}: send them in several"
        )


def last_of_each_key(schema: CollectionSchema, rows: pa.RecordBatch) -> pa.RecordBatch:
    """Return `rows` with each primary key once; of rows with the same key the last one stays."""
    keys = rows.column(schema.primary.name)
    codes = key_codes(keys)
    _, first_from_behind = np.unique(codes[::-1], return_index=True)
    if len(first_from_behind) == len(codes):
        return rows
    kept = np.sort(len(codes) - 1 - first_from_behind)
    return rows.take(pa.array(kept))


def key_codes(keys: pa.Array) -> npt.NDArray[np.int64]:
    """Return numbers that are equal exactly where `keys` are equal."""
    if pa.types.is_integer(keys.type):
        codes: npt.NDArray[np.int64] = keys.to_numpy(zero_copy_only=False)
        return codes
    indices = keys.dictionary_encode().indices
    return np.asarray(indices.to_numpy(zero_copy_only=False), dtype=np.int64)


def checked_keys(schema: CollectionSchema, keys: pa.Array) -> pa.Array:
    """Return primary keys given by a client in the type of the key column.  Raises RowsRefused."""
    field = schema.primary
    if keys.null_count:
        raise RowsRefused(f"primary key {field.name} must not be null")
    return _cast(field, keys)


def _check_names(schema: CollectionSchema, names: list[str], *, upsert: bool) -> None:
    if len(set(names)) != len(names):
        raise RowsRefused(f"duplicated field names in {names}")
    known = {field.name for field in schema.fields}
    for name in names:
        if name not in known:
            raise RowsRefused(
                f"Attempt to insert an unexpected field `{name}` to collection"
                " without enabling dynamic field"
            ) from FieldNotFound(name)
    key = schema.primary
    if key.auto_id and not upsert and key.name in names:
        raise RowsRefused(f"field {key.name} is auto id, its values must not be passed in")
    if upsert and key.name not in names:
        raise RowsRefused(f"must assign pk when upsert, primary field: {key.name}")


def _absent(field: Field, count: int, clock: HybridClock) -> pa.Array:
    if field.primary and field.auto_id:
        return _automatic_keys(field, count, clock)
    if field.default is not None:
        return pa.repeat(pa.scalar(_default(field), arrow_type(field)), count)
    if field.dynamic:
        return pa.repeat(pa.scalar(b"{}", arrow_type(field)), count)
    if field.nullable:
        return pa.nulls(count, arrow_type(field))
    raise RowsRefused(
        f"Insert missed an field `{field.name}` to collection"
        " without set nullable==true or set default_value"
    )


def _automatic_keys(field: Field, count: int, clock: HybridClock) -> pa.Array:
    first = clock.reserve(count)
    keys = pa.array(np.arange(first, first + count, dtype=np.int64))
    return keys if field.dtype is DataType.INT64 else keys.cast(pa.string())


def _default(field: Field) -> object:
    if field.dtype is DataType.JSON and not isinstance(field.default, bytes):
        text = field.default if isinstance(field.default, str) else json.dumps(field.default)
        return text.encode()
    return field.default


def _checked(field: Field, column: pa.Array) -> pa.Array:
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if field.dtype is DataType.FLOAT_VECTOR:
        return _checked_vectors(field, column)
    column = _cast(field, column)
    if column.null_count:
        column = _without_nulls(field, column)
    if field.dtype is DataType.VARCHAR:
        _check_lengths(field, column)
    elif field.dtype in _FLOATS:
        _check_finite(field, column.drop_null().to_numpy(zero_copy_only=False))
    elif field.dtype is DataType.JSON:
        _check_json(field, column)
    return column


def _without_nulls(field: Field, column: pa.Array) -> pa.Array:
    if field.default is not None:
        return column.fill_null(pa.scalar(_default(field), column.type))
    if field.dynamic:
        return column.fill_null(pa.scalar(b"{}", column.type))
    if field.nullable:
        return column
    raise RowsRefused(f"the field {field.name} is not nullable, but {column.null_count} rows are")


def _cast(field: Field, column: pa.Array) -> pa.Array:
    wanted = arrow_type(field)
    if column.type.equals(wanted):
        return column
    if not _may_cast(field.dtype, column.type):
        raise RowsRefused(
            f"the field data type of {field.name} is not equal to schema data type:"
            f" expected {field.dtype.name}, got {column.type}"
        )
    try:
        return column.cast(wanted, safe=field.dtype not in _FLOATS)
    except pa.ArrowInvalid as error:
        raise RowsRefused(f"the value of field {field.name} does not fit: {error}") from error


def _may_cast(wanted: DataType, given: pa.DataType) -> bool:
    if pa.types.is_null(given):
        return True
    if wanted in _INTEGERS:
        return bool(pa.types.is_integer(given))
    if wanted in _FLOATS:
        return bool(pa.types.is_floating(given) or pa.types.is_integer(given))
    if wanted is DataType.VARCHAR:
        return bool(pa.types.is_large_string(given) or pa.types.is_string_view(given))
    if wanted is DataType.JSON:
        text = pa.types.is_string(given) or pa.types.is_large_string(given)
        return bool(text or pa.types.is_large_binary(given))
    return False


def _checked_vectors(field: Field, column: pa.Array) -> pa.Array:
    kind = column.type
    listed = pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind)
    if not listed or not pa.types.is_floating(kind.value_type):
        raise RowsRefused(
            f"the field data type of {field.name} is not equal to schema data type:"
            f" expected FLOAT_VECTOR, got {kind}"
        )
    if column.null_count or column.flatten().null_count:
        raise RowsRefused(f"the vector field {field.name} must not have nulls")
    if pa.types.is_fixed_size_list(kind) and kind.value_type == pa.float32():
        _check_dim(field, kind.list_size)
        vectors = vectors_of(column)
    else:
        lengths = pc.list_value_length(column)
        wrong = lengths.filter(pc.not_equal(lengths, field.dim))
        _check_dim(field, wrong[0].as_py() if len(wrong) else field.dim)
        flat = column.flatten().to_numpy(zero_copy_only=False)
        vectors = np.asarray(flat, dtype=np.float32).reshape(-1, field.dim)
    _check_finite(field, vectors)
    return vector_column(vectors)


def _check_dim(field: Field, dim: int) -> None:
    if dim != field.dim:
        raise RowsRefused(
            f"the dim ({dim}) of field data({field.name}) is not equal to schema dim"
            f" ({field.dim}): invalid parameter[expected={field.dim}][actual={dim}]"
        )


def _check_finite(field: Field, values: npt.NDArray[np.floating]) -> None:
    flat = values.reshape(-1)
    for start in range(0, len(flat), FINITE_BLOCK):  # small, so that no new memory is touched
        block = flat[start : start + FINITE_BLOCK]
        finite = np.isfinite(block)
        if not finite.all():
            bad = block[~finite][0]
            raise RowsRefused(f"value '{bad}' of field {field.name} is not a number or infinity")


def _check_lengths(field: Field, column: pa.Array) -> None:
    lengths = pc.binary_length(column)
    longest = pc.max(lengths).as_py()
    if longest is not None and field.max_length and longest > field.max_length:
        row = pc.index(lengths, longest).as_py()
        raise RowsRefused(
            f"length of varchar field {field.name} exceeds max length, row number: {row},"
            f" length: {longest}, max length: {field.max_length}"
        )


def _check_json(field: Field, column: pa.Array) -> None:
    """Parse each distinct text once: mostly they are few (often one, `{}`)."""
    distinct = column.drop_null().unique()
    try:
        kinds = set(map(type, map(_parsed, distinct.to_pylist())))
    except (ValueError, RecursionError) as error:
        raise RowsRefused(f"the JSON of field {field.name} does not parse: {error}") from error
    if field.dynamic and kinds - {dict}:
        raise RowsRefused("the value of a dynamic field must be a JSON object")


def _parsed(text: bytes) -> object:
    """Return what strict JSON in UTF-8 says.  Raises ValueError, RecursionError.

    Stricter than `json`, because what is stored must be JSON to every client that reads it back.
    """
    value: object = _STRICT.decode(text.decode())
    if _SURROGATE in text.lower():  # half a pair is no text, and no filter could compare it
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"{number} is not a number that JSON has")
    return value


_STRICT = json.JSONDecoder(parse_float=_finite, parse_constant=_finite)
