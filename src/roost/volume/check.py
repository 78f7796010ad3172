"""Is everything there that the metadata names?  Nothing is changed.

Metadata is judged first (`meta.check`).  Then every slice that a record names must have all its
blocks in the store with the right size; with `read_blocks` each block is fetched and decoded too.
Objects that no slice names are counted; younger than an hour they may be of a write under way
(`leak_age_s`: nought once nobody writes).

Memory is constant but for sixteen bytes a directory: tables are joined through sorted files, and of
what is found at most FINDINGS_KEPT_MAX of each kind are kept; the counts are complete.  What looks
missing is asked for once more before it is reported.
Source: the volume format reference, section 5.1; JuiceFS cmd/fsck.go.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial

from roost.blob.store import BlobNotFound
from roost.clock import Clock, SystemClock
from roost.errors import CorruptRecord, Damage
from roost.volume.client import VolumeClient
from roost.volume.data.blocks import BlockRef, Blocks
from roost.volume.data.pool import BoundedPool
from roost.volume.meta.check_names import NameCheck
from roost.volume.meta.check_slices import RefCheck, SliceTables
from roost.volume.meta.damage import Unread, ignore, tell_damage
from roost.volume.meta.judge import Judge
from roost.volume.meta.reads import Reads
from roost.volume.meta.txn import Engine
from roost.volume.model import ChunkNo, Ino, Problem, Slice, SliceId
from roost.volume.sorted_records import Records, ranges
from roost.volume.tools.objects import (
    Listing,
    Match,
    StoredSizes,
    block_counts,
    match,
    missing_blocks,
    object_ref,
    owners,
)
from roost.volume.tools.steps import Progress, Steps
from roost.volume.tools.tree_paths import TreePaths

LEAK_AGE_S = 3600
FINDINGS_KEPT_MAX = 10_000  # of each kind
_IN_FLIGHT_MAX = 64


@dataclass(frozen=True, slots=True)
class DamagedBlock:
    """A block that is not as the metadata says; `inos` are the files that show it."""

    key: str
    why: str
    inos: tuple[Ino, ...]


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a check found.  The tuples hold at most FINDINGS_KEPT_MAX each; the counts are whole."""

    slices: int
    blocks: int
    blocks_bytes: int  # before compression
    damaged: tuple[DamagedBlock, ...]
    metadata: tuple[Problem, ...]
    leaked: tuple[str, ...]  # objects that no slice names, old enough
    damaged_count: int = 0
    metadata_count: int = 0
    leaked_count: int = 0
    strange: tuple[str, ...] = ()  # objects whose names no block has
    unread_count: int = 0  # records that do not parse; they are among `metadata`
    named_in: dict[Ino, Ino] = field(default_factory=dict)
    """Directories that name the inodes whose own record does not parse."""

    @property
    def is_clean(self) -> bool:
        """True if no data is damaged and no metadata wrong."""
        return not self.damaged and not any(problem.fatal for problem in self.metadata)


def check_volume(
    client: VolumeClient,
    *,
    read_blocks: bool = False,
    progress: Progress = lambda _done, _all: None,
    clock: Clock | None = None,
    leak_age_s: int = LEAK_AGE_S,
) -> CheckReport:
    """Check objects and metadata.  `progress` is told what is done, and an estimate of all.

    An object that no slice names is leaked once it is `leak_age_s` old.

    A record that does not parse is a problem like others, and the check goes on after it; what it
    refers to counts as unknown.  Raises Unavailable.
    """
    old_s = (clock or SystemClock()).wall_ns() // 1_000_000_000 - leak_age_s
    return _Check(client, old_s, progress, read_blocks=read_blocks).run()


