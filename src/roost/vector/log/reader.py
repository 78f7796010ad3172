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
    numbers = _numbers(files, generation)
    if not numbers:
        return LogPosition(0, 0)
    path = _path(generation, numbers[-1])
    if isinstance(files, Settles):
        files.settle(path)
    end = 0
    for framed in scan(files.read(path), path, may_be_torn=True):
        end = framed.end
    return LogPosition(numbers[-1], end)


def settle_end(files: Files, generation: int) -> None:
    """Make durable what was read of a generation's log that is open still.

    All files but the last are: their successors are made after their last sync.  Raises Failure.
    """
    numbers = _numbers(files, generation)
    if numbers and isinstance(files, Settles):
        files.settle(_path(generation, numbers[-1]))


def missing_seals(
    files: Files, seals: Mapping[int, LogPosition], generation: int, floor: LogFloor = LogFloor()
) -> dict[int, LogPosition]:
    """Return the seals that the new writer `generation` must store before it replays.

    One for each generation from the floor up to `generation` (exclusive) that has none.  To be
    called before the LogWriter of `generation` is made.
    Raises CorruptRecord if the log has `generation` or a later one already: then the catalog is
    older than the log, or somebody else is the writer.
    """
    present = _generations(files)
    if present and present[-1] >= generation:
        raise CorruptRecord(
            f"{LOG_FOLDER}/{present[-1]}",
            f"the catalog is older than the log: the new writer would be generation {generation}",
            hint="Check that the catalog was not restored from an older copy.",
        )
    start = max(floor.generation, 1)
    unsealed = (g for g in range(start, generation) if g not in seals)
    return {g: log_end(files, g) for g in unsealed}


def read_generation(
    files: Files, generation: int, from_file: int = 0, sealed_end: LogPosition | None = None
) -> Iterator[Record]:
    """Yield the records of one generation from file `from_file` on.

    With `sealed_end` exactly up to there.  Without, up to a torn tail, which only the last file may
    have; such records may be not acknowledged.  Payloads point into memory of whole files.
    Raises CorruptRecord, NewerFormat, MissingBlock for a gap.
    """
    numbers = _readable(files, generation, from_file, sealed_end)
    last_ts = 0
    for number in numbers:
        path = _path(generation, number)
        may_be_torn = sealed_end is None and number == numbers[-1]
        for framed in scan(_read(files, path, number, sealed_end), path, may_be_torn=may_be_torn):
            record = framed.record
            if record.generation != generation or record.timestamp <= last_ts:
                raise CorruptRecord(
                    f"{path} at offset {framed.offset}",
                    f"generation {record.generation} timestamp {record.timestamp} does not belong"
                    f" here, after timestamp {last_ts}",
                )
            last_ts = record.timestamp
            yield record


def replay(
    files: Files,
    seals: Mapping[int, LogPosition],
    after_ts: int,
    floor: LogFloor = LogFloor(),
    open_generation: int | None = None,
) -> Iterator[Record]:
    """Yield all records with a timestamp above `after_ts`, in order, of all sealed generations.

    `open_generation`, if given, is read last, up to its present end or the seal it got meanwhile.
    Files wholly at or before `after_ts` are skipped without reading all of them.
    Raises Unavailable if a generation in between is not sealed yet (a take-over is under way);
    CorruptRecord, NewerFormat, MissingBlock.
    """
    last_ts = 0
    for generation in _wanted(files, seals, floor, open_generation):
        end = seals.get(generation)  # none for the open generation
        first = floor.file if generation == floor.generation else 0
        start = _first_needed(files, generation, first, end, after_ts)
        for record in read_generation(files, generation, start, end):
            if record.timestamp <= last_ts:
                raise CorruptRecord(
                    f"{LOG_FOLDER}/{generation}",
                    f"timestamp {record.timestamp} follows {last_ts} of an older generation",
                )
            last_ts = record.timestamp
            if record.timestamp > after_ts:
                yield record


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
    paths: list[str] = []
    for generation in _wanted(files, seals, floor, open_generation):
        end = seals.get(generation)
        first = floor.file if generation == floor.generation else 0
        numbers = _readable(files, generation, first, end)
        for number in numbers if end is not None else numbers[:-1]:
            path = _path(generation, number)
            found = scan(_read(files, path, number, end), path)
            if any(framed.record.timestamp > complete_to for framed in found):
                return LogGarbage(tuple(paths), LogFloor(generation, number))
            paths.append(path)
        if end is None:
            return LogGarbage(tuple(paths), LogFloor(generation, numbers[-1] if numbers else first))
        paths.extend(_beyond_seal(files, generation, end))
        floor = LogFloor(generation + 1, 0)
    return LogGarbage(tuple(paths), floor)


