"""Where failures cross the wire: one decorator around every handler."""

import functools
import logging
from collections.abc import Callable
from typing import Any, TypeVar

import grpc

from roost.errors import RoostError, Unavailable
from roost.serve.milvus import database, status

_log = logging.getLogger(__name__)

Handler = TypeVar("Handler", bound=Callable[..., Any])


def answers(reply: Callable[..., Any]) -> Callable[[Handler], Handler]:
    """Make a handler report what it raises inside its `reply`, where clients look for it.

    `reply` is a message with a `status`, or Status itself.  A plain `Unavailable` leaves as gRPC's
    UNAVAILABLE, because clients wait and ask again on that: so a fail-over passes unnoticed.
    A bug is logged and answered, not left to gRPC: clients repeat a call that ended as UNKNOWN
    up to 75 times, and a write must not be repeated by accident.
    """
    is_status = reply.__name__ == "Status"

    def failed(message: Any) -> Any:
        return message if is_status else reply(status=message)

    def decorate(handler: Handler) -> Handler:
        @functools.wraps(handler)
        def answer(self: Any, request: Any, context: grpc.ServicerContext) -> Any:
            try:
                database.check(request, context)
                return handler(self, request, context)
            except RoostError as error:
                if type(error) is Unavailable:
                    context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
                _log.debug("%s: %s", handler.__name__, error)
                return failed(status.of(error))
            except Exception as error:  # noqa: BLE001  # the boundary of the process
                _log.exception("%s failed", handler.__name__)
                return failed(status.of_bug(error))

        return answer  # type: ignore[return-value]  # wraps keeps the handler's signature

    return decorate
