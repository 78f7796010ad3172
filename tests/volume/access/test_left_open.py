"""Files that are still open when their volume closes."""

import threading
import warnings
from pathlib import Path
from typing import Any

import fsspec
import pytest

from roost.errors import RoostError
from roost.testing.volumes import TestVolume
from roost.volume.access.volume import Volume

CONTENT = b"hello\n" * 1000


@pytest.fixture
def opened(volume: TestVolume, tmp_path: Path) -> Volume:
    """A volume that the test closes."""
    return Volume(volume.meta_url, cache_dir=tmp_path / "cache")


def stored(volume: TestVolume, path: str, tmp_path: Path) -> bytes:
    """What another client reads."""
    with Volume(volume.meta_url, cache_dir=tmp_path / "other") as other:
        return other.read_bytes(path)


@pytest.mark.parametrize(
    ("mode", "more"), [("w", {}), ("wb", {}), ("ab", {}), ("w+b", {}), ("wb", {"buffering": 0})]
)
def test_what_waits_in_a_buffer_is_stored_and_the_file_is_named(
    volume: TestVolume, opened: Volume, tmp_path: Path, mode: str, more: dict[str, Any]
) -> None:
    with opened:
        file = opened.open("left.txt", mode, **more)
        file.write(CONTENT if "b" in mode else CONTENT.decode())
        with pytest.warns(ResourceWarning, match=r"left\.txt"):
            opened.close()
    assert stored(volume, "left.txt", tmp_path) == CONTENT
    assert file.closed
    file.close()
    with pytest.raises(ValueError, match="closed"):
        file.write(b"" if "b" in mode else "")


def test_fsspecs_files_too(volume: TestVolume, tmp_path: Path) -> None:
    fs = fsspec.filesystem("roost", meta=volume.meta_url, cache_dir=str(tmp_path / "cache"))
    file = fs.open("/left", "wb")
    file.write(CONTENT)
    with pytest.warns(ResourceWarning, match="left"):
        fs.close()
    file.close()
    assert stored(volume, "left", tmp_path) == CONTENT


def test_nobody_is_warned_of_files_that_were_closed_or_only_read(opened: Volume) -> None:
    opened.write_bytes("f", CONTENT)
    with opened.open("g", "w") as file:
        file.write("x")
    reading = opened.open("f")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opened.close()
    with pytest.raises(ValueError, match="closed"):
        reading.read()


def test_each_file_is_tried_although_one_fails(
    volume: TestVolume, opened: Volume, tmp_path: Path
) -> None:
    files = [opened.open(f"f{number}", "wb") for number in range(3)]
    for file in files:
        file.write(CONTENT)

    def fail(*_: object) -> int:
        raise OSError("injected")

    files[1].raw.write = fail  # type: ignore[attr-defined]
    with pytest.warns(ResourceWarning), pytest.raises(OSError, match="injected"):
        opened.close()
    assert [stored(volume, f"f{number}", tmp_path) for number in (0, 2)] == [CONTENT] * 2


def test_a_write_that_races_the_close_is_refused_with_a_word(
    opened: Volume, expected_warnings: list[str]
) -> None:
    expected_warnings.append("file data left for clean-up")  # of a file replaced at that moment
    failures: list[Exception] = []
    begun = threading.Event()

    def write() -> None:
        try:
            while True:
                opened.write_bytes("f", CONTENT)
                begun.set()
        except Exception as error:  # whatever it is, is judged below
            failures.append(error)

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    begun.wait()
    opened.close()
    for thread in threads:
        thread.join()
    assert all(isinstance(failure, RoostError) for failure in failures), failures
