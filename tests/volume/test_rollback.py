"""H23: slice ids that are issued again after a metadata rollback never show old bytes."""

import shutil
from pathlib import Path

from roost.testing.volumes import make_test_volume
from roost.volume.client import VolumeClient


def test_a_restored_database_empties_the_whole_file_cache(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings.append("rolled back")
    volume = make_test_volume(tmp_path / "volume")
    database = Path(volume.meta_url.removeprefix("sqlite3://"))
    backup = tmp_path / "backup.db"
    with VolumeClient.open(volume.meta_url, cache_dir=tmp_path / "cache") as client:
        client.mkdir("/d")
    shutil.copyfile(database, backup)
    with VolumeClient.open(volume.meta_url, cache_dir=tmp_path / "cache") as client:
        client.write("/a", b"one")
        old = client.open_local("/a")
        assert old.read_bytes() == b"one"
    for path in database.parent.glob(f"{database.name}-*"):
        path.unlink()
    shutil.copyfile(backup, database)
    with VolumeClient.open(volume.meta_url, cache_dir=tmp_path / "cache") as client:
        assert not old.exists()
        client.write("/a", b"two")
        assert client.open_local("/a").read_bytes() == b"two"
    volume.finish()


def test_an_ordinary_reopening_keeps_the_cache(tmp_path: Path) -> None:
    volume = make_test_volume(tmp_path / "volume")
    with VolumeClient.open(volume.meta_url, cache_dir=tmp_path / "cache") as client:
        client.write("/a", b"one")
        path = client.open_local("/a")
    for read_only in (True, False, True):
        with VolumeClient.open(
            volume.meta_url, read_only=read_only, cache_dir=tmp_path / "cache"
        ) as client:
            assert path.exists()
            assert client.open_local("/a") == path
    volume.finish()
