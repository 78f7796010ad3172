import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest

from roost.errors import CommitUnknown, CorruptRecord, InvalidArgument, RoostError, Unavailable
from roost.testing.clock import ManualClock
from roost.volume.engines.sqlite import SqliteEngine
from roost.volume.errors import VolumeReplaced
from roost.volume.meta import sessions
from roost.volume.meta.api import Meta, open_meta
from roost.volume.meta.effects import PutSetting
from roost.volume.meta.heartbeat import Heartbeat, read_again
from roost.volume.meta.leases import HEARTBEAT_S
from roost.volume.meta.open_volume import OpenVolume
from roost.volume.meta.reads import Scans
from roost.volume.meta.txn import Txn
from roost.volume.model import ROOT, Ino, LockKind, RangeLock, SessionId
from roost.volume.settings import encode_settings
from tests.volume.meta.helpers import stop_heartbeat

T = TypeVar("T")


class MeetingEngine:
    """An engine that lets somebody else act: after a scan, or between a decision and its commit.

    SQLite decides and commits in one step; there the other acts before.
    """

    def __init__(self, engine: Any, act: Callable[[], None], *, at_run: int | None) -> None:
        self._engine = engine
        self._act = act
        self._at_run = at_run
        self._runs = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    @contextmanager
    def scan(self) -> Iterator[Scans]:
        with self._engine.scan() as scans:
            yield scans
        if self._at_run is None:
            self._act()

    def run(self, rule: Callable[[Txn], T]) -> T:
        number, self._runs = self._runs, self._runs + 1
        waiting = [self._act] if number == self._at_run else []
        if isinstance(self._engine, SqliteEngine):
            while waiting:
                waiting.pop()()

        def meeting(txn: Txn) -> T:
            answer = rule(txn)
            while waiting:
                waiting.pop()()
            return answer

        return self._engine.run(meeting)


@pytest.mark.parametrize("at_run", [None, 0, 1, 2, 3])
def test_a_session_that_is_renewed_after_all_keeps_its_files_and_locks(
    meta: Meta, meta_url: str, clock: ManualClock, at_run: int | None
) -> None:
    """A client that was paused for longer than its lease comes back while others clean up."""
    stop_heartbeat(meta)
    slow = open_meta(meta_url, session=False, clock=clock)
    slow.begin_session(heartbeat=False)
    files = []
    for name in (b"f", b"g", b"h"):
        files.append(slow.create(ROOT, name).ino)
        slow.open(files[-1])
        slow.unlink(ROOT, name)
    locked = slow.create(ROOT, b"locked").ino
    slow.flock(locked, 1, LockKind.WRITE)
    clock.advance(61)
    sessions.renew(meta._opened)
    kept: list[Ino] = []

    def come_back() -> None:
        kept.extend(file for file in files if _node_is_there(meta, file))
        sessions.renew(slow._opened)

    engine = MeetingEngine(meta._opened.engine, come_back, at_run=at_run)
    meta._opened.engine = engine  # type: ignore[assignment]
    try:
        assert meta.clean_stale_sessions() == 0
    finally:
        meta._opened.engine = engine._engine
    assert len(kept) == len(files) - (at_run - 1 if at_run else 0)
    assert [file for file in files if _node_is_there(meta, file)] == kept
    assert slow.sid in [session.sid for session in meta.sessions()]
    assert len(meta.engine.read(lambda reads: reads.flocks(locked))) == 1
    slow.close()


