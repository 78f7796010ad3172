"""Blocks on this host's disk, seen through the client."""

import os
import threading
from itertools import repeat
from pathlib import Path

import pytest

from roost.errors import Unavailable
from roost.testing.volumes import TestVolume
from roost.volume.client import VolumeClient
from roost.volume.data import disk_cache
from roost.volume.data.settings import DataSettings
from roost.volume.vfs.core import Core

BLOCK = 64 << 10


def cached(folder: Path, **options: bool) -> DataSettings:
    return DataSettings(
        cache_dirs=(folder,), free_space_ratio=0.0, prefetch=0, compact=False, **options
    )


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("raw/**/*") if path.is_file())


def reopened(volume: TestVolume, data: DataSettings) -> VolumeClient:
    volume.clients[-1].close()
    return volume.open(data=data)


def test_a_block_read_once_comes_from_the_disk_afterwards(volume: TestVolume) -> None:
    data = cached(volume.folder / "blocks")
    content = os.urandom(3 * BLOCK + 10)
    client = volume.open(data=data)
    client.write("/a", content)
    assert client.read("/a") == content
    client = reopened(volume, data)
    calls = volume.store.calls
    before = calls["get"], calls["get_range"]
    assert client.read("/a") == content
    assert client.read("/a", BLOCK + 5, 10) == content[BLOCK + 5 :][:10]
    assert (calls["get"], calls["get_range"]) == before


def test_the_folder_is_not_one_of_the_official_client(volume: TestVolume) -> None:
    folder = volume.folder / "blocks"
    client = volume.open(data=cached(folder))
    client.write("/a", b"x")
    client.close()
    assert [path.name for path in folder.iterdir()] == [f"roost-{volume.settings.uuid}"]


def test_parts_of_blocks_that_were_written_are_kept_and_full_ones_only_if_asked(
    volume: TestVolume,
) -> None:
    for large_too, count in ((False, 1), (True, 3)):
        folder = volume.folder / f"blocks-{large_too}"
        client = volume.open(data=cached(folder, cache_large_write=large_too))
        client.write("/a", b"x" * (2 * BLOCK + 10))
        client.close()
        assert len(files(folder)) == count


def test_damage_on_the_disk_is_healed_from_the_store(
    volume: TestVolume, expected_warnings: list[str]
) -> None:
    expected_warnings.append("cached block is damaged")
    folder = volume.folder / "blocks"
    content = os.urandom(2 * BLOCK)
    client = volume.open(data=cached(folder))
    client.write("/a", content)
    assert client.read("/a") == content
    client = reopened(volume, cached(folder))
    for path in files(folder):
        path.write_bytes(path.read_bytes()[:-100] + b"edited by hand")
    assert client.read("/a") == content
    client = reopened(volume, cached(folder))
    gets = volume.store.calls["get"]
    assert client.read("/a") == content
    assert volume.store.calls["get"] == gets


def test_a_deleted_file_leaves_the_disk(volume: TestVolume) -> None:
    folder = volume.folder / "blocks"
    client = volume.open(data=cached(folder, cache_large_write=True))
    client.write("/a", b"x" * (3 * BLOCK))
    client = reopened(volume, cached(folder))
    assert len(files(folder)) == 3
    client.remove("/a")
    client.close()
    assert files(folder) == []


def test_a_volume_of_a_local_folder_caches_no_blocks_unless_told(volume: TestVolume) -> None:
    client = volume.open()
    assert client.core.disk is None
    client.write("/a", b"x")
    client.close()
    assert files(volume.folder / "cache") == []


@pytest.mark.parametrize("problem", ["a file in the place of the folder", "no permission"])
def test_a_cache_folder_that_cannot_be_used_fails_nothing(
    volume: TestVolume, problem: str, expected_warnings: list[str]
) -> None:
    expected_warnings.append("cache folder left out")
    folder = volume.folder / "blocks"
    if problem == "no permission":
        folder = Path("/proc/roost-cache")
    else:
        folder.write_text("not a folder")
    client = volume.open(data=cached(folder))
    content = os.urandom(3 * BLOCK)
    client.write("/a", content)
    assert client.read("/a") == content


@pytest.mark.parametrize("what", ["highest_slice_id", "write-back"])
def test_an_opening_that_fails_leaves_no_listing_behind(
    volume: TestVolume, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    def refuse(*_args: object, **_named: object) -> None:
        raise Unavailable("told to fail")

    monkeypatch.setattr(
        disk_cache, "files_below", lambda folder, **_named: repeat((folder / "a", 1, 1.0))
    )
    if what == "write-back":
        monkeypatch.setattr(Core, "_staging", refuse)
    else:
        monkeypatch.setattr(Core, "_check_rollback", refuse)
    with pytest.raises(Unavailable, match="told to fail"):
        volume.open(data=cached(volume.folder / "blocks"))
    assert not [one for one in threading.enumerate() if one.name.startswith("roost-cache-list")]
