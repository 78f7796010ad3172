"""The standalone `VectorService`: the writer of this process and reading beside it.

`Engine` answers every method of `api.VectorService`.  In a cluster the writer process serves an
`Engine` too: routers send it DDL, writes, `describe_indexes`, `row_count` and `tip`, while readers
follow `engine.writer.subscribe` and answer the parts of searches.
"""

from collections.abc import Callable

from roost.clock import Clock, SystemClock
from roost.vector import api
from roost.vector.engine.settings import EngineSettings
from roost.vector.engine.writer import WriterEngine
from roost.vector.files import Files


class Engine:
    """A `VectorService` of one process.  Use `open_engine`; `close` it in the end."""

    writer: WriterEngine

    def close(self) -> None:
        """Stop everything in order: background work, the log, the lease."""
        raise NotImplementedError


def open_engine(
    catalog_url: str,
    files: Files,
    *,
    holder: str = "",
    settings: EngineSettings | None = None,
    clock: Clock | None = None,
    on_lost: Callable[[str], None] | None = None,
) -> Engine:
    """Become the writer of that catalog and volume, replay the log, and serve.

    Waits for the lease up to two terms.  `on_lost` is called once, from a background thread, when
    this process stops being the writer (deposed, or its log failed): the process should close the
    engine and end or start again.  Raises Unavailable when another writer lives, Damage.
    """
    raise NotImplementedError
