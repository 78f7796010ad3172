"""The standalone `VectorService`: the writer of this process and reading beside it.

`Engine` answers every method of `api.VectorService` and `api.AliasService`.  In a cluster the
writer process serves an `Engine` too: routers send it DDL, writes, `describe_indexes`, `row_count`
and `tip`, while readers follow `engine.writer.subscribe` and answer the parts of searches.
"""

import os
import threading
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from roost.clock import Clock, SystemClock
from roost.errors import LeaseLost, RoostError, Unavailable
from roost.vector import api
from roost.vector.catalog.catalog import Catalog
from roost.vector.catalog.holder import HolderLock, holder_is_dead
from roost.vector.catalog.lease import Lease, LeaseTerms
from roost.vector.catalog.values import LeaseRow
from roost.vector.collection.answer import answer_query, answer_search
from roost.vector.collection.parts import (
    GROWING,
    FetchPart,
    PartAddress,
    PartHits,
    PartRows,
    QueryPart,
    SearchPart,
)
from roost.vector.engine.core import Core
from roost.vector.engine.held import Held
from roost.vector.engine.recovering import recover
from roost.vector.engine.settings import EngineSettings
from roost.vector.engine.writer import WriterEngine
from roost.vector.files import Files
from roost.vector.index.builder import IndexBuilder
from roost.vector.log.writer import LogLimits
from roost.vector.manifest import Manifest

WAIT_S = 10.0
"""How long a read waits for the timestamp that it must see."""
ACQUIRE_TERMS = 2.0
"""Terms to wait for the lease: one to see it stand still, and one of slack."""
_Part = TypeVar("_Part", SearchPart, QueryPart, FetchPart)


