"""Builds in other processes: they deliver, they fail alone, they end with their parent."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import psutil
import pytest

from roost.errors import Failure, Unavailable
from roost.vector.api import IndexSpec
from roost.vector.index import ExactSearcher, IndexBuilder, open_file
from roost.vector.index.worker import NICENESS, BuildTask

SPEC = IndexSpec("v", "v", "HNSW", "COSINE", {"M": "8", "efConstruction": "40"}, id=3)
SLOW = IndexSpec("v", "v", "HNSW", "L2", {"M": "64", "efConstruction": "4000"})
WAIT_S = 60


@pytest.fixture(scope="module")
def builder() -> Iterator[IndexBuilder]:
    shared = IndexBuilder(workers=1, threads_per_worker=1)
    yield shared
    shared.close()


@pytest.fixture
def raw(vectors: npt.NDArray[np.float32], tmp_path: Path) -> Path:
    vectors.tofile(tmp_path / "vectors")
    return tmp_path / "vectors"


def test_an_index_built_elsewhere_opens_here(
    builder: IndexBuilder, vectors: npt.NDArray[np.float32], raw: Path, tmp_path: Path
) -> None:
    future = builder.submit(SPEC, raw, *vectors.shape, tmp_path / "index")
    assert future.result(WAIT_S) == tmp_path / "index"
    found = open_file(tmp_path / "index", SPEC, vectors).search(vectors[:50], 1)[1]
    assert (found == ExactSearcher(vectors, "COSINE").search(vectors[:50], 1)[1]).mean() > 0.95


def test_workers_run_at_low_priority(builder: IndexBuilder, raw: Path, tmp_path: Path) -> None:
    builder.submit(SPEC, raw, 100, 32, tmp_path / "index").result(WAIT_S)
    lower = min(os.nice(0) + NICENESS, 19)  # niceness adds to what this process has
    assert [psutil.Process(pid).nice() for pid in builder.worker_pids()] == [lower]


def test_a_build_that_fails_says_why_and_the_worker_goes_on(
    builder: IndexBuilder, raw: Path, tmp_path: Path
) -> None:
    builder.submit(SPEC, raw, 10, 32, tmp_path / "first").result(WAIT_S)
    pids = builder.worker_pids()
    with pytest.raises(Failure, match="shorter than 100000 rows"):
        builder.submit(SPEC, raw, 100_000, 32, tmp_path / "index").result(WAIT_S)
    with pytest.raises(Failure, match="FileNotFoundError"):
        builder.submit(SPEC, tmp_path / "nothing", 1, 32, tmp_path / "index").result(WAIT_S)
    builder.submit(SPEC, raw, 100, 32, tmp_path / "index").result(WAIT_S)
    assert builder.worker_pids() == pids


def test_a_killed_worker_fails_its_build_and_the_next_one_works(
    builder: IndexBuilder, raw: Path, tmp_path: Path
) -> None:
    builder.submit(SPEC, raw, 10, 32, tmp_path / "first").result(WAIT_S)
    [pid] = builder.worker_pids()
    slow = builder.submit(SLOW, raw, 6000, 32, tmp_path / "slow")
    waiting = builder.submit(SPEC, raw, 100, 32, tmp_path / "waiting")
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(Failure, match="ended with -9"):
        slow.result(WAIT_S)
    assert waiting.result(WAIT_S).exists()
    assert not (tmp_path / "slow").exists()
    assert pid not in builder.worker_pids()


def test_a_host_without_room_for_a_process_fails_the_build(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise BlockingIOError("no more processes")

    own = IndexBuilder(workers=1, threads_per_worker=1)
    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", refuse)
        with pytest.raises(Failure, match="no more processes"):
            own.submit(SPEC, raw, 10, 32, tmp_path / "first").result(WAIT_S)
    assert own.submit(SPEC, raw, 10, 32, tmp_path / "next").result(WAIT_S).exists()
    own.close()


def test_closing_ends_workers_and_fails_what_is_not_done(raw: Path, tmp_path: Path) -> None:
    own = IndexBuilder(workers=1, threads_per_worker=1)
    own.submit(SPEC, raw, 10, 32, tmp_path / "first").result(WAIT_S)
    [pid] = own.worker_pids()
    running = own.submit(SLOW, raw, 6000, 32, tmp_path / "running")
    waiting = own.submit(SPEC, raw, 100, 32, tmp_path / "waiting")
    own.close()
    for future in (running, waiting):
        with pytest.raises(Failure):
            future.result(WAIT_S)
    assert not psutil.pid_exists(pid)
    with pytest.raises(Unavailable, match="closed"):
        own.submit(SPEC, raw, 10, 32, tmp_path / "late")
    own.close()


def test_workers_end_when_their_parent_is_killed(raw: Path, tmp_path: Path) -> None:
    program = textwrap.dedent(f"""
        from pathlib import Path
        from roost.vector.api import IndexSpec
        from roost.vector.index import IndexBuilder
        builder = IndexBuilder(1, 1)
        quick = IndexSpec("v", "v", "AUTOINDEX", "L2")
        slow = IndexSpec("v", "v", "HNSW", "L2", {{"M": "64", "efConstruction": "30000"}})
        raw, out = Path({str(raw)!r}), Path({str(tmp_path)!r})
        builder.submit(quick, raw, 10, 32, out / "quick").result()
        builder.submit(slow, raw, 6000, 32, out / "slow")
        print(builder.worker_pids()[0], flush=True)
        input()
    """)
    parent = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    worker = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert parent.stdin is not None
    parent.stdin.close()
    psutil.wait_procs([worker], timeout=WAIT_S)
    assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE
    assert not (tmp_path / "slow").exists()


def test_many_threads_may_submit(builder: IndexBuilder, raw: Path, tmp_path: Path) -> None:
    outs = [tmp_path / f"index-{at}" for at in range(8)]

    def build(out: Path) -> None:
        builder.submit(SPEC, raw, 200, 32, out).result(WAIT_S)

    threads = [threading.Thread(target=build, args=(out,)) for out in outs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(out.exists() for out in outs)


def test_a_task_survives_its_line() -> None:
    task = BuildTask(SPEC, "/a b/ü", 5, 6, '/out "x"')
    assert task.to_line().count(b"\n") == 1
    assert BuildTask.from_line(task.to_line()) == task
