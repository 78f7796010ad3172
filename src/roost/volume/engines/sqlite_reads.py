"""Reading JuiceFS's tables in SQLite.

The connection's text_factory is bytes: slices that JuiceFS appended to are stored as TEXT with
embedded zeros, and names are never text here.
"""

import sqlite3
from typing import TypeVar

from roost.volume.engines.sql.dialect import SQLITE, Value
from roost.volume.engines.sql.queries import EDGE_BY_NAME, NODE_BY_INO, Query
from roost.volume.engines.sql.reads import QueryReads
from roost.volume.engines.sql.rows import Row, attr_of, edge_of
from roost.volume.engines.sql.scans import SqlScans
from roost.volume.engines.sqlite_forks import GATE
from roost.volume.model import Attr, Edge, Ino

T = TypeVar("T")
_NODE = SQLITE.spell(NODE_BY_INO)
_EDGE = SQLITE.spell(EDGE_BY_NAME)


class SqliteReads(QueryReads):
    """Satisfies meta.reads.Reads over one connection, as of its transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def answer(self, query: Query[T]) -> T:
        """As in QueryReads."""
        text = SQLITE.spell(query.text)
        return query.made(self._connection.execute(text, query.values).fetchall())

    # The two reads of every operation, without a query around them.
    def node(self, ino: Ino) -> Attr | None:
        """As in Reads."""
        rows = self._connection.execute(_NODE, (ino,)).fetchall()
        return attr_of(rows[0]) if rows else None

    def edge(self, parent: Ino, name: bytes) -> Edge | None:
        """As in Reads."""
        rows = self._connection.execute(_EDGE, (parent, name)).fetchall()
        return edge_of(rows[0][0], rows[0][1], parent) if rows else None


def scans_of(connection: sqlite3.Connection) -> SqlScans:
    """Return the listings of a connection's snapshot."""

    def rows(text: str, *values: Value) -> list[Row]:
        with GATE:
            return connection.execute(SQLITE.spell(text), values).fetchall()

    return SqlScans(rows)
