"""One query's view of a collection: one version, one timestamp, and who answers there."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from roost.clock import Clock
from roost.cluster.fanout import Answered, Fanout, Pace, Question, Wires
from roost.cluster.plan import Groups, Plan
from roost.cluster.rpc.methods import FETCH_PART, QUERY_PART, SEARCH_PART
from roost.errors import Failure, Gone
from roost.vector.collection.merge import join_rows
from roost.vector.collection.parts import (
    GROWING,
    FetchPart,
    PartAddress,
    PartHits,
    PartRows,
    PartService,
    QueryPart,
    SearchPart,
)

Q = TypeVar("Q")
A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Means:
    """What every query uses to reach readers."""

    wires: Wires
    pace: Pace
    clock: Clock
    local: PartService | None


class ClusterView:
    """`answer.Ask` over the readers of a cluster.  For one query, in one thread."""

    def __init__(
        self, plan: Plan, read_ts: int, turn: int, deadline_s: float, means: Means
    ) -> None:
        self._plan = plan
        self._read_ts = read_ts
        self._turn = turn
        self._deadline_s = deadline_s
        self._means = means
        self._answered_by: dict[int, str] = {}

    @property
    def read_ts(self) -> int:
        """As in Ask."""
        return self._read_ts

    def search(self, part: SearchPart) -> Sequence[PartHits]:
        """As in Ask."""
        local = self._means.local
        question = Question(
            SEARCH_PART,
            lambda segments: replace(part, at=self._at(part.at, segments)),
            None if local is None else local.search_part,
        )
        groups = self._plan.groups(self._turn, part.at.partition_ids)
        return [found.answer for found in self._ask(question, groups)]

    def query(self, part: QueryPart) -> Sequence[PartRows]:
        """As in Ask."""
        local = self._means.local
        question = Question(
            QUERY_PART,
            lambda segments: replace(part, at=self._at(part.at, segments)),
            None if local is None else local.query_part,
        )
        groups = self._plan.groups(self._turn, part.at.partition_ids)
        return [found.answer for found in self._ask(question, groups)]

    def fetch(self, part: FetchPart) -> pa.RecordBatch:
        """As in Ask.  Raises Gone when the reader that found growing rows is lost."""
        groups = self._finders(part)
        local = self._means.local
        question = Question(
            FETCH_PART,
            lambda segments: self._locators(part, segments),
            None if local is None else local.fetch_part,
        )
        sealed = {name: ids for name, ids in groups.items() if GROWING not in ids}
        growing = {name: ids for name, ids in groups.items() if GROWING in ids}
        found = self._ask_growing(question, growing)
        if sealed:
            found = [*found, *self._ask(question, sealed)]
        if len(found) == 1:
            return found[0].answer
        positions = [self._rows_in(part, answered.segments) for answered in found]
        return join_rows([answered.answer for answered in found], positions)

    def _ask_growing(
        self, question: Question[FetchPart, pa.RecordBatch], groups: Groups
    ) -> list[Answered[pa.RecordBatch]]:
        """Growing rows have numbers of their own on each reader, so nobody can stand in."""
        if not groups:
            return []
        (name,) = groups
        order = dict.fromkeys(groups[name], (name,))
        alone = replace(self._plan, order=order, equals=dict.fromkeys(order, 1), _groups={})
        try:
            return self._ask(question, groups, alone)
        except Failure as failure:
            raise Gone(f"reader {name}, which found the rows, is lost: {failure}") from failure

    def _ask(
        self, question: Question[Q, A], groups: Groups, plan: Plan | None = None
    ) -> list[Answered[A]]:
        means = self._means
        fanout: Fanout[Q, A] = Fanout(
            plan or self._plan, question, means.wires, means.pace, means.clock, self._deadline_s
        )
        found = fanout.ask(groups)
        for answered in found:
            self._answered_by.update(dict.fromkeys(answered.segments, answered.name))
        return found

    def _at(self, at: PartAddress, segments: tuple[int, ...]) -> PartAddress:
        version = self._plan.manifest.version
        return PartAddress(at.collection_id, version, self._read_ts, segments, at.partition_ids)

    def _finders(self, part: FetchPart) -> Groups:
        """Return who found which of the segments named by the locators."""
        groups: dict[str, list[int]] = {}
        for segment in np.unique(part.segment_ids).tolist():
            groups.setdefault(self._answered_by[segment], []).append(segment)
        return {name: tuple(segments) for name, segments in groups.items()}

    def _rows_in(self, part: FetchPart, segments: tuple[int, ...]) -> npt.NDArray[np.int64]:
        return np.flatnonzero(np.isin(part.segment_ids, segments))

    def _locators(self, part: FetchPart, segments: tuple[int, ...]) -> FetchPart:
        rows = self._rows_in(part, segments)
        return replace(
            part,
            at=self._at(part.at, segments),
            segment_ids=part.segment_ids[rows],
            offsets=part.offsets[rows],
        )
