"""A small, obviously right `VectorService` in memory: the oracle that tests compare with.

Every row ever written is kept as a Python dict with the timestamps between which it lived, so a
read at any instant is a walk over all of them.  One lock makes every call atomic.  The words of
refusal are the engine's own (`planning`, `definitions`, `rows`); what is found is not.
"""

import functools
import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

import numpy as np
import pyarrow as pa

from roost.clock import Clock
from roost.errors import AlreadyExists, InvalidArgument, NotFound
from roost.testing.reference_filter import reference_filter
from roost.testing.reference_rows import (
    FOREVER,
    Row,
    batch_of,
    key_of,
    keys_of,
    matrix_of,
    output_plan,
    parsed_rows,
    same_collection,
    searched_field,
)
from roost.testing.reference_scores import BEST_FIRST, scores_of, within_range
from roost.vector import api
from roost.vector.collection.planning import plan_query, plan_search
from roost.vector.engine import definitions
from roost.vector.engine.rows import complete_rows, last_of_each_key
from roost.vector.errors import (
    CollectionExists,
    CollectionNotFound,
    IndexNotFound,
    IndexParameterError,
    SchemaMismatch,
)
from roost.vector.timestamps import HybridClock

_KNOWN_INDEXES = frozenset({"AUTOINDEX", "FLAT", "HNSW"})

Method = TypeVar("Method", bound=Callable[..., Any])


@dataclass(slots=True)
class _Held:
    """A collection and all its rows, dead ones too, in the order they were written."""

    info: api.CollectionInfo
    rows: list[Row] = field(default_factory=list)


def _atomic(method: Method) -> Method:
    @functools.wraps(method)
    def locked(self: "ReferenceService", *args: Any, **kwargs: Any) -> Any:
        with self._lock:
            return method(self, *args, **kwargs)

    return cast("Method", locked)


