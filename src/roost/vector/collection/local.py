"""`PartService` over the collections of this process."""

from collections.abc import Mapping

import pyarrow as pa

from roost.vector.collection.parts import FetchPart, PartHits, PartRows, QueryPart, SearchPart
from roost.vector.collection.state import CollectionState

WAIT_MAX_S = 5.0
"""How long a question waits for its version and timestamp before it is TimedOut."""


class LocalParts:
    """Answers parts from `states`, a live mapping by collection id that the owner changes."""

    def __init__(
        self, states: Mapping[int, CollectionState], wait_max_s: float = WAIT_MAX_S
    ) -> None:
        self._states = states
        self._wait_max_s = wait_max_s

    def search_part(self, part: SearchPart) -> PartHits:
        """As in PartService."""
        raise NotImplementedError

    def query_part(self, part: QueryPart) -> PartRows:
        """As in PartService."""
        raise NotImplementedError

    def fetch_part(self, part: FetchPart) -> pa.RecordBatch:
        """As in PartService."""
        raise NotImplementedError
