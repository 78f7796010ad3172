"""What only the directory store promises: JuiceFS's places, and durability (H10)."""

import errno
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from roost.blob.directory import DirectoryStore, make_directory
from roost.blob.store import BlobNotFound, BucketMissing
from roost.errors import CorruptRecord, StorageFull, Unavailable
from roost.testing.volumes import no_warnings


def test_an_object_lies_where_juicefs_puts_it(tmp_path: Path) -> None:
    DirectoryStore(tmp_path).put("vol/chunks/0/4/4097_1_805696", b"x")
    assert (tmp_path / "vol/chunks/0/4/4097_1_805696").read_bytes() == b"x"


def test_file_and_every_folder_on_the_way_are_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    store = DirectoryStore(tmp_path / "root", makes_root=True)
    store.put("a/b/object", b"x")
    root = str(tmp_path / "root")
    for folder in (str(tmp_path), root, f"{root}/a", f"{root}/a/b"):
        assert folder in synced, folder
    data = next(n for n, path in enumerate(synced) if ".tmp." in path)
    assert synced[-1] == f"{root}/a/b", "the name is synced after the rename"
    assert data < len(synced) - 1, "and after the bytes"

    synced.clear()
    store.put("a/b/second", b"y")
    assert synced[-1] == f"{root}/a/b"
    assert len(synced) == 2


@pytest.mark.parametrize("verb", ["put", "put_if_absent"])
def test_a_failed_put_leaves_neither_object_nor_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    store = DirectoryStore(tmp_path)
    store.put("a/first", b"x")

    def full(_descriptor: int, _data: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StorageFull):
        getattr(store, verb)("a/second", b"y")
    monkeypatch.undo()
    assert os.listdir(tmp_path / "a") == ["first"]


def test_a_short_write_is_carried_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, bytes(data[:3])))
    DirectoryStore(tmp_path).put("a", b"0123456789")
    monkeypatch.undo()
    assert (tmp_path / "a").read_bytes() == b"0123456789"


def test_a_draft_is_never_listed(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.put("a/b", b"x")
    (tmp_path / "a" / ".jfs.c.tmp.123").write_bytes(b"half")
    assert [info.key for info in store.list()] == ["a/b"]


def test_a_name_that_could_not_have_been_stored_is_damage(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"bad\xff")).write_bytes(b"x")
    with pytest.raises(CorruptRecord, match="name"):
        list(DirectoryStore(tmp_path).list())


def test_a_folder_is_no_object_and_is_not_replaced(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.put("a/b", b"x")
    with pytest.raises(Unavailable):
        store.put("a", b"y")
    with pytest.raises(Unavailable):
        store.put("a/b/c", b"y")
    with pytest.raises(BlobNotFound):
        store.get("a")
    assert [info.key for info in store.list()] == ["a/b"]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("verb", ["get", "get_range"])
@pytest.mark.parametrize("kind", ["pipe", "device", "socket"])
def test_what_is_no_file_is_damage_and_is_not_waited_for(
    tmp_path: Path, verb: str, kind: str
) -> None:
    store = DirectoryStore(tmp_path)
    if kind == "pipe":
        os.mkfifo(tmp_path / "object")
    elif kind == "device":
        (tmp_path / "object").symlink_to("/dev/zero")
    else:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(tmp_path / "object"))
    with pytest.raises(CorruptRecord, match="object: not a regular file"):
        store.get("object") if verb == "get" else store.get_range("object", 0, 1)


def test_an_object_may_be_a_link_to_a_file_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "bucket").mkdir()
    (tmp_path / "elsewhere").write_bytes(b"content")
    (tmp_path / "bucket" / "object").symlink_to(tmp_path / "elsewhere")
    store = DirectoryStore(tmp_path / "bucket")
    assert bytes(store.get("object")) == b"content"
    assert store.get_range("object", 1, 3) == b"ont"


