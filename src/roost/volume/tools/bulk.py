"""Many small files at once, for benchmarks and tests; each has one slice and its objects.

One commit makes a directory with all its files.  Objects come first, as for any write.  In a
bucket that is a local directory they are written without being synced: what a benchmark makes
need not survive a crash.
"""

import errno
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from roost.errors import InvalidArgument, Unavailable
from roost.volume.errors import FsError
from roost.volume.layout import CHUNK_BYTES, align_4k
from roost.volume.meta import rules
from roost.volume.meta.claim import Claim
from roost.volume.meta.effects import (
    AddCounter,
    AddEdge,
    AddNode,
    AddSliceRefs,
    AppendSlices,
    ChangeNode,
    Effect,
    NodeChange,
    PutDirUsage,
    UseDirectory,
)
from roost.volume.meta.open_volume import FIRST_INO, FIRST_SLICE, NEXT_INO, NEXT_SLICE, Ids
from roost.volume.meta.txn import Txn
from roost.volume.meta.usage import TOTAL_INODES, USED_SPACE
from roost.volume.model import (
    DIRECTORY_LENGTH_BYTES,
    NODE_SPACE_BYTES,
    ROOT,
    Attr,
    ChunkNo,
    DirUsage,
    Edge,
    Ino,
    Kind,
    Slice,
    SliceId,
)
from roost.volume.tools.opened import OpenedVolume

Progress = Callable[[int, int], None]
"""Told (done, in all)."""

FILES_PER_DIRECTORY_MAX = 10_000  # one commit each
_UPLOAD_THREADS = 16


@dataclass(frozen=True, slots=True)
class FilesWanted:
    """What to make: `count` files `file00000` … of `length` bytes, in directories of the root.

    Directories are called `<prefix>00000` and so on; none of them may exist.
    """

    count: int
    length: int = 100
    per_directory: int = 1000
    prefix: str = "bulk"
    with_objects: bool = True


def make_files(
    volume: OpenedVolume, wanted: FilesWanted, progress: Progress = lambda _done, _all: None
) -> int:
    """Make the files and return how many directories they lie in.

    Raises InvalidArgument for numbers that make no sense, FsError EEXIST, StorageFull, Unavailable.
    """
    if wanted.count < 0 or not 0 < wanted.per_directory <= FILES_PER_DIRECTORY_MAX:
        raise InvalidArgument(f"1 to {FILES_PER_DIRECTORY_MAX} files fit in one directory")
    if not 0 <= wanted.length <= CHUNK_BYTES:
        raise InvalidArgument(f"bulk files have 0 to {CHUNK_BYTES} bytes")
    inos = Ids(volume.engine, NEXT_INO, FIRST_INO, wanted.per_directory + 1)
    slice_ids = Ids(volume.engine, NEXT_SLICE, FIRST_SLICE, wanted.per_directory)
    volume.engine.hold(Claim(volume.settings.uuid, (inos, slice_ids)))
    store = _Objects(volume, wanted.length)
    done = directories = 0
    while done < wanted.count:
        files = min(wanted.per_directory, wanted.count - done)
        ids = [SliceId(slice_ids.take()) for _ in range(files)] if wanted.length else []
        if wanted.with_objects:
            store.write(ids)
        name = f"{wanted.prefix}{directories:05d}".encode()
        numbers = [Ino(inos.take()) for _ in range(files + 1)]
        _add_directory(volume, name, numbers, ids, wanted, slice_ids)
        done, directories = done + files, directories + 1
        progress(done, wanted.count)
    return directories


def _add_directory(
    volume: OpenedVolume,
    name: bytes,
    inos: list[Ino],
    ids: list[SliceId],
    wanted: FilesWanted,
    reserved: Ids,
) -> None:
    def add(txn: Txn) -> None:
        _demand_ours(reserved, ids)
        rules.found(ROOT, txn.node(ROOT))
        if txn.edge(ROOT, name) is not None:
            raise FsError(errno.EEXIST, ROOT, name)
        folder, files = inos[0], inos[1:]
        space = align_4k(wanted.length) * len(files)
        txn.do(
            AddNode(folder, _attr(Kind.DIRECTORY, ROOT, DIRECTORY_LENGTH_BYTES, txn.now_ns)),
            AddEdge(ROOT, name, Edge(Kind.DIRECTORY, folder)),
            ChangeNode(
                ROOT,
                NodeChange(nlink_by=1, mtime_at_least_ns=txn.now_ns, ctime_at_least_ns=txn.now_ns),
            ),
            AddCounter(USED_SPACE, space + NODE_SPACE_BYTES),
            AddCounter(TOTAL_INODES, len(files) + 1),
            *_file_effects(folder, files, ids, wanted.length, txn.now_ns),
        )
        if volume.settings.dir_stats:
            txn.do(
                PutDirUsage(folder, DirUsage(wanted.length * len(files), space, len(files))),
                UseDirectory(ROOT, DirUsage(0, NODE_SPACE_BYTES, 1)),
            )

    volume.engine.run(add)
    _demand_ours(reserved, ids)  # the commit itself may have connected anew


def _demand_ours(reserved: Ids, ids: list[SliceId]) -> None:
    if any(map(reserved.is_doubtful, ids)):
        raise Unavailable("the database lost commits, and slices may be another client's now")


def _file_effects(
    folder: Ino, files: list[Ino], ids: list[SliceId], length: int, now_ns: int
) -> Iterator[Effect]:
    attr = _attr(Kind.FILE, folder, length, now_ns)
    for number, ino in enumerate(files):
        yield AddNode(ino, attr)
        yield AddEdge(folder, b"file%05d" % number, Edge(Kind.FILE, ino))
    for ino, slice_id in zip(files, ids, strict=False):  # empty files have no slice
        yield AppendSlices(ino, ChunkNo(0), (Slice(0, slice_id, length, 0, length),))
        yield AddSliceRefs(slice_id, 1, length, is_new=True)


def _attr(kind: Kind, parent: Ino, length: int, now_ns: int) -> Attr:
    is_directory = kind is Kind.DIRECTORY
    return Attr(
        kind=kind,
        mode=0o755 if is_directory else 0o644,
        atime_ns=now_ns,
        mtime_ns=now_ns,
        ctime_ns=now_ns,
        nlink=2 if is_directory else 1,
        length=length,
        parent=parent,
    )


class _Objects:
    """Writes the objects of slices, all with the same bytes."""

    def __init__(self, volume: OpenedVolume, length: int) -> None:
        self._volume = volume
        self._length = length
        blocks = volume.blocks
        self._data = [bytes(ref.size_bytes) for ref in blocks.refs(SliceId(1), length)]
        settings = volume.settings
        is_plain = settings.storage == "file" and settings.shards <= 1 and not settings.is_encrypted
        self._folder = Path(settings.bucket) / settings.name if is_plain else None
        self._stored = [bytes(memoryview(blocks.compression.encode(data))) for data in self._data]

    def write(self, ids: list[SliceId]) -> None:
        blocks = self._volume.blocks
        refs = [
            (ref, number)
            for slice_id in ids
            for number, ref in enumerate(blocks.refs(slice_id, self._length))
        ]
        if self._folder is not None:
            for ref, number in refs:
                _write_unsynced(f"{self._folder}/{blocks.key(ref)}", self._stored[number])
            return
        with ThreadPoolExecutor(_UPLOAD_THREADS) as pool:
            for _ in pool.map(lambda one: blocks.put(one[0], self._data[one[1]]), refs):
                pass


def _write_unsynced(path: str, data: bytes) -> None:
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o666)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o666)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)
