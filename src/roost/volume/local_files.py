"""Finished files as local files, and local files as finished files."""

import os
from functools import partial
from pathlib import Path

from roost.errors import Gone, MissingBlock
from roost.volume.data import transfer
from roost.volume.layout import chunk_count
from roost.volume.model import Attr, ChunkNo, Ino, Slice
from roost.volume.vfs.core import Core

_TRIES_MAX = 5


class LocalFiles:
    """Moves whole files between the volume and this host's whole-file cache."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def open_local(self, ino: Ino) -> Path:
        """Return the local file with the inode's bytes, fetching it at most once per host.

        Raises FsError, MissingBlock, CorruptRecord, Unavailable; Gone if the file keeps changing.
        """
        core = self._core
        for _ in range(_TRIES_MAX):
            attr, chunks = self._snapshot(ino)
            name = core.whole_files.name_of(attr.length, chunks)
            fill = partial(self._fill, attr, chunks)
            try:
                return core.whole_files.fetch(name, fill)
            except MissingBlock:
                if self._snapshot(ino)[1] == chunks:  # else compaction took the blocks away
                    raise
        raise Gone(f"inode {ino} changed {_TRIES_MAX} times while it was copied")

    def download(self, ino: Ino, local: Path, progress: transfer.Progress) -> int:
        """Write the inode's bytes to the new local file `local`; returns them.

        Raises as `open_local`, OSError of the local disk.
        """
        attr, chunks = self._snapshot(ino)
        core = self._core
        with local.open("xb") as file:
            transfer.download(
                chunks, attr.length, file.fileno(), core.source, core.downloads, progress
            )
        return attr.length

    def store(self, ino: Ino, local: Path, *, keep: bool, progress: transfer.Progress) -> int:
        """Write the local file's bytes into the new, empty file `ino`; returns how many.

        With `keep` the local file becomes the local copy and must not be used afterwards.
        Raises StorageFull, Unavailable, CommitUnknown, FsError.
        """
        core = self._core
        chunks: list[tuple[ChunkNo, tuple[Slice, ...]]] = []
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
        if keep:
            core.whole_files.adopt(core.whole_files.name_of(size_bytes, chunks), local)
        return size_bytes

    def _snapshot(self, ino: Ino) -> tuple[Attr, list[tuple[ChunkNo, tuple[Slice, ...]]]]:
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

    def _fill(
        self, attr: Attr, chunks: list[tuple[ChunkNo, tuple[Slice, ...]]], descriptor: int
    ) -> None:
        core = self._core
        transfer.download(chunks, attr.length, descriptor, core.source, core.downloads)
