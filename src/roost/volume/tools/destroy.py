"""Removing a volume: all its objects, then all its metadata.

In this order, so that whatever stops it leaves a volume that can be destroyed again.
"""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from roost.errors import InvalidArgument, Refusal
from roost.volume.tools.opened import OpenedVolume
from roost.volume.tools.steps import Progress

DELETE_THREADS = 10
_WAITING_MAX = 256


class VolumeInUse(Refusal):
    """Clients have the volume open."""

    hint = "Unmount it everywhere first, or use --force if those clients are gone."


@dataclass(frozen=True, slots=True)
class DestroyReport:
    """What was removed."""

    objects: int


def demand_destroyable(volume: OpenedVolume, uuid: str, *, force: bool) -> None:
    """Raise InvalidArgument for another volume's UUID, VolumeInUse if a client has it open."""
    if uuid != volume.settings.uuid:
        raise InvalidArgument(
            f"the volume there is {volume.settings.name} ({volume.settings.uuid}), not {uuid}"
        )
    if force:
        return
    with volume.engine.scan() as scans:
        live = [session for session in scans.sessions() if session.expire_s > volume.now_s]
    if live:
        raise VolumeInUse(f"{len(live)} clients have volume {volume.settings.name} open")


def destroy(
    volume: OpenedVolume,
    uuid: str,
    *,
    force: bool = False,
    progress: Progress = lambda _done, _all: None,
) -> DestroyReport:
    """Delete every object below the volume's name, then its metadata.

    Raises InvalidArgument, VolumeInUse; Unavailable, and then the metadata is still there.
    """
    demand_destroyable(volume, uuid, force=force)
    store = volume.store
    done = 0
    window: deque[Future[None]] = deque()
    with ThreadPoolExecutor(DELETE_THREADS, "roost-destroy") as pool:
        for info in store.list():
            if len(window) >= _WAITING_MAX:
                window.popleft().result()
            window.append(pool.submit(store.delete, info.key))
            done += 1
            progress(done, 0)
        while window:
            window.popleft().result()
    progress(done, done)
    volume.engine.destroy()
    return DestroyReport(done)
