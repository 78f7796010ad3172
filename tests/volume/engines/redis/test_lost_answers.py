"""H11: connections that break at any point, servers that go away: done once, or not, or unknown."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

from roost.errors import CommitUnknown, RoostError, Unavailable
from roost.testing.clock import ManualClock
from roost.testing.servers import RedisServer
from roost.testing.servers.redis import RedisOptions
from roost.volume.engines.redis import link
from roost.volume.errors import VolumeReplaced
from roost.volume.meta.api import Meta, format_volume, open_meta
from roost.volume.meta.heartbeat import Heartbeat
from roost.volume.model import ROOT, AttrChange, ChunkNo, Slice
from roost.volume.settings import new_settings
from tests.volume.engines.redis.conftest import Opener

SETTINGS = new_settings("faulty", bucket="/b", trash_days=0)
COMMIT = b"EVALSHA"


class CuttingProxy:
    """A proxy that ends one connection when the n-th piece of data comes from the client: before it
    is passed on (`deliver` off), or after, without waiting for the answer.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.cut_at = 0
        self.deliver = False
        self.pieces = 0
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def arm(self, cut_at: int, *, deliver: bool) -> None:
        with self._lock:
            self.pieces, self.cut_at, self.deliver = 0, cut_at, deliver

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self._target))
            cut = threading.Event()
            threading.Thread(target=self._up, args=(client, server, cut), daemon=True).start()
            threading.Thread(target=self._down, args=(client, server, cut), daemon=True).start()

    def _up(self, client: socket.socket, server: socket.socket, cut: threading.Event) -> None:
        try:
            while data := client.recv(1 << 16):
                with self._lock:
                    self.pieces += 1
                    is_cut = self.pieces == self.cut_at
                if is_cut:
                    cut.set()
                    if self.deliver:
                        server.sendall(data)
                        server.recv(1 << 16)  # it was done; nobody will hear of it
                    break
                server.sendall(data)
        except OSError:
            pass
        for end in (client, server):
            end.close()

    def _down(self, client: socket.socket, server: socket.socket, cut: threading.Event) -> None:
        try:
            while (data := server.recv(1 << 16, socket.MSG_PEEK)) and not cut.is_set():
                client.sendall(server.recv(len(data)))
        except OSError:
            pass


@pytest.fixture(autouse=True)
def _no_pulse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "PING_EVERY_S", 3600.0)


@pytest.fixture
def cutting(redis_server: RedisServer) -> Iterator[CuttingProxy]:
    with closing(CuttingProxy(redis_server.socket)) as made:
        yield made


OPERATIONS: dict[str, Callable[[Meta], object]] = {
    "create": lambda m: m.create(ROOT, b"new"),
    "unlink": lambda m: m.unlink(ROOT, b"old"),
    "rename": lambda m: m.rename(ROOT, b"old", ROOT, b"new"),
    "write": lambda m: m.write_slice(
        m.lookup(ROOT, b"old").ino, ChunkNo(0), Slice(0, m.new_slice_id(), 10, 0, 10)
    ),
    "mkdir": lambda m: m.mkdir(ROOT, b"new"),
    "setattr": lambda m: m.setattr(m.lookup(ROOT, b"old").ino, AttrChange(mode=0o600)),
}


def _state(meta: Meta) -> object:
    names = [(e.name, e.kind) for e in meta.readdir(ROOT)]
    nodes = [
        (e.name, e.attr.mode, e.attr.length, e.attr.nlink)
        for e in meta.readdir(ROOT, with_attrs=True)
        if e.attr is not None
    ]
    return names, nodes, [len(c.slices) for c in meta.list_slices()], meta.statfs().used_inodes


