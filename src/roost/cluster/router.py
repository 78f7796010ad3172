"""The router: a `VectorService` (and `AliasService`) over a cluster, as a library.

Writes and definitions go to the writer.  A search or query runs at one `(version, read_ts)` chosen
here (hazard H7): every reader asked evaluates exactly there, and an answer is complete or an error.
A reader that holds segments carries a router of its own and answers its share without a hop (H19);
a router process without a reader uses the same code.

How fresh: STRONG asks the writer for its tip, which it gives under its lease; SESSION goes at least
as far as the client has seen; BOUNDED and EVENTUALLY read what the readers have, and so need no
writer.  A router never answers behind the writes that went through itself.
"""

import functools
import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from roost.clock import Clock
from roost.cluster import plan
from roost.cluster.fanout import Pace
from roost.cluster.kept import WORTH_BYTES, KeptPayloads
from roost.cluster.members import Directory
from roost.cluster.names import Names
from roost.cluster.plan import Plan
from roost.cluster.rpc import methods
from roost.cluster.rpc.methods import Method
from roost.cluster.topology import LocalReader, Topology
from roost.cluster.view import ClusterView, Means
from roost.cluster.writer_link import Tips, WriterLink
from roost.errors import Gone, ReadOnly, Refusal, TimedOut, Unavailable
from roost.vector import api
from roost.vector.catalog.catalog import Catalog
from roost.vector.collection.answer import Ask, answer_query, answer_search
from roost.vector.collection.parts import PartService
from roost.vector.columns import as_stored, encode_rows
from roost.vector.errors import CollectionNotFound
from roost.vector.timestamps import from_ms

Q = TypeVar("Q")
A = TypeVar("A")

QUERY_TIMEOUT_S = 30.0
RESTARTS_MAX = 3
"""How often a query begins again because a version or reader went away under it."""
BOUNDED_MS = 5_000
"""How far a BOUNDED answer may be behind.  Source: Milvus, common.gracefulTime."""
WRITE_TIMEOUT_S = 120.0
DEFINE_TIMEOUT_S = 60.0
FLUSH_TIMEOUT_S = 600.0
ASK_TIMEOUT_S = 10.0
LOOK_AGAIN_S = 0.02
"""Between two looks at readers that are not ready yet."""
PLANS_KEPT = 256


@dataclass(frozen=True, slots=True)
class RouterSettings:
    """How a router behaves."""

    replicas: int = 1
    """Readers that keep a segment open; the same number in all members of a cluster."""
    read_only: bool = False
    """Refuse writes and definitions."""
    query_timeout_s: float = QUERY_TIMEOUT_S


