"""The catalog: SQL is the truth of collections, manifests, members and the lease.

Each part (`collection_rows`, `definitions`, `manifest_rows`, `garbage`, `ids`, `lease_rows`,
`members`) is a set of short transactions over one database.
"""

from roost.vector.catalog.collection_rows import CollectionRows
from roost.vector.catalog.database import Database
from roost.vector.catalog.definitions import DefinitionRows
from roost.vector.catalog.garbage import GarbageRows
from roost.vector.catalog.ids import IdRows
from roost.vector.catalog.lease_rows import LeaseRows
from roost.vector.catalog.manifest_rows import ManifestRows
from roost.vector.catalog.members import MemberRows
from roost.vector.catalog.migrations import prepare


class Catalog(
    CollectionRows, DefinitionRows, ManifestRows, GarbageRows, IdRows, LeaseRows, MemberRows
):
    """One catalog database; safe to use from many threads and processes.

    Every method is one short transaction; none is held across calls.  Methods that take
    `generation` commit only if the lease still has it, checked in the same transaction, and raise
    LeaseLost otherwise (before any writer claimed it, it is 0).  All raise Unavailable when the
    database cannot be reached or is busy too long, CommitUnknown when the answer of a commit was
    lost, StorageFull, CorruptRecord; NewerFormat on opening.
    """

    def __init__(self, url: str) -> None:
        """Open, make or migrate the catalog at an SQLAlchemy URL (sqlite:////absolute/path).

        Raises InvalidArgument for a bad URL, NewerFormat, CorruptRecord, Unavailable.
        """
        database = Database(url)
        prepare(database)
        super().__init__(database)

    def close(self) -> None:
        """Release all connections."""
        self._database.close()
