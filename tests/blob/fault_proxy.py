"""An HTTP proxy in front of a real server that spoils chosen requests."""

import contextlib
import http.client
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FAULTS = ("500", "503", "drop", "drop after", "cut")
"""What can happen to a request: an error of the server, no answer before or after the request took
effect, an answer that ends half-way."""


class FaultProxy(ThreadingHTTPServer):
    """Forwards to 127.0.0.1:`port`.  `plan(n, method)` names the fault of the n-th request."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = port
        self.plan: Callable[[int, str], str] = lambda _n, _method: ""
        self.seen: list[str] = []
        self.headers: dict[str, str] = {}  # of the last request, names in small letters
        self.release = threading.Event()  # ends "slow"
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def fail_at(self, nth: int, fault: str) -> None:
        """Spoil the nth request from now (from 1), and no other."""
        with self.lock:
            at = len(self.seen) + nth
        self.plan = lambda n, _method: fault if n == at else ""

    def fail_all(self, fault: str) -> None:
        self.plan = lambda _n, _method: fault

    def heal(self) -> None:
        self.plan = lambda _n, _method: ""

    def handle_error(self, *_: object) -> None:
        """A client that went away is part of the game."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # head and body in one packet, or each waits for an acknowledgement
    disable_nagle_algorithm = True
    server: FaultProxy

    def _serve(self) -> None:
        with self.server.lock:
            self.server.seen.append(self.command)
            self.server.headers = {name.lower(): v for name, v in self.headers.items()}
            fault = self.server.plan(len(self.server.seen), self.command)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if fault == "slow":
            self.server.release.wait(30)
        if fault.isdigit():
            code = {"507": "XMinioStorageFull", "503": "SlowDown"}.get(fault, "InternalError")
            self._answer(int(fault), f"<Error><Code>{code}</Code></Error>".encode(), [])
            return
        if fault == "drop":
            self.close_connection = True
            return
        connection = http.client.HTTPConnection("127.0.0.1", self.server.upstream, timeout=10)
        with contextlib.closing(connection):
            path = re.sub(r"^http://[^/]+", "", self.path)  # it may be used as a proxy by name
            connection.putrequest(self.command, path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                connection.putheader(name, value)
            connection.endheaders(body or None)
            found = connection.getresponse()
            data = found.read()
        if fault == "drop after":
            self.close_connection = True
            return
        headers = [
            (name, value)
            for name, value in found.getheaders()
            if name.lower() not in ("transfer-encoding", "connection", "keep-alive")
        ]
        self._answer(found.status, data, headers, is_cut=fault == "cut")

    def _answer(
        self, status: int, data: bytes, headers: list[tuple[str, str]], *, is_cut: bool = False
    ) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if not any(name.lower() == "content-length" for name, _ in headers):
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(data[: len(data) // 2] if is_cut else data)
        if is_cut:
            self.close_connection = True

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _serve  # noqa: N815 - http.server's names

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def fault_proxy(port: int) -> Iterator[FaultProxy]:
    with FaultProxy(port) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.release.set()
            proxy.shutdown()
            thread.join()
