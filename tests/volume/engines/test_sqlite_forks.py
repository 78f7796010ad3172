"""SQLite around a fork: no thread is inside the library, and the child finds nothing open."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from roost.errors import Unavailable
from roost.volume.access.volume import Volume
from roost.volume.engines.sqlite_forks import Gate
from roost.volume.formatting import NewVolume, make_volume

CHILD_S = 20


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Where a new volume's metadata is."""
    where = f"sqlite3://{tmp_path / 'meta.db'}"
    make_volume(where, NewVolume("forked", bucket=str(tmp_path / "objects"), trash_days=0))
    return where


@pytest.fixture
def volume(url: str, tmp_path: Path) -> Iterator[Volume]:
    """The volume, open."""
    with Volume(url, cache_dir=tmp_path / "cache") as opened:
        yield opened


def forked(task: Callable[[], object]) -> int:
    """Start a child that runs `task`; return its id.  It ends with 1 if the task raises."""
    child = os.fork()
    if child:
        return child
    code = 1  # nothing of pytest may run on in here
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(CHILD_S)
        task()
        code = 0
    finally:
        os._exit(code)


def ended(child: int) -> int:
    """Wait for a child; return its exit code."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.timeout(120)
def test_children_forked_while_threads_write_can_open_the_database(
    url: str, volume: Volume, tmp_path: Path
) -> None:
    stop = threading.Event()

    def write(number: int) -> None:
        while not stop.is_set():
            volume.write_bytes(f"parent{number}", os.urandom(5000))
            time.sleep(0.01)

    def work(number: int) -> None:
        with Volume(url, cache_dir=tmp_path / "child") as mine:
            mine.write_bytes(f"child{number}", b"%d" % number)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    try:
        codes = [ended(forked(lambda n=n: work(n))) for n in range(8)]  # type: ignore[misc]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert codes == [0] * 8
    assert [volume.read_bytes(f"child{n}") for n in range(8)] == [b"%d" % n for n in range(8)]


def test_a_parent_that_closes_does_not_take_the_childs_log_away(url: str, tmp_path: Path) -> None:
    """Which it would, if the child believed that its parent's file locks were its own."""
    ready, go = os.pipe(), os.pipe()

    def work() -> None:
        with Volume(url, cache_dir=tmp_path / "child") as mine:
            mine.write_bytes("before", b"1")
            os.write(ready[1], b"x")
            os.read(go[0], 1)
            mine.write_bytes("after", b"2")
            os.kill(os.getpid(), signal.SIGKILL)  # nothing is folded into the file by a close

    with Volume(url, cache_dir=tmp_path / "cache") as volume:
        volume.write_bytes("first", b"0")
        child = forked(work)
        os.read(ready[0], 1)
    os.write(go[1], b"x")
    assert ended(child) == -signal.SIGKILL
    with Volume(url, cache_dir=tmp_path / "cache") as volume:
        assert sorted(volume.listdir(".")) == ["after", "before", "first"]


def test_the_parent_works_on_after_a_fork(volume: Volume) -> None:
    volume.write_bytes("f", b"1")
    assert ended(forked(lambda: None)) == 0
    assert volume.read_bytes("f") == b"1"
    volume.write_bytes("f", b"2")
    assert volume.read_bytes("f") == b"2"


def test_an_inherited_volume_is_refused(volume: Volume) -> None:
    def work() -> None:
        for use in (lambda: volume.listdir("."), lambda: volume.write_bytes("f", b"")):
            with pytest.raises(Unavailable, match="forked from") as caught:
                use()
            assert "anew in the child" in caught.value.hint

    volume.write_bytes("g", b"1")
    assert ended(forked(work)) == 0
    assert volume.read_bytes("g") == b"1"


def test_a_child_that_inherits_an_open_connection_is_refused(
    url: str, volume: Volume, tmp_path: Path
) -> None:
    def work() -> None:
        with pytest.raises(Unavailable, match="forked while its parent"):
            Volume(url, cache_dir=tmp_path / "child")

    with volume.client.meta.engine.scan():
        assert ended(forked(work)) == 0
    assert ended(forked(lambda: Volume(url, cache_dir=tmp_path / "child").close())) == 0


class Held:
    """A holder of one connection."""

    def __init__(self) -> None:
        self.has_connections = True

    def let_go(self) -> None:
        """As in Holder."""
        self.has_connections = False


def test_a_fork_waits_for_those_inside_and_shuts_others_out() -> None:
    gate, held = Gate(), Held()
    gate.add(held)
    inside, leave, passed = threading.Event(), threading.Event(), threading.Event()

    def stay() -> None:
        with gate, gate:
            inside.set()
            leave.wait()

    def enter() -> None:
        with gate:
            passed.set()

    staying = threading.Thread(target=stay)
    staying.start()
    inside.wait()
    forking = threading.Thread(target=gate.before)
    forking.start()
    entering = threading.Thread(target=enter)
    forking.join(0.05)
    entering.start()
    assert not passed.wait(0.05)
    assert forking.is_alive()
    assert held.has_connections
    leave.set()
    forking.join()
    assert not held.has_connections
    assert not passed.wait(0.05)
    gate.after_in_parent()
    for thread in (staying, entering):
        thread.join()
    assert passed.is_set()


def test_a_thread_that_stays_inside_spoils_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roost.volume.engines.sqlite_forks.FORK_WAIT_S", 0.01)
    gate, held = Gate(), Held()
    gate.add(held)
    inside, leave = threading.Event(), threading.Event()

    def stay() -> None:
        with gate:
            inside.set()
            leave.wait()

    staying = threading.Thread(target=stay)
    staying.start()
    inside.wait()
    gate.before()
    assert held.has_connections  # not closed under a thread that uses it
    gate.after_in_child()
    leave.set()
    staying.join()
    with pytest.raises(Unavailable, match="forked while"):
        gate.demand_usable("m.db")
