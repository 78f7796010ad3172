"""A reader: every collection's growing rows and fresh deletes, and the segments it owns, open.

The follower feeds it records and manifests; a thread of its own opens ("warms") what a new version
or a change of members asks of it, and drops versions that were superseded long ago.  A reader holds
the growing rows of collections that are not loaded too (the writer bounds them by its flushes), so
that `load` needs no replay; of those it opens no segment.

A part may name a segment that the reader does not own, when its owner failed: it is opened then.

Invariants
* A version is installed with the segments owned at that time, or more.
* `_Held.served` has exactly the versions that the state answers.
Lock order: `_refreshing`, then one collection's `changing`.  `_lock` guards the table alone.
Files are fetched with no lock held, so that records go on being applied meanwhile.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from roost.clock import Clock
from roost.cluster import assign
from roost.cluster.reader_parts import ReaderParts
from roost.cluster.rpc.status import ReaderStatus
from roost.errors import Gone, RoostError
from roost.vector.api import CollectionInfo
from roost.vector.catalog.catalog import Catalog
from roost.vector.collection.local import LocalParts
from roost.vector.collection.parts import GROWING, PartAddress
from roost.vector.collection.state import CollectionState
from roost.vector.errors import CollectionNotFound
from roost.vector.files import Files
from roost.vector.log.record import Record, RecordKind
from roost.vector.manifest import Manifest, SegmentEntry

log = logging.getLogger(__name__)

KEEP_S = 20.0
"""Superseded versions stay answerable this long: more than a query takes (hazard H7)."""
UPKEEP_S = 1.0
"""Between two looks whether something is to be opened or dropped."""
WAIT_MAX_S = 5.0
"""How long a part waits for its version and timestamp."""
WATCH_S = 0.2
"""How long a router's question for news may wait; bounds the age of `visible_ts` in its hands."""
FETCH_THREADS = 4
"""Files copied to this host at once."""


@dataclass(slots=True)
class _Held:
    """One collection here.  `changing` is held by whoever changes `state` or the fields below."""

    state: CollectionState
    wanted: Manifest | None = None
    served: dict[int, frozenset[int]] = field(default_factory=dict)
    changing: threading.Lock = field(default_factory=threading.Lock)


