"""Holes, ranges of zeros, copies without data, clones and locks through the client."""

import errno
import os

import pytest

from roost.testing.volumes import TestVolume
from roost.volume.client import VolumeClient
from roost.volume.errors import FsError
from roost.volume.layout import CHUNK_BYTES
from roost.volume.meta.answers import FallocateFlag
from roost.volume.model import LockKind

BLOCK = 64 << 10
PUNCH = FallocateFlag.PUNCH_HOLE | FallocateFlag.KEEP_SIZE


@pytest.fixture
def client(volume: TestVolume) -> VolumeClient:
    return volume.open()


def test_holes_and_data_are_found(client: VolumeClient) -> None:
    with client.open_file("/a", "x") as file:
        file.pwrite(100, b"x" * 50)
        file.pwrite(CHUNK_BYTES + 10, b"y" * 10)
        file.truncate(CHUNK_BYTES + 100)
        assert file.seek_data(0) == 100
        assert file.seek_data(120) == 120
        assert file.seek_data(150) == CHUNK_BYTES + 10
        assert file.seek_hole(0) == 0
        assert file.seek_hole(100) == 150
        assert file.seek_hole(CHUNK_BYTES + 12) == CHUNK_BYTES + 20
        for call in (lambda: file.seek_data(CHUNK_BYTES + 20), lambda: file.seek_hole(1 << 40)):
            with pytest.raises(FsError) as refused:
                call()
            assert refused.value.errno == errno.ENXIO
        file.fallocate(0, 120, PUNCH)
        assert file.seek_data(0) == 120


def test_data_without_a_hole_ends_at_the_end(client: VolumeClient) -> None:
    client.write("/a", b"x" * 1000)
    with client.open_file("/a") as file:
        assert (file.seek_data(0), file.seek_hole(0), file.seek_hole(999)) == (0, 1000, 1000)


def test_fallocate_grows_and_makes_zeros(client: VolumeClient) -> None:
    data = os.urandom(3 * BLOCK)
    client.write("/a", data)
    with client.open_file("/a", "r+") as file:
        file.pwrite(0, b"pending")
        file.fallocate(BLOCK, BLOCK, PUNCH)
        expected = b"pending" + data[7:BLOCK] + bytes(BLOCK) + data[2 * BLOCK :]
    assert client.read("/a") == expected
    client.fallocate("/a", 0, 4 * BLOCK)
    assert client.stat("/a").length == 4 * BLOCK
    assert client.read("/a") == expected + bytes(BLOCK)


def test_a_copied_range_shows_the_bytes_and_stores_none(
    volume: TestVolume, client: VolumeClient
) -> None:
    data = os.urandom(5 * BLOCK)
    client.write("/a", data)
    client.write("/b", b"0123456789")
    objects = volume.objects()
    assert client.copy_file_range("/a", 100, "/b", 5, 3 * BLOCK) == 3 * BLOCK
    assert volume.objects() == objects
    assert client.read("/b") == b"01234" + data[100 : 100 + 3 * BLOCK]
    client.remove("/a")
    client.core.removals.submit(lambda: None).result()
    assert client.read("/b") == b"01234" + data[100 : 100 + 3 * BLOCK]


def test_a_copy_takes_what_both_sides_have_not_synced(client: VolumeClient) -> None:
    with client.open_file("/a", "x+") as source, client.open_file("/b", "x+") as target:
        source.write(b"source")
        target.write(b"xxxxxxxxxx")
        assert target.copy_from(source, 1, 2, 100) == 5
        assert target.pread(0) == b"xxourcexxx"


def test_a_clone_has_what_this_client_wrote(client: VolumeClient) -> None:
    client.mkdir("/d/e", parents=True)
    with client.open_file("/d/e/a", "x") as file:
        file.write(b"written")
        client.clone("/d", "/copy")
        file.write(b" later")
    assert client.read("/copy/e/a") == b"written"
    assert client.read("/d/e/a") == b"written later"


def test_locks_hold_between_clients_and_end_with_the_handle(volume: TestVolume) -> None:
    first, second = volume.open(), volume.open()
    first.write("/a", b"x")
    holder, asker = first.open_file("/a", "r+"), second.open_file("/a", "r+")
    holder.flock(LockKind.WRITE)
    holder.lock_range(LockKind.WRITE, 10, 19)
    for refused in (
        lambda: asker.flock(LockKind.READ),
        lambda: asker.lock_range(LockKind.READ, 15, 30),
    ):
        with pytest.raises(FsError) as error:
            refused()
        assert error.value.errno == errno.EAGAIN
    asker.lock_range(LockKind.WRITE, 20, 30)
    found = asker.find_lock(LockKind.READ, 0, 15)
    assert found is not None
    assert (found.start, found.end) == (10, 19)
    holder.close()
    asker.flock(LockKind.WRITE)
    assert asker.find_lock(LockKind.WRITE) is None
    asker.close()


def test_readinto_fills_the_buffer_and_nothing_else(client: VolumeClient) -> None:
    data = os.urandom(3 * BLOCK + 5)
    client.write("/a", data)
    with client.open_file("/a") as file:
        target = bytearray(2 * BLOCK)
        assert file.readinto(target) == 2 * BLOCK
        assert target == data[: 2 * BLOCK]
        assert file.readinto(target) == BLOCK + 5
        assert target[: BLOCK + 5] == data[2 * BLOCK :]
        assert target[BLOCK + 5 :] == data[BLOCK + 5 : 2 * BLOCK]
        assert file.readinto(target) == 0
        part = memoryview(target)[5:10]
        assert file.preadinto(7, part) == 5
        assert bytes(part) == data[7:12]
