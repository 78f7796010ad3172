"""Metadata in memory: the reference that other engines are compared with.

A rule runs first on reads of single records without a lock, as it would from a cache; the commit
then checks its predicates and applies its effects under the lock.  If a predicate fails, or the
outcome commits nothing, the rule runs again under the lock, where reads are real.
One lock; rules run under it, so they must not wait for other threads.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from roost.clock import Clock
from roost.errors import RoostError
from roost.volume.engines.memory_apply import apply_all
from roost.volume.engines.memory_tables import Tables
from roost.volume.errors import InodeTaken
from roost.volume.meta.claim import Claim
from roost.volume.meta.effects import AddNode
from roost.volume.meta.reads import Reads, Scans
from roost.volume.meta.txn import Commit, Txn

T = TypeVar("T")


class MemoryEngine:
    """Tables in this process."""

    def __init__(self, clock: Clock, tables: Tables | None = None) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._tables = Tables() if tables is None else tables

    @property
    def is_read_only(self) -> bool:
        """Never."""
        return False

    @property
    def durability(self) -> str:
        """As in Engine."""
        return "nothing: metadata is lost with this process"

    @property
    def notes(self) -> tuple[str, ...]:
        """As in Engine."""
        return ()

    def destroy(self) -> None:
        """As in Engine."""
        with self._lock:
            self._tables.clear()

    def hold(self, claim: Claim) -> None:
        """As in Engine: there is one connection, from the first to the last."""

    def read(self, rule: Callable[[Reads], T]) -> T:
        """As in Engine.read."""
        with self._lock:
            return rule(self._tables)

    def run(self, rule: Callable[[Txn], T]) -> T:
        """As in Engine.run."""
        txn = Txn(self.cached_reads(), self._clock.wall_ns())
        try:
            answer = rule(txn)
        except RoostError:
            return self._run_on_real_reads(rule)
        commit = txn.commit
        if commit.effects and self.commit(commit):
            return answer
        return self._run_on_real_reads(rule)

    def cached_reads(self) -> Reads:
        """Return what the first attempt of a rule reads; a test may hand out older records."""
        return self._tables

    def commit(self, commit: Commit) -> bool:
        """Apply the effects if all checks hold; False if one does not, and nothing is applied."""
        with self._lock:
            if not all(check.holds(self._tables) for check in commit.checks):
                return False
            for effect in commit.effects:
                if isinstance(effect, AddNode) and effect.ino in self._tables.nodes:
                    raise InodeTaken("memory", effect.ino)
            apply_all(self._tables, commit.effects)
            return True

    def _run_on_real_reads(self, rule: Callable[[Txn], T]) -> T:
        with self._lock:
            txn = Txn(self._tables, self._clock.wall_ns())
            answer = rule(txn)
            done = self.commit(txn.commit)
            assert done, "predicates computed from real reads must hold"
            return answer

    @contextmanager
    def scan(self) -> Iterator[Scans]:
        """As in Engine.scan; what is yielded is a copy of this moment."""
        with self._lock:
            snapshot = self._tables.copy()
        yield snapshot

    def close(self) -> None:
        """Nothing to let go of."""
