"""DDL: collections, partitions, indexes, load and release.

SQL is the truth.  A change is one catalog transaction under the generation; then the writer's own
copy follows, then a BARRIER goes through the log, so that readers and Strong questions are ordered
after it (hazard H22), then followers are told.  A crash in between loses nothing: the next start
reads the catalog again.

`_lane` makes DDL one at a time; it is held over SQL: DDL is rare and nothing else waits.
"""

import json
import logging
import threading
from dataclasses import replace

import pyarrow as pa

from roost.errors import InvalidArgument
from roost.vector import api
from roost.vector.engine.commits import CommitLane
from roost.vector.engine.core import Core
from roost.vector.engine.definitions import (
    checked_collection,
    checked_name,
    checked_new_partition,
)
from roost.vector.engine.flushing import flush
from roost.vector.engine.held import Held
from roost.vector.engine.indexing import Indexing, without_index
from roost.vector.engine.recovering import open_collection
from roost.vector.errors import CollectionNotFound, IndexNotFound
from roost.vector.index.spec import check_spec
from roost.vector.log.record import RecordKind
from roost.vector.log.writer import LogWriter
from roost.vector.manifest import Manifest

log = logging.getLogger(__name__)


class Defining:
    """Changes what there is.  Safe from any thread."""

    def __init__(
        self, core: Core, log_writer: LogWriter, lane: CommitLane, indexing: Indexing
    ) -> None:
        self._core = core
        self._log = log_writer
        self._commits = lane
        self._indexing = indexing
        self._lane = threading.Lock()

    def create_collection(self, new: api.NewCollection) -> api.CollectionInfo:
        """As in VectorService."""
        core, new = self._core, checked_collection(new)
        with self._lane:
            info = core.catalog.create_collection(new, core.timestamps.next(), core.generation)
            if core.collections.get(info.id) is None:
                open_collection(core, info, core.catalog.latest_manifest(info.id))
                self._tell("create_collection", info.id)
            return info

    def drop_collection(self, name: str) -> None:
        """As in VectorService.  Raises InvalidArgument for an alias."""
        with self._lane:
            try:
                held = self._core.collections.by_name(name)
            except CollectionNotFound:
                return
            if name != held.state.info.name:
                raise InvalidArgument(f"cannot drop the collection via alias = {name}")
            with held.gate.alone():
                self._core.catalog.drop_collection(held.id, self._core.generation)
                self._core.collections.remove(held.id)
            self._tell("drop_collection", held.id)

    def rename_collection(self, name: str, new_name: str) -> None:
        """Give it another name.  Raises CollectionNotFound, CollectionExists."""
        checked_name("collection", new_name)
        with self._lane:
            held = self._core.collections.by_name(name)
            self._core.catalog.rename_collection(held.id, new_name, self._core.generation)
            self._changed("rename_collection", held)

    def create_partition(self, collection: str, name: str) -> None:
        """As in VectorService."""
        core = self._core
        with self._lane:
            held = core.collections.by_name(collection)
            if any(p.name == name for p in held.state.info.partitions):
                return
            checked_new_partition(held.state.info, name)
            core.catalog.create_partition(held.id, name, core.timestamps.next(), core.generation)
            self._changed("create_partition", held)

    def drop_partition(self, collection: str, name: str) -> None:
        """As in VectorService."""
        if name == api.DEFAULT_PARTITION:
            raise InvalidArgument("default partition cannot be deleted")
        with self._lane:
            held = self._core.collections.by_name(collection)
            if all(partition.name != name for partition in held.state.info.partitions):
                return
            with held.gate.alone():
                self._core.catalog.drop_partition(held.id, name, self._core.generation)
                self._refresh(held)
            self._changed("drop_partition", held)  # first: it is true even if the flush fails
            # Sealed up to here, so that no replay meets rows of the dropped partition again.
            flush(self._core, self._commits, held, self._log.tick().wait(), even_if_empty=True)

    def create_index(self, collection: str, spec: api.IndexSpec) -> None:
        """As in VectorService."""
        with self._lane:
            held = self._core.collections.by_name(collection)
            spec = check_spec(spec, held.state.info.schema.field(spec.field))
            if not spec.name:
                spec = replace(spec, name=spec.field)
            checked_name("index", spec.name)
            stored = self._core.catalog.create_index(held.id, spec, self._core.generation)
            self._indexing.forget(stored.id)
            self._changed("create_index", held)

    def drop_index(self, collection: str, name: str) -> None:
        """As in VectorService.  Raises InvalidArgument for a vector's of a loaded collection."""
        with self._lane:
            held = self._core.collections.by_name(collection)
            info = held.state.info
            named = [spec for spec in info.indexes if name in (spec.name, spec.field)]
            if not named:
                return
            if info.loaded and any(spec in info.vector_indexes for spec in named):
                raise InvalidArgument(
                    "index cannot be dropped because the collection is loaded,"
                    " please release it first"
                )
            dropped = self._core.catalog.drop_index(held.id, name, self._core.generation)
            self._refresh(held)
            if dropped is not None:
                index_id = dropped.id
                self._commits.commit(held, lambda base: without_index(base, index_id))
                self._indexing.forget(index_id)
            self._changed("drop_index", held)

    def load(self, collection: str) -> None:
        """As in VectorService."""
        with self._lane:
            held = self._core.collections.by_name(collection)
            info = held.state.info
            indexed = {spec.field for spec in info.indexes}
            missing = [f.name for f in info.schema.vectors if f.name not in indexed]
            if missing:
                raise IndexNotFound(
                    f"there is no vector index on field: [{' '.join(missing)}],"
                    f" please create index firstly[collection={info.name}]",
                    hint="Create an index first: client.create_index(...).",
                )
            if not info.loaded:
                self._core.catalog.set_loaded(held.id, True, self._core.generation)
                self._changed("load", held)

    def release(self, collection: str) -> None:
        """As in VectorService."""
        with self._lane:
            held = self._core.collections.by_name(collection)
            if held.state.info.loaded:
                self._core.catalog.set_loaded(held.id, False, self._core.generation)
                self._changed("release", held)

    def create_alias(self, alias: str, collection: str) -> None:
        """Let `alias` name the collection too.  Raises AlreadyExists, CollectionNotFound."""
        checked_name("alias", alias)
        with self._lane:
            held = self._core.collections.by_name(collection)
            self._core.catalog.create_alias(alias, held.id, self._core.generation)
            self._changed("create_alias", held)

    def alter_alias(self, alias: str, collection: str) -> None:
        """Point an alias elsewhere.  Raises NotFound, CollectionNotFound."""
        with self._lane:
            held = self._core.collections.by_name(collection)
            self._core.catalog.alter_alias(alias, held.id, self._core.generation)
            self._changed_all("alter_alias")

    def drop_alias(self, alias: str) -> None:
        """Drop it; nothing if there is none."""
        with self._lane:
            self._core.catalog.drop_alias(alias, self._core.generation)
            self._changed_all("drop_alias")

    def _refresh(self, held: Held) -> None:
        self._core.collections.update(self._core.catalog.describe_collection_id(held.id))

    def _changed(self, change: str, held: Held) -> None:
        self._refresh(held)
        self._tell(change, held.id)

    def _changed_all(self, change: str) -> None:
        for held in self._core.collections.all():
            self._refresh(held)
        self._tell(change, 0)

    def _tell(self, change: str, collection_id: int) -> None:
        payload = pa.py_buffer(json.dumps({"change": change, "id": collection_id}).encode())
        self._log.submit(RecordKind.BARRIER, collection_id, 0, payload).wait()
        self._core.feed.catalog_change()
        log.info("catalog changed: %s collection=%d", change, collection_id)


def without_dropped_partitions(held: Held, base: Manifest) -> Manifest | None:
    """In the commit lane: the version without segments of partitions that are no more."""
    alive = {partition.id for partition in held.state.info.partitions}
    kept = tuple(entry for entry in base.segments if entry.partition_id in alive)
    return None if kept == base.segments else replace(base, segments=kept)
