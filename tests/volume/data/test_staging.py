"""Write-back: acknowledged is on this disk, and comes to the store whatever happens."""

import os
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from roost.errors import CorruptRecord, MissingBlock, StorageFull, Unavailable
from roost.testing.clock import ManualClock
from roost.testing.volumes import TestVolume
from roost.volume.client import VolumeClient
from roost.volume.data.blocks import BlockRef
from roost.volume.data.settings import DataSettings
from roost.volume.model import SliceId

BLOCK = 64 << 10
BACK = DataSettings(writeback=True, compact=False)
DAY_S = 86400.0


def staging_folder(volume: TestVolume, cache: str = "cache") -> Path:
    return volume.folder / cache / f"roost-{volume.settings.uuid}" / "staging"


def refuse(volume: TestVolume) -> None:
    """Let the store refuse every block."""

    def before(verb: str, _key: str) -> None:
        if verb == "put":
            raise Unavailable("the store is away")

    volume.store.before_call = before


def accept(volume: TestVolume) -> None:
    volume.store.before_call = lambda _verb, _key: None


@pytest.fixture
def expected_warnings() -> list[str]:
    return ["staged blocks wait", "until the volume is opened for writing"]


def test_what_is_synced_is_staged_readable_and_stored_later(volume: TestVolume) -> None:
    client = volume.open(data=BACK)
    refuse(volume)
    data = os.urandom(3 * BLOCK + 10)
    client.write("/a", data)
    assert client.staged().files == 4
    assert client.staged().size_bytes == len(data)
    assert volume.objects() == []
    client.core.cache.forget()
    assert client.read("/a") == data
    assert client.read("/a", 2 * BLOCK + 5, 7) == data[2 * BLOCK + 5 :][:7]
    assert client.open_local("/a").read_bytes() == data
    assert "write-back" in client.durability
    accept(volume)
    client.close()
    assert client.staged().files == 0
    assert len(volume.objects()) == 4
    assert [path for path in staging_folder(volume).rglob("*")] == []


def test_another_client_of_the_host_reads_what_is_staged(volume: TestVolume) -> None:
    client = volume.open(data=BACK)
    refuse(volume)
    client.write("/a", b"x" * 100)
    other = volume.open(data=BACK)
    assert other.read("/a") == b"x" * 100
    assert volume.open(read_only=True).read("/a") == b"x" * 100
    elsewhere = volume.open(cache="another-host", data=BACK)
    with pytest.raises(MissingBlock, match="chunks/0/0/1_0_100"):
        elsewhere.read("/a")
    accept(volume)


def test_the_next_client_of_the_host_stores_what_a_dead_one_left(
    volume: TestVolume,
) -> None:
    client = volume.open(data=BACK)
    refuse(volume)
    client.write("/a", b"x" * 100)
    client.close()
    assert client.staged().files == 1
    accept(volume)
    plain = volume.open()  # not for write-back itself
    assert plain.read("/a") == b"x" * 100
    plain.close()
    assert len(volume.objects()) == 1
    assert "write-back" in plain.durability


def test_a_replay_never_replaces_an_object(volume: TestVolume) -> None:
    """After a rollback of the metadata the slice's number may be another's by now."""
    client = volume.open(data=BACK)
    refuse(volume)
    client.write("/a", b"old" * 10)
    client.close()
    accept(volume)
    volume.store.put("chunks/0/0/1_0_30", b"new" * 10)
    again = volume.open()
    again.close()
    assert again.staged().files == 0
    assert volume.store.get("chunks/0/0/1_0_30") == b"new" * 10


def test_the_backlog_is_bounded_and_then_blocks_go_to_the_store(volume: TestVolume) -> None:
    clock = ManualClock()
    data = DataSettings(
        writeback=True, stage_size_bytes=2 * BLOCK, upload_delay_s=DAY_S, compact=False
    )
    client = volume.open(data=data, clock=clock)
    client.write("/a", b"x" * (5 * BLOCK))
    assert client.staged().files == 2
    assert len(volume.objects()) == 3
    clock.advance(2 * DAY_S)


def test_an_upload_waits_for_its_delay(volume: TestVolume) -> None:
    clock = ManualClock()
    client = volume.open(
        data=DataSettings(writeback=True, upload_delay_s=3600, compact=False), clock=clock
    )
    client.write("/a", b"x")
    client.write("/short-lived", b"y")
    client.remove("/short-lived")
    client.core.removals.submit(lambda: None).result()
    assert client.staged().files == 1, "what is deleted in time never goes up"
    assert volume.objects() == []
    clock.advance(3601)
    client.close()
    assert len(volume.objects()) == 1


def test_what_is_not_due_at_the_end_waits_for_the_next_client(volume: TestVolume) -> None:
    data = DataSettings(writeback=True, upload_delay_s=3600, compact=False)
    client = volume.open(data=data)
    client.write("/a", b"x")
    client.close()
    assert volume.objects() == []
    again = volume.open()
    assert again.read("/a") == b"x"
    again.close()
    assert len(volume.objects()) == 1


def test_a_lost_staging_folder_is_an_error_that_names_the_objects(
    volume: TestVolume, expected_warnings: list[str]
) -> None:
    expected_warnings.append("staged copy gone or damaged")
    client = volume.open(data=BACK)
    refuse(volume)
    client.write("/a", b"x" * 100)
    shutil.rmtree(staging_folder(volume))
    client.core.cache.forget()
    with pytest.raises(MissingBlock, match="1_0_100"):
        client.read("/a")
    accept(volume)
    with pytest.raises(MissingBlock, match="1_0_100"):
        client.close()
    assert client.staged().lost == ("chunks/0/0/1_0_100",)
    volume.open().remove("/a")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("is_pipe", [False, True])
