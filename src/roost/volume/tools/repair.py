"""Directories looked at one by one, and put right where their entries say what is right.

Repaired: a directory that is named but does not exist, its link count and parent, and its
statistics.  A file that is named but does not exist cannot be: it is reported.
Each repair is one commit, which is done only if the directory is still as it was looked at.
Source: JuiceFS cmd/fsck.go.
"""

import errno
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice

from roost.errors import CorruptRecord, RoostError
from roost.volume.errors import FsError
from roost.volume.meta.damage import ignore, nodes_or_damage, tell_damage
from roost.volume.meta.effects import (
    AddCounter,
    AddNode,
    ChangeNode,
    NodeChange,
    PutDirUsage,
)
from roost.volume.meta.lookup import resolve
from roost.volume.meta.reads import Reads, Scans
from roost.volume.meta.rules import is_trash
from roost.volume.meta.txn import Engine, Txn
from roost.volume.meta.usage import TOTAL_INODES, USED_SPACE, as_child
from roost.volume.model import (
    DIRECTORY_LENGTH_BYTES,
    NODE_SPACE_BYTES,
    SUPERUSER,
    Attr,
    DirUsage,
    Edge,
    Ino,
    Kind,
    Problem,
)
from roost.volume.tools.numbers_seen import NumbersSeen
from roost.volume.tools.steps import Progress

_PAGE = 1000
_ATTEMPTS_MAX = 3


