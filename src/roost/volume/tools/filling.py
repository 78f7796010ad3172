"""Filling an empty database: taking it for oneself, records in large commits, settings at the end.

Until the settings are stored the database holds no volume.  If anything fails, what was stored is
removed again.
"""

import logging
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

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
from roost.volume.meta.stored_files import AddStoredFiles
from roost.volume.meta.stored_records import TakesStoredFiles, taken_apart
from roost.volume.meta.txn import Engine, Txn
from roost.volume.model import Attr, Ino, Kind

# Stored while a database is filled, as no volume has a node 0.  Settings and counters are stored
# over what is there, and what is absent cannot be locked; of two that add a node one is refused.
# Its length is random: once a person has emptied the database, another's mark may stand there.
_MARK = Ino(0)
EFFECTS_AT_ONCE = 4000  # about a thousand nodes
BYTES_AT_ONCE = 4 << 20
_EFFECTS_OF_FILE = 4  # node, entry, data and its reference
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Filling:
    """An empty database that was taken to be filled; `mark` tells this one from every other."""

    engine: Engine
    place: str
    mark: Attr

    def demand_mine(self, txn: Txn) -> None:
        """Raise AlreadyFormatted if the database was emptied since, whoever has taken it then."""
        if txn.exact_node(_MARK) != self.mark:
            raise AlreadyFormatted(
                f"another emptied the database at {self.place} meanwhile",
                hint="If nobody fills it now, empty the database, and repeat.",
            )

    def put_settings(self, *effects: Effect) -> None:
        """Make the records of the database a volume, in one commit with these last ones.

        Raises AlreadyFormatted if another made one there meanwhile, or has taken the database.
        """

        def put(txn: Txn) -> None:
            if txn.setting() is not None:
                raise AlreadyFormatted(
                    f"another made a volume at {self.place} meanwhile",
                    hint="Its records are mixed with the loaded ones: empty the database, and"
                    " repeat.",
                )
            self.demand_mine(txn)
            txn.do(DropNode(_MARK), *effects)

        self.engine.run(put)


@contextmanager
def filling(engine: Engine, place: str) -> Iterator[Filling]:
    """Take an empty database for oneself, and empty it again if filling it fails.

    Raises AlreadyFormatted if it is not empty, or another is filling it.
    """
    taken = Filling(engine, place, Attr(Kind.FILE, length=secrets.randbits(62)))
    _take_empty(taken)
    try:
        yield taken
    except BaseException:
        _clear(taken)
        raise


def _take_empty(taken: Filling) -> None:
    engine, place = taken.engine, taken.place
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
        txn.do(PutCounter(NEXT_INO, FIRST_INO), AddNode(_MARK, taken.mark))

    engine.run(take)


def _clear(taken: Filling) -> None:
    """Remove what was stored in a database that was empty and is still ours.

    A failure is logged.
    """
    engine, place = taken.engine, taken.place
    try:
        if engine.read(lambda reads: reads.setting()) is not None:
            log.warning("%s holds a volume by now, so nothing is removed from it", place)
        elif engine.read(lambda reads: reads.node(_MARK)) != taken.mark:
            log.warning("another emptied %s meanwhile, so nothing is removed from it", place)
        else:
            engine.destroy()
    except RoostError as error:
        log.warning("what was loaded could not be removed from %s: %s", place, error)


class Batches:
    """Effects on their way into the database, many in one commit, in the order they came.

    One commit is under way while the effects of the next are gathered.  Used by one thread; what a
    commit raises is raised by a later call.  Raises AlreadyFormatted if the database is no longer
    the one that was taken: nothing is mixed with what another fills it with.
    """

    def __init__(self, taken: Filling, after_commit: Callable[[], None]) -> None:
        self._taken = taken
        self._takes_stored = isinstance(taken.engine, TakesStoredFiles)
        self._after_commit = after_commit
        self._effects: list[Effect] = []
        self._count = 0
        self._bytes = 0
        self._pool = ThreadPoolExecutor(1, "roost-load")
        self._pending: Future[None] | None = None

    def add(self, *effects: Effect) -> None:
        for effect in effects if self._takes_stored else taken_apart(effects):
            self._effects.append(effect)
            if isinstance(effect, AddStoredFiles):
                self._count += _EFFECTS_OF_FILE * len(effect.files)
                self._bytes += _EFFECTS_OF_FILE * 200 * len(effect.files)
            else:
                self._count += 1
                self._bytes += _bytes_of(effect)
        if self._count >= EFFECTS_AT_ONCE or self._bytes >= BYTES_AT_ONCE:
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
        effects, self._effects, self._count, self._bytes = self._effects, [], 0, 0
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
            txn.load(NodeWanted(_MARK), *children)
            self._taken.demand_mine(txn)
            txn.do(*effects)

        self._taken.engine.run(put)

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
