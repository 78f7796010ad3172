"""The proof that a holder on this host is dead, with real processes."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from roost.errors import Failure
from roost.vector.catalog.holder import HolderLock, holder_is_dead
from roost.vector.catalog.values import LeaseRow

HOLD = """
import sys, time
from pathlib import Path
from roost.vector.catalog.holder import HolderLock
lock = HolderLock(Path(sys.argv[1]), "old")
print("held", flush=True)
time.sleep(60)
"""
ROW = LeaseRow(1, "old", 5, 0, False, 3.0)


def test_a_killed_holder_is_dead_and_a_stopped_one_is_not(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert not holder_is_dead(tmp_path, ROW)
        process.send_signal(signal.SIGSTOP)
        assert not holder_is_dead(tmp_path, ROW)
        process.kill()
        process.wait(10)
        assert holder_is_dead(tmp_path, ROW)
        assert holder_is_dead(tmp_path, ROW), "looking does not change it"
    finally:
        process.kill()
        process.wait(10)
        if process.stdout is not None:
            process.stdout.close()


def test_nothing_is_proven_about_a_holder_that_left_no_lock_here(tmp_path: Path) -> None:
    assert not holder_is_dead(tmp_path, ROW)
    assert not holder_is_dead(tmp_path / "missing", ROW)
    assert not holder_is_dead(tmp_path, LeaseRow(0, "", 0, 0, True, 0.0))


def test_a_lock_is_held_once(tmp_path: Path) -> None:
    lock = HolderLock(tmp_path, "old")
    with pytest.raises(Failure, match="held by another"):
        HolderLock(tmp_path, "old")
    lock.release()
    HolderLock(tmp_path, "old").release()
    assert list(tmp_path.iterdir()) == []
