"""H6 and H14: nothing is written unless all can be; what merges does not conflict."""

import struct
from typing import Any

import pytest
import redis

from roost.errors import CorruptRecord, RoostError
from roost.testing.clock import ManualClock
from roost.testing.servers import RedisServer
from roost.volume.codec import decode_attr
from roost.volume.engines.redis import watch
from roost.volume.engines.redis.encode import OPERANDS_MAX, OTHERS_MAX
from roost.volume.errors import InodeTaken
from roost.volume.meta import effects as fx
from roost.volume.meta.api import Meta
from roost.volume.meta.txn import Txn
from roost.volume.model import (
    ROOT,
    TRASH,
    Attr,
    AttrChange,
    ChunkNo,
    Edge,
    Ino,
    Kind,
    LockKind,
    Slice,
    SliceId,
)
from tests.volume.engines.redis.conftest import Opener


@pytest.fixture
def url(redis_server: RedisServer) -> str:
    return redis_server.new_database()


@pytest.fixture
def meta(url: str, open_volume: Opener) -> Meta:
    opened = open_volume(url, make=True)
    opened.create(ROOT, b"reserve numbers")
    return opened


@pytest.fixture
def raw(redis_server: RedisServer, url: str) -> redis.Redis:
    return redis_server.client(int(url.rpartition("/")[2]))


def everything(raw: redis.Redis) -> dict[bytes, bytes]:
    """Return a dump of all keys but the private ones."""
    keys = sorted(key for key in raw.scan_iter() if not key.startswith(b"roost:"))
    return {key: raw.dump(key) for key in keys}


@pytest.mark.parametrize("key", ["usedSpace", "totalInodes", "dirUsedSpace", "d1"])
def test_a_key_of_another_kind_stops_a_create_before_its_first_write(
    meta: Meta, raw: redis.Redis, key: str
) -> None:
    raw.delete(key)
    raw.set(key, "no number") if key != "usedSpace" else raw.rpush(key, "x")
    before = everything(raw)
    with pytest.raises(CorruptRecord):
        meta.create(ROOT, b"f")
    assert everything(raw) == before


def test_a_key_of_another_kind_stops_an_unlink_before_its_first_write(
    meta: Meta, raw: redis.Redis
) -> None:
    meta.create(ROOT, b"f")
    raw.set("delfiles", "no set")
    before = everything(raw)
    with pytest.raises(CorruptRecord, match="delfiles"):
        meta.unlink(ROOT, b"f")
    assert everything(raw) == before


def test_an_inode_that_exists_is_never_overwritten(meta: Meta, raw: redis.Redis) -> None:
    """As when counters were lost: the next number is one that a file has."""
    taken = meta.create(ROOT, b"f").ino
    raw.set("nextinode", taken - 1)  # the last one given
    meta._opened.inos._next = meta._opened.inos.end = 0
    before = raw.get(f"i{taken}")
    with pytest.raises(InodeTaken, match=f"inode {taken}"):
        meta.clone(taken, ROOT, b"g")
    assert meta.create(ROOT, b"h").ino > taken
    assert raw.get(f"i{taken}") == before


def test_a_broken_statistic_does_not_stop_what_it_counts(meta: Meta, raw: redis.Redis) -> None:
    raw.delete("dirDataLength")
    raw.set("dirDataLength", "no hash")
    meta.mkdir(ROOT, b"d")
    assert meta.lookup(ROOT, b"d").attr.is_directory


def change(meta: Meta, ino: Ino, wanted: fx.NodeChange) -> Attr:
    """Apply a change through the script, on a record that is not looked at first."""

    def rule(txn: Txn) -> None:
        txn.node(ino)
        txn.do(fx.ChangeNode(ino, wanted))

    meta._opened.engine.run(rule)
    return meta.getattr(ino)


TIMES = [0, 1, -1, -1_500_000_000, 1_700_000_000_000_000_000, (1 << 40) * 10**9, -5 * 10**18]


@pytest.mark.parametrize("scripts", [True, False])
def test_the_script_merges_as_the_reference_does(meta: Meta, scripts: bool) -> None:
    """Times before 1970 and lengths beyond 2^53 included."""
    meta._opened.engine._link.can.scripts = scripts  # type: ignore[attr-defined]
    ino = meta.create(ROOT, b"f").ino
    lengths = [0, 1, (1 << 53) + 1, (1 << 53) + 2, (1 << 57), 4097]
    for number, time_ns in enumerate(TIMES * 3):
        wanted = [
            fx.NodeChange(mtime_at_least_ns=time_ns, ctime_at_least_ns=time_ns),
            fx.NodeChange(nlink_by=1, mtime_at_least_ns=time_ns, ctime_at_least_ns=time_ns),
            fx.NodeChange(data_time_ns=time_ns, length_at_least=lengths[number % 6]),
            fx.NodeChange(data_time_ns=time_ns),
            fx.NodeChange(mtime_ns=time_ns, atime_ns=-time_ns, length=lengths[-number % 6]),
            fx.NodeChange(mode=0o4711 + number, uid=number, parent=Ino(TRASH + number)),
            fx.NodeChange(access_acl=number, tier=number % 4, gid=0xFFFFFFFF, flags=2),
        ]
        for one in wanted:
            before = meta.getattr(ino)
            assert change(meta, ino, one) == fx.merged(before, one)
    change(meta, ino, fx.NodeChange(parent=ROOT, length=0, nlink_by=1 - meta.getattr(ino).nlink))
    change(meta, ino, fx.NodeChange(access_acl=0, default_acl=0, tier=0))


