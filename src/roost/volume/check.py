"""Is everything there that the metadata names?  Nothing is changed.

Metadata judges itself (`Meta.check`).  Here, every slice that a record or a reference count names
must have all its blocks in the store with the right size, and with `read_blocks` each block is
fetched and decoded.  Objects that no slice names are counted; younger than an hour they may belong
to a write under way.
Source: the volume format reference, section 5.1; JuiceFS cmd/fsck.go.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

from roost.clock import Clock, SystemClock
from roost.errors import Damage
from roost.volume.client import VolumeClient
from roost.volume.data.blocks import BlockRef, Blocks
from roost.volume.data.pool import BoundedPool
from roost.volume.layout import parse_block_key
from roost.volume.meta.api import Meta
from roost.volume.model import Ino, Kind, Problem, SliceId

LEAK_AGE_S = 3600
_IN_FLIGHT_MAX = 64


@dataclass(frozen=True, slots=True)
class DamagedBlock:
    """A block that is not as the metadata says; `inos` are the files that show it."""

    key: str
    why: str
    inos: tuple[Ino, ...]


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a check found."""

    slices: int
    blocks: int
    blocks_bytes: int  # before compression
    damaged: tuple[DamagedBlock, ...]
    metadata: tuple[Problem, ...]
    leaked: tuple[str, ...]  # objects older than an hour that no slice names

    @property
    def is_clean(self) -> bool:
        """True if no data is damaged and no metadata wrong."""
        return not self.damaged and not any(problem.fatal for problem in self.metadata)


def check_volume(
    client: VolumeClient,
    *,
    read_blocks: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
    clock: Clock | None = None,
) -> CheckReport:
    """Check objects and metadata.  `progress` is told (blocks done, blocks in all)."""
    core = client.core
    slices = _slices(client.meta)
    refs = [
        ref for slice_id, (size, _) in slices.items() for ref in core.blocks.refs(slice_id, size)
    ]
    found = {info.key: info for info in core.blocks.store.list("chunks/")}
    damaged: list[DamagedBlock] = []
    sound: list[BlockRef] = []
    for ref in refs:
        info = found.pop(core.blocks.key(ref), None)
        why = _size_problem(core.blocks, ref, None if info is None else info.size_bytes)
        if why is None:
            sound.append(ref)
        else:
            damaged.append(_damage(core.blocks, ref, why, slices))
    progress(len(damaged), len(refs))
    if read_blocks:
        done = len(damaged)
        for ref, error in _read_all(core.blocks, core.downloads, sound):
            done += 1
            progress(done, len(refs))
            if error is not None:
                damaged.append(_damage(core.blocks, ref, str(error), slices))
    old_ns = (clock or SystemClock()).wall_ns() - LEAK_AGE_S * 1_000_000_000
    return CheckReport(
        slices=len(slices),
        blocks=len(refs),
        blocks_bytes=sum(ref.size_bytes for ref in refs),
        damaged=tuple(sorted(damaged, key=lambda d: d.key)),
        metadata=client.meta.check(),
        leaked=tuple(key for key, info in found.items() if _is_leaked(key, info.mtime_ns, old_ns)),
    )


def _slices(meta: Meta) -> dict[SliceId, tuple[int, set[Ino]]]:
    """Return size and files of every slice that records name."""
    slices: dict[SliceId, tuple[int, set[Ino]]] = {}
    for chunk in meta.list_slices():
        for record in chunk.slices:
            if record.id:
                slices.setdefault(record.id, (record.size, set()))[1].add(chunk.ino)
    for delayed in meta.delayed_slices(1 << 62):
        for ref in delayed.slices:
            slices.setdefault(ref.id, (ref.size, set()))
    return slices


def _size_problem(blocks: Blocks, ref: BlockRef, stored_bytes: int | None) -> str | None:
    if stored_bytes is None:
        return "the object is missing"
    if blocks.compression.keeps_bytes:
        if stored_bytes != ref.size_bytes:
            return f"the object has {stored_bytes} bytes instead of {ref.size_bytes}"
    elif not 0 < stored_bytes <= blocks.compression.stored_bytes_max(ref.size_bytes):
        return f"the object has {stored_bytes} bytes for a block of {ref.size_bytes}"
    return None


def _read_all(
    blocks: Blocks, pool: BoundedPool, refs: list[BlockRef]
) -> Iterator[tuple[BlockRef, Damage | None]]:
    """Fetch and decode every block, several at a time; anything but damage is raised."""
    window: list[tuple[BlockRef, Future[Damage | None]]] = []
    for ref in refs:
        if len(window) >= _IN_FLIGHT_MAX:
            first, future = window.pop(0)
            yield first, future.result()
        window.append((ref, pool.submit(partial(_read, blocks, ref))))
    for ref, future in window:
        yield ref, future.result()


def _read(blocks: Blocks, ref: BlockRef) -> Damage | None:
    try:
        blocks.get(ref)
    except Damage as error:
        return error
    return None


def _damage(
    blocks: Blocks, ref: BlockRef, why: str, slices: dict[SliceId, tuple[int, set[Ino]]]
) -> DamagedBlock:
    name = f"{blocks.store.name}{blocks.key(ref)}"
    return DamagedBlock(name, why.removeprefix(f"{name}: "), tuple(sorted(slices[ref.slice_id][1])))


def _is_leaked(key: str, mtime_ns: int, old_ns: int) -> bool:
    return mtime_ns < old_ns and parse_block_key(key) is not None


def paths_of(client: VolumeClient, inos: frozenset[Ino]) -> dict[Ino, str]:
    """Return a path of each inode that has one, by a walk over the whole tree."""
    found: dict[Ino, str] = {}
    folders = ["/"]
    while folders and len(found) < len(inos):
        folder = folders.pop()
        for entry in client.readdir(folder):
            path = f"{folder.rstrip('/')}/{os.fsdecode(entry.name)}"
            if entry.ino in inos:
                found.setdefault(entry.ino, path)
            if entry.kind is Kind.DIRECTORY:
                folders.append(path)
    return found
