"""Reading a tree for a dump: its entries depth first, complete, a page of a directory at a time.

Memory is one page of entries for each directory on the way.  On Redis, which has no snapshots, an
entry whose node is not found is looked at again, and left out if it has gone meanwhile.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from roost.errors import CorruptRecord
from roost.volume.codec import decode_attr, decode_slices
from roost.volume.layout import CHUNK_BYTES, chunk_count
from roost.volume.meta.damage import nodes_or_damage, tell_damage
from roost.volume.meta.listing import is_nodeless
from roost.volume.meta.reads import Scans
from roost.volume.meta.stored_records import StoredScans
from roost.volume.meta.txn import Engine
from roost.volume.model import Attr, ChunkNo, ChunkSlices, Edge, Ino, Kind, Problem
from roost.volume.tools.dump_plain import (
    PlainFile,
    Row,
    are_plain_chunks,
    length_of,
    plain_nodes,
)
from roost.volume.tools.numbers_seen import NumbersSeen

PAGE_ENTRIES = 1000
_DEEP = 32  # directories below this depth are read in small pages: each holds one in memory
_DEEP_PAGE_ENTRIES = 32
_CHUNKS_AT_ONCE = 4096
_FIRST = ChunkNo(0)

Damaged = Callable[[str, str], None]
"""Told where something is damaged, and why; returns if that is to be left out."""


@dataclass(slots=True)
class Child:
    """An entry with all that is written of it; of a directory, all but its entries."""

    name: bytes
    ino: Ino
    attr: Attr
    chunks: Sequence[ChunkSlices] = ()
    xattrs: Sequence[tuple[bytes, bytes]] = ()
    target: bytes = b""


@dataclass(frozen=True, slots=True)
class Files:
    """Entries that follow each other, all of them plain files."""

    files: list[PlainFile]


@dataclass(frozen=True, slots=True)
class End:
    """The directory that began last and has not ended ends."""


Piece = Child | Files | End


@dataclass(slots=True)
class _Page:
    """Entries of a directory and what is known of their nodes, by place."""

    parent: Ino
    entries: list[tuple[bytes, Edge]]
    inos: list[Ino]
    attrs: list[Attr | None]
    plain: dict[int, Row] = field(default_factory=dict)
    data: dict[int, bytes] = field(default_factory=dict)  # records of chunk 0 of plain files
    firsts: dict[Ino, list[ChunkSlices]] = field(default_factory=dict)  # of what was not plain
    chunks: dict[Ino, list[ChunkSlices]] = field(default_factory=dict)
    xattrs: dict[Ino, list[tuple[bytes, bytes]]] = field(default_factory=dict)
    targets: dict[Ino, bytes] = field(default_factory=dict)
    unread: dict[Ino, CorruptRecord] = field(default_factory=dict)  # what did not parse


class TreeReader:
    """Reads trees of one volume, one after the other; `moved` counts what stands elsewhere.

    Without a snapshot, what is moved or unlinked while it reads may stand where it was or nowhere,
    but not twice.
    """

    def __init__(self, engine: Engine, scans: Scans, damaged: Damaged) -> None:
        self.moved = 0
        self._engine = engine
        self._scans = scans
        self._stored = scans if isinstance(scans, StoredScans) else None
        self._damaged = damaged
        self._seen = NumbersSeen()
        self._linked = NumbersSeen()  # of those, with several names when first seen
        self._path: list[bytes] = []  # names of the directories being read
        tell_damage(scans, self._unread)

    def walk(self, name: bytes, top: Ino, path: bytes = b"/") -> Iterator[Piece]:
        """Yield the directory `top`, called `name`, and everything below, up to its end."""
        self._path = [part for part in path.split(b"/") if part]
        attr = self._scans.nodes_of([top])[0]
        if attr is None:
            raise CorruptRecord(f"inode {top}", "the directory does not exist")
        self._seen.add(top)
        xattrs = self._scans.xattrs_of([top]).get(top, [])
        yield Child(name, top, attr, xattrs=xattrs)
        open_ = [self._children(top, 0)]
        while open_:
            piece = next(open_[-1], None)
            if piece is None:
                open_.pop()
                if open_:
                    self._path.pop()
                yield End()
                continue
            if isinstance(piece, Child) and piece.attr.is_directory:
                self._path.append(piece.name)
                open_.append(self._children(piece.ino, len(open_)))
            yield piece

    # ---- pages
    def _children(self, ino: Ino, level: int) -> Iterator[Child | Files]:
        at_once = PAGE_ENTRIES if level < _DEEP else _DEEP_PAGE_ENTRIES
        entries = iter(self._scans.entries_of(ino))
        while some := list(islice(entries, at_once)):
            yield from self._complete(self._page(ino, some))

    def _page(self, parent: Ino, entries: list[tuple[bytes, Edge]]) -> _Page:
        scans = self._scans
        inos = [edge.ino for _, edge in entries]
        page = _Page(parent, entries, inos, [])
        if self._stored is None:
            found = nodes_or_damage(scans, inos)
            page.attrs = [self._sound(page, ino, one) for ino, one in zip(inos, found, strict=True)]
        else:
            raws = self._stored.stored_nodes_of(inos)
            page.plain = plain_nodes(raws)
            page.attrs = [
                None if raw is None or at in page.plain else self._decoded(page, inos[at], raw)
                for at, raw in enumerate(raws)
            ]
        page.xattrs = scans.xattrs_of(list(dict.fromkeys(inos)))  # hard links name a node twice
        links = list({edge.ino for _, edge in entries if edge.kind is Kind.SYMLINK})
        page.targets = scans.symlinks_of(links) if links else {}
        if self._stored is not None:
            self._keep_plain(page, self._stored, raws)
        return page

    def _sound(self, page: _Page, ino: Ino, found: Attr | CorruptRecord | None) -> Attr | None:
        if isinstance(found, CorruptRecord):
            page.unread[ino] = found
            return None
        return found

    def _decoded(self, page: _Page, ino: Ino, raw: bytes) -> Attr | None:
        try:
            return decode_attr(raw, f"inode {ino}")
        except CorruptRecord as error:
            page.unread[ino] = error
            return None

    def _keep_plain(self, page: _Page, stored: StoredScans, raws: list[bytes | None]) -> None:
        """Read the data of what may be plain; what is not after all is taken apart."""
        holding = [at for at, row in page.plain.items() if length_of(row)]
        found = self._first_chunks(page, stored, [page.inos[at] for at in holding])
        are_plain = are_plain_chunks(found)
        odd = [at for at, row in page.plain.items() if page.inos[at] in page.xattrs]
        for at, chunk, is_plain in zip(holding, found, are_plain, strict=True):
            if is_plain:
                page.data[at] = chunk
            else:
                odd.append(at)
                if chunk:
                    self._keep_first(page, page.inos[at], chunk)
        rest = set(odd)
        if not self._seen.add_new([page.inos[at] for at in page.plain if at not in rest]):
            rest.update(page.plain)  # one stands elsewhere
        for at in rest:
            raw = raws[at]
            assert raw is not None
            page.attrs[at] = decode_attr(raw)
            del page.plain[at]

    def _first_chunks(self, page: _Page, stored: StoredScans, inos: list[Ino]) -> list[bytes]:
        try:
            return stored.stored_first_chunks_of(inos)
        except CorruptRecord as error:
            if len(inos) == 1:
                page.unread[inos[0]] = error
                return [b""]
            return [self._first_chunks(page, stored, [ino])[0] for ino in inos]

    def _keep_first(self, page: _Page, ino: Ino, chunk: bytes) -> None:
        try:
            slices = decode_slices(chunk, f"chunk 0 of inode {ino}")
        except CorruptRecord as error:
            page.unread[ino] = error
        else:
            page.firsts[ino] = [ChunkSlices(ino, _FIRST, slices)]

    def _complete(self, page: _Page) -> Iterator[Child | Files]:
        files: list[PlainFile] = []
        known = 0  # chunks of the entries before this place have been read
        for at, (name, edge) in enumerate(page.entries):
            row = page.plain.get(at)
            if row is not None:
                files.append(PlainFile(name, edge.ino, row, page.data.get(at, b"")))
                continue
            if files:
                yield Files(files)
                files = []
            if at >= known:
                known = self._read_chunks(page, at)
            child = self._child(page, at)
            if child is not None:
                yield child
        if files:
            yield Files(files)

    def _child(self, page: _Page, at: int) -> Child | None:
        name, edge = page.entries[at]
        attr = page.attrs[at]
        if edge.ino in page.unread:
            self._damaged(self._at(name), str(page.unread[edge.ino]))
            return None
        if attr is None:
            self._missing(page.parent, name, edge)
            return None
        if self._stands_already(edge.ino, attr):
            self._stands_twice(page.parent, name, edge)
            return None
        child = Child(name, edge.ino, attr, xattrs=self._spelled(edge.ino, page.xattrs))
        if attr.kind is Kind.FILE:
            child.chunks = _within(page.chunks.get(edge.ino, ()), attr.length)
        elif attr.kind is Kind.SYMLINK:
            child.target = page.targets.get(edge.ino, b"")
            if not child.target:
                self._damaged(self._at(name), f"symbolic link {edge.ino} has no target")
                return None
        return child

    def _spelled(
        self, ino: Ino, xattrs: dict[Ino, list[tuple[bytes, bytes]]]
    ) -> Sequence[tuple[bytes, bytes]]:
        """Return a node's extended attributes; the dump can only name those that are text."""
        found = xattrs.get(ino, ())
        odd = [name for name, _ in found if not _is_text(name)]
        for name in odd:
            self._damaged(f"inode {ino}", f"the name of attribute {name!r} is no text")
        return [pair for pair in found if pair[0] not in odd] if odd else found

    def _read_chunks(self, page: _Page, start: int) -> int:
        """Read the chunks of some entries from `start`; return the first not read.

        Without a snapshot, the data of a file may be gone since its attributes were read; such a
        file becomes one without attributes, and never one of zeros.
        """
        lengths: dict[Ino, int] = {}  # each once, though hard links name it twice
        chunks = 0
        place = start
        while place < len(page.inos) and (chunks < _CHUNKS_AT_ONCE or place == start):
            attr, ino = page.attrs[place], page.inos[place]
            if attr is not None and attr.kind is Kind.FILE and attr.length:
                if ino not in page.firsts:
                    lengths[ino] = attr.length
                chunks += chunk_count(attr.length)
            place += 1
        found = self._slices_of(page, lengths) if lengths else {}
        empty = [ino for ino in lengths if ino not in found and ino not in page.unread]
        nodes = self._scans.nodes_of(empty) if empty else []
        gone = {ino for ino, attr in zip(empty, nodes, strict=True) if attr is None}
        for at in range(start, place) if gone else ():
            if page.inos[at] in gone:
                page.attrs[at] = None
        page.chunks = {**page.firsts, **found}
        return place

    def _slices_of(self, page: _Page, lengths: dict[Ino, int]) -> dict[Ino, list[ChunkSlices]]:
        try:
            return self._scans.slices_of(list(lengths), list(lengths.values()))
        except CorruptRecord as error:
            if len(lengths) == 1:
                page.unread[next(iter(lengths))] = error
                return {}
        found: dict[Ino, list[ChunkSlices]] = {}
        for ino, length in lengths.items():
            found |= self._slices_of(page, {ino: length})
        return found

    # ---- what moves, or is damaged
    def _at(self, name: bytes = b"") -> str:
        """Return the path of an entry of the directory being read, or of the directory."""
        return "/" + os.fsdecode(b"/".join([*self._path, name] if name else self._path))

    def _unread(self, problem: Problem) -> None:
        """An entry did not parse; told by the scans while its directory is read."""
        self._damaged(self._at(), problem.what)

    def _missing(self, parent: Ino, name: bytes, edge: Edge) -> None:
        """An entry's node was not found: gone meanwhile, or damaged."""
        if is_nodeless(self._engine, parent, name, edge):
            self._damaged(self._at(name), f"inode {edge.ino} does not exist")

    def _stands_already(self, ino: Ino, attr: Attr) -> bool:
        """True if the node was written before as one that has no other name."""
        is_linked = attr.nlink > 1 and not attr.is_directory
        if self._seen.add(ino):
            if is_linked:
                self._linked.add(ino)
            return False
        return not is_linked or ino not in self._linked

    def _stands_twice(self, parent: Ino, name: bytes, edge: Edge) -> None:
        """A node of one name stands elsewhere: it came from there meanwhile, or is damaged."""
        if self._scans.is_snapshot or self._is_misplaced(parent, name, edge):
            self._damaged(self._at(name), f"inode {edge.ino} stands twice but has one name")
        else:
            self.moved += 1

    def _is_misplaced(self, parent: Ino, name: bytes, edge: Edge) -> bool:
        """True if an entry is there, but its node's parent is another directory."""
        is_there, node = self._engine.read(
            lambda reads: (reads.edge(parent, name) == edge, reads.node(edge.ino))
        )
        return is_there and node is not None and node.parent not in (0, parent)


def batches(pieces: Iterator[Piece]) -> Iterator[list[Piece]]:
    """Yield the pieces in lists of about a page, or of fewer with many chunks."""
    batch: list[Piece] = []
    entries = chunks = 0
    for piece in pieces:
        batch.append(piece)
        entries += len(piece.files) if isinstance(piece, Files) else 1
        chunks += len(piece.chunks) if isinstance(piece, Child) else 0
        if entries >= PAGE_ENTRIES or chunks >= _CHUNKS_AT_ONCE:
            yield batch
            batch, entries, chunks = [], 0, 0
    if batch:
        yield batch


def _is_text(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _within(chunks: Sequence[ChunkSlices], length: int) -> list[ChunkSlices]:
    """Return the chunks that hold bytes of a file this long and have records."""
    return [chunk for chunk in chunks if chunk.slices and chunk.chunk_no * CHUNK_BYTES < length]