@pytest.mark.parametrize("deliver", [False, True], ids=["lost command", "lost answer"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_done_once_whichever_piece_is_cut(
    redis_server: RedisServer,
    cutting: CuttingProxy,
    expected_warnings: list[str],
    name: str,
    deliver: bool,
) -> None:
    """For all n: the connection ends at the n-th thing that the client sends; it goes on after."""
    expected_warnings += ["is lost; connecting again", "a commit whose answer was lost was"]
    states = []
    cut_at = 0
    while True:
        url = redis_server.new_database()
        through = url.replace(str(redis_server.port), str(cutting.port))
        cutting.arm(0, deliver=False)
        format_volume(through, SETTINGS, clock=ManualClock())
        with open_meta(through, session=False, clock=ManualClock()) as meta:
            meta.create(ROOT, b"old")
            cutting.arm(cut_at, deliver=deliver)
            OPERATIONS[name](meta)
            sent = cutting.pieces
            cutting.arm(0, deliver=False)
            states.append(_state(meta))
            assert meta.check() == ()
        if cut_at > sent:
            break
        cut_at += 1
    assert cut_at > 1, "nothing was cut"
    assert all(state == states[0] for state in states)


def test_a_commit_that_cannot_be_asked_about_is_unknown(
    redis_server: RedisServer,
    cutting: CuttingProxy,
    monkeypatch: pytest.MonkeyPatch,
    expected_warnings: list[str],
) -> None:
    expected_warnings += ["is lost; connecting again"]
    monkeypatch.setattr(link, "RECONNECT_S_MAX", 0.1)
    url = redis_server.new_database()
    through = url.replace(str(redis_server.port), str(cutting.port))
    format_volume(url, SETTINGS, clock=ManualClock())
    with open_meta(through, session=False, clock=ManualClock()) as meta:
        meta.create(ROOT, b"old")
        cutting.arm(1, deliver=True)
        cutting.close()
        with pytest.raises(CommitUnknown):
            meta.create(ROOT, b"new")
    with open_meta(url, session=False, clock=ManualClock()) as meta:
        assert meta.lookup(ROOT, b"new").attr.is_file


def test_a_commit_still_on_its_way_is_shut_out_by_the_next_connection(
    redis_server: RedisServer, open_volume: Opener, expected_warnings: list[str]
) -> None:
    """It would come after it was judged not done.  The fence is what refuses it."""
    expected_warnings += ["is lost; connecting again"]
    url = redis_server.new_database()
    meta = open_volume(url, make=True)
    engine = meta._opened.engine
    sent: list[tuple[object, ...]] = []
    live = engine._link.live()  # type: ignore[attr-defined]
    call = live.connection.call

    def keeping(commands: list[tuple[object, ...]], *more: object) -> object:
        sent.extend(command for command in commands if command[0] == "EVALSHA")
        return call(commands, *more)

    live.connection.call = keeping
    meta.create(ROOT, b"f")
    late = sent[-1]
    meta.unlink(ROOT, b"f")
    live.connection.close()
    meta.create(ROOT, b"g")
    with redis_server.client(int(url.rpartition("/")[2])) as client:
        assert client.execute_command(*late) == [3], "a late commit was done"
    assert [e.name for e in meta.readdir(ROOT)] == [b"g"]


@pytest.mark.parametrize("scripts", [True, False])
def test_threads_at_work_when_connections_are_cut_lose_and_repeat_nothing(
    redis_server: RedisServer,
    cutting: CuttingProxy,
    expected_warnings: list[str],
    scripts: bool,
) -> None:
    expected_warnings += ["is lost; connecting again", "a commit whose answer was lost was"]
    url = redis_server.new_database()
    through = url.replace(str(redis_server.port), str(cutting.port))
    format_volume(url, SETTINGS, clock=ManualClock())
    failures: list[Exception] = []
    with open_meta(through, session=False, clock=ManualClock()) as meta:
        meta._opened.engine._link.can.scripts = scripts  # type: ignore[attr-defined]

        def work(number: int) -> None:
            try:
                for n in range(20):
                    meta.create(ROOT, b"%d.%d" % (number, n))
            except RoostError as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for round_ in range(8):
            cutting.arm(15, deliver=bool(round_ % 2))
            threading.Event().wait(0.02)
        for thread in threads:
            thread.join()
        cutting.arm(0, deliver=False)
        assert failures == []
        assert len(list(meta.readdir(ROOT))) == 80
        assert meta.getattr(ROOT).nlink == 2
        assert meta.check() == ()


def test_a_server_that_was_killed_and_came_back_goes_on(
    stack: ExitStack, expected_warnings: list[str]
) -> None:
    expected_warnings += ["is lost; connecting again", "a commit whose answer was lost was"]
    server = stack.enter_context(RedisServer(RedisOptions(appendfsync="always")))
    url = server.new_database()
    format_volume(url, SETTINGS, clock=ManualClock())
    done: list[bytes] = []
    stop = threading.Event()
    with open_meta(url, session=False, clock=ManualClock()) as meta:

        def work() -> None:
            number = 0
            while not stop.is_set():
                name = b"f%d" % number
                meta.create(ROOT, name)
                done.append(name)
                number += 1

        worker = threading.Thread(target=work)
        worker.start()
        threading.Event().wait(0.2)
        server.kill()
        server.restart()
        threading.Event().wait(0.2)
        stop.set()
        worker.join(30)
        assert not worker.is_alive()
        names = {entry.name for entry in meta.readdir(ROOT)}
        assert names == set(done), "an acknowledged name is gone, or one was made twice"
        assert meta.check() == ()


def test_a_server_that_is_gone_is_named_with_a_hint(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch, expected_warnings: list[str]
) -> None:
    expected_warnings += ["is lost; connecting again"]
    monkeypatch.setattr(link, "RECONNECT_S_MAX", 0.1)
    server = stack.enter_context(RedisServer(RedisOptions(appendonly=False)))
    url = server.new_database()
    format_volume(url, SETTINGS, clock=ManualClock())
    with open_meta(url, session=False, clock=ManualClock()) as meta:
        server.halt()
        with pytest.raises(Unavailable, match="cannot reach"):
            meta.create(ROOT, b"f")
        with pytest.raises(Unavailable):
            meta.getattr(ROOT)
    with pytest.raises(Unavailable) as failure:
        open_meta(url)
    assert failure.value.hint


def test_a_volume_that_was_flushed_is_noticed_and_nothing_is_written(
    redis_server: RedisServer, open_volume: Opener, expected_warnings: list[str]
) -> None:
    expected_warnings += ["is lost; connecting again"]
    url = redis_server.new_database()
    meta = open_volume(url, make=True)
    meta.create(ROOT, b"f")
    with redis_server.client(int(url.rpartition("/")[2])) as client:
        client.flushdb()
        with pytest.raises(VolumeReplaced):
            meta.create(ROOT, b"g")
        with pytest.raises(VolumeReplaced):
            Heartbeat(meta._opened).beat()
        left = [key for key in client.scan_iter() if not key.startswith(b"roost:")]
    assert left == []
    meta._opened.sid = type(meta.sid)(0)
