"""The pool holds back who submits too much."""

import os
import sys
import threading

import pytest

from roost.errors import Unavailable
from roost.volume.data import courtesy
from roost.volume.data.pool import BoundedPool


def test_submit_waits_when_the_queue_is_full_and_try_submit_does_not() -> None:
    pool = BoundedPool("test-pool", 1, 1)
    go_on = threading.Event()
    running = [pool.submit(lambda: go_on.wait(10)) for _ in range(2)]
    assert pool.try_submit(lambda: None) is None
    submitted = threading.Event()

    def third() -> None:
        pool.submit(lambda: None).result()
        submitted.set()

    thread = threading.Thread(target=third)
    thread.start()
    assert not submitted.is_set()
    go_on.set()
    thread.join(10)
    assert submitted.is_set()
    assert all(task.result() for task in running)
    pool.close()


def test_a_failed_task_gives_its_place_back() -> None:
    pool = BoundedPool("test-pool", 1, 0)

    def fail() -> None:
        raise ValueError("told to fail")

    for _ in range(5):
        with pytest.raises(ValueError, match="told"):
            pool.submit(fail).result()
    pool.close()


def test_threads_carry_the_pools_name() -> None:
    pool = BoundedPool("roost-upload", 1, 0)
    assert pool.submit(lambda: threading.current_thread().name).result().startswith("roost-upload")
    pool.close()


@pytest.mark.skipif(sys.platform != "linux", reason="priorities of threads are Linux's")
def test_no_thread_has_a_lower_priority_since_it_takes_locks() -> None:
    def priority() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    pool = BoundedPool("a", 1, 1, may_wait=True)
    assert pool.submit(priority).result() == priority()
    pool.close()


def test_closing_does_not_wait_for_threads_that_stay_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courtesy, "AWAY_S_MAX", 1e6)
    waits = iter(n * 1e6 for n in range(100))
    pool = BoundedPool("a", 1, 3, may_wait=True)
    monkeypatch.setattr(pool._courtesy, "_waited", lambda: next(waits))
    pool.submit(lambda: None).result()
    last = pool.submit(lambda: 7)
    pool.close()
    assert last.result(0) == 7
    assert next(waits) == 4e6, "each task was looked at, before and after"


def test_a_closed_pool_refuses_with_a_word() -> None:
    pool = BoundedPool("closed", 1, 1)
    pool.close()
    assert pool.try_submit(lambda: None) is None
    with pytest.raises(Unavailable, match="closed"):
        pool.submit(lambda: None)
