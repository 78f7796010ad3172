"""Collections: create, drop, list, rename, load state, properties."""

import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from roost.vector.api import (
    DEFAULT_PARTITION,
    CollectionInfo,
    Consistency,
    IndexSpec,
    NewCollection,
    PartitionInfo,
)
from roost.vector.catalog import tables
from roost.vector.catalog.database import Database
from roost.vector.catalog.ids import take_ids
from roost.vector.errors import CollectionExists, CollectionNotFound
from roost.vector.schema import CollectionSchema

_C = tables.collections.c
_P = tables.partitions.c
_I = tables.indexes.c
_A = tables.aliases.c


class CollectionRows:
    """The part of the catalog that knows collections as wholes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create_collection(
        self, new: NewCollection, created_ts: int, generation: int
    ) -> CollectionInfo:
        """Create it with its default partition; field ids are given if they are 0.

        The same one again is returned as it is.  Raises CollectionExists, LeaseLost.
        """
        schema = new.schema
        if any(field.id == 0 for field in schema.fields):
            schema = schema.numbered()
        with self._database.changing(generation) as connection:
            found = load_collections(connection, _C.live_name == new.name)
            if found:
                return _same_or_refuse(found[0], new, schema)
            refuse_taken_name(connection, new.name)
            collection_id = take_ids(connection, "collection", 1)[0]
            connection.execute(
                sa.insert(tables.collections).values(
                    id=collection_id,
                    name=new.name,
                    live_name=new.name,
                    schema_json=schema.to_json(),
                    consistency=int(new.consistency),
                    properties_json=json.dumps(dict(new.properties)),
                    shards=new.shards,
                    loaded=False,
                    created_ts=created_ts,
                    updated_ts=created_ts,
                )
            )
            connection.execute(
                sa.insert(tables.partitions).values(
                    id=take_ids(connection, "partition", 1)[0],
                    collection_id=collection_id,
                    name=DEFAULT_PARTITION,
                    created_ts=created_ts,
                )
            )
            return load_collections(connection, _C.id == collection_id)[0]

    def drop_collection(self, collection_id: int, generation: int) -> None:
        """Hide it from every name; its manifests stay until `forget_collection`."""
        with self._database.changing(generation) as connection:
            connection.execute(
                sa.update(tables.collections)
                .where(_C.id == collection_id)
                .values(live_name=None, loaded=False)
            )
            connection.execute(sa.delete(tables.aliases).where(_A.collection_id == collection_id))

    def dropped_collections(self) -> list[int]:
        """Return ids that were dropped but not forgotten: their files are garbage."""
        query = sa.select(_C.id).where(_C.live_name.is_(None)).order_by(_C.id)
        with self._database.reading() as connection:
            return list(connection.execute(query).scalars())

    def forget_collection(self, collection_id: int, generation: int) -> None:
        """Remove every row of a dropped collection, manifests included (pinned ones excepted)."""
        manifests, pins = tables.manifests.c, tables.pins.c
        pinned = sa.select(pins.version).where(pins.collection_id == collection_id)
        with self._database.changing(generation) as connection:
            live = sa.select(_C.live_name).where(_C.id == collection_id)
            if connection.execute(live).scalar_one_or_none() is not None:
                raise CollectionExists(f"collection {collection_id} is not dropped")
            # The change counter counts the highest `seq`, which may go with these rows.
            highest = sa.select(sa.func.coalesce(sa.func.max(manifests.seq), 0))
            highest_seq = connection.execute(highest).scalar_one()
            raised = tables.state.c.changes + highest_seq
            connection.execute(sa.update(tables.state).values(changes=raised))
            connection.execute(
                sa.delete(tables.manifests).where(
                    manifests.collection_id == collection_id, manifests.version.not_in(pinned)
                )
            )
            for table in (tables.partitions, tables.indexes):
                connection.execute(sa.delete(table).where(table.c.collection_id == collection_id))
            connection.execute(sa.delete(tables.collections).where(_C.id == collection_id))

    def list_collections(self) -> list[CollectionInfo]:
        """Return all, by name, as of one instant."""
        with self._database.reading() as connection:
            return load_collections(connection, _C.live_name.is_not(None))

    def describe_collection(self, name: str) -> CollectionInfo:
        """Return it by name or alias.  Raises CollectionNotFound."""
        aliased = sa.select(_A.collection_id).where(_A.alias == name).scalar_subquery()
        with self._database.reading() as connection:
            found = load_collections(connection, sa.or_(_C.live_name == name, _C.id == aliased))
        if not found:
            raise CollectionNotFound(name)
        return found[0]

    def describe_collection_id(self, collection_id: int) -> CollectionInfo:
        """Return it by id.  Raises CollectionNotFound."""
        with self._database.reading() as connection:
            found = load_collections(
                connection, sa.and_(_C.id == collection_id, _C.live_name.is_not(None))
            )
        if not found:
            raise CollectionNotFound(str(collection_id))
        return found[0]

    def rename_collection(self, collection_id: int, name: str, generation: int) -> None:
        """Give it another name.  Raises CollectionExists, CollectionNotFound, LeaseLost."""
        with self._database.changing(generation) as connection:
            refuse_taken_name(connection, name)
            _update(connection, collection_id, name=name, live_name=name)

    def set_loaded(self, collection_id: int, loaded: bool, generation: int) -> None:
        """Say whether it is searchable.  Raises CollectionNotFound, LeaseLost."""
        with self._database.changing(generation) as connection:
            _update(connection, collection_id, loaded=loaded)

    def set_properties(
        self, collection_id: int, properties: Mapping[str, str], generation: int
    ) -> None:
        """Replace its properties.  Raises CollectionNotFound, LeaseLost."""
        with self._database.changing(generation) as connection:
            _update(connection, collection_id, properties_json=json.dumps(dict(properties)))


def refuse_taken_name(connection: Connection, name: str) -> None:
    """Raise CollectionExists if a live collection or an alias has that name."""
    if connection.execute(sa.select(_C.id).where(_C.live_name == name)).first():
        raise CollectionExists(f"a collection is named {name}")
    if connection.execute(sa.select(_A.alias).where(_A.alias == name)).first():
        raise CollectionExists(f"an alias is named {name}")


def refuse_missing_collection(connection: Connection, collection_id: int) -> None:
    """Raise CollectionNotFound unless a live collection has that id."""
    query = sa.select(_C.id).where(_C.id == collection_id, _C.live_name.is_not(None))
    if connection.execute(query).first() is None:
        raise CollectionNotFound(str(collection_id))


def load_collections(connection: Connection, where: sa.ColumnElement[bool]) -> list[CollectionInfo]:
    """Return the collections that fit, by name, in four queries however many they are."""
    rows = connection.execute(sa.select(tables.collections).where(where).order_by(_C.name)).all()
    chosen = sa.select(_C.id).where(where)
    partitions: dict[int, list[PartitionInfo]] = {}
    query = sa.select(tables.partitions).where(_P.collection_id.in_(chosen)).order_by(_P.id)
    for row in connection.execute(query):
        partition = PartitionInfo(row.id, row.name, row.created_ts)
        partitions.setdefault(row.collection_id, []).append(partition)
    indexes: dict[int, list[IndexSpec]] = {}
    query = sa.select(tables.indexes).where(_I.collection_id.in_(chosen)).order_by(_I.id)
    for row in connection.execute(query):
        indexes.setdefault(row.collection_id, []).append(index_of(row))
    aliases: dict[int, list[str]] = {}
    query = sa.select(tables.aliases).where(_A.collection_id.in_(chosen)).order_by(_A.alias)
    for row in connection.execute(query):
        aliases.setdefault(row.collection_id, []).append(row.alias)
    return [
        CollectionInfo(
            id=row.id,
            name=row.name,
            schema=CollectionSchema.from_json(row.schema_json),
            consistency=Consistency(row.consistency),
            created_ts=row.created_ts,
            updated_ts=row.updated_ts,
            partitions=tuple(partitions.get(row.id, ())),
            indexes=tuple(indexes.get(row.id, ())),
            loaded=row.loaded,
            properties=json.loads(row.properties_json),
            shards=row.shards,
            aliases=tuple(aliases.get(row.id, ())),
        )
        for row in rows
    ]


def index_of(row: sa.Row[Any]) -> IndexSpec:
    """Return a row of the indexes table as a value."""
    return IndexSpec(
        field=row.field,
        name=row.name,
        index_type=row.index_type,
        metric=row.metric,
        params=json.loads(row.params_json),
        id=row.id,
    )


def _same_or_refuse(
    found: CollectionInfo, new: NewCollection, schema: CollectionSchema
) -> CollectionInfo:
    if found.schema != schema or found.consistency != new.consistency:
        raise CollectionExists(f"collection {new.name} exists with a different schema")
    return found


def _update(connection: Connection, collection_id: int, **values: object) -> None:
    where = sa.and_(_C.id == collection_id, _C.live_name.is_not(None))
    if connection.execute(sa.update(tables.collections).where(where).values(**values)).rowcount:
        return
    raise CollectionNotFound(str(collection_id))
