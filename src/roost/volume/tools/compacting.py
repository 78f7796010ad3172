"""Driving compaction over a tree or a whole volume; `data.compact` does a chunk."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

from roost.errors import Damage, RoostError
from roost.volume.client import VolumeClient
from roost.volume.data.compact import compact_chunk
from roost.volume.layout import CHUNK_BYTES
from roost.volume.meta.damage import tell_damage
from roost.volume.meta.reads import Scans
from roost.volume.model import ChunkNo, ChunkSlices, Ino, Kind, Problem, SliceId
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
    client: VolumeClient,
    *,
    threads: int = 10,
    progress: Progress = lambda _done, _all: None,
    is_lenient: bool = False,
    is_left: Callable[[SliceId], bool] = lambda _: False,
) -> CompactReport:
    """Merge the records of every chunk of the volume; those that show a slice to leave stay.

    Raises CorruptRecord for a chunk that does not parse; if lenient, such a one stays as it is and
    is a failure.
    """
    unread: list[Problem] = []
    with client.meta.engine.scan() as scans:
        if is_lenient:
            tell_damage(scans, unread.append)
        report = _compact(client, scans.all_chunks(), threads, progress, is_left)
    if not unread:
        return report
    named = [problem.what for problem in unread]
    return replace(
        report,
        failed=report.failed + len(unread),
        failures=(*report.failures, *named)[:FAILURES_KEPT_MAX],
        damaged=True,
    )


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
    client: VolumeClient,
    chunks: Iterable[ChunkSlices],
    threads: int,
    progress: Progress,
    is_left: Callable[[SliceId], bool] = lambda _: False,
) -> CompactReport:
    seen = merged = gone = failed = 0
    failures: list[str] = []
    damaged = False
    window: deque[tuple[ChunkSlices, Future[int]]] = deque()

    def leave(chunk: ChunkSlices, why: RoostError | str) -> None:
        nonlocal failed, damaged
        failed += 1
        damaged |= isinstance(why, Damage | str)
        if len(failures) < FAILURES_KEPT_MAX:
            failures.append(f"inode {chunk.ino} chunk {chunk.chunk_no}: {why}")

    def take(chunk: ChunkSlices, future: Future[int]) -> None:
        nonlocal merged, gone
        try:
            records = future.result()
        except RoostError as error:  # the others are merged all the same
            leave(chunk, error)
            return
        merged += records > 0
        gone += records

    with ThreadPoolExecutor(threads, "roost-compact") as pool:
        for chunk in chunks:
            if len(chunk.slices) < RECORDS_MIN:
                continue
            seen += 1
            if why := _doubt(chunk, is_left):
                leave(chunk, why)
                continue
            if len(window) >= threads * _WAITING_PER_THREAD:
                take(*window.popleft())
                progress(seen, 0)
            task = partial(compact_chunk, client.core, chunk.ino, ChunkNo(chunk.chunk_no))
            window.append((chunk, pool.submit(task)))
        while window:
            take(*window.popleft())
    progress(seen, seen)
    return CompactReport(seen, merged, gone, failed, tuple(failures), damaged)


def _doubt(chunk: ChunkSlices, is_left: Callable[[SliceId], bool]) -> str:
    """Return what is wrong with the records of a chunk, so that it is better left; or nothing."""
    for one in chunk.slices:
        shown = one.offset + one.length if one.id else 0
        if one.pos + one.length > CHUNK_BYTES or shown > one.size:
            return f"a record reaches beyond its chunk or its slice: {one}"
        if one.id and is_left(one.id):
            return f"slice {one.id} counts fewer references than there are"
    return ""
