"""`PartService` over the collections of this process."""

from collections.abc import Mapping

import pyarrow as pa

from roost.errors import Gone
from roost.vector.collection.parts import (
    FetchPart,
    PartAddress,
    PartHits,
    PartRows,
    QueryPart,
    SearchPart,
)
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
        return self._arrived(part.at).search_part(part)

    def query_part(self, part: QueryPart) -> PartRows:
        """As in PartService."""
        return self._arrived(part.at).query_part(part)

    def fetch_part(self, part: FetchPart) -> pa.RecordBatch:
        """As in PartService."""
        return self._arrived(part.at).fetch_part(part)

    def _arrived(self, at: PartAddress) -> CollectionState:
        state = self._states.get(at.collection_id)
        if state is None:
            raise Gone(f"collection {at.collection_id} is not open here")
        state.wait_for(at.version, at.read_ts, self._wait_max_s)
        return state
