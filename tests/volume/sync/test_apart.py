"""Sides that overlap are refused before anything is touched."""

from pathlib import Path

import pytest

from roost.blob.memory import MemoryStore
from roost.errors import InvalidArgument
from roost.testing.volumes import TestVolume
from roost.volume.sync import places
from roost.volume.sync.local_tree import LocalTree
from roost.volume.sync.one_file import OneFile
from roost.volume.sync.options import Options, Selection
from roost.volume.sync.places import Manner, open_file_or_folder, open_place
from roost.volume.sync.rules import Rule
from roost.volume.sync.runner import Job
from roost.volume.sync.volume_tree import VolumeTree
from tests.volume.sync.places import run, tree_of

DELETING = [
    Options(delete_src=True),
    Options(delete_src_after=True, force_update=True),
    Options(delete_dst=True),
    Options(),
]


def make(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return folder


@pytest.mark.parametrize("options", DELETING)
def test_a_place_is_not_synced_with_itself(tmp_path: Path, options: Options) -> None:
    """It would delete at the source what the target has: everything."""
    folder = make(tmp_path / "s", "a", "b/c")
    (tmp_path / "link").symlink_to("s")
    with pytest.raises(InvalidArgument, match="same place"):
        run(Job(LocalTree(folder), LocalTree(tmp_path / "link"), options=options))
    one, same = OneFile(LocalTree(folder), "a", "a"), OneFile(LocalTree(folder), "a", "a")
    with pytest.raises(InvalidArgument, match="same place"):
        run(Job(one, same, options=options))
    assert sorted(tree_of(folder)) == ["a", "b", "b/c"]


def test_a_source_inside_the_target_is_not_deleted_as_an_extra(tmp_path: Path) -> None:
    target = make(tmp_path / "t", "old", "in/a")
    deleting = Options(delete_dst=True, dirs=True)
    with pytest.raises(InvalidArgument, match="would delete it"):
        run(Job(LocalTree(target / "in"), LocalTree(target), options=deleting))
    assert sorted(tree_of(target)) == ["in", "in/a", "old"]
    rules = Selection(rules=(Rule("/in/", include=False),))
    run(Job(LocalTree(target / "in"), LocalTree(target), rules, deleting))
    assert sorted(tree_of(target)) == ["a", "in", "in/a"]


def test_a_target_inside_the_source_is_not_copied_into_itself(tmp_path: Path) -> None:
    source = make(tmp_path / "s", "a", "backup/a")
    with pytest.raises(InvalidArgument, match="into itself"):
        run(Job(LocalTree(source), LocalTree(source / "backup")))
    assert sorted(tree_of(source)) == ["a", "backup", "backup/a"]
    beside = LocalTree(make(tmp_path / "s2", "x"))  # a longer name, not a folder of it
    assert run(Job(LocalTree(source), beside)).copied == 2


def test_a_folder_of_a_volume_is_known_by_the_volume(volume: TestVolume) -> None:
    client = volume.open()
    client.mkdir("/a/b", parents=True)
    client.write("/a/b/f", b"x")
    again = volume.open()
    with pytest.raises(InvalidArgument, match="same place"):
        run(Job(VolumeTree(client, "/a"), VolumeTree(again, "a/"), options=DELETING[0]))
    with pytest.raises(InvalidArgument, match="would delete it"):
        run(Job(VolumeTree(client, "/a/b"), VolumeTree(again, "/a"), options=DELETING[2]))
    assert client.read("/a/b/f") == b"x"


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    """What is behind every bucket that is opened."""
    made = MemoryStore()
    for key in ("p/a", "p/n/b", "p/n/c"):
        made.put(key, b"x")
    monkeypatch.setattr(places, "open_store", lambda _place: made)
    return made


@pytest.mark.parametrize("options", DELETING)
@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("s3://AK:SK@b.s3.amazonaws.com/p/", "s3://AK:SK@b.s3.amazonaws.com/p/"),
        ("s3://AK:SK@b.s3.amazonaws.com/p/", "s3://OTHER:SK@B.s3.us-east-2.amazonaws.com//p/"),
        ("s3://AK:SK@b.s3.amazonaws.com/p/", "s3://AK:SK@s3.us-east-2.amazonaws.com/b/p/"),
        ("minio://AK:SK@127.0.0.1:9000/b/p/", "s3://127.0.0.1:9000/b/p/"),
        ("s3://b/p/", "s3://b.s3.amazonaws.com/p/"),
        ("s3://b/p/", "s3://b.s3.dualstack.eu-west-1.amazonaws.com:443/p/"),
        ("s3://a.b.s3.amazonaws.com/p/", "s3://s3.eu-west-1.amazonaws.com/a.b/p/"),
        ("s3://b.play.min.io:9000/p/", "minio://play.min.io:9000/b/p/"),
        ("minio://127.0.0.1:9000/b/p/", "minio://localhost:9000/b/p/"),
        ("minio://play.min.io/b/p/", "minio://PLAY.min.io:80/b/p/"),
        ("space://b.nyc3.digitaloceanspaces.com/p/", "s3://b.nyc3.digitaloceanspaces.com/p/"),
        ("wasb://ME:SK@container/p/", "wasb://ME:OTHER@container/p/"),
        ("wasb://ME:SK@container/p/", "wasb://ME:SK@container.core.windows.net/p/"),
        ("wasb://ME:SK@container/p/", "wasb://ME:SK@container.blob.core.windows.net:443/p/"),
        ("gs://b/p/", "gs://B.storage.googleapis.com/p/"),
        ("oss://b.oss-cn-hangzhou.aliyuncs.com/p/", "oss://B.oss-cn-hangzhou.aliyuncs.com//p/"),
    ],
)
def test_a_bucket_is_not_synced_with_itself(
    store: MemoryStore, source: str, target: str, options: Options
) -> None:
    before = [info.key for info in store.list()]
    here, there = open_place(source, Manner()), open_place(target, Manner())
    with pytest.raises(InvalidArgument, match="same place"):
        run(Job(here, there, options=options))
    one, _ = open_file_or_folder(f"{source}a", Manner())
    same, _ = open_file_or_folder(f"{target}a", Manner(), "a")
    with pytest.raises(InvalidArgument, match="same place"):
        run(Job(one, same, options=options))
    assert [info.key for info in store.list()] == before


