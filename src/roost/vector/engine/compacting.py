"""Small segments become one, and deleted rows go.

A compaction copies the rows that live at an instant D into a new segment, builds the indexes that
the collection has (so that searches never fall back to scanning), keeps up with the deletes that
arrive meanwhile, and resolves the last of them in the commit lane (hazard H8).  If an input is gone
by then (its partition was dropped), the output is thrown away.

Rows deleted before D are in the old versions only: the output says so (`oldest_read_ts`), and
reads at an older instant take an older version.  So a collection whose rows are all deleted keeps
its last segment: without any, nothing would say it.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from roost.errors import CommitUnknown, Failure, Gone
from roost.vector.collection.state import LiveRows
from roost.vector.engine.commits import CommitLane
from roost.vector.engine.core import Core
from roost.vector.engine.flushing import drop_folders, resolved, with_deletes
from roost.vector.engine.held import Held
from roost.vector.engine.indexing import Indexing
from roost.vector.manifest import Manifest, SegmentEntry
from roost.vector.segment.deletes import RowDeletes, no_deletes
from roost.vector.segment.writing import SegmentAddress, write_segment

log = logging.getLogger(__name__)

COMPACT = "compact"
"""The kind of work, for `Held.only`."""


@dataclass(frozen=True, slots=True)
class Group:
    """Segments of one partition that are to become one."""

    partition_id: int
    inputs: tuple[SegmentEntry, ...]


def plan(core: Core, manifest: Manifest, *, thorough: bool) -> list[Group]:
    """Return what is worth merging now; `thorough` (a client asked) takes every pair."""
    settings = core.settings
    if all(entry.deleted_rows >= entry.rows for entry in manifest.segments):
        return []
    groups = []
    by_partition: dict[int, list[SegmentEntry]] = {}
    for entry in manifest.segments:
        by_partition.setdefault(entry.partition_id, []).append(entry)
    for partition_id, entries in by_partition.items():
        small = [e for e in entries if _live_bytes(e) < settings.segment_bytes // 2]
        least = 2 if thorough else settings.compact_segments_min
        packed = _pack(small, settings.segment_bytes, least)
        taken = {entry.id for group in packed for entry in group}
        worn = [[e] for e in entries if e.id not in taken and _is_worn(core, e, thorough)]
        groups += [Group(partition_id, tuple(inputs)) for inputs in (*packed, *worn)]
    return groups


def _live_bytes(entry: SegmentEntry) -> int:
    return entry.size_bytes * (entry.rows - entry.deleted_rows) // max(entry.rows, 1)


def _is_worn(core: Core, entry: SegmentEntry, thorough: bool) -> bool:
    share = 0.0 if thorough else core.settings.compact_deleted_share
    return entry.deleted_rows > share * entry.rows


def _pack(
    entries: Iterable[SegmentEntry], limit_bytes: int, least: int
) -> list[list[SegmentEntry]]:
    """Return groups of at least `least` entries that fit into one segment, smallest first."""
    groups: list[list[SegmentEntry]] = []
    group: list[SegmentEntry] = []
    size_bytes = 0
    for entry in sorted(entries, key=_live_bytes):
        if group and size_bytes + _live_bytes(entry) > limit_bytes:
            groups.append(group)
            group, size_bytes = [], 0
        group.append(entry)
        size_bytes += _live_bytes(entry)
    groups.append(group)
    return [group for group in groups if len(group) >= least]


def compact(core: Core, lane: CommitLane, indexing: Indexing, held: Held, group: Group) -> bool:
    """Merge one group and commit it; False if it was overtaken by another change.

    Raises as `flushing.flush`.
    """
    inputs = {entry.id for entry in group.inputs}
    with held.only(COMPACT):
        entry = None
        try:
            at_ts = held.state.watermark
            entry = _merge(core, held, group.inputs, at_ts)
            if entry is not None:
                entry = _with_indexes(core, indexing, held, entry)
            manifest = lane.commit(held, lambda base: _next(core, held, base, inputs, entry, at_ts))
        except Gone as error:
            log.info("compaction was overtaken: collection=%d %s", held.id, error)
            return False
        except CommitUnknown:
            raise  # the version may exist and name the output
        except BaseException:
            drop_folders(core, [entry] if entry else [])
            raise
    there = {e.id for e in manifest.segments}
    if entry is not None and entry.id not in there:
        drop_folders(core, [entry])
    return not there & inputs


def _merge(
    core: Core, held: Held, inputs: Sequence[SegmentEntry], at_ts: int
) -> SegmentEntry | None:
    """Write the rows that live at `at_ts`; None if there are none."""
    live = [_live_rows(held, entry, at_ts) for entry in inputs]
    rows = pa.Table.from_batches([part.rows for part in live]).combine_chunks()
    if not rows.num_rows:
        return None
    row_ts = np.concatenate([part.row_ts for part in live])
    segment_id, folder = core.new_segment(held.id)
    address = SegmentAddress(segment_id, inputs[0].partition_id, folder)
    (batch,) = rows.to_batches()
    return write_segment(core.files, address, held.state.info.schema, batch, row_ts, at_ts, at_ts)


def _live_rows(held: Held, entry: SegmentEntry, at_ts: int) -> LiveRows:
    try:
        return held.state.live_rows(entry.id, at_ts)
    except KeyError:  # the newest version has it no more
        raise Gone(f"segment {entry.id} went away") from None


def _with_indexes(core: Core, indexing: Indexing, held: Held, entry: SegmentEntry) -> SegmentEntry:
    """Build what the collection's indexes want before anybody sees the segment.

    Deletes are taken up while waiting: a state does not remember them for ever.
    """
    taken: list[RowDeletes] = [no_deletes()]
    for spec in indexing.wanted(held, entry):
        build = indexing.begin(held, entry, spec)
        while not indexing.wait(build):
            up_to_ts = held.state.watermark
            taken.append(held.state.pending_deletes(entry, up_to_ts))
            entry = replace(entry, deletes_complete_to=up_to_ts)
        try:
            entry = replace(entry, indexes=(*entry.indexes, indexing.adopt(build)))
        except Failure as error:
            log.warning("the index of a merged segment failed, it comes later: %s", error)
    offsets, delete_ts = (np.concatenate(arrays) for arrays in zip(*taken, strict=True))
    return with_deletes(core, entry, offsets, delete_ts)


def _next(
    core: Core,
    held: Held,
    base: Manifest,
    inputs: set[int],
    entry: SegmentEntry | None,
    at_ts: int,
) -> Manifest | None:
    """In the commit lane: the version with the output in place of the inputs."""
    there = [e.id for e in base.segments if e.id in inputs]
    if len(there) != len(inputs):
        return None
    others = [e for e in base.segments if e.id not in inputs]
    new = []
    if entry is None:
        if not others:
            return None
        oldest_ts = max(at_ts, others[0].oldest_read_ts)
        others[0] = replace(others[0], oldest_read_ts=oldest_ts)
    else:
        declared = {spec.id for spec in held.state.info.indexes}
        indexes = tuple(file for file in entry.indexes if file.index_id in declared)
        new = [resolved(core, held, replace(entry, indexes=indexes), held.state.watermark)]
    return replace(base, segments=(*others, *new))
