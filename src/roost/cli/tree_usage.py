"""What folders hold, added up: by walking an ordinary path, or inside a volume.

A folder counts itself; everything that is no folder is a file.  `size` is what is charged: whole
pages of 4 KiB for files, one for anything else.
"""

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from roost.volume.layout import align_4k
from roost.volume.meta.answers import Progress, ignore_progress
from roost.volume.meta.api import Meta
from roost.volume.model import NODE_SPACE_BYTES, Attr, Ino, Node

DEPTH_MAX = 10
ENTRIES_MAX = 1000
K = TypeVar("K")
_TOLD_EVERY = 500
_CONTROL = frozenset((".accesslog", ".stats", ".config", ".trash"))  # at the root of a mount
_CONTROL_INO_MIN = 0x7FFFFFFF00000000


@dataclass(frozen=True, slots=True)
class Entry(Generic[K]):
    """An entry of a folder; `key` is what its own children are asked for by."""

    name: str
    key: K
    is_folder: bool
    length: int
    size: int


@dataclass(slots=True)
class TreeUsage:
    """What an entry and all below it hold; `children` are the largest, as far as asked."""

    name: str
    is_folder: bool
    length: int = 0
    size: int = 0
    dirs: int = 0
    files: int = 0
    children: list["TreeUsage"] = field(default_factory=list)

    def add(self, other: "TreeUsage") -> None:
        """Add what another holds."""
        self.length += other.length
        self.size += other.size
        self.dirs += other.dirs
        self.files += other.files


@dataclass(frozen=True, slots=True)
class Tree(Generic[K]):
    """An entry, and how to list a folder."""

    top: Entry[K]
    children: Callable[[K], Iterator[Entry[K]]]
    total: "Callable[[Entry[K]], TreeUsage] | None" = None
    """Returns all that a folder holds, where somebody else adds it up."""

    def direct(self) -> TreeUsage:
        """Return what the folder itself holds; folders in it count as one each."""
        usage = _alone(self.top)
        if self.top.is_folder:
            for entry in self.children(self.top.key):
                usage.add(_alone(entry))
        return usage

    def all(self, depth: int = 0, entries: int = ENTRIES_MAX) -> TreeUsage:
        """Return what it and all below it hold, with the largest `entries` of `depth` levels."""
        return self._add_up(self.top, depth, entries)

    def _add_up(self, entry: Entry[K], depth: int, entries: int) -> TreeUsage:
        usage = _alone(entry)
        if not entry.is_folder:
            return usage
        if depth <= 0:
            if self.total is not None:
                return self.total(entry)
            self._add_below(usage, entry)
            return usage
        for child in self.children(entry.key):
            below = self._add_up(child, depth - 1, entries)
            usage.add(below)
            usage.children.append(below)
        usage.children = _largest(usage.children, entries)
        return usage

    def _add_below(self, usage: TreeUsage, entry: Entry[K]) -> None:
        """Add everything below a folder, however deep."""
        folders = [entry.key]
        while folders:
            for child in self.children(folders.pop()):
                usage.add(_alone(child))
                if child.is_folder:
                    folders.append(child.key)


def tree_of_path(path: Path, progress: Progress = ignore_progress) -> Tree[str]:
    """Return the tree at an ordinary path.  Raises OSError, then or while it is read.

    On a mount of JuiceFS its own files and the trash are left out, as its own tools do.
    """
    return Tree(_entry(path.name, str(path), path.lstat()), _counted(_listing, progress))


def tree_of_node(
    meta: Meta, node: Node, *, strict: bool, progress: Progress = ignore_progress
) -> Tree[Ino]:
    """Return the tree at a node of a volume.  Raises FsError while it is read.

    Unless `strict`, what lies below the levels shown is told by the folders' own statistics.
    """

    def listing(ino: Ino) -> Iterator[Entry[Ino]]:
        for child in meta.readdir(ino, with_attrs=True):
            if child.attr is not None:  # None: removed meanwhile
                yield _of_attr(os.fsdecode(child.name), child.ino, child.attr)

    def total(entry: Entry[Ino]) -> TreeUsage:
        held = meta.summary(entry.key, strict=strict, progress=progress)
        return TreeUsage(
            entry.name, True, held.length, held.space_bytes, held.directories, held.files
        )

    return Tree(_of_attr("", node.ino, node.attr), _counted(listing, progress), total)


def _counted(
    listing: Callable[[K], Iterator[Entry[K]]], progress: Progress
) -> Callable[[K], Iterator[Entry[K]]]:
    """Return a listing that tells how many entries were listed so far."""
    done = 0

    def listed(key: K) -> Iterator[Entry[K]]:
        nonlocal done
        for entry in listing(key):
            done += 1
            if done % _TOLD_EVERY == 0:
                progress(done, 0)
            yield entry

    return listed


def _listing(folder: str) -> Iterator[Entry[str]]:
    with os.scandir(folder) as found:
        for entry in found:
            seen = entry.stat(follow_symlinks=False)
            if entry.name in _CONTROL and seen.st_ino >= _CONTROL_INO_MIN:
                continue
            yield _entry(entry.name, entry.path, seen)


def _entry(name: str, path: str, seen: os.stat_result) -> Entry[str]:
    is_file = stat.S_ISREG(seen.st_mode)
    size = align_4k(seen.st_size) if is_file else NODE_SPACE_BYTES
    length = seen.st_size if is_file else 0
    return Entry(name, path, stat.S_ISDIR(seen.st_mode), length, size)


def _of_attr(name: str, ino: Ino, attr: Attr) -> Entry[Ino]:
    size = align_4k(attr.length) if attr.is_file else NODE_SPACE_BYTES
    return Entry(name, ino, attr.is_directory, attr.length if attr.is_file else 0, size)


def _alone(entry: Entry[K]) -> TreeUsage:
    is_folder = entry.is_folder
    return TreeUsage(
        entry.name, is_folder, entry.length, entry.size, int(is_folder), int(not is_folder)
    )


def _largest(found: list[TreeUsage], entries: int) -> list[TreeUsage]:
    """Return the largest entries in order; the others together under the name "..."."""
    ordered = sorted(found, key=lambda one: (-one.size, one.name))
    if len(ordered) <= entries:
        return ordered
    rest = TreeUsage("...", False)
    for one in ordered[entries:]:
        rest.add(one)
    return [*ordered[:entries], rest]
