"""Filling an empty database: taking it for oneself, records in large commits, settings at the end.

Until the settings are stored the database holds no volume.  If anything fails, what was stored is
removed again.
"""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from roost.errors import RoostError
from roost.volume.errors import AlreadyFormatted
from roost.volume.meta.effects import (
    AddEdge,
    AddNode,
    AppendSlices,
    DropNode,
    Effect,
    PutCounter,
    PutXattr,
)
from roost.volume.meta.open_volume import FIRST_INO, NEXT_INO
from roost.volume.meta.reads import NodeWanted
from roost.volume.meta.txn import Engine, Txn
from roost.volume.model import Attr, Ino, Kind

# Stored while a database is filled, as no volume has a node 0.  Settings and counters are stored
# over what is there, and what is absent cannot be locked; of two that add a node one is refused.
_MARK = Ino(0)
EFFECTS_AT_ONCE = 4000  # about a thousand nodes
BYTES_AT_ONCE = 4 << 20
log = logging.getLogger(__name__)


@contextmanager
def filling(engine: Engine, place: str) -> Iterator[None]:
    """Take an empty database for oneself, and empty it again if filling it fails.

    Raises AlreadyFormatted if it is not empty, or another is filling it.
    """
    _take_empty(engine, place)
    try:
        yield
    except BaseException:
        _clear(engine, place)
        raise


def put_settings(engine: Engine, place: str, *effects: Effect) -> None:
    """Make the records of a database a volume, in one commit with these last ones.

    Raises AlreadyFormatted if another made one there meanwhile.
    """

    def put(txn: Txn) -> None:
        if txn.setting() is not None:
            raise AlreadyFormatted(
                f"another made a volume at {place} meanwhile",
                hint="Its records are mixed with the loaded ones: empty the database, and repeat.",
            )
        if txn.node(_MARK) is None:
            raise AlreadyFormatted(
                f"another emptied the database at {place} meanwhile",
                hint="Empty the database, and repeat.",
            )
        txn.do(DropNode(_MARK), *effects)

    engine.run(put)


def _take_empty(engine: Engine, place: str) -> None:
    if engine.read(lambda reads: reads.setting()) is not None:
        raise AlreadyFormatted(f"there is a volume already at {place}")
    not_empty = AlreadyFormatted(
        f"the database at {place} is not empty, though it holds no volume",
        hint="Empty it, or use another; a load that goes on or was killed may have left this.",
    )
    with engine.scan() as scans:
        for records in (scans.all_nodes(), scans.all_edges(), scans.all_chunks()):
            if next(iter(records), None) is not None:
                raise not_empty

    def take(txn: Txn) -> None:
        if txn.setting() is not None or txn.counter(NEXT_INO):
            raise not_empty
        txn.do(PutCounter(NEXT_INO, FIRST_INO), AddNode(_MARK, Attr(Kind.FILE)))

    engine.run(take)


def _clear(engine: Engine, place: str) -> None:
    """Remove what was stored in a database that was empty; a failure is logged."""
    try:
        if engine.read(lambda reads: reads.setting()) is not None:
            log.warning("%s holds a volume by now, so nothing is removed from it", place)
            return
        engine.destroy()
    except RoostError as error:
        log.warning("what was loaded could not be removed from %s: %s", place, error)


class Batches:
    """Effects on their way into the database, many in one commit, in the order they came.

    One commit is under way while the effects of the next are gathered.  Used by one thread; what a
    commit raises is raised by a later call.
    """

    def __init__(self, engine: Engine, after_commit: Callable[[], None]) -> None:
        self._engine = engine
        self._after_commit = after_commit
        self._effects: list[Effect] = []
        self._bytes = 0
        self._pool = ThreadPoolExecutor(1, "roost-load")
        self._pending: Future[None] | None = None

    def add(self, *effects: Effect) -> None:
        self._effects += effects
        self._bytes += sum(map(_bytes_of, effects))
        if len(self._effects) >= EFFECTS_AT_ONCE or self._bytes >= BYTES_AT_ONCE:
            self._send()

    def commit(self) -> None:
        """Commit what was added, to the end."""
        self._send()
        self._wait()

    def close(self) -> None:
        """Wait for what is under way, whatever comes of it."""
        self._pool.shutdown()

    def _send(self) -> None:
        self._wait()
        effects, self._effects, self._bytes = self._effects, [], 0
        if effects:
            self._pending = self._pool.submit(self._commit, effects)

    def _commit(self, effects: list[Effect]) -> None:
        # An engine may want to know how a node that is there already counts its parents.
        new = {one.ino for one in effects if isinstance(one, AddNode)}
        children = [
            NodeWanted(one.edge.ino)
            for one in effects
            if isinstance(one, AddEdge) and one.edge.ino not in new
        ]

        def put(txn: Txn) -> None:
            txn.load(*children)
            txn.do(*effects)

        self._engine.run(put)

    def _wait(self) -> None:
        if self._pending is not None:
            pending, self._pending = self._pending, None
            pending.result()
            self._after_commit()


def _bytes_of(effect: Effect) -> int:
    """Return roughly how large an effect is in memory, to bound a commit."""
    if isinstance(effect, AppendSlices):
        return 100 * len(effect.records)
    if isinstance(effect, PutXattr):
        return 200 + len(effect.value or b"")
    return 200
