"""`roost up` itself: interrupted, killed, and started again."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from roost.vector.engine.engine import open_engine
from roost.vector.files import DirectoryFiles
from tests.e2e.conftest import StartCluster

WAIT_S = 30.0


def test_after_a_kill_of_up_its_members_end_and_a_new_one_goes_on(
    start_cluster: StartCluster,
) -> None:
    cluster = start_cluster(readers=1)
    client = cluster.client()
    client.create_collection("things", dimension=2, metric_type="L2")
    client.insert("things", [{"id": 1, "vector": [1.0, 2.0]}])
    members = [psutil.Process(cluster.pid(name)) for name in ("writer", "reader-1")]
    cluster.kill_supervisor()
    cluster.start_again()
    rows = cluster.client().query("things", ids=[1], consistency_level="Strong")
    assert [row["id"] for row in rows] == [1]
    _, alive = psutil.wait_procs(members, timeout=WAIT_S)
    assert not alive, "members outlive their supervisor"


def test_ctrl_c_ends_a_start_that_waits_for_another_writer(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    url = f"sqlite:///{data / 'catalog.db'}"
    with contextlib.closing(open_engine(url, DirectoryFiles(tmp_path / "files"))):
        process = subprocess.Popen(
            [sys.executable, "-m", "roost", "up", "--data", str(data), "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        ends = time.monotonic() + WAIT_S
        log = data / "logs" / "writer.log"
        while not (log.exists() and "standing by" in log.read_text()):
            assert time.monotonic() < ends
            assert process.poll() is None
            time.sleep(0.1)
        os.kill(process.pid, signal.SIGINT)
        said, _ = process.communicate(timeout=WAIT_S)
    assert process.returncode == 130
    assert "interrupted" in said
    assert "Traceback" not in said
