"""A TCP proxy that delays and counts: distance to a server, and round trips, made measurable.

It runs in a process of its own, so that it takes no part in the measured one's interpreter.
Tests use it too: to count round trips, to lose an answer (`hold_answers`, then `cut`), and to cut
connections.
"""

import json
import subprocess
import sys
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import IO

from roost.errors import Unavailable

STOP_WAIT_S = 5.0


@dataclass(frozen=True, slots=True)
class Traffic:
    """What went through a proxy since it started."""

    connections: int
    round_trips: int
    """Data from a client after it heard an answer, or its first data; per connection, summed."""
    sent_bytes: int
    """From clients."""
    received_bytes: int
    """By clients."""

    def since(self, before: "Traffic") -> "Traffic":
        """Return what was added after `before`."""
        return Traffic(
            self.connections - before.connections,
            self.round_trips - before.round_trips,
            self.sent_bytes - before.sent_bytes,
            self.received_bytes - before.received_bytes,
        )


class DelayingProxy:
    """Listens on a free port of 127.0.0.1 and forwards to a server.  Safe to use from threads."""

    def __init__(self, port: int, *, rtt_ms: float = 0.0, host: str = "127.0.0.1") -> None:
        """Start it before the server at `port`; half of `rtt_ms` is added in each direction.

        Raises Unavailable if its process does not start.
        """
        self.target_port = port
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "roost.bench.proxy_process", host, str(port), str(rtt_ms)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            self.port = int(self._answer()["port"])
        except BaseException:
            self.stop()
            raise

    def url(self, server_url: str) -> str:
        """Return the server's URL with the proxy's port in the place of its own."""
        return server_url.replace(f":{self.target_port}", f":{self.port}", 1)

    def traffic(self) -> Traffic:
        """Return what went through so far."""
        return self._do({"do": "count"})

    def set_rtt_ms(self, rtt_ms: float) -> None:
        """Change the delay of what arrives from now on."""
        self._do({"do": "rtt", "ms": rtt_ms})

    def hold_answers(self) -> None:
        """Keep what the server answers from now on until `release_answers`, or lose it by `cut`."""
        self._do({"do": "hold"})

    def release_answers(self) -> None:
        """Send on what was held, and hold no more; answers whose connection was cut are lost."""
        self._do({"do": "release"})

    def cut(self) -> None:
        """Close all connections; new ones are accepted."""
        self._do({"do": "cut"})

    def stop(self) -> None:
        """End the proxy and its connections.  May be repeated."""
        process = self._process
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(STOP_WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def _do(self, command: dict[str, object]) -> Traffic:
        with self._lock:
            stdin = self._process.stdin
            assert stdin is not None, "opened as a pipe"
            stdin.write(json.dumps(command) + "\n")
            stdin.flush()
            return Traffic(**self._answer())

    def _answer(self) -> dict[str, int]:
        stdout: IO[str] | None = self._process.stdout
        assert stdout is not None, "opened as a pipe"
        line = stdout.readline()
        if not line:
            raise Unavailable(f"the proxy ended with {self._process.wait()}")
        answer: dict[str, int] = json.loads(line)
        return answer

    def __enter__(self) -> "DelayingProxy":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