@dataclass(slots=True)
class _Findings:
    """What was found so far."""

    slices: int = 0
    blocks: int = 0
    blocks_bytes: int = 0
    damaged: list[DamagedBlock] = field(default_factory=list)
    metadata: list[Problem] = field(default_factory=list)
    leaked: list[str] = field(default_factory=list)
    damaged_count: int = 0
    metadata_count: int = 0
    leaked_count: int = 0

    def add_damaged(self, one: DamagedBlock) -> None:
        self.damaged_count += 1
        if len(self.damaged) < FINDINGS_KEPT_MAX:
            self.damaged.append(one)

    def add_problems(self, found: Iterator[Problem]) -> None:
        for one in found:
            self.add_problem(one)

    def add_problem(self, one: Problem) -> None:
        self.metadata_count += 1
        # What is fatal is never crowded out by statistics that drifted.
        if len(self.metadata) < FINDINGS_KEPT_MAX:
            self.metadata.append(one)
        elif one.fatal and not self.metadata[-1].fatal:
            self.metadata[-1] = one


class _Check:
    def __init__(
        self, client: VolumeClient, old_s: int, progress: Progress, *, read_blocks: bool
    ) -> None:
        self._engine: Engine = client.meta.engine
        self._blocks: Blocks = client.core.blocks
        self._pool: BoundedPool = client.core.downloads
        self._hash_prefix = client.settings.hash_prefix
        self._sizes = StoredSizes(self._blocks, is_encrypted=client.settings.is_encrypted)
        self._old_s = old_s
        self._steps = Steps(progress)
        self._read_blocks = read_blocks
        self._found = _Findings()
        self._unread = Unread(self._found.add_problem)
        self._read_count = self._block_count = 0

    def run(self) -> CheckReport:
        found = self._found
        tables = SliceTables()
        listing = Listing(self._blocks, hash_prefix=self._hash_prefix)
        try:
            unread = self._unread
            with self._engine.scan() as scans:
                tell_damage(scans, unread.tell)
                tables.read(scans, told=unread.tell)
                deque(scans.all_deleted_files(), maxlen=0)  # each that does not parse is told of
                found.add_problems(iter(tables.far))
                names = NameCheck(scans, Judge(self._engine, unread.inos), self._steps, unread)
                found.add_problems(names.run(tables.owners))
            self._steps.next()
            # After the metadata: what is stored meanwhile is too young to be called leaked.
            listing.read(self._steps, tables.used.count)
            self._steps.next()
            self._block_count = listing.objects.count
            refs = RefCheck(self._engine)
            for used, counted, objects in ranges(tables.used, tables.counted, listing.objects):
                found.add_problems(refs.judge(used, counted))
                part = match(used, counted, objects, self._blocks.block_bytes, self._sizes)
                self._judge_objects(part, used)
            found.add_problems(refs.finish())
            self._steps.next()
        finally:
            tables.close()
            listing.close()
        return CheckReport(
            slices=found.slices,
            blocks=found.blocks,
            blocks_bytes=found.blocks_bytes,
            damaged=tuple(sorted(found.damaged, key=lambda one: one.key)),
            metadata=tuple(found.metadata),
            leaked=tuple(found.leaked),
            damaged_count=found.damaged_count,
            metadata_count=found.metadata_count,
            leaked_count=found.leaked_count,
            strange=tuple(listing.strange),
            unread_count=self._unread.count,
            named_in=self._unread.named_in,
        )

    def _judge_objects(self, part: Match, used: Records) -> None:
        found, in_use = self._found, part.in_use
        found.slices += int(in_use.sum())
        counts = block_counts(part.sizes[in_use], self._blocks.block_bytes)
        found.blocks += int(counts.sum())
        found.blocks_bytes += int(part.sizes[in_use].sum())
        for ref in missing_blocks(part, self._blocks):
            self._judge_again(ref, used)
        needed = part.is_valid & (in_use[part.at] if len(in_use) else part.is_valid)
        for row in part.objects[needed & part.is_odd]:
            self._judge_again(object_ref(row), used)
        if self._read_blocks:
            self._read_all(part.objects[needed & ~part.is_odd], used)
        lost = ~part.is_valid & (part.objects["mtime_s"] <= self._old_s)
        found.leaked_count += int(lost.sum())
        for row in part.objects[lost][: FINDINGS_KEPT_MAX - len(found.leaked)]:
            found.leaked.append(self._blocks.key(object_ref(row)))

    def _judge_again(self, ref: BlockRef, used: Records) -> None:
        """Ask once more for a block that looks missing or cut, and whether it is still in use."""
        files = owners(used, ref.slice_id)
        if files and not self._is_shown(ref.slice_id, files):
            return
        if not files and not self._is_kept(ref.slice_id):
            return
        key = self._blocks.key(ref)
        try:
            stored = self._blocks.store.head(key).size_bytes
        except BlobNotFound:
            self._damage(ref, "the object is missing", files)
            return
        why = self._sizes.problem(ref.size_bytes, stored)
        if why is not None:
            self._damage(ref, why, files)

    def _is_shown(self, slice_id: SliceId, files: tuple[tuple[Ino, int], ...]) -> bool:
        return any(self._shows(slice_id, ino, ChunkNo(chunk_no)) for ino, chunk_no in files)

    def _shows(self, slice_id: SliceId, ino: Ino, chunk_no: ChunkNo) -> bool:
        try:
            records = self._engine.read(partial(_slices, ino, chunk_no))
        except CorruptRecord:
            return True  # the readable rest of the chunk showed it
        return any(record.id == slice_id for record in records)

    def _is_kept(self, slice_id: SliceId) -> bool:
        with self._engine.scan() as scans:
            tell_damage(scans, ignore)
            return any(
                ref.id == slice_id for delayed in scans.all_delayed() for ref in delayed.slices
            )

    def _damage(self, ref: BlockRef, why: str, files: tuple[tuple[Ino, int], ...]) -> None:
        name = f"{self._blocks.store.name}{self._blocks.key(ref)}"
        inos = tuple(sorted({ino for ino, _ in files}))
        self._found.add_damaged(DamagedBlock(name, why.removeprefix(f"{name}: "), inos))

    def _read_all(self, rows: Records, used: Records) -> None:
        """Fetch and decode every block, several at a time; anything but damage is raised."""
        window: deque[tuple[BlockRef, Future[Damage | None]]] = deque()
        for row in rows:
            if len(window) >= _IN_FLIGHT_MAX:
                self._take(*window.popleft(), used)
            ref = object_ref(row)
            window.append((ref, self._pool.submit(partial(_read, self._blocks, ref))))
        while window:
            self._take(*window.popleft(), used)

    def _take(self, ref: BlockRef, future: "Future[Damage | None]", used: Records) -> None:
        error = future.result()
        self._read_count += 1
        self._steps(self._read_count, self._block_count)
        if error is None:
            return
        files = owners(used, ref.slice_id)
        if not files or self._is_shown(ref.slice_id, files):
            self._damage(ref, str(error), files)


def _slices(ino: Ino, chunk_no: ChunkNo, reads: Reads) -> tuple[Slice, ...]:
    return reads.slices(ino, chunk_no)


def _read(blocks: Blocks, ref: BlockRef) -> Damage | None:
    try:
        blocks.get(ref)
    except Damage as error:
        return error
    return None


def all_paths_of(client: VolumeClient, ino: Ino) -> tuple[str, ...]:
    """Return all paths of a node, in order.  Raises Unavailable."""
    with client.meta.engine.scan() as scans:
        return TreePaths(client.meta.engine, scans).all_of(ino)


def paths_of(
    client: VolumeClient, inos: frozenset[Ino], named_in: Mapping[Ino, Ino] | None = None
) -> dict[Ino, str]:
    """Return a path of each inode that has one, found upwards from its parents.

    `named_in` are directories of inodes whose records do not parse, as a CheckReport has them.

    Raises Unavailable.
    """
    with client.meta.engine.scan() as scans:
        return TreePaths(client.meta.engine, scans, named_in).of_all(sorted(inos))
