"""What a sync selects, checks, follows and refuses, one thing at a time."""

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from roost.blob.memory import MemoryStore
from roost.errors import CorruptRecord, InvalidArgument, NotFound, Unsupported
from roost.testing.volumes import TestVolume
from roost.volume.sync import bucket as bucket_module
from roost.volume.sync.bucket import Bucket
from roost.volume.sync.copying import Changed
from roost.volume.sync.endpoint import Endpoint
from roost.volume.sync.items import Item, Kind
from roost.volume.sync.local_tree import LocalTree
from roost.volume.sync.one_file import OneFile
from roost.volume.sync.options import Options, Selection
from roost.volume.sync.places import Manner, open_file_or_folder
from roost.volume.sync.rules import Rule
from roost.volume.sync.runner import Job
from roost.volume.sync.tally import Counts
from roost.volume.sync.volume_tree import VolumeTree
from tests.volume.sync import places
from tests.volume.sync.places import Quiet, run, tree_of

SECOND_NS = 1_000_000_000


def make(folder: Path, *names: str, size: int = 1, seconds: int = 1000) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir(exist_ok=True)
        else:
            path.write_bytes(b"x" * size)
            os.utime(path, ns=(seconds * SECOND_NS, seconds * SECOND_NS))
    folder.mkdir(exist_ok=True)
    return folder


def sync(
    source: Path,
    target: Path,
    options: Options | None = None,
    selection: Selection | None = None,
    lines: list[str] | None = None,
    watcher: Quiet | None = None,
) -> Counts:
    work = Job(
        LocalTree(source),
        LocalTree(target),
        selection or Selection(),
        options or Options(),
        None if lines is None else lambda: lines,
    )
    return run(work, watcher)


def names(folder: Path) -> str:
    return " ".join(sorted(tree_of(folder)))


def test_start_and_end_are_part_of_the_range(tmp_path: Path) -> None:
    source = make(tmp_path / "s", "a", "b/1", "b/2", "b/3", "c/1", "d")
    sync(source, tmp_path / "t", selection=Selection(start="b/2", end="c/1"))
    assert names(tmp_path / "t") == "b b/2 b/3 c c/1"
    sync(source, tmp_path / "u", selection=Selection(start="b/", end="b"))
    assert not (tmp_path / "u").exists()


def test_limits_of_size_and_age_are_for_files(tmp_path: Path) -> None:
    source = make(tmp_path / "s", "small", size=1, seconds=1000)
    make(source, "large", size=100, seconds=3000)
    make(source, "folder/")
    dirs = Options(dirs=True)
    sized = Selection(size_bytes_min=50)
    assert sync(source, tmp_path / "t", dirs, sized).excluded == 1
    assert names(tmp_path / "t") == "folder large"
    sync(source, tmp_path / "u", selection=Selection(size_bytes_max=50))
    assert names(tmp_path / "u") == "small"
    sync(source, tmp_path / "v", selection=Selection(newer_than_ns=2000 * SECOND_NS))
    assert names(tmp_path / "v") == "large"
    sync(source, tmp_path / "w", selection=Selection(older_than_ns=2000 * SECOND_NS))
    assert names(tmp_path / "w") == "small"


def test_what_the_source_has_is_never_extra_because_a_limit_left_it_out(tmp_path: Path) -> None:
    source = make(tmp_path / "s", "kept", size=100, seconds=3000)
    target = make(tmp_path / "t", "kept", "gone", size=1, seconds=1000)
    options = Options(delete_dst=True)
    sync(source, target, options, Selection(older_than_ns=2000 * SECOND_NS))
    assert names(target) == "kept"


def test_excluded_keys_are_not_deleted(tmp_path: Path) -> None:
    source = make(tmp_path / "s", "a")
    target = make(tmp_path / "t", "b.log", "c/d.log", "e")
    rules = (Rule("*.log", include=False),)
    counts = sync(source, target, Options(delete_dst=True, dirs=True), Selection(rules=rules))
    assert names(target) == "a b.log c c/d.log"
    assert (counts.deleted, counts.excluded) == (1, 2)


