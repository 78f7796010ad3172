"""Block objects beside the slices that metadata knows, joined in constant memory.

The store's listing becomes compact records, which are joined with the metadata's by slice id.
Every object is then valid, or of a slice that is unknown, or no block of its slice; and every block
of a slice in use is there, or missing, or has a size that cannot be.
Source: the volume format reference, sections 5.1 and 6.4.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from roost.volume.data.blocks import BlockRef, Blocks
from roost.volume.model import Ino, SliceId
from roost.volume.sorted_records import Records, SortedRecords

OBJECT = np.dtype(
    [("id", "u8"), ("stored", "u8"), ("mtime_s", "i8"), ("block_no", "u4"), ("size", "u4")]
)
"""A block object: `size` is the block's by its name, `stored` the object's own; bytes."""

PAGE_ROWS = 8192
STRANGE_KEPT_MAX = 1000
_ANY_BYTES = 1 << 62
_NAME = re.compile(r"([1-9]\d{0,18})_(0|[1-9]\d{0,4})_([1-9]\d{0,8})")
_PREFIX = "chunks/"

Progress = Callable[[int, int], None]
"""Told (done, in all)."""
Bools = npt.NDArray[np.bool_]
Places = npt.NDArray[np.intp]


class Listing:
    """All objects below `chunks/`; `strange` are names that no block can have (some of them)."""

    def __init__(self, blocks: Blocks, *, hash_prefix: bool) -> None:
        self.objects = SortedRecords(OBJECT, "id")
        self.strange: list[str] = []
        self.strange_count = 0
        self.stored_bytes = 0
        self._blocks = blocks
        # Slices of a thousand share a folder, unless folders are made from the id's last byte.
        self._ids_per_folder = 1 if hash_prefix else 1000

    def read(self, progress: Progress, total: int = 0) -> None:
        """List the store.  Raises Unavailable, CorruptRecord."""
        rows: list[tuple[int, int, int, int, int]] = []
        folder, group = "", 0  # a slice of this group has its place in this folder
        for info in self._blocks.store.list(_PREFIX):
            key = info.key
            cut = key.rfind("/") + 1
            found = _NAME.fullmatch(key, cut)
            if found is None:
                self._note(key)
                continue
            slice_id, block_no, size = map(int, found.groups())
            if key[:cut] != folder or slice_id // self._ids_per_folder != group:
                folder, group = key[:cut], slice_id // self._ids_per_folder
                if key != self._blocks.key(BlockRef(SliceId(slice_id), block_no, size)):
                    folder = ""  # no other key is compared with it
                    self._note(key)
                    continue
            rows.append((slice_id, info.size_bytes, info.mtime_ns // 1_000_000_000, block_no, size))
            self.stored_bytes += info.size_bytes
            if len(rows) == PAGE_ROWS:
                self._add(rows)
                progress(self.objects.count, total)
        self._add(rows)
        progress(self.objects.count, total)

    def _note(self, key: str) -> None:
        self.strange_count += 1
        if len(self.strange) < STRANGE_KEPT_MAX:
            self.strange.append(key)

    def _add(self, rows: list[tuple[int, int, int, int, int]]) -> None:
        if rows:
            self.objects.add(np.array(rows, OBJECT))
            rows.clear()

    def close(self) -> None:
        """Let go of temporary files."""
        self.objects.close()


class StoredSizes:
    """What size the object of a block may have.

    An encrypted object is larger than what is encrypted; by how much depends on the key, so only
    reading it shows that its end is missing.
    """

    def __init__(self, blocks: Blocks, *, is_encrypted: bool) -> None:
        self._compression = blocks.compression
        self._is_encrypted = is_encrypted

    def problem(self, size_bytes: int, stored_bytes: int) -> str | None:
        """Return why an object of `stored_bytes` is not the block of `size_bytes`."""
        least, most = self._limits(size_bytes)
        if least <= stored_bytes <= most:
            return None
        wanted = "instead of" if least == most else "for a block of"
        return f"the object has {stored_bytes} bytes {wanted} {size_bytes}"

    def odd(self, objects: Records) -> Bools:
        """Return which OBJECT records have a size that cannot be."""
        sizes, place = np.unique(objects["size"], return_inverse=True)
        if not len(sizes):
            return np.zeros(0, np.bool_)
        limits = np.array([self._limits(int(one)) for one in sizes], np.int64)
        stored = objects["stored"].astype(np.int64)
        odd: Bools = (stored < limits[place, 0]) | (stored > limits[place, 1])
        return odd

    def _limits(self, size_bytes: int) -> tuple[int, int]:
        keeps = self._compression.keeps_bytes
        least = size_bytes if keeps else 1
        most = size_bytes if keeps else self._compression.stored_bytes_max(size_bytes)
        return (least + 1, _ANY_BYTES) if self._is_encrypted else (least, most)


@dataclass(frozen=True, slots=True)
class Match:
    """One range of slice ids: the slices known, and what the objects of the range are.

    `ids` and `sizes` are the slices that records use, then those that are only counted; `live` says
    which are used by a file, `kept` which only by the trash of compactions.
    """

    ids: npt.NDArray[np.uint64]
    sizes: npt.NDArray[np.int64]
    live: Bools
    kept: Bools
    objects: Records
    at: Places  # the slice of each object; 0 if there is none
    is_known: Bools  # of each object: its slice is known
    is_valid: Bools  # of each object: it is a block of its slice
    is_odd: Bools  # of each object: valid, with a size that cannot be

    @property
    def in_use(self) -> Bools:
        """Which slices need all their blocks."""
        return self.live | self.kept


def match(
    used: Records, counted: Records, objects: Records, block_bytes: int, sizes_allowed: StoredSizes
) -> Match:
    """Join one range of the three tables."""
    ids, starts = np.unique(used["id"], return_index=True)
    sizes = used["size"][starts].astype(np.int64)
    live = np.zeros(len(ids), np.bool_)
    is_torn = np.zeros(len(ids), np.bool_)
    if len(ids):
        live = np.maximum.reduceat(used["ino"], starts) > 0
        sizes = np.maximum.reduceat(used["size"], starts).astype(np.int64)
        is_torn = np.minimum.reduceat(used["size"], starts) != sizes
    only_counted = counted[~np.isin(counted["id"], ids)]
    kept = np.concatenate([~live, np.zeros(len(only_counted), np.bool_)])
    live = np.concatenate([live, np.zeros(len(only_counted), np.bool_)])
    is_torn = np.concatenate([is_torn, np.zeros(len(only_counted), np.bool_)])
    ids = np.concatenate([ids, only_counted["id"]])
    sizes = np.concatenate([sizes, only_counted["size"].astype(np.int64)])
    order = np.argsort(ids, kind="stable")
    ids, sizes, live, kept = ids[order], sizes[order], live[order], kept[order]

    at = np.searchsorted(ids, objects["id"])
    at[at == len(ids)] = 0
    is_known = np.zeros(len(objects), np.bool_)
    if len(ids):
        is_known = ids[at] == objects["id"]
    is_valid = is_known.copy()
    if len(ids):
        rest = sizes[at] - objects["block_no"].astype(np.int64) * block_bytes
        is_block = (rest > 0) & (objects["size"] == np.minimum(rest, block_bytes))
        # Records that differ in a slice's size are damage: which of its objects belong to it is
        # open, so none is garbage.
        is_valid &= is_block | is_torn[order][at]
    is_odd = is_valid & sizes_allowed.odd(objects)
    return Match(ids, sizes, live, kept, objects, at, is_known, is_valid, is_odd)


def block_counts(sizes: npt.NDArray[np.int64], block_bytes: int) -> npt.NDArray[np.int64]:
    """Return how many blocks slices of these sizes have."""
    return (sizes + block_bytes - 1) // block_bytes


def missing_blocks(found: Match, blocks: Blocks) -> Iterator[BlockRef]:
    """Yield the blocks of slices in use that no object is."""
    wanted = block_counts(found.sizes, blocks.block_bytes)
    have = np.bincount(found.at[found.is_valid], minlength=len(found.ids))
    for at in np.flatnonzero(found.in_use & (have < wanted)):
        there = found.objects["block_no"][found.is_valid & (found.at == at)]
        slice_id = SliceId(int(found.ids[at]))
        for ref in blocks.refs(slice_id, int(found.sizes[at])):
            if ref.block_no not in there:
                yield ref


def object_ref(row: np.void) -> BlockRef:
    """Return the block that an OBJECT record is."""
    return BlockRef(SliceId(int(row["id"])), int(row["block_no"]), int(row["size"]))


def owners(used: Records, slice_id: SliceId) -> tuple[tuple[Ino, int], ...]:
    """Return the files (inode, chunk) of a range's records that show the slice."""
    first = int(np.searchsorted(used["id"], slice_id, side="left"))
    last = int(np.searchsorted(used["id"], slice_id, side="right"))
    return tuple(
        sorted({(Ino(int(r["ino"])), int(r["chunk_no"])) for r in used[first:last] if r["ino"]})
    )
