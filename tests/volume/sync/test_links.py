"""Links, pipes and circles on either side: followed, copied, replaced, never written through."""

import os
import time
from pathlib import Path

import pytest

from roost.errors import InvalidArgument
from roost.volume.sync.endpoint import Endpoint
from roost.volume.sync.items import Item, Kind
from roost.volume.sync.local_tree import LocalTree
from roost.volume.sync.options import Options
from roost.volume.sync.runner import Job
from tests.volume.sync import places
from tests.volume.sync.places import SECOND_NS, Quiet, make, names, run, sync, tree_of


def test_links_are_followed_or_copied(tmp_path: Path) -> None:
    source = make(tmp_path / "s", "real/f")
    (source / "file").symlink_to("real/f")
    (source / "folder").symlink_to("real")
    (source / "broken").symlink_to("nowhere")
    (source / "real/loop").symlink_to("..")
    os.mkfifo(source / "fifo")
    assert sync(source, tmp_path / "t").failed == 0
    assert names(tmp_path / "t") == "file folder folder/f real real/f"
    links = Options(links=True)
    assert sync(source, tmp_path / "u", links).copied == 5
    assert tree_of(tmp_path / "u")["broken"] == "nowhere"
    assert tree_of(tmp_path / "u")["folder"] == "real"
    assert sync(source, tmp_path / "u", links).copied == 0
    (source / "file").unlink()
    (source / "file").symlink_to("other")
    assert sync(source, tmp_path / "u", links).copied == 1
    assert tree_of(tmp_path / "u")["file"] == "other"


def test_nothing_is_deleted_behind_a_link(tmp_path: Path) -> None:
    precious = make(tmp_path / "precious", "f")
    source = make(tmp_path / "s", "a/f")
    target = make(tmp_path / "t", "b")
    (target / "link").symlink_to(precious)
    (target / "a").symlink_to(precious)
    counts = sync(source, target, Options(delete_dst=True, dirs=True))
    assert counts.failed == 0
    assert names(target) == "a a/f"
    assert not (target / "a").is_symlink()
    assert names(precious) == "f"
    linked = make(tmp_path / "s2", "x")
    (linked / "away").symlink_to(precious)
    watcher = Quiet()
    sync(linked, tmp_path / "t2", Options(delete_src_after=True), watcher=watcher)
    assert "behind" in str(watcher.errors["away/f"])
    assert names(precious) == "f"


def test_inplace_writes_through_no_link(tmp_path: Path) -> None:
    source = make(tmp_path / "s", "a", size=10)
    precious = make(tmp_path / "p", "f", size=3)
    target = make(tmp_path / "t", "b")
    (target / "a").symlink_to(precious / "f")
    sync(source, target, Options(inplace=True, delete_dst=True))
    assert (precious / "f").stat().st_size == 3
    assert (target / "a").stat().st_size == 10


@pytest.mark.parametrize("maker", [places.local, places.volume])
def test_a_tree_lists_links_and_folders_alike(tmp_path: Path, maker: object) -> None:
    endpoint: Endpoint = maker(tmp_path / "x")  # type: ignore[operator]
    endpoint.make_folder("a/b")
    endpoint.make_link("a/up", "..")
    endpoint.make_link("a/to", "b")
    endpoint.make_link("a/to", "b")
    endpoint.write(Item("a/b/f", Kind.FILE, 1, SECOND_NS), iter([b"1"]), "draft")
    found = [(i.key, i.kind.value) for i in endpoint.list("", "", follow=False)]
    assert found == [
        ("a/", "folder"),
        ("a/b/", "folder"),
        ("a/b/f", "file"),
        ("a/to", "link"),
        ("a/up", "link"),
    ]
    followed = [item.key for item in endpoint.list("", "", follow=True)]
    assert followed == ["a/", "a/b/", "a/b/f", "a/to/", "a/to/f", "a/up"]
    up = endpoint.head("a/up", follow=True)
    assert up is not None
    assert up.key == "a/up/"
    assert [item.key for item in endpoint.list("a/", "a/b/f", follow=False)] == [
        "a/b/f",
        "a/to",
        "a/up",
    ]
    assert endpoint.head("a/none", follow=True) is None
    endpoint.delete("a/none")
    with pytest.raises(OSError, match="not empty"):
        endpoint.delete("a/")
    with pytest.raises(InvalidArgument):
        endpoint.delete("a/to/f")
    endpoint.close()


