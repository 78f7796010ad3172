"""The cache on disk: nothing in it is trusted, and nothing about it fails a read."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from roost.sizes import KIB, MIB
from roost.testing.clock import ManualClock
from roost.volume.data import disk_cache as module
from roost.volume.data.disk_cache import DiskCache, DiskLimits
from roost.volume.data.disk_caches import DiskCaches
from roost.volume.data.disk_index import DiskIndex

UUID = "0b7b3c1e-0000-4000-8000-000000000001"
DATA = os.urandom(100 * KIB)
SIZE = len(DATA)


def key(n: int) -> str:
    return f"chunks/0/0/{n}_0_{SIZE}"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def cache(tmp_path: Path, clock: ManualClock) -> DiskCache:
    return DiskCache(tmp_path, UUID, DiskLimits(MIB, free_space_ratio=0.0), clock)


def file_of(tmp_path: Path, n: int) -> Path:
    return tmp_path / f"roost-{UUID}" / "raw" / key(n)


def test_what_is_kept_is_found_again_also_by_the_next_process(
    tmp_path: Path, cache: DiskCache, clock: ManualClock
) -> None:
    assert cache.find(key(1), SIZE) is None
    assert cache.keep(key(1), DATA)
    assert cache.find(key(1), SIZE) == DATA
    assert file_of(tmp_path, 1).stat().st_mode & 0o777 == 0o600
    later = DiskCache(tmp_path, UUID, DiskLimits(MIB, free_space_ratio=0.0), clock)
    later.scan()
    assert later.size_bytes == cache.size_bytes
    assert later.find(key(1), SIZE) == DATA


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[SIZE // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    os.truncate(path, SIZE - 1)


def cut_proof(path: Path) -> None:
    os.truncate(path, SIZE + 2)


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


def edit(path: Path) -> None:
    path.write_text("something else")


def foreign(path: Path) -> None:
    path.write_bytes(path.with_name(key(2).rpartition("/")[2]).read_bytes())


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("harm", [flip, cut, cut_proof, lengthen, edit, foreign, empty])
def test_a_file_that_somebody_changed_is_removed_and_a_miss(
    tmp_path: Path, cache: DiskCache, harm: Callable[[Path], None], expected_warnings: list[str]
) -> None:
    expected_warnings.append("cached block is damaged")
    cache.keep(key(2), DATA[::-1])
    for whole in (True, False):
        cache.keep(key(1), DATA)
        harm(file_of(tmp_path, 1))
        if whole:
            assert cache.find(key(1), SIZE) is None
        else:
            assert cache.find_range(key(1), SIZE, SIZE // 2 - 5, 10) is None
        assert not file_of(tmp_path, 1).exists()
    assert cache.find(key(2), SIZE) == DATA[::-1]


def pipe(path: Path) -> None:
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.mkdir()


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def link(path: Path) -> None:
    """To a sound copy of the block, elsewhere."""
    path.symlink_to(path.with_name("copy"))


@pytest.mark.timeout(20)
@pytest.mark.parametrize("thing", [pipe, folder, device, link])
@pytest.mark.parametrize("whole", [True, False])
def test_what_is_no_regular_file_is_a_miss_at_once(
    tmp_path: Path, cache: DiskCache, thing: Callable[[Path], None], whole: bool
) -> None:
    cache.keep(key(1), DATA)
    path = file_of(tmp_path, 1)
    path.rename(path.with_name("copy"))
    thing(path)
    if whole:
        assert cache.find(key(1), SIZE) is None
    else:
        assert cache.find_range(key(1), SIZE, SIZE // 2 - 5, 10) is None
    if thing is not folder:
        assert cache.keep(key(1), DATA)
        assert cache.find(key(1), SIZE) == DATA


@pytest.mark.parametrize("level", ["none", "full", "shrink", "extend"])
def test_ranges_are_those_of_the_block_at_every_level(
    tmp_path: Path, clock: ManualClock, level: module.ChecksumLevel
) -> None:
    limits = DiskLimits(MIB, free_space_ratio=0.0, checksum=level)
    cache = DiskCache(tmp_path, UUID, limits, clock)
    cache.keep(key(1), DATA)
    for offset, length in [(0, 1), (0, SIZE), (5, 32 * KIB), (32 * KIB, 32 * KIB), (SIZE - 3, 3)]:
        found = cache.find_range(key(1), SIZE, offset, length)
        assert found is not None
        assert bytes(found) == DATA[offset : offset + length]


def test_extend_proves_what_shrink_does_not(
    tmp_path: Path, clock: ManualClock, expected_warnings: list[str]
) -> None:
    expected_warnings.append("cached block is damaged")
    for level, finds in (("shrink", True), ("extend", False)):
        limits = DiskLimits(MIB, free_space_ratio=0.0, checksum=level)  # type: ignore[arg-type]
        cache = DiskCache(tmp_path / level, UUID, limits, clock)
        cache.keep(key(1), DATA)
        flip(tmp_path / level / f"roost-{UUID}" / "raw" / key(1))
        found = cache.find_range(key(1), SIZE, SIZE // 2 - 5, 10)
        assert (found is not None) == finds


@pytest.mark.parametrize("eviction", ["2-random", "lru"])
def test_the_size_and_the_count_are_bounded(
    tmp_path: Path, clock: ManualClock, eviction: module.Eviction
) -> None:
    limits = DiskLimits(5 * (SIZE + 100), items=4, free_space_ratio=0.0, eviction=eviction)
    cache = DiskCache(tmp_path, UUID, limits, clock)
    for n in range(1, 20):
        assert cache.keep(key(n), DATA)
        clock.advance(1)
        assert cache.size_bytes <= limits.size_bytes
    left = [n for n in range(1, 20) if cache.find(key(n), SIZE)]
    assert len(left) == 4
    if eviction == "lru":
        assert left == [16, 17, 18, 19]


def test_without_eviction_a_full_cache_takes_nothing_more(
    tmp_path: Path, clock: ManualClock
) -> None:
    limits = DiskLimits(3 * (SIZE + 100), free_space_ratio=0.0, eviction="none")
    cache = DiskCache(tmp_path, UUID, limits, clock)
    assert [cache.keep(key(n), DATA) for n in range(1, 6)] == [True] * 3 + [False] * 2
    assert cache.find(key(1), SIZE) == DATA


def test_too_little_free_space_means_no_caching_and_no_error(
    tmp_path: Path, clock: ManualClock
) -> None:
    cache = DiskCache(tmp_path, UUID, DiskLimits(MIB, free_space_ratio=0.999999), clock)
    assert not cache.keep(key(1), DATA)
    assert cache.find(key(1), SIZE) is None


def test_a_full_disk_is_left_alone_for_a_while(
    cache: DiskCache,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    expected_warnings: list[str],
) -> None:
    expected_warnings.append("cache folder refuses")
    tried = []

    def refuse(_descriptor: int, _data: bytes) -> None:
        tried.append(1)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(module, "_write_all", refuse)
        assert not cache.keep(key(1), DATA)
        assert not cache.keep(key(2), DATA)
        assert len(tried) == 1
    clock.advance(module.QUIET_S + 1)
    assert cache.keep(key(1), DATA)


def test_what_nobody_uses_expires(tmp_path: Path, clock: ManualClock) -> None:
    limits = DiskLimits(MIB, free_space_ratio=0.0, expire_s=100)
    cache = DiskCache(tmp_path, UUID, limits, clock)
    cache.keep(key(1), DATA)
    cache.keep(key(2), DATA)
    clock.advance(90)
    assert cache.find(key(2), SIZE)
    clock.advance(20)
    cache.keep(key(3), DATA)
    assert [n for n in (1, 2, 3) if cache.find(key(n), SIZE)] == [2, 3]


@pytest.mark.parametrize("code", [errno.EMFILE, errno.EIO, errno.EACCES])
@pytest.mark.parametrize("whole", [True, False])
def test_a_block_that_cannot_be_opened_takes_its_room_as_before(
    cache: DiskCache, monkeypatch: pytest.MonkeyPatch, code: int, whole: bool
) -> None:
    def refuse(_path: Path) -> int:
        raise OSError(code, os.strerror(code))

    cache.keep(key(1), DATA)
    before = cache.size_bytes
    with monkeypatch.context() as patch:
        patch.setattr(module, "open_regular", refuse)
        if whole:
            assert cache.find(key(1), SIZE) is None
        else:
            assert cache.find_range(key(1), SIZE, 0, 1) is None
    assert cache.size_bytes == before > SIZE
    assert cache.find(key(1), SIZE) == DATA


def test_a_folder_in_the_place_of_a_block_keeps_no_other_block_out(
    tmp_path: Path, cache: DiskCache
) -> None:
    file_of(tmp_path, 1).mkdir(parents=True)
    assert not cache.keep(key(1), DATA)
    assert cache.keep(key(2), DATA)
    assert [path.name for path in file_of(tmp_path, 1).parent.iterdir() if path.is_file()] == [
        file_of(tmp_path, 2).name
    ]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="the system lists no descriptors")
def test_what_is_no_regular_file_leaves_no_descriptor_open(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    before = os.listdir("/proc/self/fd")
    for _ in range(5):
        with pytest.raises(OSError, match="Not a regular file"):
            module.open_regular(tmp_path / "pipe")
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_a_volume_that_was_rolled_back_finds_nothing(
    tmp_path: Path, cache: DiskCache, clock: ManualClock
) -> None:
    cache.keep(key(70), DATA)
    assert not cache.check_rollback(lambda: 70)
    assert cache.find(key(70), SIZE)
    again = DiskCache(tmp_path, UUID, DiskLimits(MIB, free_space_ratio=0.0), clock)
    assert again.check_rollback(lambda: 69)
    assert again.find(key(70), SIZE) is None
    assert not again.check_rollback(lambda: 69)


def test_a_folder_that_cannot_be_emptied_after_a_rollback_is_not_used(
    tmp_path: Path,
    cache: DiskCache,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    expected_warnings: list[str],
) -> None:
    expected_warnings.append("cache folder left out")
    cache.keep(key(70), DATA)

    def refuse(_path: Path, *, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, "Read-only file system", missing_ok)

    again = DiskCache(tmp_path, UUID, DiskLimits(MIB, free_space_ratio=0.0), clock)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        assert not again.check_rollback(lambda: 69)
    assert again.find(key(70), SIZE) is None
    assert again.find_range(key(70), SIZE, 0, 10) is None
    assert not again.keep(key(70), DATA)


@pytest.mark.parametrize("code", [errno.EIO, errno.EACCES])
def test_a_folder_that_cannot_be_listed_after_a_rollback_is_not_used(
    tmp_path: Path,
    cache: DiskCache,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    expected_warnings: list[str],
    code: int,
) -> None:
    expected_warnings.append("cache folder left out")
    cache.keep(key(70), DATA)
    refused, scandir = file_of(tmp_path, 70).parent, os.scandir

    def refuse(path: Path) -> object:
        if Path(path) == refused:
            raise OSError(code, os.strerror(code), str(path))
        return scandir(path)

    again = DiskCache(tmp_path, UUID, DiskLimits(MIB, free_space_ratio=0.0), clock)
    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refuse)
        assert not again.check_rollback(lambda: 69)
    assert again.find(key(70), SIZE) is None
    later = DiskCache(tmp_path, UUID, DiskLimits(MIB, free_space_ratio=0.0), clock)
    assert later.check_rollback(lambda: 69), "it is still to be emptied"
    assert later.find(key(70), SIZE) is None


def test_a_folder_that_goes_while_all_is_removed_is_empty(
    tmp_path: Path, cache: DiskCache, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.keep(key(70), DATA)
    gone, scandir = file_of(tmp_path, 70).parent, os.scandir

    def remove(path: Path) -> object:
        if Path(path) == gone:
            gone.rename(tmp_path / "elsewhere")
        return scandir(path)

    again = DiskCache(tmp_path, UUID, DiskLimits(MIB, free_space_ratio=0.0), clock)
    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", remove)
        assert again.check_rollback(lambda: 69)
    assert again.keep(key(69), DATA)


def test_drafts_of_a_crash_are_removed_when_they_are_old(
    tmp_path: Path, cache: DiskCache, clock: ManualClock
) -> None:
    cache.keep(key(1), DATA)
    draft = file_of(tmp_path, 1).with_suffix(".tmp.x")
    draft.write_bytes(b"half")
    now_s = clock.wall_ns() / 1e9
    os.utime(draft, (now_s, now_s))
    cache.scan()
    assert draft.exists()
    clock.advance(7200)
    cache.scan()
    assert not draft.exists()
    assert cache.find(key(1), SIZE) == DATA


def test_one_folder_more_moves_only_its_share(tmp_path: Path, clock: ManualClock) -> None:
    def places(folders: int) -> list[DiskCache]:
        limits = DiskLimits(MIB)
        made = DiskCaches(
            [DiskCache(tmp_path / str(n), UUID, limits, clock) for n in range(folders)]
        )
        found = [made._of(key(n)).name for n in range(1000)]
        made.close()
        return found  # type: ignore[return-value]

    before, after = places(3), places(4)
    moved = [name for old, name in zip(before, after, strict=True) if old != name]
    assert 100 < len(moved) < 450
    assert len(set(moved)) == 1, "all that moved went to the new folder"


def test_the_index_counts_what_it_lists() -> None:
    index = DiskIndex("2-random", seed=1)
    for n in range(50):
        index.add(str(n % 20), n + 1, n)
    for n in range(0, 20, 3):
        assert index.remove(str(n))
        assert not index.remove(str(n))
    kept = [n for n in range(30, 50) if n % 20 % 3]
    assert len(index) == len(kept)
    assert index.size_bytes == sum(n + 1 for n in kept)
    victims = set()
    while (victim := index.victim()) is not None:
        index.remove(victim)
        victims.add(victim)
    assert victims == {str(n % 20) for n in kept}
    assert index.size_bytes == 0


@pytest.mark.parametrize("level", ["none", "full"])
def test_a_small_range_that_is_not_proved_is_all_that_is_read(
    tmp_path: Path,
    clock: ManualClock,
    level: module.ChecksumLevel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = DiskLimits(MIB, free_space_ratio=0.0, checksum=level)
    cache = DiskCache(tmp_path, UUID, limits, clock)
    cache.keep(key(1), DATA)
    asked: list[tuple[int, int]] = []
    really_read = os.pread

    def pread(descriptor: int, size_bytes: int, offset: int) -> bytes:
        asked.append((size_bytes, offset))
        return really_read(descriptor, size_bytes, offset)

    monkeypatch.setattr(os, "pread", pread)
    assert cache.find_range(key(1), SIZE, 40 * KIB, 10) == DATA[40 * KIB : 40 * KIB + 10]
    assert asked[0] == (10, 40 * KIB)


def test_blocks_of_forgotten_slices_are_gone_and_not_kept_again(
    tmp_path: Path, cache: DiskCache, clock: ManualClock
) -> None:
    caches = DiskCaches([cache])
    for n in (1, 2, 3):
        assert caches.keep_now(key(n), DATA)
    caches.forget_slices(2, 3)
    later = DiskCache(tmp_path, UUID, DiskLimits(MIB, free_space_ratio=0.0), clock)
    assert [later.find(key(n), SIZE) for n in (1, 2, 3)] == [DATA, None, DATA]
    assert not caches.keep_now(key(2), DATA), "it was read before, perhaps"
    assert later.find(key(2), SIZE) is None
    assert later.keep(key(2), DATA), "as another process does"
    assert caches.find(key(2), SIZE) is None
    assert caches.find_range(key(2), SIZE, 0, 10) is None
    caches.keep(key(2), DATA)
    caches.close()


def test_a_folder_that_cannot_forget_is_left_out(
    cache: DiskCache, monkeypatch: pytest.MonkeyPatch, expected_warnings: list[str]
) -> None:
    expected_warnings.append("left out")
    assert cache.keep(key(1), DATA)

    def refuse(*_: object, **__: object) -> list[object]:
        raise PermissionError(errno.EACCES, "no")

    monkeypatch.setattr(module, "files_below", refuse)
    cache.forget_slices(1, 2)
    assert cache.find(key(1), SIZE) is None
