"""Making, listing and forgetting backups of a volume's metadata.

A run compares the state of now with the state of the last backup and stores what differs; the first
one, and every so often another, stores everything.  A run that fails raises, is counted in a metric
and leaves a note in the bucket if it can: no run is skipped silently.
"""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client import Counter, Gauge

from roost.blob.store import BlobStore
from roost.errors import CorruptRecord, RoostError
from roost.volume.errors import NotFormatted
from roost.volume.meta.usage import TOTAL_INODES
from roost.volume.tools.backup.moment import rows_of_one_moment
from roost.volume.tools.backup.rows import Row, differences
from roost.volume.tools.backup.runs import (
    PREFIX,
    Manifest,
    chain,
    id_of,
    manifest_key,
    put_manifest,
    read_manifest,
    rows_of,
    write_run,
)
from roost.volume.tools.opened import OpenedVolume
from roost.volume.tools.steps import Progress

CHAIN_MAX = 24  # changes upon one base
_CHANGES_BYTES_MIN = 1 << 20  # less is never worth a new base
_ROWS_PER_INODE = 4  # about, for progress
_TELL_EVERY_ROWS = 10_000
_DAY_NS = 86_400_000_000_000

RUNS = Counter("roost_backup_runs_total", "Metadata backups tried by this process.", ["outcome"])
LAST_S = Gauge("roost_backup_last_success_seconds", "When this process last made a backup.")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Listed:
    """A backup, or a run that failed, as the bucket shows it."""

    id: str
    manifest: Manifest | None  # None: the run failed, or its manifest is damaged
    problem: str = ""


def run(
    volume: OpenedVolume,
    *,
    full: bool = False,
    keep_days: int = 0,
    progress: Progress = lambda _done, _all: None,
) -> Manifest:
    """Back up the state of now.  With `keep_days`, older backups that nothing needs are removed.

    Raises CorruptRecord, Unavailable, StorageFull; then nothing new exists.
    """
    taken_ns = volume.clock.wall_ns()
    try:
        made = _Run(volume, taken_ns, progress).make(full=full)
        if keep_days:
            forget(volume.store, taken_ns - keep_days * _DAY_NS)
    except BaseException as error:
        RUNS.labels("failed").inc()
        _note_failure(volume.store, taken_ns, error)
        raise
    RUNS.labels("done").inc()
    LAST_S.set(taken_ns / 1e9)
    return made


def _note_failure(store: BlobStore, taken_ns: int, error: BaseException) -> None:
    text = f"{type(error).__name__}: {error}"
    log.warning("the backup of the metadata failed: %s", text)
    try:
        note = json.dumps({"taken_ns": taken_ns, "error": text})
        store.put(f"{PREFIX}{id_of(taken_ns)}.failed", note.encode())
    except RoostError as other:
        log.warning("nor could the bucket be told: %s", other)