@pytest.mark.parametrize("at_run", [None, 0, 1, 2, 3])
def test_two_cleaners_at_once_end_a_session_once(
    meta: Meta, meta_url: str, clock: ManualClock, at_run: int | None
) -> None:
    """The other cleans up wholly in the middle; the session comes back before we go on."""
    stop_heartbeat(meta)
    slow, other = (open_meta(meta_url, session=False, clock=clock) for _ in range(2))
    for one in (slow, other):
        one.begin_session(heartbeat=False)
    old = _nameless(slow, b"old")
    locked = slow.create(ROOT, b"locked").ino
    slow.flock(locked, 1, LockKind.WRITE)
    clock.advance(61)
    for one in (meta, other):
        sessions.renew(one._opened)
    ended: list[int] = []
    returned: list[Ino] = []

    def clean_and_come_back() -> None:
        ended.append(other.clean_stale_sessions())
        returned.append(_nameless(slow, b"new"))
        slow.flock(locked, 1, LockKind.WRITE)

    engine = MeetingEngine(meta._opened.engine, clean_and_come_back, at_run=at_run)
    meta._opened.engine = engine  # type: ignore[assignment]
    try:
        ended.append(meta.clean_stale_sessions())
    finally:
        meta._opened.engine = engine._engine
    if not returned:  # we were done before
        clean_and_come_back()
    assert sum(ended) == 1
    assert sorted(one.ino for one in meta.deleted_files()).count(old) == 1
    assert _node_is_there(meta, returned[0])
    assert len(meta.engine.read(lambda reads: reads.flocks(locked))) == 1
    sessions.renew(slow._opened)
    assert meta.engine.read(lambda reads: reads.sustained(slow.sid)) == (returned[0],)
    slow.close()
    other.close()
    assert meta.check() == ()


def _nameless(meta: Meta, name: bytes) -> Ino:
    """Return a file that is open and has no name."""
    file = meta.create(ROOT, name).ino
    meta.open(file)
    meta.unlink(ROOT, name)
    return file


def _node_is_there(meta: Meta, ino: Ino) -> bool:
    return meta.engine.read(lambda reads: reads.node(ino)) is not None


@pytest.mark.parametrize("at_run", [0, 1, 2, 3, 4, None])
def test_locks_of_many_files_go_a_few_in_a_commit_that_checks_the_lease(
    meta: Meta,
    meta_url: str,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    at_run: int | None,
) -> None:
    monkeypatch.setattr(sessions, "LOCKED_AT_ONCE", 2)
    stop_heartbeat(meta)
    dead = open_meta(meta_url, session=False, clock=clock)
    dead.begin_session(heartbeat=False)
    files = [dead.create(ROOT, b"%d" % number).ino for number in range(5)]
    for file in files:
        meta.flock(file, 9, LockKind.READ)
        dead.flock(file, 1, LockKind.READ)
        if file % 2:
            dead.flock(file, 2, LockKind.READ)
            dead.set_lock(file, 3, RangeLock(LockKind.WRITE, 1, 0, 9))
    clock.advance(61)
    sessions.renew(meta._opened)
    run = -1 if at_run is None else at_run
    engine = MeetingEngine(meta._opened.engine, lambda: sessions.renew(dead._opened), at_run=run)
    meta._opened.engine = engine  # type: ignore[assignment]
    try:
        assert meta.clean_stale_sessions() == (at_run is None)
    finally:
        meta._opened.engine = engine._engine
    left = {0: 5, 1: 5, 2: 3, 3: 1}.get(run, 0)
    assert meta.engine.read(lambda reads: reads.locked(dead.sid)) == tuple(files[5 - left :])
    assert meta.engine.read(lambda reads: reads.locked(meta.sid)) == tuple(files)
    for file in files[: 5 - left]:
        assert [one.sid for one, _ in meta.engine.read(lambda reads: reads.flocks(file))] == [1]  # noqa: B023
        assert meta.engine.read(lambda reads: reads.range_locks(file)) == ()  # noqa: B023
    assert (dead.sid in [session.sid for session in meta.sessions()]) == (at_run is not None)
    dead.close()


