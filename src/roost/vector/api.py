"""What can be asked of a vector service: an engine in this process or the router of a cluster.

`serve/milvus` translates the wire to these words and back and cannot tell the two apart.
Values are frozen; rows travel as Arrow columns (see `columns`).  Every method raises the classes of
`roost.errors` and `vector.errors`.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as slot
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from roost.vector.schema import CollectionSchema

DEFAULT_PARTITION = "_default"


class Consistency(enum.IntEnum):
    """Milvus's levels and numbers.  Source: milvus-proto common.proto, ConsistencyLevel."""

    STRONG = 0
    SESSION = 1
    BOUNDED = 2
    EVENTUALLY = 3


@dataclass(frozen=True, slots=True)
class Freshness:
    """How fresh an answer must be.

    STRONG sees everything acknowledged before the question; SESSION everything up to `at_least_ts`;
    BOUNDED may be five seconds old; EVENTUALLY any age.  `exactly_ts` reads at that past timestamp
    (iterators); it wins over the level.
    """

    level: Consistency = Consistency.BOUNDED
    at_least_ts: int = 0
    exactly_ts: int | None = None


class LoadState(enum.IntEnum):
    """Source: milvus-proto common.proto, LoadState."""

    NOT_EXIST = 0
    NOT_LOADED = 1
    LOADING = 2
    LOADED = 3


class IndexState(enum.IntEnum):
    """Source: milvus-proto common.proto, IndexState."""

    NONE = 0
    UNISSUED = 1
    IN_PROGRESS = 2
    FINISHED = 3
    FAILED = 4


@dataclass(frozen=True, slots=True)
class PartitionInfo:
    """A partition as the catalog knows it."""

    id: int
    name: str
    created_ts: int


@dataclass(frozen=True, slots=True)
class IndexSpec:
    """What an index of one field is to be.

    `index_type` and `metric` are upper case, the metric of a scalar field's is ""; `params` are the
    type's own (M, efConstruction …), as the client sent them, all strings, kept for the echo.
    """

    field: str
    name: str
    index_type: str
    metric: str
    params: Mapping[str, str] = slot(default_factory=dict)
    id: int = 0
    """Given by the catalog."""


@dataclass(frozen=True, slots=True)
class IndexInfo:
    """An index and how far its build is, in rows."""

    spec: IndexSpec
    total_rows: int
    indexed_rows: int
    pending_rows: int
    state: IndexState
    fail_reason: str = ""


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """A collection as the catalog knows it."""

    id: int
    name: str
    schema: CollectionSchema
    consistency: Consistency
    created_ts: int
    updated_ts: int
    """Changes with the schema; a mutation with another one is refused (SchemaMismatch)."""
    partitions: tuple[PartitionInfo, ...]
    indexes: tuple[IndexSpec, ...]
    loaded: bool
    properties: Mapping[str, str] = slot(default_factory=dict)
    shards: int = 1
    """Echoed only; Roost has one log."""
    aliases: tuple[str, ...] = ()

    @property
    def vector_indexes(self) -> tuple[IndexSpec, ...]:
        """The indexes of vector fields; for those of scalars nothing is built."""
        vectors = {field.name for field in self.schema.vectors}
        return tuple(spec for spec in self.indexes if spec.field in vectors)

    def partition(self, name: str) -> PartitionInfo:
        """Return the partition of that name.  Raises PartitionNotFound."""
        from roost.vector.errors import PartitionNotFound

        for partition in self.partitions:
            if partition.name == name:
                return partition
        raise PartitionNotFound(name)


@dataclass(frozen=True, slots=True)
class NewCollection:
    """What `create_collection` needs; field ids are given by the service."""

    name: str
    schema: CollectionSchema
    consistency: Consistency = Consistency.BOUNDED
    properties: Mapping[str, str] = slot(default_factory=dict)
    shards: int = 1


