"""Who may use a data directory."""

from pathlib import Path

import pytest

from roost.app.data_directory import FolderLock, prepare
from roost.config.settings import Settings
from roost.errors import InvalidArgument, Unavailable


def test_a_lock_is_exclusive_names_its_holder_and_can_be_given_back(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first = FolderLock.take(path, "the folder")
    with pytest.raises(Unavailable, match="in use by process"):
        FolderLock.take(path, "the folder")
    first.release()
    FolderLock.take(path, "the folder").release()


def test_a_folder_that_cannot_be_made_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InvalidArgument) as caught:
        prepare(Settings(data=tmp_path / "file" / "data"))
    assert "\n" not in str(caught.value)
    assert caught.value.hint


def test_a_path_that_a_url_cannot_hold_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="question mark"):
        prepare(Settings(data=tmp_path / "a?b"))
    assert list(tmp_path.iterdir()) == []


def test_urls_of_the_settings_replace_those_of_the_folder(tmp_path: Path) -> None:
    found = prepare(Settings(data=tmp_path, catalog_url="sqlite:///elsewhere.db"))
    assert found.catalog_url == "sqlite:///elsewhere.db"
    assert found.meta_url == f"sqlite3://{tmp_path}/volume.db"
