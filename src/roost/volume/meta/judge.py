"""Judging one inode by itself, with fresh reads: is what the metadata says of it consistent?

Where an engine has no snapshots, a change between two reads can make sound records look wrong.  So
what looks wrong is looked at again, and only what is found both times is a problem.  A look during
which the inode changed says nothing: a name that moves to and fro can be missed twice.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

from roost.errors import CorruptRecord
from roost.volume.meta.damage import ignore, nodes_or_damage, tell_damage
from roost.volume.meta.reads import Scans
from roost.volume.meta.rules import is_trash
from roost.volume.meta.txn import Engine
from roost.volume.meta.usage import as_child
from roost.volume.model import (
    ROOT,
    TRASH,
    Attr,
    DirUsage,
    Edge,
    Ino,
    Kind,
    Problem,
)

JUDGED_MAX = 10_000  # inodes; beyond that a volume needs another kind of help
_DEPTH_MAX = 100_000
_ENTRIES_AT_ONCE = 1000
_LOOKS_MAX = 20  # at an inode that changes all the time; then its last look counts


class Judge:
    """Judges inodes that a check suspects; `unread` are those with records that do not parse."""

    def __init__(self, engine: Engine, unread: Collection[Ino] = ()) -> None:
        self._engine = engine
        self._unread = unread
        self._judged = 0

    def judge(self, ino: Ino, parents: Sequence[Ino] = ()) -> list[Problem]:
        """Return what is wrong with an inode; `parents` are directories that may name it."""
        self._judged += 1
        if self._judged > JUDGED_MAX:
            if self._judged == JUDGED_MAX + 1:
                what = f"more than {JUDGED_MAX} inodes look wrong; the others are not listed"
                return [Problem(Ino(0), what)]
            return []
        try:
            first = self._look(ino, parents)
            return [problem for problem in self._look(ino, parents) if problem in first]
        except CorruptRecord as error:
            if ino in self._unread:
                return []  # it has been told of
            return [Problem(ino, f"it cannot be judged: {error}")]

    def judge_way(self, ino: Ino) -> list[Problem]:
        """Return a problem if a directory's parents do not lead to the root."""
        here, seen = ino, set[Ino]()
        with self._scan() as scans:
            tops = {ROOT, TRASH, *(one.ino for one in scans.detached_nodes())}
            while here not in tops and here not in seen and len(seen) < _DEPTH_MAX:
                seen.add(here)
                attr = nodes_or_damage(scans, [here])[0]
                if isinstance(attr, CorruptRecord):
                    return []  # where the way goes on is not known
                if attr is None:
                    break
                here = attr.parent
        return [] if here in tops else [Problem(ino, "it cannot be reached from the root")]

    @contextmanager
    def _scan(self) -> Iterator[Scans]:
        """Open scans that leave out what does not parse: the check has told of it."""
        with self._engine.scan() as scans:
            tell_damage(scans, ignore)
            yield scans

    def _look(self, ino: Ino, parents: Sequence[Ino]) -> list[Problem]:
        """Return what is wrong, as found while the inode did not change."""
        found: list[Problem] = []
        for _ in range(_LOOKS_MAX):
            attr, found = self._look_once(ino, parents)
            if not found:
                break
            with self._scan() as scans:
                if scans.nodes_of([ino])[0] == attr:
                    break
        return found

    def _look_once(self, ino: Ino, parents: Sequence[Ino]) -> tuple[Attr | None, list[Problem]]:
        with self._scan() as scans:
            attr = scans.nodes_of([ino])[0]
            if attr is None:
                return attr, list(self._of_nothing(scans, ino))
            names = self._names(scans, ino, parents)
            found = list(self._of_names(scans, ino, attr, names))
            if attr.is_directory:
                found += self._of_directory(scans, ino, attr)
        return attr, found

    def _of_nothing(self, scans: Scans, ino: Ino) -> Iterator[Problem]:
        if ino == ROOT:
            yield Problem(ROOT, "the root directory is missing")
        elif next(iter(scans.entries_of(ino)), None) is not None:
            yield Problem(ino, "entries of a directory that does not exist")
        chunks, is_noted = self._engine.read(
            lambda reads: (reads.chunk_numbers(ino), reads.deleted_file(ino) is not None)
        )
        if not is_noted:
            for number in chunks:
                yield Problem(ino, f"chunk {number} of no file")

    # ---- names
    def _names(self, scans: Scans, ino: Ino, parents: Sequence[Ino]) -> list[tuple[Ino, Edge]]:
        known = self._engine.read(lambda reads: reads.parents(ino))
        return [
            (parent, edge)
            for parent in sorted({*known, *parents})
            for _, edge in scans.entries_of(parent)
            if edge.ino == ino
        ]

    def _of_names(
        self, scans: Scans, ino: Ino, attr: Attr, names: list[tuple[Ino, Edge]]
    ) -> Iterator[Problem]:
        if any(edge.kind is not attr.kind for _, edge in names):
            yield Problem(ino, "an entry has another kind than the node")
        if not attr.is_file and self._engine.read(lambda reads: reads.chunk_numbers(ino)):
            yield Problem(ino, "it has data but is no regular file")
        is_top = ino in (ROOT, TRASH) or any(one.ino == ino for one in scans.detached_nodes())
        if is_top:
            if ino == ROOT and not attr.is_directory:
                yield Problem(ROOT, "the root directory is missing")
            return
        if attr.is_directory:
            if len(names) != 1:
                yield Problem(ino, f"a directory with {len(names)} names")
            elif attr.parent != names[0][0]:
                what = f"its parent is {attr.parent}, its name is in {names[0][0]}"
                yield Problem(ino, what)
            return
        if attr.nlink != len(names):
            yield Problem(ino, f"nlink is {attr.nlink}, names are {len(names)}")
        if not names and not any(kept == ino for _, kept in scans.all_sustained()):
            yield Problem(ino, "no name, and no session keeps it")
        if attr.parent and names and {parent for parent, _ in names} != {attr.parent}:
            yield Problem(ino, f"its parent is {attr.parent}, where it has no name")
        if not attr.parent and attr.nlink:
            yield from self._of_parents(ino, names)

    def _of_parents(self, ino: Ino, names: list[tuple[Ino, Edge]]) -> Iterator[Problem]:
        """Compare the counts of a node that has or had several names with the names found."""
        counted = self._engine.read(lambda reads: reads.parents(ino))
        found = Counter(parent for parent, _ in names)
        for parent in sorted({*counted, *found}):
            if counted.get(parent, 0) != found[parent]:
                what = f"directory {parent} has {found[parent]} of its names"
                yield Problem(ino, f"{what}, but counts {counted.get(parent, 0)}")

    # ---- directories
    def _of_directory(self, scans: Scans, ino: Ino, attr: Attr) -> Iterator[Problem]:
        subdirectories = 0
        is_whole = ino not in self._unread
        length = space_bytes = inodes = 0
        entries = iter(scans.entries_of(ino))
        while page := list(islice(entries, _ENTRIES_AT_ONCE)):
            nodes = nodes_or_damage(scans, [edge.ino for _, edge in page])
            for (name, edge), child in zip(page, nodes, strict=True):
                if isinstance(child, CorruptRecord):
                    is_whole = False
                elif child is None:
                    if self._is_there_without_node(ino, name, edge):
                        what = f"entry {name!r} names inode {edge.ino}, which does not exist"
                        yield Problem(ino, what)
                else:
                    one = as_child(child)
                    subdirectories += child.kind is Kind.DIRECTORY
                    length += one.length
                    space_bytes += one.space_bytes
                    inodes += one.inodes
        if not is_whole:
            return  # what does not parse may be what is missing
        wanted = 2 + subdirectories
        if not is_trash(ino) and attr.nlink != wanted:
            yield Problem(ino, f"nlink is {attr.nlink}, subdirectories make it {wanted}")
        kept = self._engine.read(lambda reads: reads.dir_usage(ino))
        if kept is not None and kept != DirUsage(length, space_bytes, inodes):
            yield Problem(ino, "the directory's statistics have drifted", fatal=False)

    def _is_there_without_node(self, parent: Ino, name: bytes, edge: Edge) -> bool:
        try:
            return self._engine.read(
                lambda reads: reads.edge(parent, name) == edge and reads.node(edge.ino) is None
            )
        except CorruptRecord:  # on Redis a key of another kind, which has been told of
            return False