def test_a_data_time_is_never_the_one_before(meta: Meta) -> None:
    ino = meta.create(ROOT, b"f").ino
    edge_ns = 1_699_999_999_999_999_999  # the nanosecond carries into the second
    change(meta, ino, fx.NodeChange(mtime_ns=edge_ns))
    assert change(meta, ino, fx.NodeChange(data_time_ns=edge_ns)).mtime_ns == edge_ns + 1


def test_an_attribute_record_without_its_last_byte_is_changed_and_made_whole(
    meta: Meta, raw: redis.Redis
) -> None:
    ino = meta.create(ROOT, b"f").ino
    raw.set(f"i{ino}", raw.get(f"i{ino}")[:71])
    meta.setattr(ino, AttrChange(mode=0o600))
    assert len(raw.get(f"i{ino}")) == 72
    assert decode_attr(raw.get(f"i{ino}")).mode == 0o600


def test_creators_in_one_directory_do_not_conflict(
    url: str, open_volume: Opener, meta: Meta
) -> None:
    """Each makes its name on a record of the parent that the other has changed since."""
    other = open_volume(url)
    folder = meta.mkdir(ROOT, b"d").ino
    sent = []
    for client in (meta, other):
        engine = client._opened.engine
        send = engine._send  # type: ignore[attr-defined]
        engine._send = lambda *given, send=send: sent.append(send(*given)) or sent[-1]  # type: ignore[attr-defined]
    for number in range(20):
        meta.mkdir(folder, b"a%d" % number)
        other.create(folder, b"b%d" % number)
    assert None not in sent, "a creator was told to look again"
    assert meta.getattr(folder).nlink == 22


def test_a_truncate_to_the_length_another_changed_is_done(
    url: str, open_volume: Opener, meta: Meta
) -> None:
    """Equal to what is known, not to what is: a no-op on old records is no answer."""
    other = open_volume(url)
    file = meta.create(ROOT, b"f").ino
    meta.getattr(file)
    cache = meta._opened.engine._link._live.cache  # type: ignore[attr-defined]
    known = cache.get(("node", file), None)
    other.truncate(file, 100)
    cache.put([(("node", file), known)])
    assert meta.truncate(file, 0).length == 0
    assert other.getattr(file).length == 0


def test_records_have_the_bytes_of_juicefs(
    redis_server: RedisServer, open_volume: Opener, clock: ManualClock
) -> None:
    url = redis_server.new_database()
    meta = open_volume(url, make=True)
    raw = redis_server.client(int(url.rpartition("/")[2]))
    clock.jump_wall((1795393476170695119 - clock.wall_ns()) / 1e9)
    folder = meta.mkdir(ROOT, b"d").ino
    file = meta.create(folder, b"f").ino
    meta.write_slice(file, ChunkNo(0), Slice(0, meta.new_slice_id(), 5, 0, 5))
    meta.link(file, ROOT, b"hard")
    meta.symlink(ROOT, b"sym", b"d/f")
    meta.truncate(file, 3)
    meta.setxattr(file, b"user.a", b"")
    assert raw.hgetall("d1") == {
        b"d": b"\x02" + struct.pack(">Q", 2),
        b"hard": b"\x01" + struct.pack(">Q", 3),
        b"sym": b"\x03" + struct.pack(">Q", 4),
    }
    assert raw.get("i3")[47:].hex() == "00000002" + "0000000000000003" + "00000000" + "00" * 9
    assert raw.hgetall("p3") == {b"2": b"1", b"1": b"1"}
    assert raw.lrange("c3_0", 0, -1) == [
        bytes.fromhex("000000000000000000000001000000050000000000000005"),
        bytes.fromhex("000000030000000000000000000000000000000000000002"),
    ]
    assert raw.get("s4") == b"d/f"
    assert raw.hgetall("x3") == {b"user.a": b""}
    assert (raw.get("nextinode"), raw.get("nextchunk"), raw.get("nextsession")) == (
        b"1025",
        b"4096",
        b"1",
    )
    assert (raw.get("usedSpace"), raw.get("totalInodes")) == (b"12288", b"3")
    assert raw.hgetall("dirUsedSpace") == {b"1": b"12288", b"2": b"4096"}
    meta.unlink(ROOT, b"hard")
    assert raw.hgetall("p3") == {b"2": b"1", b"1": b"0"}
    meta.unlink(folder, b"f")
    assert raw.zrange("delfiles", 0, -1, withscores=True) == [(b"3:3", 1795393476.0)]
    assert not raw.exists("i3", "p3", "x3", "d2")
    assert sorted(raw.zrange("allSessions", 0, -1)) == [b"1"]