def test_a_folder_removed_behind_our_back_is_made_again(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.put("a/b", b"x")
    (tmp_path / "a" / "b").unlink()
    (tmp_path / "a").rmdir()
    store.put("a/c", b"y")
    assert store.get("a/c") == b"y"


VERBS: dict[str, Callable[[DirectoryStore], object]] = {
    "put": lambda store: store.put("a/new", b"y"),
    "put in a new folder": lambda store: store.put("b/new", b"y"),
    "put_if_absent": lambda store: store.put_if_absent("a/new", b"y"),
    "get": lambda store: store.get("a/b"),
    "get_range": lambda store: store.get_range("a/b", 0, 1),
    "head": lambda store: store.head("a/b"),
    "delete": lambda store: store.delete("a/b"),
    "list": lambda store: list(store.list()),
    "list below": lambda store: list(store.list("a/")),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_bucket_that_was_never_there_is_missing(tmp_path: Path, verb: str) -> None:
    store = DirectoryStore(tmp_path / "root")
    with pytest.raises(BucketMissing, match="no such folder") as refusal:
        VERBS[verb](store)
    assert "mounted" in refusal.value.hint
    assert f"mkdir -p {tmp_path}/root" in refusal.value.hint, "a new host has only to be told so"
    assert not (tmp_path / "root").exists(), "and is not made"


@pytest.mark.parametrize("verb", VERBS)
def test_a_bucket_that_vanishes_is_missing_until_it_is_back(tmp_path: Path, verb: str) -> None:
    root, away = tmp_path / "root", tmp_path / "away"
    root.mkdir()
    store = DirectoryStore(root)
    store.put("a/b", b"x")
    root.rename(away)
    with pytest.raises(BucketMissing, match="no such folder"):
        VERBS[verb](store)
    assert not root.exists(), "it is not made again in silence"
    away.rename(root)
    assert store.get("a/b") == b"x"
    VERBS[verb](store)


@pytest.mark.parametrize("verb", VERBS)
def test_the_empty_folder_below_an_unmounted_disk_is_no_bucket(tmp_path: Path, verb: str) -> None:
    root, away = tmp_path / "root", tmp_path / "away"
    root.mkdir()
    store = DirectoryStore(root)
    store.put("a/b", b"x")
    root.rename(away)
    root.mkdir()
    with pytest.raises(BucketMissing, match="took its place"):
        VERBS[verb](store)
    assert not os.listdir(root), "nothing is stored there"
    root.rmdir()
    away.rename(root)
    VERBS[verb](store)


def test_a_bucket_that_vanishes_while_it_is_listed_is_missing(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    store = DirectoryStore(root)
    for name in "abc":
        store.put(f"{name}/x", b"x")
    listing = store.list()
    assert next(listing).key == "a/x"
    root.rename(tmp_path / "away")
    with pytest.raises(BucketMissing):
        list(listing)


@pytest.mark.parametrize("leaves", ["nothing", "an empty folder", "lost+found", "the folders"])
def test_a_bucket_that_vanishes_while_its_last_folder_is_listed_is_missing(
    tmp_path: Path, leaves: str
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    store = DirectoryStore(root)
    for name in "abc":
        store.put(f"folder/{name}", b"x")
    listing = store.list()
    assert next(listing).key == "folder/a"
    root.rename(tmp_path / "away")
    if leaves == "an empty folder":
        root.mkdir()
    elif leaves == "lost+found":
        (root / leaves).mkdir(parents=True)
    elif leaves == "the folders":
        (root / "folder").mkdir(parents=True)
        (root / "folder/b").write_bytes(b"x")
        (root / "folder/c").write_bytes(b"x")
    with pytest.raises(BucketMissing):
        list(listing)
    if leaves in ("lost+found", "the folders"):
        assert list(store.list("other")) == [], "a later one is of that folder"


def test_a_bucket_that_may_be_made_may_go_while_it_is_listed(tmp_path: Path) -> None:
    """As the folder of another process's write-back does, once all of it is stored."""
    store = DirectoryStore(tmp_path / "root", makes_root=True)
    for name in "abc":
        store.put(f"folder/{name}", b"x")
    listing = store.list()
    assert next(listing).key == "folder/a"
    shutil.rmtree(tmp_path / "root")
    assert list(listing) == []


def test_an_object_deleted_while_its_folder_is_listed_is_passed_over(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    for name in "abc":
        store.put(f"folder/{name}", b"x")
    listing = store.list()
    assert next(listing).key == "folder/a"
    store.delete("folder/b")
    assert [info.key for info in listing] == ["folder/c"]


def test_a_bucket_put_in_the_place_of_another_is_taken(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    store = DirectoryStore(root)
    store.put("a", b"old")
    root.rename(tmp_path / "away")
    (tmp_path / "restored").mkdir()
    (tmp_path / "restored" / "b").write_bytes(b"new")
    (tmp_path / "restored").rename(root)
    with pytest.raises(BlobNotFound):
        store.get("a")
    assert store.get("b") == b"new"


def test_a_made_bucket_is_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    )
    make_directory(tmp_path / "a" / "root")
    assert {str(tmp_path), str(tmp_path / "a")} <= set(synced)
    make_directory(tmp_path / "a" / "root")
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(Unavailable):
        make_directory(tmp_path / "file" / "root")


def test_a_made_shard_is_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    )
    fellows = (tmp_path / "disk0/objects", tmp_path / "disk1/objects")
    fellows[1].mkdir(parents=True)
    DirectoryStore(fellows[0], fellows=fellows).put("folder/a", b"1")
    assert {str(tmp_path), str(tmp_path / "disk0"), str(fellows[0])} <= set(synced)


def test_a_shard_in_which_nothing_was_stored_yet_is_empty(tmp_path: Path) -> None:
    """JuiceFS's format makes the folder of one shard; the others come with their first object."""
    fellows = tuple(tmp_path / f"shard{number}" for number in range(3))
    (tmp_path / "shard1").mkdir()
    store = DirectoryStore(fellows[0], fellows=fellows)
    assert list(store.list()) == []
    with pytest.raises(BlobNotFound):
        store.get("a")
    with no_warnings(["shard was not there"]) as told:
        store.put("folder/a", b"1")
        store.put("folder/b", b"1")
    assert (tmp_path / "shard0/folder/a").read_bytes() == b"1"
    assert len(told.messages) == 1, "it may be a disk that is not mounted"
    assert str(fellows[0]) in told.messages[0]
    shutil.rmtree(tmp_path / "shard0")
    with pytest.raises(BucketMissing):
        store.get("folder/a")


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on another device than `tmp_path`."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is one file system here")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


@pytest.mark.parametrize("there", ["the mount point", "nothing"])
def test_no_shard_is_made_in_the_place_of_a_disk_that_is_not_mounted(
    tmp_path: Path, other_disk: Path, there: str
) -> None:
    """The disks of its fellows are: this one's objects are on a disk as well."""
    disks = [tmp_path / f"disk{number}" for number in range(3)]
    for number in (0, 1):
        (other_disk / f"{number}").mkdir()
        disks[number].symlink_to(other_disk / f"{number}")
    if there == "the mount point":
        disks[2].mkdir()
    fellows = [disk / "objects" for disk in disks]
    fellows[0].mkdir()
    unmounted = DirectoryStore(fellows[2], fellows=fellows)
    for ask in (lambda: unmounted.put("a", b"1"), lambda: unmounted.get("a"), unmounted.list):
        with pytest.raises(BucketMissing, match="no such folder"):
            list(ask() or ())
    assert not fellows[2].exists()
    with no_warnings(["shard was not there"]):
        DirectoryStore(fellows[1], fellows=fellows).put("a", b"1")
    assert (other_disk / "1/objects/a").read_bytes() == b"1", "a disk that is mounted"
    fellows[2].mkdir(parents=True)  # as the hint says, where the shard is to be here
    unmounted.put("a", b"1")


def test_shards_that_are_missing_all_together_are_a_missing_bucket(tmp_path: Path) -> None:
    fellows = tuple(tmp_path / f"shard{number}" for number in range(3))
    store = DirectoryStore(fellows[0], fellows=fellows)
    with pytest.raises(BucketMissing):
        store.get("a")
    with pytest.raises(BucketMissing):
        store.put("a", b"1")
    assert os.listdir(tmp_path) == []
