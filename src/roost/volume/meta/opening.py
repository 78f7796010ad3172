"""Making and opening volumes by the URL of their metadata.

sqlite3://PATH is a file; memory://NAME lives in this process, for tests.
"""

import sqlite3
import threading
from pathlib import Path

from roost.clock import Clock
from roost.errors import CorruptRecord, InvalidArgument, Unavailable, Unsupported
from roost.volume.engines.memory import MemoryEngine
from roost.volume.engines.sqlite import BUSY_WAIT_MS, SqliteEngine
from roost.volume.engines.sqlite_tables import create_tables, has_volume
from roost.volume.errors import AlreadyFormatted, NotFormatted
from roost.volume.meta.effects import AddNode, PutCounter, PutSetting
from roost.volume.meta.open_volume import FIRST_INO, FIRST_SLICE, NEXT_INO, NEXT_SLICE
from roost.volume.meta.sessions import NEXT_SESSION
from roost.volume.meta.txn import Engine, Txn
from roost.volume.meta.usage import TOTAL_INODES, USED_SPACE
from roost.volume.model import DIRECTORY_LENGTH_BYTES, ROOT, TRASH, Attr, Kind
from roost.volume.settings import VolumeSettings, check_opening, decode_settings, encode_settings

_memory_lock = threading.Lock()
_memory_engines: dict[str, MemoryEngine] = {}
_INITIAL_COUNTERS = {
    NEXT_INO: FIRST_INO,
    NEXT_SLICE: FIRST_SLICE,
    NEXT_SESSION: 0,
    USED_SPACE: 0,
    TOTAL_INODES: 0,
    "nextCleanupSlices": 0,
}


def format_database(meta_url: str, settings: VolumeSettings, clock: Clock) -> VolumeSettings:
    """Make a volume and return its settings.

    Raises AlreadyFormatted; InvalidArgument for a bad URL; Unavailable.
    """
    scheme, place = split_url(meta_url)
    if scheme == "memory":
        with _memory_lock:
            engine: Engine = _memory_engines.setdefault(place, MemoryEngine(clock))
        fill(engine, settings)
        return settings
    _create_file(Path(place))
    engine = SqliteEngine(Path(place), clock, read_only=False)
    try:
        fill(engine, settings)
    finally:
        engine.close()
    return settings


def fill(engine: Engine, settings: VolumeSettings) -> None:
    """Store settings, root, trash and counters of a volume, in one commit."""

    def put(txn: Txn) -> None:
        if txn.setting() is not None:
            raise AlreadyFormatted("there is a volume already")
        txn.do(PutSetting(encode_settings(settings)))
        txn.do(AddNode(ROOT, _top(0o777, txn.now_ns)))
        if settings.trash_days > 0:
            txn.do(AddNode(TRASH, _top(0o555, txn.now_ns)))
        for name, value in _INITIAL_COUNTERS.items():
            txn.do(PutCounter(name, value))

    engine.run(put)


def _top(mode: int, now_ns: int) -> Attr:
    return Attr(
        kind=Kind.DIRECTORY,
        mode=mode,
        atime_ns=now_ns,
        mtime_ns=now_ns,
        ctime_ns=now_ns,
        nlink=2,
        length=DIRECTORY_LENGTH_BYTES,
        parent=ROOT,
    )


def _create_file(path: Path) -> None:
    """Create the tables, unless they are there.  WAL, as JuiceFS opens it."""
    if not path.parent.is_dir():
        raise InvalidArgument(
            f"no directory {path.parent}", hint="Make it first, or use another path."
        )
    try:
        connection = sqlite3.connect(path, timeout=BUSY_WAIT_MS / 1000, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("BEGIN IMMEDIATE")
            if not has_volume(connection):
                create_tables(connection)
            elif connection.execute("SELECT 1 FROM jfs_setting").fetchone() is not None:
                raise AlreadyFormatted(f"there is a volume already at {path}")
            connection.execute("COMMIT")
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise Unavailable(f"cannot make {path}: {error}") from error


def open_engine(meta_url: str, clock: Clock, *, read_only: bool) -> Engine:
    """Open the store at `meta_url`; whether it holds a volume is for `read_settings` to say.

    Raises NotFormatted if there is no such file or no table; InvalidArgument; Unavailable.
    """
    scheme, place = split_url(meta_url)
    if scheme == "memory":
        with _memory_lock:
            found = _memory_engines.get(place)
        if found is None:
            raise NotFormatted(f"no volume at {meta_url}")
        return found
    path = Path(place)
    if not path.is_file():
        raise NotFormatted(f"no volume at {path}: there is no such file")
    _check_file(path)
    return SqliteEngine(path, clock, read_only=read_only)


def _check_file(path: Path) -> None:
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_WAIT_MS / 1000
        )
        try:
            if not has_volume(connection):
                raise NotFormatted(f"no volume at {path}: the database has no such tables")
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_NOTADB:
            raise CorruptRecord(str(path), "not an SQLite database") from error
        raise Unavailable(f"cannot open {path}: {error}") from error


def read_settings(engine: Engine, meta_url: str, *, read_only: bool) -> VolumeSettings:
    """Return the settings of a volume that this Roost may open so.

    Raises NotFormatted, Unsupported, NewerFormat, CorruptRecord.
    """
    text = engine.read(lambda reads: reads.setting())
    if text is None:
        raise NotFormatted(f"no volume at {meta_url}")
    settings = decode_settings(text)
    check_opening(settings, read_only=read_only)
    if not read_only:
        with engine.scan() as scans:
            if scans.quota_count():
                raise Unsupported(
                    "the volume has quotas, which this Roost does not maintain",
                    hint="Open it read-only, or write with the juicefs client.",
                )
    return settings


def split_url(meta_url: str) -> tuple[str, str]:
    """Return (scheme, place) of a metadata URL; options after `?` are left out.

    Raises InvalidArgument for other schemes or an empty place.
    """
    scheme, found, place = meta_url.partition("://")
    place = place.partition("?")[0]
    if not found or scheme not in ("sqlite3", "memory") or not place:
        raise InvalidArgument(
            f"not a metadata URL: {meta_url!r}",
            hint="Use sqlite3://PATH.",
        )
    return scheme, place


def drop_memory_volume(name: str) -> None:
    """Forget memory://NAME."""
    with _memory_lock:
        _memory_engines.pop(name, None)
