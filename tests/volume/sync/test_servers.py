"""Syncs between a volume on Redis, an S3 server and Azure's blobs: the real ones."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from roost.cli import format, sync  # noqa: A004
from roost.testing.servers import AzuriteServer, RedisServer, S3Server, require
from roost.volume import Volume
from roost.volume.access.filesystem import RoostFileSystem
from tests.volume.sync.places import tree_of

app = typer.Typer()
for module in (format, sync):
    module.register(app)


def done(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, f"{arguments}: {result.output}"
    return result.stdout


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    require(RedisServer.missing())
    with RedisServer() as server:
        yield server


@pytest.fixture
def photos(redis: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A volume on Redis, named as JuiceFS would."""
    url = redis.new_database()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("photos", url)
    done("format", url, "photos", "--bucket", str(tmp_path / "objects"))
    return url


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    for number in range(30):
        path = folder / f"d{number % 4}" / f"f-{number} é"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(number * 1000))
    (folder / "large").write_bytes(os.urandom(20_000_000))
    return folder


def test_a_round_through_redis_and_s3_brings_everything_back(
    photos: str, source: Path, tmp_path: Path
) -> None:
    require(S3Server.missing())
    with S3Server() as server:
        login = f"{server.access_key}:{server.secret_key}"
        host = server.url.removeprefix("http://")
        bucket = f"minio://{login}@{host}/{server.new_bucket()}/some/prefix/"
        done("sync", f"{source}/", "jfs://photos/in/", "--check-new")
        done("sync", "jfs://photos/in/", bucket, "--check-new")
        assert "copied 0" in done("sync", "jfs://photos/in/", bucket)
        done("sync", bucket, f"{tmp_path}/back/", "--check-all")
        assert tree_of(tmp_path / "back") == tree_of(source)
        (source / "large").unlink()
        assert "deleted 1" in done("sync", f"{source}/", bucket, "--delete-dst")
        (tmp_path / "back/large").unlink()
        assert "copied 0" in done("sync", bucket, f"{tmp_path}/back/", "--delete-dst")


def test_azure_by_its_connection_string(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require(AzuriteServer.missing())
    with AzuriteServer() as server:
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", server.connection_string)
        bucket = f"wasb://{server.new_container()}/prefix/"
        done("sync", f"{source}/", bucket, "--check-new", "--threads", "4")
        done("sync", bucket, f"{tmp_path}/back/")
        assert tree_of(tmp_path / "back") == tree_of(source)


def test_python_over_redis(photos: str, tmp_path: Path) -> None:
    with Volume(photos, cache_dir=tmp_path / "c") as v:
        with v.open("/notes.txt", "w") as file:
            file.write("hello")
        v.copy("/notes.txt", "/copy.txt")
        v.makedirs("/a/b")
        v.rename("/copy.txt", "/a/b/c")
        assert v.glob("**/c") == ["a/b/c"]
        assert [entry.path for entry in v.scan("/a")] == ["/a/b", "/a/b/c"]
    fs = RoostFileSystem(photos, cache_dir=str(tmp_path / "c"), skip_instance_cache=True)
    assert fs.find("/") == ["/a/b/c", "/notes.txt"]
    assert fs.cat_ranges(["/a/b/c", "/notes.txt"], 0, 2) == [b"he", b"he"]
    fs.close()
