"""A real `roost up`: processes, ports and files of its own, stopped by process id."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from pymilvus import MilvusClient

pytest.register_assert_rewrite("roost.testing.milvus_suite")

READY_WAIT_S = 60.0
STOP_WAIT_S = 30.0


class Cluster:
    """One `roost up` and its members."""

    def __init__(self, folder: Path, *, readers: int = 2, config: str = "") -> None:
        self.folder = folder
        self.data = folder / "data"
        command = [sys.executable, "-m", "roost", "up", "--data", str(self.data)]
        command += ["--port", "0", "--readers", str(readers)]
        if config:
            (folder / "roost.toml").write_text(config)
            command += ["--config", str(folder / "roost.toml")]
        self._command = command
        self._out = folder / "up.log"
        self.start_again()

    def start_again(self) -> None:
        """Run `roost up`, for the first time or after `kill_supervisor`, until it is up."""
        with self._out.open("wb") as out:
            self._process = subprocess.Popen(self._command, stdout=out, stderr=out)
        self.uri = self._wait_for(r"Milvus API\s+(\S+)")

    def kill_supervisor(self) -> None:
        """kill -9 `roost up` itself, and nothing else."""
        self._process.kill()
        self._process.wait()

    def output(self) -> str:
        """What `roost up` printed so far."""
        return self._out.read_text()

    def pid(self, member: str) -> int:
        """The process id of "writer" or "reader-1" now, found by its log file's arguments."""
        role = "rw" if member == "writer" else "ro"
        number = 0 if member == "writer" else int(member.split("-")[1]) - 1
        pids = sorted(
            pid for pid, words in self._members() if words[words.index("--role") + 1] == role
        )
        return pids[number]

    def _members(self) -> list[tuple[int, list[str]]]:
        found = []
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            try:
                words = os.fsdecode((folder / "cmdline").read_bytes()).split("\0")
                state = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            except (FileNotFoundError, ProcessLookupError, IndexError):
                continue
            if int(state[1]) == self._process.pid and "serve" in words and state[0] != "Z":
                found.append((int(folder.name), words))
        return found

    def wait_for_readers(self, count: int) -> None:
        """Wait until that many readers listen on the public port."""
        port, ends = int(self.uri.rsplit(":", 1)[1]), time.monotonic() + READY_WAIT_S
        while True:
            pids = [
                pid for pid, words in self._members() if words[words.index("--role") + 1] == "ro"
            ]
            if sum(_listens(pid, port) for pid in pids) >= count:
                return
            assert time.monotonic() < ends, f"no {count} readers listen on {port}"
            time.sleep(0.1)

    def kill(self, member: str) -> int:
        """kill -9 one member; return the process id it had."""
        pid = self.pid(member)
        os.kill(pid, signal.SIGKILL)
        return pid

    def client(self) -> MilvusClient:
        """A new client."""
        return MilvusClient(self.uri)

    def stop(self) -> int:
        """Ctrl-C; return the exit code."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(STOP_WAIT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
                raise
        return self._process.returncode

    def _wait_for(self, pattern: str) -> str:
        ends = time.monotonic() + READY_WAIT_S
        while time.monotonic() < ends:
            found = re.search(pattern, self.output())
            if found is not None:
                return found[1]
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        logs = "\n".join(
            f"--- {p.name}\n{p.read_text()[-3000:]}" for p in (self.data / "logs").glob("*.log")
        )
        self._process.kill()
        raise AssertionError(f"roost up is not ready:\n{self.output()}\n{logs}")


def _listens(pid: int, port: int) -> bool:
    try:
        open_ports = psutil.Process(pid).net_connections("tcp")
    except psutil.NoSuchProcess:
        return False
    return any(at.status == psutil.CONN_LISTEN and at.laddr.port == port for at in open_ports)


StartCluster = Callable[..., Cluster]


@pytest.fixture
def start_cluster(tmp_path: Path) -> Iterator[StartCluster]:
    """Start clusters that end with the test."""
    started: list[Cluster] = []

    def start(**options: object) -> Cluster:
        folder = tmp_path / f"cluster-{len(started)}"
        folder.mkdir()
        started.append(Cluster(folder, **options))  # type: ignore[arg-type]  # passed through
        return started[-1]

    yield start
    for cluster in started:
        cluster.stop()
