"""Parts of a search or query, as messages and back."""

import numpy as np

from roost.cluster.rpc import arrays
from roost.cluster.wire import roost_pb2 as wire
from roost.vector.collection.parts import (
    FetchPart,
    PartAddress,
    PartHits,
    PartRows,
    QueryPart,
    SearchPart,
)


def put_address(at: PartAddress) -> wire.Address:
    """Return the message for `at`."""
    return wire.Address(
        collection_id=at.collection_id,
        version=at.version,
        read_ts=at.read_ts,
        segment_ids=at.segment_ids,
        partition_ids=at.partition_ids,
    )


def get_address(m: wire.Address) -> PartAddress:
    """Undo `put_address`."""
    return PartAddress(
        m.collection_id, m.version, m.read_ts, tuple(m.segment_ids), tuple(m.partition_ids)
    )


def put_search(part: SearchPart) -> wire.Search:
    """Return the message for `part`."""
    return wire.Search(
        at=put_address(part.at),
        queries=arrays.put_array(part.queries, np.float32),
        nq=len(part.queries),
        k=part.k,
        field_id=part.field_id,
        metric=part.metric,
        params=arrays.put_json(part.params),
        filter=part.filter,
        filter_params=arrays.put_json(part.filter_params),
    )


def get_search(m: wire.Search) -> SearchPart:
    """Undo `put_search`."""
    flat = arrays.get_array(m.queries, np.float32)
    return SearchPart(
        get_address(m.at),
        flat.reshape(m.nq, len(flat) // m.nq if m.nq else 0),
        m.k,
        m.field_id,
        m.metric,
        arrays.get_json(m.params),
        m.filter,
        arrays.get_json(m.filter_params),
    )


def put_hits(hits: PartHits) -> wire.Hits:
    """Return the message for `hits`."""
    return wire.Hits(
        counts=arrays.put_array(hits.counts, np.int64),
        ids=arrays.put_column(hits.ids),
        scores=arrays.put_array(hits.scores, np.float32),
        segment_ids=arrays.put_array(hits.segment_ids, np.int64),
        offsets=arrays.put_array(hits.offsets, np.int64),
        rows=arrays.put_rows(hits.rows),
    )


def get_hits(m: wire.Hits) -> PartHits:
    """Undo `put_hits`."""
    return PartHits(
        arrays.get_array(m.counts, np.int64),
        arrays.get_column(m.ids),
        arrays.get_array(m.scores, np.float32),
        arrays.get_array(m.segment_ids, np.int64),
        arrays.get_array(m.offsets, np.int64),
        arrays.get_rows(m.rows) if m.rows else None,
    )


def put_query(part: QueryPart) -> wire.Query:
    """Return the message for `part`."""
    return wire.Query(
        at=put_address(part.at),
        filter=part.filter,
        filter_params=arrays.put_json(part.filter_params),
        ids=arrays.put_column(part.ids),
        output_fields=part.output_fields,
        limit=part.limit,
        count_only=part.count_only,
    )


def get_query(m: wire.Query) -> QueryPart:
    """Undo `put_query`."""
    return QueryPart(
        get_address(m.at),
        m.filter,
        arrays.get_json(m.filter_params),
        arrays.get_optional_column(m.ids),
        tuple(m.output_fields),
        m.limit if m.HasField("limit") else None,
        m.count_only,
    )


def put_part_rows(found: PartRows) -> wire.Rows:
    """Return the message for `found`."""
    return wire.Rows(
        rows=arrays.put_rows(found.rows),
        row_ts=arrays.put_array(found.row_ts, np.int64),
        count=found.count,
    )


def get_part_rows(m: wire.Rows) -> PartRows:
    """Undo `put_part_rows`."""
    return PartRows(arrays.get_rows(m.rows), arrays.get_array(m.row_ts, np.int64), m.count)


def put_fetch(part: FetchPart) -> wire.Fetch:
    """Return the message for `part`."""
    return wire.Fetch(
        at=put_address(part.at),
        segment_ids=arrays.put_array(part.segment_ids, np.int64),
        offsets=arrays.put_array(part.offsets, np.int64),
        output_fields=part.output_fields,
    )


def get_fetch(m: wire.Fetch) -> FetchPart:
    """Undo `put_fetch`."""
    return FetchPart(
        get_address(m.at),
        arrays.get_array(m.segment_ids, np.int64),
        arrays.get_array(m.offsets, np.int64),
        tuple(m.output_fields),
    )
