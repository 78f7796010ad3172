"""An open volume: its settings, its session, and the care of what nobody can reach any more."""

import errno
import logging
from collections.abc import Iterator
from types import TracebackType
from typing import TypeVar

from roost.volume.errors import FsError, VolumeReplaced
from roost.volume.meta import check, check_quotas, cleanup, sessions, usage
from roost.volume.meta.answers import AtimeMode
from roost.volume.meta.heartbeat import Heartbeat
from roost.volume.meta.open_volume import NEXT_SLICE, OpenVolume
from roost.volume.meta.txn import Engine
from roost.volume.model import (
    NO_SESSION,
    ROOT,
    ChunkSlices,
    DelayedSlices,
    DeletedFile,
    Ino,
    Problem,
    Session,
    SessionId,
    SliceId,
    SliceRef,
    VolumeUsage,
)
from roost.volume.settings import VolumeSettings

Self = TypeVar("Self", bound="VolumeHandle")

log = logging.getLogger(__name__)


class VolumeHandle:
    """What is open, and the background work on it.  `Meta` adds the file system's operations."""

    def __init__(self, volume: OpenVolume, *, read_only: bool) -> None:
        self._opened = volume
        self._read_only = read_only
        self._heartbeat: Heartbeat | None = None

    @property
    def _volume(self) -> OpenVolume:
        """The volume, to read from.  Raises VolumeReplaced."""
        if self._heartbeat is not None and self._heartbeat.lost is not None:
            raise VolumeReplaced(self._heartbeat.lost.message)
        return self._opened

    @property
    def _engine(self) -> Engine:
        return self._volume.engine

    @property
    def _writable(self) -> OpenVolume:
        """The volume, to change.  Raises FsError EROFS, VolumeReplaced."""
        if self._read_only:
            raise FsError(errno.EROFS)
        return self._volume

    @property
    def engine(self) -> Engine:
        """The engine itself, for tools that read whole tables.  Raises VolumeReplaced."""
        return self._engine

    # ---- the volume
    def begin_session(self, mount_point: str = "", *, heartbeat: bool = True) -> None:
        """Register a session and keep its lease.  open_meta does it unless told not to.

        Without `heartbeat` nobody renews the lease, as if the client hung.
        """
        volume = self._writable
        assert volume.sid == NO_SESSION, "one session per open volume"
        sessions.begin(volume, mount_point)
        if heartbeat:
            self._heartbeat = Heartbeat(volume)
            self._heartbeat.start()

    @property
    def settings(self) -> VolumeSettings:
        """The settings as last read; refreshed by the heartbeat.  Secrets are in plain text."""
        return self._opened.settings

    @property
    def sid(self) -> SessionId:
        """The session's number; 0 without a session."""
        return self._opened.sid

    @property
    def is_read_only(self) -> bool:
        """True if every change is refused with EROFS."""
        return self._read_only

    @property
    def notes_access(self) -> bool:
        """True if reads may change access times; else `accessed` does nothing."""
        return not self._read_only and self._opened.atime_mode is not AtimeMode.NEVER

    @property
    def durability(self) -> str:
        """What a commit that was answered survives, in words for `status`."""
        return self._opened.engine.durability

    def statfs(self, ino: Ino = ROOT) -> VolumeUsage:
        """Return what the volume uses and what is left.

        Where directory quotas hold for `ino`, they lower what is left, and what is used is what the
        nearest counts.  Source: statvfs(3).
        """
        return usage.statfs(self._volume, ino)

    def highest_slice_id(self) -> SliceId:
        """Return an id that no slice issued so far exceeds; it never falls on a sound volume."""
        return self._engine.read(
            lambda reads: SliceId(max((reads.counter(NEXT_SLICE) or 0) - 1, 0))
        )

    def sessions(self) -> tuple[Session, ...]:
        """Return all registered sessions, also of other clients."""
        with self._engine.scan() as scans:
            return scans.sessions()

    def close(self) -> None:
        """End the session: sustained files are deleted, the heartbeat stops.  May be repeated."""
        heartbeat, self._heartbeat = self._heartbeat, None
        is_lost = heartbeat is not None and heartbeat.lost is not None
        try:
            if heartbeat is not None:
                heartbeat.stop()
            if self._opened.sid != NO_SESSION and not is_lost:
                sessions.end(self._opened, self._opened.sid)
        except VolumeReplaced as error:
            log.debug("there is no session to end: %s", error)
        finally:
            self._opened.sid = NO_SESSION
            self._opened.engine.close()

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # ---- cleaning up
    def deleted_files(
        self, before_s: int | None = None, limit: int = 1000
    ) -> tuple[DeletedFile, ...]:
        """Return files without a name whose data is to be removed, deleted before `before_s`."""
        before = self._volume.now_s + 1 if before_s is None else before_s
        with self._engine.scan() as scans:
            return scans.deleted_files(before, limit)

    def release_deleted_file(self, file: DeletedFile) -> tuple[SliceRef, ...]:
        """Drop the file's chunks and return the slices nobody refers to any more.

        Delete their blocks, then call `forget_slice` for each.  After a crash in between,
        `unreferenced_slices` names them again.
        """
        return cleanup.release_deleted_file(self._writable, file)

    def unreferenced_slices(self, limit: int = 1000) -> tuple[SliceRef, ...]:
        """Return slices that no record refers to and whose blocks may still exist."""
        with self._engine.scan() as scans:
            return scans.unreferenced_slices(limit)

    def forget_slice(self, ref: SliceRef) -> None:
        """Drop the slice's row after its blocks are deleted; a slice in use is left alone."""
        cleanup.forget_slice(self._writable, ref)

    def delayed_slices(self, before_s: int) -> tuple[DelayedSlices, ...]:
        """Return what compactions before `before_s` replaced and the trash still keeps."""
        with self._engine.scan() as scans:
            return scans.delayed_slices(before_s)

    def release_delayed_slices(self, delayed: DelayedSlices) -> tuple[SliceRef, ...]:
        """Drop one reference of each; return as release_deleted_file does."""
        return cleanup.release_delayed(self._writable, delayed)

    def clean_trash(self) -> int:
        """Remove what lies in the trash longer than the volume says; return how many entries."""
        return cleanup.clean_trash(self._writable)

    def claim_job(self, counter: str, period_s: int) -> bool:
        """True if the job of all clients named by `counter` was not done within `period_s`.

        Whoever gets True must do it: nobody else will before the period ends.
        """
        return sessions.claim_cleanup(self._writable, counter, period_s)

    def clean_stale_sessions(self) -> int:
        """Take over what sessions with an ended lease left; return how many there were."""
        return sessions.clean_stale(self._writable)

    # ---- looking at everything
    def list_slices(self) -> Iterator[ChunkSlices]:
        """Yield all chunks of all files, in order of inode and chunk; constant memory."""
        with self._engine.scan() as scans:
            yield from scans.all_chunks()

    def list_slice_refs(self) -> Iterator[SliceRef]:
        """Yield all slices known, in order of id, with their reference counts."""
        with self._engine.scan() as scans:
            yield from scans.all_slice_refs()

    def check(self) -> tuple[Problem, ...]:
        """Return what is wrong in the metadata: the whole tree is read, nothing is changed."""
        return (*check.check(self._engine), *check_quotas.check_quotas(self._volume))
