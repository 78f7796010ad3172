"""Finding, and if wanted removing, what takes space though nobody can reach it.

Objects are joined with the metadata's slices in constant memory.  An object is leaked if no slice
has its id, or if it is no block of its slice; younger than an hour it may be of a write under way
and is left alone.  Before anything is deleted all metadata is read a second time, and an object
that a slice names by then stays.  Their dates are the store's, so its clock counts where objects
are deleted, and this host's too if that is behind.
Nothing is removed before all records that refer to data were read: where one does not parse, or
reaches beyond its slice, what it refers to is not known.  A slice that more records show than it
counts is kept, whatever its count says.
Source: the volume format reference, sections 6.3 and 6.4; JuiceFS cmd/gc.go.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from roost.blob.store import StoreDenied
from roost.clock import Clock, SystemClock
from roost.errors import CorruptRecord, RoostError, StorageFull
from roost.volume.bucket import time_ns_of
from roost.volume.client import VolumeClient
from roost.volume.layout import CHUNK_BYTES
from roost.volume.meta.check_slices import SliceTables, counts_every_slice, undercounted
from roost.volume.meta.clone import clean_detached
from roost.volume.meta.damage import ignore, tell_damage
from roost.volume.meta.effects import PutDeletedFile
from roost.volume.meta.open_volume import OpenVolume, open_volume
from roost.volume.meta.reads import Scans
from roost.volume.meta.scan_pages import NODE, node_pages
from roost.volume.meta.txn import Txn
from roost.volume.model import DeletedFile, Ino, SliceId, SliceRef
from roost.volume.sorted_records import SortedRecords, ranges
from roost.volume.tools.compacting import compact_all
from roost.volume.tools.drafts import drafts
from roost.volume.tools.gc_report import GcReport
from roost.volume.tools.objects import OBJECT, Listing, Match, StoredSizes, match, object_ref
from roost.volume.tools.steps import Progress, Steps

LEAK_AGE_S = 3600
DRAFT_AGE_S = 3600
DETACHED_AGE_S = 86400
_DELETED_FILE_GRACE_S = 3600
_DAY_S = 86400
_AT_ONCE = 1000
_WAITING_PER_THREAD = 16
LEAKED_KEPT_MAX = 10_000
_NAMES_ALL = (
    "Nothing was removed, as it is not known what the record refers to; "
    "`roost fsck META-URL` names all that is damaged."
)
_PUTS = (
    "Allow puts below testing/: the dates of objects are compared with that of a new one. "
    "Data that waited for its removal is removed; no other object was touched."
)

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GcOptions:
    """What to do besides looking.

    `leak_age_s`: how old an object that no slice names must be to be called leaked.  With `delete`
    it must be longer than any write can take from its first object to its commit.
    """

    compact: bool = False
    delete: bool = False
    threads: int = 10
    leak_age_s: int = LEAK_AGE_S


def collect_garbage(
    client: VolumeClient,
    options: GcOptions | None = None,
    *,
    progress: Progress = lambda _done, _all: None,
    clock: Clock | None = None,
) -> GcReport:
    """Look for garbage, and do what the options say.

    A removal that fails is counted and left for the next time.
    Raises Unavailable; CorruptRecord for records that do not parse, unless nothing but a compaction
    is asked for: then all other chunks are compacted, and the report says what did not parse.
    """
    return _Collection(client, options or GcOptions(), progress, clock or SystemClock()).run()


class _Collection:
    def __init__(
        self, client: VolumeClient, options: GcOptions, progress: Progress, clock: Clock
    ) -> None:
        self._client = client
        self._options = options
        self._steps = Steps(progress)
        self._blocks = client.core.blocks
        self._sizes = StoredSizes(self._blocks, is_encrypted=client.settings.is_encrypted)
        self._now_s = clock.wall_ns() // 1_000_000_000
        self._store_s = self._now_s  # by the clock that dates of objects are compared with
        self._volume: OpenVolume = open_volume(client.meta.engine, client.settings, clock)
        self._report = GcReport()
        self._miscounted = np.empty(0, np.uint64)  # in order

    def run(self) -> GcReport:
        """As collect_garbage."""
        tables = SliceTables()
        try:
            try:
                lost = self._read(tables)
            except CorruptRecord as error:
                if self._options.delete or not self._options.compact:
                    raise
                self._compact_the_rest(error)
                return self._report
            if self._options.compact:
                self._note_miscounted(tables)
                self._compact()
                tables.close()
                tables = SliceTables()
                lost = self._read(tables)
            self._note_miscounted(tables)
            if self._options.delete:
                self._remove_what_waits()
                self._ask_the_time()
                with self._client.meta.engine.scan() as scans:
                    self._count_what_waits(scans)
            self._look(tables, lost)
            self._look_at_drafts()
        finally:
            tables.close()
        return self._report

    def _compact(self, *, is_lenient: bool = False) -> None:
        self._report.compaction = compact_all(
            self._client,
            threads=self._options.threads,
            progress=self._steps,
            is_lenient=is_lenient,
            is_left=self._is_miscounted,
        )
        self._steps.next()

    def _compact_the_rest(self, error: CorruptRecord) -> None:
        tables = SliceTables()
        try:
            with self._client.meta.engine.scan() as scans:
                tell_damage(scans, ignore)
                tables.read(scans, told=ignore)
            self._note_miscounted(tables)
        finally:
            tables.close()
        self._report.damage = str(error)
        self._compact(is_lenient=True)

    def _ask_the_time(self) -> None:
        """Let the store's clock decide as well how old its objects are."""
        try:
            store_s = time_ns_of(self._blocks.store) // 1_000_000_000
        except StorageFull as error:  # garbage may be what fills it
            log.warning("only this host's clock says how old objects are: %s", error)
        except StoreDenied as error:
            raise StoreDenied(f"cannot ask for the store's time: {error}", hint=_PUTS) from error
        else:
            self._store_s = min(self._now_s, store_s)

    def _read(self, tables: SliceTables) -> list[Ino]:
        """Read all that refers to data; return inodes that have data but do not exist.

        Raises CorruptRecord.
        """
        try:
            with self._client.meta.engine.scan() as scans:
                tables.read_sound(scans)
                self._count_what_waits(scans)
            return self._lost_inodes(tables)
        except CorruptRecord as error:
            error.hint = _NAMES_ALL
            raise

    def _count_what_waits(self, scans: Scans) -> None:
        report = self._report
        report.deleted_files = sum(1 for _ in scans.all_deleted_files())
        report.delayed_slices = sum(len(one.slices) for one in scans.all_delayed())
        report.detached_nodes = len(scans.detached_nodes())

    def _note_miscounted(self, tables: SliceTables) -> None:
        counts_every = counts_every_slice(self._client.meta.engine)
        found = [
            undercounted(used, counted, counts_every=counts_every)
            for used, counted in ranges(tables.used, tables.counted)
        ]
        self._miscounted = np.concatenate([np.empty(0, np.uint64), *found])
        self._report.miscounted = len(self._miscounted)

    # ---- metadata that waits for removal
    def _remove_what_waits(self) -> None:
        meta = self._client.meta
        meta.clean_trash()
        clean_detached(self._volume, DETACHED_AGE_S)
        for delayed in meta.delayed_slices(self._now_s - meta.settings.trash_days * _DAY_S):
            self._remove(meta.release_delayed_slices(delayed))
        before_s = self._now_s - _DELETED_FILE_GRACE_S
        while files := meta.deleted_files(before_s, _AT_ONCE):
            failed = self._report.failed
            for file in files:
                self._release(file)
            if len(files) < _AT_ONCE or self._report.failed > failed:
                break  # what failed would only be found again
        limit = _AT_ONCE + len(self._miscounted)  # some may be found again
        while refs := meta.unreferenced_slices(limit):
            failed = self._report.failed
            self._remove(refs)
            if len(refs) < limit or self._report.failed > failed:
                break

    def _release(self, file: DeletedFile) -> None:
        try:
            self._remove(self._client.meta.release_deleted_file(file))
        except RoostError as error:
            self._failed(f"data of deleted file {file.ino}", error)

    def _remove(self, refs: Iterable[SliceRef]) -> None:
        def remove(ref: SliceRef) -> None:
            self._client.core.delete_slice(ref)
            self._client.meta.forget_slice(ref)

        doomed = (ref for ref in refs if not self._is_miscounted(ref.id))
        self._report.slices_removed += self._in_threads(remove, doomed)

    def _is_miscounted(self, slice_id: SliceId) -> bool:
        wanted = np.uint64(slice_id % (1 << 64))  # as tables have what is below zero
        place = int(np.searchsorted(self._miscounted, wanted))
        return bool((self._miscounted[place : place + 1] == wanted).any())

    # ---- objects beside slices
    def _look(self, tables: SliceTables, lost: list[Ino]) -> None:
        report, delete = self._report, self._options.delete
        hash_prefix = self._client.settings.hash_prefix
        listing = Listing(self._blocks, hash_prefix=hash_prefix)
        doomed = SortedRecords(OBJECT, "id")
        try:
            report.lost_chunks = len(lost)
            listing.read(self._steps, tables.used.count)
            self._steps.next()
            report.strange = listing.strange_count
            for used, counted, objects in ranges(tables.used, tables.counted, listing.objects):
                part = match(used, counted, objects, self._blocks.block_bytes, self._sizes)
                self._count(part, doomed)
            if delete and doomed.count:
                self._delete(doomed)
            if delete:
                for ino in lost:
                    self._remove_lost(ino)
        finally:
            listing.close()
            doomed.close()

    def _count(self, part: Match, doomed: SortedRecords) -> None:
        report, objects = self._report, part.objects
        is_lost = ~part.is_valid
        is_young = is_lost & (objects["mtime_s"] > self._store_s - self._options.leak_age_s)
        is_leaked = is_lost & ~is_young
        live, kept = (
            part.is_valid & (one[part.at] if len(one) else part.is_valid)
            for one in (part.live, part.kept)
        )
        everything = np.ones(len(objects), np.bool_)
        for total, which in (
            (report.objects, everything),
            (report.valid, live),
            (report.compacted, kept),
            (report.pending, part.is_valid & ~live & ~kept),
            (report.leaked, is_leaked),
            (report.young, is_young),
        ):
            total.count += int(which.sum())
            total.bytes += int(objects["stored"][which].sum())
        leaked = objects[is_leaked]
        doomed.add(leaked)
        for row in leaked[: LEAKED_KEPT_MAX - len(report.leaked_keys)]:
            report.leaked_keys.append(self._blocks.key(object_ref(row)))

    def _delete(self, doomed: SortedRecords) -> None:
        """Delete leaked objects that a second reading of the metadata does not know either."""
        tables = SliceTables()
        try:
            with self._client.meta.engine.scan() as scans:
                tables.read_sound(scans)
            done = 0
            for used, counted, objects in ranges(tables.used, tables.counted, doomed):
                part = match(used, counted, objects, self._blocks.block_bytes, self._sizes)
                rows = part.objects[~part.is_valid]
                keys = (self._blocks.key(object_ref(row)) for row in rows)
                gone = self._in_threads(self._blocks.store.delete, keys)
                self._report.deleted.count += gone
                self._report.deleted.bytes += int(rows["stored"].sum()) if gone == len(rows) else 0
                done += len(objects)
                self._steps(done, doomed.count)
        finally:
            tables.close()

    # ---- what a crash left of the puts of a directory
    def _look_at_drafts(self) -> None:
        report, old_s = self._report, self._store_s - DRAFT_AGE_S
        for store, info in drafts(self._client.settings):
            if info.mtime_ns // 1_000_000_000 > old_s:
                continue  # the put may be under way
            report.drafts.count += 1
            report.drafts.bytes += info.size_bytes
            if self._options.delete:
                try:
                    store.delete(info.key)
                except RoostError as error:
                    self._failed("a removal", error)
                else:
                    report.drafts_removed += 1

    # ---- data of inodes that do not exist
    def _lost_inodes(self, tables: SliceTables) -> list[Ino]:
        """Return inodes that have chunks though they neither exist nor wait to be removed."""
        suspects: list[Ino] = []
        engine = self._client.meta.engine
        with engine.scan() as scans, SortedRecords(NODE, "ino") as nodes:
            for page in node_pages(scans):
                nodes.add(page)
                self._steps(nodes.count, nodes.count)
            self._steps.next()
            for some, owners in ranges(nodes, tables.owners):
                lost = np.setdiff1d(owners["ino"], some["ino"])
                suspects += [Ino(int(ino)) for ino in lost]
        return [
            ino
            for ino in suspects
            if engine.read(
                lambda reads, ino=ino: (  # type: ignore[misc]  # mypy cannot type the default
                    reads.node(ino) is None
                    and reads.deleted_file(ino) is None
                    and bool(reads.chunk_numbers(ino))
                )
            )
        ]

    def _remove_lost(self, ino: Ino) -> None:
        numbers = self._client.meta.engine.read(lambda reads: reads.chunk_numbers(ino))
        if not numbers:
            return
        file = DeletedFile(ino, (numbers[-1] + 1) * CHUNK_BYTES, self._now_s)

        def note(txn: Txn) -> bool:
            if txn.node(ino) is not None or txn.deleted_file(ino) is not None:
                return False
            txn.do(PutDeletedFile(file))
            return True

        if self._client.meta.engine.run(note):
            self._release(file)

    # ---- many at once
    def _in_threads(self, do: Callable[[T], None], items: Iterable[T]) -> int:
        """Do something with each item; return how often it went well."""
        done = 0
        window: deque[Future[None]] = deque()

        def take() -> None:
            nonlocal done
            try:
                window.popleft().result()
                done += 1
            except RoostError as error:
                self._failed("a removal", error)

        with ThreadPoolExecutor(self._options.threads, "roost-gc") as pool:
            for item in items:
                if len(window) >= self._options.threads * _WAITING_PER_THREAD:
                    take()
                window.append(pool.submit(do, item))
            while window:
                take()
        return done

    def _failed(self, what: str, error: RoostError) -> None:
        self._report.failed += 1
        log.warning("%s is left for the next time: %s", what, error)
