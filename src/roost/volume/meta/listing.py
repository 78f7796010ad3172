"""Reading directories."""

import os
from collections.abc import Iterator
from functools import partial
from itertools import islice

from roost.errors import CorruptRecord
from roost.volume.meta import rules
from roost.volume.meta.damage import nodes_or_damage, tell_damage
from roost.volume.meta.lookup import missing_node
from roost.volume.meta.reads import NodeWanted, Reads
from roost.volume.meta.txn import Engine
from roost.volume.model import Attr, Caller, DirEntry, Edge, Ino, Problem

ENTRIES_AT_ONCE = 1000


def readdir(engine: Engine, ino: Ino, caller: Caller, *, with_attrs: bool) -> Iterator[DirEntry]:
    """Yield the entries in order of name, without `.` and `..`.  One snapshot per page.

    The first page is read before the first entry is asked for, so errors come at the call.
    Raises FsError: ENOENT, ENOTDIR, EACCES; CorruptRecord for an entry without a node.
    """

    def page(reads: Reads, after: bytes | None) -> list[DirEntry]:
        folder = rules.directory(ino, reads.node(ino))
        rules.demand(reads, ino, folder, caller, rules.READ)
        found = reads.entries(ino, after, ENTRIES_AT_ONCE)
        if with_attrs:
            reads.load([NodeWanted(edge.ino) for _, edge in found])
        return [
            _entry(reads, ino, name, edge.ino, DirEntry(name, edge.ino, edge.kind), with_attrs)
            for name, edge in found
        ]

    first = engine.read(lambda reads: page(reads, None))

    def pages() -> Iterator[DirEntry]:
        entries = first
        while entries:
            yield from entries
            if len(entries) < ENTRIES_AT_ONCE:
                return
            entries = engine.read(partial(page, after=entries[-1].name))

    return pages()


def _entry(
    reads: Reads, parent: Ino, name: bytes, ino: Ino, bare: DirEntry, with_attrs: bool
) -> DirEntry:
    if not with_attrs:
        return bare
    attr = reads.node(ino)
    if attr is None:
        raise missing_node(parent, name, ino)
    return DirEntry(name, ino, attr.kind, attr)


def readable_entries(engine: Engine, ino: Ino) -> Iterator[DirEntry | Problem]:
    """Yield the entries of a directory with their attributes, and a problem for each damaged one.

    Not of one moment; slower than `readdir`, and for when that has met damage.  Raises Unavailable.
    """
    damaged: list[Problem] = []
    with engine.scan() as scans:
        tell_damage(scans, damaged.append)
        entries = iter(scans.entries_of(ino))
        while page := list(islice(entries, ENTRIES_AT_ONCE)):
            nodes = nodes_or_damage(scans, [edge.ino for _, edge in page])
            for (name, edge), attr in zip(page, nodes, strict=True):
                if isinstance(attr, Attr):
                    yield DirEntry(name, edge.ino, attr.kind, attr)
                elif attr is not None:
                    yield Problem(edge.ino, f"entry {os.fsdecode(name)!r}: {attr}")
                elif is_nodeless(engine, ino, name, edge):
                    yield Problem(edge.ino, str(missing_node(ino, name, edge.ino)))
    yield from damaged


def is_nodeless(engine: Engine, parent: Ino, name: bytes, edge: Edge) -> bool:
    """True if an entry is there and its node is not: it was not removed meanwhile."""
    try:
        return engine.read(
            lambda reads: reads.edge(parent, name) == edge and reads.node(edge.ino) is None
        )
    except CorruptRecord:  # on Redis the node's key may be of another kind
        return True
