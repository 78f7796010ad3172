"""A command run to its end, with its time and the most memory it held."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass

from roost.errors import Unavailable

TAIL_CHARACTERS = 2000
ROOST = (sys.executable, "-m", "roost")


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that ended well."""

    output: str
    """Standard output and standard error."""
    seconds: float
    peak_rss_bytes: int


def run(*command: str, environment: Mapping[str, str] | None = None) -> Finished:
    """Run a command; `environment` is added to this process's.

    Raises Unavailable with what it said if it fails.
    """
    with tempfile.TemporaryFile() as log:
        start = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **(environment or {})},
        )
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        text = log.read().decode("utf-8", "replace")
    if process.returncode != 0:
        raise Unavailable(f"{' '.join(command)} failed: {text[-TAIL_CHARACTERS:]}")
    return Finished(text, seconds, used.ru_maxrss * 1024)
