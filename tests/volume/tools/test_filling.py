"""An empty database is filled by one at a time."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from roost.clock import SystemClock
from roost.volume.engines.registry import engine_kind, parse_url
from roost.volume.errors import AlreadyFormatted
from roost.volume.meta.effects import PutSetting
from roost.volume.meta.txn import Engine, Txn
from roost.volume.settings import encode_settings, new_settings
from roost.volume.tools.filling import filling, put_settings

SETTINGS = encode_settings(new_settings("filled", bucket="/b"))
T = TypeVar("T")


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
            with filling(engine, place):
                outcome = "filled"
                both_tried.wait(30)
                put_settings(engine, place, PutSetting(SETTINGS))
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


def _meet(barrier: threading.Barrier) -> None:
    """Wait for the other a while: one that holds a lock is not to wait for who waits for it."""
    with suppress(threading.BrokenBarrierError):
        barrier.wait(2)
