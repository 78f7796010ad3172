"""The engine's `Files`: a plain directory and a volume keep the same promises."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from roost.app.volume_files import VolumeFiles
from roost.errors import CommitUnknown, InvalidArgument, StorageFull
from roost.testing.files_suite import FilesSuite
from roost.testing.volumes import TestVolume, make_test_volume, no_warnings
from roost.vector.files import DirectoryFiles, Files
from roost.volume.client import VolumeClient

BLOCK = 64 << 10


@pytest.fixture(autouse=True)
def _no_unexpected_warning() -> Iterator[None]:
    with no_warnings():
        yield


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[TestVolume]:
    made = make_test_volume(tmp_path / "volume", trash_days=1)
    yield made
    made.finish()


@pytest.fixture
def writer(volume: TestVolume) -> VolumeClient:
    return volume.open()


class TestDirectoryFiles(FilesSuite):
    @pytest.fixture
    def files(self, tmp_path: Path) -> Files:
        return DirectoryFiles(tmp_path)

    @pytest.fixture
    def reader(self, tmp_path: Path) -> Files:
        return DirectoryFiles(tmp_path)


class TestVolumeFiles(FilesSuite):
    @pytest.fixture
    def files(self, writer: VolumeClient, tmp_path: Path) -> Files:
        return VolumeFiles(writer, "roost/db", scratch=tmp_path / "scratch")

    @pytest.fixture
    def reader(self, volume: TestVolume, files: Files) -> Files:
        return VolumeFiles(volume.open(read_only=True, cache="reader"), "roost/db")


def test_a_log_sync_costs_one_put_per_touched_block(
    volume: TestVolume, writer: VolumeClient
) -> None:
    files = VolumeFiles(writer, "db")
    log = files.create("log/1/0")
    for size_bytes in (10, BLOCK, 2 * BLOCK + 1):
        puts = volume.store.calls["put"]
        log.append(b"x" * size_bytes)
        log.sync()
        assert volume.store.calls["put"] - puts == -(-size_bytes // BLOCK)
    log.close()


def test_what_was_not_synced_is_not_there_after_close(
    volume: TestVolume, writer: VolumeClient
) -> None:
    files = VolumeFiles(writer, "db")
    log = files.create("log")
    log.append(b"synced")
    log.sync()
    log.append(b"lost")
    log.close()
    assert files.read("log") == b"synced"


def test_a_failed_sync_ends_the_log_file(volume: TestVolume, writer: VolumeClient) -> None:
    log = VolumeFiles(writer, "db").create("log")
    log.append(b"x")
    volume.store.fail("put", error=StorageFull)
    with pytest.raises(StorageFull):
        log.sync()
    with pytest.raises(Exception, match="earlier write"):
        log.append(b"y")
    log.close()


def test_engine_files_never_enter_the_trash(volume: TestVolume, writer: VolumeClient) -> None:
    files = VolumeFiles(writer, "db")
    files.write("a/segment", [b"x" * 100])
    files.write("a/segment", [b"y" * 100])
    files.delete("a/segment")
    files.write("b/c", [b"z"])
    files.delete_folder("b")
    log = files.create("log")
    log.append(b"x")
    log.sync()
    log.close()
    files.delete("log")
    writer.close()
    assert volume.objects() == []
    assert not VolumeClient.open(
        volume.meta_url, read_only=True, cache_dir=volume.folder / "c"
    ).exists("/.trash/x")


@pytest.mark.parametrize("path", ["/abs", "a/../../b", ".."])
def test_a_path_never_climbs(writer: VolumeClient, path: str) -> None:
    with pytest.raises(InvalidArgument):
        VolumeFiles(writer, "db").read(path)


def test_a_reader_in_another_process_sees_synced_appends(
    volume: TestVolume, writer: VolumeClient
) -> None:
    files = VolumeFiles(writer, "db")
    log = files.create("log/1/0")
    log.append(b"first ")
    log.sync()
    reader = subprocess.Popen(
        [sys.executable, "-c", _READER, volume.meta_url, str(volume.folder / "other")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert reader.stdin is not None
    assert reader.stdout is not None
    try:
        for n in range(5):
            record = b"record %d " % n
            log.append(record)
            log.sync()
            reader.stdin.write(b"%d\n" % (log.size_bytes - len(record)))
            reader.stdin.flush()
            assert reader.stdout.readline().strip() == record.strip()
        log.append(b"not synced")
        reader.stdin.write(b"%d\n" % (log.size_bytes - len(b"not synced")))
        reader.stdin.flush()
        assert reader.stdout.readline() == b"\n"
    finally:
        reader.stdin.close()
        assert reader.wait(20) == 0
        reader.stdout.close()
    log.close()


_READER = """
import sys
from pathlib import Path
from roost.app.volume_files import VolumeFiles
from roost.volume.client import VolumeClient

with VolumeClient.open(sys.argv[1], read_only=True, cache_dir=Path(sys.argv[2])) as client:
    files = VolumeFiles(client, "db")
    for line in sys.stdin:
        print(files.read("log/1/0", int(line)).decode(), flush=True)
"""


@pytest.mark.parametrize("verb", ["write", "adopt"])
def test_a_lost_answer_stays_a_lost_answer(
    writer: VolumeClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    files = VolumeFiles(writer, "/engine", tmp_path)
    rename = writer.meta.rename

    def done_but_not_told(*names: object, **options: object) -> None:
        rename(*names, **options)  # type: ignore[arg-type]
        raise CommitUnknown("no answer")

    monkeypatch.setattr(writer.meta, "rename", done_but_not_told)
    (tmp_path / "local").write_bytes(b"one")
    content: object = [b"one"] if verb == "write" else tmp_path / "local"
    with pytest.raises(CommitUnknown):
        getattr(files, verb)(*(("a", content) if verb == "write" else (content, "a")))
    assert files.read("a") == b"one"
