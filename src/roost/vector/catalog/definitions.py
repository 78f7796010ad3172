"""What belongs to a collection by name: partitions, indexes, aliases."""

import json
from collections.abc import Mapping
from dataclasses import replace

import sqlalchemy as sa

from roost.errors import AlreadyExists, InvalidArgument, NotFound
from roost.vector.api import DEFAULT_PARTITION, IndexSpec, PartitionInfo
from roost.vector.catalog import tables
from roost.vector.catalog.collection_rows import (
    index_of,
    refuse_missing_collection,
    refuse_taken_name,
)
from roost.vector.catalog.database import Database
from roost.vector.catalog.ids import take_ids
from roost.vector.errors import PartitionNotFound

_P = tables.partitions.c
_I = tables.indexes.c
_A = tables.aliases.c


class DefinitionRows:
    """The part of the catalog that knows partitions, indexes and aliases."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create_partition(
        self, collection_id: int, name: str, created_ts: int, generation: int
    ) -> PartitionInfo:
        """Create it, or return the one that exists.  Raises CollectionNotFound, LeaseLost."""
        with self._database.changing(generation) as connection:
            refuse_missing_collection(connection, collection_id)
            query = _partition(collection_id, name)
            found = connection.execute(query).first()
            if found is not None:
                return PartitionInfo(found.id, found.name, found.created_ts)
            partition = PartitionInfo(take_ids(connection, "partition", 1)[0], name, created_ts)
            connection.execute(
                sa.insert(tables.partitions).values(
                    id=partition.id,
                    collection_id=collection_id,
                    name=name,
                    created_ts=created_ts,
                )
            )
            return partition

    def drop_partition(self, collection_id: int, name: str, generation: int) -> PartitionInfo:
        """Drop and return it.  Raises PartitionNotFound, InvalidArgument (default), LeaseLost."""
        if name == DEFAULT_PARTITION:
            raise InvalidArgument(f"the partition {name} cannot be dropped")
        with self._database.changing(generation) as connection:
            refuse_missing_collection(connection, collection_id)
            found = connection.execute(_partition(collection_id, name)).first()
            if found is None:
                raise PartitionNotFound(name)
            connection.execute(sa.delete(tables.partitions).where(_P.id == found.id))
            return PartitionInfo(found.id, found.name, found.created_ts)

    def create_index(self, collection_id: int, spec: IndexSpec, generation: int) -> IndexSpec:
        """Return it with its id; the same one again is returned as it is.

        Raises AlreadyExists when the field has another one or the name is taken, LeaseLost.
        """
        with self._database.changing(generation) as connection:
            refuse_missing_collection(connection, collection_id)
            clash = sa.or_(_I.field == spec.field, _I.name == spec.name)
            query = sa.select(tables.indexes).where(_I.collection_id == collection_id, clash)
            for row in connection.execute(query):
                found = index_of(row)
                if replace(found, id=0) == replace(spec, id=0, params=dict(spec.params)):
                    return found
                if found.field == spec.field:
                    raise AlreadyExists("at most one distinct index is allowed per field")
                raise AlreadyExists(f"an index of another field is named {spec.name}")
            created = replace(spec, id=take_ids(connection, "index", 1)[0])
            connection.execute(
                sa.insert(tables.indexes).values(
                    id=created.id,
                    collection_id=collection_id,
                    field=spec.field,
                    name=spec.name,
                    index_type=spec.index_type,
                    metric=spec.metric,
                    params_json=json.dumps(dict(spec.params)),
                )
            )
            return created

    def drop_index(self, collection_id: int, name: str, generation: int) -> IndexSpec | None:
        """Drop it by index or field name and return it, None if there is none."""
        either = sa.or_(_I.name == name, _I.field == name)
        query = sa.select(tables.indexes).where(_I.collection_id == collection_id, either)
        with self._database.changing(generation) as connection:
            found = [index_of(row) for row in connection.execute(query)]
            if not found:
                return None
            # An index may be named like another one's field; its own name comes first.
            chosen = next((index for index in found if index.name == name), found[0])
            connection.execute(sa.delete(tables.indexes).where(_I.id == chosen.id))
            return chosen

    def create_alias(self, alias: str, collection_id: int, generation: int) -> None:
        """Raises AlreadyExists if it names something, CollectionNotFound, LeaseLost."""
        with self._database.changing(generation) as connection:
            refuse_missing_collection(connection, collection_id)
            refuse_taken_name(connection, alias)
            connection.execute(
                sa.insert(tables.aliases).values(alias=alias, collection_id=collection_id)
            )

    def alter_alias(self, alias: str, collection_id: int, generation: int) -> None:
        """Point it elsewhere.  Raises NotFound, CollectionNotFound, LeaseLost."""
        change = sa.update(tables.aliases).where(_A.alias == alias)
        with self._database.changing(generation) as connection:
            refuse_missing_collection(connection, collection_id)
            if connection.execute(change.values(collection_id=collection_id)).rowcount == 0:
                raise NotFound(f"alias not found[alias={alias}]")

    def drop_alias(self, alias: str, generation: int) -> None:
        """Drop it; nothing if there is none."""
        with self._database.changing(generation) as connection:
            connection.execute(sa.delete(tables.aliases).where(_A.alias == alias))

    def aliases(self) -> Mapping[str, int]:
        """Return alias → collection id."""
        query = sa.select(_A.alias, _A.collection_id).order_by(_A.alias)
        with self._database.reading() as connection:
            return {row.alias: row.collection_id for row in connection.execute(query)}


def _partition(collection_id: int, name: str) -> sa.Select[tuple[int, int, str, int]]:
    return sa.select(tables.partitions).where(_P.collection_id == collection_id, _P.name == name)
