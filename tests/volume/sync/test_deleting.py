"""What is deleted, and what no wrong listing or lost folder makes a sync delete."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from roost.blob.memory import MemoryStore
from roost.errors import NotFound, Unsupported
from roost.volume.sync.bucket import Bucket
from roost.volume.sync.items import Item
from roost.volume.sync.local_tree import LocalTree
from roost.volume.sync.one_file import OneFile
from roost.volume.sync.options import Options
from roost.volume.sync.places import Manner, open_file_or_folder
from roost.volume.sync.runner import Job
from tests.volume.sync.places import Quiet, make, names, run, sync, tree_of


def test_a_source_that_is_not_there_is_no_empty_folder(tmp_path: Path) -> None:
    target = make(tmp_path / "t", "precious")
    with pytest.raises(NotFound):
        sync(tmp_path / "nowhere", target, Options(delete_dst=True))
    assert names(target) == "precious"


class Vanishing(LocalTree):
    """A source that is taken away while it is listed."""

    def __init__(self, root: Path, after: int) -> None:
        super().__init__(root)
        self._where = root
        self._after = after

    def list(self, prefix: str, start: str, *, follow: bool) -> Iterator[Item]:
        for number, item in enumerate(super().list(prefix, start, follow=follow)):
            if number == self._after:
                break
            yield item
        self._where.rename(self._where.with_name("away"))


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_source_that_vanishes_while_it_is_listed_deletes_nothing(
    tmp_path: Path, after: int
) -> None:
    source = make(tmp_path / "s", "a", "b", "c")
    target = make(tmp_path / "t", "c", "d", "e/f")
    work = Job(Vanishing(source, after), LocalTree(target), options=Options(delete_dst=True))
    with pytest.raises(NotFound):
        run(work)
    assert {"c", "d", "e/f"} <= set(tree_of(target))


def test_a_single_file_that_vanishes_is_not_deleted_at_the_target(tmp_path: Path) -> None:
    source, target = make(tmp_path / "s", "a"), make(tmp_path / "t", "a")
    one, _ = open_file_or_folder(str(source / "a"), Manner())
    (source / "a").unlink()
    there = OneFile(LocalTree(target), "a", "a")
    with pytest.raises(NotFound):
        run(Job(one, there, options=Options(delete_dst=True)))
    assert names(target) == "a"


class Forgetful(LocalTree):
    """A source whose listing leaves a file out."""

    def list(self, prefix: str, start: str, *, follow: bool) -> Iterator[Item]:
        found = super().list(prefix, start, follow=follow)
        return (item for item in found if item.key != "b")


def test_what_a_listing_left_out_is_not_deleted(tmp_path: Path) -> None:
    source, target = make(tmp_path / "s", "a", "b"), make(tmp_path / "t", "a", "b", "c")
    watcher = Quiet()
    work = Job(Forgetful(source), LocalTree(target), options=Options(delete_dst=True))
    assert run(work, watcher).failed == 0  # the second look finds it at both sides
    assert list(watcher.errors) == ["b"]
    assert names(target) == "a b"


@pytest.mark.parametrize("links", [False, True])
def test_what_a_listing_left_out_below_a_folder_is_not_deleted(tmp_path: Path, links: bool) -> None:
    class Shortened(LocalTree):
        def list(self, prefix: str, start: str, *, follow: bool) -> Iterator[Item]:
            found = super().list(prefix, start, follow=follow)
            return (item for item in found if not item.key.endswith("/b"))

    source = make(tmp_path / "s", "d/a", "d/b", "real/b")
    (source / "to").symlink_to("real")
    target = make(tmp_path / "t", "d/a", "d/b", "real/b")
    work = Job(Shortened(source), LocalTree(target), options=Options(delete_dst=True, links=links))
    assert run(work).failed == 0
    assert {"d/b", "real/b"} <= set(tree_of(target))


class Disorderly(Bucket):
    """A store that lists names out of order."""

    def list(self, prefix: str, start: str, *, follow: bool) -> Iterator[Item]:
        found = list(super().list(prefix, start, follow=follow))
        return iter([*found[1:], found[0]])


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_listing_out_of_order_deletes_nothing(tmp_path: Path, side: str) -> None:
    """Merged with another it would make every key that comes too late look as if it were gone."""
    store = MemoryStore()
    for key in "abc":
        store.put(key, b"x")
    folder = LocalTree(make(tmp_path / "f", "a", "b", "c"))
    pair = (Disorderly(store), folder) if side == "source" else (folder, Disorderly(store))
    with pytest.raises(Unsupported, match="order"):
        run(Job(*pair, options=Options(delete_dst=True)))
    assert names(tmp_path / "f") == "a b c"
    assert [info.key for info in store.list()] == ["a", "b", "c"]


def test_a_source_is_not_deleted_for_a_copy_of_another_size(tmp_path: Path) -> None:
    """With --update equal times count as equal files; nothing says that they are."""
    source, target = make(tmp_path / "s", "a", size=10), make(tmp_path / "t", "a", size=3)
    sync(source, target, Options(update=True, delete_src=True))
    assert names(source) == "a"
