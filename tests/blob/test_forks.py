"""A forked child is told so; it never hangs in a library whose threads stayed behind."""

import subprocess
import sys

import pytest

SCRIPT = """
import os, signal, sys
from roost.blob.open import open_store
from roost.blob.patience import Patience
from roost.blob.place import Place
from roost.errors import Unavailable

def use():
    place = Place({storage!r}, {bucket!r}, "key", "secret")
    try:
        open_store(place, patience=Patience(1, 1, 1)).head("a")
    except Unavailable as error:
        return f"{{error}} / {{error.hint}}"

if {parent_first}:
    use()
if os.fork() == 0:
    signal.alarm(20)
    print(use(), flush=True)
    os._exit(0)
_, status = os.wait()
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.parametrize(
    ("storage", "bucket"), [("s3", "http://127.0.0.1:1/b"), ("webdav", "http://127.0.0.1:1/b")]
)
def test_a_child_of_a_process_that_used_a_store_is_refused(storage: str, bucket: str) -> None:
    said = _run(storage, bucket, parent_first=True)
    assert "was forked" in said
    assert "spawn" in said


def test_a_child_of_a_process_that_used_none_works_on_its_own() -> None:
    assert "forked" not in _run("s3", "http://127.0.0.1:1/b", parent_first=False)


def _run(storage: str, bucket: str, *, parent_first: bool) -> str:
    script = SCRIPT.format(storage=storage, bucket=bucket, parent_first=parent_first)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