def test_a_limit_counts_what_is_handled(tmp_path: Path) -> None:
    source = make(tmp_path / "s", "a", "b", "c", "d")
    target = make(tmp_path / "t", "a", "0")
    counts = sync(source, target, Options(limit=3, delete_dst=True))
    assert (counts.found, counts.deleted, counts.skipped, counts.copied) == (3, 1, 1, 1)
    assert names(target) == "a b"
    assert sync(source, target, Options(limit=0)).found == 0


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


def test_a_dry_run_changes_nothing_and_tells(tmp_path: Path) -> None:
    source = make(tmp_path / "s", "a", "d/b", "e/")
    target = make(tmp_path / "t", "x/y", "a", size=2)
    before = tree_of(target)
    watcher = Quiet()
    options = Options(dry=True, dirs=True, delete_dst=True, delete_src_after=True)
    counts = sync(source, target, options, watcher=watcher)
    assert tree_of(target) == before
    assert names(source) == "a d d/b e"
    assert [step.key for step in watcher.plans] == ["a", "d/", "d/b", "e/", "x/y", "x/"]
    assert (counts.copied, counts.deleted) == (4, 2)


def test_folders_keep_their_time_though_files_are_made_in_them(tmp_path: Path) -> None:
    source = make(tmp_path / "s", "a/b/c")
    os.chmod(source / "a/b", 0o711)
    for folder in ("a/b", "a"):
        os.utime(source / folder, ns=(5 * SECOND_NS, 7 * SECOND_NS))
    sync(source, tmp_path / "t", Options(dirs=True, perms=True))
    found = (tmp_path / "t/a/b").stat()
    assert (found.st_mtime_ns, found.st_mode & 0o777) == (7 * SECOND_NS, 0o711)
    assert (tmp_path / "t/a").stat().st_mtime_ns == 7 * SECOND_NS


def test_a_source_that_is_not_there_is_no_empty_folder(tmp_path: Path) -> None:
    target = make(tmp_path / "t", "precious")
    with pytest.raises(NotFound):
        sync(tmp_path / "nowhere", target, Options(delete_dst=True))
    assert names(target) == "precious"


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


def test_a_list_of_files_is_synced_line_by_line(tmp_path: Path) -> None:
    source = make(tmp_path / "s", "a", "b/1", "b/c/2", "d/3", "e")
    target = make(tmp_path / "t", "b/old", "d/old")
    lines = ["a\n", "b/\n", "missing\n", "\n", "d\n", "b/c/2\n"]
    counts = sync(source, target, Options(delete_dst=True), lines=lines)
    assert names(target) == "a b b/1 b/c b/c/2 d d/3"
    assert counts.absent == 1
    for bad in ("../x", "/etc/passwd", "a//b", "./a"):
        with pytest.raises(InvalidArgument):
            sync(source, target, lines=[bad])


def test_inplace_writes_through_no_link(tmp_path: Path) -> None:
    source = make(tmp_path / "s", "a", size=10)
    precious = make(tmp_path / "p", "f", size=3)
    target = make(tmp_path / "t", "b")
    (target / "a").symlink_to(precious / "f")
    sync(source, target, Options(inplace=True, delete_dst=True))
    assert (precious / "f").stat().st_size == 3
    assert (target / "a").stat().st_size == 10


def test_unfinished_files_and_checkpoints_are_not_copied(tmp_path: Path) -> None:
    draft = f".roost-sync-{'0' * 16}-{'1' * 16}.tmp"
    source = make(tmp_path / "s", "a", draft, ".roost-sync-checkpoint.0.json")
    sync(source, tmp_path / "t")
    assert names(tmp_path / "t") == "a"


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


def test_a_folder_that_a_file_stands_in_the_way_of_fails(tmp_path: Path) -> None:
    source, target = make(tmp_path / "s", "d/", "x"), make(tmp_path / "t", "d")
    counts = sync(source, target, Options(dirs=True))
    assert counts.failed == 1
    assert sync(source, target, Options(dirs=True), lines=["d"]).failed == 1
    assert names(target) == "d x"


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
