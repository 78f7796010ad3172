"""SRC and DST as JuiceFS spells them."""

from pathlib import Path

import pytest

from roost.blob.memory import MemoryStore
from roost.blob.place import Place
from roost.errors import InvalidArgument, Unsupported
from roost.testing.volumes import TestVolume
from roost.volume.sync import places
from roost.volume.sync.bucket import Bucket
from roost.volume.sync.local_tree import LocalTree
from roost.volume.sync.places import Manner, open_file_or_folder, open_place
from roost.volume.sync.volume_tree import VolumeTree


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Place]:
    """What stores would have been opened."""
    found: list[Place] = []

    def pretend(place: Place) -> MemoryStore:
        found.append(place)
        return MemoryStore()

    monkeypatch.setattr(places, "open_store", pretend)
    return found


@pytest.mark.parametrize(
    ("url", "storage", "bucket", "keys", "prefix"),
    [
        (
            "s3://AK:SK@b.s3.us-east-2.amazonaws.com/p/q/",
            "s3",
            "https://b.s3.us-east-2.amazonaws.com",
            "AK SK ",
            "p/q/",
        ),
        (
            "s3://AK:S%2FK:TOK@s3.eu-west-1.amazonaws.com/b/p/",
            "s3",
            "https://s3.eu-west-1.amazonaws.com/b",
            "AK S/K TOK",
            "p/",
        ),
        ("s3://AK:SK@localhost:9000/b/", "s3", "http://localhost:9000/b", "AK SK ", ""),
        ("minio://AK:SK@10.0.0.1:9000/b/p/", "minio", "http://10.0.0.1:9000/b", "AK SK ", "p/"),
        ("wasb://ME:SK@container/p/", "wasb", "https://container", "ME SK ", "p/"),
        ("gs://bucket/a%23b/", "gs", "bucket", "  ", "a#b/"),
        (
            "oss://AK:SK@b.oss-cn-hangzhou.aliyuncs.com/",
            "oss",
            "https://b.oss-cn-hangzhou.aliyuncs.com",
            "AK SK ",
            "",
        ),
        ("gs://bucket/me@home/p/", "gs", "bucket", "  ", "me@home/p/"),
        (
            "s3://AK:S/K@b.s3.us-east-2.amazonaws.com/me@home/",
            "s3",
            "https://b.s3.us-east-2.amazonaws.com",
            "AK S/K ",
            "me@home/",
        ),
        ("s3://10.0.0.1:9000/b/me@home/", "s3", "https://10.0.0.1:9000/b", "  ", "me@home/"),
        ("hdfs://host:8020/p/", "hdfs", "host:8020", "  ", "p/"),
        ("hdfs://host:8020/me@home/", "hdfs", "host:8020", "  ", "me@home/"),
        ("minio://minio:9000/b/me@home/", "minio", "http://minio:9000/b", "  ", "me@home/"),
        ("minio://localhost:9000/b/me@home/", "minio", "http://localhost:9000/b", "  ", "me@home/"),
        (
            "minio://AK:12/ab@10.0.0.1:9000/b/p/",
            "minio",
            "http://10.0.0.1:9000/b",
            "AK 12/ab ",
            "p/",
        ),
        ("minio://AK:1%2F2%2FS@h:9/b/p/", "minio", "http://h:9/b", "AK 1/2/S ", "p/"),
        ("minio://MINIO:9000/b/me%40home/", "minio", "http://MINIO:9000/b", "  ", "me@home/"),
        (
            "minio://AK:SK@MINIO:9000/b/me@home/",
            "minio",
            "http://MINIO:9000/b",
            "AK SK ",
            "me@home/",
        ),
        ("minio://me:12/SK@minio:9000/b/p/", "minio", "http://minio:9000/b", "me 12/SK ", "p/"),
        ("minio://me:123456/a/SK@h:9/b/p/", "minio", "http://h:9/b", "me 123456/a/SK ", "p/"),
        ("minio://me:SK:12/T/T@h:9/b/p/", "minio", "http://h:9/b", "me SK 12/T/T", "p/"),
        ("minio://me:sk:12/t/t@h:9/b/p/", "minio", "http://h:9/b", "me sk 12/t/t", "p/"),
    ],
)
def test_a_bucket_is_taken_apart(
    opened: list[Place], url: str, storage: str, bucket: str, keys: str, prefix: str
) -> None:
    endpoint = open_place(url, Manner(storage_class="COLD"))
    assert isinstance(endpoint, Bucket)
    (place,) = opened
    assert (place.storage, place.bucket, place.storage_class) == (storage, bucket, "COLD")
    assert f"{place.access_key} {place.secret_key} {place.session_token}" == keys
    assert endpoint.name.endswith(prefix)
    assert "SK" not in endpoint.name


