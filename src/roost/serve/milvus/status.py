"""The one table from our errors to Milvus's codes.

A reply carries both the code of today (`code`) and the one of Milvus 2.2 (`error_code`); clients
look at either.  An error answers with the row of its class, or of the nearest one it derives from.
Source: milvus pkg/util/merr/errors.go; milvus-proto common.proto, ErrorCode.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from roost import errors
from roost.serve.milvus.wire.stubs import common_pb2
from roost.vector import errors as vector_errors

_UNEXPECTED = 1
"""Legacy ErrorCode.UnexpectedError, for codes that had no name of their own in 2.2."""


@dataclass(frozen=True, slots=True)
class Row:
    """What a client is told about one class of error."""

    code: int
    legacy: int = _UNEXPECTED
    retriable: bool = False
    input_error: bool = False
    """The caller's own mistake: Milvus says so in `extra_info`."""


class AliasNotFound(errors.NotFound):
    """No collection has that alias."""

    def __init__(self, alias: str) -> None:
        super().__init__(f"alias not found[alias={alias}]")


_INVALID = Row(1100, 5, input_error=True)
_DAMAGED = Row(1002)

TABLE: MappingProxyType[type[errors.RoostError], Row] = MappingProxyType(
    {
        errors.RoostError: Row(5),
        errors.Refusal: Row(1100, 5),
        errors.InvalidArgument: _INVALID,
        errors.NotFound: Row(1100, 5, input_error=True),
        errors.AlreadyExists: _INVALID,
        errors.Unsupported: Row(3000, input_error=True),
        errors.ReadOnly: Row(2, retriable=True),
        errors.Failure: Row(5),
        errors.Unavailable: Row(2, retriable=True),
        errors.Gone: Row(1, 56, retriable=True),
        errors.TimedOut: Row(2, retriable=True),
        errors.LeaseLost: Row(2, retriable=True),
        errors.CommitUnknown: Row(5),
        errors.StorageFull: Row(7, 54),
        errors.Damage: _DAMAGED,
        errors.CorruptRecord: _DAMAGED,
        errors.MissingBlock: Row(1000),
        errors.NewerFormat: _DAMAGED,
        vector_errors.CollectionNotFound: Row(100, 4),
        vector_errors.CollectionExists: _INVALID,
        vector_errors.CollectionNotLoaded: Row(101),
        vector_errors.PartitionNotFound: Row(200, 15),
        vector_errors.IndexNotFound: Row(700, 25),
        AliasNotFound: Row(1600),
        vector_errors.DatabaseNotFound: Row(800),
        vector_errors.FieldNotFound: Row(1700, input_error=True),
        vector_errors.SchemaError: _INVALID,
        vector_errors.RowsRefused: _INVALID,
        vector_errors.SchemaMismatch: Row(109, 62),
        vector_errors.FilterError: _INVALID,
        vector_errors.IndexParameterError: _INVALID,
        vector_errors.TimestampNotReached: Row(11, 55, retriable=True),
    }
)

_BUG = Row(65535)
"""Milvus's "unexpected": nothing a client can act on."""


def row_of(kind: type[BaseException]) -> Row:
    """Return what a client is told about errors of that class."""
    for base in kind.__mro__:
        row = TABLE.get(base)
        if row is not None:
            return row
    return _BUG


def of(error: errors.RoostError) -> Any:
    """Return the Status message that tells a client about `error`."""
    text = f"{error.message}; {error.hint}" if error.hint else error.message
    return _status(row_of(type(error)), text)


def of_bug(error: Exception) -> Any:
    """Return the Status message for a failure that is our own mistake."""
    return _status(_BUG, f"internal error: {type(error).__name__}: {error}")


def _status(row: Row, text: str) -> Any:
    status = common_pb2.Status(
        code=row.code,
        error_code=row.legacy,
        reason=text,
        detail=text,
        retriable=row.retriable,
    )
    if row.input_error:
        status.extra_info["is_input_error"] = "true"
    return status
