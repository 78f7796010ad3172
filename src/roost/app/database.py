"""The engine in this process: `with roost.open("./data") as db`.

Columns in, columns out: a mapping from field names to numpy arrays, Arrow arrays or lists goes in,
Arrow record batches come out.  The data directory is that of `roost up`; one of the two at a time.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from roost.app.data_directory import FolderLock, prepare
from roost.app.engine_numbers import engine_settings
from roost.app.volume import EngineVolume
from roost.config.settings import Settings
from roost.vector.api import (
    CollectionInfo,
    Consistency,
    DeleteRequest,
    Freshness,
    IndexSpec,
    InsertRequest,
    MutationAnswer,
    NewCollection,
    QueryRequest,
    SearchAnswer,
    SearchRequest,
)
from roost.vector.columns import arrow_type, vector_column
from roost.vector.engine.engine import Engine, open_engine
from roost.vector.errors import RowsRefused
from roost.vector.schema import DYNAMIC_FIELD_NAME, CollectionSchema, DataType, Field

if TYPE_CHECKING:
    from roost.serve.milvus.service import MilvusServer

Columns = Mapping[str, "npt.NDArray[Any] | pa.Array | Sequence[Any]"]
"""Field name -> values, all of one length; vectors as (n, dim) arrays."""

_STRONG = Freshness(Consistency.STRONG)


def open_database(data: str | Path = "roost-data", **engine_numbers: float) -> "Database":
    """Open (or make) the database in the folder `data`, for this process alone.

    `engine_numbers` are those of `vector.engine.EngineSettings`, by name.
    Raises Unavailable if another process uses the folder, InvalidArgument, Damage.
    """
    return Database(Settings(data=Path(data), engine=engine_numbers))


class Database:
    """An engine of one process.  Safe to use from many threads; close it in the end."""

    def __init__(self, settings: Settings, on_lost: Callable[[str], None] | None = None) -> None:
        """`on_lost` is told once, from a thread, when this process may not write any more."""
        directory = prepare(settings)
        self._lock = FolderLock.take(
            directory.locks / "up.lock", f"the data directory {directory.root}"
        )
        try:
            self._volume = EngineVolume(directory)
            self.engine: Engine = open_engine(
                directory.catalog_url,
                self._volume.files,
                settings=engine_settings(settings),
                on_lost=on_lost,
                lock_folder=directory.locks,
            )
        except BaseException:
            self._lock.release()
            raise
        self._server: MilvusServer | None = None

    def __enter__(self) -> "Database":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop serving and working, and give the folder back."""
        if self._server is not None:
            self._server.stop()
        self.engine.close()
        self._volume.close()
        self._lock.release()

    @property
    def uri(self) -> str:
        """An address for a MilvusClient; the first look starts a server on a free local port."""
        if self._server is None:
            from roost.serve.milvus.service import serve  # not always wanted

            self._server = serve(self.engine, "127.0.0.1", 0)
        return f"http://{self._server.address}"

    def create_collection(
        self,
        name: str,
        fields: Sequence[Field],
        *,
        metric: str = "COSINE",
        index_type: str = "AUTOINDEX",
        dynamic: bool = True,
    ) -> CollectionInfo:
        """Make a collection, declare an index on each vector field, and load it.

        Raises CollectionExists, SchemaError, IndexParameterError.
        """
        taken = list(fields)
        if dynamic:
            taken.append(Field(DYNAMIC_FIELD_NAME, DataType.JSON, dynamic=True))
        schema = CollectionSchema(tuple(taken))
        self.engine.create_collection(NewCollection(name, schema))
        for field in schema.vectors:
            self.engine.create_index(name, IndexSpec(field.name, field.name, index_type, metric))
        self.engine.load(name)
        return self.engine.describe_collection(name)

    def list_collections(self) -> list[str]:
        """The names of all collections."""
        return [info.name for info in self.engine.list_collections()]

    def drop_collection(self, name: str) -> None:
        """Drop it and its rows; nothing if there is none."""
        self.engine.drop_collection(name)

    def insert(self, collection: str, columns: Columns, *, upsert: bool = False) -> MutationAnswer:
        """Store rows durably.  Columns that the schema does not name become dynamic fields.

        Raises RowsRefused, CollectionNotFound.
        """
        schema = self.engine.describe_collection(collection).schema
        return self.engine.insert(
            InsertRequest(collection, rows_of(schema, columns), upsert=upsert)
        )

    def delete(self, collection: str, filter: str = "", *, ids: Sequence[Any] = ()) -> int:
        """Delete rows by filter or by primary keys; return how many were named.

        Raises FilterError, CollectionNotFound.
        """
        named = self._keys(collection, ids) if ids else None
        return self.engine.delete(DeleteRequest(collection, filter, named)).count

    def search(
        self,
        collection: str,
        queries: npt.NDArray[np.float32],
        k: int = 10,
        *,
        filter: str = "",
        output_fields: Sequence[str] = (),
        params: Mapping[str, Any] | None = None,
    ) -> SearchAnswer:
        """Find the `k` nearest rows of each of `queries`, (nq, dim) or (dim,), float32.

        It sees everything inserted before.  Raises FilterError, InvalidArgument …
        """
        shaped = np.ascontiguousarray(np.atleast_2d(queries), dtype=np.float32)
        return self.engine.search(
            SearchRequest(
                collection,
                shaped,
                k,
                filter=filter,
                output_fields=tuple(output_fields),
                params=params or {},
                freshness=_STRONG,
            )
        )

    def query(
        self,
        collection: str,
        filter: str = "",
        *,
        ids: Sequence[Any] = (),
        output_fields: Sequence[str] = ("*",),
        limit: int | None = None,
    ) -> pa.RecordBatch:
        """Return rows by filter or primary keys, in the order of the keys."""
        named = self._keys(collection, ids) if ids else None
        request = QueryRequest(
            collection,
            filter,
            ids=named,
            output_fields=tuple(output_fields),
            limit=limit,
            freshness=_STRONG,
        )
        return self.engine.query(request).rows

    def _keys(self, collection: str, ids: Sequence[Any]) -> pa.Array:
        primary = self.engine.describe_collection(collection).schema.primary
        return pa.array(list(ids), arrow_type(primary))


