"""Cloning: a copy of a file or a tree that shares the data of the original.

A file is copied in one commit, so as of one moment, with a reference more on each slice.  A tree is
built below a directory that has no name yet and is noted as detached; one last commit gives it its
name.  Whatever stops the clone before, the note says what to remove.
Source: the volume format reference, section 4.3.
"""

import errno
import logging
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from roost.errors import RoostError
from roost.volume.errors import FsError, InodeTaken
from roost.volume.layout import chunk_count
from roost.volume.meta import dir_times, rules, summary, tree_removal, usage
from roost.volume.meta.answers import CloneOptions, Progress
from roost.volume.meta.effects import (
    AddEdge,
    AddNode,
    AddSliceRefs,
    AppendSlices,
    ChangeNode,
    DropDetached,
    Effect,
    NodeChange,
    PutDetached,
    PutDirUsage,
    PutSymlink,
    PutXattr,
)
from roost.volume.meta.open_volume import INOS_AT_ONCE, OpenVolume
from roost.volume.meta.reads import EdgeWanted, NodeWanted, Reads, SlicesWanted, Wanted
from roost.volume.meta.remove import drop_node
from roost.volume.meta.txn import Txn
from roost.volume.model import (
    NODE_SPACE_BYTES,
    Attr,
    Caller,
    ChunkNo,
    DetachedNode,
    DirUsage,
    Edge,
    Flag,
    Ino,
    Kind,
    Node,
)

NODES_AT_ONCE = 100  # of one commit
RECORDS_AT_ONCE = 10_000  # slices of one commit, unless one file has more
_WAITING_PER_THREAD = 2

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CloneTask:
    """Where a copy is to go, and how it is made."""

    parent: Ino
    name: bytes
    caller: Caller
    options: CloneOptions
    progress: Progress


@dataclass(frozen=True, slots=True)
class _Source:
    """A node to be copied, with what was found of it before the commit."""

    ino: Ino
    name: bytes  # of the copy
    new_ino: Ino
    xattrs: tuple[tuple[bytes, bytes], ...]
    target: bytes | None  # of a symbolic link
    chunks: tuple[ChunkNo, ...]
    record_count: int  # in all chunks


def clone(volume: OpenVolume, source: Ino, task: CloneTask) -> Node:
    """Copy a node, with all below it, and return the copy.

    Raises FsError: ENOENT, EEXIST, EACCES; EPERM the trash or an immutable directory; ENOSPC and
    EDQUOT before anything is copied.
    """
    if not task.name:
        raise FsError(errno.ENOENT, task.parent)
    rules.check_new_name(task.parent, task.name)
    if rules.is_trash(source):
        raise FsError(errno.EPERM, source)
    attr = volume.engine.read(lambda reads: rules.found(source, reads.node(source)))
    try:
        if attr.is_directory:
            return _clone_tree(volume, source, task)
        return _clone_single(volume, source, task)
    except InodeTaken as error:
        volume.inos.skip(error.ino, INOS_AT_ONCE)  # so that the next one succeeds
        raise


def _clone_single(volume: OpenVolume, source: Ino, task: CloneTask) -> Node:
    (described,) = _describe(volume, [(task.name, source)])

    def copy(txn: Txn) -> Node:
        _load(txn, task.parent, [described])
        folder = rules.directory_to_add_to(txn, task.parent, txn.node(task.parent), task.caller)
        if txn.edge(task.parent, task.name) is not None:
            raise FsError(errno.EEXIST, task.parent, task.name)
        copied, effects = _copy(txn, described, task.parent, task)
        above = usage.quota_dirs(txn, volume, task.parent)
        size = usage.as_child(copied)
        usage.check_growth(txn, volume, copied, above, size.space_bytes, 1)
        txn.do(*effects)
        dir_times.touch(txn, volume, task.parent, folder)
        usage.charge_node(txn, volume, copied, size.space_bytes, 1)
        usage.charge_name(txn, volume, task.parent, above, size)
        return Node(described.new_ino, copied)

    node = volume.engine.run(copy)
    task.progress(1, 1)
    return node


