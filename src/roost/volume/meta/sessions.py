"""Sessions: who may write, how long, and what is left when one ends.

A session renews its lease with each heartbeat.  Whoever finds an ended lease cleans up after it.
Source: the volume format reference, sections 6.1 to 6.3.
"""

import logging
from collections.abc import Callable

from roost.errors import RoostError, Unavailable
from roost.volume.errors import VolumeReplaced
from roost.volume.meta.effects import DropLocks, DropSession, PutCounter, PutSession
from roost.volume.meta.leases import LEASE_S, renewed, session_info
from roost.volume.meta.open_volume import OpenVolume
from roost.volume.meta.remove import delete_sustained
from roost.volume.meta.txn import Txn
from roost.volume.model import DeletedFile, Ino, Session, SessionId
from roost.volume.values import value

NEXT_SESSION = "nextSession"
LAST_CLEANUP = "lastCleanupSessions"
CLEANUP_EVERY_S = 10
LOCKED_AT_ONCE = 500  # files whose locks one commit drops

log = logging.getLogger(__name__)


@value(frozen=True, slots=True)
class _Left:
    """What a session has: the nameless files it keeps, and those of which it holds locks."""

    kept: tuple[Ino, ...]
    locked: tuple[Ino, ...]

    @property
    def is_dropped_with_session(self) -> bool:
        """True if it may go in the commit that ends the session."""
        return not self.kept and len(self.locked) <= LOCKED_AT_ONCE


def begin(volume: OpenVolume, mount_point: str) -> SessionId:
    """Register a session, make it the volume's and return its number.  One commit."""
    begun_s = volume.now_s
    info = session_info(mount_point, begun_s)

    def register(txn: Txn) -> SessionId:
        sid = SessionId(txn.counter(NEXT_SESSION) + 1)
        txn.do(PutCounter(NEXT_SESSION, sid), PutSession(Session(sid, txn.now_s + LEASE_S, info)))
        return sid

    volume.sid = volume.engine.run(register)
    volume.session_info, volume.renewed_s = info, begun_s
    return volume.sid


def renew(volume: OpenVolume) -> None:
    """Renew the lease; a session that others removed is registered again.  One commit."""
    begun_s = volume.now_s

    def renew_it(txn: Txn) -> bool:
        known = txn.session(volume.sid)
        txn.do(renewed(txn, volume))
        return known is not None

    was_known = volume.engine.run(renew_it)
    volume.renewed_s = begun_s
    if not was_known:
        log.warning(
            "session %d was over and cleaned up, and goes on: its locks are gone, and the files"
            " that it had open without a name",
            volume.sid,
        )


def end(volume: OpenVolume, sid: SessionId) -> tuple[DeletedFile, ...]:
    """Delete what the session kept, drop its locks and the session.

    A commit per kept file, one per LOCKED_AT_ONCE locked files, and one for the session.
    """
    deleted: list[DeletedFile] = []
    _end(volume, sid, deleted, lambda _txn: True)
    return tuple(deleted)


def end_if_over(volume: OpenVolume, sid: SessionId) -> bool:
    """As `end` for a session whose lease ended; False once it is found renewed after all, or gone.

    Every commit checks that the lease is still the one that ended: a client that was only slow
    keeps the files and the locks that it has by then.  The row of a session goes with the last of
    what it had.  So where there is none another has cleaned up, and what is there now is of a
    client that came back, and has not registered again yet.
    """

    def is_over(txn: Txn) -> bool:
        session = txn.session(sid)
        return session is not None and session.expire_s < txn.now_s

    return _end(volume, sid, [], is_over)


def _end(
    volume: OpenVolume, sid: SessionId, deleted: list[DeletedFile], may: Callable[[Txn], bool]
) -> bool:
    """Add to `deleted` the files whose data may go; stop, and return False, once it may not."""

    def drop(txn: Txn) -> _Left | None:
        if not may(txn):
            return None
        left = _Left(txn.sustained(sid), txn.loose_locked(sid))
        if left.is_dropped_with_session and txn.session(sid) is not None:
            txn.do(DropSession(sid))
        return left

    while (left := volume.engine.run(drop)) is not None and not left.is_dropped_with_session:
        for ino in left.kept:
            file = delete_sustained(volume, sid, ino, may)
            if file is not None:
                deleted.append(file)
        if not left.kept:
            _drop_locks(volume, sid, left.locked, may)
    return left is not None


def _drop_locks(
    volume: OpenVolume, sid: SessionId, locked: tuple[Ino, ...], may: Callable[[Txn], bool]
) -> None:
    """Drop the session's locks of these files, some in each commit; stop once it may not."""
    for start in range(0, len(locked), LOCKED_AT_ONCE):
        some = locked[start : start + LOCKED_AT_ONCE]

        def drop(txn: Txn, some: tuple[Ino, ...] = some) -> bool:
            allowed = may(txn)
            if allowed:
                txn.do(DropLocks(sid, some))
            return allowed

        if not volume.engine.run(drop):
            return


def clean_stale(volume: OpenVolume) -> int:
    """Clean up after sessions with an ended lease; return how many.

    One that cannot be cleaned up after waits, and keeps no others from it.  Raises Unavailable and
    VolumeReplaced at once: each further session would wait out the engine's patience, and the
    heartbeat that calls this would not renew our own lease meanwhile.
    """
    with volume.engine.scan() as scans:
        stale = [s.sid for s in scans.sessions() if s.expire_s < volume.now_s]
    ended = 0
    for sid in stale:
        if sid == volume.sid:
            continue
        try:
            ended += end_if_over(volume, sid)
        except (Unavailable, VolumeReplaced):
            raise
        except RoostError as error:
            log.warning("a session that is over stays: sid=%d error=%s", sid, error)
    return ended


def claim_cleanup(volume: OpenVolume, counter: str, period_s: int) -> bool:
    """True if a shared job was not done within `period_s` and is ours to do now."""

    def claim(txn: Txn) -> bool:
        if txn.counter(counter) > txn.now_s - period_s:
            return False
        txn.do(PutCounter(counter, txn.now_s))
        return True

    return volume.engine.run(claim)
