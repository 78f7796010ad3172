"""The plain directory: what `adopt` promises also where a rename cannot do it."""

import errno
import os
from pathlib import Path

import pytest

from roost.vector.files import DirectoryFiles


def test_a_file_of_another_file_system_is_copied_durably(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = DirectoryFiles(tmp_path / "files")
    local = tmp_path / "elsewhere"
    local.write_bytes(b"rows")
    rename, fsync = Path.rename, os.fsync
    synced: set[tuple[int, int]] = set()

    def across(self: Path, target: Path) -> Path:
        if self == local:
            raise OSError(errno.EXDEV, "another file system")
        return rename(self, target)

    def noted(descriptor: int) -> None:
        found = os.fstat(descriptor)
        synced.add((found.st_dev, found.st_ino))
        fsync(descriptor)

    monkeypatch.setattr(Path, "rename", across)
    monkeypatch.setattr(os, "fsync", noted)
    assert files.adopt(local, "segment/1/rows") == 4
    stored = files.open_local("segment/1/rows")
    assert stored.read_bytes() == b"rows"
    assert (stored.stat().st_dev, stored.stat().st_ino) in synced
    assert os.listdir(stored.parent) == ["rows"]
    assert not local.exists()


def test_a_full_disk_is_no_reason_to_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = DirectoryFiles(tmp_path / "files")
    local = tmp_path / "elsewhere"
    local.write_bytes(b"rows")

    def full(_self: Path, _target: Path) -> Path:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(OSError, match="no space left"):
        files.adopt(local, "segment/1/rows")
    assert files.list("segment/1") == []
