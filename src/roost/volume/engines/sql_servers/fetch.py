"""Many queries in one round trip, and reads that stand on what was fetched."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

from roost.volume.engines.sql import queries
from roost.volume.engines.sql import rows as codec
from roost.volume.engines.sql.dialect import Statement
from roost.volume.engines.sql.queries import NODE_COLUMNS, Key, Query
from roost.volume.engines.sql.reads import QueryReads
from roost.volume.engines.sql.rows import Row
from roost.volume.engines.sql_servers.cache import CacheView
from roost.volume.meta.reads import CounterWanted, EdgeWanted, NodeWanted, SlicesWanted, Wanted
from roost.volume.model import Attr, Edge, Ino

T = TypeVar("T")
Asked = dict[Key, Query[object]]
Records = dict[Key, object]

_CHILD = ", ".join(f"n.{column.strip()}" for column in NODE_COLUMNS.split(","))
_EDGE_AND_CHILD = (
    f"SELECT e.type, e.inode, PACKED({_CHILD})"
    " FROM jfs_edge e LEFT JOIN jfs_node n ON n.inode = e.inode WHERE e.parent = ? AND e.name = ?"
)
_WITH_NODE_LOCKED = frozenset({"flocks", "range_locks"})  # else two find nothing, and both add

_TAKEN_FOR_ABSENT = frozenset({"has_entries", "xattr"})  # and entries


@dataclass(frozen=True, slots=True)
class Part:
    """One statement of a fetch, and what its rows say."""

    statement: Statement
    records: Callable[[list[Row]], Records]


def parts_of(asked: Iterable[Query[object]], *, lock: bool) -> list[Part]:
    """Return the statements that answer the queries.

    Nodes are read by one statement, in ascending order.  Unless rows are locked, an entry brings
    the node that it points at.
    """
    found = list(asked)
    kinds = {"node", *_WITH_NODE_LOCKED} if lock else {"node"}
    inos = {cast("Ino", query.key[1]) for query in found if query.key[0] in kinds}
    parts = [_nodes(sorted(inos), lock=lock)] if inos else []
    for query in found:
        if query.key[0] == "edge" and not lock:
            parts.append(_edge_and_child(query))
        elif query.key[0] != "node":
            parts.append(_one(query, lock=lock))
    return parts


def _nodes(inos: Sequence[Ino], *, lock: bool) -> Part:
    def records(rows: list[Row]) -> Records:
        made: Records = {("node", ino): None for ino in inos}
        for columns in rows:
            row = codec.unpacked(columns)
            assert row is not None, "the key of a table"
            made["node", row[0]] = codec.attr_of(row)
        return made

    order = " ORDER BY inode FOR UPDATE" if lock else ""
    marks = ", ".join("?" * len(inos))
    text = f"SELECT PACKED({NODE_COLUMNS}) FROM jfs_node WHERE inode IN ({marks}){order}"
    return Part((text, (*inos,)), records)


def _edge_and_child(query: Query[object]) -> Part:
    def records(rows: list[Row]) -> Records:
        made: Records = {query.key: query.made(rows)}
        if rows:
            child = codec.unpacked(rows[0][2:])
            made["node", rows[0][1]] = None if child is None else codec.attr_of(child)
        return made

    return Part((_EDGE_AND_CHILD, query.values), records)


def _one(query: Query[object], *, lock: bool) -> Part:
    text = f"{query.text} FOR UPDATE" if lock and query.locks else query.text
    return Part((text, query.values), lambda rows: {query.key: query.made(rows)})


def wanted_queries(wanted: Sequence[Wanted]) -> Asked:
    """Return the queries that a rule announces."""
    made: Asked = {}
    for want in wanted:
        query: Query[object]
        match want:
            case NodeWanted(ino):
                query = _any(queries.node(ino))
            case EdgeWanted(parent, name):
                query = _any(queries.edge(parent, name))
            case SlicesWanted(ino, chunk_no):
                query = _any(queries.slices(ino, chunk_no))
            case CounterWanted(name):
                query = _any(queries.counter(name))
        made[query.key] = query
    return made


def _any(query: Query[T]) -> Query[object]:
    return cast("Query[object]", query)


class NotAtHand(Exception):  # no failure: the rule is run again on more records
    """A rule asked for records that are not there; `reads.asked` names them all."""


class CachedReads(QueryReads):
    """Reads of records that may be stale.

    What is not at hand is taken for absent if that is the likely case: who adds an entry or removes
    a directory mostly finds it so, and the commit says if not.  Everybody else is refused, and no
    refusal is final that stands on these reads.
    """

    def __init__(self, view: CacheView) -> None:
        self._view = view
        self._wanted: list[Wanted] = []
        self._asked: Asked = {}

    @property
    def asked(self) -> Asked:
        """What the rule announced or asked for; made when it has to run again."""
        return {**wanted_queries(self._wanted), **self._asked}

    def load(self, wanted: Sequence[Wanted]) -> None:
        """As in Reads; what is announced is fetched if the rule has to run again."""
        self._wanted.extend(wanted)

    # The two reads of every operation, without a query around them.
    def node(self, ino: Ino) -> Attr | None:
        """As in Reads.  Raises NotAtHand."""
        found = self._view.get(("node", ino))
        if found is None:
            return self.answer(queries.node(ino))
        self._wanted.append(NodeWanted(ino))
        return cast("Attr | None", found[0])

    def edge(self, parent: Ino, name: bytes) -> Edge | None:
        """As in Reads."""
        self._wanted.append(EdgeWanted(parent, name))
        found = self._view.get(("edge", parent, name))
        return None if found is None else cast("Edge | None", found[0])

    def answer(self, query: Query[T]) -> T:
        """As in QueryReads.  Raises NotAtHand."""
        self._asked[query.key] = _any(query)
        found = self._view.get(query.key)
        if found is None:
            if query.key[0] in _TAKEN_FOR_ABSENT:
                return query.made([])
            raise NotAtHand
        return cast("T", found[0])


class FixedReads(QueryReads):
    """Reads of records that were fetched together; what else is asked raises NotAtHand."""

    def __init__(self, asked: Asked, records: Records) -> None:
        self.asked = asked
        self._records = records

    def load(self, wanted: Sequence[Wanted]) -> None:
        """As in Reads.  Raises NotAtHand."""
        more = wanted_queries(wanted)
        if any(key not in self._records for key in more):
            self.asked.update(more)
            raise NotAtHand

    def answer(self, query: Query[T]) -> T:
        """As in QueryReads.  Raises NotAtHand."""
        if query.key not in self._records:
            self.asked[query.key] = _any(query)
            raise NotAtHand
        self.asked[query.key] = _any(query)
        return cast("T", self._records[query.key])


class OpenReads(QueryReads):
    """Reads that fetch what is not at hand, in an open transaction or as of now."""

    def __init__(self, fetch: Callable[[Asked], Records], asked: Asked) -> None:
        """`fetch` is called with what is missing; first of all, with `asked`."""
        self._fetch = fetch
        self.asked = asked
        self.fetches = int(bool(asked))
        self._records: Records = fetch(asked)

    def load(self, wanted: Sequence[Wanted]) -> None:
        """As in Reads."""
        more = {
            key: query for key, query in wanted_queries(wanted).items() if key not in self._records
        }
        if more:
            self._get(more)

    def answer(self, query: Query[T]) -> T:
        """As in QueryReads."""
        if query.key not in self._records:
            self._get({query.key: _any(query)})
        return cast("T", self._records[query.key])

    def _get(self, more: Asked) -> None:
        self.asked.update(more)
        self.fetches += 1
        # What was read first stays: the transaction sees one state.
        self._records = {**self._fetch(more), **self._records}
