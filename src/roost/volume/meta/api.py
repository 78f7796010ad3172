"""The metadata of one volume, as the data layer and the tools see it.

Each method is one transaction unless it says otherwise.  All are safe to call from many threads.
A commit has three outcomes: it returns (done), raises FsError (refused, nothing changed), or raises
CommitUnknown when not even the commit token could be read back.
"""

from roost.clock import Clock, SystemClock
from roost.volume.meta import quotas
from roost.volume.meta.answers import AtimeMode
from roost.volume.meta.open_volume import SKIP_DIR_MTIME_S, open_volume
from roost.volume.meta.opening import format_database, open_engine, read_settings
from roost.volume.meta.surface.files import Files
from roost.volume.meta.surface.locks import Locks
from roost.volume.meta.surface.names import Names
from roost.volume.meta.surface.quotas import Quotas
from roost.volume.meta.surface.trees import Trees
from roost.volume.settings import VolumeSettings, open_secrets


def format_volume(
    meta_url: str, settings: VolumeSettings, *, clock: Clock | None = None
) -> VolumeSettings:
    """Make a volume: create its tables, root and counters, and store `settings`.

    Raises AlreadyFormatted if the database holds a volume; InvalidArgument for a bad URL.
    """
    return format_database(meta_url, settings, clock or SystemClock())


def open_meta(
    meta_url: str,
    *,
    read_only: bool = False,
    session: bool = True,
    mount_point: str = "",
    clock: Clock | None = None,
    atime: AtimeMode = AtimeMode.NEVER,
    skip_dir_mtime_s: float = SKIP_DIR_MTIME_S,
) -> "Meta":
    """Open the volume at `meta_url`: sqlite3://PATH, or memory://NAME inside this process.

    Read-only opens write nothing at all.  With `session` (the default of a writable open) a session
    is registered and a thread keeps its lease.  `skip_dir_mtime_s`: how far a directory's times may
    be behind its last change; mount's --skip-dir-mtime.

    Raises NotFormatted; Unsupported (a feature this Roost must not write beside); NewerFormat;
    InvalidArgument for a bad URL; Unavailable.
    """
    engine = open_engine(meta_url, clock or SystemClock(), read_only=read_only)
    try:
        settings = open_secrets(read_settings(engine, meta_url, read_only=read_only))
        volume = open_volume(engine, settings, clock or SystemClock())
        volume.atime_mode = atime
        volume.skip_dir_mtime_ns = int(skip_dir_mtime_s * 1e9)
        volume.quotas = quotas.load(engine)
        meta = Meta(volume, read_only=read_only)
        if session and not read_only:
            meta.begin_session(mount_point)
    except BaseException:
        engine.close()
        raise
    return meta


class Meta(Names, Files, Locks, Quotas, Trees):
    """An open volume's metadata.  Made by open_meta; its operations are in `surface`."""
