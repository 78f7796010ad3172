"""Volumes that several file system objects of one process share.

fsspec makes one object per thread and set of options; they use one client, one session and one
cache.  The last to let go closes it; what is left at the end of the process is closed then.  A
forked child begins anew: a client's threads do not live on in it, and its parent's session is not
the child's to end.

Lock order: `_lock` guards `_volumes` and is held while a volume is opened, so that it is opened
once.
"""

import atexit
import contextlib
import os
import threading
from dataclasses import dataclass
from pathlib import Path

from roost.errors import InvalidArgument, RoostError
from roost.volume.access.places import Place
from roost.volume.access.volume import Volume


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
_of_parents: list[_Shared] = []
"""Kept, so that a forked child finalises nothing of its parent's."""


def acquire(place: Place, *, read_only: bool, cache_dir: Path | None) -> tuple[Key, Volume]:
    """Return the open volume and the key to `release` it with.

    Raises as `Volume`; InvalidArgument if the volume has another name than the URL says.
    """
    key = Key(place, read_only, cache_dir, os.getpid())
    with _lock:
        shared = _volumes.get(key)
        if shared is None:
            volume = Volume(place.meta_url, read_only=read_only, cache_dir=cache_dir)
            if place.name not in ("", volume.name):
                volume.close()
                raise InvalidArgument(
                    f"the volume's name is {volume.name!r}, not {place.name!r}",
                    hint=f"Write roost:///path, or roost://{volume.name}/path.",
                )
            shared = _volumes[key] = _Shared(volume)
        shared.users += 1
        return key, shared.volume


def release(key: Key) -> None:
    """Undo one `acquire`."""
    if key.process != os.getpid():
        return
    with _lock:
        shared = _volumes.get(key)
        if shared is None:
            return
        shared.users -= 1
        if shared.users:
            return
        del _volumes[key]
    shared.volume.close()


def _close_all() -> None:
    for key in list(_volumes):
        if key.process == os.getpid():
            with contextlib.suppress(RoostError):
                _volumes.pop(key).volume.close()


def _begin_anew() -> None:
    """In a forked child: forget the parent's volumes, untouched, and a lock nobody may hold."""
    global _lock
    _lock = threading.Lock()
    _of_parents.extend(_volumes.values())
    _volumes.clear()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_begin_anew)
