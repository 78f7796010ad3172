"""The article's experiment: how soon is newly imported data found?

One million real vectors are inserted in batches of 100,000 through pymilvus; right after each
acknowledgement a search at Strong consistency asks for a random row of that batch, which must come
first, and its ten nearest are compared with an exact search over all rows so far.  Then the index,
its recall and speed, and a fresh reader that starts with empty caches.  Wrong answers fail the run.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

import faiss
import numpy as np
import numpy.typing as npt
from pymilvus import DataType, MilvusClient

from roost.bench.photographs import DIM, Descriptors
from roost.errors import RoostError, TimedOut

COLLECTION = "photographs"
ARTICLE_FIRST_SEARCH_S = 0.032
RECALL_FLOOR = 0.95
NEIGHBOURS = 10
RECALL_QUERIES = 1_000
CLIENT_THREADS = 4
THROUGHPUT_SPAN_S = 5.0
SEARCH_EF = 64
INDEX_WAIT_S = 900.0


class WrongAnswer(RoostError):
    """The demo found something else than what was stored."""

    exit_code = 5


class FreshReader(Protocol):
    """A reader started with empty caches."""

    uri: str

    def bytes_read(self) -> int:
        """Bytes it read from the object store so far."""
        ...

    def stop(self) -> None:
        """End it."""
        ...


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """How much, and how fast."""

    rows: int
    batch_rows: int
    pause_s: tuple[float, float] = (1.0, 8.0)
    """The article searched every 1 to 8 seconds; the next batch waits until then."""
    seed: int = 7


@dataclass(slots=True)
class DemoResult:
    """Everything measured; the names of `demo.json`."""

    rows: int = 0
    first_search_seconds: list[float] = field(default_factory=list)
    first_search_recall_at_10: list[float] = field(default_factory=list)
    insert_seconds: list[float] = field(default_factory=list)
    insert_rows_per_second: float = 0.0
    index_seconds: float = 0.0
    recall_at_10: float = 0.0
    search_qps: float = 0.0
    search_qps_four_threads: float = 0.0
    first_search_from_volume_seconds: float = 0.0
    first_search_from_volume_bytes: int = 0

    @property
    def first_search_seconds_mean(self) -> float:
        """The figure that stands beside the article's 0.032 s."""
        return float(np.mean(self.first_search_seconds))

    def as_json(self) -> dict[str, Any]:
        """Return the content of `demo.json`."""
        return {
            "rows": self.rows,
            "first_search_seconds_mean": self.first_search_seconds_mean,
            "first_search_seconds": self.first_search_seconds,
            "first_search_recall_at_10": self.first_search_recall_at_10,
            "first_search_from_volume_seconds": self.first_search_from_volume_seconds,
            "first_search_from_volume_bytes": self.first_search_from_volume_bytes,
            "insert_rows_per_second": self.insert_rows_per_second,
            "index_seconds": self.index_seconds,
            "recall_at_10": self.recall_at_10,
            "search_qps": self.search_qps,
            "search_qps_four_threads": self.search_qps_four_threads,
        }


@dataclass(frozen=True, slots=True)
class DemoEvents:
    """Whom to tell while it runs."""

    step: Callable[[str, int, int], None]
    """What is being done, steps done, steps in all."""
    batch: Callable[[int, int, float, float], None]
    """Batch number, rows so far, first-search seconds, recall."""


