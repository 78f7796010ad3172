"""An empty database is filled by one at a time."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import TypeVar

import pytest

from roost.clock import SystemClock
from roost.volume.engines.registry import engine_kind, parse_url
from roost.volume.errors import AlreadyFormatted
from roost.volume.meta.effects import AddNode, PutSetting
from roost.volume.meta.txn import Engine, Txn
from roost.volume.model import Attr, Ino, Kind
from roost.volume.settings import encode_settings, new_settings
from roost.volume.tools.filling import Batches, Filling, filling

SETTINGS = encode_settings(new_settings("filled", bucket="/b"))
T = TypeVar("T")
Clients = Callable[[], Engine]


def test_of_two_that_take_a_database_at_the_same_moment_one_is_refused(place: str) -> None:
    """Both have found it empty before either commits, where the engine lets them."""
    both_looked = threading.Barrier(2)
    both_tried = threading.Barrier(2)
    url = parse_url(place)

    def fill(engine: Engine) -> str:
        real = engine.run

        def run(rule: Callable[[Txn], T]) -> T:
            def slow(txn: Txn) -> T:
                answer = rule(txn)
                _meet(both_looked)
                return answer

            return real(slow)

        engine.run = run  # type: ignore[method-assign]
        outcome = "refused"
        try:
            with filling(engine, place) as taken:
                outcome = "filled"
                both_tried.wait(30)
                taken.put_settings(PutSetting(SETTINGS))
        except AlreadyFormatted:
            if outcome == "refused":
                both_tried.wait(30)
            else:
                outcome = "mixed"
        return outcome

    engines = [engine_kind(url).create_engine(url, SystemClock()) for _ in range(2)]
    try:
        with ThreadPoolExecutor(2) as pool:
            assert sorted(pool.map(fill, engines)) == ["filled", "refused"]
        with engines[0].scan() as scans:
            assert list(scans.all_nodes()) == []
        assert engines[1].read(lambda reads: reads.setting()) == SETTINGS
    finally:
        for engine in engines:
            engine.close()


@pytest.fixture
def clients(place: str) -> Iterator[Clients]:
    """What opens clients of one empty database."""
    url = parse_url(place)
    with ExitStack() as ends:

        def client() -> Engine:
            engine = engine_kind(url).create_engine(url, SystemClock())
            ends.callback(engine.close)
            return engine

        yield client


@pytest.mark.parametrize("first_adds", [False, True])
def test_who_fills_a_database_that_was_emptied_and_taken_by_another_is_refused(
    clients: Clients, first_adds: bool, expected_warnings: list[str]
) -> None:
    """What the other has stored by then stays, and becomes a volume without the first one's."""
    expected_warnings += ["another emptied", "is lost; connecting again"]
    with ExitStack() as ends:

        def fill() -> None:
            with filling(clients(), "here") as mine:
                clients().destroy()
                others.append(ends.enter_context(filling(clients(), "here")))
                _add(others[0], Ino(8))
                if first_adds:
                    _add(mine, Ino(9))
                else:
                    mine.put_settings(PutSetting(SETTINGS))

        others: list[Filling] = []
        with pytest.raises(AlreadyFormatted, match="emptied"):
            fill()
        others[0].put_settings(PutSetting(SETTINGS))
    third = others[0].engine
    with third.scan() as scans:
        assert [ino for ino, _ in scans.all_nodes()] == [8]
    assert third.read(lambda reads: reads.setting()) == SETTINGS


def test_a_database_that_was_emptied_meanwhile_does_not_become_a_volume(
    clients: Clients, expected_warnings: list[str]
) -> None:
    expected_warnings.append("another emptied")

    def fill() -> None:
        with filling(clients(), "here") as mine:
            _add(mine, Ino(8))
            clients().destroy()
            clients()
            mine.put_settings(PutSetting(SETTINGS))

    with pytest.raises(AlreadyFormatted, match="emptied"):
        fill()
    assert clients().read(lambda reads: reads.setting()) is None


def _add(taken: Filling, ino: Ino) -> None:
    batches = Batches(taken, lambda: None)
    try:
        batches.add(AddNode(ino, Attr(Kind.FILE)))
        batches.commit()
    finally:
        batches.close()


def _meet(barrier: threading.Barrier) -> None:
    """Wait for the other a while: one that holds a lock is not to wait for who waits for it."""
    with suppress(threading.BrokenBarrierError):
        barrier.wait(2)