class Engine:
    """Both services in one process.  Use `open_engine`; `close` it in the end."""

    def __init__(self, core: Core, writer: WriterEngine, opened: ExitStack) -> None:
        """Made by `open_engine`; `opened` closes what it opened."""
        self._core = core
        self._opened = opened
        self.writer = writer
        self._defining = writer.defining

    # ---- definitions ----------------------------------------------------------------------

    def create_collection(self, new: api.NewCollection) -> api.CollectionInfo:
        """As in VectorService."""
        return self._defining.create_collection(new)

    def drop_collection(self, name: str) -> None:
        """As in VectorService."""
        self._defining.drop_collection(name)

    def describe_collection(self, name: str) -> api.CollectionInfo:
        """As in VectorService."""
        return self._held(name).state.info

    def look_up(self, name: str) -> api.CollectionInfo:
        """As in VectorService."""
        return self.describe_collection(name)

    def describe_collection_id(self, collection_id: int) -> api.CollectionInfo:
        """As in VectorService."""
        return self._core.collections.by_id(collection_id).state.info

    def list_collections(self) -> list[api.CollectionInfo]:
        """As in VectorService."""
        return [held.state.info for held in self._core.collections.all()]

    def create_partition(self, collection: str, name: str) -> None:
        """As in VectorService."""
        self._defining.create_partition(collection, name)

    def drop_partition(self, collection: str, name: str) -> None:
        """As in VectorService."""
        self._defining.drop_partition(collection, name)

    def create_index(self, collection: str, spec: api.IndexSpec) -> None:
        """As in VectorService."""
        self._defining.create_index(collection, spec)
        self.writer.wake()

    def drop_index(self, collection: str, name: str) -> None:
        """As in VectorService."""
        self._defining.drop_index(collection, name)

    def describe_indexes(self, collection: str) -> list[api.IndexInfo]:
        """As in VectorService."""
        return self.writer.indexes(self._held(collection))

    def load(self, collection: str) -> None:
        """As in VectorService."""
        self._defining.load(collection)

    def release(self, collection: str) -> None:
        """As in VectorService."""
        self._defining.release(collection)

    def load_progress(self, collection: str) -> api.LoadProgress:
        """As in VectorService."""
        if self._held(collection).state.info.loaded:
            return api.LoadProgress(api.LoadState.LOADED, 100)
        return api.LoadProgress(api.LoadState.NOT_LOADED, 0)

    def create_alias(self, alias: str, collection: str) -> None:
        """As in AliasService."""
        self._defining.create_alias(alias, collection)

    def alter_alias(self, alias: str, collection: str) -> None:
        """As in AliasService."""
        self._defining.alter_alias(alias, collection)

    def drop_alias(self, alias: str) -> None:
        """As in AliasService."""
        self._defining.drop_alias(alias)

    # ---- writes ---------------------------------------------------------------------------

    def insert(self, request: api.InsertRequest) -> api.MutationAnswer:
        """As in VectorService."""
        return self.writer.insert(request)

    def delete(self, request: api.DeleteRequest) -> api.MutationAnswer:
        """As in VectorService."""
        return self.writer.delete(request)

    def flush(self, collections: tuple[str, ...]) -> api.FlushAnswer:
        """As in VectorService."""
        return self.writer.flush(collections)

    def compact(self, collection: str) -> int:
        """As in VectorService."""
        return self.writer.compact(collection)

    def compaction_done(self, compaction_id: int) -> bool:
        """As in VectorService."""
        return self.writer.compaction_done(compaction_id)

    # ---- reads ----------------------------------------------------------------------------

    def search(self, request: api.SearchRequest) -> api.SearchAnswer:
        """As in VectorService."""
        held = self._held(request.collection)
        return answer_search(held.state.info, request, lambda: self._view(held, request.freshness))

    def query(self, request: api.QueryRequest) -> api.QueryAnswer:
        """As in VectorService."""
        held = self._held(request.collection)
        return answer_query(held.state.info, request, lambda: self._view(held, request.freshness))

    def row_count(self, collection: str, partition: str = "") -> int:
        """As in VectorService."""
        state = self._held(collection).state
        partitions = (state.info.partition(partition).id,) if partition else ()
        return state.row_count(state.newest.version, state.watermark, partitions)

    def now_ts(self) -> int:
        """As in VectorService."""
        return self._core.timestamps.next()

    def tip(self) -> int:
        """As in WriterEngine."""
        return self.writer.tip()

    def close(self) -> None:
        """Stop everything in order: background work, the log, the lease, the files held open."""
        with ExitStack() as closing:  # the lease is given back whatever else fails
            closing.push(self._opened)
            for held in self._core.collections.all():
                closing.callback(held.state.close)
            closing.callback(self.writer.close)

    def _held(self, name: str) -> Held:
        return self._core.collections.by_name(name)

    def _view(self, held: Held, freshness: api.Freshness) -> "_View":
        """Choose (version, read_ts), waiting for what must be seen (hazard H7)."""
        state = held.state
        if freshness.exactly_ts is not None:
            read_ts = freshness.exactly_ts
            self._wait(held, read_ts)
            return _View(held, state.manifest(state.version_for(read_ts)), read_ts)
        at_least = freshness.at_least_ts
        if freshness.level is api.Consistency.STRONG:
            at_least = max(at_least, self.writer.tip())
        self._wait(held, at_least)
        return _View(held, state.newest, state.watermark)

    def _wait(self, held: Held, read_ts: int) -> None:
        if held.state.watermark < read_ts:
            held.state.wait_for(held.state.newest.version, read_ts, WAIT_S)


class _View:
    """`Ask` of one process: every segment of one version at one instant."""

    def __init__(self, held: Held, manifest: Manifest, read_ts: int) -> None:
        self._state = held.state
        self._version = manifest.version
        self._segments = (GROWING, *(entry.id for entry in manifest.segments))
        self.read_ts = read_ts

    def search(self, part: SearchPart) -> Sequence[PartHits]:
        """As in Ask."""
        return [self._state.search_part(self._placed(part))]

    def query(self, part: QueryPart) -> Sequence[PartRows]:
        """As in Ask."""
        return [self._state.query_part(self._placed(part))]

    def fetch(self, part: FetchPart) -> pa.RecordBatch:
        """As in Ask."""
        return self._state.fetch_part(self._placed(part))

    def _placed(self, part: _Part) -> _Part:
        at = PartAddress(
            part.at.collection_id,
            self._version,
            self.read_ts,
            self._segments,
            part.at.partition_ids,
        )
        return replace(part, at=at)


