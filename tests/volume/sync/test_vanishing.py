"""A root that is replaced by an empty folder in mid-run: what an unmounted disk leaves."""

import contextlib
import gc
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from roost.errors import NotFound
from roost.volume.sync.checkpoint import Checkpoint, Progress
from roost.volume.sync.endpoint import Endpoint, Vanished
from roost.volume.sync.items import Item, Kind
from roost.volume.sync.local_tree import LocalTree
from roost.volume.sync.one_file import OneFile
from roost.volume.sync.options import Options
from roost.volume.sync.runner import Job, Sync
from roost.volume.sync.volume_tree import VolumeTree
from tests.volume.sync import places
from tests.volume.sync.places import File, Quiet, fill, read_back

TREE = {
    f"d{folder}/{name}": File(b"x") for folder in range(4) for name in ("", *map(str, range(5)))
}
DELETING = Options(delete_dst=True, dirs=True, threads=2)


def _replaced(endpoint: Endpoint, folder: Path) -> Callable[[], None]:
    """Return what puts an empty folder in the place of the endpoint's root."""
    if isinstance(endpoint, VolumeTree):
        client = endpoint._client

        def in_the_volume() -> None:
            client.rename("/root", "/away")
            client.mkdir("/root")

        return in_the_volume

    def on_disk() -> None:
        folder.rename(folder.with_name("away"))
        folder.mkdir()

    return on_disk


