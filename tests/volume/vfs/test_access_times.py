"""Which reads change the access time, and what that costs."""

from pathlib import Path

import pytest

from roost.errors import Unavailable
from roost.testing.clock import ManualClock
from roost.testing.volumes import TestVolume
from roost.volume.client import VolumeClient
from roost.volume.meta.answers import AtimeMode
from roost.volume.meta.api import Meta

DAY_S = 86400.0


@pytest.mark.parametrize("mode", AtimeMode)
def test_every_way_of_reading_counts_as_the_mode_says(
    volume: TestVolume, tmp_path: Path, mode: AtimeMode
) -> None:
    maker = volume.open()
    maker.mkdir("/d")
    maker.symlink("a", "/link")
    for name in ("a", "local", "copied"):
        maker.write(f"/{name}", b"x")
    clock = ManualClock()
    clock.advance(max(0.0, maker.stat("/a").mtime_ns / 1e9 - clock.wall_ns() / 1e9) + 2 * DAY_S)
    cache = tmp_path / "reader"
    with VolumeClient.open(volume.meta_url, cache_dir=cache, clock=clock, atime=mode) as client:
        client.read("/a")
        client.readlink("/link")
        client.listdir("/d")
        client.open_local("/local")
        client.download("/copied", tmp_path / "copy")
    for path in ("/a", "/link", "/d", "/local", "/copied"):
        attr = maker.stat(path, follow=False)
        assert (attr.atime_ns == clock.wall_ns()) == (mode is not AtimeMode.NEVER), path


def test_reads_of_one_file_note_it_once_while_its_attributes_are_fresh(
    volume: TestVolume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: list[int] = []

    def accessed(_meta: Meta, ino: int, _attr: object = None) -> None:
        noted.append(ino)
        raise Unavailable("the engine is away")

    monkeypatch.setattr(Meta, "accessed", accessed)
    volume.open().write("/a", b"hello")
    url, clock = volume.meta_url, ManualClock()
    for mode, times in ((AtimeMode.NEVER, 0), (AtimeMode.ALWAYS, 2)):
        noted.clear()
        with (
            VolumeClient.open(url, cache_dir=tmp_path / "c", clock=clock, atime=mode) as client,
            client.open_file("/a") as file,
        ):
            assert [file.pread(0, 2) for _ in range(5)] == [b"he"] * 5
            clock.advance(1.5)
            assert file.pread(0, 2) == b"he", "a time that is not stored fails no read"
        assert len(noted) == times
