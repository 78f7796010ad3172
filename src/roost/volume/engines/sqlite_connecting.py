"""Connections to an SQLite file."""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import quote

from roost.errors import Unavailable
from roost.volume.engines.sql.claimed import SqlClaims
from roost.volume.engines.sql.dialect import SQLITE, Statement
from roost.volume.engines.sql.rows import Row

BUSY_WAIT_MS = 5000  # as JuiceFS; another process may hold the lock that long

Connect = Callable[..., sqlite3.Connection]


def open_connection(
    connect: Connect, path: Path, claims: SqlClaims, *, writing: bool, read_only: bool
) -> sqlite3.Connection:
    """Return a connection to the claimed volume.  Raises Unavailable, VolumeReplaced.

    With `read_only` it may write nothing at all, not even to the log of a database.
    """
    uri = f"file:{quote(str(path.absolute()))}?mode={'ro' if read_only else 'rw'}"
    try:
        connection = connect(
            uri,
            uri=True,
            timeout=BUSY_WAIT_MS / 1000,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        connection.text_factory = bytes
        connection.execute(f"PRAGMA {'synchronous = FULL' if writing else 'query_only = ON'}")

        def run(statements: Sequence[Statement]) -> list[list[Row]]:
            return [
                connection.execute(SQLITE.spell(text), values).fetchall()
                for text, values in statements
            ]

        try:
            claims.settle(run, writing=writing)
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise Unavailable(f"cannot open {path}: {error}") from error
    return connection