class Reader:
    """The collections of one reader process.  Its `parts` answer; it is a follower's target."""

    def __init__(
        self,
        member_id: str,
        catalog: Catalog,
        files: Files,
        clock: Clock,
        pool: ThreadPoolExecutor,
        readers: Callable[[], Iterable[str]] = tuple,
        replicas: int = 1,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """`readers` names the living readers; `pool` runs the segments of a search side by side.

        `on_change` is told when the catalog was read again.
        """
        self.member_id = member_id
        self._catalog = catalog
        self._files = files
        self._clock = clock
        self._pool = pool
        self._readers = readers
        self._replicas = replicas
        self._on_change = on_change
        self._lock = threading.Lock()
        self._refreshing = threading.Lock()
        self._held: dict[int, _Held] = {}
        self._states: dict[int, CollectionState] = {}
        self._dropped: list[tuple[float, CollectionState]] = []
        self._unknown: set[int] = set()
        self._visible_ts = 0
        self._names: frozenset[str] = frozenset()
        self._status: Mapping[int, Mapping[int, bool]] = {}
        self._edition = 1
        self._published = threading.Condition()  # guards the two above
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._fetchers = ThreadPoolExecutor(FETCH_THREADS, "roost-fetch")
        self._thread = threading.Thread(target=self._keep_up, name="roost-warm", daemon=True)
        self.parts = ReaderParts(self, LocalParts(self._states, WAIT_MAX_S))

    def start(self) -> None:
        """Begin to open what this reader owns."""
        self._thread.start()

    def stop(self) -> None:
        """Close all collections."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        self._fetchers.shutdown(cancel_futures=True)
        for held in self._table():
            with held.changing:
                held.state.close()

    # what routers ask ----------------------------------------------------------------------

    @property
    def visible_ts(self) -> int:
        """Every durable record up to this timestamp was applied."""
        return self._visible_ts

    @property
    def held(self) -> Mapping[int, Mapping[int, bool]]:
        """Collection id → version → warm; another object whenever it has changed."""
        return self._status

    def status(self) -> ReaderStatus:
        """Return what can be answered now without waiting."""
        with self._published:
            return ReaderStatus(self.member_id, self._visible_ts, self._status, self._edition)

    def watch_status(self, edition: int) -> ReaderStatus:
        """Return the status when it is not of that edition, or after `WATCH_S` at the latest."""
        with self._published:
            self._published.wait_for(lambda: self._edition != edition, WATCH_S)
        return self.status()

    def serve(self, at: PartAddress) -> None:
        """See to it that the sealed segments of `at` can be answered; opens what is not open.

        Raises CollectionNotFound, Gone, TimedOut, Damage.
        """
        held = self._held.get(at.collection_id)
        if held is not None:
            served = held.served.get(at.version)
            if served is not None and served.issuperset(at.segment_ids):
                return
        self._open_for(at)

    # what the follower tells ---------------------------------------------------------------

    def refresh(self) -> None:
        """As in follow.Target."""
        with self._refreshing:
            infos = {info.id: info for info in self._catalog.list_collections()}
            manifests = self._catalog.latest_manifests()
            for collection_id, info in infos.items():
                self._take_info(collection_id, info)
            for collection_id in [c for c in self._held if c not in infos]:
                self._drop(collection_id)
        for manifest in manifests.values():
            self.manifest(manifest)
        self._on_change()
        self._wake.set()

    def forget(self) -> None:
        """As in follow.Target."""
        with self._refreshing:
            self._visible_ts = 0  # routers leave this reader out until it has caught up again
            for collection_id in list(self._held):
                self._drop(collection_id)
        self._publish()

    def manifest(self, manifest: Manifest) -> None:
        """As in follow.Target."""
        held = self._held.get(manifest.collection_id)
        if held is None:
            return  # created this moment; `refresh` brings both
        with self._lock:
            if held.wanted is None or held.wanted.version < manifest.version:
                held.wanted = manifest
        self._wake.set()

    def needed_from(self) -> int:
        """As in follow.Target."""
        wanted = (held.wanted for held in self._table())
        return min((log_needed_from(m) for m in wanted if m is not None), default=0)

    def apply(self, record: Record) -> None:
        """As in follow.Target."""
        if record.kind is RecordKind.BARRIER or record.collection_id in self._unknown:
            return
        held = self._held.get(record.collection_id)
        if held is None:
            self.refresh()
            held = self._held.get(record.collection_id)
        if held is None:
            self._unknown.add(record.collection_id)  # dropped since; ids are not given again
            return
        with held.changing:
            held.state.apply(record)

    def advance(self, watermark_ts: int) -> None:
        """As in follow.Target."""
        for held in self._table():
            with held.changing:
                held.state.advance(watermark_ts)
        self._visible_ts = max(self._visible_ts, watermark_ts)

    # upkeep --------------------------------------------------------------------------------

    def _table(self) -> list[_Held]:
        with self._lock:
            return list(self._held.values())

    def _take_info(self, collection_id: int, info: CollectionInfo) -> None:
        held = self._held.get(collection_id)
        if held is not None:
            if held.state.info != info:
                with held.changing:
                    held.state.update_info(info)
            return
        state = CollectionState(info, self._files, self._pool, self._clock)
        # Had it any record up to here, that record would have made us refresh.
        state.advance(self._visible_ts)
        with self._lock:
            self._held[collection_id] = _Held(state)
            self._states[collection_id] = state

    def _drop(self, collection_id: int) -> None:
        with self._lock:
            held = self._held.pop(collection_id)
            self._states.pop(collection_id)
            # Queries under way may still be reading it.
            self._dropped.append((self._clock.monotonic_s() + KEEP_S, held.state))

    def _keep_up(self) -> None:
        while not self._stop.is_set():
            self._clock.wait(self._wake, UPKEEP_S)
            self._wake.clear()
            self.keep_up()

    def keep_up(self) -> None:
        """Open what is owned and not open, drop what was superseded; the thread's round."""
        self._names = frozenset(self._readers()) | {self.member_id}
        for held in self._table():
            if self._stop.is_set():
                return
            try:
                self._warm(held)
                self._retire(held)
            except RoostError as error:
                # The older version goes on being answered; the next round tries again.
                log.warning("cannot open collection %s: %s", held.state.info.name, error)
            except Exception:  # a bug in one collection must not keep the others from opening
                log.exception("cannot open collection %s", held.state.info.name)
        self._close_dropped()
        self._publish()

    def _warm(self, held: _Held) -> None:
        with self._lock:
            manifest = held.wanted
        if manifest is None:
            return
        owned = self._owned(held, manifest)
        served = held.served.get(manifest.version)
        released = not held.state.info.loaded and bool(served)
        if served is not None and owned <= served and not released:
            return
        already = frozenset().union(*held.served.copy().values())
        self._fetch(entry for entry in manifest.segments if entry.id in owned - already)
        prepared = held.state.prepare(manifest, owned)  # long: records go on being applied
        with held.changing:
            held.state.install(manifest, owned, prepared)
            held.served[manifest.version] = owned
        self._publish()

    def _retire(self, held: _Held) -> None:
        if len(held.served) < 2:
            return
        with held.changing:
            for version in held.state.retire(KEEP_S):
                held.served.pop(version, None)

    def _close_dropped(self) -> None:
        now_s = self._clock.monotonic_s()
        with self._lock:
            due = [state for at_s, state in self._dropped if at_s <= now_s]
            self._dropped = [entry for entry in self._dropped if entry[0] > now_s]
        for state in due:
            state.close()

    def _owned(self, held: _Held, manifest: Manifest) -> frozenset[int]:
        if not held.state.info.loaded:
            return frozenset()
        rows = {entry.id: entry.rows for entry in manifest.segments}
        return assign.owned(rows, self._names, self._replicas, self.member_id)

    def _fetch(self, entries: Iterable[SegmentEntry]) -> None:
        """Bring the files of segments to this host before any lock is taken."""
        paths = [path for entry in entries for path in self._paths(entry)]
        for _ in self._fetchers.map(self._files.open_local, paths):
            pass

    def _paths(self, entry: SegmentEntry) -> list[str]:
        names = self._files.list(entry.folder)
        indexes = (index.path for index in entry.indexes)
        within = (f"{entry.folder}/{name}" for name in names)
        return sorted({*within, *entry.deletes, *indexes} - {entry.folder})

    def _open_for(self, at: PartAddress) -> None:
        if at.collection_id not in self._held:
            self.refresh()
        held = self._held.get(at.collection_id)
        if held is None:
            raise CollectionNotFound(str(at.collection_id))
        if at.version not in held.served:
            self.refresh()  # wakes the thread that opens it
            held.state.wait_for(at.version, 0, WAIT_MAX_S)
        asked = frozenset(at.segment_ids) - {GROWING}
        if asked <= held.served.get(at.version, frozenset()):
            return
        manifest = held.state.manifest(at.version)
        entries = [entry for entry in manifest.segments if entry.id in asked]
        if len(entries) < len(asked):
            raise Gone(f"version {at.version} has no segments {sorted(asked)}")
        self._fetch(entries)
        with held.changing:
            served = held.served.get(at.version, frozenset()) | asked
            held.state.install(manifest, served)
            held.served[at.version] = served

    def _publish(self) -> None:
        """Make `held` say what is so now."""
        status: dict[int, dict[int, bool]] = {}
        with self._lock:
            table = dict(self._held)
        for collection_id, held in table.items():
            versions: dict[int, bool] = {}
            for version, served in sorted(held.served.copy().items()):
                try:
                    manifest = held.state.manifest(version)
                except Gone:
                    continue
                versions[version] = self._owned(held, manifest) <= served
            status[collection_id] = versions
        with self._published:
            if status != self._status:
                self._status = status
                self._edition += 1
                self._published.notify_all()


def log_needed_from(manifest: Manifest) -> int:
    """Return the timestamp after which a reader of that version needs the log.

    Rows after `complete_to`, and deletes that some segment's delete files lack.
    """
    complete = (entry.deletes_complete_to for entry in manifest.segments)
    return min(manifest.complete_to, *complete) if manifest.segments else manifest.complete_to