def _path(generation: int, number: int) -> str:
    return f"{LOG_FOLDER}/{generation}/{number}"


def _numbers(files: Files, generation: int) -> list[int]:
    """Return the numbers of all files of a generation, rising; a gap between them is damage."""
    names = files.list(f"{LOG_FOLDER}/{generation}")
    numbers = sorted(int(name) for name in names if name.isdecimal())
    if numbers and len(numbers) != numbers[-1] - numbers[0] + 1:
        gap = next(n for n in range(numbers[0], numbers[-1]) if n not in numbers)
        raise MissingBlock(_path(generation, gap), "a file of the log is missing")
    return numbers


def _generations(files: Files) -> list[int]:
    return sorted(int(name) for name in files.list(LOG_FOLDER) if name.isdecimal())


def _readable(
    files: Files, generation: int, from_file: int, sealed_end: LogPosition | None
) -> list[int]:
    """Return the file numbers to read, from `from_file` to the seal; all of them exist."""
    numbers = [n for n in _numbers(files, generation) if n >= from_file]
    if sealed_end is not None:
        numbers = [n for n in numbers if n <= sealed_end.file]
        if numbers and numbers[-1] == sealed_end.file and sealed_end.offset == 0:
            numbers.pop()
        ends_in = sealed_end.file if sealed_end.offset else sealed_end.file - 1
        wanted = range(from_file, ends_in + 1)
    else:
        wanted = range(from_file, numbers[-1] + 1 if numbers else from_file)
    if numbers != list(wanted):
        missing = next(n for n in wanted if n not in numbers)
        raise MissingBlock(_path(generation, missing), "a file of the log is missing")
    return numbers


def _beyond_seal(files: Files, generation: int, seal: LogPosition) -> list[str]:
    """Return what a deposed writer left behind the seal; it never happened."""
    kept = seal.file if seal.offset else seal.file - 1
    return [_path(generation, n) for n in _numbers(files, generation) if n > kept]


def _read(files: Files, path: str, number: int, sealed_end: LogPosition | None) -> bytes:
    """Return a file's bytes: all of them, or up to the seal if it lies in this very file."""
    if sealed_end is None or number != sealed_end.file:
        return files.read(path)
    data = files.read(path, 0, sealed_end.offset)
    if len(data) < sealed_end.offset:
        raise CorruptRecord(
            f"{path} at offset {len(data)}",
            f"the file ends before its seal at {sealed_end.offset}",
        )
    return data


def _wanted(
    files: Files,
    seals: Mapping[int, LogPosition],
    floor: LogFloor,
    open_generation: int | None,
) -> list[int]:
    """Return the generations to read, rising, from the floor on."""
    wanted = [g for g in sorted(seals) if g >= floor.generation]
    if open_generation is not None and open_generation not in seals:
        wanted = sorted([*wanted, open_generation])
    end = wanted[-1] if wanted else 0
    for generation in _generations(files):
        if floor.generation <= generation < end and generation not in wanted:
            raise Unavailable(f"generation {generation} of the log is not sealed yet")
    if open_generation not in (None, *wanted[-1:]):
        raise Unavailable(f"generation {open_generation} of the log is not the last any more")
    return wanted


def _first_needed(
    files: Files, generation: int, from_file: int, end: LogPosition | None, after_ts: int
) -> int:
    """Return the first file that may have a record above `after_ts`.

    A file can be left out if its successor begins at or below `after_ts` + 1; the record that says
    so is verified, because a wrong skip would lose rows.
    """
    numbers = _readable(files, generation, from_file, end)
    start = from_file
    for number in numbers[1:]:
        first = _first_timestamp(files, _path(generation, number))
        if first is None or first > after_ts + 1:
            break
        start = number
    return start


def _first_timestamp(files: Files, path: str) -> int | None:
    """Return the timestamp of a file's first record, None if it is not whole."""
    header = files.read(path, 0, HEADER_BYTES)
    if len(header) < HEADER_BYTES:
        return None
    size_bytes = record_size(int.from_bytes(header[8:16], "little"))
    if size_bytes > files.size(path):
        return None
    try:
        return decode(files.read(path, 0, size_bytes), 0, path).record.timestamp
    except CorruptRecord:
        return None  # read in full later, where it is told whether that is damage
