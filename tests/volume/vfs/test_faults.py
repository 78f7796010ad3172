"""Every call of the store fails once, at every place: what was acknowledged is there."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from roost.errors import Damage, Failure, StorageFull, Unavailable
from roost.testing.volumes import TestVolume, make_test_volume
from roost.volume.data.settings import DataSettings
from tests.volume.vfs.acknowledged import BLOCK, Work, check

NTH_MAX = 200
MODES = {
    "plain": DataSettings(),
    "write-back": DataSettings(writeback=True),
    "small buffer": DataSettings(buffer_size_bytes=BLOCK, max_uploads=1),
}


@pytest.fixture
def expected_warnings() -> list[str]:
    return ["staged blocks wait", "left for clean-up", "until the volume is opened for writing"]


def each_fault(
    tmp_path: Path, data: DataSettings, verb: str, error: Callable[[str], Failure], after: bool
) -> int:
    """Fail the n-th call of `verb` for all n; return how many places there were."""
    for nth in range(1, NTH_MAX):
        volume = make_test_volume(tmp_path / f"{verb}-{nth}")
        client = volume.open(data=data)
        client.core.compaction.close()
        volume.store.fail(verb, nth, after=after, error=error)
        work = Work(client)
        failed = False
        try:
            work.all()
        except Failure:
            failed = True
        try:
            client.close()
        except Failure:
            failed = True
        fired = volume.store.calls[verb] >= nth
        volume.store.heal()
        check(volume, work)
        volume.open(data=data).close()  # a replay, where there is write-back
        check(volume, work)
        volume.finish()
        if not fired:
            assert not failed
            return nth - 1
    raise AssertionError("the work never ends")


@pytest.mark.parametrize(
    ("mode", "verb"),
    [("plain", "put"), ("plain", "get"), ("plain", "delete"), ("write-back", "put")],
)
def test_every_call_may_fail(tmp_path: Path, mode: str, verb: str) -> None:
    assert each_fault(tmp_path, MODES[mode], verb, Unavailable, after=False) > 0


@pytest.mark.long
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("verb", ["put", "get", "delete"])
@pytest.mark.parametrize("after", [False, True])
def test_every_call_may_fail_in_every_mode(
    tmp_path: Path, mode: str, verb: str, after: bool
) -> None:
    assert each_fault(tmp_path, MODES[mode], verb, Unavailable, after=after) > 0


@pytest.mark.parametrize("mode", MODES)
def test_every_put_may_find_the_store_full(tmp_path: Path, mode: str) -> None:
    assert each_fault(tmp_path, MODES[mode], "put", StorageFull, after=False) > 5


@pytest.mark.long
def test_every_answer_of_a_put_may_be_lost(tmp_path: Path) -> None:
    assert each_fault(tmp_path, MODES["plain"], "put", Unavailable, after=True) > 5


def test_what_a_failed_write_stored_is_deleted_again(volume: TestVolume) -> None:
    client = volume.open()
    file = client.open_file("/a", "x")
    file.write(os.urandom(3 * BLOCK))
    volume.store.fail("put", 1)
    file.write(b"tail")
    with pytest.raises(Unavailable):
        file.fsync()
    file.discard()
    client.close()
    assert volume.objects() == []


def test_a_reader_is_told_of_a_failing_store_and_reads_on_later(volume: TestVolume) -> None:
    client = volume.open()
    data = os.urandom(5 * BLOCK)
    client.write("/a", data)
    for nth in range(1, 6):
        client.core.cache.forget()
        volume.store.fail("get", nth)
        try:
            assert client.read("/a") == data
        except Unavailable:
            pass
        except Damage as error:
            raise AssertionError("an unreachable store is no damage") from error
        volume.store.heal()
        assert client.read("/a") == data
