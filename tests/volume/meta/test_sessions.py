import json

import pytest

from roost.errors import CorruptRecord
from roost.testing.clock import ManualClock
from roost.volume.errors import VolumeReplaced
from roost.volume.meta import sessions
from roost.volume.meta.api import Meta, open_meta
from roost.volume.meta.effects import PutSetting
from roost.volume.meta.heartbeat import Heartbeat, read_again
from roost.volume.meta.open_volume import OpenVolume
from roost.volume.model import ROOT, DeletedFile, SessionId
from roost.volume.settings import encode_settings
from tests.volume.meta.helpers import stop_heartbeat


def test_a_writable_open_is_a_session_with_a_lease(meta: Meta, clock: ManualClock) -> None:
    (session,) = meta.sessions()
    assert session.sid == meta.sid == 1
    assert session.expire_s == clock.wall_ns() // 10**9 + 60
    info = json.loads(session.info)
    assert info["Version"].startswith("1.4.2+")
    assert info["MountTime"].endswith("Z")


def test_a_heartbeat_renews_the_lease(meta: Meta, clock: ManualClock) -> None:
    clock.advance(sessions.HEARTBEAT_S)
    Heartbeat(meta._opened, "").beat()
    (session,) = meta.sessions()
    assert session.expire_s == clock.wall_ns() // 10**9 + 60


def test_a_heartbeat_registers_a_removed_session_again(meta: Meta) -> None:
    sessions.end(meta._opened, meta.sid)
    assert meta.sessions() == ()
    Heartbeat(meta._opened, "").beat()
    assert [session.sid for session in meta.sessions()] == [meta.sid]


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
    sessions.renew(meta._opened, "")
    assert meta.clean_stale_sessions() == 1
    assert [session.sid for session in meta.sessions()] == [meta.sid]
    assert [deleted.ino for deleted in meta.deleted_files()] == [file]
    dead.close()


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


def test_a_damaged_session_does_not_keep_others_from_being_cleaned_up(
    meta: Meta,
    meta_url: str,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    expected_warnings: list[str],
) -> None:
    expected_warnings.append("a session that is over stays")
    dead = [open_meta(meta_url, session=False, clock=clock) for _ in range(2)]
    for one in dead:
        one.begin_session(heartbeat=False)
    damaged, sound = (one.sid for one in dead)
    real = sessions.end

    def end(volume: OpenVolume, sid: SessionId) -> tuple[DeletedFile, ...]:
        if sid == damaged:
            raise CorruptRecord("inode 9", "7 bytes")
        return real(volume, sid)

    stop_heartbeat(meta)  # it would clean up too, at the same moment
    with monkeypatch.context() as patched:
        patched.setattr(sessions, "end", end)
        clock.advance(61)
        sessions.renew(meta._opened, "")
        assert meta.clean_stale_sessions() == 1
    assert sound not in [session.sid for session in meta.sessions()]
    for one in dead:
        one.close()
