"""The writing side of one process: the only one that logs, commits manifests and defines.

Life of a write: checked and encoded in the caller's thread → a place in the log (inside the
collection's gate) → append and early stream → fsync → lease check → visible in the
`CollectionState` and announced by the watermark → the caller's ticket wakes (hazards H1, H18).

Threads: the callers', the log's (`_Visible` runs on it), the commit lane's, the keeper's.
Locks: see `held`, `defining`, `keeper`, `follow`; `_end_lock` guards the one ending.
"""

import itertools
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial

import pyarrow as pa

from roost.errors import InvalidArgument, NotFound, RoostError, Unavailable
from roost.vector import api
from roost.vector.collection.parts import GROWING, PartAddress
from roost.vector.collection.planning import plan_query
from roost.vector.columns import encode_rows, encoded_size, share_memory
from roost.vector.engine.commits import CommitLane
from roost.vector.engine.core import Core
from roost.vector.engine.defining import Defining, without_dropped_partitions
from roost.vector.engine.flushing import flush
from roost.vector.engine.follow import Feed, Listener, Subscription
from roost.vector.engine.held import Collections, Held
from roost.vector.engine.indexing import Indexing
from roost.vector.engine.keeper import Keeper
from roost.vector.engine.rows import (
    check_size,
    checked_keys,
    complete_rows,
    last_of_each_key,
)
from roost.vector.errors import CollectionNotFound, SchemaMismatch
from roost.vector.log.record import Record, RecordKind
from roost.vector.log.writer import LogLimits, LogWriter
from roost.vector.schema import CollectionSchema
from roost.vector.timestamps import HybridClock

log = logging.getLogger(__name__)

COMPACTIONS_KEPT = 1_000
"""Compactions asked for whose end can still be asked."""


