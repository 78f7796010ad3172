"""Driving compaction over a tree or a whole volume; `data.compact` does a chunk."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice

from roost.errors import Damage, RoostError
from roost.volume.client import VolumeClient
from roost.volume.data.compact import compact_chunk
from roost.volume.meta.reads import Scans
from roost.volume.model import ChunkNo, ChunkSlices, Ino, Kind
from roost.volume.tools.steps import Progress

RECORDS_MIN = 2  # a chunk with fewer has nothing to merge
_WAITING_PER_THREAD = 4
_PAGE = 1000
FAILURES_KEPT_MAX = 100


@dataclass(frozen=True, slots=True)
class CompactReport:
    """What was done.  `failures` names chunks that stayed as they are, the first of them."""

    chunks: int = 0  # looked at: those with several records
    merged: int = 0  # chunks that became shorter
    records_gone: int = 0
    failed: int = 0
    failures: tuple[str, ...] = ()
    damaged: bool = False  # a failure was damage


def compact_paths(
    client: VolumeClient,
    paths: Iterable[str],
    *,
    threads: int = 10,
    progress: Progress = lambda _done, _all: None,
) -> CompactReport:
    """Merge the records of all chunks of these files, and of files below these directories.

    Raises FsError for a path that is not there.
    """
    tops = [client.node(path, follow=True) for path in paths]
    with client.meta.engine.scan() as scans:
        files = (
            ino
            for top in tops
            for ino in (_files(scans, top.ino) if top.attr.is_directory else (top.ino,))
        )
        return _compact(client, _chunks_of(scans, files), threads, progress)


def compact_all(
    client: VolumeClient, *, threads: int = 10, progress: Progress = lambda _done, _all: None
) -> CompactReport:
    """Merge the records of every chunk of the volume."""
    with client.meta.engine.scan() as scans:
        return _compact(client, scans.all_chunks(), threads, progress)


def _files(scans: Scans, top: Ino) -> Iterator[Ino]:
    folders = [top]
    while folders:
        for _, edge in scans.entries_of(folders.pop()):
            if edge.kind is Kind.DIRECTORY:
                folders.append(edge.ino)
            elif edge.kind is Kind.FILE:
                yield edge.ino


def _chunks_of(scans: Scans, files: Iterable[Ino]) -> Iterator[ChunkSlices]:
    waiting = iter(files)
    while page := list(dict.fromkeys(islice(waiting, _PAGE))):  # hard links name a file twice
        for chunks in scans.slices_of(page).values():
            yield from chunks


def _compact(
    client: VolumeClient, chunks: Iterable[ChunkSlices], threads: int, progress: Progress
) -> CompactReport:
    seen = merged = gone = failed = 0
    failures: list[str] = []
    damaged = False
    window: deque[tuple[ChunkSlices, Future[int]]] = deque()

    def take(chunk: ChunkSlices, future: Future[int]) -> None:
        nonlocal merged, gone, failed, damaged
        try:
            records = future.result()
        except RoostError as error:  # the others are merged all the same
            failed += 1
            damaged |= isinstance(error, Damage)
            if len(failures) < FAILURES_KEPT_MAX:
                failures.append(f"inode {chunk.ino} chunk {chunk.chunk_no}: {error}")
            return
        merged += records > 0
        gone += records

    with ThreadPoolExecutor(threads, "roost-compact") as pool:
        for chunk in chunks:
            if len(chunk.slices) < RECORDS_MIN:
                continue
            seen += 1
            if len(window) >= threads * _WAITING_PER_THREAD:
                take(*window.popleft())
                progress(seen, 0)
            task = partial(compact_chunk, client.core, chunk.ino, ChunkNo(chunk.chunk_no))
            window.append((chunk, pool.submit(task)))
        while window:
            take(*window.popleft())
    progress(seen, seen)
    return CompactReport(seen, merged, gone, failed, tuple(failures), damaged)
