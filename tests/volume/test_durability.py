"""What a sync costs and promises, and what damage looks like."""

import errno
import os
import time

import pytest

from roost.errors import CorruptRecord, Failure, MissingBlock, StorageFull, Unavailable
from roost.testing.volumes import TestVolume
from roost.volume.client import VolumeClient
from roost.volume.meta.upkeep import DELETED_FILE_GRACE_S, run_due

BLOCK = 64 << 10


@pytest.fixture
def client(volume: TestVolume) -> VolumeClient:
    return volume.open()


def commits_of(client: VolumeClient, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows by one for each committed slice."""
    counted: list[int] = []

    def count(name: str) -> None:
        real = getattr(client.meta, name)
        monkeypatch.setattr(client.meta, name, lambda *args: (counted.append(1), real(*args))[1])

    count("write_slice")
    count("append_slice")
    return counted


def test_append_and_sync_cost_one_put_per_touched_block_and_one_commit(
    volume: TestVolume, client: VolumeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = commits_of(client, monkeypatch)
    with client.open_file("/log", "x") as log:
        for round_no, size_bytes in enumerate([10, 100, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK], 1):
            puts = volume.store.calls["put"]
            for _ in range(4):
                log.append(b"x" * (size_bytes // 4))
            log.append(b"x" * (size_bytes % 4))
            log.fsync()
            assert volume.store.calls["put"] - puts == -(-size_bytes // BLOCK)
            assert len(commits) == round_no
        puts = volume.store.calls["put"]
        log.fsync()
        assert (volume.store.calls["put"], len(commits)) == (puts, 6), "nothing to do is free"


def test_a_synced_append_is_seen_by_another_client_that_has_it_open(
    volume: TestVolume, client: VolumeClient
) -> None:
    reader = volume.open(read_only=True)
    with client.open_file("/log", "x") as log:
        log.append(b"one")
        log.fsync()
        with reader.open_file("/log") as tail:
            assert tail.pread(0) == b"one"
            log.append(b"two")
            assert tail.pread(3) == b"", "not yet synced"
            log.fsync()
            assert tail.pread(3) == b"two"


def test_nothing_is_committed_before_its_blocks_are_stored(
    volume: TestVolume, client: VolumeClient
) -> None:
    file = client.open_file("/a", "x")
    file.append(b"x" * (2 * BLOCK + 10))
    volume.store.fail("put")
    with pytest.raises(Unavailable):
        file.fsync()
    assert volume.open(read_only=True).stat("/a").length == 0
    file.discard()


@pytest.mark.parametrize("error", [Unavailable, StorageFull])
def test_after_a_failed_sync_the_file_tells_everybody_until_it_is_closed(
    volume: TestVolume, client: VolumeClient, error: type[Failure]
) -> None:
    client.write("/a", b"before")
    file, other = client.open_file("/a", "a"), client.open_file("/a", "a+")
    file.append(b"lost")
    volume.store.fail("put", error=error)
    with pytest.raises(error):
        file.fsync()
    for call in (file.fsync, lambda: file.append(b"x"), other.fsync, lambda: other.pread(0)):
        with pytest.raises(Failure, match="earlier write"):
            call()
    with pytest.raises(Failure, match="earlier write"):
        file.close()
    other.discard()
    assert client.read("/a") == b"before"
    client.append("/a", b" and after")
    assert client.read("/a") == b"before and after"


def test_every_put_of_a_write_may_fail_and_the_old_content_or_the_new_is_there(
    volume: TestVolume, client: VolumeClient
) -> None:
    data = os.urandom(3 * BLOCK + 100)
    for nth in range(1, 6):
        local = volume.folder / "local"
        local.write_bytes(data)
        client.write("/a", b"old")
        volume.store.fail("put", nth)
        try:
            client.adopt(local, "/a")
        except Unavailable:
            assert nth <= 4
            assert client.read("/a") == b"old"
            assert client.listdir("/") == ["a"], "no draft is left"
        else:
            assert nth == 5
            assert client.read("/a") == data
        volume.store.heal()


def test_writes_that_overlap_win_in_the_order_they_were_made(client: VolumeClient) -> None:
    model = bytearray(3 * BLOCK)
    with client.open_file("/a", "x+") as file:
        file.pwrite(0, model)
        for n in range(200):
            offset, data = n * 7919 % (2 * BLOCK), bytes([n % 255 + 1]) * (n * 31 % 500 + 1)
            file.pwrite(offset, data)
            model[offset : offset + len(data)] = data
        assert file.pread(0) == bytes(model)
    assert client.read("/a") == bytes(model)


def test_a_missing_block_is_an_error_that_names_the_object(
    volume: TestVolume, client: VolumeClient
) -> None:
    client.write("/a", b"x" * (2 * BLOCK))
    victim = volume.objects()[1]
    kept = volume.store.get(victim)
    volume.store.delete(victim)
    reader = volume.open(read_only=True, cache="cold")
    assert reader.read("/a", 0, BLOCK) == b"x" * BLOCK
    for read in (
        lambda: reader.read("/a"),
        lambda: reader.read("/a", BLOCK + 5, 10),
        lambda: reader.open_local("/a"),
    ):
        with pytest.raises(MissingBlock, match=victim):
            read()
    report = volume.check()
    assert not report.is_clean
    assert [victim in found.key for found in report.damaged] == [True]
    assert report.damaged[0].inos == (client.node("/a").ino,)
    volume.store.put(victim, kept)


def test_a_cut_block_is_found_by_reads_and_by_the_check(
    volume: TestVolume, client: VolumeClient
) -> None:
    client.write("/a", b"x" * BLOCK)
    victim = volume.objects()[0]
    volume.store.put(victim, b"x" * (BLOCK - 1))
    reader = volume.open(read_only=True, cache="cold")
    with pytest.raises(CorruptRecord, match=victim):
        reader.read("/a")
    report = volume.check(read_blocks=False)
    assert "65535 bytes instead of 65536" in report.damaged[0].why
    volume.store.put(victim, b"x" * BLOCK)


def test_a_failed_removal_leaves_the_data_for_a_later_clean_up(
    volume: TestVolume, client: VolumeClient, expected_warnings: list[str]
) -> None:
    expected_warnings.append("left for clean-up")
    client.write("/a", b"x")
    volume.store.fail("delete")
    client.remove("/a")
    client.close()
    assert volume.objects()
    later = volume.open()
    run_due(later.meta, later.core.delete_slice, int(time.time()) + 2 * DELETED_FILE_GRACE_S)
    assert volume.objects() == []
    assert [*later.meta.deleted_files(), *later.meta.unreferenced_slices()] == []


def test_a_full_volume_refuses_and_keeps_what_was_there(
    volume: TestVolume, client: VolumeClient
) -> None:
    file = client.open_file("/a", "x")
    file.append(b"x" * 100)
    volume.store.fail("put", error=StorageFull)
    with pytest.raises(StorageFull) as full:
        file.fsync()
    assert full.value.hint
    file.discard()
    assert client.stat("/a").length == 0


def test_whole_file_is_copied_once_per_host_and_adopted_by_the_writer(
    volume: TestVolume, client: VolumeClient
) -> None:
    data = os.urandom(4 * BLOCK + 7)
    local = volume.folder / "segment"
    local.write_bytes(data)
    client.adopt(local, "/segment")
    gets = volume.store.calls["get"]
    assert client.open_local("/segment").read_bytes() == data
    assert volume.store.calls["get"] == gets, "the writer kept its own file"
    reader = volume.open(read_only=True, cache="another-host")
    first = reader.open_local("/segment")
    assert first.read_bytes() == data
    assert volume.store.calls["get"] - gets == 5
    again = volume.open(read_only=True, cache="another-host")
    assert again.open_local("/segment") == first
    assert volume.store.calls["get"] - gets == 5


def test_a_changed_file_has_another_local_copy(client: VolumeClient) -> None:
    client.write("/a", b"one")
    first = client.open_local("/a")
    client.write("/a", b"two")
    assert client.open_local("/a").read_bytes() == b"two"
    assert first.read_bytes() == b"one"


def test_a_file_without_room_for_its_length_is_refused(client: VolumeClient) -> None:
    client.write("/a", b"x")
    with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
        client.truncate("/a", 1 << 60)


def test_an_append_goes_to_the_end_whatever_else_waits(client: VolumeClient) -> None:
    client.write("/a", b"0123456789")
    with client.open_file("/a", "r+") as file:
        file.pwrite(0, b"x")
        assert file.append(b"end") == 10
        file.pwrite(20, b"y")
        assert file.append(b"z") == 21
        file.truncate(5)
        assert file.append(b"!") == 5
    assert client.read("/a") == b"x1234!"
