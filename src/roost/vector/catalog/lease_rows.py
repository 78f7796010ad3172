"""The lease row, the seals of older logs, and the floor of the log."""

from collections.abc import Mapping

import sqlalchemy as sa

from roost.errors import AlreadyExists, LeaseLost
from roost.vector.catalog import tables
from roost.vector.catalog.database import Database, hold_lease
from roost.vector.catalog.values import LeaseRow
from roost.vector.log.reader import LogFloor
from roost.vector.log.record import LogPosition

_L = tables.lease.c
_S = tables.seals.c
_F = tables.log_floor.c


class LeaseRows:
    """The part of the catalog that decides who writes.  Each change is one statement (H2)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def lease(self) -> LeaseRow:
        """Return the lease as it is now."""
        with self._database.reading() as connection:
            row = connection.execute(sa.select(tables.lease)).one()
        return LeaseRow(
            row.generation,
            row.holder,
            row.renewals,
            row.high_water_ts,
            row.released,
            row.term_ms / 1000,
        )

    def claim_generation(self, member_id: str, expected: LeaseRow, term_s: float) -> LeaseRow:
        """Become the writer if the lease is still exactly `expected`; return the row as claimed.

        A renewal since `expected` was read makes it fail: a holder that still renews counts on its
        full term.  Raises LeaseLost if the row has changed.
        """
        claimed = LeaseRow(
            generation=expected.generation + 1,
            holder=member_id,
            renewals=expected.renewals + 1,
            high_water_ts=expected.high_water_ts,
            released=False,
            term_s=term_s,
        )
        claim = (
            sa.update(tables.lease)
            .where(_L.generation == expected.generation, _L.renewals == expected.renewals)
            .values(
                generation=claimed.generation,
                holder=member_id,
                renewals=claimed.renewals,
                released=False,
                term_ms=round(term_s * 1000),
            )
        )
        if self._database.execute_alone(claim) == 0:
            raise LeaseLost(f"{member_id} cannot claim the lease: it moved meanwhile")
        return claimed

    def renew(self, generation: int, reserve_ts: int) -> None:
        """Count a renewal and raise the high-water mark to `reserve_ts`.  Raises LeaseLost."""
        renewal = (
            sa.update(tables.lease)
            .where(_L.generation == generation, _L.released.is_(False))
            .values(
                renewals=_L.renewals + 1,
                high_water_ts=sa.case(
                    (_L.high_water_ts < reserve_ts, reserve_ts), else_=_L.high_water_ts
                ),
            )
        )
        if self._database.execute_alone(renewal) == 0:
            raise LeaseLost(f"generation {generation} has ended: the lease was taken or released")

    def release(self, generation: int) -> None:
        """Step down: anyone may claim at once.  Nothing if the lease is not ours any more."""
        step_down = (
            sa.update(tables.lease)
            .where(_L.generation == generation)
            .values(released=True, renewals=_L.renewals + 1)
        )
        self._database.execute_alone(step_down)

    def set_seals(self, seals: Mapping[int, LogPosition], generation: int) -> None:
        """Store where older logs end, for ever; a stored seal never changes.

        Raises LeaseLost; AlreadyExists if a different seal is stored.
        """
        with self._database.writing() as connection:
            stored = {row.generation: row for row in connection.execute(sa.select(tables.seals))}
            for sealed, end in sorted(seals.items()):
                assert sealed <= generation, "only the writer seals, itself or older ones"
                found = stored.get(sealed)
                if found is None:
                    connection.execute(
                        sa.insert(tables.seals).values(
                            generation=sealed, file=end.file, offset_bytes=end.offset
                        )
                    )
                elif LogPosition(found.file, found.offset_bytes) != end:
                    raise AlreadyExists(f"the log of generation {sealed} is sealed elsewhere")
            hold_lease(connection, generation)

    def seals(self) -> dict[int, LogPosition]:
        """Return generation → where its log ends, by generation."""
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(tables.seals).order_by(_S.generation))
            return {row.generation: LogPosition(row.file, row.offset_bytes) for row in rows}

    def set_log_floor(self, floor: LogFloor, generation: int) -> None:
        """Say that everything before was collected; removes seals below.  Never goes back."""
        below = sa.or_(
            _F.generation < floor.generation,
            sa.and_(_F.generation == floor.generation, _F.file <= floor.file),
        )
        with self._database.writing() as connection:
            raised = connection.execute(
                sa.update(tables.log_floor)
                .where(below)
                .values(generation=floor.generation, file=floor.file)
            )
            assert raised.rowcount == 1, "the floor of the log never goes back"
            connection.execute(sa.delete(tables.seals).where(_S.generation < floor.generation))
            hold_lease(connection, generation)

    def log_floor(self) -> LogFloor:
        """Return the first file of the log that was not collected."""
        with self._database.reading() as connection:
            row = connection.execute(sa.select(_F.generation, _F.file)).one()
            return LogFloor(row.generation, row.file)