def test_a_container_is_the_one_of_the_connection_string_whoever_asks(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The login in a URL does not count then."""
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", "AccountName=x;AccountKey=eA==")
    ends = [open_place(f"wasb://{who}container/p/", Manner()) for who in ("ME:SK@", "YOU:SK@", "")]
    for other in ends[1:]:
        with pytest.raises(InvalidArgument, match="same place"):
            run(Job(ends[0], other, options=Options(delete_src=True)))
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", "AccountName=y;AccountKey=eA==")
    assert run(Job(ends[0], open_place("wasb://container/p/", Manner()))).failed == 0


def test_a_prefix_inside_another_is_known(store: MemoryStore) -> None:
    whole, inner = (open_place(f"s3://b.s3.amazonaws.com/{p}", Manner()) for p in ("", "p/n/"))
    with pytest.raises(InvalidArgument, match="would delete it"):
        run(Job(inner, whole, options=Options(delete_dst=True)))
    with pytest.raises(InvalidArgument, match="into itself"):
        run(Job(whole, inner))
    assert [info.key for info in store.list()] == ["p/a", "p/n/b", "p/n/c"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("s3://b.s3.amazonaws.com/p/", "s3://c.s3.amazonaws.com/p/"),
        ("s3://b.s3.amazonaws.com/p/", "gs://b.s3.amazonaws.com/p/"),
        ("minio://10.0.0.1:9000/b/p/", "minio://10.0.0.1:9001/b/p/"),
        ("minio://10.0.0.1:9000/b/p/", "minio://10.0.0.1:9000/b/pn/"),
        ("wasb://ME:SK@container/p/", "wasb://YOU:SK@container/p/"),
        ("wasb://ME:SK@container/p/", "wasb://ME:SK@container/q/"),
        ("wasb://ME:SK@container/p/", "wasb://ME:SK@container.core.chinacloudapi.cn/p/"),
        ("s3://b/p/", "s3://b.s3.cn-north-1.amazonaws.com.cn/p/"),
        ("s3://b.play.min.io/p/", "s3://b.play.max.io/p/"),
        ("space://b.nyc3.digitaloceanspaces.com/p/", "space://b.ams3.digitaloceanspaces.com/p/"),
        ("oss://b.oss-cn-hangzhou.aliyuncs.com/p/", "oss://c.oss-cn-hangzhou.aliyuncs.com/p/"),
    ],
)
def test_buckets_of_another_address_are_apart(store: MemoryStore, one: str, other: str) -> None:
    assert run(Job(open_place(one, Manner()), open_place(other, Manner()))).failed == 0


def test_a_side_outside_the_range_is_no_part(tmp_path: Path) -> None:
    source = make(tmp_path / "s", "a", "b", "out/old")
    target = LocalTree(source / "out")
    assert run(Job(LocalTree(source), target, Selection(end="b"))).copied == 2
    assert sorted(tree_of(source / "out")) == ["a", "b", "old"]
    assert run(Job(LocalTree(source), target, Selection(start="p"))).copied == 0
    for selection in (Selection(end="out/a"), Selection(end="z"), Selection(start="out/o")):
        with pytest.raises(InvalidArgument, match="into itself"):
            run(Job(LocalTree(source), target, selection))
    deleting = Options(delete_dst=True)
    run(Job(target, LocalTree(source), Selection(end="b"), deleting))
    assert sorted(tree_of(source)) == ["a", "b", "out", "out/a", "out/b", "out/old"]
    with pytest.raises(InvalidArgument, match="would delete it"):
        run(Job(target, LocalTree(source), Selection(start="out/b"), deleting))


@pytest.mark.parametrize("options", [Options(), Options(delete_dst=True, dirs=True)])
def test_of_a_list_only_the_folders_in_it_count(tmp_path: Path, options: Options) -> None:
    root = make(tmp_path / "s", "etc/a", "home/b", "backup/etc/a", "backup/etc/old", "backupper/c")
    target = LocalTree(root / "backup")

    def of(*lines: str) -> Job:
        return Job(LocalTree(root), target, options=options, lines=lambda: lines)

    assert run(of("etc/", "home/b", "backupper")).failed == 0
    kept = {"backup/etc/a", "backup/home/b", "backup/backupper/c"}
    assert kept < set(tree_of(root))
    assert ("backup/etc/old" in tree_of(root)) is not options.delete_dst
    before = tree_of(root)
    for line in ("backup", "backup/", "backup/etc"):
        with pytest.raises(InvalidArgument, match="into itself"):
            run(of(line))
    assert tree_of(root) == before
    with pytest.raises(InvalidArgument, match="same place"):
        run(Job(LocalTree(root), LocalTree(root), options=options, lines=lambda: ["etc"]))


def test_of_a_list_no_folder_is_deleted_that_the_source_lies_in(tmp_path: Path) -> None:
    target = make(tmp_path / "t", "in/a", "in/n/in/b", "in/n/keep", "n/old", "n/in/x")
    source = LocalTree(make(target / "in", "n/new"))
    deleting = Options(delete_dst=True, dirs=True)
    make(target / "in", "in/n/z")
    before = tree_of(target)
    for line in ("in", "in/n"):
        with pytest.raises(InvalidArgument, match="would delete it"):
            run(Job(source, LocalTree(target), options=deleting, lines=lambda line=line: [line]))
    assert tree_of(target) == before
    run(Job(source, LocalTree(target), options=deleting, lines=lambda: ["n/"]))
    assert sorted(tree_of(target / "n")) == ["in", "in/b", "keep", "new"]
    assert set(tree_of(target / "in")) == {k[3:] for k in before if k.startswith("in/")}
