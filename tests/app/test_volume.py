"""The embedded volume: made once, proved, looked after by its writer."""

import logging
import shutil
import sqlite3
import threading
from pathlib import Path

import pytest

from roost.app.data_directory import DataDirectory, prepare
from roost.app.volume import EngineVolume
from roost.config.settings import Settings
from roost.errors import AlreadyExists, InvalidArgument
from roost.volume.errors import NotFormatted
from roost.volume.formatting import existing_volume
from roost.volume.meta.api import open_meta


@pytest.fixture
def directory(tmp_path: Path) -> DataDirectory:
    return prepare(Settings(data=tmp_path / "data"))


def write(directory: DataDirectory, path: str, data: bytes) -> None:
    volume = EngineVolume(directory)
    try:
        volume.files.write(path, [data])
    finally:
        volume.close()


def upkeeps() -> set[threading.Thread]:
    """Return the upkeep threads of this process."""
    return {thread for thread in threading.enumerate() if thread.name == "roost-upkeep"}


def an_hour_passes(directory: DataDirectory) -> None:
    """Make the hourly jobs due again."""
    with sqlite3.connect(directory.root / "volume.db") as connection:
        connection.execute("UPDATE jfs_counter SET value = 0 WHERE name LIKE '%Cleanup%'")
    connection.close()


def test_the_bucket_is_marked_with_the_volume_and_stays_so(directory: DataDirectory) -> None:
    EngineVolume(directory).close()
    made = existing_volume(directory.meta_url)
    EngineVolume(directory).close()
    assert made is not None
    assert (directory.objects / "roost/juicefs_uuid").read_text() == made.uuid
    assert existing_volume(directory.meta_url) == made


def test_a_first_start_that_was_killed_half_way_is_done_again(directory: DataDirectory) -> None:
    marker = directory.objects / "roost/juicefs_uuid"
    marker.parent.mkdir()
    marker.write_text("of the attempt that was killed")
    write(directory, "a", b"one")
    made = existing_volume(directory.meta_url)
    assert made is not None
    assert marker.read_text() == made.uuid


def test_blocks_without_metadata_are_never_written_over(directory: DataDirectory) -> None:
    write(directory, "a", b"one")
    before = {path: path.read_bytes() for path in directory.objects.rglob("*") if path.is_file()}
    for path in directory.root.glob("volume.db*"):
        path.unlink()
    with pytest.raises(AlreadyExists, match="metadata is missing") as refusal:
        EngineVolume(directory)
    assert "--data" in refusal.value.hint
    assert existing_volume(directory.meta_url) is None
    after = {path: path.read_bytes() for path in directory.objects.rglob("*") if path.is_file()}
    assert after == before


def test_a_reader_makes_no_volume_and_leaves_no_thread(directory: DataDirectory) -> None:
    with pytest.raises(NotFormatted):
        EngineVolume(directory, read_only=True)
    write(directory, "a", b"one")
    before = upkeeps()
    reader = EngineVolume(directory, read_only=True)
    assert upkeeps() == before
    assert reader.files.read("a") == b"one"
    reader.close()


def test_a_writer_removes_what_a_dead_client_left(directory: DataDirectory) -> None:
    write(directory, "a", b"one")
    with open_meta(directory.meta_url) as meta:
        node = meta.resolve("/milvus/a")
        deleted = meta.unlink(node.attr.parent, b"a", skip_trash=True)
        assert deleted is not None
        (ref,) = meta.release_deleted_file(deleted)  # and dies before it deletes the block
    blocks = directory.objects / "roost/chunks"
    assert [path.name for path in blocks.rglob("*") if path.is_file()] == [f"{ref.id}_0_3"]
    an_hour_passes(directory)
    before = upkeeps()
    EngineVolume(directory).close()  # a job under way is finished first
    assert [path for path in blocks.rglob("*") if path.is_file()] == []
    assert upkeeps() == before
    with open_meta(directory.meta_url, read_only=True) as meta:
        assert meta.unreferenced_slices() == ()


def test_a_writer_says_what_a_commit_survives(
    directory: DataDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="roost.app.volume"):
        EngineVolume(directory).close()
    with open_meta(directory.meta_url, read_only=True) as meta:
        assert meta.durability in caplog.text
    assert "synchronous=FULL" in caplog.text


@pytest.mark.parametrize("move", [True, False])
def test_a_folder_copied_or_moved_is_refused(
    directory: DataDirectory, tmp_path: Path, move: bool
) -> None:
    write(directory, "a", b"one")
    other = prepare(Settings(data=tmp_path / "other"))
    shutil.copytree(directory.root, other.root, dirs_exist_ok=True)
    if move:
        shutil.rmtree(directory.root)
    for read_only in (True, False):
        with pytest.raises(InvalidArgument, match="copied or moved") as refusal:
            EngineVolume(other, read_only=read_only)
        assert str(other.objects) in refusal.value.hint


def test_a_link_to_the_folder_is_the_folder(directory: DataDirectory, tmp_path: Path) -> None:
    write(directory, "a", b"one")
    (tmp_path / "link").symlink_to(directory.root)
    volume = EngineVolume(prepare(Settings(data=tmp_path / "link")), read_only=True)
    assert volume.files.read("a") == b"one"
    volume.close()
