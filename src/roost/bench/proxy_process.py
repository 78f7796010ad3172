"""The process of `proxy.DelayingProxy`: one loop that forwards, delays and counts.

Every piece of data waits for the same time, so that one queue, in order of arrival, holds all that
is under way: what is sent close together arrives close together, and a pipeline stays one.
The delay is kept by a timer of the kernel (timerfd): epoll's own time-out knows only milliseconds.

A round trip is data from a client after an answer reached that client, or its first data: what
a client sends without having heard anything new belongs to the same trip.

Commands come as JSON lines on standard input, each answered by one line; its end ends the process.
"""

import contextlib
import ctypes
import json
import os
import select
import socket
import struct
import sys
import time
from collections import deque
from dataclasses import dataclass, field

READ_BYTES = 1 << 18
UNDER_WAY_BYTES_MAX = 4 << 20
"""Per direction of a connection; beyond it the sender is not read from."""
BACKLOG = 256
_TFD_ABSTIME = 1
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(eq=False, slots=True)
class End:
    """One socket of a connection; data read from it goes to `other`."""

    socket: socket.socket
    is_client: bool
    other: "End" = field(init=False)
    unsent: deque[bytes] = field(default_factory=deque)
    """Due, but the socket took no more."""
    under_way_bytes: int = 0
    """Read from this end and not yet sent on by the other."""
    heard: bool = True
    """A client's: it was sent something since it last spoke, or never spoke."""
    ended: bool = False
    """Read to its end."""
    mask: int = select.EPOLLIN


class Forwarder:
    """The loop.  Everything happens in one thread."""

    def __init__(self, target: tuple[str, int], rtt_ms: float) -> None:
        self._target = target
        self._delay_ns = 0
        self._set_rtt(rtt_ms)
        self._epoll = select.epoll()
        self._ends: dict[int, End] = {}
        self._due: deque[tuple[int, End, bytes]] = deque()
        """(time, the end it was read from, data; empty data is the end)."""
        self._held: deque[tuple[End, bytes]] = deque()
        self._holds = False
        self._connections = self._round_trips = self._sent = self._received = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        self._listener.setblocking(False)
        self._timer = _libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK)
        if self._timer < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        for descriptor in (self._listener.fileno(), self._timer, sys.stdin.fileno()):
            self._epoll.register(descriptor, select.EPOLLIN)

    def run(self) -> None:
        """Forward until standard input ends."""
        tell({"port": self._listener.getsockname()[1]})
        listener, control = self._listener.fileno(), sys.stdin.fileno()
        while True:
            for descriptor, events in self._epoll.poll():
                if descriptor == control:
                    line = sys.stdin.readline()
                    if not line:
                        return
                    tell(self._obey(json.loads(line)))
                elif descriptor == listener:
                    self._accept()
                elif descriptor == self._timer:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._timer, 8)
                elif (end := self._ends.get(descriptor)) is not None:
                    self._serve(end, events)
            self._deliver()

    def _obey(self, command: dict[str, object]) -> dict[str, object]:
        match command["do"]:
            case "count":
                pass
            case "rtt":
                self._set_rtt(float(str(command["ms"])))
            case "cut":
                for end in list(self._ends.values()):
                    self._drop(end)
            case "hold":
                self._holds = True
            case "release":
                self._holds = False
                while self._held:
                    self._enqueue(*self._held.popleft())
            case other:
                raise ValueError(other)
        return {
            "connections": self._connections,
            "round_trips": self._round_trips,
            "sent_bytes": self._sent,
            "received_bytes": self._received,
        }

    def _set_rtt(self, rtt_ms: float) -> None:
        self._delay_ns = int(rtt_ms * 1e6 / 2)

    # ---- sockets
    def _accept(self) -> None:
        try:
            accepted, _ = self._listener.accept()
        except BlockingIOError:
            return
        try:
            target = socket.create_connection(self._target)
        except OSError:
            accepted.close()
            return
        client, server = End(accepted, True), End(target, False)
        client.other, server.other = server, client
        for end in (client, server):
            end.socket.setblocking(False)
            end.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._ends[end.socket.fileno()] = end
            self._epoll.register(end.socket.fileno(), end.mask)
        self._connections += 1

    def _serve(self, end: End, events: int) -> None:
        if events & select.EPOLLOUT:
            self._send(end)
        if events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR) and not end.ended:
            self._read(end)

    def _read(self, end: End) -> None:
        try:
            data = end.socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self._drop(end)
            return
        end.ended = not data
        end.under_way_bytes += len(data)
        if end.is_client:
            self._sent += len(data)
            if data and end.heard:
                self._round_trips += 1
                end.heard = False
        else:
            self._received += len(data)
        self._set_mask(end)
        if self._holds and not end.is_client:
            self._held.append((end, data))
        else:
            self._enqueue(end, data)

    def _enqueue(self, end: End, data: bytes) -> None:
        due = time.monotonic_ns() + self._delay_ns
        self._due.append((due, end, data))

    def _deliver(self) -> None:
        """Send on what is due, in order of arrival, and set the timer for what is not.

        What came after the delay was made shorter waits for what came before.
        """
        while self._due:
            if self._due[0][0] > time.monotonic_ns():
                self._set_timer(self._due[0][0])
                return
            _, end, data = self._due.popleft()
            other = end.other
            if other.socket.fileno() < 0:
                continue
            other.unsent.append(data)
            if len(other.unsent) == 1:
                self._send(other)

    def _send(self, end: End) -> None:
        """Write what waits for this end, as far as its socket takes it."""
        source = end.other
        try:
            while end.unsent:
                data = end.unsent[0]
                if not data:
                    end.socket.shutdown(socket.SHUT_WR)
                    end.unsent.popleft()
                    if end.ended:
                        self._drop(end)
                        return
                    continue
                written = end.socket.send(data)
                end.heard = True
                source.under_way_bytes -= written
                if written < len(data):
                    end.unsent[0] = data[written:]
                else:
                    end.unsent.popleft()
        except BlockingIOError:
            pass
        except OSError:
            self._drop(end)
            return
        self._set_mask(end)
        self._set_mask(source)

    def _set_mask(self, end: End) -> None:
        mask = select.EPOLLOUT if end.unsent else 0
        if not end.ended and end.under_way_bytes < UNDER_WAY_BYTES_MAX:
            mask |= select.EPOLLIN
        if mask != end.mask and end.socket.fileno() >= 0:
            end.mask = mask
            self._epoll.modify(end.socket.fileno(), mask)

    def _drop(self, end: End) -> None:
        """Close both sides of a connection at once."""
        for one in (end, end.other):
            descriptor = one.socket.fileno()
            if descriptor >= 0:
                self._ends.pop(descriptor, None)
                self._epoll.unregister(descriptor)
                one.socket.close()

    def _set_timer(self, due_ns: int) -> None:
        value = struct.pack("qqqq", 0, 0, *divmod(due_ns, 1_000_000_000))
        if _libc.timerfd_settime(self._timer, _TFD_ABSTIME, value, None) != 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime")


def tell(answer: dict[str, object]) -> None:
    """Print one JSON line."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    Forwarder((sys.argv[1], int(sys.argv[2])), float(sys.argv[3])).run()
