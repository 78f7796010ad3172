"""Filling, judging and emptying this host's cache of files, ahead of their readers.

Blocks go to the disk cache.  A volume without one (its objects lie on this host anyway) warms whole
files instead, as `open_local` would; `whole` asks for that on any volume.
"""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, fields
from enum import Enum
from functools import partial

from roost.errors import Gone, RoostError, StorageFull
from roost.volume.client import VolumeClient
from roost.volume.data.blocks import BlockRef
from roost.volume.data.pool import BoundedPool
from roost.volume.errors import FsError
from roost.volume.layout import chunk_count
from roost.volume.model import ChunkNo, DirEntry, Kind, Node, Slice
from roost.volume.overlay import visible

THREADS_DEFAULT = 50
THREADS_MAX = 200
WAITING_MAX = 200
_PROBE_BYTES = 1

Chunks = list[tuple[ChunkNo, tuple[Slice, ...]]]


class Action(Enum):
    """What is done with the cache."""

    WARM = "warm up"
    EVICT = "evict"
    CHECK = "check"


@dataclass(slots=True)
class Warmth:
    """What was found: files and their bytes, and how much of it was not in the cache before."""

    files: int = 0
    size_bytes: int = 0
    missing_bytes: int = 0
    failed: int = 0

    @property
    def cached_share(self) -> float:
        """The part of the bytes that was cached, 0 to 1."""
        return 1 - self.missing_bytes / self.size_bytes if self.size_bytes else 1.0


class Warmup:
    """One pass over some paths.

    Lock order: `_lock` guards `_warmth` and is taken alone.
    """

    def __init__(
        self,
        client: VolumeClient,
        action: Action,
        *,
        threads: int = THREADS_DEFAULT,
        whole: bool = False,
        failed: Callable[[str, Exception], None],
    ) -> None:
        """`failed` is told paths that could not be done; it may be called from any thread."""
        self._client = client
        self._action = action
        self._whole = whole or client.core.disk is None
        self._failed = failed
        self._threads = max(1, min(threads, THREADS_MAX))
        self._lock = threading.Lock()
        self._warmth = Warmth()

    @property
    def keeps_whole_files(self) -> bool:
        """True if files are cached as wholes, not as blocks."""
        return self._whole

    def warmth(self) -> Warmth:
        """Return the numbers of this moment."""
        with self._lock:
            return Warmth(*(getattr(self._warmth, field.name) for field in fields(Warmth)))

    def run(
        self, paths: Iterable[str], moved: Callable[[Warmth], None] = lambda _warmth: None
    ) -> Warmth:
        """Do it for files, and for folders with all in them; return the numbers.

        `moved` is called from this thread for each file that is begun.
        """
        pool = BoundedPool("roost-warmup", self._threads, WAITING_MAX)
        waiting: list[Future[None]] = []
        try:
            for path, node in self._files(paths):
                waiting.append(pool.submit(partial(self._file, path, node)))
                moved(self.warmth())
                if len(waiting) > WAITING_MAX:
                    waiting = _without_done(waiting)
        finally:
            pool.close()
        for future in waiting:
            future.result()
        return self.warmth()

    def _files(self, paths: Iterable[str]) -> Iterator[tuple[str, Node]]:
        for path in paths:
            try:
                node = self._client.node(path)
            except FsError as error:
                self._note(path, error)
                continue
            if node.attr.is_file:
                yield path, node
            elif node.attr.is_directory:
                yield from self._below(path)

    def _below(self, top: str) -> Iterator[tuple[str, Node]]:
        folders = [top]
        while folders:
            folder = folders.pop()
            try:
                entries: list[DirEntry] = self._client.readdir(folder, with_attrs=True)
            except FsError as error:
                self._note(folder, error)
                continue
            for entry in entries:
                path = f"{folder.rstrip('/')}/{os.fsdecode(entry.name)}"
                if entry.kind is Kind.DIRECTORY:
                    folders.append(path)
                elif entry.kind is Kind.FILE and entry.attr is not None:
                    yield path, Node(entry.ino, entry.attr)

    def _file(self, path: str, node: Node) -> None:
        try:
            missing_bytes = self._whole_file(path, node) if self._whole else self._blocks_of(node)
        except (OSError, RoostError) as error:
            self._note(path, error)
            return
        with self._lock:
            self._warmth.files += 1
            self._warmth.size_bytes += node.attr.length
            self._warmth.missing_bytes += missing_bytes

    def _note(self, path: str, error: Exception) -> None:
        with self._lock:
            self._warmth.failed += 1
        self._failed(path, error)

    def _whole_file(self, path: str, node: Node) -> int:
        """Do it for the local copy of a file; return the bytes that were not there."""
        whole_files = self._client.core.whole_files
        name = whole_files.name_of(node.attr.length, self._chunks(node))
        local = whole_files.find(name)
        if self._action is Action.WARM and local is None:
            self._client.open_local(path)
        elif self._action is Action.EVICT and local is not None:
            whole_files.remove(name)
        return node.attr.length if local is None else 0

    def _blocks_of(self, node: Node) -> int:
        """Do it for the blocks of a file; return the bytes that were not cached."""
        core = self._client.core
        assert core.disk is not None
        missing_bytes = 0
        for ref, used_bytes in self._refs(node):
            key = core.blocks.key(ref)
            is_cached = core.disk.find_range(key, ref.size_bytes, 0, _PROBE_BYTES) is not None
            if not is_cached:
                missing_bytes += used_bytes
            if self._action is Action.WARM and not is_cached:
                self._keep(key, ref)
            elif self._action is Action.EVICT and is_cached:
                core.disk.remove(key)
        return missing_bytes

    def _keep(self, key: str, ref: BlockRef) -> None:
        core = self._client.core
        assert core.disk is not None
        if not core.disk.keep_now(key, core.blocks.get(ref)):
            raise StorageFull(
                f"{key} did not fit into the cache",
                hint="Make room on the cache's disk, or enlarge the cache.",
            )

    def _refs(self, node: Node) -> Iterator[tuple[BlockRef, int]]:
        """Yield the blocks that a file shows, each once a slice, and how many bytes of each."""
        blocks = self._client.core.blocks
        for _, records in self._chunks(node):
            for piece in visible(records):
                for ref in blocks.refs(piece.id, piece.size) if piece.id else ():
                    start = ref.block_no * blocks.block_bytes
                    first = max(piece.offset, start)
                    last = min(piece.offset + piece.length, start + ref.size_bytes)
                    if first < last:
                        yield ref, last - first

    def _chunks(self, node: Node) -> Chunks:
        meta = self._client.meta
        numbers = map(ChunkNo, range(chunk_count(node.attr.length)))
        chunks = [(number, meta.read_chunk(node.ino, number)) for number in numbers]
        if meta.getattr(node.ino).length != node.attr.length:
            raise Gone(f"inode {node.ino} changed while it was looked at")
        return chunks


def _without_done(waiting: list["Future[None]"]) -> list["Future[None]"]:
    """Return the futures still under way; raise what a done one raised, a defect."""
    for future in waiting:
        if future.done():
            future.result()
    return [future for future in waiting if not future.done()]
