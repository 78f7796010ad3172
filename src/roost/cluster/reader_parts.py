"""What a reader answers to routers: its own one directly, others over the wire."""

from typing import Protocol

import pyarrow as pa

from roost.cluster.rpc.status import ReaderStatus
from roost.vector.collection.parts import (
    FetchPart,
    PartAddress,
    PartHits,
    PartRows,
    PartService,
    QueryPart,
    SearchPart,
)


class Serves(Protocol):
    """The part of a reader that is needed here."""

    def serve(self, at: PartAddress) -> None:
        """Open what `at` names and is not open.  Raises CollectionNotFound, Gone, TimedOut."""
        ...

    def status(self) -> ReaderStatus:
        """Return what can be answered now without waiting."""
        ...

    def watch_status(self, edition: int) -> ReaderStatus:
        """Return the status once it has another edition, or after a moment."""
        ...


class ReaderParts:
    """`PartService` of a reader: local parts, after opening what a part needs."""

    def __init__(self, reader: Serves, local: PartService) -> None:
        self._reader = reader
        self._local = local

    def search_part(self, part: SearchPart) -> PartHits:
        """As in PartService."""
        self._reader.serve(part.at)
        return self._local.search_part(part)

    def query_part(self, part: QueryPart) -> PartRows:
        """As in PartService."""
        self._reader.serve(part.at)
        return self._local.query_part(part)

    def fetch_part(self, part: FetchPart) -> pa.RecordBatch:
        """As in PartService."""
        self._reader.serve(part.at)
        return self._local.fetch_part(part)

    def status(self) -> ReaderStatus:
        """As the reader's."""
        return self._reader.status()

    def watch_status(self, edition: int) -> ReaderStatus:
        """As the reader's."""
        return self._reader.watch_status(edition)
