"""Members of the cluster and their heartbeats.  Counters, not dates, decide."""

import sqlalchemy as sa

from roost.vector.catalog import tables
from roost.vector.catalog.database import Database
from roost.vector.catalog.values import Member

_M = tables.members.c


class MemberRows:
    """The part of the catalog that knows the members."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(self, member: Member) -> None:
        """Add or replace a member; its beats start at `member.beats`."""
        with self._database.writing() as connection:
            connection.execute(sa.delete(tables.members).where(_M.id == member.id))
            connection.execute(
                sa.insert(tables.members).values(
                    id=member.id,
                    role=member.role,
                    address=member.address,
                    client_address=member.client_address,
                    beats=member.beats,
                    info=member.info,
                )
            )

    def beat(self, member_id: str) -> bool:
        """Count a heartbeat; False if the member is not registered (any more)."""
        beat = sa.update(tables.members).where(_M.id == member_id).values(beats=_M.beats + 1)
        return self._database.execute_alone(beat) > 0

    def leave(self, member_id: str) -> None:
        """Remove a member, oneself or one found dead."""
        self._database.execute_alone(sa.delete(tables.members).where(_M.id == member_id))

    def members(self) -> list[Member]:
        """Return all members, by id."""
        query = sa.select(_M.id, _M.role, _M.address, _M.client_address, _M.beats, _M.info)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(_M.id))
            return [Member(*row) for row in rows]