class ReferenceService:
    """Brute force over plain Python rows.  Implements `VectorService` and `AliasService`."""

    def __init__(self, clock: Clock) -> None:
        self._lock = threading.RLock()
        self._clock = HybridClock(clock)
        self._held: dict[str, _Held] = {}
        self._aliases: dict[str, str] = {}
        self._ids = itertools.count(1000)

    @_atomic
    def create_collection(self, new: api.NewCollection) -> api.CollectionInfo:
        """As in VectorService."""
        new = definitions.checked_collection(new)
        held = self._held.get(new.name)
        if held is not None:
            if same_collection(held.info, new):
                return held.info
            raise CollectionExists(
                f"create duplicate collection with different parameters, collection: {new.name}"
            )
        now = self._clock.next()
        default = api.PartitionInfo(next(self._ids), api.DEFAULT_PARTITION, now)
        info = api.CollectionInfo(
            id=next(self._ids),
            name=new.name,
            schema=new.schema,
            consistency=new.consistency,
            created_ts=now,
            updated_ts=now,
            partitions=(default,),
            indexes=(),
            loaded=False,
            properties=dict(new.properties),
            shards=new.shards,
        )
        self._held[new.name] = _Held(info)
        return info

    @_atomic
    def drop_collection(self, name: str) -> None:
        """As in VectorService."""
        self._held.pop(self._aliases.get(name, name), None)
        self._aliases = {a: of for a, of in self._aliases.items() if of in self._held}

    @_atomic
    def describe_collection(self, name: str) -> api.CollectionInfo:
        """As in VectorService."""
        return self._find(name).info

    def look_up(self, name: str) -> api.CollectionInfo:
        """As in VectorService."""
        return self.describe_collection(name)

    @_atomic
    def describe_collection_id(self, collection_id: int) -> api.CollectionInfo:
        """As in VectorService."""
        for held in self._held.values():
            if held.info.id == collection_id:
                return held.info
        raise CollectionNotFound(str(collection_id))

    @_atomic
    def list_collections(self) -> list[api.CollectionInfo]:
        """As in VectorService."""
        return [self._held[name].info for name in sorted(self._held)]

    @_atomic
    def create_partition(self, collection: str, name: str) -> None:
        """As in VectorService."""
        held = self._find(collection)
        if any(partition.name == name for partition in held.info.partitions):
            return
        definitions.checked_new_partition(held.info, name)
        added = api.PartitionInfo(next(self._ids), name, self._clock.next())
        held.info = replace(held.info, partitions=(*held.info.partitions, added))

    @_atomic
    def drop_partition(self, collection: str, name: str) -> None:
        """As in VectorService."""
        held = self._find(collection)
        if name == api.DEFAULT_PARTITION:
            raise InvalidArgument("default partition cannot be deleted")
        kept = tuple(p for p in held.info.partitions if p.name != name)
        held.info = replace(held.info, partitions=kept)
        held.rows = [row for row in held.rows if row.partition != name]

    @_atomic
    def create_index(self, collection: str, spec: api.IndexSpec) -> None:
        """As in VectorService."""
        held = self._find(collection)
        vector = held.info.schema.field(spec.field).dtype.is_vector
        if vector and spec.index_type not in _KNOWN_INDEXES:
            raise IndexParameterError(f"invalid index type: {spec.index_type}")
        metric = spec.metric or ("COSINE" if vector else "")
        if vector and metric not in BEST_FIRST:
            raise IndexParameterError(f"float vector index does not support metric type: {metric}")
        spec = replace(spec, metric=metric, id=next(self._ids))
        for existing in held.info.indexes:
            if existing.field == spec.field:
                if replace(existing, id=spec.id) == spec:
                    return
                raise AlreadyExists("at most one distinct index is allowed per field")
        held.info = replace(held.info, indexes=(*held.info.indexes, spec))

    @_atomic
    def drop_index(self, collection: str, name: str) -> None:
        """As in VectorService."""
        held = self._find(collection)
        kept = tuple(spec for spec in held.info.indexes if name not in (spec.name, spec.field))
        held.info = replace(held.info, indexes=kept)

    @_atomic
    def describe_indexes(self, collection: str) -> list[api.IndexInfo]:
        """As in VectorService; everything is indexed at once."""
        held = self._find(collection)
        count = len(self._alive(held, FOREVER - 1))
        finished = api.IndexState.FINISHED
        return [api.IndexInfo(spec, count, count, 0, finished) for spec in held.info.indexes]

    @_atomic
    def load(self, collection: str) -> None:
        """As in VectorService."""
        held = self._find(collection)
        indexed = {spec.field for spec in held.info.indexes}
        for vector in held.info.schema.vectors:
            if vector.name not in indexed:
                raise IndexNotFound(
                    f"there is no vector index on field: [{vector.name}], "
                    "please create index firstly"
                )
        held.info = replace(held.info, loaded=True)

    @_atomic
    def release(self, collection: str) -> None:
        """As in VectorService."""
        held = self._find(collection)
        held.info = replace(held.info, loaded=False)

    @_atomic
    def load_progress(self, collection: str) -> api.LoadProgress:
        """As in VectorService."""
        if self._find(collection).info.loaded:
            return api.LoadProgress(api.LoadState.LOADED, 100)
        return api.LoadProgress(api.LoadState.NOT_LOADED, 0)

    @_atomic
    def insert(self, request: api.InsertRequest) -> api.MutationAnswer:
        """As in VectorService."""
        held = self._find(request.collection)
        schema = held.info.schema
        if request.schema_ts not in (0, held.info.updated_ts):
            raise SchemaMismatch(f"collection schema mismatch[collection={request.collection}]")
        partition = held.info.partition(request.partition or api.DEFAULT_PARTITION).name
        rows = complete_rows(schema, request.rows, self._clock, upsert=request.upsert)
        keys = rows.column(schema.primary.name)
        now = self._clock.next()
        if request.upsert:
            rows = last_of_each_key(schema, rows)
            named = set(keys.to_pylist())
            self._kill(held, now, lambda row: row.values[schema.primary.name] in named)
        held.rows += [Row(values, partition, now) for values in parsed_rows(rows, schema)]
        return api.MutationAnswer(keys, len(keys), now)

    @_atomic
    def delete(self, request: api.DeleteRequest) -> api.MutationAnswer:
        """As in VectorService."""
        held = self._find(request.collection)
        key = held.info.schema.primary.name
        if request.partition:
            held.info.partition(request.partition)
        passes = reference_filter(request.filter, held.info.schema, request.filter_params)
        named = None if request.ids is None else set(request.ids.to_pylist())
        now = self._clock.next()
        dead = self._kill(
            held,
            now,
            lambda row: (
                (named is None or row.values[key] in named)
                and row.partition == (request.partition or row.partition)
                and passes(row.values)
            ),
        )
        return api.MutationAnswer(keys_of(dead, held.info.schema), len(dead), now)

    @_atomic
    def search(self, request: api.SearchRequest) -> api.SearchAnswer:
        """As in VectorService."""
        plan_search(self._find(request.collection).info, request)  # Only for its refusals.
        info, rows, read_ts = self._readable(request)
        vector, metric = searched_field(info, request)
        columns, names = output_plan(info.schema, request.output_fields)
        found: list[tuple[Row, float]] = []
        counts = []
        for query in request.queries:
            scored = zip(rows, scores_of(metric, query, matrix_of(rows, vector)), strict=True)
            hits = [(row, score) for row, score in scored if within_range(metric, score, request)]
            hits.sort(key=lambda hit: (BEST_FIRST[metric] * hit[1], key_of(hit[0], info)))
            page = hits[request.offset : request.offset + request.k]
            counts.append(len(page))
            found += page
        hit_rows = [row for row, _ in found]
        return api.SearchAnswer(
            counts=np.array(counts, np.int64),
            ids=keys_of(hit_rows, info.schema),
            scores=np.array([score for _, score in found], np.float32),
            rows=batch_of(hit_rows, columns, info.schema),
            primary_field=info.schema.primary.name,
            read_ts=read_ts,
            output_fields=names,
        )

    @_atomic
    def query(self, request: api.QueryRequest) -> api.QueryAnswer:
        """As in VectorService."""
        plan_query(self._find(request.collection).info, request)  # Only for its refusals.
        info, rows, read_ts = self._readable(request)
        key = info.schema.primary.name
        if request.ids is not None:
            named = set(request.ids.to_pylist())
            rows = [row for row in rows if row.values[key] in named]
        if request.count_only:
            count = pa.RecordBatch.from_pydict({"count(*)": pa.array([len(rows)], pa.int64())})
            return api.QueryAnswer(count, key, read_ts, ("count(*)",))
        columns, names = output_plan(info.schema, (key, *request.output_fields))
        rows = sorted(rows, key=lambda row: key_of(row, info))
        end = None if request.limit is None else request.offset + request.limit
        page = rows[request.offset : end]
        return api.QueryAnswer(batch_of(page, columns, info.schema), key, read_ts, names)

    @_atomic
    def flush(self, collections: tuple[str, ...]) -> api.FlushAnswer:
        """As in VectorService; there is nothing to seal."""
        held = {name: self._find(name) for name in collections}
        now = self._clock.next()
        return api.FlushAnswer(
            {name: (next(self._ids),) if one.rows else () for name, one in held.items()},
            dict.fromkeys(collections, now),
        )

    @_atomic
    def compact(self, collection: str) -> int:
        """As in VectorService."""
        return self._find(collection).info.id

    @_atomic
    def compaction_done(self, compaction_id: int) -> bool:
        """As in VectorService."""
        if any(held.info.id == compaction_id for held in self._held.values()):
            return True
        raise NotFound(f"no compaction {compaction_id}")

    @_atomic
    def row_count(self, collection: str, partition: str = "") -> int:
        """As in VectorService."""
        held = self._find(collection)
        alive = self._alive(held, FOREVER - 1)
        return sum(row.partition == (partition or row.partition) for row in alive)

    @_atomic
    def create_alias(self, alias: str, collection: str) -> None:
        """As in AliasService."""
        if alias in self._held or alias in self._aliases:
            raise AlreadyExists(f"{alias} is the name of a collection or an alias")
        self._rename(alias, self._find(collection).info.name)

    @_atomic
    def alter_alias(self, alias: str, collection: str) -> None:
        """As in AliasService."""
        if alias not in self._aliases:
            raise NotFound(f"alias not found[alias={alias}]")
        self._rename(alias, self._find(collection).info.name)

    @_atomic
    def drop_alias(self, alias: str) -> None:
        """As in AliasService."""
        self._rename(alias, None)

    def now_ts(self) -> int:
        """As in VectorService."""
        return self._clock.next()

    def _find(self, name: str) -> _Held:
        held = self._held.get(self._aliases.get(name, name))
        if held is None:
            raise CollectionNotFound(name)
        return held

    def _rename(self, alias: str, collection: str | None) -> None:
        """Let `alias` name that collection, or none."""
        self._aliases.pop(alias, None)
        if collection is not None:
            self._aliases[alias] = collection
        for name, held in self._held.items():
            names = tuple(sorted(a for a, of in self._aliases.items() if of == name))
            held.info = replace(held.info, aliases=names)

    def _alive(self, held: _Held, at: int) -> list[Row]:
        return [row for row in held.rows if row.born <= at < row.died]

    def _kill(self, held: _Held, now: int, doomed: Callable[[Row], bool]) -> list[Row]:
        dead = [row for row in self._alive(held, now) if doomed(row)]
        for row in dead:
            row.died = now
        return dead

    def _readable(
        self, request: api.SearchRequest | api.QueryRequest
    ) -> tuple[api.CollectionInfo, list[Row], int]:
        """Return the rows that pass, each key once, and the instant at which they were read."""
        held = self._find(request.collection)
        wanted = {held.info.partition(name).name for name in request.partitions}
        passes = reference_filter(request.filter, held.info.schema, request.filter_params)
        read_ts = min(self._clock.next(), request.freshness.exactly_ts or FOREVER)
        newest: dict[Any, Row] = {}
        for row in self._alive(held, read_ts):
            if (not wanted or row.partition in wanted) and passes(row.values):
                newest[row.values[held.info.schema.primary.name]] = row
        return held.info, list(newest.values()), read_ts
