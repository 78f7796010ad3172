"""Volumes that several file system objects of one process share.

fsspec makes one object per thread and set of options; they use one client, one session and one
cache.  The last to let go closes it; what is left at the end of the process is closed then.  A
forked child begins anew: a client's threads do not live on in it, and its parent's session is not
the child's to end.

Lock order: `_lock` guards `_volumes` and is held while a volume is opened, so that it is opened
once.  `release` may be called by the garbage collector, in the middle of anything, this module's
own code included: so it waits for no lock.  What it cannot do at once is left in `_released` to
whoever holds the lock.  A volume that fails to close concerns who released it: nobody else sees
more of it than a warning.
"""

import atexit
import contextlib
import logging
import os
import queue
import threading
import weakref
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from roost.errors import InvalidArgument, RoostError
from roost.volume.access.places import Place
from roost.volume.access.volume import Volume

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Key:
    """What makes two requests for a volume the same."""

    place: Place
    read_only: bool
    cache_dir: Path | None
    process: int


@dataclass(slots=True)
class _Shared:
    volume: Volume
    users: int = 0


_lock = threading.Lock()
_volumes: dict[Key, _Shared] = {}
_released: "queue.SimpleQueue[Key]" = queue.SimpleQueue()
_of_parents: list[_Shared] = []
"""Kept, so that a forked child finalises nothing of its parent's."""


def acquire(place: Place, *, read_only: bool, cache_dir: Path | None) -> tuple[Key, Volume]:
    """Return the open volume and the key to `release` it with.

    Raises as `Volume`; InvalidArgument if the volume has another name than the URL says.
    """
    key = Key(place, read_only, cache_dir, os.getpid())
    try:
        return key, _acquired(key)
    finally:
        _let_go()


def _acquired(key: Key) -> Volume:
    place = key.place
    with _lock:
        shared = _volumes.get(key)
        if shared is None:
            volume = Volume(place.meta_url, read_only=key.read_only, cache_dir=key.cache_dir)
            if place.name not in ("", volume.name):
                volume.close()
                raise InvalidArgument(
                    f"the volume's name is {volume.name!r}, not {place.name!r}",
                    hint=f"Write roost:///path, or roost://{volume.name}/path.",
                )
            shared = _volumes[key] = _Shared(volume)
        shared.users += 1
        return shared.volume


def release(key: Key) -> None:
    """Undo one `acquire`.  Raises as `Volume.close` if it was the last, and is closed here."""
    if key.process == os.getpid():
        _released.put(key)
        _let_go(key)


def _let_go(mine: Key | None = None) -> None:
    """Close what nobody uses any more, unless another holds the lock, who then does it.

    Each is tried.  Raises what the volume of `mine` raises.
    """
    with contextlib.ExitStack() as closing:  # after the loop: what fails must not end it
        while not _released.empty() and _lock.acquire(blocking=False):
            try:
                with contextlib.suppress(queue.Empty):
                    while True:
                        key = _released.get_nowait()
                        for volume in _without(key):
                            close = volume.close if key == mine else partial(_close, volume)
                            closing.callback(close)
            finally:
                _lock.release()


def _close(volume: Volume) -> None:
    """Close it; tell what goes wrong to the log alone."""
    try:
        volume.close()
    except (OSError, RoostError) as error:
        log.warning("a volume that nobody used any more did not close well: %s", error)


class Share:
    """One user's share in a volume, until `release` or the end of this object."""

    def __init__(self, place: Place, *, read_only: bool, cache_dir: Path | None) -> None:
        """Raise as `acquire`."""
        self._wanted = partial(acquire, place, read_only=read_only, cache_dir=cache_dir)
        self._acquire()

    @property
    def volume(self) -> Volume:
        """The volume; in a forked child that inherited this object it is opened anew."""
        if self._process != os.getpid():
            self._acquire()
        return self._volume

    def release(self) -> None:
        """Let go of it.  May be repeated."""
        self._finalizer()

    def _acquire(self) -> None:
        key, self._volume = self._wanted()
        self._process = key.process
        self._finalizer = weakref.finalize(self, release, key)
        self._finalizer.atexit = False  # `_close_all` does it


def _without(key: Key) -> list[Volume]:
    """Count one user less; return the volume if it was the last.  The lock is held."""
    shared = _volumes.get(key)
    if shared is None:
        return []
    shared.users -= 1
    return [] if shared.users else [_volumes.pop(key).volume]


def _close_all() -> None:
    for key in list(_volumes):
        if key.process == os.getpid():
            _close(_volumes.pop(key).volume)


def _begin_anew() -> None:
    """In a forked child: forget the parent's volumes, untouched, and a lock nobody may hold."""
    global _lock, _released
    _lock = threading.Lock()
    _released = queue.SimpleQueue()
    _of_parents.extend(_volumes.values())
    _volumes.clear()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_begin_anew)
