"""A cache folder that cannot be used is left out; write-back and local copies need theirs."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from roost.errors import Unavailable
from roost.sizes import MIB
from roost.testing.disks import fill_up, make_read_only, make_writable, small_disk
from roost.testing.volumes import TestVolume
from roost.volume.data.settings import DataSettings

BLOCK = 64 << 10
LEFT_OUT = "cache folder left out"
WHY = {
    "full": "No space left on device",
    "read-only": "Read-only file system",
    "a file": "Not a directory",
    "below a file": "Not a directory",
    "no permission": "No such file or directory",  # what /proc answers
}


@pytest.fixture
def spoilt(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Makes a folder that cannot be used, for the reason given."""
    with ExitStack() as disks:

        def make(kind: str) -> Path:
            folder = tmp_path / "spoilt"
            if kind == "no permission":
                return Path("/proc/roost-cache")
            if kind in ("a file", "below a file"):
                folder.write_text("not a folder")
                return folder / "cache" if kind == "below a file" else folder
            disks.enter_context(small_disk(folder, 3 * MIB))
            if kind == "full":
                fill_up(folder)
            else:
                make_read_only(folder)
            return folder

        yield make


def cached(*folders: Path, writeback: bool = False) -> DataSettings:
    return DataSettings(
        cache_dirs=folders, free_space_ratio=0.0, prefetch=0, compact=False, writeback=writeback
    )


def blocks(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("raw/**/*"))


@pytest.mark.parametrize("kind", WHY)
def test_without_a_folder_that_can_be_used_there_is_no_disk_cache(
    volume: TestVolume,
    spoilt: Callable[[str], Path],
    kind: str,
    expected_warnings: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    expected_warnings.append(LEFT_OUT)
    folder = spoilt(kind)
    client = volume.open(data=cached(folder))
    assert f"{LEFT_OUT}: {folder}: {WHY[kind]}" in caplog.text
    assert client.core.disk is None
    content = os.urandom(3 * BLOCK + 5)
    client.write("/a", content)
    assert client.read("/a") == content


@pytest.mark.parametrize("kind", WHY)
def test_a_healthy_folder_takes_all_in_the_place_of_another(
    volume: TestVolume, spoilt: Callable[[str], Path], kind: str, expected_warnings: list[str]
) -> None:
    expected_warnings.append(LEFT_OUT)
    folder, healthy = spoilt(kind), volume.folder / "healthy"
    client = volume.open(data=cached(folder, healthy))
    content = os.urandom(9 * BLOCK)
    client.write("/a", content)
    assert client.read("/a") == content
    assert client.core.disk is not None
    for number in range(9):
        assert client.core.disk.keep_now(f"chunks/0/0/{number}_0_5", b"bytes")
    client.close()
    assert blocks(healthy) >= 9


@pytest.mark.parametrize("kind", WHY)
def test_a_local_copy_without_its_folder_is_an_error_that_names_it(
    volume: TestVolume, spoilt: Callable[[str], Path], kind: str
) -> None:
    folder = spoilt(kind)
    client = volume.open(cache=str(folder))
    client.write("/a", b"hello")
    assert client.read("/a") == b"hello"
    with pytest.raises(Unavailable, match=str(folder)) as caught:
        client.open_local("/a")
    assert "another cache folder" in caught.value.hint


@pytest.mark.parametrize("kind", WHY)
def test_a_local_copy_goes_to_the_healthy_folder(
    volume: TestVolume, spoilt: Callable[[str], Path], kind: str, expected_warnings: list[str]
) -> None:
    expected_warnings.append(LEFT_OUT)
    folder, healthy = spoilt(kind), volume.folder / "healthy"
    client = volume.open(cache=str(folder), data=cached(folder, healthy))
    client.write("/a", b"hello")
    path = client.open_local("/a")
    assert path.read_bytes() == b"hello"
    assert healthy in path.parents


def test_a_local_copy_for_which_the_disk_is_too_small_leaves_nothing(
    volume: TestVolume, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "small", 2 * MIB) as folder:
        client = volume.open(cache=str(folder))
        client.write("/a", os.urandom(3 * MIB))
        with pytest.raises(Unavailable, match="No space left on device"):
            client.open_local("/a")
        assert list(folder.rglob("*.tmp")) == []
        client.write("/b", b"hello")
        assert client.open_local("/b").read_bytes() == b"hello"


@pytest.mark.parametrize("kind", WHY)
@pytest.mark.parametrize("beside", [False, True])
def test_write_back_does_not_go_on_without_its_folder(
    volume: TestVolume, spoilt: Callable[[str], Path], kind: str, beside: bool
) -> None:
    folder = spoilt(kind)
    folders = (folder, volume.folder / "healthy") if beside else (folder,)
    with pytest.raises(
        Unavailable, match=rf"write-back cannot use {folder}: {WHY[kind]}"
    ) as caught:
        volume.open(data=cached(*folders, writeback=True))
    assert "without write-back" in caught.value.hint


def test_a_full_folder_with_blocks_of_the_volume_stays_in_use(
    volume: TestVolume, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "small", 3 * MIB) as folder:
        client = volume.open(data=cached(folder))
        client.write("/a", b"hello")
        client.close()
        assert blocks(folder) == 1
        fill_up(folder)
        again = volume.open(data=cached(folder))
        before = volume.store.calls["get"]
        assert again.read("/a") == b"hello"
        assert volume.store.calls["get"] == before
        again.close()


def test_staged_blocks_in_a_folder_that_became_read_only_are_not_forgotten(
    volume: TestVolume, tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings += ["staged blocks wait", "until the volume is opened for writing"]
    with small_disk(tmp_path / "small", 3 * MIB) as folder:
        with volume.open(data=cached(folder, writeback=True)) as client:
            volume.store.before_call = _refuse
            client.write("/a", b"hello")
        volume.store.before_call = lambda _verb, _key: None
        assert client.staged().files == 1
        make_read_only(folder)
        with pytest.raises(Unavailable, match="write-back cannot use") as caught:
            volume.open(cache=str(folder))
        assert "does not have yet" in caught.value.hint
        assert volume.open(cache=str(folder), read_only=True).read("/a") == b"hello"
        make_writable(folder)
        volume.open(cache=str(folder)).close()
    assert len(volume.objects()) == 1


def _refuse(verb: str, _key: str) -> None:
    if verb == "put":
        raise Unavailable("the store is away")
