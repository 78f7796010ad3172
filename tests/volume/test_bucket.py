"""The bucket of a volume belongs to it alone."""

from dataclasses import replace
from pathlib import Path

import pytest

from roost.blob.memory import MemoryStore
from roost.blob.store import BucketMissing
from roost.errors import AlreadyExists, NotFound, Unavailable
from roost.testing.faulty_store import FaultyStore
from roost.volume.bucket import MARKER, demand_not_anothers, demand_own, marked_for
from roost.volume.client import VolumeClient
from roost.volume.formatting import NewVolume, make_volume
from roost.volume.settings import new_settings

SETTINGS = new_settings("photos")


def test_a_bucket_marked_for_another_volume_is_not_written_to(tmp_path: Path) -> None:
    ours, theirs = f"sqlite3://{tmp_path}/1.db", f"sqlite3://{tmp_path}/2.db"
    new = NewVolume("photos", bucket=str(tmp_path / "objects"))
    make_volume(ours, new)
    with VolumeClient.open(ours, cache_dir=tmp_path / "c") as client:
        client.write("/a", b"data")
    make_volume(theirs, new, force=True)
    with pytest.raises(AlreadyExists, match="belongs to volume") as refusal:
        VolumeClient.open(ours, cache_dir=tmp_path / "c")
    assert "read-only" in refusal.value.hint
    with VolumeClient.open(ours, cache_dir=tmp_path / "c2", read_only=True) as client:
        assert client.read("/a") == b"data"
    with VolumeClient.open(theirs, cache_dir=tmp_path / "c3") as client:
        assert client.listdir("/") == []


def test_a_bucket_without_a_mark_is_taken_as_it_is() -> None:
    store = MemoryStore()
    demand_not_anothers(store, SETTINGS)
    assert marked_for(store) is None
    with pytest.raises(NotFound):
        demand_own(store, SETTINGS)


def test_a_bucket_that_cannot_be_asked_keeps_nobody_from_the_metadata() -> None:
    store = FaultyStore(MemoryStore())
    store.put(MARKER, b"another")
    store.fail("get", error=Unavailable)
    demand_not_anothers(store, SETTINGS)
    with pytest.raises(AlreadyExists):
        demand_not_anothers(store, SETTINGS)
    demand_not_anothers(store, replace(SETTINGS, uuid="another"))


def test_a_bucket_that_vanished_is_neither_empty_nor_made_again(tmp_path: Path) -> None:
    url, bucket, away = f"sqlite3://{tmp_path}/1.db", tmp_path / "objects", tmp_path / "away"
    make_volume(url, NewVolume("photos", bucket=str(bucket)))
    with VolumeClient.open(url, cache_dir=tmp_path / "c") as client:
        client.write("/a", b"data")
    bucket.rename(away)
    with VolumeClient.open(url, cache_dir=tmp_path / "c") as client:
        with pytest.raises(BucketMissing):
            client.read("/a")
        with pytest.raises(BucketMissing):
            client.write("/b", b"more")
        assert not bucket.exists()
        away.rename(bucket)
        assert client.read("/a") == b"data"
