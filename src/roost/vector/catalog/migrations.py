"""Bringing a catalog to the version of this Roost: forward, in one transaction, or not at all."""

from collections.abc import Callable, Mapping

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from roost.errors import CorruptRecord, NewerFormat
from roost.vector.catalog import tables
from roost.vector.catalog.database import Database

VERSION = 1
STEPS: Mapping[int, Callable[[Connection], None]] = {}
"""From a version to the next: the statements of that step, written out, never `tables` as they are
now.  A released step is not changed any more."""


def prepare(
    database: Database,
    steps: Mapping[int, Callable[[Connection], None]] = STEPS,
    version: int = VERSION,
) -> None:
    """Make the tables if there are none, or migrate them to `version`; nothing if all is well.

    Several processes may do this at once.  Raises NewerFormat, CorruptRecord.
    """
    with database.reading() as connection:
        if _found(connection, database.place, version) == version:
            return
    with database.writing() as connection:
        found = _found(connection, database.place, version)
        if found is None:
            _create(connection, version)
            return
        for step in range(found, version):
            steps[step](connection)
        connection.execute(sa.update(tables.format_version).values(version=version))


def _found(connection: Connection, place: str, known: int) -> int | None:
    """Return the version in the database, None if there is no catalog yet."""
    if not sa.inspect(connection).has_table(tables.format_version.name):
        return None
    found = connection.execute(sa.select(tables.format_version.c.version)).scalar_one_or_none()
    if found is None:
        raise CorruptRecord(place, f"{tables.format_version.name} has no row")
    if found > known:
        raise NewerFormat(place, found, known)
    return int(found)


def _create(connection: Connection, version: int) -> None:
    tables.metadata.create_all(connection)
    connection.execute(sa.insert(tables.state).values(id=1, changes=0))
    connection.execute(sa.insert(tables.log_floor).values(id=1, generation=0, file=0))
    connection.execute(
        sa.insert(tables.lease).values(
            id=1, generation=0, holder="", renewals=0, high_water_ts=0, released=True, term_ms=0
        )
    )
    # Last, because MySQL commits each CREATE TABLE by itself: without this row nothing counts.
    connection.execute(sa.insert(tables.format_version).values(id=1, version=version))
