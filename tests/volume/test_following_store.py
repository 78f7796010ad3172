"""A store that follows the settings of its volume."""

from dataclasses import replace
from pathlib import Path

import pytest

from roost.blob.store import BlobNotFound, BlobStore
from roost.testing.blob_suite import BlobStoreSuite
from roost.testing.volumes import no_warnings
from roost.volume.client import VolumeClient
from roost.volume.configuring import apply_change, plan_change
from roost.volume.following_store import FollowingStore
from roost.volume.formatting import NewVolume, make_volume
from roost.volume.meta.heartbeat import Heartbeat
from roost.volume.setting_change import SettingsChange
from roost.volume.settings import VolumeSettings, new_settings
from roost.volume.storage import volume_store


class Settings:
    def __init__(self, folder: Path) -> None:
        for bucket in ("one", "two"):
            (folder / bucket).mkdir()
        self.now: VolumeSettings = new_settings("photos", bucket=f"{folder}/one/")

    def __call__(self) -> VolumeSettings:
        return self.now


class TestFollowing(BlobStoreSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> BlobStore:
        return FollowingStore(Settings(tmp_path))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path)


def test_the_next_call_after_a_change_goes_to_the_new_bucket(
    settings: Settings, tmp_path: Path
) -> None:
    store = FollowingStore(settings)
    store.put("a", b"old")
    settings.now = replace(settings.now, bucket=f"{tmp_path}/two/")
    with pytest.raises(BlobNotFound):
        store.get("a")
    store.put("a", b"new")
    assert (tmp_path / "two/photos/a").read_bytes() == b"new"
    assert (tmp_path / "one/photos/a").read_bytes() == b"old"


def test_settings_read_again_unchanged_keep_the_store(settings: Settings) -> None:
    opened: list[VolumeSettings] = []

    def count(now: VolumeSettings) -> BlobStore:
        opened.append(now)
        return volume_store(now)

    store = FollowingStore(settings, count)
    store.put("a", b"x")
    settings.now = replace(settings.now)
    store.get("a")
    settings.now = replace(settings.now, trash_days=9)
    store.get("a")
    assert len(opened) == 1, "only what concerns the storage opens another"
    settings.now = replace(settings.now, upload_mbps=9)
    store.get("a")
    assert len(opened) == 2


def test_settings_that_cannot_be_opened_leave_the_old_store_in_force(
    settings: Settings, expected_warnings: list[str]
) -> None:
    expected_warnings.append("cannot be used")
    store = FollowingStore(settings)
    store.put("a", b"x")
    settings.now = replace(settings.now, storage="tape")
    with no_warnings(["tape"]) as log:
        assert store.get("a") == b"x"
    assert len(log.messages) == 1


def test_an_open_client_follows_a_change_of_the_bucket(tmp_path: Path) -> None:
    url = f"sqlite3://{tmp_path}/meta.db"
    make_volume(url, NewVolume("photos", bucket=str(tmp_path / "one")))
    with VolumeClient.open(url, cache_dir=tmp_path / "cache") as client:
        client.write("/a", b"data")
        (tmp_path / "one").rename(tmp_path / "two")
        plan = plan_change(url, SettingsChange(bucket=str(tmp_path / "two")))
        apply_change(url, plan)
        Heartbeat(client.meta._opened).beat()
        client.write("/b", b"more")
        assert client.read("/a") == b"data"
    assert not (tmp_path / "one").exists()