def test_locks_last_until_the_commit_that_ends_their_session(
    meta: Meta, meta_url: str, clock: ManualClock
) -> None:
    stop_heartbeat(meta)
    slow = open_meta(meta_url, session=False, clock=clock)
    slow.begin_session(heartbeat=False)
    locked = slow.create(ROOT, b"locked").ino
    slow.flock(locked, 1, LockKind.WRITE)
    clock.advance(61)
    sessions.renew(meta._opened)
    engine = MeetingEngine(meta._opened.engine, lambda: sessions.renew(slow._opened), at_run=0)
    meta._opened.engine = engine  # type: ignore[assignment]
    try:
        assert meta.clean_stale_sessions() == 0
    finally:
        meta._opened.engine = engine._engine
    assert len(meta.engine.read(lambda reads: reads.flocks(locked))) == 1
    assert slow.sid in [session.sid for session in meta.sessions()]
    slow.close()


def test_a_writable_open_is_a_session_with_a_lease(meta: Meta, clock: ManualClock) -> None:
    (session,) = meta.sessions()
    assert session.sid == meta.sid == 1
    assert session.expire_s == clock.wall_ns() // 10**9 + 60
    info = json.loads(session.info)
    assert info["Version"].startswith("1.4.2+")
    assert info["MountTime"].endswith("Z")


def test_a_heartbeat_renews_the_lease(meta: Meta, clock: ManualClock) -> None:
    clock.advance(HEARTBEAT_S)
    Heartbeat(meta._opened).beat()
    (session,) = meta.sessions()
    assert session.expire_s == clock.wall_ns() // 10**9 + 60


def test_a_heartbeat_registers_a_removed_session_again_and_says_so(
    meta: Meta, caplog: pytest.LogCaptureFixture
) -> None:
    stop_heartbeat(meta)
    sessions.end(meta._opened, meta.sid)
    assert meta.sessions() == ()
    Heartbeat(meta._opened).beat()
    assert [session.sid for session in meta.sessions()] == [meta.sid]
    assert "was over and cleaned up" in caplog.text


@pytest.mark.parametrize("what", ["whole", "range", "removed", "nameless"])
def test_what_a_session_takes_after_it_was_cleaned_up_is_cleaned_up_when_it_dies(
    meta: Meta, meta_url: str, clock: ManualClock, what: str
) -> None:
    """It died before its next heartbeat; what it held must not stay for ever."""
    stop_heartbeat(meta)
    slow = open_meta(meta_url, session=False, clock=clock)
    slow.begin_session("/mnt", heartbeat=False)
    file = meta.create(ROOT, b"f").ino
    clock.advance(61)
    sessions.renew(meta._opened)
    assert meta.clean_stale_sessions() == 1
    match what:
        case "whole":
            slow.flock(file, 1, LockKind.WRITE)
        case "range":
            slow.set_lock(file, 1, RangeLock(LockKind.WRITE, 9, 0, 99))
        case "removed":
            slow.open(file)
            slow.unlink(ROOT, b"f")
        case "nameless":
            file = slow.create_nameless(ROOT).ino
    assert [one.sid for one in meta.sessions()] == [meta.sid, slow.sid]
    assert b"/mnt" in meta.sessions()[1].info
    clock.advance(61)  # and here it dies
    sessions.renew(meta._opened)
    assert meta.clean_stale_sessions() == 1
    if what in ("whole", "range"):
        meta.flock(file, 2, LockKind.WRITE)
        meta.set_lock(file, 2, RangeLock(LockKind.WRITE, 9, 0, 99))
    else:
        assert meta._opened.engine.read(lambda reads: reads.node(file)) is None
    slow.close()


def test_what_a_dead_session_kept_is_deleted_after_its_lease(
    meta: Meta, meta_url: str, clock: ManualClock
) -> None:
    stop_heartbeat(meta)  # it would clean up too, at the same moment
    dead = open_meta(meta_url, session=False, clock=clock)
    dead.begin_session(heartbeat=False)
    file = dead.create(ROOT, b"f").ino
    dead.open(file)
    dead.unlink(ROOT, b"f")
    clock.advance(61)
    sessions.renew(meta._opened)
    assert meta.clean_stale_sessions() == 1
    assert [session.sid for session in meta.sessions()] == [meta.sid]
    assert [deleted.ino for deleted in meta.deleted_files()] == [file]
    dead.close()