@pytest.mark.parametrize(
    "url",
    ["minio://MINIO:9000/b/me@home/", "s3://AK:1/2/S@minio:9000/b/p/", "minio://A:1/b/x@y/z/"],
)
def test_what_could_be_a_host_or_keys_is_refused(opened: list[Place], url: str) -> None:
    """Keys in capitals are as common as hosts in capitals are rare: neither is guessed."""
    for opens in (open_place, open_file_or_folder):
        with pytest.raises(InvalidArgument, match="host or") as refused:
            opens(url, Manner())
        assert "%40" in refused.value.hint
        assert "%2F" in refused.value.hint
        assert url.partition("://")[2].partition("/")[0] not in str(refused.value)
    assert not opened


def test_a_google_bucket_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    assert open_place("gs://bucket/p/", Manner()).name == "gs://bucket/p/"


def test_http_can_be_asked_for(opened: list[Place]) -> None:
    open_place("s3://b.s3.amazonaws.com/", Manner(https=False))
    assert opened[0].bucket == "http://b.s3.amazonaws.com"


def test_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for url in ("x y/", f"{tmp_path}/x y", f"file://{tmp_path}/x%20y/", "./x y/"):
        endpoint = open_place(url, Manner())
        assert isinstance(endpoint, LocalTree)
        assert endpoint.name == f"file://{tmp_path}/x y/"
    with pytest.raises(Unsupported, match="SFTP"):
        open_place("user:secret@host:/x/", Manner())


def test_a_file_s_name_is_spelled_in_a_url_as_its_folder_is(tmp_path: Path) -> None:
    (tmp_path / "a b%c").write_bytes(b"x")
    (tmp_path / "\udcff%").write_bytes(b"y")
    for url, wanted in (
        (f"file://{tmp_path}/a%20b%25c", "a b%c"),
        (f"{tmp_path}/a b%c", "a b%c"),
        (f"file://{tmp_path}/%FF%25", "\udcff%"),
    ):
        endpoint, name = open_file_or_folder(url, Manner())
        assert name == wanted
        item = endpoint.head(name, follow=True)
        assert item is not None
        assert item.size_bytes == 1
    (tmp_path / "\udcfe").mkdir()
    assert open_place(f"file://{tmp_path}/%FE/", Manner()).is_there()


@pytest.mark.parametrize(
    "url", ["gs://bucket", "s3://b", "s3://b.s3.amazonaws.com", "minio://h:1/b"]
)
def test_a_whole_bucket_is_named_with_or_without_a_slash(opened: list[Place], url: str) -> None:
    endpoint, name = open_file_or_folder(url, Manner())
    assert (name, type(endpoint)) == ("", Bucket)
    open_place(url + "/", Manner())
    assert opened[0] == opened[1]
    with pytest.raises(InvalidArgument, match="names no file"):
        open_file_or_folder(url, Manner(), "a.txt")


def test_a_whole_volume_is_named_without_a_slash(
    volume: TestVolume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not taken for a file of the volume that the environment names."""
    manner = Manner(cache_dir=tmp_path / "cache")
    monkeypatch.setenv("photos", volume.meta_url)
    monkeypatch.setenv("ROOST_META", "memory://another")
    endpoint, name = open_file_or_folder("jfs://photos", manner)
    assert (endpoint.name, name) == ("jfs://test-volume/", "")
    endpoint.close()
    with pytest.raises(InvalidArgument, match="names no file"):
        open_file_or_folder("jfs://photos", manner, "a.txt")


def test_volumes(volume: TestVolume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manner = Manner(cache_dir=tmp_path / "cache", read_only=True)
    monkeypatch.setenv("My_Alias", volume.meta_url)
    endpoint = open_place("jfs://My_Alias/a%20b/", manner)
    assert isinstance(endpoint, VolumeTree)
    assert endpoint.name == "jfs://test-volume/a b/"
    endpoint.close()
    monkeypatch.setenv("ROOST_META", volume.meta_url)
    open_place("jfs://test-volume/", manner).close()
    with pytest.raises(InvalidArgument, match="not 'other'"):
        open_place("jfs://other/", manner)
    monkeypatch.delenv("ROOST_META")
    with pytest.raises(InvalidArgument, match="other"):
        open_place("jfs://other/", manner)