class Demo:
    """One run against a cluster that listens on `uri`."""

    def __init__(
        self, data: Descriptors, uri: str, settings: DemoSettings, events: DemoEvents
    ) -> None:
        self.result = DemoResult()
        self._base = data.vectors[: settings.rows].astype(np.float32)
        self._queries = data.vectors[settings.rows :].astype(np.float32)
        self._pictures = data.pictures
        self._settings = settings
        self._events = events
        self._client = MilvusClient(uri)
        self._random = np.random.default_rng(settings.seed)

    def run(self, start_reader: Callable[[], FreshReader]) -> DemoResult:
        """Do all of it.  Raises WrongAnswer, TimedOut, and what pymilvus raises."""
        self.measure()
        self._ask_fresh_reader(start_reader)
        return self.result

    def measure(self) -> DemoResult:
        """Do what any Milvus can do: everything but the fresh reader.  Raises as `run`."""
        self._create()
        self._insert_all()
        self._build_index()
        self._measure_recall()
        self._measure_throughput()
        return self.result

    def nearest(self, query: npt.NDArray[np.float32], k: int) -> list[int]:
        """Return the ids of the `k` nearest rows."""
        return _ids(self._search(self._client, query[None, :], k))[0]

    @property
    def queries(self) -> npt.NDArray[np.float32]:
        """(n, 128) descriptors that were not inserted."""
        return self._queries

    def close(self) -> None:
        """Close the client."""
        self._client.close()

    def _create(self) -> None:
        client = self._client
        if client.has_collection(COLLECTION):
            client.drop_collection(COLLECTION)
        schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("picture", DataType.INT16)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=DIM)
        # Exact search while rows arrive; the graph is built when they are all there.
        flat = client.prepare_index_params()
        flat.add_index("vector", index_type="FLAT", metric_type="L2")
        client.create_collection(COLLECTION, schema=schema, index_params=flat)
        if any(_ids(self._search(client, self._queries[:1], NEIGHBOURS, strong=True))):
            raise WrongAnswer("something is found in an empty collection")

    def _insert_all(self) -> None:
        settings, spent_s = self._settings, 0.0
        batches = range(0, settings.rows, settings.batch_rows)
        for number, start in enumerate(batches):
            self._events.step("insert and search", number, len(batches))
            began = time.monotonic()
            stop = min(start + settings.batch_rows, settings.rows)
            rows = [
                {"id": at, "picture": int(self._pictures[at]), "vector": self._base[at]}
                for at in range(start, stop)
            ]
            sent = time.monotonic()
            self._client.insert(COLLECTION, rows)
            self.result.insert_seconds.append(time.monotonic() - sent)
            spent_s += self.result.insert_seconds[-1]
            self.result.rows = stop
            self._first_search(number, start, stop)
            self._pause(began, is_last=stop == settings.rows)
        self.result.insert_rows_per_second = settings.rows / spent_s

    def _first_search(self, number: int, start: int, stop: int) -> None:
        target = int(self._random.integers(start, stop))
        query = self._base[target : target + 1]
        asked = time.monotonic()
        found = _ids(self._search(self._client, query, NEIGHBOURS, strong=True))[0]
        seconds = time.monotonic() - asked
        if not found or found[0] != target:
            raise WrongAnswer(f"row {target}, acknowledged before, is not first among {found}")
        recall = _recall([found], exact_ids(self._base[:stop], query, NEIGHBOURS))
        if recall < RECALL_FLOOR:
            raise WrongAnswer(f"first search over {stop} rows: recall@10 is {recall:.2f}")
        self.result.first_search_seconds.append(seconds)
        self.result.first_search_recall_at_10.append(recall)
        self._events.batch(number + 1, stop, seconds, recall)

    def _pause(self, began: float, *, is_last: bool) -> None:
        interval_s = float(self._random.uniform(*self._settings.pause_s))
        rest_s = began + interval_s - time.monotonic()
        if rest_s > 0 and not is_last:
            time.sleep(rest_s)

    def _build_index(self) -> None:
        client, began = self._client, time.monotonic()
        client.flush(COLLECTION)
        client.release_collection(COLLECTION)
        client.drop_index(COLLECTION, "vector")
        hnsw = client.prepare_index_params()
        hnsw.add_index(
            "vector",
            index_type="HNSW",
            metric_type="L2",
            params={"M": 16, "efConstruction": 100},
        )
        client.create_index(COLLECTION, hnsw, sync=False)
        while True:
            state = client.describe_index(COLLECTION, "vector")
            total, indexed = int(state["total_rows"]), int(state["indexed_rows"])
            self._events.step("build the index (rows)", indexed, total)
            if indexed >= total >= self._settings.rows and state["state"] == "Finished":
                break
            if time.monotonic() - began > INDEX_WAIT_S:
                raise TimedOut(
                    f"the index has {indexed} of {total} rows after {INDEX_WAIT_S:.0f} s"
                )
            time.sleep(0.2)
        client.load_collection(COLLECTION)
        self.result.index_seconds = time.monotonic() - began

    def _measure_recall(self) -> None:
        self._events.step("recall against exact search", 0, 1)
        queries = self._queries[:RECALL_QUERIES]
        found = _ids(self._search(self._client, queries, NEIGHBOURS))
        self.result.recall_at_10 = _recall(found, exact_ids(self._base, queries, NEIGHBOURS))
        if self.result.recall_at_10 < RECALL_FLOOR:
            raise WrongAnswer(f"recall@10 of the index is {self.result.recall_at_10:.3f}")

    def _measure_throughput(self) -> None:
        self._events.step("queries per second", 0, 2)
        self.result.search_qps = self._throughput(1)
        self._events.step("queries per second", 1, 2)
        self.result.search_qps_four_threads = self._throughput(CLIENT_THREADS)

    def _throughput(self, threads: int) -> float:
        ends = time.monotonic() + THROUGHPUT_SPAN_S

        def ask(thread: int) -> int:
            count = 0
            while time.monotonic() < ends:
                at = (thread * 1_000 + count) % len(self._queries)
                self._search(self._client, self._queries[at : at + 1], NEIGHBOURS)
                count += 1
            return count

        with ThreadPoolExecutor(threads) as pool:
            return sum(pool.map(ask, range(threads))) / THROUGHPUT_SPAN_S

    def _ask_fresh_reader(self, start_reader: Callable[[], FreshReader]) -> None:
        self._events.step("first search of a fresh reader", 0, 1)
        target = int(self._random.integers(self._settings.rows))
        began = time.monotonic()
        reader = start_reader()
        try:
            client = MilvusClient(reader.uri)
            found = _ids(self._search(client, self._base[target : target + 1], NEIGHBOURS))[0]
            self.result.first_search_from_volume_seconds = time.monotonic() - began
            if not found or found[0] != target:
                raise WrongAnswer(f"a fresh reader finds {found}, not row {target}")
            self.result.first_search_from_volume_bytes = reader.bytes_read()
            client.close()
        finally:
            reader.stop()

    @staticmethod
    def _search(
        client: MilvusClient, queries: npt.NDArray[np.float32], k: int, *, strong: bool = False
    ) -> Any:
        return client.search(
            COLLECTION,
            data=list(queries),
            limit=k,
            anns_field="vector",
            search_params={"params": {"ef": SEARCH_EF}},
            consistency_level="Strong" if strong else "Bounded",
        )


def exact_ids(
    base: npt.NDArray[np.float32], queries: npt.NDArray[np.float32], k: int
) -> npt.NDArray[np.int64]:
    """Return the row numbers of the `k` nearest rows of each query, (nq, k), by full scan."""
    _, ids = faiss.knn(queries, base, k)
    return np.asarray(ids, dtype=np.int64)


def _ids(answer: Any) -> list[list[int]]:
    return [[int(hit["id"]) for hit in hits] for hits in answer]


def _recall(found: list[list[int]], exact: npt.NDArray[np.int64]) -> float:
    hits = [len(set(f) & set(e.tolist())) / len(e) for f, e in zip(found, exact, strict=True)]
    return float(np.mean(hits))
