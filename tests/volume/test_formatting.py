"""Making a volume: the bucket is proved, never taken over silently, and marked."""

from pathlib import Path

import pytest

from roost.blob.store import BlobStore
from roost.errors import AlreadyExists, InvalidArgument, Unavailable, Unsupported
from roost.testing.faulty_store import FaultyStore
from roost.volume import formatting
from roost.volume.client import VolumeClient
from roost.volume.errors import AlreadyFormatted, NotFormatted
from roost.volume.formatting import NewVolume, existing_volume, make_volume
from roost.volume.meta import opening
from roost.volume.meta.api import format_volume
from roost.volume.settings import VolumeSettings, new_settings
from roost.volume.storage import volume_store


def url(folder: Path) -> str:
    return f"sqlite3://{folder}/meta.db"


def test_the_bucket_gets_the_marker_and_nothing_else(tmp_path: Path) -> None:
    made = make_volume(url(tmp_path), NewVolume("photos", bucket=str(tmp_path / "objects")))
    files = [path for path in (tmp_path / "objects").rglob("*") if path.is_file()]
    assert files == [tmp_path / "objects/photos/juicefs_uuid"]
    assert files[0].read_text() == made.uuid


def test_the_settings_are_what_was_asked(tmp_path: Path) -> None:
    asked = NewVolume(
        "photos",
        bucket=f"{tmp_path}/shard%d",
        block_kib=1000,
        compression="zstd",
        trash_days=7,
        capacity_bytes=3 << 30,
        inodes=1000,
        shards=2,
        hash_prefix=True,
    )
    make_volume(url(tmp_path), asked)
    with VolumeClient.open(url(tmp_path), cache_dir=tmp_path / "cache") as client:
        settings = client.settings
        client.write("/a", b"hello")
        assert client.read("/a") == b"hello"
    assert settings.block_kib == 512, "rounded down to a power of two"
    assert (settings.compression, settings.trash_days) == ("zstd", 7)
    assert (settings.capacity_bytes, settings.inodes_max) == (3 << 30, 1000)
    assert (settings.shards, settings.hash_prefix) == (2, True)
    objects = [path for path in tmp_path.glob("shard*/photos/chunks/**/*") if path.is_file()]
    assert [path.parent.parent.name for path in objects] == ["01"]


def test_a_second_format_of_the_same_database_changes_nothing(tmp_path: Path) -> None:
    first = make_volume(url(tmp_path), NewVolume("photos", bucket=str(tmp_path / "one")))
    with pytest.raises(AlreadyFormatted):
        make_volume(url(tmp_path), NewVolume("other", bucket=str(tmp_path / "two")), force=True)
    assert list((tmp_path / "two").rglob("juicefs_uuid")) == []
    with VolumeClient.open(url(tmp_path), cache_dir=tmp_path / "cache") as client:
        assert client.settings.uuid == first.uuid


def test_a_volume_that_exists_is_named_before_the_bucket_is_touched(tmp_path: Path) -> None:
    new = NewVolume("photos", bucket=str(tmp_path / "objects"))
    first = make_volume(url(tmp_path), new)
    with pytest.raises(AlreadyFormatted, match=first.uuid):
        make_volume(url(tmp_path), new)
    with pytest.raises(AlreadyFormatted):
        make_volume(url(tmp_path), NewVolume("other", bucket=str(tmp_path / "two")))
    assert not (tmp_path / "two").exists()


def test_a_bucket_with_objects_of_that_name_needs_force(tmp_path: Path) -> None:
    bucket = str(tmp_path / "objects")
    make_volume(url(tmp_path), NewVolume("photos", bucket=bucket))
    second = f"sqlite3://{tmp_path}/second.db"
    with pytest.raises(AlreadyExists, match="juicefs_uuid"):
        make_volume(second, NewVolume("photos", bucket=bucket))
    with pytest.raises(NotFormatted):
        VolumeClient.open(second, cache_dir=tmp_path / "cache")
    forced = make_volume(second, NewVolume("photos", bucket=bucket), force=True)
    assert (tmp_path / "objects/photos/juicefs_uuid").read_text() == forced.uuid


