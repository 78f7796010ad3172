"""Changing the settings of a volume: what may change, what never does, and what is asked first."""

import json
import os
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from roost.blob.store import BucketMissing
from roost.errors import AlreadyExists, InvalidArgument, NotFound, RoostError, Unavailable
from roost.volume.bucket import MARKER, prove
from roost.volume.client import VolumeClient
from roost.volume.configuring import apply_change, plan_change, read_stored
from roost.volume.errors import NotFormatted
from roost.volume.formatting import NewVolume, make_volume
from roost.volume.setting_change import SettingsChange, changed
from roost.volume.settings import Tier, VolumeSettings, new_settings, open_secrets
from roost.volume.storage import volume_store


@pytest.fixture
def url(tmp_path: Path) -> str:
    meta_url = f"sqlite3://{tmp_path}/meta.db"
    make_volume(meta_url, NewVolume("photos", bucket=str(tmp_path / "objects")))
    return meta_url


def change(url: str, wanted: SettingsChange, *, force: bool = False) -> VolumeSettings:
    apply_change(url, plan_change(url, wanted), force=force)
    return read_stored(url)


def test_only_what_is_asked_for_changes(url: str) -> None:
    before = read_stored(url)
    after = change(
        url, SettingsChange(trash_days=7, capacity_bytes=1 << 40, inodes=5, upload_mbps=9)
    )
    assert after == replace(
        before, trash_days=7, capacity_bytes=1 << 40, inodes_max=5, upload_mbps=9
    )


def test_the_plan_tells_the_differences_and_changes_nothing(url: str) -> None:
    before = read_stored(url)
    plan = plan_change(url, SettingsChange(trash_days=7, secret_key="hush"))
    assert [(d.setting, d.before, d.after) for d in plan.differences] == [
        ("secret_key", "", "updated"),
        ("trash_days", "1", "7"),
    ]
    assert "hush" not in repr(plan.differences)
    assert read_stored(url) == before


@pytest.mark.parametrize(
    "wanted",
    [
        SettingsChange(name="other"),
        SettingsChange(block_kib=1024),
        SettingsChange(compression="lz4"),
        SettingsChange(shards=2),
        SettingsChange(hash_prefix=True),
        SettingsChange(encrypt_key="key"),
        SettingsChange(trash_days=-1),
        SettingsChange(capacity_bytes=-1),
        SettingsChange(min_client_version="1.0.0"),
        SettingsChange(max_client_version="new"),
        SettingsChange(tag="novalue"),
        SettingsChange(tier=4, storage_class="IA"),
        SettingsChange(tier=1),
        SettingsChange(user_group_quota=True),
    ],
)
def test_what_never_changes_or_can_never_be_right_is_refused(
    url: str, wanted: SettingsChange
) -> None:
    before = read_stored(url)
    with pytest.raises(RoostError):
        change(url, wanted, force=True)
    assert read_stored(url) == before


def test_what_is_stated_again_is_no_change(url: str) -> None:
    wanted = SettingsChange(name="photos", block_kib=4096, compression="none", shards=0)
    assert plan_change(url, wanted).differences == ()


def test_acls_are_for_ever_and_raise_the_least_client_version() -> None:
    settings = changed(new_settings("photos"), SettingsChange(enable_acl=True))
    assert (settings.enable_acl, settings.min_client_version) == (True, "1.2.0-A")
    with pytest.raises(InvalidArgument, match="ACL"):
        changed(settings, SettingsChange(enable_acl=False))


def test_tiers_are_changed_one_at_a_time() -> None:
    settings = changed(new_settings("photos"), SettingsChange(storage_class="IA"))
    assert settings.tiers == (Tier(0, "IA"),)
    assert settings.min_client_version == "1.1.0-A"
    settings = changed(settings, SettingsChange(tier=2, tag="a=b"))
    assert settings.tiers == (Tier(0, "IA"), Tier(2, "", "a=b"))
    assert settings.min_client_version == "1.4.0-A"


def test_a_bucket_without_the_volumes_objects_is_refused_untouched(
    url: str, tmp_path: Path
) -> None:
    wanted = SettingsChange(bucket=str(tmp_path / "empty"))
    with pytest.raises(BucketMissing):
        change(url, wanted)
    assert not (tmp_path / "empty").exists()
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFound, match="does not hold"):
        change(url, wanted)
    assert not os.listdir(tmp_path / "empty")
    assert change(url, wanted, force=True).bucket == f"{tmp_path}/empty/"


