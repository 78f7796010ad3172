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
from roost.vector.collection.parts import FetchPart, PartHits, PartRows, QueryPart, SearchPart


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
    raise NotImplementedError


def answer_query(
    info: CollectionInfo, request: QueryRequest, view: Callable[[], Ask]
) -> QueryAnswer:
    """Answer a query; as `answer_search`."""
    raise NotImplementedError
