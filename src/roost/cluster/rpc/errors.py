"""How a failure crosses from one member to another, and comes out as the class it went in as.

The server ends the call with a gRPC status and the trailing metadata `roost-error-bin`; the client
raises the class named there.  `CLASSES` is the one table: a class that is not in it crosses
as its nearest ancestor that is.
"""

import json
from typing import Any, NoReturn

import grpc

from roost import errors
from roost.cluster.wire import roost_pb2 as wire
from roost.errors import RoostError
from roost.vector import errors as vector_errors


class Unreachable(errors.Unavailable):
    """The connection failed or broke: whether a call under way was carried out is not known."""


METADATA_KEY = "roost-error-bin"
MESSAGE_LIMIT_CHARACTERS = 2000
"""Longer messages are cut: gRPC refuses trailing metadata of more than 8 KiB."""

CLASSES: dict[str, type[RoostError]] = {
    cls.__name__: cls
    for cls in (
        errors.RoostError,
        errors.Refusal,
        errors.InvalidArgument,
        errors.NotFound,
        errors.AlreadyExists,
        errors.Unsupported,
        errors.ReadOnly,
        errors.Failure,
        errors.Unavailable,
        errors.Gone,
        errors.TimedOut,
        errors.LeaseLost,
        errors.CommitUnknown,
        errors.StorageFull,
        errors.Damage,
        errors.CorruptRecord,
        errors.MissingBlock,
        errors.NewerFormat,
        Unreachable,
        vector_errors.CollectionNotFound,
        vector_errors.CollectionExists,
        vector_errors.CollectionNotLoaded,
        vector_errors.PartitionNotFound,
        vector_errors.IndexNotFound,
        vector_errors.DatabaseNotFound,
        vector_errors.FieldNotFound,
        vector_errors.SchemaError,
        vector_errors.RowsRefused,
        vector_errors.SchemaMismatch,
        vector_errors.FilterError,
        vector_errors.IndexParameterError,
        vector_errors.TimestampNotReached,
    )
}

_BASE_SLOTS = frozenset({"message", "hint"})
_STATUSES: tuple[tuple[type[RoostError], grpc.StatusCode], ...] = (
    (errors.NotFound, grpc.StatusCode.NOT_FOUND),
    (errors.AlreadyExists, grpc.StatusCode.ALREADY_EXISTS),
    (errors.Unsupported, grpc.StatusCode.UNIMPLEMENTED),
    (errors.Refusal, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.TimedOut, grpc.StatusCode.DEADLINE_EXCEEDED),
    (errors.StorageFull, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (errors.Failure, grpc.StatusCode.UNAVAILABLE),
    (errors.Damage, grpc.StatusCode.DATA_LOSS),
    (errors.RoostError, grpc.StatusCode.UNKNOWN),
)
"""For people who read traces; our own client looks at the metadata alone."""


def encode(error: RoostError) -> bytes:
    """Return the metadata value that stands for `error`."""
    name = next(c.__name__ for c in type(error).__mro__ if CLASSES.get(c.__name__) is c)
    extra = {k: v for k, v in vars(error).items() if k not in _BASE_SLOTS and _is_plain(v)}
    attributes = json.dumps(extra)
    if len(attributes) > MESSAGE_LIMIT_CHARACTERS:
        attributes = "{}"
    message = wire.Error(
        class_name=name,
        message=error.message[:MESSAGE_LIMIT_CHARACTERS],
        hint=error.hint[:MESSAGE_LIMIT_CHARACTERS],
        attributes=attributes,
    )
    raw: bytes = message.SerializeToString()
    return raw


def decode(raw: bytes) -> RoostError:
    """Undo `encode`.  A class that this release does not know comes out as Failure."""
    message = wire.Error.FromString(raw)
    cls = CLASSES.get(message.class_name, errors.Failure)
    # Past the constructors, whose arguments differ and went into the message already.
    error = cls.__new__(cls)
    RoostError.__init__(error, message.message, hint=message.hint)
    for name, value in json.loads(message.attributes or "{}").items():
        setattr(error, name, value)
    return error


def abort(context: Any, error: RoostError) -> NoReturn:
    """End the call on the server's side with `error`; does not return."""
    context.set_trailing_metadata(((METADATA_KEY, encode(error)),))
    context.abort(status_of(error), error.message[:MESSAGE_LIMIT_CHARACTERS])
    raise AssertionError("abort returned")


def status_of(error: RoostError) -> grpc.StatusCode:
    """Return the gRPC status that fits `error` best."""
    return next(status for cls, status in _STATUSES if isinstance(error, cls))


def from_grpc(failed: grpc.RpcError, address: str) -> RoostError:
    """Return what a failed call to the member at `address` means."""
    for key, value in failed.trailing_metadata() or ():
        if key == METADATA_KEY:
            return decode(value)
    code, details = failed.code(), failed.details()
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return errors.TimedOut(f"{address} did not answer in time")
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
        return Unreachable(f"{address} cannot be reached: {details}")
    return errors.Failure(f"{address} failed: {code.name}: {details}")


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, (bool, int, float, str))
