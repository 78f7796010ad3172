"""All rows of one moment, also where the engine has no snapshots.

The large tables are listed while everything else goes on, into a temporary file.  The engine tells
what was touched meanwhile; that is read again, round after round, as each takes less time than the
one before.  The last rounds are one atomic step each, and one of them is of the moment T to which
all rows belong: everything that was touched before T was read in it, or not touched since it was
read.  What is touched just after T cannot be told apart from what is touched just before.  If that
is nothing but what was read at T, or new inodes that no entry read at T names, then T it is.  Else
it is read in the next step.  Between two looks at what was touched lie two round trips.

Memory: the rows of what was touched, and one bit an inode.
"""

import heapq
import logging
import struct
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import IO

import zstandard

from roost.clock import Clock
from roost.errors import StorageFull, Unavailable
from roost.volume import codec
from roost.volume.meta.reads import Scans
from roost.volume.meta.touched import TellsTouched, Touched
from roost.volume.model import Ino
from roost.volume.tools.backup.rows import U32, U64, Row, in_order, rows_in, state_rows, usage_rows
from roost.volume.tools.numbers_seen import NumbersSeen

AT_ONCE = 1000  # groups of records in one atomic step
FEW = 500  # may be read in one step at the end
ENTRIES_MAX = 1_000_000  # read in one step, in which the server serves nobody else
ROUNDS_MAX = 20
STEPS_MAX = 300
STEPS_S_MAX = 60.0
_LARGE = b"IJKUXY"
_HEAD = struct.Struct(">II")  # bytes of key and of value
_LEVEL = 1

log = logging.getLogger(__name__)


def rows_of_one_moment(scans: Scans, settings: str, clock: Clock) -> Iterator[Row]:
    """Yield all rows of a volume in order of key, as of one moment if the engine can tell.

    If it cannot, a warning says so.  Raises CorruptRecord, Unavailable; StorageFull if the
    temporary folder cannot take the listing.
    """
    if scans.is_snapshot:
        yield from state_rows(scans, settings)
    elif isinstance(scans, TellsTouched) and scans.watch():
        with _Spool() as spool:
            moment = _Moment(scans, settings)
            spool.put(moment.listed(in_order(rows_in(scans, settings))))
            moment.come_to_it(clock)
            scans.unwatch()
            yield from in_order(moment.rows(spool.rows()))
    else:
        log.warning("the server does not tell what changes: the backup is not of one moment")
        yield from state_rows(scans, settings)