class _Run:
    def __init__(self, volume: OpenedVolume, taken_ns: int, progress: Progress) -> None:
        self._volume = volume
        self._store = volume.store
        self._taken_ns = taken_ns
        self._progress = progress
        self._rows = 0
        self._total = 0

    def make(self, *, full: bool) -> Manifest:
        volume = self._volume
        id_ = id_of(self._taken_ns)
        last = None if full else self._last()
        if last is not None and last.id >= id_:
            raise CorruptRecord(manifest_key(last.id), "it is of the future; set the clock right")
        with volume.engine.scan() as scans:
            text = volume.engine.read(lambda reads: reads.setting())
            if text is None:
                raise NotFormatted("the volume is gone")
            self._total = (scans.counter(TOTAL_INODES) or 0) * _ROWS_PER_INODE
            new = rows_of_one_moment(scans, text, volume.clock)
            if last is None:
                parts, changes = write_run(self._store, id_, self._counted(new))
            else:
                old = rows_of(self._store, last)
                parts, changes = write_run(self._store, id_, differences(old, new, self._count))
        manifest = Manifest(
            id=id_,
            uuid=volume.settings.uuid,
            name=volume.settings.name,
            taken_ns=self._taken_ns,
            previous="" if last is None else last.id,
            base=id_ if last is None else last.base,
            rows=self._rows,
            changes=changes,
            parts=parts,
        )
        put_manifest(self._store, manifest)
        self._progress(self._rows, self._rows)
        return manifest

    def _counted(self, rows: Iterator[Row]) -> Iterator[Row]:
        for row in rows:
            self._count()
            yield row

    def _count(self) -> None:
        self._rows += 1
        if self._rows % _TELL_EVERY_ROWS == 0:
            self._progress(self._rows, max(self._total, self._rows))

    def _last(self) -> Manifest | None:
        """Return the backup to build on; None if it is time for a base.

        After one that cannot be relied on comes a base.
        """
        uuid = self._volume.settings.uuid
        try:
            last = next((one for one in _newest_first(self._store) if one.uuid == uuid), None)
            if last is None:
                return None
            links = chain(self._store, last)
        except CorruptRecord as error:
            log.warning("the backup before is damaged, so everything is stored: %s", error)
            return None
        changes = sum(one.stored_bytes for one in links[1:])
        is_worth_it = changes > max(links[0].stored_bytes // 2, _CHANGES_BYTES_MIN)
        return None if len(links) > CHAIN_MAX or is_worth_it else last


def _newest_first(store: BlobStore, until: str = "") -> Iterator[Manifest]:
    """Yield manifests, the newest first; with `until`, those of ids up to it.

    Raises CorruptRecord at one that is damaged.
    """
    names = [info.key.removeprefix(PREFIX) for info in store.list(PREFIX)]
    ids = sorted(name.removesuffix(".json") for name in names if name.endswith(".json"))
    for one in reversed(ids):
        if not until or one <= until:
            yield read_manifest(store, one)


def backups(store: BlobStore) -> list[Listed]:
    """Return all backups and failed runs, oldest first."""
    found = []
    for info in store.list(PREFIX):
        name = info.key.removeprefix(PREFIX)
        if name.endswith(".json"):
            found.append(_listed(store, name.removesuffix(".json")))
        elif name.endswith(".failed"):
            found.append(Listed(name.removesuffix(".failed"), None, _failure(store, info.key)))
    return sorted(found, key=lambda one: one.id)


def _listed(store: BlobStore, id_: str) -> Listed:
    try:
        return Listed(id_, read_manifest(store, id_))
    except CorruptRecord as error:
        return Listed(id_, None, str(error))


def _failure(store: BlobStore, key: str) -> str:
    try:
        return str(json.loads(bytes(store.get(key))).get("error", "failed"))
    except (ValueError, AttributeError):
        return "failed"


def forget(store: BlobStore, before_ns: int) -> int:
    """Remove backups older than `before_ns` that no younger one builds on; return how many.

    The newest base from before that moment stays, with its changes: it is the state of then.
    """
    listed = backups(store)
    bases = [one.manifest for one in listed if one.manifest is not None and one.manifest.is_base]
    old = [base for base in bases if base.taken_ns < before_ns]
    if not old:
        return 0
    oldest_kept = old[-1].id
    # Of two runs at once the later may build on the base before: what it needs stays too.
    for one in reversed(listed):
        if one.manifest is not None and one.id >= oldest_kept:
            oldest_kept = min(oldest_kept, one.manifest.base)
    gone = 0
    for one in listed:
        if one.id >= oldest_kept:
            break
        # The manifest goes first: a backup that lost parts must not look like one.
        store.delete(manifest_key(one.id))
        store.delete(f"{PREFIX}{one.id}.failed")
        gone += 1
    _sweep(store, oldest_kept)
    return gone


def _sweep(store: BlobStore, oldest_kept: str) -> None:
    """Delete parts without a manifest from before the oldest backup kept."""
    for info in store.list(PREFIX):
        id_, found, _ = info.key.removeprefix(PREFIX).partition("/")
        if found and id_ < oldest_kept:
            store.delete(info.key)


def newest_before(store: BlobStore, at_ns: int | None) -> Manifest:
    """Return the last backup taken at or before a moment; None is now.

    Raises NotFormatted if there is none, CorruptRecord if its manifest is damaged.
    """
    for one in _newest_first(store, "" if at_ns is None else id_of(at_ns)):
        if at_ns is None or one.taken_ns <= at_ns:
            return one
    raise NotFormatted(
        f"no backup in {store.name}{PREFIX} from that time",
        hint="Look at what there is: roost backup list.",
    )
