"""Reading JuiceFS's tables in SQLite.

The connection's text_factory is bytes: slices that JuiceFS appended to are stored as TEXT with
embedded zeros, and names are never text here.
"""

import sqlite3
from typing import TypeVar

from roost.volume.engines.sql.dialect import SQLITE, Value
from roost.volume.engines.sql.queries import Query
from roost.volume.engines.sql.reads import QueryReads
from roost.volume.engines.sql.rows import Row
from roost.volume.engines.sql.scans import SqlScans

T = TypeVar("T")


class SqliteReads(QueryReads):
    """Satisfies meta.reads.Reads over one connection, as of its transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def answer(self, query: Query[T]) -> T:
        """As in QueryReads."""
        text = SQLITE.spell(query.text)
        return query.made(self._connection.execute(text, query.values).fetchall())


def scans_of(connection: sqlite3.Connection) -> SqlScans:
    """Return the listings of a connection's snapshot."""

    def rows(text: str, *values: Value) -> list[Row]:
        return connection.execute(SQLITE.spell(text), values).fetchall()

    return SqlScans(rows)
