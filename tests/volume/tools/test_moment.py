"""A backup on Redis is of one moment, whatever happens while it is made."""

import errno
import io
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from roost.errors import StorageFull, Unavailable
from roost.testing.clock import ManualClock
from roost.testing.faulty_store import FaultyStore
from roost.testing.servers import RedisServer
from roost.testing.servers.redis import RedisOptions
from roost.volume.engines.redis.touched import WatchedScans
from roost.volume.meta.api import Meta, format_volume, open_meta
from roost.volume.model import ROOT, ChunkNo, Slice
from roost.volume.settings import new_settings
from roost.volume.tools.backup import moment

from .test_backup import backup, clock, on_redis, restored, store
from .test_dump_load import dumped, tree_of

__all__ = ["clock", "on_redis", "store"]  # fixtures

ENTRIES = 60_000
BUSY = """
local function now() local t = redis.call('TIME'); return t[1] + t[2] / 1000000 end
local ends = now() + 0.6
while now() < ends do end
"""


def write(meta: Meta, path: str) -> None:
    record = Slice(0, meta.new_slice_id(), 5000, 0, 5000)
    meta.write_slice(meta.resolve(path).ino, ChunkNo(0), record)


def keep_nameless(meta: Meta) -> None:
    ino = meta.create(ROOT, b"open").ino
    meta.open(ino)
    meta.unlink(ROOT, b"open")


def add_xattr(meta: Meta) -> None:
    meta.setxattr(meta.resolve("/d/f").ino, b"user.x", b"y")


def add_link(meta: Meta) -> None:
    meta.symlink(ROOT, b"link", b"target")


def before(
    monkeypatch: pytest.MonkeyPatch, verb: str, *acts: Callable[[], object]
) -> list[dict[str, Any]]:
    """Let somebody act before the first calls of a verb; return the options of all calls."""
    real = getattr(WatchedScans, verb)
    waiting, calls = list(acts), list[dict[str, Any]]()

    def acted(scans: WatchedScans, *args: Any, **options: Any) -> Any:
        if waiting:
            waiting.pop(0)()
        calls.append(options)
        return real(scans, *args, **options)

    monkeypatch.setattr(WatchedScans, verb, acted)
    return calls


@pytest.fixture
def meta(on_redis: Meta) -> Meta:
    folder = on_redis.mkdir(ROOT, b"d").ino
    on_redis.create(folder, b"f")
    on_redis.create(on_redis.mkdir(ROOT, b"e").ino, b"f")
    return on_redis


@pytest.mark.parametrize("act", [add_xattr, add_link, partial(write, path="/d/f")])
def test_what_changed_after_its_table_was_listed_is_in_the_backup(
    meta: Meta,
    redis_url: str,
    store: FaultyStore,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    act: Callable[[Meta], None],
) -> None:
    """And the statistics of a directory of which nothing else was touched."""
    before(monkeypatch, "touched", partial(act, meta))
    backup(redis_url, store, clock)
    assert restored(store) == tree_of(dumped(redis_url))