def open_engine(
    catalog_url: str,
    files: Files,
    *,
    holder: str = "",
    settings: EngineSettings | None = None,
    clock: Clock | None = None,
    on_lost: Callable[[str], None] | None = None,
    lock_folder: Path | None = None,
    limits: LogLimits | None = None,
) -> Engine:
    """Become the writer of that catalog and volume, replay the log, and serve.

    Waits for the lease up to two terms.  `holder` names this member; it must be new in every
    process.  With `lock_folder`, a folder on a local disk, a writer of this host that died is known
    to be dead at once (`HolderLock`), and nobody waits for it.  `on_lost` is called once, from a
    background thread, when this process stops being the writer (deposed, or its log failed): the
    process should close the engine and end or start again.  Raises Unavailable when another writer
    lives, Damage.
    """
    settings, clock = settings or EngineSettings(), clock or SystemClock()
    holder = holder or uuid.uuid4().hex
    with ExitStack() as opened:
        catalog = Catalog(catalog_url)
        opened.callback(catalog.close)
        proof = None
        if lock_folder is not None:
            opened.callback(HolderLock(lock_folder, holder).release)
            proof = partial(holder_is_dead, lock_folder)
        lease = Lease(catalog, holder, clock, _terms(settings.lease_term_s))
        _acquire(lease, clock, settings.lease_term_s, proof)
        core = Core(
            catalog=catalog,
            lease=lease,
            files=files,
            clock=clock,
            builder=IndexBuilder(),
            settings=settings,
            reading=_reading_pool(settings),
        )
        opened.callback(core.reading.shutdown)
        opened.callback(core.builder.close)
        opened.callback(lease.release)
        lost = _Lost()
        lease.start_renewing(lost.on_lost)
        recover(core)
        writer = WriterEngine(core, on_lost or _ignore, limits)
        lost.tell(writer.lease_lost)
        return Engine(core, writer, opened.pop_all())
    raise AssertionError("unreachable")


class _Lost:
    """Passes the loss of the lease on, also when it comes before there is a writer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._error: LeaseLost | None = None
        self._tell: Callable[[RoostError], None] | None = None

    def on_lost(self, error: LeaseLost) -> None:
        """For `Lease.start_renewing`."""
        with self._lock:
            self._error = error
            tell = self._tell
        if tell is not None:
            tell(error)

    def tell(self, tell: Callable[[RoostError], None]) -> None:
        """Say whom to tell."""
        with self._lock:
            self._tell = tell
            error = self._error
        if error is not None:
            tell(error)


def _terms(term_s: float) -> LeaseTerms:
    """Return a lease's terms in the proportions of the defaults."""
    return LeaseTerms(term_s, term_s / 6, term_s / 3, term_s / 15)


def _reading_pool(settings: EngineSettings) -> ThreadPoolExecutor:
    threads = settings.search_threads or os.cpu_count() or 1
    return ThreadPoolExecutor(threads, thread_name_prefix="roost-search")


def _ignore(reason: str) -> None:
    """For callers who ask the engine itself."""


def _acquire(
    lease: Lease, clock: Clock, term_s: float, proof: Callable[[LeaseRow], bool] | None
) -> None:
    deadline_s = clock.monotonic_s() + ACQUIRE_TERMS * term_s
    never = threading.Event()
    while not lease.try_acquire(proof):
        if clock.monotonic_s() > deadline_s:
            raise Unavailable(
                "another writer holds the lease of this catalog",
                hint="Stop the other process, or let it serve.",
            )
        clock.wait(never, term_s / 15)
