"""Whole files between this host and the volume."""

import os
import shutil
import stat
from pathlib import Path
from typing import IO, Any

import pytest

from roost.testing.volumes import BLOCK_KIB, TestVolume
from roost.volume.data.compact import compact_chunk
from roost.volume.data.settings import DataSettings
from roost.volume.data.whole_files import WholeFiles
from roost.volume.errors import FsError
from roost.volume.model import ChunkNo

BLOCK = BLOCK_KIB << 10


@pytest.fixture
def expected_warnings() -> list[str]:
    return ["is not kept on this host"]


def test_whoever_may_not_adopt_keeps_the_file(volume: TestVolume, tmp_path: Path) -> None:
    client = volume.open()
    client.mkdir("/taken")
    local = tmp_path / "finished"
    local.write_bytes(b"precious")
    with pytest.raises(FsError, match="Is a directory"):
        client.adopt(local, "/taken")
    assert local.read_bytes() == b"precious"
    assert client.listdir("/") == ["taken"]


def test_a_cache_that_refuses_the_file_is_no_failure(
    volume: TestVolume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_files: WholeFiles, _path: Path, _name: str) -> None:
        raise OSError("no space left on the local disk")

    client = volume.open()
    local = tmp_path / "finished"
    local.write_bytes(b"precious")
    with monkeypatch.context() as patch:
        patch.setattr(WholeFiles, "_install", refuse)
        assert client.adopt(local, "/a") == 8
    assert client.read("/a") == b"precious"
    assert client.open_local("/a").read_bytes() == b"precious"


def test_a_copy_outlives_a_compaction_in_between(volume: TestVolume, tmp_path: Path) -> None:
    reader, other = volume.open(cache="reader"), volume.open(cache="other")
    other.write("/a", b"one ")
    other.append("/a", b"two ")
    other.append("/a", b"three")
    ino = other.node("/a").ino
    whole = b"one two three"

    def compact_once(verb: str, _key: str) -> None:
        if verb == "get":
            volume.store.before_call = lambda _verb, _key: None
            assert compact_chunk(other.core, ino, ChunkNo(0)) == 2
            other.core.removals.submit(lambda: None).result()

    volume.store.before_call = compact_once
    assert reader.download("/a", tmp_path / "copy") == len(whole)
    assert (tmp_path / "copy").read_bytes() == whole


def test_a_read_only_file_is_adopted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may open anything for writing; other users are refused, as here."""
    really_open = Path.open

    def open_as_user(path: Path, mode: str = "r", *rest: Any, **more: Any) -> IO[Any]:
        if set(mode) & set("wa+") and path.exists() and not path.stat().st_mode & stat.S_IWUSR:
            raise PermissionError(path)
        return really_open(path, mode, *rest, **more)

    cache = WholeFiles(tmp_path / "cache", "11111111-2222-4333-8444-555555555555")
    local = tmp_path / "finished"
    local.write_bytes(b"hello")
    local.chmod(0o444)
    monkeypatch.setattr(Path, "open", open_as_user)
    assert cache.adopt(cache.name_of(5, []), local).read_bytes() == b"hello"


def test_a_block_cut_up_by_small_writes_is_fetched_once(volume: TestVolume, tmp_path: Path) -> None:
    client = volume.open()
    whole = bytearray(os.urandom(3 * BLOCK))
    client.write("/a", whole)
    with client.open_file("/a", "r+") as file:
        for offset in range(1000, 3 * BLOCK, 9001):
            whole[offset : offset + 10] = b"overwritten"[:10]
            file.pwrite(offset, b"overwritten"[:10])
            file.fsync()
    volume.store.calls.clear()
    reader = volume.open(cache="reader")
    moved: list[int] = []
    assert reader.download("/a", tmp_path / "copy", progress=moved.append) == 3 * BLOCK
    assert (tmp_path / "copy").read_bytes() == whole
    assert sum(moved) == 3 * BLOCK
    assert volume.store.calls["get"] == len(volume.objects()), "each block once"


@pytest.mark.parametrize("harm", ["flipped", "cut", "folder removed"])
def test_a_local_copy_that_was_harmed_is_fetched_again(
    volume: TestVolume, harm: str, expected_warnings: list[str]
) -> None:
    expected_warnings.append("cached file is damaged, fetching it again")
    client = volume.open()
    whole = os.urandom(3 * BLOCK)
    client.write("/a", whole)
    path = client.open_local("/a")
    assert path.read_bytes() == whole
    path.chmod(0o644)
    if harm == "flipped":
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        os.utime(path, (1, 1))  # else another clock tick would have to be waited for
    elif harm == "cut":
        os.truncate(path, BLOCK)
    else:
        shutil.rmtree(volume.folder / "cache")
    assert client.open_local("/a").read_bytes() == whole


def test_the_checksums_of_a_local_copy_can_be_switched_off(volume: TestVolume) -> None:
    volume.open().write("/a", b"hello")
    path = volume.clients[-1].open_local("/a")
    path.chmod(0o644)
    path.write_bytes(b"jello")
    trusting = volume.open(data=DataSettings(verify_cache_checksum="none"))
    assert trusting.open_local("/a").read_bytes() == b"jello"