def test_what_cannot_be_copied_is_not_gone_from_the_source(tmp_path: Path) -> None:
    """A pipe, a broken link and a link in a circle are there: their copies are no extras."""
    source = make(tmp_path / "s", "f", "d/f")
    target = make(tmp_path / "t", "pipe", "broken", "d/up", "extra")
    os.mkfifo(source / "pipe")
    (source / "broken").symlink_to("nowhere")
    (source / "d/up").symlink_to("..")
    counts = sync(source, target, Options(delete_dst=True, dirs=True))
    assert names(target) == "broken d d/f d/up f pipe"
    assert (counts.failed, counts.deleted) == (0, 1)
    sync(source, target, Options(delete_dst=True, force_update=True), lines=["pipe", "broken"])
    assert names(target) == "broken d d/f d/up f pipe"


def test_what_cannot_be_copied_is_not_deleted_at_the_target(tmp_path: Path) -> None:
    source = make(tmp_path / "s", "f")
    target = make(tmp_path / "t", "f")
    os.mkfifo(target / "pipe")
    counts = sync(source, target, Options(delete_dst=True, delete_src=True))
    assert (target / "pipe").is_fifo()
    assert (counts.extra, counts.deleted) == (1, 1)


@pytest.mark.timeout(20)
def test_a_file_is_written_in_place_of_a_pipe_not_into_it(tmp_path: Path) -> None:
    source = make(tmp_path / "s", "a", "b", size=10)
    target = make(tmp_path / "t", "x")
    os.mkfifo(target / "a")
    (target / "b").symlink_to("nowhere")
    assert sync(source, target, Options(inplace=True)).failed == 0
    assert tree_of(target) == {"a": b"x" * 10, "b": b"x" * 10, "x": b"x"}


class SlowToDelete(LocalTree):
    def delete(self, key: str) -> None:
        time.sleep(0.2)
        super().delete(key)


def test_nothing_is_written_behind_a_link_that_is_deleted(tmp_path: Path) -> None:
    precious = make(tmp_path / "precious", "other")
    source = make(tmp_path / "s", "a/f")
    target = make(tmp_path / "t", "b")
    (target / "a").symlink_to(precious)
    options = Options(delete_dst=True, dirs=True, links=True)
    assert run(Job(LocalTree(source), SlowToDelete(target), options=options)).failed == 0
    assert names(precious) == "other"
    assert names(target) == "a a/f"
    assert not (target / "a").is_symlink()


def test_a_folder_that_became_a_link_is_replaced_by_it(tmp_path: Path) -> None:
    """With --links a name behind the link is not one that the source has."""
    source = make(tmp_path / "s", "v2/x", "v2/y")
    (source / "cur").symlink_to("v2")
    target = make(tmp_path / "t", "v2/x", "v2/y", "cur/x", "cur/deep/z")
    options = Options(links=True, dirs=True, delete_dst=True)
    assert sync(source, target, options).failed == 0
    assert tree_of(target)["cur"] == "v2"
    assert names(target) == "cur v2 v2/x v2/y"


def test_a_file_that_became_a_link_to_a_folder_is_replaced_by_the_folder(tmp_path: Path) -> None:
    source = make(tmp_path / "s", "v2/x")
    (source / "cur").symlink_to("v2")
    target = make(tmp_path / "t", "v2/x", "cur")
    assert sync(source, target, Options(delete_dst=True)).failed == 0
    assert names(target) == "cur cur/x v2 v2/x"
