"""Paths of inodes, found upwards: nothing is kept of a tree but the directories on the way."""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping

from roost.errors import CorruptRecord
from roost.volume.meta.damage import ignore, tell_damage
from roost.volume.meta.reads import Scans
from roost.volume.meta.txn import Engine
from roost.volume.model import ROOT, TRASH, TRASH_NAME, Ino

_DEPTH_MAX = 4096
_REMEMBERED_MAX = 10_000


class TreePaths:
    """Finds paths; what was found of directories is remembered.

    `named_in` are directories that name inodes whose own record does not parse.
    """

    def __init__(
        self, engine: Engine, scans: Scans, named_in: Mapping[Ino, Ino] | None = None
    ) -> None:
        tell_damage(scans, ignore)
        self._named_in = named_in or {}
        self._engine = engine
        self._scans = scans
        self._known: dict[Ino, str] = {ROOT: "", TRASH: f"/{os.fsdecode(TRASH_NAME)}"}

    def of(self, ino: Ino) -> str | None:
        """Return one path of an inode; None if it has no name that leads to the root."""
        if ino == ROOT:
            return "/"
        names: list[bytes] = []
        parents: list[Ino] = []
        here = ino
        while here not in self._known:
            found = self._name(here)
            if found is None or len(names) == _DEPTH_MAX:
                return None
            here, name = found
            parents.append(here)
            names.append(name)
        path = self._known[here] + "".join(f"/{os.fsdecode(name)}" for name in reversed(names))
        if parents and len(self._known) < _REMEMBERED_MAX:
            self._known[parents[0]] = path[: -len(os.fsdecode(names[0])) - 1]
        return path

    def of_all(self, inos: Iterable[Ino]) -> dict[Ino, str]:
        """Return the paths of those that have one."""
        found = ((ino, self.of(ino)) for ino in inos)
        return {ino: path for ino, path in found if path is not None}

    def all_of(self, ino: Ino) -> tuple[str, ...]:
        """Return all paths of an inode, in order."""
        found = []
        for parent, name in self._names(ino):
            above = self.of(parent)
            if above is not None:
                found.append(f"{above.rstrip('/')}/{os.fsdecode(name)}")
        return tuple(sorted(found))

    def _name(self, ino: Ino) -> tuple[Ino, bytes] | None:
        return next(self._names(ino), None)

    def _names(self, ino: Ino) -> Iterator[tuple[Ino, bytes]]:
        for parent in self._parents(ino):
            for name, edge in self._scans.entries_of(parent):
                if edge.ino == ino:
                    yield parent, name

    def _parents(self, ino: Ino) -> Collection[Ino]:
        try:
            return self._engine.read(lambda reads: reads.parents(ino))
        except CorruptRecord:
            return [self._named_in[ino]] if ino in self._named_in else []
