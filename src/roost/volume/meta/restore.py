"""Putting back what lies in an hour of the trash.

An entry there is called `PARENT-INODE-NAME`.  Moving it back is a rename that replaces nothing and
may go into a directory that lies in the trash itself.
Source: the volume format reference, section 2.7.
"""

import errno
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from enum import Enum, auto

from roost.volume.errors import FsError
from roost.volume.meta import rename
from roost.volume.meta.answers import Progress, TrashRestored
from roost.volume.meta.listing import readdir
from roost.volume.meta.open_volume import OpenVolume
from roost.volume.model import SUPERUSER, TRASH, DirEntry, Ino, Kind, RenameFlag

ENTRIES_AT_ONCE = 1000


class _Outcome(Enum):
    RESTORED = auto()
    CONFLICT = auto()
    WAITING = auto()


def restore(
    volume: OpenVolume, hour: bytes, put_back: bool, threads: int, progress: Progress
) -> TrashRestored:
    """Restore an hour's entries; each is tried.  Memory grows with their number.

    Raises FsError ENOENT for an hour that is not there.
    """
    edge = volume.engine.read(lambda reads: reads.edge(TRASH, hour))
    if edge is None:
        raise FsError(errno.ENOENT, TRASH, hour)
    entries = list(readdir(volume.engine, edge.ino, SUPERUSER, with_attrs=False))
    wanted = None if put_back else {e.ino for e in entries if e.kind is Kind.DIRECTORY}
    restored = waiting = 0
    conflicts: list[bytes] = []
    failed: list[tuple[bytes, str]] = []
    with ThreadPoolExecutor(max(threads, 1), thread_name_prefix="roost-restore") as pool:
        submitted = (
            one
            for wave in _waves(edge.ino, entries)
            for one in _submitted(pool, volume, edge.ino, wave, wanted)
        )
        for done, (entry, future) in enumerate(submitted, start=1):
            try:
                outcome = future.result()
            except FsError as error:
                failed.append((entry.name, str(error)))
            else:
                restored += outcome is _Outcome.RESTORED
                waiting += outcome is _Outcome.WAITING
                if outcome is _Outcome.CONFLICT:
                    conflicts.append(entry.name)
            progress(done, len(entries))
    return TrashRestored(restored, tuple(conflicts), tuple(failed), waiting)


def _waves(folder: Ino, entries: list[DirEntry]) -> Iterator[list[DirEntry]]:
    """Yield entries in parts, a directory in an earlier one than what came out of it.

    A directory that is moved back is measured for the quotas it enters: nothing may join it
    meanwhile.
    """
    directories = {entry.ino for entry in entries if entry.kind is Kind.DIRECTORY}
    waiting = [(_parent(folder, entry.name), entry) for entry in entries]
    while waiting:
        wave = [entry for parent, entry in waiting if parent not in directories]
        waiting = [(parent, entry) for parent, entry in waiting if parent in directories]
        if not wave:  # no tree ties a loop; names might
            wave, waiting = [entry for _, entry in waiting], []
        yield wave
        directories -= {entry.ino for entry in wave}


def _parent(folder: Ino, entry: bytes) -> Ino:
    try:
        return parse_entry(folder, entry)[0]
    except FsError:
        return folder  # said when its turn comes


def _submitted(
    pool: ThreadPoolExecutor,
    volume: OpenVolume,
    folder: Ino,
    entries: list[DirEntry],
    wanted: set[Ino] | None,
) -> Iterator[tuple[DirEntry, Future[_Outcome]]]:
    """Yield entries and what comes of them, with a bounded number under way."""
    for start in range(0, len(entries), ENTRIES_AT_ONCE):
        part = entries[start : start + ENTRIES_AT_ONCE]
        futures = [pool.submit(_restore, volume, folder, e.name, wanted) for e in part]
        yield from zip(part, futures, strict=True)


def _restore(volume: OpenVolume, folder: Ino, entry: bytes, wanted: set[Ino] | None) -> _Outcome:
    parent, name = parse_entry(folder, entry)
    if wanted is not None and parent not in wanted:
        return _Outcome.WAITING
    move = rename.Move(folder, entry, parent, name, RenameFlag.NOREPLACE, SUPERUSER, restoring=True)
    try:
        rename.rename(volume, move)
    except FsError as error:
        if error.errno == errno.EEXIST:
            return _Outcome.CONFLICT
        raise
    return _Outcome.RESTORED


def parse_entry(folder: Ino, entry: bytes) -> tuple[Ino, bytes]:
    """Return the directory and the name that an entry of the trash came from.

    Raises FsError EINVAL for a name that does not say.
    """
    parts = entry.split(b"-", 2)
    if len(parts) != 3 or not parts[0].isdigit() or not parts[2]:
        raise FsError(errno.EINVAL, folder, entry)
    return Ino(int(parts[0])), parts[2]
