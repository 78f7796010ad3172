"""`roost bench vectors`: the demo's steps on Roost and on its peers, in turn, in one run."""

import importlib.metadata
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pymilvus import MilvusClient, MilvusException

from roost.app.supervisor import Supervisor
from roost.bench import photographs
from roost.bench.demo import Demo, DemoEvents, DemoResult, DemoSettings
from roost.bench.report import Report, Row
from roost.config.settings import Settings
from roost.errors import InvalidArgument, TimedOut

PEERS = ("milvus-lite", "milvus")
START_WAIT_S = 60.0
STOP_WAIT_S = 20.0
ROWS: tuple[tuple[str, str, str, Callable[[DemoResult], float]], ...] = (
    ("insert", "rows/s", "higher", lambda r: r.insert_rows_per_second),
    ("first_search", "s", "lower", lambda r: r.first_search_seconds_mean),
    ("index_ready", "s", "lower", lambda r: r.index_seconds),
    ("recall_at_10", "share", "higher", lambda r: r.recall_at_10),
    ("search_1_thread", "queries/s", "higher", lambda r: r.search_qps),
    ("search_4_threads", "queries/s", "higher", lambda r: r.search_qps_four_threads),
)


def measure(rows: int, peers: tuple[str, ...], rounds: int, tell: Callable[[str], None]) -> Report:
    """Run all sides `rounds` times in turn over the same `rows` vectors.

    Raises InvalidArgument for an unknown peer, WrongAnswer for a Roost that answers wrongly.
    """
    for peer in peers:
        if peer not in PEERS:
            raise InvalidArgument(f"unknown peer {peer!r}", hint=f"Known: {', '.join(PEERS)}.")
    tell("photographs")
    data = photographs.load(rows)
    report = Report("vectors", {"roost": importlib.metadata.version("roost")})
    table = [Row(name, f"rows={rows}", unit, better) for name, unit, better, _ in ROWS]
    sides = ["roost"]
    for peer in peers:
        version = _version(peer)
        if version is None:
            report.left_out.append(peer)
        else:
            sides.append(peer)
            report.versions[peer] = version
    for number in range(rounds):
        for side in sides:
            tell(f"round {number + 1} of {rounds}: {side}")
            result = _measure_side(side, data, rows)
            for row, (_, _, _, figure) in zip(table, ROWS, strict=True):
                row.add(side, figure(result))
    report.rows = table
    return report


def _measure_side(side: str, data: photographs.Descriptors, rows: int) -> DemoResult:
    settings = DemoSettings(rows, max(rows // 10, 1), pause_s=(0.0, 0.0))
    events = DemoEvents(lambda *_: None, lambda *_: None)
    with (
        tempfile.TemporaryDirectory(prefix="roost-bench-") as folder,
        _SIDES[side](Path(folder)) as uri,
    ):
        run = Demo(data, uri, settings, events)
        try:
            return run.measure()
        finally:
            run.close()


@contextmanager
def _roost(folder: Path) -> Iterator[str]:
    supervisor = Supervisor(Settings(data=folder, port=0))
    supervisor.start()
    try:
        yield supervisor.uri
    finally:
        supervisor.stop()


@contextmanager
def _milvus_lite(folder: Path) -> Iterator[str]:
    yield str(folder / "lite.db")


@contextmanager
def _milvus(folder: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = _milvus_server()
    assert program is not None, "checked by _version"
    command = [program, "--data", str(folder), "--proxy-port", str(port)]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        uri = f"http://127.0.0.1:{port}"
        _wait_for(uri)
        yield uri
    finally:
        process.terminate()
        try:
            process.wait(STOP_WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


_SIDES = {"roost": _roost, "milvus-lite": _milvus_lite, "milvus": _milvus}


def _wait_for(uri: str) -> None:
    ends = time.monotonic() + START_WAIT_S
    while True:
        try:
            MilvusClient(uri, timeout=2).close()
        except MilvusException as error:
            if time.monotonic() > ends:
                raise TimedOut(f"{uri} does not answer: {error}") from error
            time.sleep(0.5)
        else:
            return


def _milvus_server() -> str | None:
    beside = Path(sys.executable).parent / "milvus-server"
    return str(beside) if os.access(beside, os.X_OK) else shutil.which("milvus-server")


def _version(peer: str) -> str | None:
    try:
        version = importlib.metadata.version(peer)
    except importlib.metadata.PackageNotFoundError:
        return None
    return version if peer != "milvus" or _milvus_server() is not None else None