def test_the_bucket_of_another_volume_is_refused(url: str, tmp_path: Path) -> None:
    make_volume(f"sqlite3://{tmp_path}/2.db", NewVolume("photos", bucket=str(tmp_path / "two")))
    with pytest.raises(AlreadyExists, match="belongs to volume"):
        change(url, SettingsChange(bucket=str(tmp_path / "two")))


def test_the_objects_may_have_moved(url: str, tmp_path: Path) -> None:
    with VolumeClient.open(url, cache_dir=tmp_path / "c1") as client:
        client.write("/a", b"data")
    (tmp_path / "objects").rename(tmp_path / "moved")
    change(url, SettingsChange(bucket=str(tmp_path / "moved")))
    with VolumeClient.open(url, cache_dir=tmp_path / "c2") as client:
        assert client.read("/a") == b"data"


def test_a_change_by_another_meanwhile_is_not_overwritten(url: str) -> None:
    plan = plan_change(url, SettingsChange(trash_days=7))
    change(url, SettingsChange(trash_days=3))
    with pytest.raises(Unavailable, match="somebody else"):
        apply_change(url, plan)
    assert read_stored(url).trash_days == 3


def test_fields_of_other_clients_survive(url: str, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "meta.db") as database:
        (text,) = database.execute("SELECT value FROM jfs_setting").fetchone()
        document = {**json.loads(text), "RangerService": "r", "ChangeLogMaxAge": 7}
        database.execute("UPDATE jfs_setting SET value = ?", (json.dumps(document),))
    change(url, SettingsChange(trash_days=9))
    with sqlite3.connect(tmp_path / "meta.db") as database:
        (text,) = database.execute("SELECT value FROM jfs_setting").fetchone()
    assert json.loads(text) == {**document, "TrashDays": 9}


def test_secrets_stay_sealed_and_can_become_so(url: str) -> None:
    after = change(url, SettingsChange(secret_key="hush"))
    assert (after.secret_key, after.key_encrypted) == ("hush", False)
    after = change(url, SettingsChange(encrypt_secret=True))
    assert after.key_encrypted
    assert after.secret_key != "hush"
    again = change(url, SettingsChange(secret_key="hush2"))
    assert again.key_encrypted
    assert open_secrets(again).secret_key == "hush2" != again.secret_key


def test_the_trash_is_made_when_it_is_switched_on(tmp_path: Path) -> None:
    url = f"sqlite3://{tmp_path}/meta.db"
    make_volume(url, NewVolume("photos", bucket=str(tmp_path / "objects"), trash_days=0))
    change(url, SettingsChange(trash_days=1))
    with VolumeClient.open(url, cache_dir=tmp_path / "cache") as client:
        client.write("/a", b"x")
        client.remove("/a")
        assert client.listdir("/.trash")


def test_statistics_kept_by_nobody_are_forgotten_when_they_come_back(
    url: str, tmp_path: Path
) -> None:
    with VolumeClient.open(url, cache_dir=tmp_path / "c") as client:
        client.mkdir("/d")
        client.write("/d/a", b"x")
    change(url, SettingsChange(dir_stats=False))
    with sqlite3.connect(tmp_path / "meta.db") as database:
        assert database.execute("SELECT COUNT(*) FROM jfs_dir_stats").fetchone()[0] > 0
    change(url, SettingsChange(dir_stats=True))
    with sqlite3.connect(tmp_path / "meta.db") as database:
        assert database.execute("SELECT COUNT(*) FROM jfs_dir_stats").fetchone() == (0,)


def test_what_a_person_should_know_is_told(url: str, tmp_path: Path) -> None:
    with VolumeClient.open(url, cache_dir=tmp_path / "c") as client:
        client.write("/a", bytes(100_000))
        warned = plan_change(
            url,
            SettingsChange(trash_days=0, capacity_bytes=5000, min_client_version="9.0.0"),
        ).warnings
    text = " ".join(warned)
    assert "trash will be emptied" in text
    assert "full by the new limits" in text
    assert "this Roost (1.4.2) will be refused" in text
    assert "the client on" in text
    assert plan_change(url, SettingsChange(trash_days=5)).warnings == ()


def test_a_database_without_a_volume_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFormatted):
        read_stored(f"sqlite3://{tmp_path}/none.db")


def test_a_bucket_that_may_be_written_leaves_no_trial(url: str, tmp_path: Path) -> None:
    settings = read_stored(url)
    store = volume_store(settings)
    prove(store, settings)
    assert [info.key for info in store.list()] == [MARKER]
