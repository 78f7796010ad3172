"""The check finds exactly what is damaged, and nothing else."""

import os

import pytest

from roost.testing.volumes import TestVolume
from roost.volume.check import check_volume, paths_of

BLOCK = 64 << 10


class Later:
    """A clock two hours ahead."""

    def monotonic_s(self) -> float:
        raise NotImplementedError

    def wall_ns(self) -> int:
        import time

        return time.time_ns() + 7_200_000_000_000

    def wait(self, event: object, timeout_s: float) -> bool:
        raise NotImplementedError


def test_a_sound_volume_is_clean_and_counted(volume: TestVolume) -> None:
    client = volume.open()
    client.write("/a", b"x" * (2 * BLOCK + 5))
    client.append("/a", b"y")
    client.mkdir("/d")
    report = check_volume(client, read_blocks=True)
    assert report.is_clean
    assert (report.slices, report.blocks, report.blocks_bytes) == (2, 4, 2 * BLOCK + 6)
    assert report.damaged == report.leaked == ()


@pytest.mark.parametrize("read_blocks", [False, True])
def test_missing_cut_and_changed_objects_are_named_with_their_files(
    volume: TestVolume, read_blocks: bool
) -> None:
    client = volume.open()
    for name in ("a", "b", "c"):
        client.write(f"/{name}", os.urandom(BLOCK + 10))
    client.mkdir("/d")
    client.link("/b", "/d/b-too")
    keys = volume.objects()
    kept = {key: volume.store.get(key) for key in keys}
    volume.store.delete(keys[0])
    volume.store.put(keys[3], kept[keys[3]][:-1])
    report = check_volume(client, read_blocks=read_blocks)
    assert not report.is_clean
    assert [
        found.key.endswith(key)
        for found, key in zip(report.damaged, [keys[0], keys[3]], strict=True)
    ]
    assert "missing" in report.damaged[0].why
    assert "9 bytes instead of 10" in report.damaged[1].why
    inos = frozenset(ino for found in report.damaged for ino in found.inos)
    assert set(paths_of(client, inos).values()) == {"/a", "/b"}
    for key, data in kept.items():
        volume.store.put(key, data)


def test_only_reading_finds_a_block_that_does_not_decode(tmp_path: "os.PathLike[str]") -> None:
    from pathlib import Path

    from roost.testing.volumes import make_test_volume

    volume = make_test_volume(Path(tmp_path) / "lz4", compression="lz4")
    client = volume.open()
    client.write("/a", bytes(BLOCK))
    key = volume.objects()[0]
    good = volume.store.get(key)
    volume.store.put(key, b"\xff" * len(good))
    assert check_volume(client).is_clean
    report = check_volume(client, read_blocks=True)
    assert [found.key.endswith(key) for found in report.damaged] == [True]
    assert "LZ4" in report.damaged[0].why
    volume.store.put(key, good)
    volume.finish()


def test_an_object_that_nothing_names_is_unused_once_it_is_old(volume: TestVolume) -> None:
    client = volume.open()
    client.write("/a", b"x")
    volume.store.put("chunks/0/0/999_0_5", b"stray")
    volume.store.put("chunks/0/0/not-a-block", b"stray")
    assert check_volume(client).leaked == ()
    assert check_volume(client, leak_age_s=0).leaked == ("chunks/0/0/999_0_5",)
    report = check_volume(client, clock=Later())
    assert report.leaked == ("chunks/0/0/999_0_5",)
    assert report.is_clean


def test_progress_never_falls_and_ends_at_the_end(volume: TestVolume) -> None:
    client = volume.open()
    client.write("/a", b"x" * (3 * BLOCK))
    told: list[tuple[int, int]] = []
    check_volume(client, read_blocks=True, progress=lambda done, total: told.append((done, total)))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert all(done <= total for done, total in told)
    assert told[-1][0] == told[-1][1] > 3
