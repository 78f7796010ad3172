"""kill -9 of members of a real cluster: nothing acknowledged is lost, no answer is incomplete."""

import random
import threading
import time

import numpy as np
import pytest
from pymilvus import MilvusClient

from tests.e2e.conftest import Cluster, StartCluster

DIM = 8
BATCH_ROWS = 200
KILLS = 20


def vector_of(number: int) -> list[float]:
    """The vector of row `number`: a row is whole only if it holds exactly this."""
    return np.random.default_rng(number).random(DIM, dtype=np.float32).tolist()


class Inserter(threading.Thread):
    """Inserts batches of rising ids until told to stop, and remembers what was acknowledged."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(name="inserter")
        self._cluster = cluster
        self.acknowledged: set[int] = set()
        self.tried = 0
        self.stopping = threading.Event()

    def run(self) -> None:
        client = self._cluster.client()
        while not self.stopping.is_set():
            ids = range(self.tried, self.tried + BATCH_ROWS)
            self.tried += BATCH_ROWS
            rows = [{"id": i, "vector": vector_of(i), "half": i % 2} for i in ids]
            try:
                # One try only: a retry after a lost answer would store a batch twice, as in Milvus.
                client.insert("kills", rows, retry_times=1, timeout=10)
                self.acknowledged.update(ids)
            except Exception:
                client = self._cluster.client()


def wait_until_writable(client: MilvusClient) -> None:
    """Wait until writes are served again, without manual help."""
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        try:
            client.delete("kills", ids=[-1], timeout=5)
        except Exception:
            time.sleep(0.1)
        else:
            return
    pytest.fail("the cluster does not take writes again")


@pytest.mark.timeout(1200)
def test_the_writer_killed_20_times_during_inserts_loses_no_acknowledged_row(
    start_cluster: StartCluster,
) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    timing = random.Random(seed)
    cluster = start_cluster(config="[engine]\nflush_rows = 2000\n")
    client = cluster.client()
    client.create_collection("kills", dimension=DIM, metric_type="L2", auto_id=False)
    inserter = Inserter(cluster)
    inserter.start()
    for _ in range(KILLS):
        time.sleep(timing.uniform(0.05, 0.6))
        cluster.kill("writer")
        wait_until_writable(client)
    inserter.stopping.set()
    inserter.join()

    wait_until_writable(client)
    total = client.query("kills", output_fields=["count(*)"], consistency_level="Strong")
    found: list[int] = []
    for start in range(0, inserter.tried, 10_000):
        rows = client.query(
            "kills",
            filter=f"{start} <= id < {start + 10_000}",
            output_fields=["id", "vector", "half"],
            consistency_level="Strong",
        )
        for row in rows:
            assert row["half"] == row["id"] % 2
            assert np.array_equal(
                np.array(row["vector"], np.float32), np.array(vector_of(row["id"]), np.float32)
            )
        found += [row["id"] for row in rows]
    assert len(found) == len(set(found)) == total[0]["count(*)"]
    lost = inserter.acknowledged - set(found)
    assert not lost, f"{len(lost)} acknowledged rows are gone, the first {min(lost)}"
    batches = {i // BATCH_ROWS for i in found}
    assert len(found) == len(batches) * BATCH_ROWS, "a batch is there by half"
    assert len(inserter.acknowledged) > BATCH_ROWS


@pytest.mark.timeout(600)
def test_a_reader_killed_under_load_fails_no_query(start_cluster: StartCluster) -> None:
    cluster = start_cluster(config="[engine]\nflush_rows = 2000\n")
    client = cluster.client()
    client.create_collection("kills", dimension=DIM, metric_type="L2", auto_id=False)
    rows = [{"id": i, "vector": vector_of(i), "half": i % 2} for i in range(5000)]
    client.insert("kills", rows)
    client.flush("kills")
    client.insert(
        "kills", [{"id": i, "vector": vector_of(i), "half": 0} for i in range(5000, 5100)]
    )
    queries = [row["vector"] for row in rows[:50]]
    failures: list[str] = []
    asked = [0]
    stopping = threading.Event()

    def ask(number: int) -> None:
        own = cluster.client()
        pick = random.Random(number)
        while not stopping.is_set():
            at = pick.randrange(50)
            try:
                hits = own.search("kills", data=[queries[at]], limit=10)[0]
            except Exception as error:
                failures.append(repr(error))
                continue
            asked[0] += 1
            if len(hits) != 10 or hits[0]["id"] != at:
                failures.append(f"query {at}: {[h['id'] for h in hits]}")

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    killed = []
    for member in ("reader-1", "reader-2", "reader-1"):
        time.sleep(2)
        killed.append(cluster.kill(member))
        cluster.wait_for_readers(2)  # before the other one falls
    stopping.set()
    for thread in threads:
        thread.join()
    assert not failures, failures[:5]
    assert asked[0] > 100
    assert all(pid != cluster.pid("reader-1") for pid in killed)
