"""The process that builds index files; `builder` starts it with its number of threads.

It reads one task a line from standard input, as JSON, and answers each with one line on standard
output.  A thread of its own reads the input, so that the process ends at once when the other end of
the pipe is closed, which the kernel does when the parent ends for whatever reason.
"""

import json
import os
import queue
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from roost.errors import RoostError
from roost.vector.api import IndexSpec
from roost.vector.index.build import build_file

NICENESS = 10


@dataclass(frozen=True, slots=True)
class BuildTask:
    """One index to build from a file of raw float32 rows."""

    spec: IndexSpec
    vectors_path: str
    rows: int
    dim: int
    out: str

    def to_line(self) -> bytes:
        """Return the task as one line of JSON."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @staticmethod
    def from_line(line: bytes) -> "BuildTask":
        """Undo `to_line`."""
        raw: dict[str, Any] = json.loads(line)
        return BuildTask(IndexSpec(**raw.pop("spec")), **raw)


def run(task: BuildTask, threads: int) -> None:
    """Build it.  Raises what reading or writing raises."""
    path = Path(task.vectors_path)
    if path.stat().st_size < task.rows * task.dim * 4:
        raise ValueError(f"{path} is shorter than {task.rows} rows of {task.dim} floats")
    vectors = np.memmap(path, np.float32, mode="r", shape=(task.rows, task.dim))
    build_file(task.spec, vectors, Path(task.out), threads=threads)


def _answer(task: BuildTask, threads: int) -> dict[str, str]:
    try:
        run(task, threads)
    except (RoostError, OSError, ValueError, RuntimeError, MemoryError) as error:
        return {"error": f"{type(error).__name__}: {error}"}
    return {"out": task.out}


def _read_tasks(tasks: "queue.SimpleQueue[BuildTask]") -> None:
    for line in sys.stdin.buffer:
        tasks.put(BuildTask.from_line(line))
    os._exit(0)  # the parent is gone or wants no more; a build in progress is of no use


def main() -> None:
    """Serve tasks until standard input ends."""
    threads = int(sys.argv[1])
    os.nice(NICENESS)
    faiss.omp_set_num_threads(threads)
    tasks: queue.SimpleQueue[BuildTask] = queue.SimpleQueue()
    threading.Thread(target=_read_tasks, args=(tasks,), name="tasks", daemon=True).start()
    while True:
        answer = _answer(tasks.get(), threads)
        sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
        sys.stdout.buffer.flush()
