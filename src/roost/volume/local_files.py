"""Finished files as local files, and local files as finished files."""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from roost.errors import Gone, MissingBlock
from roost.volume.data import transfer
from roost.volume.layout import chunk_count
from roost.volume.model import Attr, ChunkNo, Ino, Slice
from roost.volume.vfs.core import Core

T = TypeVar("T")
_TRIES_MAX = 5
Chunks = list[tuple[ChunkNo, tuple[Slice, ...]]]
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stored:
    """A local file whose bytes the volume has, and the records that show them."""

    size_bytes: int
    chunks: Chunks


class LocalFiles:
    """Moves whole files between the volume and this host's whole-file cache."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def open_local(self, ino: Ino) -> Path:
        """Return the local file with the inode's bytes, fetching it at most once per host.

        Raises FsError, MissingBlock, CorruptRecord, Unavailable; Gone if the file keeps changing.
        """
        core = self._core

        def fetch(attr: Attr, chunks: Chunks) -> Path:
            name = core.whole_files.name_of(attr.length, chunks)
            return core.whole_files.fetch(name, partial(self._fill, attr, chunks))

        return self._while_compacted(ino, fetch)

    def download(self, ino: Ino, local: Path, progress: transfer.Progress) -> int:
        """Write the inode's bytes to the new local file `local`; returns them.

        Raises as `open_local`, OSError of the local disk.
        """
        core = self._core

        def fetch(attr: Attr, chunks: Chunks) -> int:
            file.truncate(0)
            transfer.download(
                chunks, attr.length, file.fileno(), core.source, core.downloads, progress
            )
            return attr.length

        with local.open("xb") as file:
            return self._while_compacted(ino, fetch)

    def store(self, ino: Ino, local: Path, progress: transfer.Progress) -> Stored:
        """Write the local file's bytes into the new, empty file `ino`.

        Raises StorageFull, Unavailable, CommitUnknown, FsError.
        """
        core = self._core
        chunks: Chunks = []
        with local.open("rb") as file:
            size_bytes = os.fstat(file.fileno()).st_size
            for chunk_no, record in transfer.upload(
                file.fileno(),
                size_bytes,
                core.blocks,
                core.uploads,
                core.meta.new_slice_id,
                progress,
            ):
                core.meta.write_slice(ino, chunk_no, record, core.clock.wall_ns())
                chunks.append((chunk_no, (record,)))
        return Stored(size_bytes, chunks)

    def adopt(self, stored: Stored, local: Path) -> None:
        """Let the local file become the local copy of what it was stored as; it may be moved.

        The volume has its bytes: a cache that refuses is no failure.
        """
        files = self._core.whole_files
        try:
            files.adopt(files.name_of(stored.size_bytes, stored.chunks), local)
        except OSError as error:
            log.warning("the finished file is not kept on this host: %s", error)

    def _while_compacted(self, ino: Ino, fetch: Callable[[Attr, Chunks], T]) -> T:
        """Return what `fetch` makes of the file; again if compaction took its blocks away."""
        for _ in range(_TRIES_MAX):
            attr, chunks = self._snapshot(ino)
            try:
                fetched = fetch(attr, chunks)
            except MissingBlock:
                if self._snapshot(ino)[1] == chunks:
                    raise
            else:
                self._core.accessed(ino, attr)
                return fetched
        raise Gone(f"inode {ino} changed {_TRIES_MAX} times while it was copied")

    def _snapshot(self, ino: Ino) -> tuple[Attr, Chunks]:
        """Return attributes and records that belong together."""
        meta = self._core.meta
        before = meta.getattr(ino)
        for _ in range(_TRIES_MAX):
            numbers = map(ChunkNo, range(chunk_count(before.length)))
            chunks = [(chunk_no, meta.read_chunk(ino, chunk_no)) for chunk_no in numbers]
            after = meta.getattr(ino)
            if (after.length, after.mtime_ns) == (before.length, before.mtime_ns):
                return before, chunks
            before = after
        raise Gone(f"inode {ino} keeps changing; only finished files have a local copy")

    def _fill(self, attr: Attr, chunks: Chunks, descriptor: int) -> None:
        core = self._core
        transfer.download(chunks, attr.length, descriptor, core.source, core.downloads)
