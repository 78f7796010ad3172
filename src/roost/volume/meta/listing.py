"""Reading directories."""

from collections.abc import Iterator
from functools import partial

from roost.volume.meta import rules
from roost.volume.meta.lookup import missing_node
from roost.volume.meta.reads import NodeWanted, Reads
from roost.volume.meta.txn import Engine
from roost.volume.model import Caller, DirEntry, Ino

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