# ---- trees
def _clone_tree(volume: OpenVolume, source: Ino, task: CloneTask) -> Node:
    size = summary.summary(volume, source, strict=False)
    root = _begin(volume, source, task, DirUsage(0, size.space_bytes, size.inodes))
    try:
        made = _Builder(volume, task, size.inodes).build(source, root)
        return _attach(volume, root, task, made)
    except BaseException:
        discard(volume, root)
        raise


def _begin(volume: OpenVolume, source: Ino, task: CloneTask, size: DirUsage) -> Ino:
    """Make the root of the copy, without a name, after asking for room for all of it."""
    (described,) = _describe(volume, [(task.name, source)])

    def make(txn: Txn) -> Ino:
        _load(txn, task.parent, [described])
        rules.directory_to_add_to(txn, task.parent, txn.node(task.parent), task.caller)
        if txn.edge(task.parent, task.name) is not None:
            raise FsError(errno.EEXIST, task.parent, task.name)
        copied, effects = _copy(txn, described, task.parent, task, is_named=False)
        above = usage.quota_dirs(txn, volume, task.parent)
        usage.check_growth(txn, volume, copied, above, size.space_bytes, size.inodes)
        txn.do(*effects, PutDetached(DetachedNode(described.new_ino, txn.now_s)))
        if volume.settings.dir_stats:
            txn.do(PutDirUsage(described.new_ino, DirUsage()))
        usage.charge_node(txn, volume, copied, NODE_SPACE_BYTES, 1)
        return described.new_ino

    return volume.engine.run(make)


def _attach(volume: OpenVolume, root: Ino, task: CloneTask, size: DirUsage) -> Node:
    """Give the finished copy its name."""

    def attach(txn: Txn) -> Node:
        txn.load(NodeWanted(task.parent), EdgeWanted(task.parent, task.name), NodeWanted(root))
        folder = rules.directory_to_add_to(txn, task.parent, txn.node(task.parent), task.caller)
        if txn.edge(task.parent, task.name) is not None:
            raise FsError(errno.EEXIST, task.parent, task.name)
        attr = rules.found(root, txn.exact_node(root))
        if txn.detached(root) is None:
            raise FsError(errno.ENOENT, root)  # Another client took it for left over.
        above = usage.quota_dirs(txn, volume, task.parent)
        txn.do(
            AddEdge(task.parent, task.name, Edge(Kind.DIRECTORY, root)),
            DropDetached(root),
        )
        dir_times.touch(txn, volume, task.parent, folder, nlink_by=1)
        usage.charge_name(txn, volume, task.parent, (), usage.as_child(attr))
        usage.charge_quotas(txn, above, size.space_bytes, size.inodes)
        return Node(root, attr)

    return volume.engine.run(attach)


