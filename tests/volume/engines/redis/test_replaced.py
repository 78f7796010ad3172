"""A server that is emptied, or given another volume, while clients are at work."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest

from roost.errors import CommitUnknown, RoostError, Unavailable
from roost.testing.servers import RedisServer
from roost.testing.servers.redis import RedisOptions
from roost.volume.errors import VolumeReplaced
from roost.volume.meta.api import Meta, format_volume, open_meta
from roost.volume.meta.heartbeat import Heartbeat
from roost.volume.model import ROOT
from roost.volume.settings import decode_settings, encode_settings, new_settings
from tests.volume.engines.redis.conftest import Opener

SERVERS = {
    "plain": "",
    "untracked": "-client|tracking",
    "without scripts": "-eval -evalsha -script",
}


class Load:
    """Threads at work on a volume, each of one kind; what each heard, in order."""

    def __init__(self, meta: Meta) -> None:
        folder = meta.mkdir(ROOT, b"d").ino
        file = meta.create(folder, b"f").ino
        numbers = iter(range(1_000_000))
        self.heard: dict[str, list[object]] = {}
        self._stopping = threading.Event()
        work: dict[str, Callable[[], object]] = {
            "stat": lambda: meta.getattr(file),
            "stat of the root": lambda: meta.getattr(ROOT),
            "lookup": lambda: meta.lookup(folder, b"f"),
            "resolve": lambda: meta.resolve("/d/f"),
            "listdir": lambda: [e.name for e in meta.readdir(folder)].index(b"f"),
            "scan": lambda: len(meta.sessions()) or 1 / 0,
            "create": lambda: meta.create(folder, b"n%d" % next(numbers)),
            "truncate": lambda: meta.truncate(file, 10),
        }
        self._threads = [threading.Thread(target=self._repeat, args=each) for each in work.items()]
        for thread in self._threads:
            thread.start()

    def _repeat(self, name: str, step: Callable[[], object]) -> None:
        heard = self.heard[name] = []
        while not self._stopping.wait(0.002):
            try:
                step()
                heard.append(None)
            except Exception as error:  # what was heard is what is looked at
                heard.append(error)

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()


@pytest.mark.parametrize("how", ["flush", "flush, format", "flush, format, kill"])
@pytest.mark.parametrize("kind", SERVERS)
def test_nothing_but_that_is_heard_once_the_volume_is_gone(
    start_redis: Callable[[RedisOptions], RedisServer],
    open_volume: Opener,
    expected_warnings: list[str],
    kind: str,
    how: str,
) -> None:
    expected_warnings += ["is lost; connecting again", "the connection broke", "was replaced"]
    expected_warnings.append("lost commits")  # if it goes between two looks
    expected_warnings += ["a commit whose answer was lost"]  # by the format next door, see `cache`
    server = start_redis(
        RedisOptions(appendonly=False, users=(f"limited on >pw ~* &* +@all {SERVERS[kind]}",))
    )
    plain = server.new_database()
    url = plain.replace("redis://", "redis://limited:pw@")
    meta = open_volume(url, make=True)
    load = Load(meta)
    number = int(url.rpartition("/")[2])
    with server.client(number) as outside:
        time.sleep(0.2)
        pipe = outside.pipeline()
        pipe.flushdb()
        if "format" in how:
            format_volume(f"{server.url}/{number + 100}", new_settings("another", bucket="/b"))
            pipe.swapdb(number, number + 100)
        pipe.execute()
        if "kill" in how:
            outside.client_kill_filter(_type="normal", skipme=True)
        time.sleep(0.3)
        load.stop()
        for name, heard in load.heard.items():
            first = next(at for at, what in enumerate(heard) if what is not None)
            assert first > 0, f"{name} began well"
            if isinstance(heard[first], CommitUnknown | Unavailable):  # what was on its way
                first += 1
            wrong = [what for what in heard[first:] if not isinstance(what, VolumeReplaced)]
            assert not wrong, name
        left = [key for key in outside.scan_iter() if not key.startswith(b"roost:")]
        expected = {b"setting", b"i1", b"i9223372032828243968"} if "format" in how else set()
        assert {key for key in left if key[:1] in b"ids"} == expected
    with suppress(RoostError):
        meta.close()


def test_another_database_of_the_server_may_be_emptied(
    redis_server: RedisServer, open_volume: Opener
) -> None:
    meta = open_volume(redis_server.new_database(), make=True)
    other = open_volume(redis_server.new_database(), make=True)
    for at in range(3):
        meta.create(ROOT, b"f%d" % at)
        redis_server.new_database()
        assert other.readdir(ROOT) is not None
        assert meta.lookup(ROOT, b"f%d" % at).attr.is_file


def test_a_client_that_only_reads_hears_of_it_at_once(
    redis_server: RedisServer, open_volume: Opener
) -> None:
    url = redis_server.new_database()
    meta = open_volume(url, make=True)
    meta.create(ROOT, b"f")
    with open_meta(url, read_only=True) as reader:
        assert reader.lookup(ROOT, b"f").attr.is_file
        redis_server.drop_database(url)
        for _ in range(2):
            with pytest.raises(VolumeReplaced):
                reader.lookup(ROOT, b"f")


def test_an_idle_client_is_back_before_others_get_its_numbers(
    redis_server: RedisServer, open_volume: Opener, expected_warnings: list[str]
) -> None:
    expected_warnings += ["is lost; connecting again", "the connection broke", "lost commits"]
    url = redis_server.new_database()
    meta = open_volume(url, make=True)
    taken = meta.new_slice_id()
    number = int(url.rpartition("/")[2])
    with redis_server.client(number) as outside:
        outside.set("nextchunk", 0)
        redis_server.cut(number)
        ends_s = time.monotonic() + 10
        while int(outside.get("nextchunk") or 0) < taken + 4095:
            assert time.monotonic() < ends_s
            time.sleep(0.01)


def test_a_client_that_stays_hears_that_the_volume_was_destroyed(
    redis_server: RedisServer, open_volume: Opener
) -> None:
    """Its keys are deleted one by one; what it knows of none of them was told to be changed."""
    url = redis_server.new_database()
    meta = open_volume(url, make=True)
    meta.create(ROOT, b"a")
    with open_meta(url) as other:
        other.engine.destroy()
    format_volume(url, new_settings("another", bucket="/b"))
    for attempt in (
        lambda: meta.getattr(ROOT),
        lambda: list(meta.readdir(ROOT)),
        lambda: meta.lookup(ROOT, b"a"),
        lambda: meta.create(ROOT, b"b"),
    ):
        with pytest.raises(VolumeReplaced):
            attempt()
    with open_meta(url) as now:
        assert not list(now.readdir(ROOT))


def test_settings_that_others_change_replace_no_volume(
    redis_server: RedisServer, open_volume: Opener
) -> None:
    url = redis_server.new_database()
    meta = open_volume(url, make=True)
    file, taken = meta.create(ROOT, b"a"), meta.new_slice_id()
    with redis_server.client(int(url.rpartition("/")[2])) as outside:
        for trash_days in (3, 4):
            text = outside.get("setting").decode()
            settings = replace(decode_settings(text), trash_days=trash_days)
            outside.set("setting", encode_settings(settings))
            assert meta.getattr(file.ino) == file.attr
            meta.create(ROOT, b"b%d" % trash_days)
    assert meta.new_slice_id() == taken + 1


@pytest.mark.parametrize("kind", ["plain", "untracked"])
def test_a_scan_of_another_volume_does_not_begin(
    start_redis: Callable[[RedisOptions], RedisServer],
    open_volume: Opener,
    expected_warnings: list[str],
    kind: str,
) -> None:
    """Looking at the end would be too late for who acts on what is listed as it comes."""
    expected_warnings += ["is lost; connecting again"]
    server = start_redis(
        RedisOptions(appendonly=False, users=(f"limited on >pw ~* &* +@all {SERVERS[kind]}",))
    )
    url = server.new_database()
    meta = open_volume(url.replace("redis://", "redis://limited:pw@"), make=True)
    other = encode_settings(new_settings("another", bucket="/b"))
    with server.client(int(url.rpartition("/")[2])) as outside:
        outside.set("setting", other)
    begun = False
    with pytest.raises(VolumeReplaced), meta.engine.scan():
        begun = True
    assert not begun


def test_the_heartbeat_knows_too(
    redis_server: RedisServer, open_volume: Opener, expected_warnings: list[str]
) -> None:
    url = redis_server.new_database()
    meta = open_volume(url, make=True)
    redis_server.drop_database(url)
    with pytest.raises(VolumeReplaced):
        Heartbeat(meta._opened).beat()
