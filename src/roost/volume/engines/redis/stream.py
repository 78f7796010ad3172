"""A byte stream to a Redis server: TCP, a Unix socket, or TLS.

One thread may receive while others send.  A plain socket allows that by itself; an OpenSSL object
must not be used by two threads at once, so with TLS each call into it is under one lock, and
waiting for data happens outside of it.
"""

import select
import socket
import ssl
import struct
import threading
from dataclasses import dataclass
from typing import Protocol

RECEIVE_BYTES = 1 << 16
CONNECT_WAIT_S = 5.0
RECEIVE_WAIT_S = 1.0  # how often a receiver looks whether the server is silent for too long
SEND_WAIT_S = 20.0


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens: a host and port, or the path of a socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"


class Stream(Protocol):
    """What a connection needs of the network."""

    def send(self, data: bytes) -> None:
        """Send all of it.  Raises OSError."""
        ...

    def receive(self) -> bytes | None:
        """Return some bytes; None if none came for RECEIVE_WAIT_S.  Raises OSError at the end."""
        ...

    def close(self) -> None:
        """End both directions; a thread in `receive` wakes with OSError.  May be repeated."""
        ...

    def forsake(self) -> None:
        """Close a forked child's copy, which its parent does not feel."""
        ...


class PlainStream:
    """A socket."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        # The kernel keeps the time: a time-out of Python's would cost a poll() with each call.
        connected.settimeout(None)
        _set_kernel_wait(connected, socket.SO_RCVTIMEO, RECEIVE_WAIT_S)
        _set_kernel_wait(connected, socket.SO_SNDTIMEO, SEND_WAIT_S)

    def send(self, data: bytes) -> None:
        """As in Stream."""
        self._socket.sendall(data)

    def receive(self) -> bytes | None:
        """As in Stream."""
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return None
        if not data:
            raise ConnectionResetError("the server closed the connection")
        return data

    def close(self) -> None:
        """As in Stream."""
        _close(self._socket)

    def forsake(self) -> None:
        """As in Stream."""
        self._socket.close()  # TLS's says no goodbye either


class TlsStream:
    """A socket with TLS.  One lock around every use of the OpenSSL object."""

    def __init__(self, connected: ssl.SSLSocket) -> None:
        connected.setblocking(False)
        self._socket = connected
        self._lock = threading.Lock()

    def send(self, data: bytes) -> None:
        """As in Stream."""
        view = memoryview(data)
        while view:
            with self._lock:
                try:
                    view = view[self._socket.send(view) :]
                    continue
                except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                    pass
            if not self._ready(select.POLLOUT, SEND_WAIT_S):
                raise TimeoutError("the server takes no data")

    def receive(self) -> bytes | None:
        """As in Stream."""
        while True:
            with self._lock:
                try:
                    data = self._socket.recv(RECEIVE_BYTES)
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    data = None
            if data:
                return data
            if data is not None:
                raise ConnectionResetError("the server closed the connection")
            if not self._ready(select.POLLIN, RECEIVE_WAIT_S):
                return None

    def _ready(self, event: int, wait_s: float) -> bool:
        number = self._socket.fileno()
        if number < 0:
            raise ConnectionResetError("the connection is closed")
        poll = select.poll()
        poll.register(number, event)
        return bool(poll.poll(wait_s * 1000))

    def close(self) -> None:
        """As in Stream."""
        _close(self._socket)

    def forsake(self) -> None:
        """As in Stream."""
        self._socket.close()  # TLS's says no goodbye either


def connect(address: Address, tls: ssl.SSLContext | None) -> Stream:
    """Open a stream.  Raises OSError."""
    if address.path:
        local = socket.socket(socket.AF_UNIX)
        local.settimeout(CONNECT_WAIT_S)
        local.connect(address.path)
        return PlainStream(local)
    connected = socket.create_connection((address.host, address.port), CONNECT_WAIT_S)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if tls is None:
        return PlainStream(connected)
    return TlsStream(tls.wrap_socket(connected, server_hostname=address.host))


def _set_kernel_wait(connected: socket.socket, option: int, wait_s: float) -> None:
    whole = int(wait_s)
    micros = int((wait_s - whole) * 1e6)
    connected.setsockopt(socket.SOL_SOCKET, option, struct.pack("@ll", whole, micros))


def _close(connected: socket.socket) -> None:
    try:
        # The raw shutdown: TLS's own would talk to the peer, and another thread may be receiving.
        socket.socket.shutdown(connected, socket.SHUT_RDWR)
    except OSError:
        pass
    finally:
        connected.close()
