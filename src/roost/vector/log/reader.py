"""Reading the log: of one generation, or of all in order, and never past a seal.

A generation's files are numbered from 0 without a gap.  A *seal* says where a generation ends for
ever: what a deposed writer adds behind it never happened (hazard H1).  The *floor* is the first
file that was not collected; everything from there on must exist.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from roost.errors import CorruptRecord, MissingBlock, Unavailable
from roost.vector.files import Files
from roost.vector.log.record import HEADER_BYTES, LogPosition, Record, decode, record_size, scan
from roost.vector.log.writer import LOG_FOLDER


@dataclass(frozen=True, slots=True, order=True)
class LogFloor:
    """The first file of the log that was not collected."""

    generation: int = 0
    file: int = 0


@dataclass(frozen=True, slots=True)
class LogGarbage:
    """Files that nothing needs any more, oldest first, and the floor once they are gone.

    Store `floor` in the catalog before the first delete; delete in order, after the grace time.
    """

    paths: tuple[str, ...]
    floor: LogFloor


@runtime_checkable
class Settles(Protocol):
    """Files whose readers may see bytes that are not durable yet (a local page cache)."""

    def settle(self, path: str) -> None:
        """Make what readers see of that file durable.  Raises Failure."""
        ...


def log_end(files: Files, generation: int) -> LogPosition:
    """Return where the log of a generation ends now, for its seal at a take-over.

    The bytes up to there are durable on return.  A torn tail is left out: it was never
    acknowledged.  Raises CorruptRecord, NewerFormat.
    """
    raise NotImplementedError


def missing_seals(
    files: Files, seals: Mapping[int, LogPosition], generation: int, floor: LogFloor = LogFloor()
) -> dict[int, LogPosition]:
    """Return the seals that the new writer `generation` must store before it replays.

    One for each generation from the floor up to `generation` (exclusive) that has none.
    Raises CorruptRecord if the log has `generation` or a later one already: then the catalog is
    older than the log.
    """
    raise NotImplementedError


def read_generation(
    files: Files, generation: int, from_file: int = 0, sealed_end: LogPosition | None = None
) -> Iterator[Record]:
    """Yield the records of one generation from file `from_file` on.

    With `sealed_end` exactly up to there.  Without, up to a torn tail, which only the last file may
    have; such records may be not acknowledged.  Payloads point into memory of whole files.
    Raises CorruptRecord, NewerFormat, MissingBlock for a gap.
    """
    raise NotImplementedError


def replay(
    files: Files,
    seals: Mapping[int, LogPosition],
    after_ts: int,
    floor: LogFloor = LogFloor(),
    open_generation: int | None = None,
) -> Iterator[Record]:
    """Yield all records with a timestamp above `after_ts`, in order, of all sealed generations.

    `open_generation`, if given, is read last, up to its present end; it has no seal yet.
    Files wholly at or before `after_ts` are skipped without reading all of them.
    Raises Unavailable if a generation in between is not sealed yet (a take-over is under way);
    CorruptRecord, NewerFormat, MissingBlock.
    """
    raise NotImplementedError


def collect(
    files: Files,
    seals: Mapping[int, LogPosition],
    complete_to: int,
    floor: LogFloor = LogFloor(),
    open_generation: int | None = None,
) -> LogGarbage:
    """Return the files whose every record has a timestamp at or below `complete_to`.

    `complete_to` is the lowest of all collections.  The last file of the open generation is never
    among them.  Each candidate is read and verified before it is given up.
    Raises CorruptRecord, NewerFormat, MissingBlock.
    """
    raise NotImplementedError
