"""Becoming the writer: older logs are sealed, collections opened, and the rest of the log replayed.

The order is the safety (hazards H1, H22): the generation is claimed in the catalog before this is
called; then every older generation gets its end stored, for ever; then what lies before those ends
is replayed; then the own log folder is claimed by an exclusive `mkdir` (by LogWriter).  Replaying
again gives the same state: a record counts by its timestamp, and DDL's truth is SQL alone.
"""

import logging
from collections.abc import Iterable
from dataclasses import replace

from roost.errors import Damage
from roost.vector.api import CollectionInfo
from roost.vector.collection.state import CollectionState
from roost.vector.columns import decode_rows, encode_rows
from roost.vector.engine.collecting import MANIFEST_FOLDER
from roost.vector.engine.commits import store_manifest
from roost.vector.engine.core import Core
from roost.vector.engine.held import Held
from roost.vector.log.reader import missing_seals, replay
from roost.vector.log.record import Record, RecordKind
from roost.vector.manifest import Manifest

PARTITION_BITS = (1 << 32) - 1
"""What a record has of a partition's id."""

log = logging.getLogger(__name__)


def recover(core: Core) -> None:
    """Bring every collection to the end of the log.  Raises Damage, LeaseLost, Unavailable."""
    floor = core.catalog.log_floor()
    seals = core.catalog.seals()
    missing = missing_seals(core.files, seals, core.generation, floor)
    if missing:
        core.catalog.set_seals(missing, core.generation)
        seals = core.catalog.seals()
    manifests = core.catalog.latest_manifests()
    for info in core.catalog.list_collections():
        open_collection(core, info, manifests.get(info.id))
    after = min((h.state.replay_from_ts for h in core.collections.all()), default=0)
    last = _replay(core, replay(core.files, seals, after, floor))
    core.timestamps.raise_floor(last)


def _replay(core: Core, records: Iterable[Record]) -> int:
    last, count = 0, 0
    for record in records:
        last, count = record.timestamp, count + 1
        core.log_bytes += record.payload.size
        held = core.collections.get(record.collection_id)
        if held is not None and record.timestamp > held.state.replay_from_ts:
            held.state.apply(_without_dropped_rows(held, record))
    log.info("replayed the log: records=%d last_ts=%d", count, last)
    return last


def _without_dropped_rows(held: Held, record: Record) -> Record:
    """Return the record as it counts if its partition was dropped after it was written.

    Its rows are gone, but what an upsert deleted in other partitions stays deleted.
    """
    info = held.state.info
    alive = {partition.id & PARTITION_BITS for partition in info.partitions}
    with_rows = record.kind in (RecordKind.INSERT, RecordKind.UPSERT)
    if not with_rows or record.partition_id & PARTITION_BITS in alive:
        return record
    keys = decode_rows(record.payload).select([info.schema.primary.name])
    if record.kind is RecordKind.INSERT:
        keys = keys.slice(0, 0)
    return replace(record, kind=RecordKind.DELETE, partition_id=0, payload=encode_rows(keys))


def open_collection(core: Core, info: CollectionInfo, newest: Manifest | None) -> Held:
    """Hold a collection at its newest version; a new collection gets its first.

    Raises Damage if the catalog lacks versions that the volume has: it was restored from an older
    copy or lost commits (hazard H9), and going on would destroy data.
    """
    if newest is None:
        newest = Manifest(info.id, 1, core.generation, complete_to=info.created_ts)
        _check_volume(core, info, 0)
        store_manifest(core, newest)
    else:
        _check_volume(core, info, newest.version)
    held = Held(CollectionState(info, core.files, core.reading, core.clock))
    held.state.install(newest)
    core.collections.put(held)
    return held


def _check_volume(core: Core, info: CollectionInfo, newest: int) -> None:
    """Compare with the files: one more than the rows may be a commit that never came about."""
    names = core.files.list(f"{MANIFEST_FOLDER}/{info.id}")
    stored = max((int(name.partition("-")[0]) for name in names), default=0)
    if stored > newest + 1:
        raise Damage(
            f"the catalog has version {newest} of collection {info.name}, the volume {stored}",
            hint="The catalog lost commits: run `roost catalog repair` before anything is written.",
        )