def test_slice_counts_are_stored_less_one(meta: Meta, raw: redis.Redis) -> None:
    run = meta._opened.engine.run
    slice_id = SliceId(9)
    read = lambda: meta._opened.engine.read(lambda r: r.slice_refs(slice_id, 100))  # noqa: E731
    run(lambda txn: txn.do(fx.AddSliceRefs(slice_id, 1, 100, is_new=True)))
    assert (raw.hgetall("sliceRef"), read()) == ({}, 1)
    run(lambda txn: txn.do(fx.AddSliceRefs(slice_id, 1, 100)))
    assert (raw.hgetall("sliceRef"), read()) == ({b"k9_100": b"1"}, 2)
    run(lambda txn: txn.do(fx.AddSliceRefs(slice_id, -2, 100)))
    assert (raw.hgetall("sliceRef"), read()) == ({b"k9_100": b"-1"}, 0)
    run(lambda txn: txn.do(fx.DropSliceRef(slice_id, 100)))
    assert raw.hgetall("sliceRef") == {}


def test_an_entry_may_be_replaced_in_one_commit(meta: Meta) -> None:
    """Dropped and added under one name, in the order given."""
    file, other = meta.create(ROOT, b"f").ino, meta.create(ROOT, b"g").ino

    def swap(txn: Txn) -> None:
        txn.edge(ROOT, b"f")
        txn.edge(ROOT, b"g")
        txn.do(fx.DropEdge(ROOT, b"f"), fx.DropEdge(ROOT, b"g"))
        txn.do(fx.AddEdge(ROOT, b"f", Edge(Kind.FILE, other)))
        txn.do(fx.AddEdge(ROOT, b"g", Edge(Kind.FILE, file)))

    meta._opened.engine.run(swap)
    assert (meta.lookup(ROOT, b"f").ino, meta.lookup(ROOT, b"g").ino) == (other, file)


def test_an_error_inside_exec_is_not_answered_as_done(
    meta: Meta, raw: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    meta._opened.engine._link.can.scripts = False  # type: ignore[attr-defined]
    real = watch._writes

    def with_one_that_fails(plan: Any, found: Any) -> tuple[list[Any], list[Any]]:
        done, writes = real(plan, found)
        return done, [*writes, ("HINCRBY", b"usedSpace", b"field", 1)]

    meta.create(ROOT, b"before")
    monkeypatch.setattr(watch, "_writes", with_one_that_fails)
    with pytest.raises(RoostError):
        meta.create(ROOT, b"f")
    monkeypatch.undo()
    meta.create(ROOT, b"after")


@pytest.mark.parametrize("scripts", [True, False])
def test_a_lock_taken_while_its_session_is_dropped_goes_with_it(
    url: str, open_volume: Opener, meta: Meta, raw: redis.Redis, clock: ManualClock, scripts: bool
) -> None:
    """Its lease is over, but it lives: another owner locks a file that the session has locked."""
    slow = open_volume(url)
    file = meta.create(ROOT, b"f").ino
    slow.flock(file, 1, LockKind.READ)
    clock.advance(61)
    slow._opened.renewed_s = slow._opened.now_s  # so as JuiceFS's client, no lock renews its lease
    engine: Any = meta._opened.engine
    engine._link.can.scripts = scripts
    send = engine._send
    late = iter([2])

    def send_after_a_lock(*given: Any) -> Any:
        for owner in late:
            slow.flock(file, owner, LockKind.READ)
        return send(*given)

    engine._send = send_after_a_lock
    assert meta.clean_stale_sessions() == 1
    assert next(late, None) is None
    assert not raw.exists(f"lockf{file}", f"locked{slow.sid}")
    slow._opened.sid = type(slow.sid)(0)


@pytest.mark.parametrize("scripts", [True, False])
def test_a_session_is_dropped_however_many_locks_it_has(
    url: str, open_volume: Opener, meta: Meta, raw: redis.Redis, clock: ManualClock, scripts: bool
) -> None:
    """More files, and more holders in one, than a commit has operands and keys for."""
    dead = open_volume(url)
    files = range(10_000, 10_000 + OTHERS_MAX + 1)
    with raw.pipeline(transaction=False) as many:
        for ino in files:
            many.hset(f"lockf{ino}", f"{dead.sid}_0000000000000001", "W")
        many.sadd(f"locked{dead.sid}", *(f"lockf{ino}" for ino in files))
        owners = range(OPERANDS_MAX + 1)
        many.hset("lockf10000", mapping={f"{dead.sid}_{owner:016X}": "R" for owner in owners})
        many.hset("lockf10000", f"{meta.sid}_0000000000000001", "R")
        many.execute()
    clock.advance(61)
    engine: Any = meta._opened.engine
    engine._link.can.scripts = scripts
    assert meta.clean_stale_sessions() == 1
    assert raw.keys("lock*") == [b"lockf10000"]
    assert raw.hkeys("lockf10000") == [b"%d_0000000000000001" % meta.sid]
    dead._opened.sid = type(dead.sid)(0)