class _Moment:
    def __init__(self, scans: TellsTouched, settings: str) -> None:
        self._scans = scans
        self._settings = settings
        self._known = NumbersSeen()  # inodes of which a row was read
        self._fresh: dict[Touched, list[Row]] = {}
        self._small: list[Row] = []
        self._parents: dict[int, Ino] = {}  # of what was read again
        self._keepers: set[Touched] = {(b"B", sid, 0) for sid, _ in scans.all_sustained()}

    def listed(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield those of the large tables, noting inodes."""
        for row in rows:
            if row[0][:1] == b"I":
                self._known.add(*U64.unpack_from(row[0], 1))
            if row[0][:1] in _LARGE:
                yield row

    def come_to_it(self, clock: Clock) -> None:
        """Read again what was touched until all that was read is of one moment, or too long."""
        stale = self._touched()
        for _ in range(ROUNDS_MAX):
            if len(stale) <= FEW:
                break
            stale = self._round(stale)
        ends_s = clock.monotonic_s() + STEPS_S_MAX
        for _ in range(STEPS_MAX):
            # Little lies between this and the step's moment, so little is touched in between.
            stale |= self._touched()
            if self._scans.entries(stale) > ENTRIES_MAX:
                break
            read = stale | self._keepers
            named, just_after, stale = self._read(stale, as_one=True)
            if all(one in read or self._is_new(one, named) for one in just_after):
                return
            if clock.monotonic_s() > ends_s:
                break
        self._round(stale)
        log.warning("the volume changes too fast: the last changes may be in the backup half")

    def _round(self, stale: set[Touched]) -> set[Touched]:
        """Read groups of records, each of some moment; return what was touched meanwhile."""
        waiting, later = iter(stale), set[Touched]()
        while some := set(islice(waiting, AT_ONCE)):
            later |= self._read(some, as_one=False)[2]
        return later

    def rows(self, listed: Iterable[Row]) -> Iterator[Row]:
        """Yield the rows listed, with what was read again in the place of what it was."""
        again = [row for rows in self._fresh.values() for row in rows]
        kept = (row for row in listed if group_of(row[0]) not in self._fresh)
        return heapq.merge(kept, sorted([*again, *self._small]))

    def _touched(self) -> set[Touched]:
        touched = self._scans.touched()
        self._noted(touched)
        return touched

    def _noted(self, touched: set[Touched]) -> None:
        self._keepers |= {one for one in touched if one[0] == b"B"}

    def _is_new(self, one: Touched, named: set[int]) -> bool:
        """True if that belongs to an inode made after the last step: nothing of then names it."""
        return one[0] != b"B" and one[1] not in self._known and one[1] not in named

    def _read(
        self, touched: set[Touched], *, as_one: bool
    ) -> tuple[set[int], set[Touched], set[Touched]]:
        """Read groups of records, in one step or one by one.

        Return the inodes that rows among them name, what was touched until just after that, and
        what was touched until now.
        """
        usage = {Ino(ino) for letter, ino, _ in touched if letter in (b"I", b"J")}
        usage |= {self._parents[ino] for ino in usage if ino in self._parents}
        rows, just_after = self._scans.read_touched(
            touched | self._keepers,
            sorted(usage),
            lambda scans: list(rows_in(scans, self._settings)),
            as_one=as_one,
        )
        self._fresh.update((one, []) for one in touched if one[0] != b"B")
        self._fresh.update(((b"U", ino, 0), []) for ino in usage)
        self._small = [row for row in rows if row[0][:1] not in _LARGE]
        named, parents = self._take(rows)
        later = set(just_after)
        if parents - usage:  # of files never touched before; their directories' statistics
            rows, still_later = self._scans.read_touched(
                (), sorted(parents - usage), lambda scans: list(usage_rows(scans)), as_one=False
            )
            self._fresh.update(((b"U", ino, 0), []) for ino in parents - usage)
            self._take(rows)
            later |= still_later
        self._noted(later)
        return named, just_after, later

    def _take(self, rows: list[Row]) -> tuple[set[int], set[Ino]]:
        """Keep rows of the large tables; return the inodes that rows name, and parents."""
        named: set[int] = set()
        parents: set[Ino] = set()
        for row in rows:
            key, value = row
            letter = key[:1]
            if letter in (b"B", b"T"):
                named.add(*U64.unpack_from(key, 1))
            if letter not in _LARGE:
                continue
            self._fresh[group_of(key)].append(row)
            if letter == b"I":
                (ino,) = U64.unpack_from(key, 1)
                self._known.add(ino)
                parent = codec.decode_attr(value, repr(key)).parent
                if parent:
                    self._parents[ino] = parent
                    parents.add(parent)
            elif letter == b"J":
                named.add(int(codec.decode_edge(value).ino))
        return named, parents


def group_of(key: bytes) -> Touched:
    """Return the group of records to which a row of a large table belongs."""
    chunk_no = U32.unpack_from(key, 9)[0] if key[:1] == b"K" else 0
    return key[:1], U64.unpack_from(key, 1)[0], chunk_no


class _Spool:
    """Rows in a nameless temporary file."""

    def __init__(self) -> None:
        with _as_storage_full():
            self._file: IO[bytes] = tempfile.TemporaryFile(prefix="roost-backup-")  # noqa: SIM115

    def put(self, rows: Iterable[Row]) -> None:
        """Store all rows.  Raises StorageFull."""
        packer = zstandard.ZstdCompressor(level=_LEVEL)
        packed = packer.stream_writer(self._file, closefd=False)
        for key, value in rows:
            with _as_storage_full():
                packed.write(_HEAD.pack(len(key), len(value)) + key + value)
        with _as_storage_full():
            packed.flush(zstandard.FLUSH_FRAME)
            self._file.flush()

    def rows(self) -> Iterator[Row]:
        """Yield them as they were put.  Raises Unavailable if the file cannot be read back."""
        self._file.seek(0)
        with zstandard.ZstdDecompressor().stream_reader(self._file, closefd=False) as plain:
            while head := _exactly(plain, _HEAD.size):
                key_bytes, value_bytes = _HEAD.unpack(head)
                yield _exactly(plain, key_bytes), _exactly(plain, value_bytes)

    def __enter__(self) -> "_Spool":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


@contextmanager
def _as_storage_full() -> Iterator[None]:
    """Turn what a temporary folder refuses into an error that says which folder it is."""
    try:
        yield
    except OSError as error:
        raise StorageFull(
            f"{tempfile.gettempdir()}: cannot keep the listing there: {error.strerror or error}",
            hint="Make room, or let TMPDIR name a folder with room for a whole base.",
        ) from error


def _exactly(plain: zstandard.ZstdDecompressionReader, size: int) -> bytes:
    """Return so many bytes, or none at the end.  Raises Unavailable."""
    parts = b""
    try:
        while len(parts) < size and (more := plain.read(size - len(parts))):
            parts += more
    except (OSError, zstandard.ZstdError) as error:
        why = getattr(error, "strerror", None) or error
        raise Unavailable(
            f"{tempfile.gettempdir()}: cannot read the listing back from there: {why}",
            hint="Look at that disk, or let TMPDIR name a folder on another.",
        ) from error
    assert len(parts) in (0, size), "a temporary file was cut"
    return parts
