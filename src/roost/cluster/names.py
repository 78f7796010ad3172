"""The catalog's collections as a router remembers them.

Whatever is refused because of what is remembered is looked up again first (`fresh`).
"""

import threading

from roost.clock import Clock
from roost.errors import Failure
from roost.vector.api import CollectionInfo
from roost.vector.catalog.catalog import Catalog
from roost.vector.errors import CollectionNotFound
from roost.vector.manifest import Manifest

REMEMBER_S = 0.5
"""After this long one cheap read asks whether anything changed."""
MANIFESTS_KEPT = 256


class Names:
    """Collections by name and id, and manifests.  Thread-safe; `_lock` guards the fields alone."""

    def __init__(self, catalog: Catalog, clock: Clock) -> None:
        self._catalog = catalog
        self._clock = clock
        self._lock = threading.Lock()
        self._counter = -1
        self._looked_s = float("-inf")
        self._by_name: dict[str, CollectionInfo] = {}
        self._by_id: dict[int, CollectionInfo] = {}
        self._manifests: dict[tuple[int, int], Manifest] = {}

    def by_name(self, name: str) -> CollectionInfo:
        """Return the collection of that name or alias, remembered.  Raises CollectionNotFound."""
        self._remember()
        found = self._by_name.get(name)
        if found is None:
            self.fresh()
            found = self._by_name.get(name)
        if found is None:
            raise CollectionNotFound(name)
        return found

    def by_id(self, collection_id: int) -> CollectionInfo:
        """Return the collection of that id, up to date.  Raises CollectionNotFound."""
        self.fresh()
        try:
            return self._by_id[collection_id]
        except KeyError:
            raise CollectionNotFound(str(collection_id)) from None

    def all(self) -> list[CollectionInfo]:
        """Return all collections by name, up to date."""
        self.fresh()
        return sorted(self._by_id.values(), key=lambda info: info.name)

    def manifest(self, collection_id: int, version: int) -> Manifest:
        """Return one version, which never changes.  Raises NotFound."""
        key = (collection_id, version)
        found = self._manifests.get(key)
        if found is None:
            found = self._catalog.manifest(collection_id, version)
            with self._lock:
                while len(self._manifests) >= MANIFESTS_KEPT:
                    del self._manifests[next(iter(self._manifests))]
                self._manifests[key] = found
        return found

    def fresh(self) -> None:
        """Read again what has changed in the catalog.  Raises Unavailable."""
        counter = self._catalog.change_counter()
        if counter != self._counter:
            infos = self._catalog.list_collections()
            by_name = {info.name: info for info in infos}
            by_name.update({alias: info for info in infos for alias in info.aliases})
            with self._lock:
                self._by_name, self._by_id = by_name, {info.id: info for info in infos}
                self._counter = counter
        self._looked_s = self._clock.monotonic_s()

    def forget(self) -> None:
        """Have the next question look again."""
        self._looked_s = float("-inf")

    def _remember(self) -> None:
        if self._clock.monotonic_s() - self._looked_s < REMEMBER_S:
            return
        try:
            self.fresh()
        except Failure:
            if self._counter < 0:
                raise
            # Queries go on with what is remembered while the catalog is away.
            self._looked_s = self._clock.monotonic_s()