@pytest.fixture(params=[places.local, places.volume], ids=["directory", "volume"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Endpoint]:
    made: Endpoint = request.param(tmp_path / "source")
    fill(made, TREE)
    yield made
    made.close()


@pytest.fixture
def target(tmp_path: Path) -> LocalTree:
    made = places.local(tmp_path / "target")
    fill(made, TREE)
    return made


@pytest.mark.parametrize("count", [0, 1, 3, 12, len(TREE)])
def test_nothing_is_deleted_once_the_source_was_replaced(
    source: Endpoint,
    target: LocalTree,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    count: int,
) -> None:
    """After any number of keys, and whether or not there is a target key below them."""
    replace, listed = _replaced(source, tmp_path / "source"), source.list

    def unmounted(prefix: str, start: str, *, follow: bool) -> Iterator[Item]:
        left = count
        for item in listed(prefix, start, follow=follow):
            if left == 0:
                replace()
            left -= 1
            yield item
        if left == 0:
            replace()

    monkeypatch.setattr(source, "list", unmounted)
    with pytest.raises(Vanished):
        Sync(Job(source, target, options=DELETING), Quiet()).run()
    assert set(read_back(target)) == set(TREE)


@pytest.mark.parametrize("count", [1, 4])
def test_a_key_is_not_absent_at_a_source_that_was_replaced(
    source: Endpoint,
    target: LocalTree,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    count: int,
) -> None:
    """The listing was whole; the deletions that it led to come later."""
    extras = {f"z/{number}": File(b"x") for number in range(6)}
    fill(target, extras)
    fill(source, {"z/3": File(b"x")})
    replace, looked, listed = _replaced(source, tmp_path / "source"), source.head, source.list
    calls = iter(range(1, 1000))

    def unmounted(key: str, *, follow: bool) -> Item | None:
        if next(calls) == count:
            replace()
        return looked(key, follow=follow)

    def forgetful(prefix: str, start: str, *, follow: bool) -> Iterator[Item]:
        return (i for i in listed(prefix, start, follow=follow) if i.key != "z/3")

    monkeypatch.setattr(source, "head", unmounted)
    monkeypatch.setattr(source, "list", forgetful)
    with pytest.raises(Vanished):
        Sync(Job(source, target, options=DELETING), Quiet()).run()
    assert "z/3" in read_back(target)
    assert set(TREE) <= set(read_back(target))


def test_nothing_is_deleted_in_the_folder_that_took_the_source_s_place(
    source: Endpoint, tmp_path: Path
) -> None:
    assert source.is_there()
    _replaced(source, tmp_path / "source")()
    fill(_anew(source, tmp_path / "source"), {"a": File(b"new")})
    with pytest.raises(Vanished):
        source.delete("a")
    assert not source.is_there()


def _anew(endpoint: Endpoint, folder: Path) -> Endpoint:
    """Return an endpoint that takes the root for what it finds now."""
    if isinstance(endpoint, VolumeTree):
        return VolumeTree(endpoint._client, "/root")
    return LocalTree(folder)


FILE = Item("x/f", Kind.FILE, 1, 1)
TOUCHING: dict[str, Callable[[Endpoint], object]] = {
    "list": lambda side: list(side.list("d0/", "", follow=True)),
    "head": lambda side: side.head("d0/1", follow=True),
    "write": lambda side: side.write(FILE, iter([b"1"]), "draft"),
    "make_folder": lambda side: side.make_folder("x"),
    "make_link": lambda side: side.make_link("x/l", "a"),
    "delete": lambda side: side.delete("d0/1"),
    "read_note": lambda side: side.read_note("note"),
    "write_note": lambda side: side.write_note("note", b"1"),
    "demand_there": lambda side: side.demand_there(),
}


@pytest.mark.parametrize("verb", TOUCHING)
def test_nothing_is_found_or_made_in_the_folder_that_took_a_root_s_place(
    source: Endpoint, tmp_path: Path, verb: str
) -> None:
    TOUCHING[verb](source)
    assert source.is_there()
    TOUCHING[verb](source)
    _replaced(source, tmp_path / "source")()
    with pytest.raises(Vanished):
        TOUCHING[verb](source)
    assert read_back(_anew(source, tmp_path / "source")) == {}


def test_a_root_that_is_removed_is_not_made_again(source: Endpoint, tmp_path: Path) -> None:
    assert source.is_there()
    _remove(source, tmp_path / "source")
    with pytest.raises(Vanished):
        source.write(FILE, iter([b"1"]), "draft")
    assert not _anew(source, tmp_path / "source").is_there()
    with pytest.raises(NotFound, match="no such folder") as refused:
        _anew(source, tmp_path / "source").demand_there()
    assert not isinstance(refused.value, Vanished)


@pytest.mark.parametrize("threads", [1, 8])
def test_a_root_that_is_gone_ends_the_run_at_once(
    source: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    """Not key after key, of which each would fail."""
    other = places.local(tmp_path / "other")
    fill(other, {f"f{number:04}": File(b"x") for number in range(3000)})
    replace, written = _replaced(source, tmp_path / "source"), source.write
    calls = iter(range(1, 10_000))

    def unmounting(item: Item, pieces: Iterator[bytes], draft: str) -> None:
        if next(calls) == 5:
            replace()
        time.sleep(0.001)
        written(item, pieces, draft)

    monkeypatch.setattr(source, "write", unmounting)
    with pytest.raises(Vanished):
        Sync(Job(other, source, options=Options(delete_dst=True, threads=threads)), Quiet()).run()
    assert next(calls) < 2000


FILES = {key: file for key, file in TREE.items() if not key.endswith("/")}


@pytest.mark.parametrize("count", [1, 4, 9])
@pytest.mark.parametrize("before", [True, False])
def test_no_source_is_deleted_for_a_copy_in_the_folder_that_took_the_target_s_place(
    source: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, before: bool
) -> None:
    """The fixture is the target here.  It is replaced before, or just after, the n-th copy."""
    target, other = source, places.local(tmp_path / "other")
    fill(other, {key: File(b"new") for key in FILES})
    replace, written = _replaced(target, tmp_path / "source"), target.write
    calls = iter(range(1, 1000))

    def unmounting(item: Item, pieces: Iterator[bytes], draft: str) -> None:
        is_last = next(calls) == count
        if before and is_last:
            replace()
        written(item, pieces, draft)
        if not before and is_last:
            replace()

    monkeypatch.setattr(target, "write", unmounting)
    options = Options(delete_src_after=True, threads=1)
    with pytest.raises(Vanished):
        Sync(Job(other, target, options=options), Quiet()).run()
    assert len(read_back(other)) - len(_folders(other)) == len(FILES) - (count - 1)
    assert read_back(_anew(target, tmp_path / "source")) == {}


@pytest.mark.parametrize("count", [1, 4, 9])
def test_no_source_is_deleted_for_a_copy_that_was_unmounted(
    source: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    target, other = source, places.local(tmp_path / "other")
    fill(other, FILES)
    replace, deleted = _replaced(target, tmp_path / "source"), other.delete
    calls = iter(range(1, 1000))

    def unmounting(key: str) -> None:
        deleted(key)
        if next(calls) == count:
            replace()

    monkeypatch.setattr(other, "delete", unmounting)
    with pytest.raises(Vanished):
        Sync(Job(other, target, options=Options(delete_src=True, threads=1)), Quiet()).run()
    assert len(read_back(other)) - len(_folders(other)) == len(FILES) - count


PLAIN = Options(dirs=True, threads=1)


@pytest.mark.parametrize("count", [1, 4, len(FILES)])
@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("exists", [True, False])
def test_a_plain_sync_tells_that_its_target_was_replaced(
    source: Endpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    before: bool,
    exists: bool,
) -> None:
    """The fixture is the target here.  It is replaced before, or just after, the n-th copy."""
    folder = tmp_path / "source"
    target, other = _anew(source, folder), places.local(tmp_path / "other")
    fill(other, {key: File(b"new", 2) for key in FILES})
    if not exists:
        _remove(target, folder)
    replace, written = _replaced(target, folder), target.write
    calls = iter(range(1, 1000))

    def unmounting(item: Item, pieces: Iterator[bytes], draft: str) -> None:
        is_last = next(calls) == count
        if before and is_last:
            replace()
        written(item, pieces, draft)
        if not before and is_last:
            replace()

    monkeypatch.setattr(target, "write", unmounting)
    with pytest.raises(Vanished):
        Sync(Job(other, target, options=PLAIN), Quiet()).run()
    assert read_back(_anew(target, folder)) == {}


def test_the_folder_of_a_single_file_is_watched_too(
    source: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "source"
    other = places.local(tmp_path / "other")
    fill(other, {"f": File(b"new")})
    _remove(source, folder)
    target = _anew(source, folder)
    replace, written = _replaced(target, folder), target.write

    def unmounting(item: Item, pieces: Iterator[bytes], draft: str) -> None:
        written(item, pieces, draft)
        replace()

    monkeypatch.setattr(target, "write", unmounting)
    work = Job(OneFile(other, "f", "f"), OneFile(target, "g", "f"), options=PLAIN)
    with pytest.raises(Vanished):
        Sync(work, Quiet()).run()


def test_a_single_file_is_copied_to_the_root_of_a_volume(tmp_path: Path) -> None:
    inner = places.volume(tmp_path)
    assert isinstance(inner, VolumeTree)
    root = VolumeTree(inner._client, "/")
    other = places.local(tmp_path / "other")
    fill(other, {"f": File(b"new")})
    assert Sync(Job(OneFile(other, "f", "f"), OneFile(root, "g", "f")), Quiet()).run().copied == 1
    assert inner._client.read("/g") == b"new"
    root.close()


@pytest.mark.parametrize("options", [Options(dirs=True, dry=True), Options(existing=True)])
def test_a_target_that_nothing_is_made_in_is_not_made(tmp_path: Path, options: Options) -> None:
    other = places.local(tmp_path / "other")
    fill(other, FILES)
    assert Sync(Job(other, LocalTree(tmp_path / "t"), options=options), Quiet()).run().failed == 0
    assert not (tmp_path / "t").exists()


def _remove(endpoint: Endpoint, folder: Path) -> None:
    """Take the endpoint's root away."""
    if isinstance(endpoint, VolumeTree):
        endpoint._client.remove_tree("/root")
    else:
        shutil.rmtree(folder)


def _folders(endpoint: Endpoint) -> list[str]:
    return [key for key in read_back(endpoint) if key.endswith("/")]


def test_a_root_that_was_seen_is_held_until_it_is_let_go(tmp_path: Path) -> None:
    """Some file systems give a folder another inode when nobody knows it any more."""

    def held() -> int:
        found = 0
        for descriptor in os.listdir("/proc/self/fd"):
            with contextlib.suppress(FileNotFoundError):
                found += os.readlink(f"/proc/self/fd/{descriptor}") == str(tmp_path)
        return found

    tree = LocalTree(tmp_path)
    assert held() == 0
    for _ in range(3):
        assert tree.is_there()
        assert held() == 1
    tree.close()
    tree.close()
    assert held() == 0
    forgotten = LocalTree(tmp_path)
    assert forgotten.is_there()
    del forgotten
    gc.collect()
    assert held() == 0
    assert not LocalTree(tmp_path / "none").is_there()


@pytest.mark.parametrize("lacks", [("e/", "f"), ("e/",), ("z/", "z/in/")])
def test_a_folder_that_a_listing_left_out_is_not_removed(
    source: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacks: tuple[str, ...]
) -> None:
    tree = {"a": File(b"a"), "e/": File(time=7), "f": File(b"f"), "z/": File(time=2)}
    tree["z/in/"] = File(time=3)
    target = places.local(tmp_path / "target")
    for side in (source, target):
        fill(side, TREE | tree)
    fill(target, {"gone/": File(), "gone/too/": File()})
    listed = source.list

    def forgetful(prefix: str, start: str, *, follow: bool) -> Iterator[Item]:
        return (i for i in listed(prefix, start, follow=follow) if i.key not in lacks)

    monkeypatch.setattr(source, "list", forgetful)
    (tmp_path / "target/e").chmod(0o700)
    before = {key: file for key, file in read_back(target).items() if "gone" not in key}
    watcher = Quiet()
    assert Sync(Job(source, target, options=DELETING), watcher).run().failed == 0
    assert set(watcher.errors) == set(lacks)
    assert read_back(target) == before


def test_a_single_file_that_is_gone_is_told_in_its_own_words(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s/a").write_bytes(b"a")
    one, none = (OneFile(LocalTree(tmp_path / "s"), name, name) for name in ("a", "b"))
    with pytest.raises(NotFound, match="no such file") as refused:
        Sync(Job(none, places.local(tmp_path / "t")), Quiet()).run()
    assert not isinstance(refused.value, Vanished)
    one.demand_there()
    (tmp_path / "s/a").unlink()
    with pytest.raises(NotFound, match="no such file") as refused:
        one.demand_there()
    assert not isinstance(refused.value, Vanished)
    (tmp_path / "s").rename(tmp_path / "away")
    (tmp_path / "s").mkdir()
    (tmp_path / "s/a").write_bytes(b"another")
    assert not one.is_there()
    with pytest.raises(Vanished):
        one.demand_there()


@pytest.mark.parametrize("by", ["a note", "a second try"])
def test_a_target_that_a_note_or_a_second_try_made_is_watched_from_then_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """It is unmounted behind the first thing written: seen afterwards, the rest would be it."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source/a").write_bytes(b"x")
    source, target = LocalTree(tmp_path / "source"), LocalTree(tmp_path / "target")
    replace, written = _replaced(target, tmp_path / "target"), target.write

    def unmounting(item: Item, pieces: Iterator[bytes], draft: str) -> None:
        written(item, pieces, draft)
        replace()

    checkpoint = Checkpoint(source, target, "identity")
    checkpoint.save(Progress(key="zz", failed=((0, "a", True),) * (by != "a note")))
    sync = Sync(Job(source, target, checkpoint=checkpoint), Quiet())
    shutil.rmtree(tmp_path / "target")
    monkeypatch.setattr(target, "write", unmounting)
    if by == "a note":
        with pytest.raises(Vanished):
            sync.run()
    else:
        monkeypatch.setattr(sync, "_tick", lambda: None)  # it writes a note, if one is due
        sync._try_again()
        with pytest.raises(Vanished):
            target.demand_same()
