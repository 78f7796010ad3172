"""Locks across clients: two sessions of one volume."""

import errno
import threading
from collections.abc import Iterator

import pytest

from roost.testing.clock import ManualClock
from roost.volume.errors import FsError
from roost.volume.meta.api import Meta, open_meta
from roost.volume.meta.locks import changed
from roost.volume.model import RANGE_END_MAX, ROOT, Ino, LockKind, RangeLock
from tests.volume.meta.helpers import stop_heartbeat

READ, WRITE, UNLOCK = LockKind.READ, LockKind.WRITE, LockKind.UNLOCK
OWNER = 2**64 - 1


@pytest.fixture
def other(meta: Meta, meta_url: str, clock: ManualClock) -> Iterator[Meta]:
    """Another client of the volume."""
    with open_meta(meta_url, clock=clock) as opened:
        yield opened


@pytest.fixture
def file(meta: Meta) -> Ino:
    return meta.create(ROOT, b"f").ino


def is_free(meta: Meta, file: Ino, kind: LockKind, owner: int = 5) -> bool:
    """Try a lock of the whole file, and let go of it again."""
    try:
        meta.flock(file, owner, kind)
    except FsError as error:
        if error.errno != errno.EAGAIN:
            raise
        return False
    meta.flock(file, owner, UNLOCK)
    return True


def test_readers_share_a_file_and_a_writer_has_it_alone(meta: Meta, other: Meta, file: Ino) -> None:
    meta.flock(file, OWNER, READ)
    assert is_free(other, file, READ)
    assert not is_free(other, file, WRITE)
    meta.flock(file, OWNER, WRITE)
    assert not is_free(other, file, READ)
    assert not is_free(meta, file, READ, owner=6)
    meta.flock(file, OWNER, READ)
    assert is_free(other, file, READ)
    meta.flock(file, OWNER, UNLOCK)
    assert is_free(other, file, WRITE)


def test_a_lock_is_not_made_a_writer_s_while_others_read(
    meta: Meta, other: Meta, file: Ino
) -> None:
    meta.flock(file, 1, READ)
    other.flock(file, 1, READ)
    with pytest.raises(FsError) as refusal:
        meta.flock(file, 1, WRITE)
    assert refusal.value.errno == errno.EAGAIN
    assert not is_free(other, file, WRITE, owner=2)


def test_ranges_conflict_where_they_overlap_and_one_writes(
    meta: Meta, other: Meta, file: Ino
) -> None:
    meta.set_lock(file, 1, RangeLock(WRITE, 11, 10, 19))
    other.set_lock(file, 1, RangeLock(WRITE, 12, 0, 9))
    other.set_lock(file, 1, RangeLock(READ, 12, 20, RANGE_END_MAX))
    for start, end in ((19, 19), (0, 10), (12, 13)):
        with pytest.raises(FsError) as refusal:
            other.set_lock(file, 1, RangeLock(READ, 12, start, end))
        assert refusal.value.errno == errno.EAGAIN
    meta.set_lock(file, 1, RangeLock(UNLOCK, 11, 0, 14))
    other.set_lock(file, 1, RangeLock(READ, 12, 12, 13))


def test_who_is_in_the_way_is_told_and_a_stranger_has_no_process(
    meta: Meta, other: Meta, file: Ino
) -> None:
    lock = RangeLock(WRITE, 11, 10, 19)
    meta.set_lock(file, 1, lock)
    wanted = RangeLock(READ, 99, 15, 30)
    assert meta.get_lock(file, 1, wanted) is None
    assert meta.get_lock(file, 2, wanted) == lock
    assert other.get_lock(file, 1, wanted) == RangeLock(WRITE, 0, 10, 19)
    assert other.get_lock(file, 1, RangeLock(WRITE, 99, 20, 30)) is None


def test_closing_lets_go_of_an_owner_s_ranges(meta: Meta, other: Meta, file: Ino) -> None:
    meta.set_lock(file, 1, RangeLock(WRITE, 11, 0, 9))
    meta.set_lock(file, 2, RangeLock(WRITE, 11, 20, 29))
    meta.flock(file, 7, WRITE)
    meta.release_locks(file, 1)
    other.set_lock(file, 1, RangeLock(WRITE, 12, 0, 9))
    assert other.get_lock(file, 1, RangeLock(READ, 12, 20, 20)) is not None
    assert not is_free(other, file, READ)
    meta.release_locks(file, 2, flock_owner=7)
    assert is_free(other, file, WRITE)