@dataclass(frozen=True, slots=True)
class RepairOptions:
    """What to look at and do; `sync_stats` compares statistics of every directory too."""

    path: str = "/"
    recursive: bool = False
    repair: bool = False
    sync_stats: bool = False
    mode: int = 0o755  # of directories made anew


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a directory."""

    ino: Ino
    what: str
    repaired: bool


def look_at(
    engine: Engine, options: RepairOptions, progress: Progress = lambda _done, _all: None
) -> Iterator[Finding]:
    """Yield what is wrong below a path, repaired or not.

    Raises FsError if the path is not there; Unavailable.
    """
    top = resolve(engine, options.path, SUPERUSER, follow=True)
    if not top.attr.is_directory:
        raise FsError(errno.ENOTDIR, top.ino)
    folders = [top.ino]
    seen = NumbersSeen()
    met_again: dict[Ino, None] = {}
    done = 0
    while folders:
        ino = folders.pop()
        if not seen.add(ino):  # else a directory in itself would be walked for ever
            met_again[ino] = None
            continue
        found: dict[Finding, None] = {}
        for _ in range(_ATTEMPTS_MAX):
            directory = _Directory(engine, options, ino)
            is_done = directory.look()
            found.update(dict.fromkeys(directory.found))
            if is_done:
                break
        yield from found
        done += 1
        progress(done, 0)
        if options.recursive:
            folders += directory.subdirectories
    if met_again:
        for ino in _with_several_names(engine, options.path, top.ino, met_again):
            yield Finding(ino, "this directory has several names", repaired=False)


def _with_several_names(
    engine: Engine, path: str, top: Ino, met_again: Iterable[Ino]
) -> Iterator[Ino]:
    """Yield those of some directories that have several names; others were moved meanwhile."""
    places: dict[Ino, set[tuple[Ino, bytes, Edge]]] = {ino: set() for ino in met_again}
    folders = [top]
    seen = NumbersSeen()
    with engine.scan() as scans:
        tell_damage(scans, ignore)
        while folders:
            parent = folders.pop()
            if not seen.add(parent):
                continue
            for name, edge in scans.entries_of(parent):
                if edge.kind is Kind.DIRECTORY:
                    folders.append(edge.ino)
                    if edge.ino in places:
                        places[edge.ino].add((parent, name, edge))
    for ino, found in places.items():
        # A listing that is no snapshot may have met it in two places as well.
        names = engine.read(partial(_count_standing, found))
        if ino == top and _leads_to(engine, path, top):
            names += 1  # the one by which it was found
        if names > 1:
            yield ino


def _count_standing(entries: set[tuple[Ino, bytes, Edge]], reads: Reads) -> int:
    return sum(reads.edge(parent, name) == edge for parent, name, edge in entries)


def _leads_to(engine: Engine, path: str, ino: Ino) -> bool:
    try:
        return resolve(engine, path, SUPERUSER, follow=True).ino == ino
    except FsError:
        return False


class _Directory:
    """One look at one directory."""

    def __init__(self, engine: Engine, options: RepairOptions, ino: Ino) -> None:
        self.found: list[Finding] = []
        self.subdirectories: list[Ino] = []
        self._engine = engine
        self._options = options
        self._ino = ino
        self._attr: Attr | None = None
        self._is_whole = True
        self._stats: DirUsage | None = None
        self._usage = DirUsage()
        self._lost: list[tuple[bytes, Edge]] = []  # entries without a node
        self._strays: list[tuple[Ino, Attr]] = []  # directories with another parent

    def look(self) -> bool:
        """Look, and put right; False to look again.  A record that does not parse is a finding."""
        try:
            self.read()
            return self.put_right()
        except CorruptRecord as error:
            self.found.append(Finding(self._ino, str(error), repaired=False))
            return True

    def read(self) -> None:
        """Look: first at the directory itself, so that a change of its entries is noticed."""
        ino = self._ino
        self._attr, self._stats = self._engine.read(
            lambda reads: (reads.node(ino), reads.dir_usage(ino))
        )
        with self._engine.scan() as scans:
            tell_damage(scans, self._unread)
            self._read_entries(scans, ino)

    def _unread(self, problem: Problem) -> None:
        self._is_whole = False
        self.found.append(Finding(self._ino, problem.what, repaired=False))

    def _read_entries(self, scans: Scans, ino: Ino) -> None:
        length = space_bytes = inodes = 0
        entries = iter(scans.entries_of(ino))
        while page := list(islice(entries, _PAGE)):
            nodes = nodes_or_damage(scans, [edge.ino for _, edge in page])
            for (name, edge), attr in zip(page, nodes, strict=True):
                if isinstance(attr, CorruptRecord):
                    self._unread(Problem(edge.ino, f"entry {name!r}: {attr}"))
                    continue
                if edge.kind is Kind.DIRECTORY:
                    self.subdirectories.append(edge.ino)
                if attr is None:
                    self._lost.append((name, edge))
                    continue
                if attr.is_directory and attr.parent != ino:
                    self._strays.append((edge.ino, attr))
                one = as_child(attr)
                length += one.length
                space_bytes += one.space_bytes
                inodes += one.inodes
        self._usage = DirUsage(length, space_bytes, inodes)

    def put_right(self) -> bool:
        """Find what is wrong and repair it, if wanted; False to look again, as it has changed."""
        attr, ino = self._attr, self._ino
        if attr is None:
            return True  # removed meanwhile; one that never was is repaired with its parent
        for name, edge in self._lost:
            if not self._repair_lost(name, edge):
                return False
        if any(one.repaired for one in self.found):
            return False  # the statistics are to be taken with what was made
        for child, stray in self._strays:
            what = f"directory {child} says that its parent is {stray.parent}"
            change = ChangeNode(child, NodeChange(parent=ino))
            if not self._repair(what, child, stray, change):
                return False
        if not self._is_whole:
            return True  # what does not parse may be what is missing
        wanted = 2 + (0 if is_trash(ino) else len(self.subdirectories))
        if attr.nlink != wanted:
            what = f"nlink is {attr.nlink}, subdirectories make it {wanted}"
            fix = ChangeNode(ino, NodeChange(nlink_by=wanted - attr.nlink))
            return self._repair(what, ino, attr, fix)
        if self._options.sync_stats and self._stats not in (None, self._usage):
            return self._repair(
                f"statistics are {self._stats}, entries make it {self._usage}",
                ino,
                attr,
                PutDirUsage(ino, self._usage),
            )
        return True

    def _repair(self, what: str, ino: Ino, seen: Attr, effect: ChangeNode | PutDirUsage) -> bool:
        if not self._options.repair and not isinstance(effect, PutDirUsage):
            self.found.append(Finding(ino, what, repaired=False))
            return True

        def fix(txn: Txn) -> bool:
            if txn.exact_node(ino) != seen:
                return False
            if isinstance(effect, PutDirUsage) and txn.dir_usage(ino) != self._stats:
                return False
            txn.do(effect)
            return True

        return self._done(what, ino, fix)

    def _repair_lost(self, name: bytes, edge: Edge) -> bool:
        what = f"entry {name!r} names inode {edge.ino}, which does not exist"
        if edge.kind is not Kind.DIRECTORY or not self._options.repair:
            is_there = self._engine.read(
                lambda reads: reads.edge(self._ino, name) == edge and reads.node(edge.ino) is None
            )
            if is_there:
                self.found.append(Finding(self._ino, what, repaired=False))
            return True
        with self._engine.scan() as scans:
            below = sum(one.kind is Kind.DIRECTORY for _, one in scans.entries_of(edge.ino))

        def make(txn: Txn) -> bool:
            if txn.edge(self._ino, name) != edge or txn.node(edge.ino) is not None:
                return False
            attr = Attr(
                kind=Kind.DIRECTORY,
                mode=self._options.mode,
                atime_ns=txn.now_ns,
                mtime_ns=txn.now_ns,
                ctime_ns=txn.now_ns,
                nlink=2 + below,
                length=DIRECTORY_LENGTH_BYTES,
                parent=self._ino,
            )
            txn.do(
                AddNode(edge.ino, attr),
                AddCounter(USED_SPACE, NODE_SPACE_BYTES),
                AddCounter(TOTAL_INODES, 1),
            )
            return True

        return self._done(what, self._ino, make)

    def _done(self, what: str, ino: Ino, rule: Callable[[Txn], bool]) -> bool:
        try:
            done = self._engine.run(rule)
        except RoostError as error:
            self.found.append(Finding(ino, f"{what}; not repaired: {error}", repaired=False))
            return True
        if done:
            self.found.append(Finding(ino, what, repaired=True))
        return done
