"""Making the tables of a volume in an SQLite file."""

import sqlite3

from roost.volume.engines.sql import tables
from roost.volume.engines.sql.dialect import SQLITE

COMMIT_TABLE = tables.create_commit_table(SQLITE)
COMMIT_TOKEN = (
    "INSERT INTO roost_commit (client, batch, at) VALUES (?, ?, ?)"
    " ON CONFLICT (client) DO UPDATE SET batch = excluded.batch, at = excluded.at"
)


def create_tables(connection: sqlite3.Connection) -> None:
    """Create all tables of an empty database, inside the caller's transaction."""
    for statement in tables.create_statements(SQLITE):
        connection.execute(statement)


def drop_tables(connection: sqlite3.Connection) -> None:
    """Remove all tables of a volume, inside the caller's transaction."""
    for name in (*tables.table_names(), tables.COMMIT_TABLE):
        connection.execute(f"DROP TABLE IF EXISTS {name}")


def holds_anything(connection: sqlite3.Connection) -> bool:
    """True if the database has a table that is not a volume's, or a row in one that is.

    Notes of commits are nothing by themselves; so is what SQLite keeps for itself.
    """
    found = connection.execute(
        "SELECT name FROM sqlite_master"
        " WHERE type <> 'index' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    )
    names = {name for (name,) in found} - {tables.COMMIT_TABLE}
    ours = names.intersection(tables.table_names())
    if names != ours:
        return True
    looks = (connection.execute(f"SELECT 1 FROM {name} LIMIT 1") for name in sorted(ours))
    return any(look.fetchone() is not None for look in looks)


def has_volume(connection: sqlite3.Connection) -> bool:
    """True if the database has the settings table of a volume."""
    row = connection.execute(
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'jfs_setting'"
    ).fetchone()
    return row is not None
