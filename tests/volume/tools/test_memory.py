"""The tools need the same memory for many files as for few; measured in processes of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from roost.volume.formatting import NewVolume, make_volume
from roost.volume.tools.bulk import FilesWanted, make_files
from roost.volume.tools.opened import opened

RSS_BYTES_MAX = 300 << 20
QUICK_FILES = 10_000
TIMEOUT_S = 3000
_MEASURE = """
import json, resource, subprocess, sys, time
began = time.monotonic()
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([done.returncode, usage.ru_maxrss * 1024, time.monotonic() - began,
                  done.stderr.decode()[-500:]]))
"""


def measured(*command: str) -> int:
    """Run a command to its end; return its largest resident set in bytes."""
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, sys.executable, "-m", "roost", *command],
        capture_output=True,
        timeout=TIMEOUT_S,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    code, rss_bytes, took_s, said = json.loads(done.stdout)
    print(f"roost {command[0]}: {rss_bytes >> 20} MiB, {took_s:.1f} s")
    assert code == 0, said
    return int(rss_bytes)


@pytest.mark.parametrize("files", [QUICK_FILES, pytest.param(1_000_000, marks=pytest.mark.long)])
def test_memory_does_not_grow_with_the_number_of_files(tmp_path: Path, files: int) -> None:
    url, dump = f"sqlite3://{tmp_path}/meta.db", str(tmp_path / "dump.json")
    make_volume(url, NewVolume("million", bucket=str(tmp_path / "objects")))
    with opened(url, read_only=False) as volume:
        make_files(volume, FilesWanted(files))
    commands = [
        ("gc", url),
        ("fsck", url),
        ("dump", url, dump),
        ("load", f"sqlite3://{tmp_path}/again.db", dump),
        ("backup", "run", url),
    ]
    if files > QUICK_FILES:
        commands += [("backup", "run", url), ("fsck", "--read", url)]
    for command in commands:
        assert measured(*command) < RSS_BYTES_MAX, command
