"""The table of methods: one row says how both sides of a call speak.

A row's functions work on the engine's own values, so a server method takes and returns those, and
a client calls with those; messages exist on the wire only.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from roost.cluster.rpc import arrays, definitions, parts, status
from roost.cluster.wire import roost_pb2 as wire
from roost.vector import api
from roost.vector.collection import parts as asked

Q = TypeVar("Q")
A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Codec(Generic[Q]):
    """A value as the bytes of one message, and back."""

    encode: Callable[[Q], bytes]
    decode: Callable[[bytes], Q]


@dataclass(frozen=True, slots=True)
class Method(Generic[Q, A]):
    """One call: its service, its name (also the server's method, in snake case), its values."""

    service: str
    name: str
    request: Codec[Q]
    reply: Codec[A]

    @property
    def path(self) -> str:
        """As gRPC names it."""
        camel = "".join(word.capitalize() for word in self.name.split("_"))
        return f"/{self.service}/{camel}"


def _codec(message: Any, put: Callable[[Q], Any], get: Callable[[Any], Q]) -> Codec[Q]:
    return Codec(
        lambda value: put(value).SerializeToString(), lambda raw: get(message.FromString(raw))
    )


WRITER = "roost.v1.Writer"
READER = "roost.v1.Reader"

# gRPC takes None for a failed decoding, so nothing is decoded as no arguments.
_nothing: Codec[Any] = _codec(wire.Empty, lambda _: wire.Empty(), lambda _: ())
_text: Codec[str] = _codec(wire.Name, lambda v: wire.Name(name=v), lambda m: m.name)
_number: Codec[int] = _codec(wire.Number, lambda v: wire.Number(number=v), lambda m: m.number)
_flag: Codec[bool] = _codec(wire.Flag, lambda v: wire.Flag(flag=v), lambda m: m.flag)
_collection = _codec(wire.Collection, definitions.put_collection, definitions.get_collection)
_mutation = _codec(wire.Mutation, definitions.put_mutation, definitions.get_mutation)
_partition: Codec[tuple[str, str]] = _codec(
    wire.PartitionName,
    lambda v: wire.PartitionName(collection=v[0], partition=v[1]),
    lambda m: (m.collection, m.partition),
)
_alias: Codec[tuple[str, str]] = _codec(
    wire.AliasName,
    lambda v: wire.AliasName(alias=v[0], collection=v[1]),
    lambda m: (m.alias, m.collection),
)
_index_name: Codec[tuple[str, str]] = _codec(
    wire.IndexName,
    lambda v: wire.IndexName(collection=v[0], name=v[1]),
    lambda m: (m.collection, m.name),
)
_new_index: Codec[tuple[str, api.IndexSpec]] = _codec(
    wire.NewIndex,
    lambda v: wire.NewIndex(collection=v[0], index=definitions.put_index(v[1])),
    lambda m: (m.collection, definitions.get_index(m.index)),
)
_flush: Codec[tuple[tuple[str, ...]]] = _codec(
    wire.Flush, lambda v: wire.Flush(collections=v[0]), lambda m: (tuple(m.collections),)
)
_rows = Codec(arrays.put_rows, arrays.get_rows)

CREATE_COLLECTION = Method(
    WRITER,
    "create_collection",
    _codec(wire.NewCollection, definitions.put_new_collection, definitions.get_new_collection),
    _collection,
)
DROP_COLLECTION = Method(WRITER, "drop_collection", _text, _nothing)
CREATE_PARTITION = Method(WRITER, "create_partition", _partition, _nothing)
DROP_PARTITION = Method(WRITER, "drop_partition", _partition, _nothing)
CREATE_INDEX = Method(WRITER, "create_index", _new_index, _nothing)
DROP_INDEX = Method(WRITER, "drop_index", _index_name, _nothing)
DESCRIBE_INDEXES = Method(
    WRITER,
    "describe_indexes",
    _text,
    _codec(wire.IndexList, definitions.put_indexes, definitions.get_indexes),
)
LOAD = Method(WRITER, "load", _text, _nothing)
RELEASE = Method(WRITER, "release", _text, _nothing)
CREATE_ALIAS = Method(WRITER, "create_alias", _alias, _nothing)
ALTER_ALIAS = Method(WRITER, "alter_alias", _alias, _nothing)
DROP_ALIAS = Method(WRITER, "drop_alias", _text, _nothing)
INSERT = Method(
    WRITER,
    "insert",
    Codec(definitions.encode_insert, definitions.decode_insert),
    _mutation,
)
DELETE = Method(
    WRITER,
    "delete",
    _codec(wire.Delete, definitions.put_delete, definitions.get_delete),
    _mutation,
)
FLUSH = Method(
    WRITER,
    "flush",
    _flush,
    _codec(wire.Flushed, definitions.put_flushed, definitions.get_flushed),
)
COMPACT = Method(WRITER, "compact", _text, _number)
COMPACTION_DONE = Method(WRITER, "compaction_done", _number, _flag)
ROW_COUNT = Method(WRITER, "row_count", _partition, _number)
TIP = Method(WRITER, "tip", _nothing, _number)

WRITER_METHODS: tuple[Method[Any, Any], ...] = (
    CREATE_COLLECTION,
    DROP_COLLECTION,
    CREATE_PARTITION,
    DROP_PARTITION,
    CREATE_INDEX,
    DROP_INDEX,
    DESCRIBE_INDEXES,
    LOAD,
    RELEASE,
    INSERT,
    DELETE,
    FLUSH,
    COMPACT,
    COMPACTION_DONE,
    ROW_COUNT,
)

ALIAS_METHODS: tuple[Method[Any, Any], ...] = (CREATE_ALIAS, ALTER_ALIAS, DROP_ALIAS)

SEARCH_PART: Method[asked.SearchPart, asked.PartHits] = Method(
    READER,
    "search_part",
    _codec(wire.Search, parts.put_search, parts.get_search),
    _codec(wire.Hits, parts.put_hits, parts.get_hits),
)
QUERY_PART: Method[asked.QueryPart, asked.PartRows] = Method(
    READER,
    "query_part",
    _codec(wire.Query, parts.put_query, parts.get_query),
    _codec(wire.Rows, parts.put_part_rows, parts.get_part_rows),
)
FETCH_PART = Method(
    READER,
    "fetch_part",
    _codec(wire.Fetch, parts.put_fetch, parts.get_fetch),
    _rows,
)
STATUS: Method[None, status.ReaderStatus] = Method(
    READER,
    "status",
    _nothing,
    _codec(wire.ReaderStatus, status.put_status, status.get_status),
)
WATCH_STATUS: Method[int, status.ReaderStatus] = Method(
    READER, "watch_status", _number, STATUS.reply
)
"""The status once it has another edition than the one named, or after a moment."""

READER_METHODS: tuple[Method[Any, Any], ...] = (
    SEARCH_PART,
    QUERY_PART,
    FETCH_PART,
    STATUS,
    WATCH_STATUS,
)
FOLLOW_PATH = f"/{WRITER}/Follow"