def test_a_database_that_is_away_is_waited_for_once_and_not_for_every_dead_session(
    meta: Meta, meta_url: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_heartbeat(meta)
    dead = [open_meta(meta_url, session=False, clock=clock) for _ in range(3)]
    for one in dead:
        one.begin_session(heartbeat=False)
    clock.advance(61)
    sessions.renew(meta._opened)
    asked: list[SessionId] = []

    def away(_volume: OpenVolume, sid: SessionId) -> bool:
        asked.append(sid)
        raise Unavailable("the database is away")

    with monkeypatch.context() as patched:
        patched.setattr(sessions, "end_if_over", away)
        with pytest.raises(Unavailable):
            meta.clean_stale_sessions()
    assert len(asked) == 1
    for one in dead:
        one.close()


def test_a_living_session_is_left_alone(meta: Meta, meta_url: str, clock: ManualClock) -> None:
    with open_meta(meta_url, clock=clock) as other:
        clock.advance(30)
        assert meta.clean_stale_sessions() == 0
        assert len(meta.sessions()) == 2
        assert other.sid != meta.sid


def test_a_shared_job_is_done_by_one(meta: Meta, clock: ManualClock) -> None:
    assert sessions.claim_cleanup(meta._opened, "lastCleanupFiles", 3600)
    assert not sessions.claim_cleanup(meta._opened, "lastCleanupFiles", 3600)
    clock.advance(3601)
    assert sessions.claim_cleanup(meta._opened, "lastCleanupFiles", 3600)


def test_changed_settings_come_into_force(meta: Meta) -> None:
    from dataclasses import replace

    changed = replace(meta.settings, trash_days=9)
    meta._opened.engine.run(lambda txn: txn.do(PutSetting(encode_settings(changed))))
    assert read_again(meta._opened).trash_days == 9


def test_another_volume_in_the_same_place_ends_the_session(meta: Meta) -> None:
    from dataclasses import replace

    original = encode_settings(meta.settings)
    other = encode_settings(replace(meta.settings, uuid="another"))
    meta._opened.engine.run(lambda txn: txn.do(PutSetting(other)))
    heartbeat = meta._heartbeat
    assert heartbeat is not None
    with pytest.raises(VolumeReplaced) as lost:
        heartbeat.beat()
    heartbeat.lost = lost.value
    with pytest.raises(VolumeReplaced):
        meta.getattr(ROOT)
    with pytest.raises(VolumeReplaced):
        meta.create(ROOT, b"f")
    heartbeat.lost = None
    meta._opened.engine.run(lambda txn: txn.do(PutSetting(original)))


@pytest.mark.parametrize(
    "problem",
    [CorruptRecord("inode 9", "7 bytes"), InvalidArgument("too large"), CommitUnknown("?")],
)
def test_a_damaged_session_does_not_keep_others_from_being_cleaned_up(
    meta: Meta,
    meta_url: str,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    expected_warnings: list[str],
    problem: RoostError,
) -> None:
    expected_warnings.append("a session that is over stays")
    dead = [open_meta(meta_url, session=False, clock=clock) for _ in range(2)]
    for one in dead:
        one.begin_session(heartbeat=False)
    damaged, sound = (one.sid for one in dead)
    real = sessions.end_if_over

    def end_if_over(volume: OpenVolume, sid: SessionId) -> bool:
        if sid == damaged:
            raise problem
        return real(volume, sid)

    stop_heartbeat(meta)  # it would clean up too, at the same moment
    with monkeypatch.context() as patched:
        patched.setattr(sessions, "end_if_over", end_if_over)
        clock.advance(61)
        sessions.renew(meta._opened)
        assert meta.clean_stale_sessions() == 1
    assert sound not in [session.sid for session in meta.sessions()]
    for one in dead:
        one.close()
