"""Every call of the metadata engine fails once, below the writing of files."""

import contextlib
from pathlib import Path

import pytest

from roost.errors import RoostError
from roost.testing.faulty_engine import EngineCalls
from roost.testing.volumes import make_test_volume
from roost.volume.data.settings import DataSettings
from tests.volume.vfs.acknowledged import Work, check

NTH_MAX = 200
PLACES_MIN = 30
MODES = {"plain": DataSettings(), "write-back": DataSettings(writeback=True)}


@pytest.fixture
def expected_warnings() -> list[str]:
    waits = ["staged blocks wait", "left for clean-up", "until the volume is opened for writing"]
    return [*waits, "heartbeat failed"]  # on a slow machine a call may be its own


@pytest.mark.parametrize(
    ("mode", "after"),
    [
        ("plain", False),
        ("write-back", True),
        pytest.param("plain", True, marks=pytest.mark.long),
        pytest.param("write-back", False, marks=pytest.mark.long),
    ],
)
def test_every_call_of_the_engine_may_fail(tmp_path: Path, mode: str, after: bool) -> None:
    data = MODES[mode]
    for nth in range(1, NTH_MAX):
        volume = make_test_volume(tmp_path / str(nth))
        client = volume.open(data=data)
        client.core.compaction.close()
        work = Work(client)
        calls, failed = EngineCalls(nth, after=after), False
        with calls.counted():
            try:
                work.all()
            except RoostError:
                failed = True
            with contextlib.suppress(RoostError):
                client.close()
        check(volume, work)
        volume.open(data=data).close()
        check(volume, work)
        volume.finish()
        if not calls.fired:
            assert not failed
            assert nth > PLACES_MIN
            return
    raise AssertionError("the work never ends")