def test_a_session_s_end_ends_its_locks(
    meta: Meta, meta_url: str, clock: ManualClock, file: Ino
) -> None:
    with open_meta(meta_url, clock=clock) as leaving:
        leaving.flock(file, 1, WRITE)
        leaving.set_lock(file, 1, RangeLock(WRITE, 11, 0, 9))
        assert not is_free(meta, file, READ)
    assert is_free(meta, file, WRITE)
    meta.set_lock(file, 1, RangeLock(WRITE, 12, 0, 9))


def test_the_locks_of_a_client_that_died_end_with_its_lease(
    meta: Meta, meta_url: str, clock: ManualClock, file: Ino
) -> None:
    stop_heartbeat(meta)  # it would clean up too, at the same moment
    dead = open_meta(meta_url, session=False, clock=clock)
    dead.begin_session(heartbeat=False)
    dead.flock(file, 1, WRITE)
    clock.advance(61)
    assert not is_free(meta, file, READ)
    assert meta.clean_stale_sessions() == 1
    assert is_free(meta, file, WRITE)


def test_who_waits_is_let_in_once_the_lock_is_free(
    meta: Meta, other: Meta, clock: ManualClock, file: Ino
) -> None:
    meta.flock(file, 1, WRITE)
    waiting = threading.Thread(target=other.flock, args=(file, 1, WRITE), kwargs={"wait": True})
    waiting.start()
    clock.advance(0.5)
    assert waiting.is_alive()
    meta.flock(file, 1, UNLOCK)
    while waiting.is_alive():
        clock.advance(0.1)
        waiting.join(0.01)
    assert not is_free(meta, file, READ)


def test_waiting_can_be_cancelled(meta: Meta, other: Meta, clock: ManualClock, file: Ino) -> None:
    meta.set_lock(file, 1, RangeLock(WRITE, 11, 0, 9))
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(FsError) as refusal:
        other.set_lock(file, 1, RangeLock(WRITE, 12, 5, 5), wait=True, cancel=cancel)
    assert refusal.value.errno == errno.EINTR


def test_locks_of_what_is_not_there_and_without_a_session_are_refused(
    meta: Meta, meta_url: str, clock: ManualClock, file: Ino
) -> None:
    for attempt, wanted in (
        (lambda: meta.flock(Ino(999), 1, READ), errno.ENOENT),
        (lambda: meta.set_lock(file, 1, RangeLock(READ, 1, 5, 4)), errno.EINVAL),
        (lambda: meta.set_lock(file, -1, RangeLock(READ, 1, 0, 4)), errno.EINVAL),
        (lambda: meta.set_lock(Ino(999), 1, RangeLock(READ, 1, 0, 4)), errno.ENOENT),
    ):
        with pytest.raises(FsError) as refusal:
            attempt()
        assert refusal.value.errno == wanted
    with open_meta(meta_url, session=False, clock=clock) as sessionless:
        with pytest.raises(FsError) as refusal:
            sessionless.flock(file, 1, READ)
        assert refusal.value.errno == errno.ENOLCK


@pytest.mark.parametrize(
    ("mine", "new", "after"),
    [
        ([], (WRITE, 5, 9), [(WRITE, 5, 9)]),
        ([(READ, 0, 9)], (WRITE, 3, 5), [(READ, 0, 2), (WRITE, 3, 5), (READ, 6, 9)]),
        ([(READ, 0, 4)], (READ, 5, 9), [(READ, 0, 9)]),
        ([(READ, 0, 4)], (READ, 6, 9), [(READ, 0, 4), (READ, 6, 9)]),
        ([(READ, 0, 4), (READ, 6, 9)], (READ, 5, 5), [(READ, 0, 9)]),
        ([(WRITE, 0, 9)], (UNLOCK, 3, 3), [(WRITE, 0, 2), (WRITE, 4, 9)]),
        ([(WRITE, 0, 9)], (UNLOCK, 0, RANGE_END_MAX), []),
        ([(WRITE, 5, 9)], (READ, 0, 20), [(READ, 0, 20)]),
    ],
)
def test_a_holder_s_ranges_are_sorted_apart_and_merged(
    mine: list[tuple[LockKind, int, int]],
    new: tuple[LockKind, int, int],
    after: list[tuple[LockKind, int, int]],
) -> None:
    def lock(kind: LockKind, start: int, end: int) -> RangeLock:
        return RangeLock(kind, 1, start, end)

    result = changed(tuple(lock(*one) for one in mine), lock(*new))
    assert result == tuple(lock(*one) for one in after)
