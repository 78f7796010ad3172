"""A command run to its end, with its time and the most memory it held.

A process inherits the peak of the process that started it (Linux keeps it over exec), so a small
launcher stands between: what it forks begins with the launcher's few megabytes.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from roost.errors import Unavailable

TAIL_CHARACTERS = 2000
ROOST = (sys.executable, "-m", "roost")
_LAUNCHER = """
import json, os, sys, time
report, command = int(sys.argv[1]), sys.argv[2:]
start = time.perf_counter()
pid = os.spawnvp(os.P_NOWAIT, command[0], command)
_, status, used = os.wait4(pid, 0)
told = [os.waitstatus_to_exitcode(status), time.perf_counter() - start, used.ru_maxrss * 1024]
os.write(report, json.dumps(told).encode())
"""


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
    reading, writing = os.pipe()
    with tempfile.TemporaryFile() as log, os.fdopen(reading, "rb") as report:
        try:
            subprocess.run(
                [sys.executable, "-S", "-E", "-c", _LAUNCHER, str(writing), *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(writing,),
                env={**os.environ, **(environment or {})},
                check=False,
            )
        finally:
            os.close(writing)
        told = report.read()
        log.seek(0)
        text = log.read().decode("utf-8", "replace")
    code, seconds, peak = json.loads(told) if told else (-1, 0.0, 0)
    if code != 0:
        raise Unavailable(f"{' '.join(command)} failed: {text[-TAIL_CHARACTERS:]}")
    return Finished(text, seconds, peak)


def peak_rss_bytes(pid: int | str = "self") -> int:
    """Return the most memory that a running process held since it began to run its program.

    Raises OSError if it is gone.
    """
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