@dataclass(frozen=True, slots=True)
class KeptBy:
    """Who keeps the payload of an insert, so that the record made of it need not carry it back."""

    token: str
    """Of the process that follows the writer."""
    number: int
    """Its own for that payload."""


@dataclass(frozen=True, slots=True)
class InsertRequest:
    """Rows to add; with `upsert`, rows of the same primary keys are deleted in the same instant.

    `rows` has the schema's columns in its order, without the primary key when it is given
    automatically.  `schema_ts` is the `updated_ts` the client translated with, 0 if unknown.
    """

    collection: str
    rows: pa.RecordBatch
    partition: str = ""
    upsert: bool = False
    schema_ts: int = 0
    payload: pa.Buffer | None = None
    """`rows` as `columns.encode_rows` gives them, if they were encoded already."""
    kept_by: KeptBy | None = None
    """Who keeps `payload`."""


@dataclass(frozen=True, slots=True)
class DeleteRequest:
    """Rows to delete: by primary keys, or by a filter evaluated at the newest state."""

    collection: str
    filter: str = ""
    ids: pa.Array | None = None
    partition: str = ""
    filter_params: Mapping[str, Any] = slot(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MutationAnswer:
    """What was written, durably, before this answer was given."""

    ids: pa.Array
    """int64 or string, in the order of the rows; for deletes the keys that were named."""
    count: int
    timestamp: int


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """The nearest rows of each query vector.

    `params` are per call (ef, radius, range_filter …).  Empty `vector_field` means the only one,
    empty `metric` the index's own.
    """

    collection: str
    queries: npt.NDArray[np.float32]
    """(nq, dim) float32, C order."""
    k: int
    vector_field: str = ""
    offset: int = 0
    metric: str = ""
    params: Mapping[str, Any] = slot(default_factory=dict)
    filter: str = ""
    filter_params: Mapping[str, Any] = slot(default_factory=dict)
    partitions: tuple[str, ...] = ()
    output_fields: tuple[str, ...] = ()
    """Names, "*" for all, dynamic keys by their name."""
    freshness: Freshness = Freshness()


@dataclass(frozen=True, slots=True)
class SearchAnswer:
    """Hits, best first, one query after the other.

    `scores` are Milvus's: squared distance for L2 (small is near), similarity for IP and COSINE.
    """

    counts: npt.NDArray[np.int64]
    """(nq,) hits of each query; their sum is the length of all columns here."""
    ids: pa.Array
    scores: npt.NDArray[np.float32]
    rows: pa.RecordBatch
    """The output fields asked for; no columns when none were.  Dynamic keys come as `$meta`."""
    primary_field: str
    read_ts: int
    output_fields: tuple[str, ...] = ()
    """Names as the client shall see them, "*" resolved, dynamic keys by name."""


@dataclass(frozen=True, slots=True)
class QueryRequest:
    """Rows by filter or by primary keys, in the order of their primary keys."""

    collection: str
    filter: str = ""
    filter_params: Mapping[str, Any] = slot(default_factory=dict)
    ids: pa.Array | None = None
    partitions: tuple[str, ...] = ()
    output_fields: tuple[str, ...] = ()
    limit: int | None = None
    offset: int = 0
    count_only: bool = False
    """For `count(*)`: `rows` of the answer then has one int64 column of that name."""
    freshness: Freshness = Freshness()


@dataclass(frozen=True, slots=True)
class QueryAnswer:
    """Rows found; the primary key is always among the columns."""

    rows: pa.RecordBatch
    primary_field: str
    read_ts: int
    output_fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FlushAnswer:
    """What one flush made: for each collection, its new sealed segments and the time it covers."""

    segment_ids: Mapping[str, tuple[int, ...]]
    complete_to_ts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class LoadProgress:
    """How far a collection is open for search."""

    state: LoadState
    percent: int


class VectorService(Protocol):
    """Everything a client can ask.  Safe to call from many threads."""

    def create_collection(self, new: NewCollection) -> CollectionInfo:
        """Create it.  The same one again is fine.  Raises CollectionExists, SchemaError."""
        ...

    def drop_collection(self, name: str) -> None:
        """Drop it and its rows; nothing if there is none."""
        ...

    def describe_collection(self, name: str) -> CollectionInfo:
        """Raises CollectionNotFound."""
        ...

    def look_up(self, name: str) -> CollectionInfo:
        """As `describe_collection`, but perhaps half a second old: to translate questions with.

        What is refused because of it should be asked again with the described one.
        """
        ...

    def describe_collection_id(self, collection_id: int) -> CollectionInfo:
        """As `describe_collection`, by id."""
        ...

    def list_collections(self) -> list[CollectionInfo]:
        """All of them, by name."""
        ...

    def create_partition(self, collection: str, name: str) -> None:
        """Create it; nothing if it exists.  Raises CollectionNotFound, InvalidArgument."""
        ...

    def drop_partition(self, collection: str, name: str) -> None:
        """Drop it and its rows.  Raises CollectionNotFound; InvalidArgument for the default one."""
        ...

    def create_index(self, collection: str, spec: IndexSpec) -> None:
        """Declare it and build it in the background; the same one again is fine.

        Raises CollectionNotFound, FieldNotFound, IndexParameterError, AlreadyExists.
        """
        ...

    def drop_index(self, collection: str, name: str) -> None:
        """Drop it by index or field name.  Nothing if there is none."""
        ...

    def describe_indexes(self, collection: str) -> list[IndexInfo]:
        """All indexes with the progress of their builds.  Raises CollectionNotFound."""
        ...

    def load(self, collection: str) -> None:
        """Make it searchable.  Raises CollectionNotFound; IndexNotFound without a vector index."""
        ...

    def release(self, collection: str) -> None:
        """Undo `load`."""
        ...

    def load_progress(self, collection: str) -> LoadProgress:
        """Raises CollectionNotFound."""
        ...

    def insert(self, request: InsertRequest) -> MutationAnswer:
        """Store rows durably.  Raises RowsRefused, SchemaMismatch, PartitionNotFound …"""
        ...

    def delete(self, request: DeleteRequest) -> MutationAnswer:
        """Delete rows durably.  Raises FilterError, CollectionNotLoaded (by filter only) …"""
        ...

    def search(self, request: SearchRequest) -> SearchAnswer:
        """Complete, or an error.  Raises FilterError, CollectionNotLoaded, TimedOut …"""
        ...

    def query(self, request: QueryRequest) -> QueryAnswer:
        """Complete, or an error.  Raises as `search`."""
        ...

    def flush(self, collections: tuple[str, ...]) -> FlushAnswer:
        """Seal what was inserted so far.  Returns when the manifests are committed."""
        ...

    def compact(self, collection: str) -> int:
        """Start merging small segments; returns an id for `compaction_done`."""
        ...

    def compaction_done(self, compaction_id: int) -> bool:
        """True when that compaction ended.  Raises NotFound."""
        ...

    def row_count(self, collection: str, partition: str = "") -> int:
        """Rows stored and not known to be deleted, of the collection or one partition."""
        ...

    def now_ts(self) -> int:
        """A timestamp above every acknowledged write."""
        ...


@runtime_checkable
class AliasService(Protocol):
    """Further names of collections; a `VectorService` that has them is one of these too.

    Every method of `VectorService` but `drop_collection` then takes an alias for the name of its
    collection, and `CollectionInfo.aliases` tells them.
    """

    def create_alias(self, alias: str, collection: str) -> None:
        """Let `alias` name the collection too.  Raises AlreadyExists, CollectionNotFound."""
        ...

    def alter_alias(self, alias: str, collection: str) -> None:
        """Point an alias elsewhere.  Raises NotFound, CollectionNotFound."""
        ...

    def drop_alias(self, alias: str) -> None:
        """Drop it; nothing if there is none."""
        ...