def test_a_forced_format_that_fails_leaves_the_marker_of_the_first(tmp_path: Path) -> None:
    bucket = str(tmp_path / "objects")
    first = make_volume(url(tmp_path), NewVolume("photos", bucket=bucket))
    with pytest.raises(AlreadyFormatted):
        make_volume(url(tmp_path), NewVolume("photos", bucket=bucket), force=True)
    assert (tmp_path / "objects/photos/juicefs_uuid").read_text() == first.uuid


@pytest.mark.parametrize(
    "wrong",
    [
        NewVolume("A", bucket="/x"),
        NewVolume("photos", bucket="/x", compression="brotli"),
        NewVolume("photos", bucket="/x", capacity_bytes=-1),
        NewVolume("photos", bucket="/x", shards=2),
    ],
)
def test_what_can_never_be_right_is_refused(tmp_path: Path, wrong: NewVolume) -> None:
    with pytest.raises(InvalidArgument):
        make_volume(url(tmp_path), wrong)
    assert not (tmp_path / "meta.db").exists()


def test_a_storage_that_is_not_served_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="tape"):
        make_volume(url(tmp_path), NewVolume("photos", storage="tape", bucket="https://x"))


def test_a_bucket_that_cannot_be_written_is_refused_before_anything_is_made(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(Unavailable, match="cannot be used") as refusal:
        make_volume(url(tmp_path), NewVolume("photos", bucket=str(tmp_path / "file")))
    assert refusal.value.hint
    assert not (tmp_path / "meta.db").exists()


@pytest.mark.parametrize("verb", ["put", "get", "delete", "head", "list"])
@pytest.mark.parametrize("nth", [1, 2])
def test_a_format_that_fails_can_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str, nth: int
) -> None:
    new = NewVolume("photos", bucket=str(tmp_path / "objects"))
    stores: list[FaultyStore] = []

    def faulty(settings: VolumeSettings) -> BlobStore:
        stores.append(FaultyStore(volume_store(settings)))
        stores[-1].fail(verb, nth)
        return stores[-1]

    with monkeypatch.context() as patched:
        patched.setattr(formatting, "volume_store", faulty)
        try:
            make_volume(url(tmp_path), new)
        except Unavailable:
            assert existing_volume(url(tmp_path)) is None
        else:
            assert stores[0].calls[verb] < nth, "the call that was to fail did not come"
            return
    assert make_volume(url(tmp_path), new) == existing_volume(url(tmp_path))


def test_a_database_that_fails_leaves_the_bucket_unmarked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> VolumeSettings:
        raise Unavailable("the database is gone")

    with monkeypatch.context() as patched:
        patched.setattr(formatting, "format_volume", fail)
        with pytest.raises(Unavailable):
            make_volume(url(tmp_path), NewVolume("photos", bucket=str(tmp_path / "objects")))
    assert [path for path in (tmp_path / "objects").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("is_there", [False, True])
def test_a_format_that_fails_leaves_no_file_that_it_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    def fail(*_: object) -> None:
        raise Unavailable("the disk is full")

    folder = tmp_path / "meta"
    folder.mkdir()
    if is_there:
        (folder / "meta.db").touch()
    new = NewVolume("photos", bucket=str(tmp_path / "objects"))
    with monkeypatch.context() as patched:
        patched.setattr(opening, "fill", fail)
        with pytest.raises(Unavailable):
            make_volume(url(folder), new)
    assert [path.name for path in folder.iterdir()] == ["meta.db"] * is_there
    assert make_volume(url(folder), new) == existing_volume(url(folder))


def test_a_format_that_fails_leaves_the_volume_that_another_made_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = NewVolume("photos", bucket=str(tmp_path / "objects"))

    def fail(*_: object) -> None:
        monkeypatch.undo()
        format_volume(url(tmp_path), new_settings("theirs", bucket="/b"))
        raise Unavailable("the disk is full")

    monkeypatch.setattr(opening, "fill", fail)
    with pytest.raises(Unavailable):
        make_volume(url(tmp_path), new)
    found = existing_volume(url(tmp_path))
    assert found is not None
    assert found.name == "theirs"
