"""What the parts of the writer share."""

import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from roost.clock import Clock
from roost.vector.catalog.catalog import Catalog
from roost.vector.catalog.lease import Lease
from roost.vector.engine.follow import Feed
from roost.vector.engine.held import Collections
from roost.vector.engine.settings import EngineSettings
from roost.vector.files import Files
from roost.vector.index.builder import IndexBuilder
from roost.vector.timestamps import HybridClock

SEGMENT_FOLDER = "segment"


@dataclass(slots=True, eq=False)
class Core:
    """One writer's belongings; made by `engine.open_engine`."""

    catalog: Catalog
    lease: Lease
    files: Files
    clock: Clock
    builder: IndexBuilder
    settings: EngineSettings
    reading: ThreadPoolExecutor
    """Threads that search segments; shared by all collections."""
    feed: Feed = field(default_factory=lambda: Feed(0))
    collections: Collections = field(default_factory=Collections)
    log_bytes: int = 0
    """Payload logged or replayed so far; written by one thread (recovery, then the log's)."""
    let_go: deque[tuple[int, str]] = field(default_factory=deque)
    """(collection id, path) that the newest version named no more; `collecting` takes them up."""
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def generation(self) -> int:
        """The generation of this writer's lease."""
        return self.lease.generation

    @property
    def timestamps(self) -> HybridClock:
        """The one clock that orders everything."""
        return self.lease.timestamps

    def new_segment(self, collection_id: int) -> tuple[int, str]:
        """Return the id and folder of a segment about to be written.

        The generation in the name keeps two writers apart, of which one does not know yet that it
        was deposed.
        """
        segment_id = self.catalog.allocate_ids("segment", 1)[0]
        folder = f"{SEGMENT_FOLDER}/{collection_id}/{self.generation}-{segment_id}"
        return segment_id, folder
