"""The measured processes of a bench, from the outside.

A process tells that it is open by its first line, then answers each line by one; both are JSON.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, TypeVar

from roost.bench.meta_worker import Job, job_line
from roost.errors import Unavailable

Self = TypeVar("Self", bound="MeasuredProcess")
STOP_WAIT_S = 30.0
TAIL_BYTES = 3000


class MeasuredProcess:
    """A process of a module of this package: one answer per line sent."""

    def __init__(
        self, module: str, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> None:
        """Start it and wait until it is open; `environment` is added to this process's.

        Raises Unavailable with what it said.
        """
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"roost.bench.{module}", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        try:
            self.receive()
        except BaseException:
            self.close()
            raise

    def ask(self, command: dict[str, object]) -> dict[str, Any]:
        """Send a command and return its answer."""
        self.send(command)
        return self.receive()

    def send(self, command: dict[str, object]) -> None:
        """Send a command; `receive` has its answer."""
        stdin = self._process.stdin
        assert stdin is not None, "opened as a pipe"
        stdin.write(json.dumps(command) + "\n")
        stdin.flush()

    def receive(self) -> dict[str, Any]:
        """Return the next answer.  Raises Unavailable if the process ended."""
        stdout = self._process.stdout
        assert stdout is not None, "opened as a pipe"
        line = stdout.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            text = self._errors.read()[-TAIL_BYTES:].decode("utf-8", "replace")
            raise Unavailable(f"a measured process ended: {text}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process in order.  May be repeated."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(STOP_WAIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._errors.close()

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class WorkerProcess(MeasuredProcess):
    """A `meta_worker` process, on `roost META-URL` or `mount FOLDER`."""

    def __init__(self, kind: str, place: str) -> None:
        super().__init__("meta_worker", kind, place)

    def enter(self, folder: str) -> None:
        """Make the folder, so that the clock does not see it."""
        self.ask({"do": "enter", "folder": folder})

    def run(self, job: Job) -> float:
        """Do a job and return its seconds."""
        return float(self.ask(job_line(job))["seconds"])

    def lay(self, folder: str, count: int, suffix: str = "") -> list[list[int]]:
        """Make `count` folders with a file `old-0-N<suffix>` in each and return their inodes."""
        command: dict[str, object] = {"do": "lay", "folder": folder, "count": count}
        laid: list[list[int]] = self.ask({**command, "suffix": suffix})["laid"]
        return laid

    def know(self, folder: str, laid: list[list[int]]) -> None:
        """Tell the inodes that another process laid, so that nothing need be read to name them."""
        self.ask({"do": "know", "folder": folder, "laid": laid})


def run_together(workers: list[WorkerProcess], jobs: list[Job]) -> float:
    """Let each worker do its job at the same time; return the seconds until the last is done."""
    start = time.perf_counter()
    for worker, job in zip(workers, jobs, strict=True):
        worker.send(job_line(job))
    for worker in workers:
        worker.receive()
    return time.perf_counter() - start
