"""Arrays and rows as the bytes fields of messages."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from roost.vector.columns import decode_rows, encode_rows

_COLUMN = "column"


def put_rows(rows: pa.RecordBatch | None) -> bytes:
    """Return rows as an Arrow IPC stream; empty for None."""
    return b"" if rows is None else encode_rows(rows).to_pybytes()


def get_rows(raw: bytes) -> pa.RecordBatch:
    """Undo `put_rows`; the columns point into `raw`."""
    return decode_rows(raw)


def put_column(column: pa.Array | None) -> bytes:
    """Return one column, keys mostly, as an Arrow IPC stream; empty for None."""
    if column is None:
        return b""
    return put_rows(pa.RecordBatch.from_arrays([column], names=[_COLUMN]))


def get_column(raw: bytes) -> pa.Array:
    """Undo `put_column` of a column."""
    return get_rows(raw).column(0)


def get_optional_column(raw: bytes) -> pa.Array | None:
    """Undo `put_column`."""
    return get_column(raw) if raw else None


def put_array(array: npt.NDArray[Any], dtype: npt.DTypeLike) -> bytes:
    """Return the elements in C order, little endian."""
    return np.ascontiguousarray(array, dtype=np.dtype(dtype).newbyteorder("<")).tobytes()


def get_array(raw: bytes, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Undo `put_array`, flat and read-only."""
    return np.frombuffer(raw, dtype=np.dtype(dtype).newbyteorder("<"))


def put_json(values: Mapping[str, Any]) -> str:
    """Return parameters as JSON; empty text for none."""
    return json.dumps(dict(values), default=_plain) if values else ""


def get_json(text: str) -> dict[str, Any]:
    """Undo `put_json`."""
    return dict(json.loads(text)) if text else {}


def _plain(value: object) -> object:
    """Numpy scalars and arrays reach us in parameters of in-process callers."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise TypeError(f"not a parameter value: {value!r}")
