"""Ids that are never given twice."""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from roost.vector.catalog import tables
from roost.vector.catalog.database import Database


class IdRows:
    """The part of the catalog that hands out ids."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def allocate_ids(self, kind: str, count: int) -> range:
        """Return `count` ids never given before for that kind ("segment" …), from 1 on."""
        with self._database.writing() as connection:
            return take_ids(connection, kind, count)


def take_ids(connection: Connection, kind: str, count: int) -> range:
    """As `allocate_ids`, inside a writing transaction."""
    where = tables.ids.c.kind == kind
    next_id = tables.ids.c.next_id
    raised = connection.execute(sa.update(tables.ids).where(where).values(next_id=next_id + count))
    if raised.rowcount == 0:
        connection.execute(sa.insert(tables.ids).values(kind=kind, next_id=1 + count))
    end = int(connection.execute(sa.select(next_id).where(where)).scalar_one())
    return range(end - count, end)
