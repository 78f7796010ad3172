"""A member as seen by another: one channel, calls with deadlines, errors as our own classes.

Thread-safe.  A channel connects by itself and again after a break; `ready` says whether it is
connected, so that a caller knows a call that never left from one whose answer was lost.
"""

import threading
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

import grpc

from roost.cluster.frames import read_event
from roost.cluster.rpc import errors
from roost.cluster.rpc.methods import FOLLOW_PATH, Method
from roost.cluster.rpc.tuning import LARGE_MESSAGES
from roost.cluster.wire import roost_pb2 as wire

Q = TypeVar("Q")
A = TypeVar("A")

KEEPALIVE_S = 10.0
KEEPALIVE_TIMEOUT_S = 5.0
CLOSE_AFTER_S = 0.5
RECONNECT_MAX_S = 1.0
"""A restarted member is found again within about this time."""

CHANNEL_OPTIONS = (
    *LARGE_MESSAGES,
    ("grpc.keepalive_time_ms", int(KEEPALIVE_S * 1000)),
    ("grpc.keepalive_timeout_ms", int(KEEPALIVE_TIMEOUT_S * 1000)),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", int(RECONNECT_MAX_S * 1000)),
    ("grpc.enable_retries", 0),  # We retry, knowing what may be retried.
    ("grpc.use_local_subchannel_pool", 1),
)


class Pending(Generic[A]):
    """A call on its way."""

    def __init__(self, call: Any, address: str) -> None:
        self._call = call
        self._address = address

    def result(self) -> A:
        """Wait for the answer; bounded by the call's deadline.  Raises what the server raised."""
        try:
            answer: A = self._call.result()
        except grpc.RpcError as failed:
            raise errors.from_grpc(failed, self._address) from None
        except grpc.FutureCancelledError:
            raise errors.Unreachable(f"the call to {self._address} was given up") from None
        return answer

    def when_done(self, tell: Callable[[], None]) -> None:
        """Call `tell` from a thread of gRPC's when the answer or failure is there."""
        self._call.add_done_callback(lambda _: tell())

    def cancel(self) -> None:
        """Stop waiting; the server may finish the work."""
        self._call.cancel()


class Peer:
    """The member at `address`, host:port."""

    def __init__(self, address: str, *, watched: bool = True) -> None:
        """`ready` is known only if `watched`, which costs a thread."""
        self.address = address
        self._watched = watched
        self._closed = False
        self._channel = grpc.insecure_channel(address, options=CHANNEL_OPTIONS)
        self._calls: dict[str, Any] = {}
        self._ready = threading.Event()
        if watched:
            self._channel.subscribe(self._observe, try_to_connect=True)

    def call(self, method: Method[Q, A], request: Q, timeout_s: float) -> A:
        """Ask and wait.  Raises what the server raised; Unavailable, TimedOut."""
        self._check_open()
        try:
            answer: A = self._callable(method)(request, timeout=timeout_s)
        except grpc.RpcError as failed:
            raise errors.from_grpc(failed, self.address) from None
        except ValueError:  # gRPC's word for a channel closed meanwhile
            raise self._gone() from None
        return answer

    def start(self, method: Method[Q, A], request: Q, timeout_s: float) -> Pending[A]:
        """Ask without waiting.  Raises Unavailable."""
        self._check_open()
        try:
            return Pending(self._callable(method).future(request, timeout=timeout_s), self.address)
        except ValueError:
            raise self._gone() from None

    def follow(self, member: str, keeper: str = "") -> "EventStream":
        """Open the log stream of a writer; no deadline, but keepalive ends a dead one."""
        stream = self._channel.unary_stream(
            FOLLOW_PATH,
            request_serializer=wire.FollowRequest.SerializeToString,
            response_deserializer=read_event,
        )
        return EventStream(stream(wire.FollowRequest(member=member, keeper=keeper)), self.address)

    @property
    def ready(self) -> bool:
        """True while the channel is connected."""
        return self._ready.is_set()

    def wait_ready(self, timeout_s: float) -> bool:
        """Wait for the connection; False if there is none by then."""
        if not self._ready.is_set():
            # A channel whose server went away rests until somebody asks for it.
            self._channel.subscribe(_ignore, try_to_connect=True)
            self._channel.unsubscribe(_ignore)
        return self._ready.wait(timeout_s)

    def close(self) -> None:
        """Drop the channel; calls under way fail as Unavailable, at once or within a moment."""
        self._closed = True
        if not self._watched:
            self._channel.close()
            return
        self._channel.unsubscribe(self._observe)
        self._ready.clear()
        # gRPC's thread that watches a channel fails loudly if the channel is closed under it.
        closing = threading.Timer(CLOSE_AFTER_S, self._channel.close)
        closing.daemon = True
        closing.start()

    def _check_open(self) -> None:
        if self._closed:
            raise self._gone()

    def _gone(self) -> errors.Unreachable:
        return errors.Unreachable(f"the channel to {self.address} is closed")

    def _observe(self, connectivity: grpc.ChannelConnectivity) -> None:
        if connectivity is grpc.ChannelConnectivity.READY and not self._closed:
            self._ready.set()
        else:
            self._ready.clear()

    def _callable(self, method: Method[Any, Any]) -> Any:
        path = method.path
        found = self._calls.get(path)
        if found is None:
            found = self._channel.unary_unary(
                path,
                request_serializer=method.request.encode,
                response_deserializer=method.reply.decode,
            )
            self._calls[path] = found
        return found


class EventStream:
    """Events of a log stream as they come.  Iterate in one thread; `cancel` from any."""

    def __init__(self, call: Any, address: str) -> None:
        self._call = call
        self._address = address

    def __iter__(self) -> Iterator[Any]:
        """Yield events until the writer ends it.  Raises Unavailable and what the writer raised."""
        try:
            yield from self._call
        except grpc.RpcError as failed:
            raise errors.from_grpc(failed, self._address) from None

    def cancel(self) -> None:
        """End it; the iteration raises Unavailable."""
        self._call.cancel()


def _ignore(connectivity: grpc.ChannelConnectivity) -> None:
    """For a subscription that only asks to connect."""
