"""Engine against a plain dictionary: the same answers after any mix of writes, flushes, starts."""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from roost.testing.engine_house import QUIET, STRONG, House, colours_of, create, insert, vectors_for
from roost.vector.api import DeleteRequest, Freshness, SearchRequest
from roost.vector.engine.engine import Engine

KEYS = st.lists(st.integers(0, 30), min_size=1, max_size=8, unique=True)
COLOURS = st.sampled_from(["red", "green", "blue", None])
PARTITIONS = st.sampled_from(["_default", "north"])
EAGER = replace(QUIET, compact_segments_min=2, grace_s=0.0, version_grace_s=0.0, index_rows_min=12)
"""Maintenance that leaves nothing for later, so that what goes too early is missed at once."""
Model = dict[int, tuple[str | None, str]]
"""key → (colour, partition)"""


class EngineMachine(RuleBasedStateMachine):
    """Random life of one collection with two partitions."""

    @initialize()
    def begin(self) -> None:
        self.root = Path(tempfile.mkdtemp())
        self.house = House(self.root)
        self.house.open(EAGER)
        create(self.engine)
        self.engine.create_partition("things", "north")
        self.model: Model = {}
        self.past: list[tuple[int, Model]] = []

    @property
    def engine(self) -> Engine:
        assert self.house.engine is not None
        return self.house.engine

    @rule(keys=KEYS, colour=COLOURS, partition=PARTITIONS)
    def insert_new(self, keys: list[int], colour: str | None, partition: str) -> None:
        fresh = [key for key in keys if key not in self.model]
        if fresh:
            insert(self.engine, fresh, colour=colour, partition=partition)
            self.model.update({key: (colour, partition) for key in fresh})

    @rule(keys=KEYS, colour=COLOURS, partition=PARTITIONS)
    def upsert(self, keys: list[int], colour: str | None, partition: str) -> None:
        insert(self.engine, keys, colour=colour, partition=partition, upsert=True)
        self.model.update({key: (colour, partition) for key in keys})

    @rule(keys=KEYS)
    def delete_keys(self, keys: list[int]) -> None:
        self.engine.delete(DeleteRequest("things", ids=pa.array(keys, pa.int64())))
        for key in keys:
            self.model.pop(key, None)

    @rule(keys=KEYS, partition=PARTITIONS)
    def delete_keys_of_a_partition(self, keys: list[int], partition: str) -> None:
        ids = pa.array(keys, pa.int64())
        self.engine.delete(DeleteRequest("things", ids=ids, partition=partition))
        self.model = {k: v for k, v in self.model.items() if k not in keys or v[1] != partition}

    @rule(colour=st.sampled_from(["red", "green"]))
    def delete_by_filter(self, colour: str) -> None:
        answer = self.engine.delete(DeleteRequest("things", f'colour == "{colour}"'))
        gone = sorted(k for k, v in self.model.items() if v[0] == colour)
        assert sorted(answer.ids.to_pylist()) == gone
        for key in gone:
            del self.model[key]

    @rule()
    def drop_and_make_the_partition(self) -> None:
        self.engine.drop_partition("things", "north")
        self.engine.create_partition("things", "north")
        self.model = {k: v for k, v in self.model.items() if v[1] != "north"}
        self.past.clear()

    @rule()
    def flush(self) -> None:
        self.engine.flush(("things",))

    @rule()
    def maintain(self) -> None:
        self.engine.writer.maintain()
        self.past.clear()

    @rule()
    def compact(self) -> None:
        number = self.engine.compact("things")
        while not self.engine.compaction_done(number):
            pass

    @rule()
    def restart(self) -> None:
        self.house.open(EAGER)
        self.past.clear()

    @rule()
    def crash(self) -> None:
        """Start from what a killed process would leave: the files as they are now."""
        copy = Path(tempfile.mkdtemp())
        shutil.copytree(self.root, copy, dirs_exist_ok=True)
        self.house.close()
        shutil.rmtree(self.root)
        self.root, self.house = copy, House(copy)
        self.house.open(EAGER)
        self.past.clear()

    @rule()
    def remember(self) -> None:
        answer = self.engine.search(SearchRequest("things", vectors_for([0]), 1, freshness=STRONG))
        self.past = [*self.past[-2:], (answer.read_ts, dict(self.model))]

    @rule(key=st.integers(0, 30), k=st.integers(1, 40), colour=COLOURS, partition=PARTITIONS)
    def search(self, key: int, k: int, colour: str | None, partition: str) -> None:
        named = "" if colour is None else f'colour == "{colour}"'
        request = SearchRequest(
            "things", vectors_for([key]), k, filter=named, partitions=(partition,), freshness=STRONG
        )
        found = self.engine.search(request)
        allowed = [
            id for id, v in self.model.items() if v[1] == partition and named in ("", _is(v[0]))
        ]
        distances = ((vectors_for(allowed) - vectors_for([key])) ** 2).sum(axis=1)
        expected = np.sort(distances)[:k]
        np.testing.assert_allclose(found.scores, expected, rtol=1e-4, atol=1e-4)
        assert set(found.ids.to_pylist()) <= set(allowed)
        assert len(found.ids) == len(expected)

    @invariant()
    def all_rows_are_right(self) -> None:
        if not hasattr(self, "model"):
            return
        assert colours_of(self.engine) == {key: v[0] for key, v in self.model.items()}
        assert self.engine.row_count("things") == len(self.model)

    @invariant()
    def the_past_stays_as_it_was(self) -> None:
        for read_ts, model in getattr(self, "past", []):
            seen = colours_of(self.engine, freshness=Freshness(exactly_ts=read_ts))
            assert seen == {key: v[0] for key, v in model.items()}

    def teardown(self) -> None:
        if hasattr(self, "house"):
            self.house.close()
            shutil.rmtree(self.root)


def _is(colour: str | None) -> str:
    return f'colour == "{colour}"'


def run(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        EngineMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_engine_answers_like_a_dictionary() -> None:
    run(6, 25)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_the_engine_answers_like_a_dictionary_for_long() -> None:
    run(200, 40)  # each restarts real files often; the collection machine does 2,000