class WriterEngine:
    """All changes of all collections, by the holder of the lease.  Safe to call from many threads.

    After `LeaseLost` or a failure of the log nothing is acknowledged any more: close it.
    """

    def __init__(
        self, core: Core, on_lost: Callable[[str], None], limits: LogLimits | None = None
    ) -> None:
        """Claim the log of this generation; `core` is recovered.  Raises LeaseLost."""
        self._core = core
        self._tell_lost = on_lost
        self._end_lock = threading.Lock()
        self._ended = ""
        self._told = threading.Event()
        self._log = LogWriter(
            core.files,
            core.generation,
            core.timestamps,
            core.lease.check,
            _Visible(core, self._lost),
            limits,
        )
        self._lane = CommitLane(core, self._lost)
        self._indexing = Indexing(core, self._lane)
        self._keeper = Keeper(core, self._log, self._lane, self._indexing, self._lost)
        self.defining = Defining(core, self._log, self._lane, self._indexing)
        """DDL: the methods of VectorService that define things, and aliases."""
        self._compactions: dict[int, Future[None]] = {}
        self._next_compaction = itertools.count(1)
        self._log.tick().wait()
        for held in core.collections.all():
            self._lane.commit(held, partial(without_dropped_partitions, held))
        self._keeper.start()

    @property
    def generation(self) -> int:
        """The generation of this writer's lease."""
        return self._core.generation

    @property
    def collections(self) -> Collections:
        """The collections and their states, for reading beside the writer."""
        return self._core.collections

    @property
    def timestamps(self) -> HybridClock:
        """The clock that orders everything."""
        return self._core.timestamps

    @property
    def feed(self) -> Feed:
        """What followers listen to."""
        return self._core.feed

    @property
    def ended(self) -> str:
        """Why this process stopped being the writer; empty while it is."""
        return self._ended

    # ---- writes ---------------------------------------------------------------------------

    def insert(self, request: api.InsertRequest) -> api.MutationAnswer:
        """As in VectorService."""
        held = self._core.collections.by_name(request.collection)
        schema = self._checked_schema(held, request.schema_ts)
        held.state.info.partition(request.partition or api.DEFAULT_PARTITION)
        rows = complete_rows(schema, request.rows, self._core.timestamps, upsert=request.upsert)
        kind = RecordKind.UPSERT if request.upsert else RecordKind.INSERT
        stored = last_of_each_key(schema, rows) if request.upsert else rows
        payload, kept_by = request.payload, request.kept_by
        if payload is None or not _is_of(payload, stored, request.rows):
            payload, kept_by = encode_rows(stored), None
        check_size(payload)
        self._wait_for_room()
        with held.gate.together():
            self._check_alive(held)
            partition = held.state.info.partition(request.partition or api.DEFAULT_PARTITION)
            ticket = self._log.submit(kind, held.id, partition.id, payload, kept_by)
        timestamp = ticket.wait()
        return api.MutationAnswer(rows.column(schema.primary.name), rows.num_rows, timestamp)

    def delete(self, request: api.DeleteRequest) -> api.MutationAnswer:
        """As in VectorService; a filter is evaluated at the newest state, between other writes."""
        held = self._core.collections.by_name(request.collection)
        if request.ids is None and not request.filter.strip():
            raise InvalidArgument("delete needs a filter or primary keys")
        if request.partition:
            held.state.info.partition(request.partition)
        if request.ids is not None:
            keys = checked_keys(held.state.info.schema, request.ids)
            with held.gate.together():
                wait = self._delete(held, keys, request.partition)
        else:
            with held.gate.alone():
                keys = self._matching(held, request)
                wait = self._delete(held, keys, request.partition)
        return wait()

    def _delete(
        self, held: Held, keys: pa.Array, partition: str
    ) -> Callable[[], api.MutationAnswer]:
        """Give the delete its place in the log and return the wait for its answer."""
        self._check_alive(held)
        if not len(keys):
            return lambda: api.MutationAnswer(keys, 0, self.tip())
        info = held.state.info
        partition_id = info.partition(partition).id if partition else 0
        batch = pa.RecordBatch.from_arrays([keys], names=[info.schema.primary.name])
        ticket = self._log.submit(RecordKind.DELETE, held.id, partition_id, encode_rows(batch))
        return lambda: api.MutationAnswer(keys, len(keys), ticket.wait())

    def _matching(self, held: Held, request: api.DeleteRequest) -> pa.Array:
        """Return the keys that the filter names now; nobody writes to the collection meanwhile."""
        info = held.state.info
        partitions = (request.partition,) if request.partition else ()
        part, _ = plan_query(
            info,
            api.QueryRequest(
                info.name, request.filter, request.filter_params, partitions=partitions
            ),
        )
        read_ts = self._log.tick().wait()
        newest = held.state.newest
        segments = (GROWING, *(entry.id for entry in newest.segments))
        at = PartAddress(held.id, newest.version, read_ts, segments, part.at.partition_ids)
        found = held.state.query_part(replace(part, at=at))
        return found.rows.column(info.schema.primary.name)

    def _checked_schema(self, held: Held, schema_ts: int) -> CollectionSchema:
        info = held.state.info
        if schema_ts and schema_ts != info.updated_ts:
            raise SchemaMismatch(
                f"collection schema mismatch[collection={info.name}]:"
                f" the client's is of {schema_ts}, the collection's of {info.updated_ts}"
            )
        return info.schema

    def _check_alive(self, held: Held) -> None:
        if self._core.collections.get(held.id) is not held:
            raise CollectionNotFound(held.state.info.name)

    def _wait_for_room(self) -> None:
        room, wait_s = self._keeper.room, self._core.settings.room_wait_s
        if not room.is_set() and not self._core.clock.wait(room, wait_s):
            raise Unavailable(
                "memory for rows that are not flushed yet is full",
                hint="Try again; if it stays so, the storage is slower than the inserts.",
            )

    # ---- asked for ------------------------------------------------------------------------

    def flush(self, names: Sequence[str]) -> api.FlushAnswer:
        """As in VectorService; no names means all collections."""
        collections = self._core.collections
        helds = [collections.by_name(name) for name in names] if names else collections.all()
        up_to_ts = self._log.tick().wait()
        made = {
            held.state.info.name: flush(self._core, self._lane, held, up_to_ts) for held in helds
        }
        self._keeper.wake()
        return api.FlushAnswer(
            {name: flushed.segment_ids for name, flushed in made.items()},
            {name: flushed.complete_to for name, flushed in made.items()},
        )

    def compact(self, collection: str) -> int:
        """As in VectorService."""
        held = self._core.collections.by_name(collection)
        number = next(self._next_compaction)
        self._compactions[number] = self._keeper.compact(held)
        self._compactions.pop(number - COMPACTIONS_KEPT, None)
        return number

    def compaction_done(self, compaction_id: int) -> bool:
        """As in VectorService.  Raises what made the compaction fail."""
        future = self._compactions.get(compaction_id)
        if future is None:
            raise NotFound(f"compaction {compaction_id} is not known")
        if not future.done():
            return False
        future.result()
        return True

    def indexes(self, held: Held) -> list[api.IndexInfo]:
        """Return the indexes of a collection with the progress of their builds."""
        return self._indexing.describe(held, held.state.growing_statistics().rows)

    def wake(self) -> None:
        """Let maintenance look now."""
        self._keeper.wake()

    def maintain(self) -> None:
        """Do all maintenance that is due, here and now."""
        self._keeper.maintain()

    def tip(self) -> int:
        """Return a timestamp that covers every acknowledged write, checked under the lease.

        Followers have it as their watermark already.  Raises LeaseLost.
        """
        watermark = self._log.watermark
        self._core.lease.check()
        return watermark

    # ---- following and ending -------------------------------------------------------------

    def subscribe(self, listener: Listener) -> Subscription:
        """Follow this writer; the protocol is described in `follow`."""
        return self._core.feed.subscribe(listener)

    def unsubscribe(self, token: int) -> None:
        """Stop following."""
        self._core.feed.unsubscribe(token)

    def close(self) -> None:
        """Stop background work, seal the log if it is whole, and step down."""
        self._core.closing.set()
        self._told.set()  # the log's thread, joined below, may wait for it
        self._keeper.stop()
        self._lane.close()
        end = self._log.close()
        self._core.feed.end("the writer stops")
        if end is not None and not self._ended:
            try:
                self._core.catalog.set_seals({self.generation: end}, self.generation)
            except RoostError as error:
                log.warning("the log could not be sealed, the next writer will: %s", error)
        # The lease is given back by whoever acquired it, after this.

    def _lost(self, error: RoostError) -> None:
        """Take note, once, that this process cannot be the writer any more.

        The lease's, the log's and the keeper's threads may find out together: who comes second
        returns when the first has told, since a caller is told of its failure after that.
        """
        with self._end_lock:
            is_first = not self._ended and not self._core.closing.is_set()
            if is_first:
                self._ended = str(error)
        if not is_first:
            if self._ended:
                self._told.wait()
            return
        log.error("this process is no longer the writer: %s", error)
        try:
            self._core.feed.end(str(error))
            self._tell_lost(str(error))
        finally:
            self._told.set()

    def lease_lost(self, error: RoostError) -> None:
        """For `Lease.start_renewing`: another one took over."""
        self._lost(error)


def _is_of(payload: pa.Buffer, stored: pa.RecordBatch, rows: pa.RecordBatch) -> bool:
    """Return whether a payload, which `rows` were read from, is what is to be stored.

    By its size it has nothing behind the one batch, and is not packed.
    """
    return share_memory(stored, rows) and payload.size == encoded_size(stored)


class _Visible:
    """Makes durable records visible, on the log's thread."""

    def __init__(self, core: Core, on_ended: Callable[[RoostError], None]) -> None:
        self._core = core
        self._on_ended = on_ended

    def on_appended(self, record: Record) -> None:
        """As in LogListener."""
        self._core.feed.record(record)

    def on_durable(self, records: Sequence[Record], watermark: int) -> None:
        """As in LogListener."""
        collections = self._core.collections
        for record in records:
            self._core.log_bytes += record.payload.size
            held = collections.get(record.collection_id)
            if held is not None:
                held.state.apply(record)
        for held in list(collections.ids.values()):
            held.state.advance(watermark)
        self._core.feed.advance(watermark)

    def on_ended(self, error: RoostError) -> None:
        """As in LogListener."""
        self._on_ended(error)