class _Builder:
    """Fills the detached copy of a tree, several commits at once.  Used by one thread."""

    def __init__(self, volume: OpenVolume, task: CloneTask, expected: int) -> None:
        self._volume = volume
        self._task = task
        self._expected = expected
        self._made = DirUsage(0, NODE_SPACE_BYTES, 1)
        self._under_way: deque[Future[list[tuple[_Source, Attr]]]] = deque()
        self._folders: deque[tuple[Ino, Ino]] = deque()

    def build(self, source: Ino, root: Ino) -> DirUsage:
        """Copy all below `source` to below `root`; return what was made, the root included."""
        threads = max(self._task.options.threads, 1)
        self._folders.append((source, root))
        with ThreadPoolExecutor(threads, thread_name_prefix="roost-clone") as pool:
            while self._folders or self._under_way:
                if not self._folders:
                    self._settle()
                    continue
                folder, copy = self._folders.popleft()
                for batch in self._batches(folder):
                    while len(self._under_way) >= threads * _WAITING_PER_THREAD:
                        self._settle()
                    self._under_way.append(pool.submit(self._copy_batch, batch, copy))
        return self._made

    def _batches(self, folder: Ino) -> Iterator[list[tuple[bytes, Ino]]]:
        caller = self._task.caller
        engine = self._volume.engine

        def permitted_page(after: bytes | None) -> list[tuple[bytes, Ino]]:
            def read_page(reads: Reads) -> list[tuple[bytes, Ino]]:
                attr = reads.node(folder)
                if attr is None:
                    return []  # Removed meanwhile.
                rules.demand(reads, folder, attr, caller, rules.READ | rules.EXECUTE)
                rows = reads.entries(folder, after, NODES_AT_ONCE)
                return [(name, edge.ino) for name, edge in rows]

            return engine.read(read_page)

        page = permitted_page(None)
        while page:
            yield page
            page = permitted_page(page[-1][0])

    def _copy_batch(
        self, entries: list[tuple[bytes, Ino]], folder: Ino
    ) -> list[tuple[_Source, Attr]]:
        """Copy nodes into a directory of the copy; return them with their copies' attributes."""
        volume = self._volume
        copies: list[tuple[_Source, Attr]] = []
        for some in _bounded(_describe(volume, entries)):
            copies += volume.engine.run(partial(self._copy_some, some, folder))
        return copies

    def _copy_some(
        self, described: list[_Source], folder: Ino, txn: Txn
    ) -> list[tuple[_Source, Attr]]:
        """Copy nodes in one commit; return them with their copies' attributes."""
        _load(txn, folder, described)
        rules.directory(folder, txn.node(folder))
        effects: list[Effect] = []
        copies: list[tuple[_Source, Attr]] = []
        for one in described:
            if txn.node(one.ino) is None:
                continue  # Removed meanwhile: the copy is as of after that.
            copied, its_effects = _copy(txn, one, folder, self._task)
            effects += its_effects
            copies.append((one, copied))
        txn.do(*effects)
        _charge(txn, self._volume, folder, copies)
        return copies

    def _settle(self) -> None:
        copies = self._under_way.popleft().result()
        sizes = (usage.as_child(copied) for _, copied in copies)
        self._made = usage.total([self._made, *sizes])
        self._folders.extend((one.ino, one.new_ino) for one, c in copies if c.is_directory)
        self._task.progress(self._made.inodes, max(self._expected, self._made.inodes))


def _charge(txn: Txn, volume: OpenVolume, folder: Ino, copies: list[tuple[_Source, Attr]]) -> None:
    """Charge nodes made below a detached directory: no quota counts them before it has a name."""
    directories = sum(copied.is_directory for _, copied in copies)
    for one, copied in copies:
        if copied.is_directory and volume.settings.dir_stats:
            txn.do(PutDirUsage(one.new_ino, DirUsage()))
        usage.charge_node(txn, volume, copied, usage.space_of(copied), 1)
    if directories:
        txn.do(ChangeNode(folder, NodeChange(nlink_by=directories)))
    total = usage.total(usage.as_child(copied) for _, copied in copies)
    usage.charge_name(txn, volume, folder, (), total)


# ---- single nodes
def _describe(volume: OpenVolume, entries: list[tuple[bytes, Ino]]) -> list[_Source]:
    """Find what is to be read of nodes, in few round trips; the commit reads it again."""
    inos = [ino for _, ino in entries]
    with volume.engine.scan() as scans:
        xattrs, targets = scans.xattrs_of(inos), scans.symlinks_of(inos)
        chunks = scans.slices_of(inos)
    return [
        _Source(
            ino=ino,
            name=name,
            new_ino=Ino(volume.inos.take()),
            xattrs=tuple(xattrs.get(ino, ())),
            target=targets.get(ino),
            chunks=tuple(chunk.chunk_no for chunk in chunks.get(ino, ())),
            record_count=sum(len(chunk.slices) for chunk in chunks.get(ino, ())),
        )
        for name, ino in entries
    ]


