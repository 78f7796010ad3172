"""An engine in a folder that a test can stop, start again and ask, and rows to put into it."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from roost.clock import Clock, SystemClock
from roost.vector.api import (
    CollectionInfo,
    Consistency,
    Freshness,
    IndexSpec,
    InsertRequest,
    MutationAnswer,
    NewCollection,
    QueryRequest,
    SearchRequest,
)
from roost.vector.columns import vector_column, vectors_of
from roost.vector.engine.engine import Engine, open_engine
from roost.vector.engine.settings import EngineSettings
from roost.vector.files import DirectoryFiles, Files
from roost.vector.log.writer import LogLimits
from roost.vector.schema import CollectionSchema, DataType, Field

DIM = 8
QUIET = EngineSettings(background_threads=0, lease_term_s=600.0, search_threads=2)
"""Nothing happens by itself, not even a renewal of the lease: a test says when."""
SCHEMA = CollectionSchema(
    (
        Field("id", DataType.INT64, primary=True),
        Field("vector", DataType.FLOAT_VECTOR, dim=DIM),
        Field("colour", DataType.VARCHAR, max_length=32, nullable=True),
        Field("$meta", DataType.JSON, dynamic=True),
    )
)
STRONG = Freshness(Consistency.STRONG)


class House:
    """A data folder, and the engine that runs in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock: Clock = SystemClock()
        self.wrap: Callable[[Files], Files] = lambda files: files
        """What is put between the engine and the folder."""
        self.limits: LogLimits | None = None
        self.engine: Engine | None = None
        self.lost: list[str] = []

    @property
    def files(self) -> Path:
        """The folder of the engine's files."""
        return self.root / "files"

    @property
    def url(self) -> str:
        """Of the catalog."""
        return f"sqlite:///{self.root}/catalog.db"

    def open(self, settings: EngineSettings = QUIET) -> Engine:
        """Start (again); a running engine is closed before."""
        self.close()
        files = self.wrap(DirectoryFiles(self.files))
        self.engine = open_engine(
            self.url,
            files,
            settings=settings,
            clock=self.clock,
            on_lost=self.lost.append,
            lock_folder=self.root / "locks",
            limits=self.limits,
        )
        return self.engine

    def close(self) -> None:
        """Stop the engine if it runs."""
        if self.engine is not None:
            engine, self.engine = self.engine, None
            engine.close()


def create(
    engine: Engine, name: str = "things", schema: CollectionSchema = SCHEMA
) -> CollectionInfo:
    """Make a loaded collection with a FLAT index."""
    engine.create_collection(NewCollection(name, schema))
    engine.create_index(name, IndexSpec("vector", "vector", "FLAT", "L2"))
    engine.load(name)
    return engine.describe_collection(name)


def vectors_for(ids: Iterable[int]) -> npt.NDArray[np.float32]:
    """Return one vector for each id, always the same one."""
    numbers = np.asarray(list(ids), dtype=np.float64)[:, None]
    return np.sin(numbers * (1.0 + np.arange(DIM))).astype(np.float32)


def rows(ids: Iterable[int], colour: str | None = None) -> pa.RecordBatch:
    """Return rows with these keys."""
    ids = list(ids)
    return pa.RecordBatch.from_arrays(
        [
            pa.array(ids, pa.int64()),
            vector_column(vectors_for(ids)),
            pa.array([colour] * len(ids), pa.string()),
        ],
        names=["id", "vector", "colour"],
    )


def insert(
    engine: Engine,
    ids: Iterable[int],
    *,
    colour: str | None = None,
    upsert: bool = False,
    partition: str = "",
    name: str = "things",
) -> MutationAnswer:
    """Insert or upsert rows with these keys."""
    return engine.insert(InsertRequest(name, rows(ids, colour), partition, upsert))


def ids_of(
    engine: Engine,
    filter: str = "id >= 0",
    name: str = "things",
    partitions: tuple[str, ...] = (),
    freshness: Freshness = STRONG,
) -> list[int]:
    """Return the keys of the rows that a filter names."""
    request = QueryRequest(name, filter, partitions=partitions, freshness=freshness)
    found: list[int] = engine.query(request).rows.column("id").to_pylist()
    return found


def colours_of(
    engine: Engine, name: str = "things", freshness: Freshness = STRONG
) -> dict[int, str | None]:
    """Return key → colour of all rows, after a look that each has its own vector."""
    request = QueryRequest(name, "id >= 0", output_fields=("colour", "vector"), freshness=freshness)
    found = engine.query(request).rows
    np.testing.assert_array_equal(
        vectors_of(found.column("vector")), vectors_for(found.column("id").to_pylist())
    )
    return dict(
        zip(found.column("id").to_pylist(), found.column("colour").to_pylist(), strict=True)
    )


def nearest(
    engine: Engine, id: int, k: int = 3, filter: str = "", name: str = "things"
) -> list[int]:
    """Return the keys nearest to the vector of `id`, best first."""
    request = SearchRequest(name, vectors_for([id]), k, filter=filter, freshness=STRONG)
    found: list[int] = engine.search(request).ids.to_pylist()
    return found
