"""Volumes that several objects of one process share: who closes them, and who hears of it."""

import queue
from pathlib import Path

import pytest

from roost.errors import Unavailable
from roost.testing.volumes import TestVolume
from roost.volume.access import shared
from roost.volume.access.places import place_of
from roost.volume.access.volume import Volume


def _unclosable(volume: Volume, monkeypatch: pytest.MonkeyPatch) -> list[Volume]:
    """Make it fail when it is closed, after it was; return where it then appears."""
    tried: list[Volume] = []
    real = volume.close

    def failing() -> None:
        tried.append(volume)
        real()
        raise Unavailable("the store refuses")

    monkeypatch.setattr(volume, "close", failing)
    return tried


def test_a_volume_that_fails_to_close_concerns_who_released_it(
    volume: TestVolume,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    expected_warnings: list[str],
) -> None:
    expected_warnings.append("did not close well: the store refuses")
    place = place_of("", volume.meta_url)

    def opened(name: str) -> tuple[shared.Key, Volume]:
        return shared.acquire(place, read_only=False, cache_dir=tmp_path / name)

    (first, bad), (second, worse), (third, good) = (opened(name) for name in "abc")
    tries = [_unclosable(each, monkeypatch) for each in (bad, worse)]
    for key in (first, second, third):  # as the collector leaves them, while the lock is held
        shared._released.put(key)
    fourth, another = opened("d")
    assert [len(tried) for tried in tries] == [1, 1]
    with pytest.raises(Unavailable):
        good.exists("/f")
    assert another.exists("/")
    _unclosable(another, monkeypatch)
    with pytest.raises(Unavailable, match="refuses"):
        shared.release(fourth)
    assert not any(key.place == place for key in shared._volumes)


def test_a_volume_released_meanwhile_is_closed_though_another_fails_to(
    volume: TestVolume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its key comes when the queue was found empty, and the lock is still held."""
    place = place_of("", volume.meta_url)
    (bad_key, bad), (late_key, late) = (
        shared.acquire(place, read_only=False, cache_dir=tmp_path / name) for name in "ab"
    )
    _unclosable(bad, monkeypatch)
    coming = [late_key]

    class Queue(queue.SimpleQueue[shared.Key]):
        def get_nowait(self) -> shared.Key:
            try:
                return super().get_nowait()
            except queue.Empty:
                for key in coming:
                    self.put(key)
                coming.clear()
                raise

    monkeypatch.setattr(shared, "_released", Queue())
    with pytest.raises(Unavailable, match="refuses"):
        shared.release(bad_key)
    with pytest.raises(Unavailable):
        late.exists("/f")
    assert not any(key.place == place for key in shared._volumes)