def _bounded(sources: list[_Source]) -> Iterator[list[_Source]]:
    """Yield the nodes of one commit each."""
    some: list[_Source] = []
    records = 0
    for one in sources:
        if some and records + one.record_count > RECORDS_AT_ONCE:
            yield some
            some, records = [], 0
        some.append(one)
        records += one.record_count
    yield some


def _load(txn: Txn, parent: Ino, sources: list[_Source]) -> None:
    wanted: list[Wanted] = [NodeWanted(parent)]
    for one in sources:
        wanted += [NodeWanted(one.ino), EdgeWanted(parent, one.name)]
        wanted += [SlicesWanted(one.ino, chunk_no) for chunk_no in one.chunks]
    txn.load(*dict.fromkeys(wanted))  # one node may have several names


def _copy(
    txn: Txn, source: _Source, parent: Ino, task: CloneTask, *, is_named: bool = True
) -> tuple[Attr, list[Effect]]:
    """Return the copy's attributes, and the effects that make it.  Only reads."""
    attr = rules.found(source.ino, txn.exact_node(source.ino))
    rules.demand(txn, source.ino, attr, task.caller, rules.READ)
    copied = _copied_attr(attr, parent, task, txn.now_ns)
    effects: list[Effect] = [AddNode(source.new_ino, copied)]
    if is_named:
        effects.append(AddEdge(parent, source.name, Edge(attr.kind, source.new_ino)))
    effects += [PutXattr(source.new_ino, name, value) for name, value in source.xattrs]
    if attr.kind is Kind.SYMLINK:
        target = txn.symlink(source.ino) if source.target is None else source.target
        effects.append(PutSymlink(source.new_ino, target or b""))
    if not attr.is_file:
        return copied, effects
    # Chunks that came since have changed mtime, so the commit will find another node.
    for chunk_no in source.chunks:
        if chunk_no >= chunk_count(attr.length):
            continue  # Cut off; zeros hide it in the original.
        records = txn.slices(source.ino, chunk_no)
        effects.append(AppendSlices(source.new_ino, chunk_no, records))
        effects += [AddSliceRefs(s.id, 1, s.size) for s in records if s.id]
    return copied, effects


def _copied_attr(attr: Attr, parent: Ino, task: CloneTask, now_ns: int) -> Attr:
    """Return the attributes of a copy; protections of the original do not go along."""
    flags = attr.flags & ~int(Flag.IMMUTABLE | Flag.APPEND_ONLY)
    nlink = 2 if attr.is_directory else 1
    copied = replace(attr, parent=parent, nlink=nlink, flags=flags)
    if task.options.preserve:
        return copied
    return replace(
        copied,
        uid=task.caller.uid,
        gid=task.caller.gid,
        mode=attr.mode & ~task.options.umask,
        atime_ns=now_ns,
        mtime_ns=now_ns,
        ctime_ns=now_ns,
    )


# ---- what stopped clones leave
def discard(volume: OpenVolume, root: Ino) -> bool:
    """Remove an unfinished clone; False if it has become a part of the tree after all."""
    if volume.engine.read(lambda reads: reads.detached(root)) is None:
        return False
    tree_removal.empty_for_good(volume, root)

    def drop(txn: Txn) -> bool:
        attr = txn.node(root)
        if txn.detached(root) is None or (attr is not None and txn.has_entries(root)):
            return False
        txn.do(DropDetached(root))
        if attr is not None:
            txn.do(PutDirUsage(root, None))
            drop_node(txn, volume, root, attr)
        return True

    return volume.engine.run(drop)


def clean_detached(volume: OpenVolume, older_than_s: int) -> int:
    """Remove unfinished clones at least so old; return how many.  One that fails waits."""
    with volume.engine.scan() as scans:
        nodes = scans.detached_nodes()
    gone = 0
    for node in nodes:
        if node.added_s > volume.now_s - older_than_s:
            continue
        try:
            gone += discard(volume, node.ino)
        except RoostError as error:
            log.warning("an unfinished clone stays: ino=%d error=%s", node.ino, error)
    return gone
