"""Blocks are kept and found while the folder is still being listed, and its bounds hold."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from roost.sizes import KIB
from roost.testing.clock import ManualClock
from roost.volume.data import disk_cache as module
from roost.volume.data.disk_cache import DiskCache, DiskLimits
from roost.volume.data.disk_caches import DiskCaches
from roost.volume.data.disk_index import DiskIndex

UUID = "0b7b3c1e-0000-4000-8000-000000000001"
DATA = os.urandom(16 * KIB)
SIZE = len(DATA)
PATIENCE_S = 30.0


def key(n: int) -> str:
    return f"chunks/0/0/{n}_0_{SIZE}"


class Listing:
    """Holds every listing up, before its first file (`begin`) and behind its last one (`end`)."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begin, self.seen, self.end = (threading.Event() for _ in range(3))
        really = module.files_below

        def files(folder: Path, *, all_of_them: bool = False) -> Iterator[tuple[Path, int, float]]:
            if threading.current_thread() is threading.main_thread():
                yield from really(folder, all_of_them=all_of_them)
                return
            assert self.begin.wait(PATIENCE_S)
            yield from really(folder)
            self.seen.set()
            assert self.end.wait(PATIENCE_S)

        monkeypatch.setattr(module, "files_below", files)

    def see(self) -> None:
        """Let all files be seen, and hold up what follows."""
        self.begin.set()
        assert self.seen.wait(PATIENCE_S)

    def finish(self) -> None:
        """Hold nothing up any more."""
        self.begin.set()
        self.end.set()


@pytest.fixture
def listing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listing]:
    made = Listing(monkeypatch)
    yield made
    made.finish()


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., DiskCache]:
    clock = ManualClock()

    def cache(blocks_max: int = 100, eviction: module.Eviction = "2-random") -> DiskCache:
        limits = DiskLimits(
            blocks_max * (SIZE + 100), items=blocks_max, free_space_ratio=0.0, eviction=eviction
        )
        clock.advance(1)
        return DiskCache(tmp_path, UUID, limits, clock)

    return cache


def on_disk(tmp_path: Path) -> int:
    return sum(
        size_bytes for _, size_bytes, _ in module.files_below(tmp_path / f"roost-{UUID}" / "raw")
    )


def listed(cache: DiskCache) -> threading.Thread:
    thread = threading.Thread(target=cache.scan)
    thread.start()
    return thread


def test_blocks_are_kept_while_the_folder_is_still_being_listed(
    make: Callable[..., DiskCache], listing: Listing
) -> None:
    caches = DiskCaches([make()])
    caches.keep(key(1), DATA)
    pause = threading.Event()
    for _ in range(500):
        if caches.find(key(1), SIZE) is not None:
            break
        pause.wait(0.01)
    found = caches.find(key(1), SIZE)
    listing.finish()
    caches.close()
    assert found == DATA


@pytest.mark.parametrize("seen", [False, True])
def test_a_block_kept_during_the_listing_counts_once(
    tmp_path: Path, make: Callable[..., DiskCache], listing: Listing, seen: bool
) -> None:
    make().keep(key(1), DATA)
    cache = make()
    thread = listed(cache)
    if seen:
        listing.see()
    for n in (1, 2):
        assert cache.keep(key(n), DATA)
    listing.finish()
    thread.join()
    assert cache.size_bytes == on_disk(tmp_path) > 2 * SIZE


@pytest.mark.parametrize("how", ["removed", "rolled back"])
def test_what_is_removed_during_the_listing_does_not_count(
    tmp_path: Path, make: Callable[..., DiskCache], listing: Listing, how: str
) -> None:
    for n in (1, 2):
        make().keep(key(n), DATA)
    cache = make()
    thread = listed(cache)
    listing.see()
    if how == "removed":
        cache.remove(key(1))
    else:
        assert cache.check_rollback(lambda: 0)
    listing.finish()
    thread.join()
    assert cache.size_bytes == on_disk(tmp_path) == (how == "removed") * cache.size_bytes


def test_the_bounds_hold_once_all_is_listed(
    tmp_path: Path, make: Callable[..., DiskCache], listing: Listing
) -> None:
    for n in range(4):
        make(4).keep(key(n), DATA)
    before = on_disk(tmp_path)
    cache = make(4)
    thread = listed(cache)
    for n in range(10, 14):
        assert cache.keep(key(n), DATA)
    assert on_disk(tmp_path) == 2 * before, "what is not listed yet is not known"
    listing.finish()
    thread.join()
    assert cache.size_bytes == on_disk(tmp_path) == before


def test_the_bounds_hold_where_nothing_is_evicted(
    tmp_path: Path, make: Callable[..., DiskCache], listing: Listing
) -> None:
    for n in range(3):
        make(4).keep(key(n), DATA)
    cache = make(4, "none")
    thread = listed(cache)
    listing.see()
    assert not cache.keep(key(10), DATA)
    listing.finish()
    thread.join()
    assert [cache.keep(key(n), DATA) for n in (11, 12)] == [True, False]
    assert cache.size_bytes == on_disk(tmp_path)


