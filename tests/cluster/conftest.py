"""A cluster in one process: real gRPC on loopback, a directory, an SQLite catalog."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from roost.cluster.assembly import MemberSettings, ReaderMember, RouterMember, WriterMember
from roost.cluster.router import RouterSettings
from roost.vector import api
from roost.vector.columns import vector_column
from roost.vector.engine.settings import EngineSettings
from roost.vector.files import DirectoryFiles
from roost.vector.schema import CollectionSchema, DataType, Field

DIM = 4
SCHEMA = CollectionSchema(
    (
        Field("id", DataType.INT64, primary=True),
        Field("born", DataType.INT64),
        Field("vector", DataType.FLOAT_VECTOR, dim=DIM),
    )
)
STRONG = api.Freshness(api.Consistency.STRONG)
BOUNDED = api.Freshness(api.Consistency.BOUNDED)
READY_S = 20.0


def vectors_for(ids: npt.NDArray[np.int64], dim: int = DIM) -> npt.NDArray[np.float32]:
    """Return the vector of each id: far from every other's."""
    out = np.zeros((len(ids), dim), np.float32)
    out[:, 0] = ids
    return out


def rows(first: int, count: int, born: int = 0) -> pa.RecordBatch:
    """Return rows with ids from `first` on."""
    ids = np.arange(first, first + count, dtype=np.int64)
    return pa.RecordBatch.from_arrays(
        [
            pa.array(ids),
            pa.array(np.full(count, born, np.int64)),
            vector_column(vectors_for(ids)),
        ],
        names=["id", "born", "vector"],
    )


class Cluster:
    """Starts members on one folder and stops them all in the end."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.catalog_url = f"sqlite:///{folder / 'catalog.db'}"
        self.replicas = 1
        self.query_timeout_s = 20.0
        self.read_only = False
        self._stack = stack

    def files(self) -> DirectoryFiles:
        """Return the shared directory, as one member opens it."""
        root = self.folder / "volume"
        root.mkdir(exist_ok=True)
        return DirectoryFiles(root)

    def settings(self, member_id: str = "") -> MemberSettings:
        """Return a member's settings."""
        return MemberSettings(self.catalog_url, member_id=member_id, replicas=self.replicas)

    def _router_settings(self) -> RouterSettings:
        return RouterSettings(self.replicas, self.read_only, self.query_timeout_s)

    @staticmethod
    def small_segments() -> EngineSettings:
        """Return settings under which little data makes many versions."""
        return EngineSettings(flush_rows=200, flush_interval_s=0.1, compact_segments_min=3)

    def writer(self, settings: EngineSettings | None = None) -> WriterMember:
        """Start the writer."""
        member = WriterMember(self.settings(), self.files(), settings or EngineSettings())
        member.start()
        self._stack.callback(member.stop)
        return member

    def reader(self, name: str) -> ReaderMember:
        """Start a reader and wait until it is ready."""
        member = ReaderMember(
            self.settings(name), self.files(), router_settings=self._router_settings()
        )
        member.start()
        self._stack.callback(member.stop)
        assert member.wait_ready(READY_S)
        return member

    def router(self) -> RouterMember:
        """Start a router without a reader."""
        member = RouterMember(self.settings(), router_settings=self._router_settings())
        member.start()
        self._stack.callback(member.stop)
        return member


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with ExitStack() as stack:
        yield Cluster(tmp_path, stack)


def make_collection(service: api.VectorService, name: str = "things") -> None:
    """Create, index and load a collection of `rows`."""
    service.create_collection(api.NewCollection(name, SCHEMA))
    service.create_index(name, api.IndexSpec("vector", "vector", "FLAT", "L2"))
    service.load(name)


def insert(
    service: api.VectorService, batch: pa.RecordBatch, *, upsert: bool = False, name: str = "things"
) -> api.MutationAnswer:
    """Insert rows."""
    return service.insert(api.InsertRequest(name, batch, upsert=upsert))


def delete(service: api.VectorService, ids: list[int], name: str = "things") -> api.MutationAnswer:
    """Delete rows by key."""
    return service.delete(api.DeleteRequest(name, ids=pa.array(ids, pa.int64())))


def ids_at(
    service: api.VectorService, freshness: api.Freshness, name: str = "things"
) -> tuple[dict[int, int], int]:
    """Return id → born of every row, and the instant of the answer; no id may come twice."""
    answer = service.query(
        api.QueryRequest(name, "id >= 0", output_fields=("id", "born"), freshness=freshness)
    )
    ids = answer.rows.column("id").to_pylist()
    assert len(ids) == len(set(ids)), "an id came twice"
    return dict(zip(ids, answer.rows.column("born").to_pylist(), strict=True)), answer.read_ts


def count_at(service: api.VectorService, freshness: api.Freshness, name: str = "things") -> int:
    """Return count(*)."""
    answer = service.query(api.QueryRequest(name, count_only=True, freshness=freshness))
    return int(answer.rows.column(0)[0].as_py())


def nearest(
    service: api.VectorService, wanted: int, freshness: api.Freshness, name: str = "things"
) -> tuple[int, int]:
    """Search for the vector of an id; return the id and born of the best hit, fetched."""
    answer = service.search(
        api.SearchRequest(
            name,
            vectors_for(np.array([wanted])),
            3,
            output_fields=("id", "born"),
            freshness=freshness,
        )
    )
    assert answer.ids[0].as_py() == answer.rows.column("id")[0].as_py()
    return answer.ids[0].as_py(), answer.rows.column("born")[0].as_py()
