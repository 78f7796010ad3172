"""A real writer process that stops itself (SIGSTOP) around the fsync of its log when armed.

Run as: pausing_writer.py DATA FIRST_ID COUNT PAUSE, PAUSE one of: never, before-sync, after-sync.
It inserts COUNT rows, printing "ack ID" or "fail ID ErrorClass" for each; the last row is the
one that is paused.  If it never pauses it prints "rows" and all ids it finds at the end.
"""

import os
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
from typing_extensions import Buffer

from roost.app.data_directory import prepare
from roost.app.volume import EngineVolume
from roost.config.settings import Settings
from roost.errors import RoostError
from roost.vector.api import (
    Consistency,
    Freshness,
    IndexSpec,
    InsertRequest,
    NewCollection,
    QueryRequest,
)
from roost.vector.columns import rows_schema
from roost.vector.engine.engine import Engine, open_engine
from roost.vector.engine.settings import EngineSettings
from roost.vector.files import AppendFile, Files
from roost.vector.schema import CollectionSchema, DataType, Field

LEASE_TERM_S = 1.5
SCHEMA = CollectionSchema(
    (
        Field("id", DataType.INT64, primary=True),
        Field("vector", DataType.FLOAT_VECTOR, dim=2),
    )
)


class PausingAppend:
    """Stops the whole process around `sync` when told to."""

    def __init__(self, inner: AppendFile, pauses: "PausingFiles") -> None:
        self._inner = inner
        self._pauses = pauses

    def append(self, data: Buffer) -> None:
        self._inner.append(data)

    def sync(self) -> None:
        self._pauses.stop_at("before-sync")
        self._inner.sync()
        self._pauses.stop_at("after-sync")

    @property
    def size_bytes(self) -> int:
        return self._inner.size_bytes

    def close(self) -> None:
        self._inner.close()


class PausingFiles:
    """`Files` whose log appends can stop the process."""

    def __init__(self, inner: Files) -> None:
        self._inner = inner
        self.armed = ""

    def stop_at(self, place: str) -> None:
        if self.armed == place:
            self.armed = ""
            os.kill(os.getpid(), signal.SIGSTOP)
            time.sleep(0.2)  # the stop reaches all threads a moment after the call returns

    def create(self, path: str) -> AppendFile:
        return PausingAppend(self._inner.create(path), self)

    def write(self, path: str, pieces: Iterable[Buffer]) -> int:
        return self._inner.write(path, pieces)

    def adopt(self, local: Path, path: str) -> int:
        return self._inner.adopt(local, path)

    def open_local(self, path: str) -> Path:
        return self._inner.open_local(path)

    def read(self, path: str, offset: int = 0, size_bytes: int | None = None) -> bytes:
        return self._inner.read(path, offset, size_bytes)

    def size(self, path: str) -> int:
        return self._inner.size(path)

    def list(self, folder: str) -> list[str]:
        return self._inner.list(folder)

    def make_folder(self, folder: str, *, exclusive: bool = False) -> None:
        self._inner.make_folder(folder, exclusive=exclusive)

    def delete(self, path: str) -> None:
        self._inner.delete(path)

    def delete_folder(self, folder: str) -> None:
        self._inner.delete_folder(folder)

    def scratch(self) -> Path:
        return self._inner.scratch()


def say(*words: object) -> None:
    print(*words, flush=True)


def insert(engine: Engine, number: int) -> None:
    rows = pa.RecordBatch.from_pylist(
        [{"id": number, "vector": [float(number), 0.0]}], schema=rows_schema(SCHEMA)
    )
    try:
        engine.insert(InsertRequest("paused", rows))
    except RoostError as error:
        say("fail", number, type(error).__name__)
    else:
        say("ack", number)


def main() -> None:
    data, first, count, pause = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    directory = prepare(Settings(data=Path(data)))
    volume = EngineVolume(directory)
    files = PausingFiles(volume.files)
    settings = EngineSettings(lease_term_s=LEASE_TERM_S)
    engine = open_engine(directory.catalog_url, files, settings=settings)
    say("writer")
    engine.create_collection(NewCollection("paused", SCHEMA))
    engine.create_index("paused", IndexSpec("vector", "vector", "FLAT", "L2"))
    engine.load("paused")
    for number in range(first, first + count):
        if number == first + count - 1:
            files.armed = pause
        insert(engine, number)
    if pause == "never":
        strong = Freshness(Consistency.STRONG)
        found = engine.query(QueryRequest("paused", "id >= 0", freshness=strong))
        say("rows", *found.rows.column("id").to_pylist())
    sys.stdin.readline()
    os._exit(0)  # like a crash: nothing is flushed, released or said


main()
