"""How a copy comes about: whole, checked, with time and mode, at the rate asked for."""

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from roost.blob.memory import MemoryStore
from roost.errors import CorruptRecord, Unsupported
from roost.testing.volumes import TestVolume
from roost.volume.sync import bucket as bucket_module
from roost.volume.sync.bucket import Bucket
from roost.volume.sync.copying import Changed
from roost.volume.sync.items import Item, Kind
from roost.volume.sync.local_tree import LocalTree
from roost.volume.sync.options import Options
from roost.volume.sync.runner import Job
from roost.volume.sync.volume_tree import VolumeTree
from tests.volume.sync.places import SECOND_NS, Quiet, make, names, run, sync


def test_folders_keep_their_time_though_files_are_made_in_them(tmp_path: Path) -> None:
    source = make(tmp_path / "s", "a/b/c")
    os.chmod(source / "a/b", 0o711)
    for folder in ("a/b", "a"):
        os.utime(source / folder, ns=(5 * SECOND_NS, 7 * SECOND_NS))
    sync(source, tmp_path / "t", Options(dirs=True, perms=True))
    found = (tmp_path / "t/a/b").stat()
    assert (found.st_mtime_ns, found.st_mode & 0o777) == (7 * SECOND_NS, 0o711)
    assert (tmp_path / "t/a").stat().st_mtime_ns == 7 * SECOND_NS


class Lossy(LocalTree):
    """A target that spoils one byte of what it is given."""

    def write(self, item: Item, pieces: Iterator[bytes], draft: str) -> None:
        super().write(item, (b"?" + piece[1:] for piece in pieces), draft)


def test_copies_are_read_back_when_asked(tmp_path: Path) -> None:
    source = make(tmp_path / "s", "a", size=5000)
    watcher = Quiet()
    work = Job(LocalTree(source), Lossy(tmp_path / "t"), options=Options(check_new=True))
    assert run(work, watcher).failed == 1
    assert isinstance(watcher.errors["a"], CorruptRecord)
    assert names(tmp_path / "t") == ""
    make(tmp_path / "t", "a", size=5000)
    (tmp_path / "t/a").write_bytes(b"y" * 5000)
    work = Job(LocalTree(source), LocalTree(tmp_path / "t"), options=Options(check_all=True))
    assert run(work).copied == 1
    assert (tmp_path / "t/a").read_bytes() == b"x" * 5000


class Shrinking(LocalTree):
    """A source whose files are cut between the listing and the copy, or touched after it."""

    def __init__(self, root: Path, length: int) -> None:
        super().__init__(root)
        self._path_of = root
        self._length = length

    def open(self, key: str):  # type: ignore[no-untyped-def]
        os.truncate(self._path_of / key, self._length)
        return super().open(key)


def test_a_file_that_shrinks_fails_and_one_that_grows_is_copied_as_listed(tmp_path: Path) -> None:
    source = make(tmp_path / "s", "a", size=10)
    listed = next(iter(LocalTree(source).list("", "", follow=True)))
    assert listed.size_bytes == 10
    watcher = Quiet()
    work = Job(Shrinking(source, 4), LocalTree(tmp_path / "t"))
    counts = run(work, watcher)  # the second try sees the new size
    assert isinstance(watcher.errors["a"], Changed)
    assert (counts.failed, names(tmp_path / "t")) == (0, "a")
    grown = make(tmp_path / "s2", "a", size=10)
    assert run(Job(Shrinking(grown, 40), LocalTree(tmp_path / "t2"))).failed == 0
    assert (tmp_path / "t2/a").stat().st_size == 10
    watched = make(tmp_path / "s3", "a", size=10)
    work = Job(
        Shrinking(watched, 40), LocalTree(tmp_path / "t3"), options=Options(check_change=True)
    )
    watcher = Quiet()
    assert run(work, watcher).failed == 0  # the second time it stood still
    assert isinstance(watcher.errors["a"], Changed)
    assert (tmp_path / "t3/a").stat().st_size == 40


@pytest.mark.parametrize("size", [0, 100, 5000])
def test_large_objects_are_put_from_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(bucket_module, "MEMORY_BYTES_MAX", 1000)
    source = make(tmp_path / "s", "a", size=size)
    store = MemoryStore()
    store.put("b", b"b")
    run(Job(LocalTree(source), Bucket(store), options=Options(check_new=True, delete_dst=True)))
    assert store.get("a") == b"x" * size
    assert [info.key for info in store.list()] == ["a"]
    with pytest.raises(Unsupported):
        Bucket(store).make_link("l", "a")


def test_a_bucket_cannot_lead_out_of_a_directory(tmp_path: Path) -> None:
    class Evil(MemoryStore):
        def list(self, prefix: str = ""):  # type: ignore[no-untyped-def]
            for info in super().list(prefix):
                yield replace(info, key="../out") if info.key == "x" else info

    store = Evil()
    store.put("x", b"x")
    with pytest.raises(CorruptRecord):
        run(Job(Bucket(store), LocalTree(tmp_path / "t")))
    assert not (tmp_path / "out").exists()


def test_bandwidth_is_held_to_its_limit(tmp_path: Path) -> None:
    source = make(tmp_path / "s", *(f"f{n}" for n in range(5)), size=100_000)
    begun = time.monotonic()
    sync(source, tmp_path / "t", Options(bandwidth_mbps=8, threads=4))
    assert time.monotonic() - begun > 0.3  # 0.5 MB at 1 MB/s, a burst of a tenth of a second


def test_a_folder_that_a_file_stands_in_the_way_of_fails(tmp_path: Path) -> None:
    source, target = make(tmp_path / "s", "d/", "x"), make(tmp_path / "t", "d")
    counts = sync(source, target, Options(dirs=True))
    assert counts.failed == 1
    assert sync(source, target, Options(dirs=True), lines=["d"]).failed == 1
    assert names(target) == "d x"


class ModesLater(LocalTree):
    """A target that is looked at before it has set any mode."""

    def set_mode(self, item: Item) -> None:
        raise OSError(5, "not yet")


@pytest.mark.parametrize("inplace", [False, True])
def test_a_secret_is_not_readable_before_it_has_its_mode(tmp_path: Path, inplace: bool) -> None:
    source = make(tmp_path / "s", "secret")
    (source / "secret").chmod(0o640)
    options = Options(perms=True, inplace=inplace)
    assert run(Job(LocalTree(source), ModesLater(tmp_path / "t"), options=options)).failed == 1
    assert (tmp_path / "t/secret").stat().st_mode & 0o777 == 0o600
    (source / "secret").chmod(0o664)
    sync(source, tmp_path / "t", options)
    assert (tmp_path / "t/secret").stat().st_mode & 0o777 == 0o664
    sync(source, tmp_path / "u", Options(inplace=inplace))
    umask = os.umask(0)
    os.umask(umask)
    assert (tmp_path / "u/secret").stat().st_mode & 0o777 == 0o666 & ~umask


def test_folders_that_others_remove_are_made_again(volume: TestVolume) -> None:
    tree, other = VolumeTree(volume.open(), "/t"), volume.open()
    tree.write(Item("d/a", Kind.FILE, 1, SECOND_NS), iter([b"1"]), "draft")
    tree.make_link("d/l", "a")
    other.remove_tree("/t/d")
    tree.make_link("d/l", "a")
    other.remove_tree("/t/d")
    tree.write(Item("d/b", Kind.FILE, 1, SECOND_NS), iter([b"2"]), "draft")
    assert [item.key for item in tree.list("", "", follow=False)] == ["d/", "d/b"]
