"""A gRPC server on threads that answers methods of the table with an object's own methods."""

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import grpc

from roost.cluster.rpc import errors
from roost.cluster.rpc.methods import FOLLOW_PATH, WRITER, Method
from roost.cluster.rpc.tuning import LARGE_MESSAGES
from roost.cluster.wire import roost_pb2 as wire
from roost.errors import RoostError, Unavailable

log = logging.getLogger(__name__)

THREADS = 48
"""Calls served at once; a follower of the writer keeps one for as long as it follows."""
BACKLOG = 512
"""Calls under way and waiting; more are refused at once and retried elsewhere."""
STOP_GRACE_S = 1.0

SERVER_OPTIONS = (
    *LARGE_MESSAGES,
    ("grpc.so_reuseport", 0),  # A member has a port of its own; a taken one must be an error.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
)


class Events(Protocol):
    """Encoded FollowEvents for one follower, until the stream ends or is closed."""

    def __iter__(self) -> Iterator[bytes]:
        """Wait for events and yield them."""
        ...

    def close(self) -> None:
        """Make the iteration end soon; from any thread."""
        ...


Follow = Callable[[str, str], Events]
"""From the follower's name and its token as a keeper (may be empty) to its events."""


class RpcServer:
    """Serves methods on one port until stopped."""

    def __init__(self, address: str) -> None:
        """Bind `address`, host:port; port 0 takes a free one.

        Raises Unavailable if the port is taken.
        """
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="roost-rpc")
        self._server = grpc.server(
            self._pool, options=SERVER_OPTIONS, maximum_concurrent_rpcs=BACKLOG
        )
        host = address.rpartition(":")[0]
        try:
            self.port: int = self._server.add_insecure_port(address)
        except RuntimeError:
            self.port = 0
        if self.port == 0:
            raise Unavailable(
                f"cannot listen on {address}", hint="Choose a free port or stop what uses it."
            )
        self.address = f"{host}:{self.port}"

    def add(self, methods: Sequence[Method[Any, Any]], service: object) -> None:
        """Answer `methods` with the methods of the same names of `service`.

        A request that is a tuple becomes the arguments.
        """
        handlers = {
            method.path.rpartition("/")[2]: grpc.unary_unary_rpc_method_handler(
                _answering(getattr(service, method.name)),
                request_deserializer=method.request.decode,
                response_serializer=method.reply.encode,
            )
            for method in methods
        }
        self._add(methods[0].service, handlers)

    def add_follow(self, follow: Follow) -> None:
        """Answer the writer's log stream; its events come encoded, once for all followers."""
        handler = grpc.unary_stream_rpc_method_handler(
            _streaming(follow),
            request_deserializer=wire.FollowRequest.FromString,
            response_serializer=None,
        )
        self._add(WRITER, {FOLLOW_PATH.rpartition("/")[2]: handler})

    def start(self) -> None:
        """Begin to answer."""
        self._server.start()

    def stop(self) -> None:
        """Refuse new calls, give those under way `STOP_GRACE_S`, then end them."""
        self._server.stop(STOP_GRACE_S).wait()
        self._pool.shutdown(wait=False)

    def _add(self, service: str, handlers: dict[str, Any]) -> None:
        generic = grpc.method_handlers_generic_handler(service, handlers)
        self._server.add_generic_rpc_handlers((generic,))


def _answering(function: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    """The boundary: a RoostError crosses as itself, anything else is a bug that gRPC logs."""

    def answer(request: Any, context: Any) -> Any:
        try:
            if isinstance(request, tuple):
                return function(*request)
            return function(request)
        except RoostError as error:
            log.debug("%s refused: %s", function.__name__, error)
            errors.abort(context, error)

    return answer


def _streaming(follow: Follow) -> Callable[[Any, Any], Iterator[bytes]]:
    def answer(request: Any, context: Any) -> Iterator[bytes]:
        events = follow(request.member, request.keeper)
        # A follower that went away must not leave us waiting for the next event.
        if not context.add_callback(events.close):
            events.close()
        try:
            yield from events
        except RoostError as error:
            errors.abort(context, error)

    return answer
