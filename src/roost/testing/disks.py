"""Disks for tests: small ones, mounted where a test says, for root only."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from roost.sizes import KIB
from roost.testing.servers import require


@contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[Path]:
    """Mount a file system of that size at `folder`, which is made; skips the test if not root."""
    require(None if os.geteuid() == 0 else "only root mounts a disk")
    folder.mkdir(parents=True)
    options = f"size={size_bytes},mode=700"
    _run("mount", "-t", "tmpfs", "-o", options, "roost-test", str(folder))
    try:
        yield folder
    finally:
        _run("umount", "-l", str(folder))


def fill_up(disk: Path) -> Path:
    """Fill a disk to its last byte; return the file that does it."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(64 * KIB))
        except OSError:
            return filler


def make_read_only(disk: Path) -> None:
    """Let nobody write to a disk of `small_disk`, root included."""
    _run("mount", "-o", "remount,ro", str(disk))


def make_writable(disk: Path) -> None:
    """Take back `make_read_only`."""
    _run("mount", "-o", "remount,rw", str(disk))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
