"""SQLite files: making one with JuiceFS's tables, and opening one that has them."""

import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path

from roost.clock import Clock
from roost.errors import CorruptRecord, InvalidArgument, Unavailable
from roost.volume.engines.registry import MetaUrl
from roost.volume.engines.sqlite import SqliteEngine
from roost.volume.engines.sqlite_connecting import BUSY_WAIT_MS
from roost.volume.engines.sqlite_forks import GATE
from roost.volume.engines.sqlite_tables import create_tables, has_volume, holds_anything
from roost.volume.errors import AlreadyFormatted, NotFormatted
from roost.volume.meta.txn import Engine

log = logging.getLogger(__name__)


def create_engine(url: MetaUrl, clock: Clock) -> Engine:
    """As in EngineKind."""
    path = Path(url.path)
    GATE.demand_usable(path)
    with GATE:
        _create_file(path)
    return SqliteEngine(path, clock, read_only=False)


def undoing(url: MetaUrl) -> Callable[[], None]:
    """As in EngineKind."""
    path = Path(url.path).resolve()  # a link is the user's, what it leads to is made
    if path.exists():
        return lambda: None
    return lambda: _remove_unused(path)


def open_engine(url: MetaUrl, clock: Clock, *, read_only: bool) -> Engine:
    """As in EngineKind."""
    path = Path(url.path)
    if not path.is_file():
        raise NotFormatted(f"no volume at {path}: there is no such file")
    GATE.demand_usable(path)
    with GATE:
        _check_file(path)
    return SqliteEngine(path, clock, read_only=read_only)


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


def _remove_unused(path: Path) -> None:
    """Remove a database that holds nothing; one that anybody has open is left."""
    with GATE:
        _remove_if_empty(path)


def _remove_if_empty(path: Path) -> None:
    if not path.exists():
        return  # what failed was to make it
    try:
        connection = sqlite3.connect(_uri(path, "rw"), uri=True, timeout=0, isolation_level=None)
        try:
            if holds_anything(connection):
                return
            # Fails while anybody else has the file open; it folds the WAL into the file, too.
            connection.execute("PRAGMA journal_mode = DELETE")
            connection.execute("BEGIN EXCLUSIVE")
            if holds_anything(connection):
                connection.execute("ROLLBACK")
                connection.execute("PRAGMA journal_mode = WAL")
            else:
                path.unlink()  # with the lock held: who waits for it is told "readonly database"
        finally:
            connection.close()
    except (sqlite3.Error, OSError) as error:
        log.warning("%s is left, empty: %s", path, error)


def _uri(path: Path, mode: str) -> str:
    return f"{path.absolute().as_uri()}?mode={mode}"


def _check_file(path: Path) -> None:
    try:
        connection = sqlite3.connect(_uri(path, "ro"), uri=True, timeout=BUSY_WAIT_MS / 1000)
        try:
            if not has_volume(connection):
                raise NotFormatted(f"no volume at {path}: the database has no such tables")
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_NOTADB:
            raise CorruptRecord(str(path), "not an SQLite database") from error
        raise Unavailable(f"cannot open {path}: {error}") from error
