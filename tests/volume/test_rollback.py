"""H23: slice ids that are issued again after a metadata rollback never show old bytes."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from roost.errors import Failure, Unavailable
from roost.testing.servers import RedisServer
from roost.testing.volumes import TestVolume, make_test_volume
from roost.volume.client import VolumeClient
from roost.volume.data.compact import compact_chunk
from roost.volume.data.settings import DataSettings
from roost.volume.errors import FsError
from roost.volume.model import ChunkNo, SliceId
from roost.volume.vfs.handles import VolumeFile


def test_a_restored_database_empties_the_whole_file_cache(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings.append("rolled back")
    volume = make_test_volume(tmp_path / "volume")
    database = Path(volume.meta_url.removeprefix("sqlite3://"))
    backup = tmp_path / "backup.db"
    with VolumeClient.open(volume.meta_url, cache_dir=tmp_path / "cache") as client:
        client.mkdir("/d")
    shutil.copyfile(database, backup)
    with VolumeClient.open(volume.meta_url, cache_dir=tmp_path / "cache") as client:
        client.write("/a", b"one")
        old = client.open_local("/a")
        assert old.read_bytes() == b"one"
    for path in database.parent.glob(f"{database.name}-*"):
        path.unlink()
    shutil.copyfile(backup, database)
    with VolumeClient.open(volume.meta_url, cache_dir=tmp_path / "cache") as client:
        assert not old.exists()
        client.write("/a", b"two")
        assert client.open_local("/a").read_bytes() == b"two"
    volume.finish()


def test_an_ordinary_reopening_keeps_the_cache(tmp_path: Path) -> None:
    volume = make_test_volume(tmp_path / "volume")
    with VolumeClient.open(volume.meta_url, cache_dir=tmp_path / "cache") as client:
        client.write("/a", b"one")
        path = client.open_local("/a")
    for read_only in (True, False, True):
        with VolumeClient.open(
            volume.meta_url, read_only=read_only, cache_dir=tmp_path / "cache"
        ) as client:
            assert path.exists()
            assert client.open_local("/a") == path
    volume.finish()


@pytest.fixture
def on_redis(
    tmp_path: Path, redis_server: RedisServer, expected_warnings: list[str]
) -> Iterator[TestVolume]:
    expected_warnings += ["is lost; connecting again", "the connection broke", "lost commits"]
    expected_warnings += ["in use, the next are left out", "blocks are left", "answer was lost"]
    expected_warnings += ["set aside"]
    made = make_test_volume(tmp_path, meta_url=redis_server.new_database())
    yield made
    made.finish()


def lose_the_last_second(server: RedisServer, volume: TestVolume, *, forgets: bool) -> None:
    """Put the slice counter back to the first slice; with `forgets` the reservations go too."""
    with server.client(int(volume.meta_url.rpartition("/")[2])) as outside:
        outside.set("nextchunk", 1)
        for key in outside.scan_iter("roost:*") if forgets else ():
            if outside.type(key) == b"hash":
                outside.hdel(key, "nextChunk")


def cut(server: RedisServer, volume: TestVolume) -> None:
    server.cut(int(volume.meta_url.rpartition("/")[2]))


def test_files_of_two_clients_keep_their_bytes_over_a_restart_of_redis(
    redis_server: RedisServer, on_redis: TestVolume
) -> None:
    ours, theirs = on_redis.open(cache="ours"), on_redis.open(cache="theirs")
    ours.write("/first", b"first")
    lose_the_last_second(redis_server, on_redis, forgets=False)
    cut(redis_server, on_redis)
    ours.stat("/first")
    written = {}
    for number in range(10):
        for name, client in (("ours", ours), ("theirs", theirs)):
            written[f"/{name}{number}"] = f"{name}{number}".encode() * 100
            client.write(f"/{name}{number}", written[f"/{name}{number}"])
    reader = on_redis.open(cache="third")
    assert {path: reader.read(path) for path in written} == written


def test_a_slice_whose_number_another_has_is_not_acknowledged_nor_deleted(
    redis_server: RedisServer, on_redis: TestVolume
) -> None:
    ours, theirs = on_redis.open(cache="ours"), on_redis.open(cache="theirs")
    ours.write("/first", b"first")
    file = ours.open_file("/ours", "w")
    for at in (0, 1 << 20):  # two slices of a block, stored at once
        file.pwrite(at, b"o" * (64 << 10))
    ends_s = time.monotonic() + 20
    while len(on_redis.objects()) < 3:
        assert time.monotonic() < ends_s
        time.sleep(0.01)
    lose_the_last_second(redis_server, on_redis, forgets=True)
    for name in ("/theirs", "/theirs too"):
        theirs.write(name, b"t" * (64 << 10))
    cut(redis_server, on_redis)
    with pytest.raises(Failure, match="another client's"):
        file.fsync()
    with pytest.raises(Failure):
        file.close()
    ours.write("/again", b"o" * (64 << 10))
    reader = on_redis.open(cache="third")
    for name in ("/theirs", "/theirs too"):
        assert reader.read(name) == b"t" * (64 << 10)
    assert reader.read("/again") == b"o" * (64 << 10)


DATA_BYTES = 64 << 10


def forget_files(server: RedisServer, volume: TestVolume, names: list[str]) -> None:
    """Lose the last second, in which these files of the root were made."""
    with server.client(int(volume.meta_url.rpartition("/")[2])) as outside:
        for name in names:
            entry = outside.hget("d1", name)
            assert isinstance(entry, bytes)
            ino = int.from_bytes(entry[1:], "big")
            outside.hdel("d1", name)
            outside.delete(f"i{ino}", f"c{ino}_0")
        outside.set("nextchunk", 0)
    lose_the_last_second(server, volume, forgets=True)
    with server.client(int(volume.meta_url.rpartition("/")[2])) as outside:
        outside.set("nextchunk", 0)


def wait_until(happened: Callable[[], bool]) -> None:
    ends_s = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < ends_s
        time.sleep(0.01)


def wait_until_doubtful(client: VolumeClient) -> None:
    wait_until(lambda: client.meta.is_doubtful(SliceId(1)))


def assert_theirs(client: VolumeClient, names: list[str]) -> None:
    for name in names:
        assert set(client.read(name)) == set(b"t"), name
        assert set(client.open_local(name).read_bytes()) == set(b"t"), name


def test_a_block_that_waits_to_be_stored_is_not_stored_over_another_clients(
    redis_server: RedisServer, on_redis: TestVolume
) -> None:
    ours = on_redis.open(cache="ours", data=DataSettings(max_uploads=1))
    theirs = on_redis.open(cache="theirs")
    ours.write("/first", b"first")
    store_is_busy = threading.Event()
    ours.core.uploads.submit(store_is_busy.wait)
    file = ours.open_file("/ours", "w")
    for at in (0, 1 << 20):
        file.pwrite(at, b"o" * DATA_BYTES)
    lose_the_last_second(redis_server, on_redis, forgets=True)
    names = ["/theirs", "/theirs too"]
    for name in names:
        theirs.write(name, b"t" * DATA_BYTES)
    cut(redis_server, on_redis)
    wait_until_doubtful(ours)
    store_is_busy.set()
    with pytest.raises(Failure, match="another client's"):
        file.fsync()
    with pytest.raises(Failure):
        file.close()
    for client in (on_redis.open(cache="third"), theirs, ours):
        assert_theirs(client, names)


@pytest.mark.parametrize("is_being_stored", [False, True])
def test_a_staged_block_is_not_stored_over_another_clients(
    redis_server: RedisServer,
    on_redis: TestVolume,
    expected_warnings: list[str],
    is_being_stored: bool,
) -> None:
    expected_warnings.append("staged blocks wait")
    under_way, may_fail = threading.Semaphore(0), threading.Event()

    def before(verb: str, _key: str) -> None:
        if verb == "put" and threading.current_thread().name.startswith("roost-staged"):
            under_way.release()
            may_fail.wait(20)
            raise Unavailable("the store is away")

    on_redis.store.before_call = before
    delay_s = 0 if is_being_stored else 3600
    ours = on_redis.open(cache="ours", data=DataSettings(writeback=True, upload_delay_s=delay_s))
    theirs = on_redis.open(cache="theirs")
    for name in ("/o1", "/o2"):
        ours.write(name, b"o" * DATA_BYTES)
    for _ in range(2 * is_being_stored):
        assert under_way.acquire(timeout=20)
    forget_files(redis_server, on_redis, ["o1", "o2"])
    names = ["/t1", "/t2"]
    for name in names:
        theirs.write(name, b"t" * DATA_BYTES)
    cut(redis_server, on_redis)
    wait_until_doubtful(ours)
    may_fail.set()
    on_redis.store.before_call = lambda _verb, _key: None
    wait_until(lambda: ours.staged().files == 0)
    wait_until(lambda: len(set_aside(on_redis)) == 2)
    for client in (on_redis.open(cache="third"), theirs, ours):
        assert_theirs(client, names)


def set_aside(volume: TestVolume) -> list[Path]:
    """What nobody but the operator throws away."""
    return [path for path in (volume.folder / "ours").rglob("*.doubtful/**/*") if path.is_file()]


def test_caches_forget_what_may_be_another_clients(
    redis_server: RedisServer, on_redis: TestVolume
) -> None:
    on_disk = DataSettings(cache_dirs=(on_redis.folder / "blocks",))
    ours, theirs = on_redis.open(cache="ours", data=on_disk), on_redis.open(cache="theirs")
    for name in ("/o1", "/o2"):
        ours.write(name, b"o" * 5000)  # less than a block: kept on the disk as it is written
        assert set(ours.read(name)) == set(ours.open_local(name).read_bytes()) == set(b"o")
    forget_files(redis_server, on_redis, ["o1", "o2"])
    names = ["/t1", "/t2"]
    for name in names:
        theirs.write(name, b"t" * 5000)
    cut(redis_server, on_redis)
    wait_until_doubtful(ours)
    later = on_redis.open(cache="ours", data=on_disk)
    for client in (ours, theirs, on_redis.open(cache="third"), later):
        assert_theirs(client, names)


def test_a_compaction_reads_nothing_of_what_may_be_another_clients(
    redis_server: RedisServer, on_redis: TestVolume
) -> None:
    ours, theirs = on_redis.open(cache="ours"), on_redis.open(cache="theirs")
    names = [f"/o{number}" for number in range(3)]
    for name in names:
        ours.write(name, b"o" * 5000)
        assert set(ours.read(name)) == set(b"o")
    forget_files(redis_server, on_redis, [name[1:] for name in names])
    with theirs.open_file("/t", "w") as file:
        for at in (0, 5000, 10000):
            file.pwrite(at, b"t" * 5000)
            file.fsync()
    cut(redis_server, on_redis)
    wait_until_doubtful(ours)
    puts = on_redis.store.calls["put"]
    assert compact_chunk(ours.core, ours.node("/t").ino, ChunkNo(0)) == 0
    assert on_redis.store.calls["put"] == puts, "it does not even begin"
    for client in (ours, theirs, on_redis.open(cache="third")):
        assert_theirs(client, ["/t"])


@pytest.mark.parametrize("is_noticed_before", [True, False])
@pytest.mark.parametrize(
    "change",
    [
        lambda file: (file.pwrite(200, b"o" * 100), file.fsync()),
        lambda file: (file.append(b"o"), file.fsync()),
        lambda file: file.truncate(1),
        lambda file: file.fallocate(0, 1 << 20),
        lambda file: file.copy_from(file, 0, 200, 100),
        lambda file: file.pread(0, 100),
        lambda file: file.stat(),
    ],
    ids=["write", "append", "truncate", "fallocate", "copy", "read", "stat"],
)
def test_what_was_opened_changes_no_file_that_has_its_number_now(
    redis_server: RedisServer,
    on_redis: TestVolume,
    change: Callable[[VolumeFile], object],
    is_noticed_before: bool,
) -> None:
    ours, theirs = on_redis.open(cache="ours"), on_redis.open(cache="theirs")
    file = ours.open_file("/ours", "w+")
    file.pwrite(0, b"o" * 100)
    file.fsync()
    ino = ours.node("/ours").ino
    ours.core.meta.new_slice_id()
    with redis_server.client(int(on_redis.meta_url.rpartition("/")[2])) as outside:
        outside.hdel("d1", "ours")
        outside.delete(f"i{ino}", f"c{ino}_0")
        outside.set("nextinode", ino - 1)
        for key in outside.scan_iter("roost:*"):
            if outside.type(key) == b"hash":
                outside.hdel(key, "nextInode")
    theirs.write("/theirs", b"t" * 10000)
    assert theirs.node("/theirs").ino == ino, "as things were to be shown"
    cut(redis_server, on_redis)
    if is_noticed_before:
        wait_until(lambda: ours.meta._opened.inos.is_doubtful(ino))
    with pytest.raises(FsError, match="Stale file handle"):
        change(file)
    with pytest.raises(FsError, match="Stale file handle"):
        ours.read("/theirs")
    file.discard()
    for client in (ours, theirs, on_redis.open(cache="third")):
        assert client.stat("/theirs").length == 10000
        assert_theirs(client, ["/theirs"])
    ours.append("/theirs", b"t")