def rows_of(schema: CollectionSchema, columns: Columns) -> pa.RecordBatch:
    """Return `columns` in the schema's order and Arrow types.  Raises RowsRefused."""
    wanted = [f for f in schema.fields if not f.dynamic and not (f.primary and f.auto_id)]
    arrays, names = [], []
    for field in wanted:
        if field.name in columns:
            arrays.append(_column(field, columns[field.name]))
            names.append(field.name)
    count = len(arrays[0]) if arrays else 0
    extra = [name for name in columns if name not in {f.name for f in schema.fields}]
    if schema.dynamic is not None:
        arrays.append(_dynamic_column({name: columns[name] for name in extra}, count))
        names.append(schema.dynamic.name)
    elif extra:
        raise RowsRefused(f"field {extra[0]} not exist, and dynamic fields are not enabled")
    if len({len(array) for array in arrays}) > 1:
        raise RowsRefused("the columns differ in length")
    return pa.RecordBatch.from_arrays(arrays, names=names)


def _column(field: Field, values: Any) -> pa.Array:
    try:
        if field.dtype is DataType.FLOAT_VECTOR and not isinstance(values, pa.Array):
            shaped = np.asarray(values, dtype=np.float32)
            if shaped.ndim != 2 or shaped.shape[1] != field.dim:
                raise RowsRefused(
                    f"field {field.name} takes vectors of dim {field.dim}, not {shaped.shape}"
                )
            return vector_column(shaped)
        if field.dtype is DataType.JSON:
            return pa.array([json.dumps(value).encode() for value in values], pa.binary())
        return pa.array(values, arrow_type(field))
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise RowsRefused(f"field {field.name}: {error}") from error


def _dynamic_column(columns: Columns, count: int) -> pa.Array:
    if not columns:
        return pa.array([b"{}"] * count, pa.binary())
    lists = {name: _plain(values) for name, values in columns.items()}
    rows = zip(*lists.values(), strict=False)
    texts = [json.dumps(dict(zip(lists, row, strict=True))).encode() for row in rows]
    return pa.array(texts, pa.binary())


def _plain(values: Any) -> list[Any]:
    if isinstance(values, np.ndarray):
        return list(values.tolist())
    return list(values.to_pylist()) if isinstance(values, pa.Array) else list(values)
