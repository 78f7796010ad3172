"""The flow of a whole answer: plan, ask the parts, merge, fetch the output of the final hits only.

The same for the engine of one process and the router of a cluster; they differ in `Ask`.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import pyarrow as pa

from roost.vector.api import (
    CollectionInfo,
    QueryAnswer,
    QueryRequest,
    SearchAnswer,
    SearchRequest,
)
from roost.vector.collection.merge import merge_counts, merge_hits, merge_rows
from roost.vector.collection.parts import FetchPart, PartHits, PartRows, QueryPart, SearchPart
from roost.vector.collection.planning import plan_query, plan_search
from roost.vector.columns import arrow_schema
from roost.vector.index import Metric
from roost.vector.segment.blocks import empty_rows

COUNT_NAME = "count(*)"


class Ask(Protocol):
    """All parts of one collection at one `(version, read_ts)` that the caller chose (hazard H7).

    A part given here has no version, read_ts and segments in its `at` yet (only the collection and
    partitions): `Ask` fills them in, once for each member it asks.  Each method is complete or
    raises.  `fetch` reaches each locator where the hit came from: a locator in GROWING belongs to
    the one member that was asked for GROWING.
    """

    @property
    def read_ts(self) -> int:
        """The instant at which everything is read."""
        ...

    def search(self, part: SearchPart) -> Sequence[PartHits]:
        """Ask every member concerned, at once; at least one answer."""
        ...

    def query(self, part: QueryPart) -> Sequence[PartRows]:
        """As `search`."""
        ...

    def fetch(self, part: FetchPart) -> pa.RecordBatch:
        """Return the columns `part.output_fields`, one row per locator, in their order."""
        ...


def answer_search(
    info: CollectionInfo, request: SearchRequest, view: Callable[[], Ask]
) -> SearchAnswer:
    """Answer a search.  `view` chooses (version, read_ts) and may wait; called after all checks.

    Raises as `planning.plan_search` and as `Ask`.
    """
    part, output = plan_search(info, request)
    ask = view()
    hits = merge_hits(
        ask.search(part),
        request.k,
        nearest_first=Metric(part.metric).small_is_near,
        offset=request.offset,
    )
    if output.columns and len(hits.ids):
        rows = ask.fetch(FetchPart(part.at, hits.segment_ids, hits.offsets, output.columns))
        assert rows.num_rows == len(hits.ids), (rows.num_rows, len(hits.ids))
    else:
        rows = empty_rows(arrow_schema(info.schema.field(name) for name in output.columns))
    return SearchAnswer(
        counts=hits.counts,
        ids=hits.ids,
        scores=hits.scores,
        rows=rows,
        primary_field=info.schema.primary.name,
        read_ts=ask.read_ts,
        output_fields=output.names,
    )


def answer_query(
    info: CollectionInfo, request: QueryRequest, view: Callable[[], Ask]
) -> QueryAnswer:
    """Answer a query; as `answer_search`."""
    part, output = plan_query(info, request)
    ask = view()
    primary = info.schema.primary.name
    parts = ask.query(part)
    if request.count_only:
        counted = pa.array([merge_counts(parts)], pa.int64())
        rows = pa.RecordBatch.from_arrays([counted], names=[COUNT_NAME])
        return QueryAnswer(rows, primary, ask.read_ts, (COUNT_NAME,))
    merged = merge_rows(parts, primary, request.limit, request.offset)
    rows = merged.rows.select(list(output.columns))
    return QueryAnswer(rows, primary, ask.read_ts, output.names)
