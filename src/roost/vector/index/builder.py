"""Index builds outside the serving process.

Each worker is a fresh interpreter (no fork: gRPC and OpenMP have threads) at low priority, driven
through its pipes by one thread of a small pool.  The thread owns the worker: it starts it when a
task comes, replaces it after it died, and nobody else talks to it.

Lock: `_lock` guards the set of workers and `_closed`; never held while a worker is talked to.
"""

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from roost.errors import Failure, Unavailable
from roost.vector.api import IndexSpec
from roost.vector.index.worker import BuildTask

_PROGRAM = "from roost.vector.index.worker import main; main()"

TASKS_WAITING_MAX = 4096
"""Builds that may wait; more are refused, since something is wrong by then."""


class IndexBuilder:
    """A bounded set of worker processes at low priority that build index files.

    A killed worker fails its own build only; the next one gets a fresh process.  Workers end with
    this process, however it ends.
    """

    def __init__(self, workers: int = 1, threads_per_worker: int | None = None) -> None:
        """Use `workers` processes of `threads_per_worker` threads (default: all cores, shared)."""
        cores = len(os.sched_getaffinity(0))
        self._threads = threads_per_worker or max(1, cores // workers)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="index-build")
        self._mine = threading.local()
        self._lock = threading.Lock()
        self._workers: set[subprocess.Popen[bytes]] = set()
        self._waiting = 0
        self._closed = False

    def submit(
        self, spec: IndexSpec, vectors_path: Path, rows: int, dim: int, out: Path
    ) -> Future[Path]:
        """Build the index of the raw float32 rows in `vectors_path` into `out`.

        The file begins with row 0: `rows` × `dim` little-endian float32.  The future gives `out`,
        or raises Failure if the build failed or its worker died.  Raises Unavailable when closed
        or when too many builds wait.
        """
        with self._lock:
            if self._closed:
                raise Unavailable("the index builder is closed")
            if self._waiting >= TASKS_WAITING_MAX:
                raise Unavailable(f"{self._waiting} index builds are waiting")
            self._waiting += 1
        task = BuildTask(spec, str(vectors_path), rows, dim, str(out))
        future = self._pool.submit(self._run, task)
        future.add_done_callback(self._count_down)
        return future

    def worker_pids(self) -> list[int]:
        """Return the processes that are alive now."""
        with self._lock:
            return [worker.pid for worker in self._workers if worker.poll() is None]

    def close(self) -> None:
        """Fail what is not done, end the workers, and wait for them."""
        with self._lock:
            self._closed = True
            workers = list(self._workers)
        for worker in workers:
            worker.kill()  # by pid; a half-written file has a name that nobody opens
        self._pool.shutdown(wait=True)  # what waited fails at once, since no worker starts now
        for worker in workers:
            worker.wait()
            _close_pipes(worker)

    def _count_down(self, _future: Future[Path]) -> None:
        with self._lock:
            self._waiting -= 1

    # On the pool's threads.

    def _run(self, task: BuildTask) -> Path:
        worker = self._worker(task)
        assert worker.stdin is not None
        assert worker.stdout is not None
        try:
            worker.stdin.write(task.to_line())
            worker.stdin.flush()
            line = worker.stdout.readline()
        except OSError:
            line = b""
        if not line:
            code = worker.wait()
            self._forget(worker)
            raise Failure(f"the index worker ended with {code} while building {task.out}")
        answer = json.loads(line)
        if "error" in answer:
            raise Failure(f"building {task.out} failed: {answer['error']}")
        return Path(task.out)

    def _worker(self, task: BuildTask) -> "subprocess.Popen[bytes]":
        mine: subprocess.Popen[bytes] | None = getattr(self._mine, "worker", None)
        if mine is not None and mine.poll() is None:
            return mine
        if mine is not None:
            self._forget(mine)
        command = [sys.executable, "-c", _PROGRAM, str(self._threads)]
        with self._lock:
            if self._closed:
                raise Failure(f"the index builder was closed before {task.out} was built")
            # Pipes are not inherited by other children (close_fds), so that the end of this
            # process always closes the worker's input.
            try:
                worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            except OSError as error:
                raise Failure(f"no process could be started to build indexes: {error}") from error
            self._workers.add(worker)
        self._mine.worker = worker
        return worker

    def _forget(self, worker: "subprocess.Popen[bytes]") -> None:
        with self._lock:
            self._workers.discard(worker)
        _close_pipes(worker)


def _close_pipes(worker: "subprocess.Popen[bytes]") -> None:
    for pipe in (worker.stdin, worker.stdout):
        if pipe is not None and not pipe.closed:
            try:
                pipe.close()
            except OSError:  # a dead worker's input still had bytes to take
                continue
