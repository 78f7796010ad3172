"""Readahead, ranges and caches as seen from the store."""

import os
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from roost.blob.place import Place
from roost.testing.volumes import TestVolume
from roost.volume.client import VolumeClient
from roost.volume.data.settings import DataSettings
from roost.volume.vfs import core as core_module
from roost.volume.vfs.windows import LOCAL_WINDOW_BLOCKS_MAX, WINDOW_BLOCKS_MAX, ReadWindows

BLOCK = 64 << 10


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until background work has brought it about."""
    deadline_s = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.001)


@pytest.fixture
def client(volume: TestVolume) -> VolumeClient:
    return volume.open()


def test_a_sequential_reader_finds_the_next_blocks_fetched(
    volume: TestVolume, client: VolumeClient
) -> None:
    data = os.urandom(20 * BLOCK)
    client.write("/a", data)
    asked: list[str] = []
    volume.store.before_call = lambda verb, key: asked.append(f"{verb} {key}")
    with client.open_file("/a") as file:
        for start in range(0, 12 * BLOCK, BLOCK // 2):
            assert file.pread(start, BLOCK // 2) == data[start : start + BLOCK // 2]
    client.close()
    gets = [entry for entry in asked if entry.startswith("get ")]
    assert not [entry for entry in asked if entry.startswith("get_range")]
    assert len(gets) == len(set(gets)), "each block is fetched once"
    assert 12 < len(gets) <= 12 + LOCAL_WINDOW_BLOCKS_MAX


def test_a_small_read_at_random_fetches_only_its_range(volume: TestVolume) -> None:
    client = volume.open(data=DataSettings(prefetch=0))
    data = os.urandom(20 * BLOCK)
    client.write("/a", data)
    calls = volume.store.calls
    with client.open_file("/a") as file:
        for block_no in (17, 3, 11):
            start = block_no * BLOCK + 100
            assert file.pread(start, 200) == data[start : start + 200]
    assert (calls["get"], calls["get_range"]) == (0, 3)


def test_the_block_of_a_small_read_follows_in_the_background(
    volume: TestVolume, client: VolumeClient
) -> None:
    data = os.urandom(20 * BLOCK)
    client.write("/a", data)
    calls = volume.store.calls
    with client.open_file("/a") as file:
        assert file.pread(17 * BLOCK + 100, 200) == data[17 * BLOCK + 100 :][:200]
        wait_for(lambda: client.core.cache.size_bytes == BLOCK)
        assert file.pread(17 * BLOCK + 700, 200) == data[17 * BLOCK + 700 :][:200]
    assert (calls["get"], calls["get_range"]) == (1, 1)


def test_a_read_of_many_blocks_gets_each_once(volume: TestVolume, client: VolumeClient) -> None:
    data = os.urandom(9 * BLOCK + 5)
    client.write("/a", data)
    assert client.read("/a") == data
    assert client.read("/a") == data
    assert volume.store.calls["get"] == 10


def test_records_are_asked_for_once_while_the_file_stands_still(
    volume: TestVolume, client: VolumeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.write("/a", b"x" * BLOCK)
    asked: list[int] = []
    real = client.meta.read_chunk
    monkeypatch.setattr(client.meta, "read_chunk", lambda *args: (asked.append(1), real(*args))[1])
    with client.open_file("/a", "r+") as file:
        for _ in range(5):
            file.pread(0, 10)
        assert len(asked) == 1
        file.pwrite(3, b"y")
        assert file.pread(0, 5) == b"xxxyx"
        assert len(asked) == 2


def test_damage_is_told_only_to_who_reads_it(volume: TestVolume, client: VolumeClient) -> None:
    client.write("/a", b"x" * (4 * BLOCK))
    victim = volume.objects()[3]
    kept = volume.store.get(victim)
    volume.store.delete(victim)
    with client.open_file("/a") as file:
        for start in range(0, 3 * BLOCK, BLOCK):  # reads ahead into the missing block
            assert file.pread(start, BLOCK) == b"x" * BLOCK
    volume.store.put(victim, kept)
    assert client.read("/a") == b"x" * (4 * BLOCK)


@pytest.mark.parametrize("blocks", [0, 4, 64], ids=lambda blocks: f"readahead={blocks}")
def test_a_window_never_pushes_itself_out_of_a_small_cache(volume: TestVolume, blocks: int) -> None:
    settings = DataSettings(memory_cache_bytes=4 * BLOCK, max_readahead_bytes=blocks * BLOCK)
    client = volume.open(data=settings)
    data = os.urandom(30 * BLOCK)
    client.write("/a", data)
    with client.open_file("/a") as file:
        read = [file.pread(start, BLOCK // 2) for start in range(0, len(data), BLOCK // 2)]
    assert b"".join(read) == data
    assert volume.store.calls["get"] == 30, "each block is fetched once"


CACHED = DataSettings(memory_cache_bytes=32 * BLOCK)


@pytest.mark.parametrize("readers", [2, 3, 4, 8])
def test_readers_in_sequence_share_the_cache_and_fetch_each_block_once(
    volume: TestVolume, readers: int
) -> None:
    client = volume.open(data=CACHED)
    data = os.urandom(40 * BLOCK)
    for number in range(readers):
        client.write(f"/{number}", data)
    files = [client.open_file(f"/{number}") for number in range(readers)]
    for start in range(0, len(data), BLOCK // 2):
        for file in files:
            assert file.pread(start, BLOCK // 2) == data[start : start + BLOCK // 2]
    for file in files:
        file.close()
    assert volume.store.calls["get"] == 40 * readers


@pytest.mark.parametrize("how", ["closes", "reads to the end", "stands still", "reads elsewhere"])
def test_a_reader_that_is_done_leaves_its_share_to_others(volume: TestVolume, how: str) -> None:
    client = volume.open(data=replace(CACHED, max_readahead_bytes=WINDOW_BLOCKS_MAX * BLOCK))
    client.write("/a", b"x" * (100 * BLOCK))
    client.write("/b", b"x" * (2 * BLOCK if how == "reads to the end" else 100 * BLOCK))
    windows = client.core.windows
    with client.open_file("/a") as file, client.open_file("/b") as other:
        other.pread(0, BLOCK)
        file.pread(0, BLOCK)
        assert windows.blocks("another") < WINDOW_BLOCKS_MAX // 2, "both count"
        if how == "closes":
            other.close()
        elif how == "reads to the end":
            other.pread(BLOCK, BLOCK)
        elif how == "reads elsewhere":
            other.pread(50 * BLOCK, BLOCK)
            other.pread(70 * BLOCK, BLOCK)
        else:
            for start in range(BLOCK, 40 * BLOCK, BLOCK):
                file.pread(start, BLOCK)
        assert windows.blocks("another") == WINDOW_BLOCKS_MAX // 2, "one is left"
    assert windows.blocks("another") == WINDOW_BLOCKS_MAX


def test_less_is_read_ahead_of_files_of_this_host_than_of_a_server(client: VolumeClient) -> None:
    assert client.core.windows.alone == LOCAL_WINDOW_BLOCKS_MAX
    assert ReadWindows(DataSettings(), BLOCK).alone == WINDOW_BLOCKS_MAX


def test_files_of_another_host_are_read_ahead_like_objects_of_a_server(
    volume: TestVolume, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Place] = []

    def is_remote(place: Place) -> bool:
        asked.append(place)
        return False

    monkeypatch.setattr(core_module, "is_local_bucket", is_remote)
    core = volume.open().core
    assert core.windows.alone == WINDOW_BLOCKS_MAX
    assert [place.bucket for place in asked] == [core.meta.settings.bucket]


def test_a_readahead_below_a_block_is_one_block(volume: TestVolume) -> None:
    client = volume.open(data=DataSettings(max_readahead_bytes=1))
    assert client.core.windows.blocks("reader") == 1
