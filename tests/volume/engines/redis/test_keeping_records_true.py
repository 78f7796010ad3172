"""H5: records that others change are forgotten, also those that this client has changed itself."""

import errno
import threading
import time
from collections.abc import Callable

import pytest

from roost.testing.servers import RedisServer
from roost.volume.engines.redis.cache import RecordCache
from roost.volume.engines.redis.connection import Connection
from roost.volume.errors import FsError, VolumeReplaced
from roost.volume.meta.api import Meta
from roost.volume.meta.reads import EdgeWanted, NodeWanted
from roost.volume.meta.txn import Txn
from roost.volume.model import ROOT, AttrChange, Ino
from tests.volume.engines.redis.conftest import Opener

_MISSING = object()


def eventually(holds: Callable[[], bool]) -> None:
    """Wait for the server's word, which nothing else announces."""
    ends = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < ends, "it never came"
        time.sleep(0.005)


def cache_of(meta: Meta) -> RecordCache:
    return meta._opened.engine._link._live.cache  # type: ignore[attr-defined]


def hear(meta: Meta) -> None:
    """Let the client read what the server has sent: an answer comes after all of it."""
    connection: Connection = meta._opened.engine._link._live.connection  # type: ignore[attr-defined]
    connection.call([("PING",)])


@pytest.fixture
def two(redis_server: RedisServer, open_volume: Opener) -> tuple[Meta, Meta]:
    url = redis_server.new_database()
    return open_volume(url, make=True), open_volume(url)


def test_a_record_that_another_changes_is_forgotten(two: tuple[Meta, Meta]) -> None:
    ours, theirs = two
    file = ours.create(ROOT, b"f").ino
    ours.getattr(file)
    theirs.setattr(file, AttrChange(mode=0o600))
    hear(ours)
    assert cache_of(ours).get(("node", file), _MISSING) is _MISSING
    assert ours.getattr(file).mode == 0o600


def test_a_record_that_this_client_wrote_is_still_watched(two: tuple[Meta, Meta]) -> None:
    """Our own write ends the server's watch of the key; the script reads it again at its end."""
    ours, theirs = two
    file = ours.create(ROOT, b"f").ino
    for mode in (0o600, 0o640, 0o644):
        ours.setattr(file, AttrChange(mode=mode))
        hear(ours)
        assert cache_of(ours).get(("node", file), _MISSING) is not _MISSING, "kept warm"
        theirs.setattr(file, AttrChange(mode=0o400))
        hear(ours)
        assert cache_of(ours).get(("node", file), _MISSING) is _MISSING, "and told of others"


def test_entries_of_a_directory_that_both_change_are_forgotten(two: tuple[Meta, Meta]) -> None:
    ours, theirs = two
    folder = ours.mkdir(ROOT, b"d").ino
    ours.create(folder, b"a")
    theirs.create(folder, b"b")
    hear(ours)
    assert cache_of(ours).get(("edge", folder, b"a"), _MISSING) is _MISSING
    with pytest.raises(FsError) as refusal:
        ours.create(folder, b"b")
    assert refusal.value.errno == errno.EEXIST


def test_reads_never_go_backwards_while_another_writes(two: tuple[Meta, Meta]) -> None:
    ours, theirs = two
    file = ours.create(ROOT, b"f").ino
    stop = threading.Event()
    failures: list[str] = []

    def watch() -> None:
        last = 0
        while not stop.is_set():
            length = ours.getattr(file).length
            if length < last:
                failures.append(f"{length} after {last}")
            last = length

    readers = [threading.Thread(target=watch) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        for length in range(1, 200):
            theirs.truncate(file, length)
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert failures == []
    assert ours.getattr(file).length == 199


def test_what_was_closed_is_seen_by_the_next_read(two: tuple[Meta, Meta]) -> None:
    """A read asks the server, whatever is known: no moment between the change and its news."""
    ours, theirs = two
    file = ours.create(ROOT, b"f").ino
    for length in range(1, 100):
        ours.getattr(file)
        theirs.truncate(file, length)
        assert ours.getattr(file).length == length


def test_a_connection_that_breaks_takes_its_records_with_it(
    two: tuple[Meta, Meta], expected_warnings: list[str]
) -> None:
    expected_warnings.append("is lost")
    ours, theirs = two
    file = ours.create(ROOT, b"f").ino
    before = cache_of(ours)
    connection: Connection = ours._opened.engine._link._live.connection  # type: ignore[attr-defined]
    connection.close()
    theirs.setattr(file, AttrChange(mode=0o600))
    assert ours.getattr(file).mode == 0o600
    assert cache_of(ours) is not before


def test_an_emptied_server_leaves_no_record(redis_server: RedisServer, open_volume: Opener) -> None:
    meta = open_volume(redis_server.new_database(), make=True)
    meta.create(ROOT, b"f")
    assert len(cache_of(meta))
    database = meta._opened.engine._link.place.database  # type: ignore[attr-defined]
    with redis_server.client(database) as client:
        client.flushdb()
    eventually(lambda: (hear(meta), len(cache_of(meta)) == 0)[1])
    with pytest.raises(VolumeReplaced):
        meta.create(ROOT, b"g")
    with redis_server.client(database) as client:
        assert not client.exists("i2", "d1", "usedSpace"), "nothing is written into another's place"
    meta._opened.sid = type(meta.sid)(0)


def test_a_refusal_ends_though_more_is_read_than_was_announced(two: tuple[Meta, Meta]) -> None:
    """An entry that is known to be absent is not forgotten, and guessed, for another miss."""

    def rule(txn: Txn) -> None:
        announced_only = NodeWanted(Ino(999))
        txn.load(NodeWanted(ROOT), EdgeWanted(ROOT, b"none", child=True), announced_only)
        txn.node(ROOT)
        txn.acl(1)
        if txn.edge(ROOT, b"none") is None:
            raise FsError(errno.ENOENT, ROOT, b"none")

    with pytest.raises(FsError):
        two[0].engine.run(rule)


def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roost.volume.engines.redis.cache.RECORDS_MAX", 100)
    monkeypatch.setattr("roost.volume.engines.redis.cache._DROP_AT_ONCE", 10)
    cache = RecordCache(b"")
    for number in range(1000):
        cache.put([(("edge", Ino(number % 7), b"%d" % number), b"x"), (("node", number), b"y")])
        assert len(cache) <= 100
    for number in range(7):
        cache.on_push([b"invalidate", [b"d%d" % number]])
    assert not any(key[0] == "edge" for key in cache.values)
    cache.on_push([b"invalidate", None])
    assert len(cache) == 0
