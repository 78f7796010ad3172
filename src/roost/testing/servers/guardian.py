"""Servers and their folders go when this process goes, however it ends: another waits for that.

It reads lines from a pipe that only we hold open.  When the pipe ends, what was told to it and not
taken back is killed and removed.
"""

import subprocess
import sys
import threading
from pathlib import Path

_PROGRAM = """
import os, shutil, signal, sys
pids, folders = set(), set()
for line in sys.stdin:
    word, _, rest = line.rstrip("\\n").partition(" ")
    {"run": lambda: pids.add(int(rest)), "end": lambda: pids.discard(int(rest)),
     "keep": lambda: folders.add(rest), "gone": lambda: folders.discard(rest)}[word]()
for pid in pids:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
for folder in folders:
    shutil.rmtree(folder, ignore_errors=True)
"""
_lock = threading.Lock()
_process: "subprocess.Popen[str] | None" = None


def runs(pid: int) -> None:
    """A process group was started."""
    _tell(f"run {pid}")


def ended(pid: int) -> None:
    """The process group has ended."""
    _tell(f"end {pid}")


def made(folder: Path) -> None:
    """A folder was made."""
    _tell(f"keep {folder}")


def removed(folder: Path) -> None:
    """The folder has gone."""
    _tell(f"gone {folder}")


def _tell(line: str) -> None:
    global _process
    with _lock:
        if _process is None:
            _process = subprocess.Popen(
                [sys.executable, "-S", "-E", "-c", _PROGRAM],
                stdin=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        assert _process.stdin is not None, "opened as a pipe"
        _process.stdin.write(f"{line}\n")
        _process.stdin.flush()
