"""What fsspec's abstract suite leaves open: URLs, sharing, links, transactions, many reads."""

import errno
import gc
import os
import pickle
import signal
import threading
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import fsspec
import pytest
from fsspec.callbacks import Callback
from fsspec.core import url_to_fs

from roost.errors import InvalidArgument, Unavailable
from roost.testing.volumes import TestVolume
from roost.volume import Volume
from roost.volume.access import shared
from roost.volume.access.filesystem import RoostFileSystem
from roost.volume.access.places import place_of, split_url, url_of
from roost.volume.formatting import NewVolume, make_volume


@pytest.fixture(autouse=True)
def _no_instances_left() -> None:
    RoostFileSystem.clear_instance_cache()


@pytest.mark.parametrize(
    ("url", "authority", "path"),
    [
        ("roost:///a/b", "", "/a/b"),
        ("jfs://photos/a/b/", "photos", "/a/b"),
        ("roost://photos", "photos", "/"),
        ("roost:a/b", "", "/a/b"),
        ("/a//b/", "", "/a/b"),
        ("a", "", "/a"),
        ("", "", "/"),
        ("roost://redis%3A%2F%2Fh%2F1/a", "redis%3A%2F%2Fh%2F1", "/a"),
    ],
)
def test_a_url_is_volume_and_path(url: str, authority: str, path: str) -> None:
    assert split_url(url)[0] == authority
    assert RoostFileSystem._strip_protocol(url) == path
    assert RoostFileSystem._get_kwargs_from_urls(url) == (
        {"volume": authority} if authority else {}
    )


def test_where_a_volume_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROOST_META", raising=False)
    monkeypatch.setenv("photos", "redis://a/1")
    assert place_of("photos").meta_url == "redis://a/1"
    assert place_of(quote("redis://b/2", safe="")).meta_url == "redis://b/2"
    assert place_of("", "redis://c/3").meta_url == "redis://c/3"
    assert place_of("name", "redis://c/3").name == "name"
    monkeypatch.setenv("ROOST_META", "redis://d/4")
    assert place_of("").meta_url == "redis://d/4"
    with pytest.raises(InvalidArgument):
        place_of(quote("redis://b/2", safe=""), "redis://c/3")
    monkeypatch.delenv("ROOST_META")
    for authority in ("", "nobody"):
        with pytest.raises(InvalidArgument, match="nothing says"):
            place_of(authority)
    assert split_url(url_of("redis://b/2", "/x"))[0] == "redis%3A%2F%2Fb%2F2"


def test_urls_open_the_volume_and_lead_back(volume: TestVolume, tmp_path: Path) -> None:
    options = {"cache_dir": str(tmp_path / "cache")}
    url = url_of(volume.meta_url, "/folder/file")
    with fsspec.open(url, "wb", **options) as file:
        file.write(b"1")
    fs, path = url_to_fs(url, **options)
    assert path == "/folder/file"
    assert fs.unstrip_protocol(path) == url
    assert fs.cat(url) == b"1"
    with pytest.raises(InvalidArgument, match="not 'folder'"):
        fsspec.open("roost://folder/file", "rb", meta=volume.meta_url, **options).open()
    fs.close()
    RoostFileSystem.clear_instance_cache()


def test_one_client_serves_all_objects_of_a_process(volume: TestVolume, tmp_path: Path) -> None:
    options = {"meta": volume.meta_url, "cache_dir": str(tmp_path / "cache")}
    first = RoostFileSystem(**options, skip_instance_cache=True)
    second = RoostFileSystem(**options, auto_mkdir=False, skip_instance_cache=True)
    reader = RoostFileSystem(**options, read_only=True, skip_instance_cache=True)
    assert first.volume is second.volume
    assert first.volume is not reader.volume
    copy = pickle.loads(pickle.dumps(second))
    assert copy.volume is first.volume
    assert not copy.auto_mkdir
    first.close()
    first.close()
    second.pipe_file("/f", b"still open")
    assert reader.cat_file("/f") == b"still open"
    with pytest.raises(OSError, match="Read-only"):
        reader.pipe_file("/g", b"")
    for fs in (second, copy, reader):
        fs.close()
    assert not any(key.place.meta_url == volume.meta_url for key in shared._volumes)


