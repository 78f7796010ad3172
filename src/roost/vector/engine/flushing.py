"""Growing rows become sealed segments, and deletes become delete files.

A flush takes everything up to a timestamp T that is durable and visible: rows up to T become one
segment or more for each partition, deletes up to T go into delete files of the segments they hit,
and the new version says so (`complete_to`, and `deletes_complete_to` of every segment: hazard H8).
The segment files are written before the commit lane is asked; until then nothing names them.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from roost.errors import CommitUnknown
from roost.vector.collection.state import CutRows
from roost.vector.engine.commits import CommitLane
from roost.vector.engine.core import Core
from roost.vector.engine.held import Held
from roost.vector.manifest import Manifest, SegmentEntry
from roost.vector.segment.deletes import Int64s, write_deletes
from roost.vector.segment.writing import SegmentAddress, write_segment
from roost.vector.timestamps import from_ms

log = logging.getLogger(__name__)

FLUSH = "flush"
"""The kind of work, for `Held.only`."""


@dataclass(frozen=True, slots=True)
class Flushed:
    """What one flush made."""

    segment_ids: tuple[int, ...]
    complete_to: int


def flush(
    core: Core, lane: CommitLane, held: Held, up_to_ts: int, *, even_if_empty: bool = False
) -> Flushed:
    """Seal every row and delete up to `up_to_ts`, which must be visible already.

    Commits nothing if there is nothing to seal, unless `even_if_empty`: then the version only says
    that the collection needs no more of the log.  Raises LeaseLost, StorageFull, Unavailable;
    then all stays as it was and the rows stay in the log.
    """
    with held.only(FLUSH):
        entries: list[SegmentEntry] = []
        try:
            for cut in held.state.cut(up_to_ts):
                pieces = split(cut, core.settings.segment_bytes)
                entries.extend(_seal(core, held, piece, up_to_ts) for piece in pieces)
            manifest = lane.commit(
                held, lambda base: _next(core, held, base, entries, up_to_ts, even_if_empty)
            )
        except CommitUnknown:
            raise  # the version may exist and name these files
        except BaseException:
            drop_folders(core, entries)
            raise
    kept = {entry.id for entry in manifest.segments}
    drop_folders(core, (entry for entry in entries if entry.id not in kept))
    return Flushed(tuple(e.id for e in entries if e.id in kept), up_to_ts)


def drop_folders(core: Core, entries: Iterable[SegmentEntry]) -> None:
    """Remove segments that no manifest will ever name."""
    for entry in entries:
        core.files.delete_folder(entry.folder)


def wants_flush(core: Core, held: Held) -> bool:
    """True if the growing rows are many, large or old enough."""
    settings, growing = core.settings, held.state.growing_statistics()
    if not growing.rows:
        return False
    oldest_allowed_ms = core.clock.wall_ns() // 1_000_000 - int(settings.flush_age_s * 1_000)
    return (
        growing.rows >= settings.flush_rows
        or growing.size_bytes >= settings.flush_bytes
        or growing.oldest_ts < from_ms(max(oldest_allowed_ms, 0))
    )


def resolved(core: Core, held: Held, entry: SegmentEntry, up_to_ts: int) -> SegmentEntry:
    """Return `entry` with every delete up to `up_to_ts` in its delete files.

    In the commit lane only.  Writes a delete file if there are such deletes.
    """
    if entry.deletes_complete_to >= up_to_ts:
        return entry
    offsets, delete_ts = held.state.pending_deletes(entry, up_to_ts)
    entry = with_deletes(core, entry, offsets, delete_ts)
    return replace(entry, deletes_complete_to=up_to_ts)


def with_deletes(
    core: Core, entry: SegmentEntry, offsets: Int64s, delete_ts: Int64s
) -> SegmentEntry:
    """Return `entry` with one more delete file, if there is anything to put into it."""
    if not len(offsets):
        return entry
    path = f"{entry.folder}/deletes-{core.generation}-{core.timestamps.next()}"
    write_deletes(core.files, path, offsets, delete_ts)
    deleted_rows = min(entry.rows, entry.deleted_rows + len(np.unique(offsets)))
    return replace(entry, deletes=(*entry.deletes, path), deleted_rows=deleted_rows)


def split(cut: CutRows, segment_bytes: int) -> list[CutRows]:
    """Return `cut` in pieces of about `segment_bytes` at most, rows in their order."""
    pieces = max(1, -(-cut.rows.nbytes // segment_bytes))
    size = -(-cut.rows.num_rows // pieces)
    order = np.argsort(cut.delete_offsets, kind="stable")
    offsets, delete_ts = cut.delete_offsets[order], cut.delete_ts[order]
    result = []
    for start in range(0, cut.rows.num_rows, size):
        stop = min(start + size, cut.rows.num_rows)
        inside = slice(*np.searchsorted(offsets, (start, stop)).tolist())
        result.append(
            CutRows(
                cut.partition_id,
                cut.rows.slice(start, stop - start),
                cut.row_ts[start:stop],
                offsets[inside] - start,
                delete_ts[inside],
            )
        )
    return result


def _seal(core: Core, held: Held, cut: CutRows, up_to_ts: int) -> SegmentEntry:
    segment_id, folder = core.new_segment(held.id)
    address = SegmentAddress(segment_id, cut.partition_id, folder)
    schema = held.state.info.schema
    entry = write_segment(core.files, address, schema, cut.rows, cut.row_ts, up_to_ts)
    return with_deletes(core, entry, cut.delete_offsets, cut.delete_ts)


def _next(
    core: Core,
    held: Held,
    base: Manifest,
    entries: list[SegmentEntry],
    up_to_ts: int,
    even_if_empty: bool,
) -> Manifest | None:
    """In the commit lane: the version that has the new segments and all deletes up to T."""
    if base.complete_to >= up_to_ts:
        return None  # another flush went further while this one waited for its turn
    alive = {partition.id for partition in held.state.info.partitions}
    there = [entry for entry in base.segments if entry.partition_id in alive]
    old = tuple(resolved(core, held, entry, up_to_ts) for entry in there)
    new = tuple(entry for entry in entries if entry.partition_id in alive)
    same = [entry.deletes for entry in old] == [entry.deletes for entry in base.segments]
    if same and not new and not even_if_empty:
        return None
    return replace(base, segments=(*old, *new), complete_to=up_to_ts)
