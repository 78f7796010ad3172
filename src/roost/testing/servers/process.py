"""A server process: started, awaited, stopped, killed and started again on the same port and data.

A process leads a session of its own, so that `kill` also ends its children at once, and is ended
when this Python process exits or is killed (see `guardian`).  One thread at a time may start and
stop a server.
"""

import atexit
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import weakref
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from roost.errors import Unavailable
from roost.testing.servers import guardian

START_WAIT_S = 60.0
STOP_WAIT_S = 20.0
POLL_S = 0.02
LOG_TAIL_BYTES = 4000

Self = TypeVar("Self", bound="Server")
_running: "weakref.WeakSet[Server]" = weakref.WeakSet()


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """The common part; a kind says how it is prepared, started, and known to be ready.

    Starting happens in the constructor.  Raises Unavailable if it does not come up.
    """

    stop_signal = signal.SIGTERM

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"roost-{type(self).__name__.lower()}-"))
        guardian.made(self.folder)
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        _running.add(self)
        try:
            reason = self.missing()
            if reason is not None:
                raise Unavailable(reason)
            self._prepare()
            self.restart()
        except BaseException:
            self.stop()
            raise

    @classmethod
    def missing(cls) -> str | None:
        """Return why this server cannot run here; None if it can."""
        raise NotImplementedError

    @property
    def url(self) -> str:
        """How a client names the server."""
        raise NotImplementedError

    def _prepare(self) -> None:
        """Make what must be there before the first start."""

    def _command(self) -> list[str]:
        """Return the command that runs the server in the foreground."""
        raise NotImplementedError

    def _is_ready(self) -> bool:
        """True if a client is answered."""
        return answers(self.port)

    # ---- life
    @property
    def pid(self) -> int:
        """The number of the server's process.  It must be running."""
        assert self._process is not None, "the server is stopped"
        return self._process.pid

    @property
    def log(self) -> str:
        """The end of what the server printed."""
        path = self.folder / "server.log"
        if not path.exists():
            return ""
        return path.read_bytes()[-LOG_TAIL_BYTES:].decode("utf-8", "replace")

    def restart(self) -> None:
        """Start the server on its port and data, after stopping it if it runs.

        Raises Unavailable if it does not come up.
        """
        self._end(self.stop_signal)
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
            )
        guardian.runs(self._process.pid)
        ends = time.monotonic() + START_WAIT_S
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > ends:
                raise Unavailable(f"{type(self).__name__} did not start: {self.log}")
            time.sleep(POLL_S)

    def halt(self) -> None:
        """Stop the server in order, keeping its data for `restart`."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """End the server and its children at once (SIGKILL), keeping its data for `restart`."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Let the server hang, with its connections open, until `resume`."""
        os.killpg(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on."""
        os.killpg(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        """Stop the server for good and remove its folder.  May be repeated."""
        self._end(self.stop_signal)
        _running.discard(self)
        shutil.rmtree(self.folder, ignore_errors=True)
        guardian.removed(self.folder)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            if number is signal.SIGKILL:
                os.killpg(process.pid, number)
            else:
                process.send_signal(signal.SIGCONT)
                process.send_signal(number)
        try:
            process.wait(STOP_WAIT_S)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        guardian.ended(process.pid)

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def answers(port: int) -> bool:
    """True if somebody accepts connections on the port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def run_quietly(command: list[str], folder: Path) -> None:
    """Run a preparing command.  Raises Unavailable with what it printed if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    if done.returncode != 0:
        raise Unavailable(f"{command[0]} failed: {(done.stdout + done.stderr)[-LOG_TAIL_BYTES:]}")


@atexit.register
def _stop_all() -> None:
    for server in list(_running):
        server.stop()
