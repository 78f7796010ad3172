"""The collections that this writer holds, and what orders work on each of them.

Locks, in the order they are taken; none is held over I/O but where it says so:
1. `Gate`: writes of a collection pass side by side; a filter delete or a DDL change passes alone.
   Held while a record gets its place in the log, not until it is durable; the one that passes alone
   also reads (a filter at the newest state), because nothing may be written in between.
2. `Held.change`: one thread at a time installs versions, retires them or changes what is known of
   a `CollectionState`.  Records and watermarks come from the log's thread alone and need no lock,
   so opening files never delays a write.
3. `Held.busy`: which maintenance is under way; a set, held for a look only.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from roost.vector.api import CollectionInfo
from roost.vector.collection.state import CollectionState
from roost.vector.errors import CollectionNotFound


class Gate:
    """Many may pass together, or one alone; who wants to be alone goes before later ones."""

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._inside = 0
        self._alone = False
        self._waiting_alone = 0

    @contextmanager
    def together(self) -> Iterator[None]:
        """Pass beside others who pass together."""
        with self._change:
            self._change.wait_for(lambda: not self._alone and not self._waiting_alone)
            self._inside += 1
        try:
            yield
        finally:
            with self._change:
                self._inside -= 1
                self._change.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Pass when nobody else is inside."""
        with self._change:
            self._waiting_alone += 1
            try:
                self._change.wait_for(lambda: not self._alone and not self._inside)
            finally:
                self._waiting_alone -= 1
            self._alone = True
        try:
            yield
        finally:
            with self._change:
                self._alone = False
                self._change.notify_all()


@dataclass(slots=True, eq=False)
class Held:
    """One collection, its state, and what goes on with it."""

    state: CollectionState
    gate: Gate = field(default_factory=Gate)
    change: threading.Lock = field(default_factory=threading.Lock)
    log_mark: int = 0
    """`Core.log_bytes` when its newest version was committed: what it may pin of the log."""
    _busy: set[str] = field(default_factory=set)
    _busy_change: threading.Condition = field(default_factory=threading.Condition)

    @property
    def id(self) -> int:
        """The collection's id."""
        return self.state.info.id

    @contextmanager
    def only(self, work: str) -> Iterator[None]:
        """Do that kind of work on this collection alone; waits for one that goes on."""
        with self._busy_change:
            self._busy_change.wait_for(lambda: work not in self._busy)
            self._busy.add(work)
        try:
            yield
        finally:
            with self._busy_change:
                self._busy.discard(work)
                self._busy_change.notify_all()

    def is_busy(self, work: str) -> bool:
        """True while that kind of work goes on."""
        with self._busy_change:
            return work in self._busy


class Collections:
    """All collections of this writer by id and by name.  Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_id: dict[int, Held] = {}
        self._by_name: dict[str, Held] = {}
        self.states: dict[int, CollectionState] = {}
        """Live, for `LocalParts`; changed here only."""

    def put(self, held: Held) -> None:
        """Add a collection."""
        with self._lock:
            self._by_id[held.id] = held
            self.states[held.id] = held.state
            self._name(held)

    def update(self, info: CollectionInfo) -> None:
        """Take the catalog's newer word on a collection held."""
        held = self.get(info.id)
        if held is None:
            return
        with held.change:
            held.state.update_info(info)
        with self._lock:
            self._by_name = {n: h for n, h in self._by_name.items() if h is not held}
            self._name(held)

    def remove(self, collection_id: int) -> Held | None:
        """Forget a collection and return it; its state stays open for those inside."""
        with self._lock:
            held = self._by_id.pop(collection_id, None)
            self.states.pop(collection_id, None)
            self._by_name = {n: h for n, h in self._by_name.items() if h is not held}
            return held

    def get(self, collection_id: int) -> Held | None:
        """Return the collection of that id, None if it is not held (any more)."""
        return self._by_id.get(collection_id)

    def by_id(self, collection_id: int) -> Held:
        """Return the collection of that id.  Raises CollectionNotFound."""
        held = self.get(collection_id)
        if held is None:
            raise CollectionNotFound(f"id {collection_id}")
        return held

    def by_name(self, name: str) -> Held:
        """Return the collection of that name or alias.  Raises CollectionNotFound."""
        with self._lock:
            held = self._by_name.get(name)
        if held is None:
            raise CollectionNotFound(name)
        return held

    def all(self) -> list[Held]:
        """Return those held now, by name."""
        with self._lock:
            return sorted(self._by_id.values(), key=lambda held: held.state.info.name)

    @property
    def ids(self) -> Mapping[int, Held]:
        """Live view by id."""
        return self._by_id

    def _name(self, held: Held) -> None:
        info = held.state.info
        for name in (info.name, *info.aliases):
            self._by_name[name] = held