def test_a_forked_child_opens_the_volume_anew(volume: TestVolume, tmp_path: Path) -> None:
    options = {"meta": volume.meta_url, "cache_dir": str(tmp_path / "cache")}
    fs = fsspec.filesystem("roost", **options)
    fs.pipe_file("/f", b"parent")
    theirs = fs.volume
    child = os.fork()
    if child == 0:  # nothing of pytest may run on in here
        code = 1
        try:
            mine = fsspec.filesystem("roost", **options)
            same = mine.volume is theirs
            code = 0 if mine.cat_file("/f") == b"parent" and not same else 2
            mine.pipe_file("/g", b"child")
            mine.close()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert fs.cat_file("/g") == b"child"
    fs.close()


def test_a_scan_lists_each_folder_once(
    fs: RoostFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    fs.pipe({f"/d{d}/e{e}/f{f}": b"xx" for d in range(3) for e in range(2) for f in range(4)})
    asked: Counter[str] = Counter()
    client = fs.volume.client
    for name in ("readdir", "node"):
        real = getattr(client, name)

        def counted(path: str, *args: object, real=real, name=name, **more: object) -> object:  # type: ignore[no-untyped-def]
            asked[name] += 1
            return real(path, *args, **more)

        monkeypatch.setattr(client, name, counted)
    assert len(fs.find("/")) == 24
    assert fs.du("/") == 48
    assert asked["readdir"] == 2 * (1 + 3 + 6)
    assert asked["node"] == 0
    assert len(fs.find("/", maxdepth=2, withdirs=True)) == 1 + 3 + 6
    assert fs.find("/d0/e0/f0") == ["/d0/e0/f0"]
    assert fs.find("/none") == []
    assert sorted(fs.du("/d0", total=False).values()) == [2] * 8


def test_links_are_shown_for_what_they_lead_to(fs: RoostFileSystem) -> None:
    fs.pipe_file("/d/f", b"123")
    fs.symlink("f", "/d/link")
    fs.symlink("..", "/d/up")
    fs.symlink("nowhere", "/d/broken")
    info = fs.info("/d/link")
    assert (info["type"], info["size"], info["islink"], info["destination"]) == (
        "file",
        3,
        True,
        "f",
    )
    assert fs.info("/d/up")["type"] == "directory"
    assert fs.info("/d/broken")["type"] == "link"
    assert fs.islink("/d/link")
    assert fs.lexists("/d/broken")
    assert not fs.exists("/d/broken")
    assert fs.find("/") == ["/d/broken", "/d/f", "/d/link"]
    fs.link("/d/f", "/d/hard")
    assert fs.info("/d/hard")["nlink"] == 2
    fs.rm("/d", recursive=True)
    assert fs.ls("/") == []


def test_times_and_keys_follow_the_content(fs: RoostFileSystem) -> None:
    begun = datetime.now(tz=UTC).timestamp() - 1
    fs.touch("/f")
    assert fs.modified("/f").timestamp() > begun
    assert fs.created("/f").tzinfo is UTC
    keys = {fs.ukey("/f"), fs.checksum("/f")}
    fs.pipe_file("/f", b"other")
    assert not {fs.ukey("/f"), fs.checksum("/f")} & keys
    fs.touch("/f", truncate=False)
    assert fs.cat_file("/f") == b"other"
    fs.touch("/f")
    assert fs.size("/f") == 0
    fs.chmod("/f", 0o600)
    assert fs.info("/f")["mode"] & 0o777 == 0o600
    assert fs.fsid.startswith("roost_")


def test_ranges_are_slices(fs: RoostFileSystem) -> None:
    data = bytes(range(100))
    fs.pipe_file("/f", data)
    for start, end in [
        (None, None),
        (3, None),
        (None, 5),
        (3, 5),
        (-5, None),
        (-5, -2),
        (50, 10),
        (90, 200),
        (200, 300),
    ]:
        assert fs.cat_file("/f", start, end) == data[start:end], (start, end)
    assert fs.cat_ranges(["/f"] * 3, [0, 1, 99], 2) == [data[0:2], data[1:2], b""]
    found = fs.cat_ranges(["/f", "/none"], 0, 1)
    assert found[0] == b"\0"
    assert isinstance(found[1], FileNotFoundError)
    with pytest.raises(FileNotFoundError):
        fs.cat_ranges(["/none"], 0, 1, on_error="raise")
    with pytest.raises(ValueError, match="length"):
        fs.cat_ranges(["/f"], [0, 1], 2)
    assert fs.cat(["/f", "/none"], on_error="omit") == {"/f": data}
    assert fs.cat_ranges([], [], []) == []
    assert (fs.head("/f", 2), fs.tail("/f", 2)) == (data[:2], data[-2:])


@pytest.mark.parametrize("verb", ["cat_ranges", "cat"])
def test_many_files_are_read_at_the_same_time(
    fs: RoostFileSystem, volume: TestVolume, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    names = [f"/{number}" for number in range(8)]
    fs.pipe({name: name.encode() * 100 for name in names})
    cold = Volume.over(volume.open(cache="cold"))
    monkeypatch.setattr(RoostFileSystem, "volume", cold)
    together = threading.Barrier(len(names), timeout=20)  # passed once all requests are at work
    volume.store.before_call = lambda verb, _key: together.wait() if verb.startswith("get") else 0
    if verb == "cat_ranges":
        assert fs.cat_ranges(names, 0, 2) == [name.encode() for name in names]
    else:
        assert fs.cat(names) == {name: name.encode() * 100 for name in names}
    cold.close()


def test_a_transaction_is_seen_at_its_end_or_not_at_all(fs: RoostFileSystem) -> None:
    fs.pipe_file("/old", b"old")
    with fs.transaction:
        with fs.open("/t/a", "wb") as file:
            file.write(b"a")
        with fs.open("/old", "ab") as file:
            file.write(b"+")
        fs.pipe_file("/t/b", b"b")
        assert fs.cat_file("/old") == b"old"
        assert not fs.exists("/t/a")
    assert fs.cat(["/t/a", "/t/b", "/old"]) == {"/t/a": b"a", "/t/b": b"b", "/old": b"old+"}

    def fail() -> None:
        with fs.transaction:
            fs.pipe_file("/t/a", b"changed")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with fs.transaction, pytest.raises(FileExistsError):
        fs.open("/old", "xb")
    assert fs.find("/") == ["/old", "/t/a", "/t/b"]
    assert fs.cat_file("/t/a") == b"a"


def test_moves_are_renames(fs: RoostFileSystem, volume: TestVolume) -> None:
    fs.pipe({"/a/f": os.urandom(70_000), "/b/g": b"g"})
    ino, objects = fs.info("/a/f")["ino"], volume.objects()
    fs.mv("/a/f", "/new/place")
    assert fs.info("/new/place")["ino"] == ino
    fs.mv("/new", "/b/", recursive=True)
    fs.mv("/b", "/c")
    assert fs.find("/") == ["/c/g", "/c/new/place"]
    fs.cp_file("/c/new/place", "/copy")
    assert volume.objects() == objects
    fs.mv(["/c/g", "/copy"], "/a")
    assert fs.find("/a") == ["/a/copy", "/a/g"]


def test_whole_files_come_and_go_with_progress(fs: RoostFileSystem, tmp_path: Path) -> None:
    (tmp_path / "local").write_bytes(os.urandom(150_000))
    up, down = Callback(), Callback()
    fs.put_file(tmp_path / "local", "/x/f", callback=up)
    fs.get_file("/x/f", tmp_path / "deep/back", callback=down)
    assert (up.size, up.value, down.size, down.value) == (150_000,) * 4
    assert (tmp_path / "deep/back").read_bytes() == (tmp_path / "local").read_bytes()
    with (tmp_path / "into").open("wb") as out:
        fs.get_file("/x/f", out)
    assert (tmp_path / "into").read_bytes() == (tmp_path / "local").read_bytes()
    with pytest.raises(FileExistsError):
        fs.put_file(tmp_path / "local", "/x/f", mode="create")
    with pytest.raises(FileNotFoundError):
        fs.get_file("/none", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_removing_a_folder_wants_recursive(fs: RoostFileSystem) -> None:
    fs.pipe_file("/d/f", b"")
    with pytest.raises(IsADirectoryError):
        fs.rm("/d")
    fs.rm("/d/*")
    fs.rmdir("/d")
    assert fs.ls("/") == []
    with pytest.raises(FileNotFoundError):
        fs.rm("/d")
    plain = RoostFileSystem(
        fs.storage_options["meta"],
        auto_mkdir=False,
        skip_instance_cache=True,
        cache_dir=fs.storage_options["cache_dir"],
    )
    with pytest.raises(FileNotFoundError):
        plain.pipe_file("/no/f", b"")
    plain.close()


def test_a_transaction_hands_the_mode_on_and_keeps_links(fs: RoostFileSystem) -> None:
    fs.pipe_file("/d/secret", b"old")
    fs.chmod("/d/secret", 0o600)
    fs.symlink("d/secret", "/link")
    fs.symlink("circle", "/circle")
    for mode, wanted in (("wb", b"new"), ("ab", b"newnew")):
        with fs.transaction, fs.open("/link", mode) as file:
            file.write(b"new")
        assert fs.cat_file("/d/secret") == wanted
        assert fs.info("/d/secret")["mode"] & 0o7777 == 0o600
        assert fs.islink("/link")
    with fs.transaction, pytest.raises(OSError, match="symbolic links") as refusal:
        fs.open("/circle", "wb")
    assert refusal.value.errno == errno.ELOOP
    assert fs.find("/d") == ["/d/secret"]


def test_after_a_close_the_same_file_system_is_opened_anew(
    volume: TestVolume, tmp_path: Path
) -> None:
    options = {"meta": volume.meta_url, "cache_dir": str(tmp_path / "cache")}
    first = fsspec.filesystem("roost", **options)
    assert fsspec.filesystem("roost", **options) is first
    first.pipe_file("/f", b"1")
    first.close()
    second = fsspec.filesystem("roost", **options)
    assert second.cat_file("/f") == b"1"
    first.close()
    assert fsspec.filesystem("roost", **options) is second
    assert second.cat_file("/f") == b"1"
    second.close()


def test_a_forked_child_may_use_the_object_that_it_inherited(
    redis_url: str, tmp_path: Path
) -> None:
    """As workers that are forked with a data set in hand do."""
    options = {"meta": redis_url, "cache_dir": str(tmp_path / "cache")}
    make_volume(redis_url, NewVolume("forked", bucket=str(tmp_path / "objects")))
    fs = fsspec.filesystem("roost", **options)
    fs.pipe_file("/f", b"parent")
    child = os.fork()
    if child == 0:  # nothing of pytest may run on in here
        code = 1
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(20)
            code = 0 if fs.cat_file("/f") == b"parent" else 2
            fs.pipe_file("/g", b"child")
            fs.close()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert fs.cat_file("/g") == b"child"
    fs.close()


@pytest.mark.timeout(30)
def test_a_file_system_may_be_collected_while_another_is_opened(
    volume: TestVolume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The collector runs where it likes, also inside of `acquire`, which holds the lock."""
    options = {"meta": volume.meta_url, "skip_instance_cache": True}
    lost = [fsspec.filesystem("roost", cache_dir=str(tmp_path / "lost"), **options)]
    left = lost[0].volume
    real = shared.Volume

    def collecting(*args: object, **named: object) -> object:
        lost.clear()
        gc.collect()
        return real(*args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(shared, "Volume", collecting)
    fs = fsspec.filesystem("roost", cache_dir=str(tmp_path / "new"), **options)
    fs.pipe_file("/f", b"1")
    with pytest.raises(Unavailable):
        left.exists("/f")
    fs.close()
