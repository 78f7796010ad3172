"""Collections, indexes and writes, as messages and back."""

import pyarrow as pa

from roost.cluster.large_field import with_large_field, without_large_field
from roost.cluster.rpc import arrays
from roost.cluster.wire import roost_pb2 as wire
from roost.vector import api
from roost.vector.columns import decode_rows, encode_rows
from roost.vector.schema import CollectionSchema

_INSERT_ROWS = wire.Insert.ROWS_FIELD_NUMBER
_INSERT_PAD = wire.Insert.PAD_FIELD_NUMBER


def put_index(spec: api.IndexSpec) -> wire.Index:
    """Return the message for `spec`."""
    return wire.Index(
        field=spec.field,
        name=spec.name,
        index_type=spec.index_type,
        metric=spec.metric,
        params=dict(spec.params),
        id=spec.id,
    )


def get_index(m: wire.Index) -> api.IndexSpec:
    """Undo `put_index`."""
    return api.IndexSpec(m.field, m.name, m.index_type, m.metric, dict(m.params), m.id)


def put_indexes(indexes: list[api.IndexInfo]) -> wire.IndexList:
    """Return the message for the indexes of a collection."""
    return wire.IndexList(
        indexes=[
            wire.IndexProgress(
                index=put_index(i.spec),
                total_rows=i.total_rows,
                indexed_rows=i.indexed_rows,
                pending_rows=i.pending_rows,
                state=i.state,
                fail_reason=i.fail_reason,
            )
            for i in indexes
        ]
    )


def get_indexes(m: wire.IndexList) -> list[api.IndexInfo]:
    """Undo `put_indexes`."""
    return [
        api.IndexInfo(
            get_index(i.index),
            i.total_rows,
            i.indexed_rows,
            i.pending_rows,
            api.IndexState(i.state),
            i.fail_reason,
        )
        for i in m.indexes
    ]


def put_collection(info: api.CollectionInfo) -> wire.Collection:
    """Return the message for `info`."""
    return wire.Collection(
        id=info.id,
        name=info.name,
        schema=info.schema.to_json(),
        consistency=info.consistency,
        created_ts=info.created_ts,
        updated_ts=info.updated_ts,
        partitions=[
            wire.Partition(id=p.id, name=p.name, created_ts=p.created_ts) for p in info.partitions
        ],
        indexes=[put_index(i) for i in info.indexes],
        loaded=info.loaded,
        properties=dict(info.properties),
        shards=info.shards,
        aliases=info.aliases,
    )


def get_collection(m: wire.Collection) -> api.CollectionInfo:
    """Undo `put_collection`."""
    return api.CollectionInfo(
        id=m.id,
        name=m.name,
        schema=CollectionSchema.from_json(m.schema),
        consistency=api.Consistency(m.consistency),
        created_ts=m.created_ts,
        updated_ts=m.updated_ts,
        partitions=tuple(api.PartitionInfo(p.id, p.name, p.created_ts) for p in m.partitions),
        indexes=tuple(get_index(i) for i in m.indexes),
        loaded=m.loaded,
        properties=dict(m.properties),
        shards=m.shards,
        aliases=tuple(m.aliases),
    )


def put_new_collection(new: api.NewCollection) -> wire.NewCollection:
    """Return the message for `new`."""
    return wire.NewCollection(
        name=new.name,
        schema=new.schema.to_json(),
        consistency=new.consistency,
        properties=dict(new.properties),
        shards=new.shards,
    )


def get_new_collection(m: wire.NewCollection) -> api.NewCollection:
    """Undo `put_new_collection`."""
    return api.NewCollection(
        m.name,
        CollectionSchema.from_json(m.schema),
        api.Consistency(m.consistency),
        dict(m.properties),
        m.shards,
    )


def encode_insert(request: api.InsertRequest) -> bytes:
    """Return the encoded message for `request`."""
    kept_by = request.kept_by
    small = wire.Insert(
        collection=request.collection,
        partition=request.partition,
        upsert=request.upsert,
        schema_ts=request.schema_ts,
        keeper=kept_by.token if kept_by else "",
        number=kept_by.number if kept_by else 0,
    )
    payload = encode_rows(request.rows) if request.payload is None else request.payload
    return with_large_field(small.SerializeToString(), _INSERT_ROWS, payload, _INSERT_PAD)


def decode_insert(raw: bytes) -> api.InsertRequest:
    """Undo `encode_insert`; rows and payload point into `raw`."""
    small, payload = without_large_field(raw, _INSERT_ROWS)
    m = wire.Insert.FromString(small)
    return api.InsertRequest(
        m.collection,
        decode_rows(payload),
        m.partition,
        m.upsert,
        m.schema_ts,
        payload,
        api.KeptBy(m.keeper, m.number) if m.keeper else None,
    )


def put_delete(request: api.DeleteRequest) -> wire.Delete:
    """Return the message for `request`."""
    return wire.Delete(
        collection=request.collection,
        filter=request.filter,
        ids=arrays.put_column(request.ids),
        partition=request.partition,
        filter_params=arrays.put_json(request.filter_params),
    )


def get_delete(m: wire.Delete) -> api.DeleteRequest:
    """Undo `put_delete`."""
    return api.DeleteRequest(
        m.collection,
        m.filter,
        arrays.get_optional_column(m.ids),
        m.partition,
        arrays.get_json(m.filter_params),
    )


def put_mutation(answer: api.MutationAnswer) -> wire.Mutation:
    """Return the message for `answer`."""
    ids = answer.ids.combine_chunks() if isinstance(answer.ids, pa.ChunkedArray) else answer.ids
    return wire.Mutation(ids=arrays.put_column(ids), count=answer.count, timestamp=answer.timestamp)


def get_mutation(m: wire.Mutation) -> api.MutationAnswer:
    """Undo `put_mutation`."""
    return api.MutationAnswer(arrays.get_column(m.ids), m.count, m.timestamp)


def put_flushed(answer: api.FlushAnswer) -> wire.Flushed:
    """Return the message for `answer`."""
    names = {*answer.segment_ids, *answer.complete_to_ts}
    return wire.Flushed(
        collections=[
            wire.FlushedCollection(
                name=name,
                segment_ids=answer.segment_ids.get(name, ()),
                complete_to=answer.complete_to_ts.get(name, 0),
            )
            for name in sorted(names)
        ]
    )


def get_flushed(m: wire.Flushed) -> api.FlushAnswer:
    """Undo `put_flushed`."""
    return api.FlushAnswer(
        {c.name: tuple(c.segment_ids) for c in m.collections},
        {c.name: c.complete_to for c in m.collections},
    )
