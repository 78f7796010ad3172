"""A store without room: nothing acknowledged is lost, and all goes on when there is room again."""

import contextlib
import os
import shutil
import threading
from pathlib import Path

import pytest

from roost.errors import Failure, StorageFull
from roost.sizes import MIB
from roost.testing.clock import ManualClock
from roost.testing.disks import fill_up, small_disk
from roost.testing.volumes import TestVolume, make_test_volume
from roost.volume.data.settings import DataSettings
from tests.volume.vfs.acknowledged import BLOCK, Work, check

NTH_MAX = 100
MODES = {
    "plain": DataSettings(compact=False),
    "small buffer": DataSettings(compact=False, buffer_size_bytes=BLOCK, max_uploads=1),
    "write-back": DataSettings(compact=False, writeback=True),
    "little to stage": DataSettings(compact=False, writeback=True, stage_size_bytes=2 * BLOCK),
    "small buffer and write-back": DataSettings(
        compact=False, writeback=True, buffer_size_bytes=BLOCK, max_uploads=1
    ),
}
BACK = MODES["write-back"]


@pytest.fixture
def expected_warnings() -> list[str]:
    return ["staged blocks wait", "until the volume is opened for writing"]


def fill(volume: TestVolume, *, room: int = 0) -> None:
    """Let the store have room for so many puts, and no more."""
    places = threading.Semaphore(room)

    def before(verb: str, key: str) -> None:
        if verb == "put" and not places.acquire(blocking=False):
            raise StorageFull(f"{key}: the store is full")

    volume.store.before_call = before


def make_room(volume: TestVolume) -> None:
    volume.store.before_call = lambda _verb, _key: None


def refusal(volume: TestVolume, work: Work) -> str:
    """Work until the first failure, and close; return what the failure says, or nothing."""
    said = ""
    try:
        work.all()
    except Failure as error:
        said = str(error)
    with contextlib.suppress(Failure):  # it was told before
        volume.clients[-1].close()
    return said


@pytest.mark.parametrize("mode", MODES)
def test_the_store_may_be_full_from_any_put_on(tmp_path: Path, mode: str) -> None:
    data = MODES[mode]
    for nth in range(1, NTH_MAX):
        volume = make_test_volume(tmp_path / str(nth))
        work = Work(volume.open(data=data))
        before = volume.store.calls["put"]
        fill(volume, room=nth - 1)
        said = refusal(volume, work)
        fired = volume.store.calls["put"] - before >= nth
        check(volume, work)
        volume.open(data=data).close()  # a replay that finds no room
        check(volume, work)
        make_room(volume)
        again = volume.open(data=data)
        again.close()
        assert again.staged().files == 0
        check(volume, work)
        volume.finish()
        assert not said or "the store is full" in said
        assert fired or not said
        if not fired:
            assert nth > 1
            return
    raise AssertionError("the work never ends")


def test_what_is_staged_waits_for_room_and_goes_up_then(volume: TestVolume) -> None:
    clock = ManualClock()
    client = volume.open(data=BACK, clock=clock)
    fill(volume)
    data = os.urandom(3 * BLOCK + 10)
    client.write("/a", data)
    staging = client.core.staging
    assert staging is not None
    with pytest.raises(StorageFull, match="the store is full") as caught:
        staging.upload_all()
    assert "Free space" in caught.value.hint
    assert (client.staged().files, client.staged().size_bytes) == (4, len(data))
    client.core.cache.forget()
    assert client.read("/a") == data
    make_room(volume)
    clock.advance(100)
    staging.upload_all()
    assert client.staged().files == 0
    assert len(volume.objects()) == 4
    client.core.cache.forget()
    assert client.read("/a") == data


def test_a_replay_goes_on_when_there_is_room_again(volume: TestVolume) -> None:
    fill(volume)
    data = os.urandom(5 * BLOCK)
    with volume.open(data=BACK) as client:
        client.write("/a", data)
    fill(volume, room=2)
    with volume.open() as again:  # not for write-back itself
        assert again.read("/a") == data
    assert (again.staged().files, len(volume.objects())) == (3, 2)
    assert volume.open(read_only=True).read("/a") == data
    make_room(volume)
    with volume.open() as last:
        assert last.read("/a") == data
    assert (last.staged().files, len(volume.objects())) == (0, 5)
    assert volume.open(cache="another-host").read("/a") == data


def test_where_nothing_can_be_staged_the_writer_is_told(
    volume: TestVolume, expected_warnings: list[str]
) -> None:
    """The disk of write-back is full as well as the store: nobody would have the block."""
    expected_warnings.append("cannot stage, storing directly")
    with small_disk(volume.folder / "cache", 2 * MIB) as cache:
        client = volume.open(data=BACK)
        client.write("/a", b"acknowledged")
        filler = fill_up(cache)
        fill(volume)
        with pytest.raises(StorageFull, match="the store is full"):
            client.write("/b", os.urandom(2 * BLOCK))
        filler.unlink()
        client.write("/c", b"goes on")
        make_room(volume)
        client.close()
        assert client.staged().files == 0
        reader = volume.open(cache="another-host")
        assert (reader.read("/a"), reader.read("/c")) == (b"acknowledged", b"goes on")
        reader.close()


@pytest.mark.parametrize("mode", MODES)
def test_a_disk_without_room_is_such_a_store(tmp_path: Path, mode: str) -> None:
    data = MODES[mode]
    with small_disk(tmp_path / "objects", 4 * MIB) as disk:
        volume = make_test_volume(tmp_path)
        work = Work(volume.open(data=data))
        filler = fill_up(disk)
        said = refusal(volume, work)
        assert not said or "No space left on device" in said
        assert said or data.writeback
        check(volume, work)
        filler.unlink()
        again = volume.open(data=data)
        again.close()
        assert again.staged().files == 0
        shutil.rmtree(volume.folder / "cache", ignore_errors=True)
        check(volume, work)
        volume.finish()