def test_a_file_touched_again_takes_its_directory_along(
    meta: Meta,
    redis_url: str,
    store: FaultyStore,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the step itself, of whose moment the statistics then are."""
    before(monkeypatch, "touched", partial(write, meta, "/d/f"))
    again = (partial(write, meta, "/e/f"), lambda: None, partial(write, meta, "/d/f"))
    calls = before(monkeypatch, "read_touched", *again)
    backup(redis_url, store, clock)
    assert restored(store) == tree_of(dumped(redis_url))
    # Of /d, and of /e; not of /d a second time.
    assert [options["as_one"] for options in calls].count(False) == 2


def test_a_file_that_is_kept_nameless_during_a_backup_is_noted_as_deleted(
    meta: Meta,
    redis_url: str,
    store: FaultyStore,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also if a step follows before which the session keeps nothing more."""
    before(monkeypatch, "touched", partial(keep_nameless, meta))
    before(monkeypatch, "read_touched", partial(write, meta, "/d/f"))
    backup(redis_url, store, clock)
    restored(store)
    with open_meta("memory://restored", session=False) as again:
        assert len(again.deleted_files(1 << 60)) == 1


def test_a_nameless_file_made_at_the_last_moment_has_its_attributes(
    meta: Meta,
    redis_url: str,
    store: FaultyStore,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No entry names it, but what its session keeps does."""
    keep = partial(keep_nameless, meta)
    before(monkeypatch, "touched", keep)
    before(monkeypatch, "read_touched", keep)
    backup(redis_url, store, clock)
    restored(store)
    with open_meta("memory://restored", session=False) as again:
        assert len(again.deleted_files(1 << 60)) == 2


def test_what_comes_while_a_long_answer_is_read_is_not_of_before_it(meta: Meta) -> None:
    """Else a step that reads a large directory never ends the backup of a busy volume."""
    folder = meta.resolve("/d").ino
    command = meta.engine.call  # type: ignore[attr-defined]
    for start in range(0, ENTRIES, 1000):
        pairs = [(b"n%d" % n, b"\1" + n.to_bytes(8)) for n in range(start + 99, start + 1099)]
        command([("HSET", f"d{folder}", *(part for pair in pairs for part in pair))])
    touched = {(b"J", int(folder), 0)}
    with meta.engine.scan() as scans:
        assert isinstance(scans, WatchedScans)
        assert scans.watch()
        stream, received = scans._connection._stream, [0]
        receive = stream.receive

        def interrupted() -> bytes | None:
            data = receive()
            more = received[0] + len(data or b"")
            if received[0] < 1 << 20 <= more:
                command([("SET", "i99", "other")])
            received[0] = more
            return data

        stream.receive = interrupted  # type: ignore[method-assign]
        rows, later = scans.read_touched(
            touched, [], lambda scans: sum(1 for _ in scans.all_edges()), as_one=True
        )
        assert rows == ENTRIES + 1
        assert later == set()
        assert scans.touched() == {(b"I", 99, 0)}


def test_what_is_done_in_one_turn_of_the_server_with_a_step_is_told_with_it(meta: Meta) -> None:
    """The answer to a small command behind the transaction would come before that is told."""
    connections = [meta.engine._link.open_connection() for _ in range(2)]  # type: ignore[attr-defined]
    commands = (("EVAL", BUSY, 0), ("SET", "s99", "target"))
    with meta.engine.scan() as scans:
        assert isinstance(scans, WatchedScans)
        assert scans.watch()
        for _ in range(3):  # the server's buffer for our commands grows with them
            scans.read_touched((), [], lambda _: None, as_one=True)
        threads = [
            threading.Thread(target=connection.call, args=([command],))
            for connection, command in zip(connections, commands, strict=True)
        ]
        for thread in threads:
            thread.start()
            thread.join(0.1)
            assert thread.is_alive(), "the server must be busy"
        links, later = scans.read_touched(
            {(b"Y", 99, 0)}, [], lambda scans: dict(scans.all_symlinks()), as_one=True
        )
        assert links == {99: b"target"}, "it must come before the transaction"
        assert later == {(b"Y", 99, 0)}
    for thread, connection in zip(threads, connections, strict=True):
        thread.join()
        connection.close()


def test_a_volume_that_never_rests_is_backed_up_in_bounded_time_with_a_warning(
    meta: Meta,
    redis_url: str,
    store: FaultyStore,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    expected_warnings: list[str],
) -> None:
    expected_warnings.append("the volume changes too fast")

    def turn(number: int) -> None:
        clock.advance(21)
        write(meta, f"/d/{number}")

    for number in range(40):
        meta.create(meta.resolve("/d").ino, b"%d" % number)
    calls = before(monkeypatch, "read_touched", *(partial(turn, number) for number in range(40)))
    backup(redis_url, store, clock)
    assert len(calls) < 12


def test_directories_too_large_for_one_step_are_read_one_by_one_with_a_warning(
    meta: Meta,
    redis_url: str,
    store: FaultyStore,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    expected_warnings: list[str],
) -> None:
    expected_warnings.append("the volume changes too fast")
    monkeypatch.setattr(moment, "ENTRIES_MAX", 2)
    before(monkeypatch, "touched", lambda: meta.create(ROOT, b"third"))
    calls = before(monkeypatch, "read_touched")
    backup(redis_url, store, clock)
    assert not any(options["as_one"] for options in calls)
    assert restored(store) == tree_of(dumped(redis_url))


def test_a_neighbour_in_the_same_server_that_is_emptied_does_not_matter(
    meta: Meta,
    redis_url: str,
    redis_server: RedisServer,
    store: FaultyStore,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = redis_server.new_database()
    number = other.rpartition("/")[2]

    def flush() -> None:
        connection = meta.engine._link.open_connection()  # type: ignore[attr-defined]
        try:
            connection.call([("SELECT", number), ("FLUSHDB",)])
        finally:
            connection.close()

    before(monkeypatch, "touched", flush)
    before(monkeypatch, "read_touched", flush)
    backup(redis_url, store, clock)
    assert restored(store) == tree_of(dumped(redis_url))


def test_a_user_without_the_right_to_transactions_gets_a_backup_and_a_warning(
    store: FaultyStore,
    clock: ManualClock,
    expected_warnings: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    rights = "on >secret ~* &* +@read +@connection +info"
    users = (f"reader {rights}", f"backup {rights} +@transaction")  # as the guide says
    with RedisServer(RedisOptions(users=users)) as server:
        url = server.new_database()
        format_volume(url, new_settings("backed", bucket="/b", trash_days=0), clock=clock)
        with open_meta(url, clock=clock) as meta:
            meta.create(ROOT, b"f")
        backup(url.replace("redis://", "redis://backup:secret@"), store, clock)
        assert "not of one moment" not in caplog.text
        expected_warnings.append("the backup is not of one moment")
        clock.advance(60)
        backup(url.replace("redis://", "redis://reader:secret@"), store, clock)
        assert restored(store) == tree_of(dumped(url))


class FullFile:
    """A temporary file on a folder without room."""

    def write(self, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    def close(self) -> None:
        """Nothing to do."""


def test_a_full_temporary_folder_is_named(
    meta: Meta,
    redis_url: str,
    store: FaultyStore,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    expected_warnings: list[str],
) -> None:
    expected_warnings.append("backup of the metadata failed")
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: FullFile())
    with pytest.raises(StorageFull, match=tempfile.gettempdir()) as caught:
        backup(redis_url, store, clock)
    assert "TMPDIR" in str(caught.value.hint)


class UnreadableFile(io.BytesIO):
    """A temporary file on a disk that fails once it is read."""

    def read(self, size: int | None = -1, /) -> bytes:
        raise OSError(errno.EIO, "Input/output error")


def test_a_temporary_file_that_cannot_be_read_back_is_named(
    meta: Meta,
    redis_url: str,
    store: FaultyStore,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    expected_warnings: list[str],
) -> None:
    expected_warnings.append("backup of the metadata failed")
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: UnreadableFile())
    with pytest.raises(Unavailable, match=rf"{tempfile.gettempdir()}: .*output error") as caught:
        backup(redis_url, store, clock)
    assert "TMPDIR" in str(caught.value.hint)
