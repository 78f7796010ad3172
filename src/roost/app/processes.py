"""One child process under supervision: how it starts, says it is ready, and ends.

A child gets two pipes.  It writes a line to `ready`; and it ends itself when `lifeline`, held open
by the parent alone, is closed, so that no child outlives a killed parent.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from roost.errors import TimedOut, Unavailable

READY_LINE = b"ready\n"
STOP_WAIT_S = 10.0
LOG_TAIL_BYTES = 2_000


class Child:
    """A running `roost` process."""

    def __init__(self, name: str, arguments: Sequence[str], log: Path) -> None:
        self.name = name
        self._log = log
        self._ready, ready = os.pipe()
        lifeline, self._lifeline = os.pipe()
        command = [sys.executable, "-m", "roost", *arguments]
        command += ["--ready-fd", str(ready), "--lifeline-fd", str(lifeline)]
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                pass_fds=(ready, lifeline),
                start_new_session=True,  # Ctrl-C at the terminal is the parent's to translate
            )
        os.close(ready)
        os.close(lifeline)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def exit_code(self) -> int | None:
        """How it ended, None while it runs."""
        return self._process.poll()

    def wait_ready(self, timeout_s: float) -> None:
        """Wait until it serves.  Raises Unavailable if it ended, TimedOut."""
        if not select.select([self._ready], [], [], timeout_s)[0]:
            raise TimedOut(f"{self.name} is not ready after {timeout_s:.0f} s", hint=self._look())
        if os.read(self._ready, len(READY_LINE)) != READY_LINE:
            self._process.wait(STOP_WAIT_S)
            raise Unavailable(
                f"{self.name} ended with exit code {self._process.returncode}: {self._last_line()}",
                hint=self._look(),
            )

    def stop(self) -> int:
        """End it in order, by force after a while; return its exit code."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_WAIT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self.forget()
        return self._process.returncode

    def forget(self) -> None:
        """Close our ends of its pipes."""
        for descriptor in (self._ready, self._lifeline):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._ready = self._lifeline = -1

    def _look(self) -> str:
        return f"Look into {self._log}."

    def _last_line(self) -> str:
        tail = self._log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace").strip()
        lines = tail.splitlines() or ["it said nothing"]
        errors = [line for line in lines if line.startswith("error: ")]
        return errors[-1].removeprefix("error: ") if errors else lines[-1]


def say_ready(descriptor: int | None) -> None:
    """Tell the parent that this process serves."""
    if descriptor is not None:
        os.write(descriptor, READY_LINE)
        os.close(descriptor)


def end_with_parent(descriptor: int | None) -> None:
    """Send this process SIGTERM when the parent is gone."""
    if descriptor is None:
        return

    def watch() -> None:
        os.read(descriptor, 1)  # nothing is ever written: it returns at the end of the pipe
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()