def test_a_damaged_staged_block_is_never_data_and_never_stored(
    volume: TestVolume, expected_warnings: list[str], is_pipe: bool
) -> None:
    expected_warnings.append("staged copy gone or damaged")
    client = volume.open(data=BACK)
    refuse(volume)
    client.write("/a", b"x" * 100)
    (staged,) = [path for path in staging_folder(volume).rglob("*_100") if path.is_file()]
    if is_pipe:
        staged.unlink()
        os.mkfifo(staged)
    else:
        staged.write_bytes(staged.read_bytes().replace(b"xxxx", b"xyxx", 1))
    client.core.cache.forget()
    with pytest.raises(MissingBlock, match="1_0_100"):
        client.read("/a")
    accept(volume)
    with pytest.raises(MissingBlock, match="1_0_100"):
        client.close()
    assert volume.objects() == []
    volume.open().remove("/a")


def test_a_full_staging_disk_means_that_the_store_takes_the_block(
    volume: TestVolume, monkeypatch: pytest.MonkeyPatch, expected_warnings: list[str]
) -> None:
    expected_warnings.append("cannot stage")
    client = volume.open(data=BACK)
    staging = client.core.staging
    assert staging is not None

    def full(_key: str, _data: bytes) -> None:
        raise StorageFull("no space left")

    monkeypatch.setattr(staging._own, "put", full)
    client.write("/a", b"x" * 100)
    assert client.staged().files == 0
    assert len(volume.objects()) == 1


def test_a_slice_deleted_while_it_goes_up_leaves_nothing(volume: TestVolume) -> None:
    client = volume.open(data=BACK)
    inside, go_on = threading.Event(), threading.Event()

    def hold(verb: str, _key: str) -> None:
        if verb == "put":
            inside.set()
            assert go_on.wait(30)

    volume.store.before_call = hold
    client.write("/a", b"x" * 100)
    assert inside.wait(30)
    client.remove("/a")
    go_on.set()
    client.close()
    assert volume.objects() == []
    assert not list(staging_folder(volume).rglob("*_*"))


def test_uploads_go_on_when_the_store_is_back(volume: TestVolume) -> None:
    clock = ManualClock()
    client = volume.open(data=BACK, clock=clock)
    refuse(volume)
    for n in range(5):
        client.write(f"/{n}", b"x" * 100)
    accept(volume)
    clock.advance(100)
    client.close()
    assert len(volume.objects()) == 5


def test_a_read_only_client_stores_nothing(volume: TestVolume) -> None:
    client = volume.open(data=BACK)
    refuse(volume)
    client.write("/a", b"x")
    client.close()
    accept(volume)
    reader: VolumeClient = volume.open(read_only=True)
    reader.close()
    assert volume.objects() == []
    volume.open().close()
    assert len(volume.objects()) == 1


def test_no_upload_begins_between_the_look_and_the_deletion(
    volume: TestVolume, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = volume.open(
        data=DataSettings(writeback=True, upload_delay_s=DAY_S, compact=False), clock=ManualClock()
    )
    staging = client.core.staging
    assert staging is not None
    client.write("/a", b"x" * 100)
    inside, go_on = threading.Event(), threading.Event()

    def hold(verb: str, _key: str) -> None:
        if verb == "put":
            inside.set()
            assert go_on.wait(30)

    uploader = threading.Thread(target=staging.upload_all)
    really_forget = staging._forget

    def forget(key: str) -> object:
        uploader.start()
        inside.wait(0.2)
        return really_forget(key)

    with monkeypatch.context() as patch:
        patch.setattr(staging, "_forget", forget)
        volume.store.before_call = hold
        client.remove("/a")
        client.core.removals.submit(lambda: None).result()
    go_on.set()
    uploader.join()
    assert volume.objects() == []
    assert client.staged().lost == ()


def test_a_replay_that_fails_leaves_the_blocks_to_the_next_client(volume: TestVolume) -> None:
    client = volume.open(data=BACK)
    refuse(volume)
    client.write("/a", b"x" * 100)
    client.close()
    accept(volume)
    stray = next(staging_folder(volume).glob("*/chunks")) / os.fsdecode(b"\xff")
    stray.write_bytes(b"made by hand")
    with pytest.raises(CorruptRecord):
        volume.open()
    stray.unlink()
    volume.open().close()
    assert len(volume.objects()) == 1


def test_a_block_that_became_doubtful_while_it_was_written_is_set_aside(
    volume: TestVolume, expected_warnings: list[str]
) -> None:
    expected_warnings.append("set aside")
    client = volume.open(data=replace(BACK, upload_delay_s=DAY_S))
    staging = client.core.staging
    assert staging is not None
    ref = BlockRef(SliceId(7), 0, BLOCK)
    staging._is_doubtful = lambda slice_id: slice_id == 7
    assert not staging.put(ref, bytes(BLOCK))
    assert staging.staged().files == 0
    assert staging.get(ref) is None
    assert staging.find_foreign(ref) is None
    assert staging.put(replace(ref, slice_id=SliceId(8)), bytes(BLOCK))
    staging.drop(SliceId(8), BLOCK)
