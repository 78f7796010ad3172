"""Locks that hold across all clients: of whole files (flock) and of ranges (fcntl).

A lock belongs to a holder, a session and an owner inside it, and is a record of the metadata, so
it outlives neither its session nor a lease that ended.  Who waits asks again, at growing distances
up to a bound: no client can be called back by another.
Source: flock(2), fcntl(2); the volume format reference, section 2.8.
"""

import errno
import threading
from collections.abc import Callable, Iterable

from roost.volume.errors import FsError
from roost.volume.meta import leases, rules
from roost.volume.meta.effects import PutFlock, PutRangeLocks
from roost.volume.meta.open_volume import OpenVolume
from roost.volume.meta.reads import NodeWanted, Reads
from roost.volume.meta.txn import Txn
from roost.volume.model import (
    NO_SESSION,
    RANGE_END_MAX,
    Ino,
    LockHolder,
    LockKind,
    RangeLock,
)

FIRST_WAIT_S = 0.001
WAIT_S_MAX = 0.1
_OWNER_MAX = (1 << 64) - 1


def flock(
    volume: OpenVolume,
    ino: Ino,
    owner: int,
    kind: LockKind,
    *,
    wait: bool,
    cancel: threading.Event | None,
) -> None:
    """Lock a file as a whole, change the lock, or let go.  One commit per attempt.

    Raises FsError: EAGAIN, EINTR, ENOENT, ENOLCK.
    """
    me = _holder(volume, ino, owner)

    def attempt(txn: Txn) -> None:
        txn.load(NodeWanted(ino))
        held = dict(txn.flocks(ino))
        if kind is LockKind.UNLOCK:
            if me in held:
                txn.do(PutFlock(ino, me, None))
            return
        rules.found(ino, txn.node(ino))
        others = [theirs for holder, theirs in held.items() if holder != me]
        if LockKind.WRITE in others or (others and kind is LockKind.WRITE):
            raise FsError(errno.EAGAIN, ino)
        if held.get(me) is not kind:
            leases.make_sure(txn, volume)
            txn.do(PutFlock(ino, me, kind))

    _attempt(volume, lambda: volume.engine.run(attempt), wait, cancel)


def set_lock(
    volume: OpenVolume,
    ino: Ino,
    owner: int,
    lock: RangeLock,
    *,
    wait: bool,
    cancel: threading.Event | None,
) -> None:
    """Lock a range, change how it is locked, or let go of it.  One commit per attempt.

    Raises FsError: EAGAIN, EINTR, ENOENT, ENOLCK, EINVAL.
    """
    me = _holder(volume, ino, owner)
    if not 0 <= lock.start <= lock.end <= RANGE_END_MAX:
        raise FsError(errno.EINVAL, ino)

    def attempt(txn: Txn) -> None:
        txn.load(NodeWanted(ino))
        held = dict(txn.range_locks(ino))
        mine = held.pop(me, ())
        if lock.kind is not LockKind.UNLOCK:
            rules.found(ino, txn.node(ino))
            if _conflict(held.items(), lock) is not None:
                raise FsError(errno.EAGAIN, ino)
        after = changed(mine, lock)
        if after != mine:
            leases.make_sure(txn, volume)
            txn.do(PutRangeLocks(ino, me, after))

    _attempt(volume, lambda: volume.engine.run(attempt), wait, cancel)


def get_lock(volume: OpenVolume, ino: Ino, owner: int, lock: RangeLock) -> RangeLock | None:
    """Return a lock of another holder that conflicts; `pid` 0 if of another session."""
    me = LockHolder(volume.sid, owner)

    def find(reads: Reads) -> RangeLock | None:
        rules.found(ino, reads.node(ino))
        others = ((h, locks) for h, locks in reads.range_locks(ino) if h != me)
        found = _conflict(others, lock)
        if found is None:
            return None
        holder, theirs = found
        pid = theirs.pid if holder.sid == volume.sid else 0
        return RangeLock(theirs.kind, pid, theirs.start, theirs.end)

    return volume.engine.read(find)


def release(volume: OpenVolume, ino: Ino, owner: int, flock_owner: int | None) -> None:
    """Let go of an owner's ranges, and of a whole-file lock.  One commit, or none."""
    if volume.sid == NO_SESSION:
        return

    def drop(txn: Txn) -> None:
        me = LockHolder(volume.sid, owner)
        has_ranges = any(holder == me for holder, _ in txn.range_locks(ino))
        whole = None if flock_owner is None else LockHolder(volume.sid, flock_owner)
        has_whole = whole is not None and any(holder == whole for holder, _ in txn.flocks(ino))
        if has_ranges:
            txn.do(PutRangeLocks(ino, me, ()))
        if has_whole and whole is not None:
            txn.do(PutFlock(ino, whole, None))

    volume.engine.run(drop)


def _holder(volume: OpenVolume, ino: Ino, owner: int) -> LockHolder:
    if volume.sid == NO_SESSION:
        raise FsError(errno.ENOLCK, ino)
    if not 0 <= owner <= _OWNER_MAX:
        raise FsError(errno.EINVAL, ino)
    return LockHolder(volume.sid, owner)


def _attempt(
    volume: OpenVolume,
    attempt: Callable[[], None],
    wait: bool,
    cancel: threading.Event | None,
) -> None:
    """Try until it is granted, if it may wait.  Raises FsError EINTR once `cancel` is set."""
    cancelled = cancel or threading.Event()
    wait_s = FIRST_WAIT_S
    while True:
        try:
            attempt()
        except FsError as error:
            if error.errno != errno.EAGAIN or not wait:
                raise
        else:
            return
        if volume.clock.wait(cancelled, wait_s):
            raise FsError(errno.EINTR)
        wait_s = min(2 * wait_s, WAIT_S_MAX)


def _conflict(
    held: Iterable[tuple[LockHolder, tuple[RangeLock, ...]]], wanted: RangeLock
) -> tuple[LockHolder, RangeLock] | None:
    """Return the first lock that overlaps, where either of the two is for writing."""
    for holder, locks in held:
        for lock in locks:
            overlaps = lock.start <= wanted.end and wanted.start <= lock.end
            if overlaps and LockKind.WRITE in (lock.kind, wanted.kind):
                return holder, lock
    return None


def changed(mine: tuple[RangeLock, ...], new: RangeLock) -> tuple[RangeLock, ...]:
    """Return a holder's locks after `new` is laid over them: sorted, apart, neighbours merged."""
    parts: list[RangeLock] = []
    for lock in mine:
        if lock.end < new.start or lock.start > new.end:
            parts.append(lock)
            continue
        if lock.start < new.start:
            parts.append(RangeLock(lock.kind, lock.pid, lock.start, new.start - 1))
        if lock.end > new.end:
            parts.append(RangeLock(lock.kind, lock.pid, new.end + 1, lock.end))
    if new.kind is not LockKind.UNLOCK:
        parts.append(new)
    parts.sort(key=lambda lock: lock.start)
    merged: list[RangeLock] = []
    for lock in parts:
        last = merged[-1] if merged else None
        if last and (last.kind, last.pid, last.end + 1) == (lock.kind, lock.pid, lock.start):
            merged[-1] = RangeLock(lock.kind, lock.pid, last.start, lock.end)
        else:
            merged.append(lock)
    return tuple(merged)