def test_blocks_written_at_once_do_not_exceed_the_bounds_together(
    tmp_path: Path, make: Callable[..., DiskCache], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = make(1)
    really_write = cache._write

    def write(name: str, data: bytes) -> None:
        monkeypatch.setattr(cache, "_write", really_write)
        cache.keep(key(2), DATA)
        really_write(name, data)

    monkeypatch.setattr(cache, "_write", write)
    cache.keep(key(1), DATA)
    assert cache.size_bytes == on_disk(tmp_path) < 2 * SIZE


def test_a_listing_alone_evicts_nothing(
    tmp_path: Path, make: Callable[..., DiskCache], listing: Listing
) -> None:
    for n in range(4):
        make(4).keep(key(n), DATA)
    before = on_disk(tmp_path)
    listing.finish()
    thread = listed(make(2))
    thread.join()
    assert on_disk(tmp_path) == before, "another process may be allowed more"


def test_what_was_kept_during_the_listing_is_not_evicted_before_what_was_found(
    make: Callable[..., DiskCache], listing: Listing
) -> None:
    for n in (1, 2):
        make().keep(key(n), DATA)
    cache = make(3, "lru")
    thread = listed(cache)
    listing.see()
    cache.keep(key(3), DATA)
    listing.finish()
    thread.join()
    for n in (4, 5):
        cache.keep(key(n), DATA)
    assert [n for n in range(1, 6) if cache.find(key(n), SIZE)] == [3, 4, 5]


@pytest.mark.parametrize("kept", [None, False, True])
def test_closing_waits_for_the_listing_only_if_blocks_were_kept_meanwhile(
    tmp_path: Path,
    make: Callable[..., DiskCache],
    listing: Listing,
    monkeypatch: pytest.MonkeyPatch,
    kept: bool | None,
) -> None:
    monkeypatch.setattr(module, "LISTED_AT_ONCE", 1)
    for n in range(4):
        make(4).keep(key(n), DATA)
    before = on_disk(tmp_path)
    cache = make(4)
    thread = listed(cache)
    if kept is not None:
        monkeypatch.setattr(cache, "_has_free_space", lambda _size_bytes: kept)
        assert cache.keep(key(5), DATA) == kept
    cache.stop_listing()
    listing.finish()
    thread.join()
    if kept:
        assert cache.size_bytes == on_disk(tmp_path) == before
    else:
        assert cache.size_bytes < before == on_disk(tmp_path)


ENDS = """
import sys, threading
from pathlib import Path
from roost.clock import SystemClock
from roost.volume.data import disk_cache
from roost.volume.data.disk_caches import DiskCaches

begun = threading.Event()

def files(_folder):
    begun.set()
    threading.Event().wait()
    yield

disk_cache.files_below = files
limits = disk_cache.DiskLimits(1 << 20)
caches = DiskCaches([disk_cache.DiskCache(Path(sys.argv[1]), "uuid", limits, SystemClock())])
assert begun.wait(20)
print("ends")
"""


def test_a_process_that_ends_without_closing_waits_for_no_listing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ENDS, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("ends\n", "", 0)


def test_blocks_are_written_by_threads_that_give_way(make: Callable[..., DiskCache]) -> None:
    caches = DiskCaches([make()])
    courtesy = caches._writes._courtesy
    assert courtesy is not None
    before_s = [0.0, 7.0]
    courtesy._waited = before_s.pop
    caches.keep(key(1), DATA)
    caches.close()
    assert before_s == [], "nobody asked how long the thread was kept waiting"


def test_a_draft_that_cannot_be_removed_does_not_end_the_listing(
    tmp_path: Path, make: Callable[..., DiskCache], monkeypatch: pytest.MonkeyPatch
) -> None:
    make().keep(key(1), DATA)
    block = tmp_path / f"roost-{UUID}" / "raw" / key(1)
    draft = block.with_name("2_0_9.tmp.x")
    draft.write_bytes(b"half")
    os.utime(draft, (1, 1))

    def refuse(_path: Path, *, missing_ok: bool = False) -> None:
        raise PermissionError(missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    monkeypatch.setattr(
        module, "files_below", lambda _folder: iter([(draft, 4, 1.0), (block, 9, 1.0)])
    )
    cache = make()
    cache.scan()
    assert cache.size_bytes == 9


def test_a_miss_does_not_strike_off_what_was_kept_meanwhile(
    tmp_path: Path, make: Callable[..., DiskCache], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = make()
    really_open = module.open_regular

    def open_late(path: Path) -> int:
        try:
            return really_open(path)
        except FileNotFoundError:
            cache.keep(key(1), DATA)
            raise

    monkeypatch.setattr(module, "open_regular", open_late)
    assert cache.find(key(1), SIZE) is None
    assert cache.size_bytes == on_disk(tmp_path) > SIZE
    assert cache.find(key(1), SIZE) == DATA


def test_a_miss_strikes_off_what_another_process_removed(
    tmp_path: Path, make: Callable[..., DiskCache]
) -> None:
    cache = make()
    cache.keep(key(1), DATA)
    (tmp_path / f"roost-{UUID}" / "raw" / key(1)).unlink()
    assert cache.find_range(key(1), SIZE, 0, 1) is None
    assert cache.size_bytes == 0


def test_the_index_takes_only_what_it_looked_for_and_does_not_know_better() -> None:
    index = DiskIndex("lru")
    index.add_found([("a", 1, 0.0)])
    assert len(index) == 0
    index.add("a", 2, 5.0)
    index.look()
    index.add_found([("a", 1, 0.0), ("b", 1, 0.0)])
    assert (len(index), index.size_bytes) == (2, 3)
    assert index.unused_since(1.0) == [index.victim()] == ["b"]