class Router:
    """`VectorService` of a cluster.  Safe to call from many threads."""

    def __init__(
        self,
        catalog: Catalog,
        directory: Directory,
        clock: Clock,
        settings: RouterSettings = RouterSettings(),
        local: LocalReader | None = None,
        local_parts: PartService | None = None,
        kept: KeptPayloads | None = None,
    ) -> None:
        """`local` is the reader that carries this router, `local_parts` how it answers.

        `kept` keeps for it what is inserted through here.
        """
        self._kept = kept
        self._clock = clock
        self._settings = settings
        self.names = Names(catalog, clock)
        self._topology = Topology(directory, clock, local)
        self._link = WriterLink(directory, clock)
        self._tips = Tips(self._link)
        self._means = Means(self._topology, Pace(), clock, local_parts)
        self._turns = itertools.count()
        self._lock = threading.Lock()  # guards the two below
        self._plans: dict[int, tuple[object, Plan]] = {}
        self._written_ts = 0

    def start(self) -> None:
        """Begin to watch the readers."""
        self._topology.start()

    def stop(self) -> None:
        """Close all channels; calls under way fail."""
        self._link.close()
        self._topology.stop()

    # definitions ---------------------------------------------------------------------------

    def create_collection(self, new: api.NewCollection) -> api.CollectionInfo:
        """As in VectorService."""
        return self._define(methods.CREATE_COLLECTION, new)

    def drop_collection(self, name: str) -> None:
        """As in VectorService."""
        self._define(methods.DROP_COLLECTION, name)

    def describe_collection(self, name: str) -> api.CollectionInfo:
        """As in VectorService."""
        self.names.fresh()
        return self.names.by_name(name)

    def look_up(self, name: str) -> api.CollectionInfo:
        """As in VectorService."""
        return self.names.by_name(name)

    def describe_collection_id(self, collection_id: int) -> api.CollectionInfo:
        """As in VectorService."""
        return self.names.by_id(collection_id)

    def list_collections(self) -> list[api.CollectionInfo]:
        """As in VectorService."""
        return self.names.all()

    def create_partition(self, collection: str, name: str) -> None:
        """As in VectorService."""
        self._define(methods.CREATE_PARTITION, (collection, name))

    def drop_partition(self, collection: str, name: str) -> None:
        """As in VectorService."""
        self._define(methods.DROP_PARTITION, (collection, name))

    def create_index(self, collection: str, spec: api.IndexSpec) -> None:
        """As in VectorService."""
        self._define(methods.CREATE_INDEX, (collection, spec))

    def drop_index(self, collection: str, name: str) -> None:
        """As in VectorService."""
        self._define(methods.DROP_INDEX, (collection, name))

    def describe_indexes(self, collection: str) -> list[api.IndexInfo]:
        """As in VectorService."""
        return self._ask_writer(methods.DESCRIBE_INDEXES, collection)

    def load(self, collection: str) -> None:
        """As in VectorService."""
        self._define(methods.LOAD, collection)

    def release(self, collection: str) -> None:
        """As in VectorService."""
        self._define(methods.RELEASE, collection)

    def load_progress(self, collection: str) -> api.LoadProgress:
        """As in VectorService: loaded when every segment has an owner that has it open."""
        info = self.describe_collection(collection)
        if not info.loaded:
            return api.LoadProgress(api.LoadState.NOT_LOADED, 0)
        found = self._plan(info, None)
        if found is None:
            return api.LoadProgress(api.LoadState.LOADING, 0)
        ready = sum(1 for equals in found.equals.values() if equals)
        if ready == len(found.equals):
            return api.LoadProgress(api.LoadState.LOADED, 100)
        return api.LoadProgress(api.LoadState.LOADING, 100 * ready // len(found.equals))

    def create_alias(self, alias: str, collection: str) -> None:
        """As in AliasService."""
        self._define(methods.CREATE_ALIAS, (alias, collection), repeatable=False)

    def alter_alias(self, alias: str, collection: str) -> None:
        """As in AliasService."""
        self._define(methods.ALTER_ALIAS, (alias, collection))

    def drop_alias(self, alias: str) -> None:
        """As in AliasService."""
        self._define(methods.DROP_ALIAS, alias)

    # rows ----------------------------------------------------------------------------------

    def insert(self, request: api.InsertRequest) -> api.MutationAnswer:
        """As in VectorService."""
        self._writable()
        kept, rows = self._kept, None
        if kept is not None and request.rows.nbytes >= WORTH_BYTES:
            schema = self.names.by_name(request.collection).schema
            rows = as_stored(schema, request.rows)
        if kept is None or rows is None:
            return self._write(methods.INSERT, request)
        payload = encode_rows(rows)
        kept_by = kept.keep(payload)
        request = replace(request, rows=rows, payload=payload, kept_by=kept_by)
        if kept_by is None:
            return self._write(methods.INSERT, request)
        return self._insert_kept(kept, request, kept_by.number)

    def _insert_kept(
        self, kept: KeptPayloads, request: api.InsertRequest, number: int
    ) -> api.MutationAnswer:
        try:
            answer = self._write(methods.INSERT, request)
        except BaseException:
            kept.failed(number)
            raise
        kept.acknowledged(number, answer.timestamp)
        return answer

    def delete(self, request: api.DeleteRequest) -> api.MutationAnswer:
        """As in VectorService."""
        return self._write(methods.DELETE, request)

    def search(self, request: api.SearchRequest) -> api.SearchAnswer:
        """As in VectorService."""
        return self._answer(
            request.collection,
            request.freshness,
            lambda info, view: answer_search(info, request, view),
        )

    def query(self, request: api.QueryRequest) -> api.QueryAnswer:
        """As in VectorService."""
        return self._answer(
            request.collection,
            request.freshness,
            lambda info, view: answer_query(info, request, view),
        )

    def flush(self, collections: tuple[str, ...]) -> api.FlushAnswer:
        """As in VectorService."""
        self._writable()
        return self._link.call(methods.FLUSH, (collections,), FLUSH_TIMEOUT_S, repeatable=True)

    def compact(self, collection: str) -> int:
        """As in VectorService."""
        self._writable()
        return self._link.call(methods.COMPACT, collection, DEFINE_TIMEOUT_S, repeatable=True)

    def compaction_done(self, compaction_id: int) -> bool:
        """As in VectorService."""
        return self._ask_writer(methods.COMPACTION_DONE, compaction_id)

    def row_count(self, collection: str, partition: str = "") -> int:
        """As in VectorService."""
        return self._ask_writer(methods.ROW_COUNT, (collection, partition))

    def now_ts(self) -> int:
        """As in VectorService."""
        return self._tips.tip(ASK_TIMEOUT_S)

    # the writer ----------------------------------------------------------------------------

    def _writable(self) -> None:
        if self._settings.read_only:
            raise ReadOnly("this member only reads")

    def _define(self, method: Method[Q, A], request: Q, *, repeatable: bool = True) -> A:
        """Have something defined; nearly everything is the same when it is done twice."""
        self._writable()
        try:
            return self._link.call(method, request, DEFINE_TIMEOUT_S, repeatable=repeatable)
        finally:
            self.names.forget()

    def _write(self, method: Method[Q, api.MutationAnswer], request: Q) -> api.MutationAnswer:
        self._writable()
        answer = self._link.call(method, request, WRITE_TIMEOUT_S, repeatable=False)
        with self._lock:
            self._written_ts = max(self._written_ts, answer.timestamp)
        return answer

    def _ask_writer(self, method: Method[Q, A], request: Q) -> A:
        return self._link.call(method, request, ASK_TIMEOUT_S, repeatable=True)

    # queries -------------------------------------------------------------------------------

    def _answer(
        self,
        name: str,
        freshness: api.Freshness,
        answer: Callable[[api.CollectionInfo, Callable[[], Ask]], A],
    ) -> A:
        """Run a query to a complete answer, again when what it stood on went away."""
        deadline_s = self._clock.monotonic_s() + self._settings.query_timeout_s
        restarts = 0
        while True:
            info = self.names.by_name(name)
            try:
                return answer(info, functools.partial(self._view, info, freshness, deadline_s))
            except (Gone, CollectionNotFound):
                restarts += 1
                if restarts > RESTARTS_MAX or self._clock.monotonic_s() >= deadline_s:
                    raise
                self.names.fresh()
                self._topology.wait_change(self._topology.views(), LOOK_AGAIN_S)
            except Refusal:
                # Refused because of what is remembered: true only if that is still so.
                self.names.fresh()
                if self.names.by_name(name) == info:
                    raise

    def _view(self, info: api.CollectionInfo, freshness: api.Freshness, deadline_s: float) -> Ask:
        """Choose the version and the timestamp, once for the whole query."""
        turn = next(self._turns)
        tip = 0
        if freshness.exactly_ts is None and freshness.level is api.Consistency.STRONG:
            tip = self._tips.tip(max(0.0, deadline_s - self._clock.monotonic_s()))
        chosen = self._wait_for_plan(info, freshness.exactly_ts, deadline_s)
        if freshness.exactly_ts is not None:
            read_ts = freshness.exactly_ts
        elif tip:
            read_ts = max(tip, chosen.readable_from)
        else:
            read_ts = self._known_ts(chosen, turn, freshness)
        return ClusterView(chosen, read_ts, turn, deadline_s, self._means)

    def _known_ts(self, chosen: Plan, turn: int, freshness: api.Freshness) -> int:
        """Return a timestamp that the chosen readers have, or will have in a moment."""
        reached = [self._topology.visible_ts(name) for name in chosen.groups(turn)]
        assert all(reached), "a reader that has not caught up is never in a plan"
        read_ts = max(min(reached), chosen.readable_from, self._written_ts)
        if freshness.level is api.Consistency.BOUNDED:
            read_ts = max(read_ts, max(reached) - from_ms(BOUNDED_MS))
        # A client's own last write counts at every level, whichever router took it.
        return max(read_ts, freshness.at_least_ts)

    def _wait_for_plan(
        self, info: api.CollectionInfo, exactly_ts: int | None, deadline_s: float
    ) -> Plan:
        """Return a plan as soon as the readers allow one.  Raises Gone, TimedOut, Unavailable."""
        while True:
            views = self._topology.views()
            found = self._plan(info, exactly_ts)
            if found is not None:
                return found
            if exactly_ts is not None and self._plan(info, None) is not None:
                raise Gone(f"rows as of timestamp {exactly_ts} are no longer held")
            if self._clock.monotonic_s() >= deadline_s:
                if not views:
                    raise Unavailable("the cluster has no reader now")
                raise TimedOut(f"no reader has opened collection {info.name} in time")
            self._topology.wait_change(views, LOOK_AGAIN_S)

    def _plan(self, info: api.CollectionInfo, exactly_ts: int | None) -> Plan | None:
        views = self._topology.views()
        kept = self._plans.get(info.id)
        if exactly_ts is None and kept is not None and kept[0] is views:
            return kept[1]
        found = plan.choose(
            info.id,
            tuple(views.values()),
            lambda version: self.names.manifest(info.id, version),
            self._settings.replicas,
            self._topology.local_name,
            exactly_ts,
        )
        if exactly_ts is None and found is not None:
            with self._lock:
                if len(self._plans) >= PLANS_KEPT:
                    self._plans.clear()
                self._plans[info.id] = (views, found)
        return found
