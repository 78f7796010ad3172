"""JuiceFS's bench of a folder: a big file per thread, many small ones, and their attributes.

The same five figures by the same steps, on any folder, on a mount or not, or on a folder inside a
volume without a mount.  Between the steps the system is told to forget the files' pages
(posix_fadvise), where JuiceFS asks for root to drop the caches of the whole machine.
Source: juicefs bench --help, and what it prints.
"""

import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from roost.bench.report import Report, Row
from roost.errors import InvalidArgument
from roost.sizes import KIB, MIB
from roost.volume.client import VolumeClient

THREADS_MAX = 256


@dataclass(frozen=True, slots=True)
class FolderBench:
    """How much to write and read.  A size or count of 0 leaves its part out."""

    block_bytes: int = MIB
    big_file_bytes: int = 1024 * MIB
    small_file_bytes: int = 128 * KIB
    small_files: int = 100
    """Per thread."""
    threads: int = 1

    def __post_init__(self) -> None:
        """Raise InvalidArgument for what makes no sense."""
        if not 0 < self.threads <= THREADS_MAX:
            raise InvalidArgument(f"threads must be 1 to {THREADS_MAX}")
        if self.block_bytes < 1:
            raise InvalidArgument("a block has at least one byte")
        if min(self.big_file_bytes, self.small_file_bytes, self.small_files) < 0:
            raise InvalidArgument("sizes and counts must not be negative")


class Folder(Protocol):
    """Where it happens: the few calls that are measured."""

    def write(self, name: str, size_bytes: int, block: bytes) -> None:
        """Write a new file in blocks, and close it."""

    def read(self, name: str, block_bytes: int) -> None:
        """Read a file to its end in blocks."""

    def stat(self, name: str) -> None:
        """Ask for a file's attributes."""

    def forget(self, name: str) -> None:
        """Make the next read come from further away than this process or the page cache."""

    def remove(self) -> None:
        """Remove all that was made."""


class PathFolder:
    """A folder of the system."""

    def __init__(self, parent: Path) -> None:
        """Make a folder of its own in `parent`.  Raises InvalidArgument, OSError."""
        if not parent.is_dir():
            raise InvalidArgument(f"{parent}: no such folder", hint="Is the volume mounted there?")
        self._folder = parent / f"__roost_benchmark_{secrets.token_hex(4)}__"
        self._folder.mkdir()

    def write(self, name: str, size_bytes: int, block: bytes) -> None:
        """As in Folder."""
        with (self._folder / name).open("xb", buffering=0) as file:
            for start in range(0, size_bytes, len(block)):
                file.write(block[: size_bytes - start])

    def read(self, name: str, block_bytes: int) -> None:
        """As in Folder."""
        target = bytearray(block_bytes)
        with (self._folder / name).open("rb", buffering=0) as file:
            while file.readinto(target):
                pass

    def stat(self, name: str) -> None:
        """As in Folder."""
        os.stat(self._folder / name)

    def forget(self, name: str) -> None:
        """As in Folder."""
        descriptor = os.open(self._folder / name, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)

    def remove(self) -> None:
        """As in Folder."""
        shutil.rmtree(self._folder)


class VolumeFolder:
    """A folder inside a volume, in process."""

    def __init__(self, client: VolumeClient, parent: str) -> None:
        """Make a folder of its own in `parent`.  Raises FsError."""
        self._client = client
        self._folder = f"{parent.rstrip('/')}/__roost_benchmark_{secrets.token_hex(4)}__"
        client.mkdir(self._folder)

    def write(self, name: str, size_bytes: int, block: bytes) -> None:
        """As in Folder."""
        with self._client.open_file(f"{self._folder}/{name}", "x") as file:
            for start in range(0, size_bytes, len(block)):
                file.write(block[: size_bytes - start])

    def read(self, name: str, block_bytes: int) -> None:
        """As in Folder."""
        target = bytearray(block_bytes)
        with self._client.open_file(f"{self._folder}/{name}") as file:
            while file.readinto(target):
                pass

    def stat(self, name: str) -> None:
        """As in Folder."""
        self._client.stat(f"{self._folder}/{name}")

    def forget(self, name: str) -> None:
        """The client's caches stay: they are what a second read meets, and bounded."""

    def remove(self) -> None:
        """As in Folder."""
        self._client.remove_tree(self._folder, skip_trash=True)


def measure(folder: Folder, bench: FolderBench, tell: Callable[[str], None]) -> Report:
    """Run all steps and return their figures; the folder is removed again.  Raises OSError."""
    report = Report("folder", {"roost": ""})
    try:
        if bench.big_file_bytes:
            _big_files(folder, bench, report, tell)
        if bench.small_files:
            _small_files(folder, bench, report, tell)
    finally:
        folder.remove()
    return report


def _big_files(
    folder: Folder, bench: FolderBench, report: Report, tell: Callable[[str], None]
) -> None:
    names = [[f"bigfile.{thread}"] for thread in range(bench.threads)]
    block = os.urandom(bench.block_bytes)
    mib = bench.big_file_bytes * bench.threads / MIB
    tell("write big file")
    took = _each(names, lambda name: folder.write(name, bench.big_file_bytes, block))
    _add(report, "write big file", "MiB/s", mib / took)
    _add(report, "write big file, cost", "s/file", took)
    _forget(folder, names)
    tell("read big file")
    took = _each(names, lambda name: folder.read(name, bench.block_bytes))
    _add(report, "read big file", "MiB/s", mib / took)
    _add(report, "read big file, cost", "s/file", took)


def _small_files(
    folder: Folder, bench: FolderBench, report: Report, tell: Callable[[str], None]
) -> None:
    names = [
        [f"smallfile.{thread}.{number}" for number in range(bench.small_files)]
        for thread in range(bench.threads)
    ]
    block = os.urandom(min(bench.block_bytes, max(bench.small_file_bytes, 1)))
    steps: tuple[tuple[str, Callable[[str], None]], ...] = (
        ("write small file", lambda name: folder.write(name, bench.small_file_bytes, block)),
        ("read small file", lambda name: folder.read(name, bench.block_bytes)),
        ("stat file", folder.stat),
    )
    for step, one in steps:
        tell(step)
        took = _each(names, one)
        _add(report, step, "files/s", bench.small_files * bench.threads / took)
        _add(report, f"{step}, cost", "ms/file", took * 1000 / bench.small_files)
        _forget(folder, names)


def _each(names: list[list[str]], one: Callable[[str], None]) -> float:
    """Let each thread take its names; return the seconds from the common start to the last end."""
    start = threading.Barrier(len(names) + 1)

    def act(mine: list[str]) -> None:
        start.wait()
        for name in mine:
            one(name)

    with ThreadPoolExecutor(len(names)) as pool:
        acting = [pool.submit(act, mine) for mine in names]
        began = time.perf_counter()
        start.wait()
        for thread in acting:
            thread.result()
        return time.perf_counter() - began


def _forget(folder: Folder, names: list[list[str]]) -> None:
    for mine in names:
        for name in mine:
            folder.forget(name)


def _add(report: Report, name: str, unit: str, figure: float) -> None:
    row = Row(name, "", unit, "lower" if name.endswith("cost") else "higher")
    row.add("roost", figure)
    report.rows.append(row)
