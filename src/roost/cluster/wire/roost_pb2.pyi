from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Error(_message.Message):
    __slots__ = ("class_name", "message", "hint", "attributes")
    CLASS_NAME_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    class_name: str
    message: str
    hint: str
    attributes: str
    def __init__(self, class_name: _Optional[str] = ..., message: _Optional[str] = ..., hint: _Optional[str] = ..., attributes: _Optional[str] = ...) -> None: ...

class Empty(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Name(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class Number(_message.Message):
    __slots__ = ("number",)
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    number: int
    def __init__(self, number: _Optional[int] = ...) -> None: ...

class Flag(_message.Message):
    __slots__ = ("flag",)
    FLAG_FIELD_NUMBER: _ClassVar[int]
    flag: bool
    def __init__(self, flag: _Optional[bool] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("state", "percent")
    STATE_FIELD_NUMBER: _ClassVar[int]
    PERCENT_FIELD_NUMBER: _ClassVar[int]
    state: int
    percent: int
    def __init__(self, state: _Optional[int] = ..., percent: _Optional[int] = ...) -> None: ...

class Partition(_message.Message):
    __slots__ = ("id", "name", "created_ts")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CREATED_TS_FIELD_NUMBER: _ClassVar[int]
    id: int
    name: str
    created_ts: int
    def __init__(self, id: _Optional[int] = ..., name: _Optional[str] = ..., created_ts: _Optional[int] = ...) -> None: ...

class Index(_message.Message):
    __slots__ = ("field", "name", "index_type", "metric", "params", "id")
    class ParamsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    FIELD_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    INDEX_TYPE_FIELD_NUMBER: _ClassVar[int]
    METRIC_FIELD_NUMBER: _ClassVar[int]
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    field: str
    name: str
    index_type: str
    metric: str
    params: _containers.ScalarMap[str, str]
    id: int
    def __init__(self, field: _Optional[str] = ..., name: _Optional[str] = ..., index_type: _Optional[str] = ..., metric: _Optional[str] = ..., params: _Optional[_Mapping[str, str]] = ..., id: _Optional[int] = ...) -> None: ...

class IndexProgress(_message.Message):
    __slots__ = ("index", "total_rows", "indexed_rows", "pending_rows", "state", "fail_reason")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    TOTAL_ROWS_FIELD_NUMBER: _ClassVar[int]
    INDEXED_ROWS_FIELD_NUMBER: _ClassVar[int]
    PENDING_ROWS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    FAIL_REASON_FIELD_NUMBER: _ClassVar[int]
    index: Index
    total_rows: int
    indexed_rows: int
    pending_rows: int
    state: int
    fail_reason: str
    def __init__(self, index: _Optional[_Union[Index, _Mapping]] = ..., total_rows: _Optional[int] = ..., indexed_rows: _Optional[int] = ..., pending_rows: _Optional[int] = ..., state: _Optional[int] = ..., fail_reason: _Optional[str] = ...) -> None: ...

class IndexList(_message.Message):
    __slots__ = ("indexes",)
    INDEXES_FIELD_NUMBER: _ClassVar[int]
    indexes: _containers.RepeatedCompositeFieldContainer[IndexProgress]
    def __init__(self, indexes: _Optional[_Iterable[_Union[IndexProgress, _Mapping]]] = ...) -> None: ...

class Collection(_message.Message):
    __slots__ = ("id", "name", "schema", "consistency", "created_ts", "updated_ts", "partitions", "indexes", "loaded", "properties", "shards", "aliases")
    class PropertiesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    CONSISTENCY_FIELD_NUMBER: _ClassVar[int]
    CREATED_TS_FIELD_NUMBER: _ClassVar[int]
    UPDATED_TS_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    INDEXES_FIELD_NUMBER: _ClassVar[int]
    LOADED_FIELD_NUMBER: _ClassVar[int]
    PROPERTIES_FIELD_NUMBER: _ClassVar[int]
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    id: int
    name: str
    schema: str
    consistency: int
    created_ts: int
    updated_ts: int
    partitions: _containers.RepeatedCompositeFieldContainer[Partition]
    indexes: _containers.RepeatedCompositeFieldContainer[Index]
    loaded: bool
    properties: _containers.ScalarMap[str, str]
    shards: int
    aliases: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, id: _Optional[int] = ..., name: _Optional[str] = ..., schema: _Optional[str] = ..., consistency: _Optional[int] = ..., created_ts: _Optional[int] = ..., updated_ts: _Optional[int] = ..., partitions: _Optional[_Iterable[_Union[Partition, _Mapping]]] = ..., indexes: _Optional[_Iterable[_Union[Index, _Mapping]]] = ..., loaded: _Optional[bool] = ..., properties: _Optional[_Mapping[str, str]] = ..., shards: _Optional[int] = ..., aliases: _Optional[_Iterable[str]] = ...) -> None: ...

class NewCollection(_message.Message):
    __slots__ = ("name", "schema", "consistency", "properties", "shards")
    class PropertiesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    CONSISTENCY_FIELD_NUMBER: _ClassVar[int]
    PROPERTIES_FIELD_NUMBER: _ClassVar[int]
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    name: str
    schema: str
    consistency: int
    properties: _containers.ScalarMap[str, str]
    shards: int
    def __init__(self, name: _Optional[str] = ..., schema: _Optional[str] = ..., consistency: _Optional[int] = ..., properties: _Optional[_Mapping[str, str]] = ..., shards: _Optional[int] = ...) -> None: ...

class PartitionName(_message.Message):
    __slots__ = ("collection", "partition")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    collection: str
    partition: str
    def __init__(self, collection: _Optional[str] = ..., partition: _Optional[str] = ...) -> None: ...

class AliasName(_message.Message):
    __slots__ = ("alias", "collection")
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    alias: str
    collection: str
    def __init__(self, alias: _Optional[str] = ..., collection: _Optional[str] = ...) -> None: ...

class NewIndex(_message.Message):
    __slots__ = ("collection", "index")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    collection: str
    index: Index
    def __init__(self, collection: _Optional[str] = ..., index: _Optional[_Union[Index, _Mapping]] = ...) -> None: ...

class IndexName(_message.Message):
    __slots__ = ("collection", "name")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    collection: str
    name: str
    def __init__(self, collection: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class Insert(_message.Message):
    __slots__ = ("collection", "rows", "partition", "upsert", "schema_ts", "keeper", "number", "pad")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    UPSERT_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_TS_FIELD_NUMBER: _ClassVar[int]
    KEEPER_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    PAD_FIELD_NUMBER: _ClassVar[int]
    collection: str
    rows: bytes
    partition: str
    upsert: bool
    schema_ts: int
    keeper: str
    number: int
    pad: bytes
    def __init__(self, collection: _Optional[str] = ..., rows: _Optional[bytes] = ..., partition: _Optional[str] = ..., upsert: _Optional[bool] = ..., schema_ts: _Optional[int] = ..., keeper: _Optional[str] = ..., number: _Optional[int] = ..., pad: _Optional[bytes] = ...) -> None: ...

class Delete(_message.Message):
    __slots__ = ("collection", "filter", "ids", "partition", "filter_params")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    FILTER_PARAMS_FIELD_NUMBER: _ClassVar[int]
    collection: str
    filter: str
    ids: bytes
    partition: str
    filter_params: str
    def __init__(self, collection: _Optional[str] = ..., filter: _Optional[str] = ..., ids: _Optional[bytes] = ..., partition: _Optional[str] = ..., filter_params: _Optional[str] = ...) -> None: ...

class Mutation(_message.Message):
    __slots__ = ("ids", "count", "timestamp")
    IDS_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    ids: bytes
    count: int
    timestamp: int
    def __init__(self, ids: _Optional[bytes] = ..., count: _Optional[int] = ..., timestamp: _Optional[int] = ...) -> None: ...

class Flush(_message.Message):
    __slots__ = ("collections",)
    COLLECTIONS_FIELD_NUMBER: _ClassVar[int]
    collections: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, collections: _Optional[_Iterable[str]] = ...) -> None: ...

class FlushedCollection(_message.Message):
    __slots__ = ("name", "segment_ids", "complete_to")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_IDS_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_TO_FIELD_NUMBER: _ClassVar[int]
    name: str
    segment_ids: _containers.RepeatedScalarFieldContainer[int]
    complete_to: int
    def __init__(self, name: _Optional[str] = ..., segment_ids: _Optional[_Iterable[int]] = ..., complete_to: _Optional[int] = ...) -> None: ...

class Flushed(_message.Message):
    __slots__ = ("collections",)
    COLLECTIONS_FIELD_NUMBER: _ClassVar[int]
    collections: _containers.RepeatedCompositeFieldContainer[FlushedCollection]
    def __init__(self, collections: _Optional[_Iterable[_Union[FlushedCollection, _Mapping]]] = ...) -> None: ...

class FollowRequest(_message.Message):
    __slots__ = ("member", "keeper")
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    KEEPER_FIELD_NUMBER: _ClassVar[int]
    member: str
    keeper: str
    def __init__(self, member: _Optional[str] = ..., keeper: _Optional[str] = ...) -> None: ...

class FollowEvent(_message.Message):
    __slots__ = ("hello", "frame", "durable_ts", "manifest", "catalog_change", "kept")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    DURABLE_TS_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    CATALOG_CHANGE_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    frame: RecordFrame
    durable_ts: int
    manifest: str
    catalog_change: int
    kept: KeptRecord
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., frame: _Optional[_Union[RecordFrame, _Mapping]] = ..., durable_ts: _Optional[int] = ..., manifest: _Optional[str] = ..., catalog_change: _Optional[int] = ..., kept: _Optional[_Union[KeptRecord, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("generation", "complete_from_ts")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FROM_TS_FIELD_NUMBER: _ClassVar[int]
    generation: int
    complete_from_ts: int
    def __init__(self, generation: _Optional[int] = ..., complete_from_ts: _Optional[int] = ...) -> None: ...

class RecordFrame(_message.Message):
    __slots__ = ("size_bytes", "data")
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    size_bytes: int
    data: bytes
    def __init__(self, size_bytes: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class KeptRecord(_message.Message):
    __slots__ = ("number", "header")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    HEADER_FIELD_NUMBER: _ClassVar[int]
    number: int
    header: bytes
    def __init__(self, number: _Optional[int] = ..., header: _Optional[bytes] = ...) -> None: ...

class Address(_message.Message):
    __slots__ = ("collection_id", "version", "read_ts", "segment_ids", "partition_ids")
    COLLECTION_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    READ_TS_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_IDS_FIELD_NUMBER: _ClassVar[int]
    PARTITION_IDS_FIELD_NUMBER: _ClassVar[int]
    collection_id: int
    version: int
    read_ts: int
    segment_ids: _containers.RepeatedScalarFieldContainer[int]
    partition_ids: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, collection_id: _Optional[int] = ..., version: _Optional[int] = ..., read_ts: _Optional[int] = ..., segment_ids: _Optional[_Iterable[int]] = ..., partition_ids: _Optional[_Iterable[int]] = ...) -> None: ...

class Search(_message.Message):
    __slots__ = ("at", "queries", "nq", "k", "field_id", "metric", "params", "filter", "filter_params")
    AT_FIELD_NUMBER: _ClassVar[int]
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    NQ_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    FIELD_ID_FIELD_NUMBER: _ClassVar[int]
    METRIC_FIELD_NUMBER: _ClassVar[int]
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    FILTER_PARAMS_FIELD_NUMBER: _ClassVar[int]
    at: Address
    queries: bytes
    nq: int
    k: int
    field_id: int
    metric: str
    params: str
    filter: str
    filter_params: str
    def __init__(self, at: _Optional[_Union[Address, _Mapping]] = ..., queries: _Optional[bytes] = ..., nq: _Optional[int] = ..., k: _Optional[int] = ..., field_id: _Optional[int] = ..., metric: _Optional[str] = ..., params: _Optional[str] = ..., filter: _Optional[str] = ..., filter_params: _Optional[str] = ...) -> None: ...

class Hits(_message.Message):
    __slots__ = ("counts", "ids", "scores", "segment_ids", "offsets", "rows")
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_IDS_FIELD_NUMBER: _ClassVar[int]
    OFFSETS_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    counts: bytes
    ids: bytes
    scores: bytes
    segment_ids: bytes
    offsets: bytes
    rows: bytes
    def __init__(self, counts: _Optional[bytes] = ..., ids: _Optional[bytes] = ..., scores: _Optional[bytes] = ..., segment_ids: _Optional[bytes] = ..., offsets: _Optional[bytes] = ..., rows: _Optional[bytes] = ...) -> None: ...

class Query(_message.Message):
    __slots__ = ("at", "filter", "filter_params", "ids", "output_fields", "limit", "count_only")
    AT_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    FILTER_PARAMS_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELDS_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    COUNT_ONLY_FIELD_NUMBER: _ClassVar[int]
    at: Address
    filter: str
    filter_params: str
    ids: bytes
    output_fields: _containers.RepeatedScalarFieldContainer[str]
    limit: int
    count_only: bool
    def __init__(self, at: _Optional[_Union[Address, _Mapping]] = ..., filter: _Optional[str] = ..., filter_params: _Optional[str] = ..., ids: _Optional[bytes] = ..., output_fields: _Optional[_Iterable[str]] = ..., limit: _Optional[int] = ..., count_only: _Optional[bool] = ...) -> None: ...

class Rows(_message.Message):
    __slots__ = ("rows", "row_ts", "count")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    ROW_TS_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    rows: bytes
    row_ts: bytes
    count: int
    def __init__(self, rows: _Optional[bytes] = ..., row_ts: _Optional[bytes] = ..., count: _Optional[int] = ...) -> None: ...

class Fetch(_message.Message):
    __slots__ = ("at", "segment_ids", "offsets", "output_fields")
    AT_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_IDS_FIELD_NUMBER: _ClassVar[int]
    OFFSETS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELDS_FIELD_NUMBER: _ClassVar[int]
    at: Address
    segment_ids: bytes
    offsets: bytes
    output_fields: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, at: _Optional[_Union[Address, _Mapping]] = ..., segment_ids: _Optional[bytes] = ..., offsets: _Optional[bytes] = ..., output_fields: _Optional[_Iterable[str]] = ...) -> None: ...

class HeldVersion(_message.Message):
    __slots__ = ("version", "warm")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    WARM_FIELD_NUMBER: _ClassVar[int]
    version: int
    warm: bool
    def __init__(self, version: _Optional[int] = ..., warm: _Optional[bool] = ...) -> None: ...

class HeldCollection(_message.Message):
    __slots__ = ("collection_id", "versions")
    COLLECTION_ID_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    collection_id: int
    versions: _containers.RepeatedCompositeFieldContainer[HeldVersion]
    def __init__(self, collection_id: _Optional[int] = ..., versions: _Optional[_Iterable[_Union[HeldVersion, _Mapping]]] = ...) -> None: ...

class ReaderStatus(_message.Message):
    __slots__ = ("member", "visible_ts", "collections", "edition")
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    VISIBLE_TS_FIELD_NUMBER: _ClassVar[int]
    COLLECTIONS_FIELD_NUMBER: _ClassVar[int]
    EDITION_FIELD_NUMBER: _ClassVar[int]
    member: str
    visible_ts: int
    collections: _containers.RepeatedCompositeFieldContainer[HeldCollection]
    edition: int
    def __init__(self, member: _Optional[str] = ..., visible_ts: _Optional[int] = ..., collections: _Optional[_Iterable[_Union[HeldCollection, _Mapping]]] = ..., edition: _Optional[int] = ...) -> None: ...
