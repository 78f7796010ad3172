"""What all operations of one open volume share."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from roost.clock import Clock
from roost.errors import Unavailable
from roost.volume.meta.answers import AtimeMode
from roost.volume.meta.claim import Claim
from roost.volume.meta.effects import PutCounter
from roost.volume.meta.open_files import OpenFiles
from roost.volume.meta.quotas import NO_QUOTAS, QuotaTable
from roost.volume.meta.txn import Engine, Txn
from roost.volume.model import Ino, SessionId, SliceId
from roost.volume.settings import VolumeSettings

T = TypeVar("T")

NEXT_INO = "nextInode"
NEXT_SLICE = "nextChunk"
FIRST_INO = 2
FIRST_SLICE = 1
INOS_AT_ONCE = 1024  # as JuiceFS reserves them
SLICES_AT_ONCE = 4096
RESERVATIONS_MAX = 10  # of which a connection made meanwhile makes all but the last useless
SKIP_DIR_MTIME_S = 0.1  # the default of JuiceFS's --skip-dir-mtime


class Ids:
    """Numbers never given before, reserved in batches; what is left at the end is wasted.

    Safe from many threads.  The lock is held over the reservation, so that a batch is reserved
    once; the transaction takes no other lock of this room.
    """

    def __init__(self, engine: Engine, counter: str, first: int, at_once: int) -> None:
        self._engine = engine
        self._first = first
        self._at_once = at_once
        self._lock = threading.Lock()
        self._next = 0
        self._lowest = 0  # ever reserved
        self._is_let_go = False
        self._doubtful: tuple[tuple[int, int], ...] = ()  # ranges that others may have too
        self._listeners: list[Callable[[int, int], None]] = []
        self._gap = 0  # numbers to leave out, since others have them
        self.counter = counter
        self.end = 0

    def take(self) -> int:
        """Return the next number; one commit per batch.  Raises what the engine does."""
        with self._lock:
            if self._next == self.end or self._is_let_go:
                self._reserve_batch()
            self._next += 1
            return self._next - 1

    def let_go(self, known: int, stored: int) -> None:
        """As in claim.Numbers."""
        # First of all: either `take` sees it, or the end of the batch that it gives from is here.
        self._is_let_go = True
        start, end = max(known, self._lowest), min(stored, self.end)
        if start < end:
            self._doubt(start, end)

    def tell(self, listener: Callable[[int, int], None]) -> None:
        """Call `listener` with each range [start, end) that becomes doubtful, once it is.

        Others' numbers may lie in between.  It ends before anything is read through the new
        connection, runs while the engine connects, and so must neither raise nor ask the metadata.
        """
        self._listeners.append(listener)

    def is_doubtful(self, number: int) -> bool:
        """True if this number of ours may have been given to another as well."""
        return any(start <= number < end for start, end in self._doubtful)

    def skip(self, number: int, gap: int) -> None:
        """Reserve anew, `gap` farther on: `number` turned out to be another's."""
        with self._lock:
            if number >= self.end - self._at_once:  # else another thread has done it
                self._gap = gap
                self._is_let_go = True

    def _doubt(self, start: int, end: int) -> None:
        apart = [known for known in self._doubtful if known[1] < start or end < known[0]]
        touched = [known for known in self._doubtful if known not in apart]
        lowest = min([start, *(known[0] for known in touched)])
        highest = max([end, *(known[1] for known in touched)])
        self._doubtful = (*apart, (lowest, highest))
        for listener in self._listeners:
            listener(start, end)

    def _reserve_batch(self) -> None:
        for _ in range(RESERVATIONS_MAX):
            self._is_let_go = False  # before the commit, which may connect anew
            start = self._engine.run(self._reserve)
            self._lowest = self._lowest or start
            self._next, self.end = start, start + self._at_once
            self._gap = 0
            if not self._is_let_go:
                return
        raise Unavailable("the connection to the database is lost again and again")

    def _reserve(self, txn: Txn) -> int:
        # Past what this client used before, even where the database forgot that.
        start = max(txn.counter(self.counter), self._first, self.end + self._gap)
        txn.do(PutCounter(self.counter, start + self._at_once))
        return start


@dataclass(slots=True)
class OpenVolume:
    """An engine, settings and quotas as last read, this client's session and open files."""

    engine: Engine
    settings: VolumeSettings
    sid: SessionId
    clock: Clock
    opens: OpenFiles
    inos: Ids
    slice_ids: Ids
    quotas: QuotaTable = NO_QUOTAS
    session_info: bytes = b""  # what others see of the session
    renewed_s: int = 0  # when the session's lease was last known to be renewed
    atime_mode: AtimeMode = AtimeMode.NEVER
    skip_dir_mtime_ns: int = int(SKIP_DIR_MTIME_S * 1e9)

    @property
    def now_s(self) -> int:
        """Unix seconds."""
        return self.clock.wall_ns() // 1_000_000_000

    def run_held(self, rule: Callable[[Txn], T], *inos: Ino) -> T:
        """Run a rule that changes what files contain.  Raises FsError ESTALE of one that is stale.

        They are looked at after its reads, which may be what meets the database again.
        """

        def held(txn: Txn) -> T:
            made = rule(txn)
            for ino in inos:
                self.opens.demand_held(ino)
            return made

        return self.engine.run(held)

    def demand_ours(self, slice_id: SliceId) -> None:
        """Raise Unavailable if a slice of ours may show what another client stores by now."""
        if self.slice_ids.is_doubtful(slice_id):
            raise Unavailable(
                f"the database lost commits, and slice {slice_id} may be another client's now",
                hint="Write the file again.",
            )


def open_volume(engine: Engine, settings: VolumeSettings, clock: Clock) -> OpenVolume:
    """Return the shared state of a volume just opened, without a session."""
    inos = Ids(engine, NEXT_INO, FIRST_INO, INOS_AT_ONCE)
    slice_ids = Ids(engine, NEXT_SLICE, FIRST_SLICE, SLICES_AT_ONCE)
    opens = OpenFiles()
    inos.tell(opens.doubt)
    engine.hold(Claim(settings.uuid, (inos, slice_ids)))
    return OpenVolume(
        engine=engine,
        settings=settings,
        sid=SessionId(0),
        clock=clock,
        opens=opens,
        inos=inos,
        slice_ids=slice_ids,
    )
