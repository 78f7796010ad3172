"""What must stay and what must go: pins, and paths marked doomed before they are deleted (H21).

A stored manifest row is a reference.  `doom` marks only what no row names, and no later row may
name what is doomed, so between the mark and the delete no reference can appear.
"""

from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from roost.errors import AlreadyExists, NotFound, Unavailable
from roost.vector.catalog import tables
from roost.vector.catalog.database import Database, hold_lease
from roost.vector.catalog.manifest_rows import read_change_counter
from roost.vector.catalog.values import Doomed, Pin
from roost.vector.manifest import Manifest

_M = tables.manifests.c
_N = tables.pins.c
_D = tables.doomed.c

DOOM_ATTEMPTS_MAX = 5
_BATCH = 1000  # paths in one statement


class GarbageRows:
    """The part of the catalog that decides what may be deleted."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def pin(self, pin: Pin, generation: int) -> None:
        """Keep a version.  Raises AlreadyExists for the name, NotFound for the version."""
        version = sa.select(_M.seq).where(
            _M.collection_id == pin.collection_id, _M.version == pin.version
        )
        with self._database.changing(generation) as connection:
            if connection.execute(sa.select(_N.name).where(_N.name == pin.name)).first():
                raise AlreadyExists(f"a pin is named {pin.name}")
            if connection.execute(version).first() is None:
                raise NotFound(f"collection {pin.collection_id} has no version {pin.version}")
            connection.execute(
                sa.insert(tables.pins).values(
                    name=pin.name, collection_id=pin.collection_id, version=pin.version
                )
            )

    def unpin(self, name: str, generation: int) -> None:
        """Let it go; nothing if there is none."""
        with self._database.changing(generation) as connection:
            connection.execute(sa.delete(tables.pins).where(_N.name == name))

    def pins(self) -> list[Pin]:
        """Return all pins, by name."""
        query = sa.select(_N.name, _N.collection_id, _N.version).order_by(_N.name)
        with self._database.reading() as connection:
            return [Pin(*row) for row in connection.execute(query)]

    def doom(self, paths: Sequence[str], generation: int, now_ms: int) -> list[str]:
        """Mark paths that no stored manifest names, and return those marked (H21).

        A path is the exact text a manifest would have.  The manifests are read beforehand, outside
        the lock; the mark is made only if none was added since.  Raises LeaseLost; Unavailable
        if manifests are committed faster than this can look, a few times in a row.
        """
        for _attempt in range(DOOM_ATTEMPTS_MAX):
            counter, named = self._named_paths()
            chosen = sorted(set(paths) - named)
            if self._doom_if_unchanged(chosen, counter, generation, now_ms):
                return chosen
        raise Unavailable("manifests change too fast to mark garbage; try again later")

    def doomed(self) -> list[Doomed]:
        """Return all doomed paths, oldest first."""
        query = sa.select(_D.path, _D.generation, _D.doomed_ms).order_by(_D.doomed_ms, _D.path)
        with self._database.reading() as connection:
            return [Doomed(*row) for row in connection.execute(query)]

    def undoom(self, paths: Iterable[str], generation: int) -> None:
        """Forget them: they were deleted."""
        gone = sorted(set(paths))
        with self._database.writing() as connection:
            for start in range(0, len(gone), _BATCH):
                batch = gone[start : start + _BATCH]
                connection.execute(sa.delete(tables.doomed).where(_D.path.in_(batch)))
            hold_lease(connection, generation)

    def _named_paths(self) -> tuple[int, set[str]]:
        """Return the change counter and every path that a stored manifest names, at one instant."""
        named: set[str] = set()
        query = sa.select(_M.collection_id, _M.version, _M.body)
        with self._database.reading() as connection:
            counter = read_change_counter(connection)
            for row in connection.execute(query):
                where = f"manifest of collection {row.collection_id} version {row.version}"
                named |= Manifest.from_json(row.body, where).paths
        return counter, named

    def _doom_if_unchanged(
        self, paths: list[str], counter: int, generation: int, now_ms: int
    ) -> bool:
        with self._database.writing() as connection:
            hold_lease(connection, generation)  # first: a commit of a manifest needs the row too
            if read_change_counter(connection) != counter:
                return False
            for start in range(0, len(paths), _BATCH):
                batch = paths[start : start + _BATCH]
                known = set(
                    connection.execute(sa.select(_D.path).where(_D.path.in_(batch))).scalars()
                )
                rows = [
                    {"path": path, "generation": generation, "doomed_ms": now_ms}
                    for path in batch
                    if path not in known
                ]
                if rows:
                    connection.execute(sa.insert(tables.doomed), rows)
        return True
