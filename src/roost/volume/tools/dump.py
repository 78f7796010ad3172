"""Writing a volume's metadata as JuiceFS's JSON dump.

The tree is walked depth first and written as it is read: memory is one page of entries for each
directory on the way, whatever the volume's size.  On engines with snapshots the dump is of one
moment.  Redis has none: an entry whose node is not found is looked at again, and left out if it has
gone meanwhile; what is moved or unlinked during the dump may stand where it was, but not twice.
Source: the volume format reference, section 7.1.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import BinaryIO

from roost.errors import CorruptRecord
from roost.volume.errors import NotFormatted
from roost.volume.layout import CHUNK_BYTES, chunk_count
from roost.volume.meta.lookup import resolve
from roost.volume.meta.reads import Scans
from roost.volume.meta.txn import Engine
from roost.volume.meta.usage import TOTAL_INODES
from roost.volume.model import (
    ROOT,
    SUPERUSER,
    TRASH,
    AclRule,
    Attr,
    ChunkSlices,
    Edge,
    Ino,
    Kind,
)
from roost.volume.settings import decode_settings
from roost.volume.tools import dump_records as records
from roost.volume.tools.dump_head import head_text
from roost.volume.tools.numbers_seen import NumbersSeen

Progress = Callable[[int, int], None]
"""Told (done, in all)."""

PAGE_ENTRIES = 1000
_DEEP = 32  # directories below this depth are read in small pages: each holds one in memory
_DEEP_PAGE_ENTRIES = 32
_CHUNKS_AT_ONCE = 4096
_WRITE_CHARS = 1 << 18
_INDENT = "  "


@dataclass(frozen=True, slots=True)
class DumpOptions:
    """What to write.  With `skip_damaged` entries that cannot be read are left out and reported."""

    subdir: str = "/"
    keep_secrets: bool = False
    skip_trash: bool = False
    skip_damaged: bool = False


@dataclass(slots=True)
class DumpReport:
    """What was written; `damaged` names what was left out.

    `moved` entries are not in their new places, as they stand already where they were before.
    """

    entries: int = 0
    moved: int = 0
    damaged: list[str] = field(default_factory=list)


def dump(
    engine: Engine,
    out: BinaryIO,
    options: DumpOptions | None = None,
    progress: Progress = lambda _done, _all: None,
) -> DumpReport:
    """Write the dump to `out`.

    Raises NotFormatted; FsError if the sub-directory is none; CorruptRecord for damage, unless it
    is to be skipped; Unavailable.
    """
    wanted = options or DumpOptions()
    top = resolve(engine, wanted.subdir, SUPERUSER, follow=True)
    if not top.attr.is_directory:
        raise CorruptRecord(wanted.subdir, "it is no directory", hint="Name a directory.")
    with engine.scan() as scans:
        text = engine.read(lambda reads: reads.setting())
        if text is None:
            raise NotFormatted("no volume there")
        writer = _TreeWriter(engine, scans, _Text(out), wanted, progress)
        writer.text.write(head_text(scans, decode_settings(text), keep_secrets=wanted.keep_secrets))
        writer.tree("FSTree", top.ino)
        if not wanted.skip_trash and top.ino == ROOT and scans.nodes_of([TRASH])[0] is not None:
            writer.text.write(",")
            writer.tree("Trash", TRASH)
        writer.text.write("\n}\n")
        writer.text.flush()
    return writer.report


class _Text:
    """Text on its way into a file, in large pieces."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._parts: list[str] = []
        self._chars = 0

    def write(self, part: str) -> None:
        self._parts.append(part)
        self._chars += len(part)
        if self._chars >= _WRITE_CHARS:
            self.flush()

    def flush(self) -> None:
        self._out.write("".join(self._parts).encode())
        self._parts.clear()
        self._chars = 0


@dataclass(slots=True)
class _Child:
    """An entry with all that is written of it; of a directory, all but its entries."""

    name: bytes
    ino: Ino
    attr: Attr
    chunks: Sequence[ChunkSlices] = ()
    xattrs: Sequence[tuple[bytes, bytes]] = ()
    target: bytes = b""


@dataclass(slots=True)
class _Open:
    """A directory being written."""

    children: Iterator[_Child]
    depth: int
    is_first: bool = True


class _TreeWriter:
    """Writes trees; `report` says what came of it."""

    def __init__(
        self,
        engine: Engine,
        scans: Scans,
        text: _Text,
        options: DumpOptions,
        progress: Progress,
    ) -> None:
        self.text = text
        self.report = DumpReport()
        self._engine = engine
        self._scans = scans
        self._skip_damaged = options.skip_damaged
        self._progress = progress
        self._total = (scans.counter(TOTAL_INODES) or 0) + 2
        self._rules: dict[int, AclRule] = dict(scans.all_acls())
        self._seen = NumbersSeen()
        self._linked = NumbersSeen()  # of those, with several names when first seen

    def tree(self, key: str, top: Ino) -> None:
        """Write the field `key` with the directory `top` and everything below."""
        attr = self._scans.nodes_of([top])[0]
        if attr is None:
            raise CorruptRecord(f"inode {top}", "the directory does not exist")
        self._seen.add(top)
        xattrs = self._scans.xattrs_of([top]).get(top, [])
        self._begin(_Child(key.encode(), top, attr, xattrs=xattrs), 1)
        open_: list[_Open] = [_Open(self._children(top, 1), 1)]
        while open_:
            folder = open_[-1]
            child = next(folder.children, None)
            if child is None:
                self._end(folder.depth)
                open_.pop()
                continue
            if not folder.is_first:
                self.text.write(",")
            folder.is_first = False
            if child.attr.kind is Kind.DIRECTORY:
                depth = folder.depth + 2
                self._begin(child, depth)
                open_.append(_Open(self._children(child.ino, depth), depth))
            else:
                self._leaf(child, folder.depth + 2)
        self._progress(self.report.entries, self._total)

    # ---- reading
    def _children(self, ino: Ino, depth: int) -> Iterator[_Child]:
        at_once = PAGE_ENTRIES if depth <= 2 * _DEEP else _DEEP_PAGE_ENTRIES
        entries = iter(self._scans.entries_of(ino))
        while page := list(islice(entries, at_once)):
            yield from self._complete(ino, page)
            self._progress(self.report.entries, self._total)

    def _complete(self, parent: Ino, page: list[tuple[bytes, Edge]]) -> Iterator[_Child]:
        scans = self._scans
        inos = [edge.ino for _, edge in page]
        attrs = scans.nodes_of(inos)
        distinct = list(dict.fromkeys(inos))  # hard links name a node twice
        xattrs = scans.xattrs_of(distinct)
        links = list({edge.ino for _, edge in page if edge.kind is Kind.SYMLINK})
        targets = scans.symlinks_of(links) if links else {}
        chunks: dict[Ino, list[ChunkSlices]] = {}
        known = 0  # chunks of the entries before this place have been read
        for place, (name, edge) in enumerate(page):
            if place >= known:
                known, chunks = self._read_chunks(inos, attrs, place)
            attr = attrs[place]
            if attr is None:
                self._missing(parent, name, edge)
                continue
            if self._stands_already(edge.ino, attr):
                self._stands_twice(parent, name, edge)
                continue
            child = _Child(name, edge.ino, attr, xattrs=self._spelled(edge.ino, xattrs))
            if attr.kind is Kind.FILE:
                child.chunks = _within(chunks.get(edge.ino, ()), attr.length)
            elif attr.kind is Kind.SYMLINK:
                child.target = targets.get(edge.ino, b"")
                if not child.target:
                    self._damaged(f"symbolic link {edge.ino}", "it has no target")
                    continue
            yield child

    def _spelled(
        self, ino: Ino, xattrs: dict[Ino, list[tuple[bytes, bytes]]]
    ) -> Sequence[tuple[bytes, bytes]]:
        """Return a node's extended attributes; the dump can only name those that are text."""
        found = xattrs.get(ino, ())
        odd = [name for name, _ in found if not _is_text(name)]
        for name in odd:
            self._damaged(f"inode {ino}", f"the name of attribute {name!r} is no text")
        return [pair for pair in found if pair[0] not in odd] if odd else found

    def _read_chunks(
        self, inos: list[Ino], attrs: list[Attr | None], start: int
    ) -> tuple[int, dict[Ino, list[ChunkSlices]]]:
        """Read the chunks of some entries from `start`; return the first not read, and them.

        Without a snapshot, the data of a file may be gone since its attributes were read; such a
        file becomes one without attributes, and never one of zeros.
        """
        lengths: dict[Ino, int] = {}  # each once, though hard links name it twice
        chunks = 0
        place = start
        while place < len(inos) and (chunks < _CHUNKS_AT_ONCE or place == start):
            attr = attrs[place]
            if attr is not None and attr.kind is Kind.FILE and attr.length:
                lengths[inos[place]] = attr.length
                chunks += chunk_count(attr.length)
            place += 1
        if not lengths:
            return place, {}
        found = self._scans.slices_of(list(lengths), list(lengths.values()))
        empty = [ino for ino in lengths if ino not in found]
        nodes = self._scans.nodes_of(empty) if empty else []
        gone = {ino for ino, attr in zip(empty, nodes, strict=True) if attr is None}
        for at in range(start, place) if gone else ():
            if inos[at] in gone:
                attrs[at] = None
        return place, found

    def _missing(self, parent: Ino, name: bytes, edge: Edge) -> None:
        """An entry's node was not found: gone meanwhile, or damaged."""
        is_there, has_node = self._engine.read(
            lambda reads: (reads.edge(parent, name) == edge, reads.node(edge.ino) is not None)
        )
        if is_there and not has_node:
            where = f"entry {name!r} of directory {parent}"
            self._damaged(where, f"inode {edge.ino} does not exist")

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
            where = f"entry {name!r} of directory {parent}"
            self._damaged(where, f"inode {edge.ino} stands twice but has one name")
        else:
            self.report.moved += 1

    def _is_misplaced(self, parent: Ino, name: bytes, edge: Edge) -> bool:
        """True if an entry is there, but its node's parent is another directory."""
        is_there, node = self._engine.read(
            lambda reads: (reads.edge(parent, name) == edge, reads.node(edge.ino))
        )
        return is_there and node is not None and node.parent not in (0, parent)

    def _damaged(self, where: str, why: str) -> None:
        if not self._skip_damaged:
            raise CorruptRecord(
                where, why, hint="Use --skip-damaged to dump what can be read, then run roost fsck."
            )
        self.report.damaged.append(f"{where}: {why}")

    # ---- writing
    def _begin(self, child: _Child, depth: int) -> None:
        fields = self._fields(child, depth)
        self.text.write(f'{fields},\n{_INDENT * (depth + 1)}"entries": {{')

    def _end(self, depth: int) -> None:
        self.text.write(f"\n{_INDENT * (depth + 1)}}}\n{_INDENT * depth}}}")

    def _leaf(self, child: _Child, depth: int) -> None:
        self.text.write(f"{self._fields(child, depth)}\n{_INDENT * depth}}}")

    def _fields(self, child: _Child, depth: int) -> str:
        """Return the entry's opening and all fields but `entries`."""
        self.report.entries += 1
        attr = child.attr
        inner = f",\n{_INDENT * (depth + 1)}"
        text = (
            f'\n{_INDENT * depth}"{records.escape(child.name)}": {{{inner[1:]}"attr": '
            f"{records.attr_text(child.ino, attr)}"
        )
        if child.target:
            text += f'{inner}"symlink": "{records.escape(child.target)}"'
        if child.xattrs:
            text += f'{inner}"xattrs": {records.xattrs_text(child.xattrs)}'
        if attr.access_acl:
            text += f'{inner}"posix_acl_access": {self._rule(child.ino, attr.access_acl)}'
        if attr.default_acl:
            text += f'{inner}"posix_acl_default": {self._rule(child.ino, attr.default_acl)}'
        if len(child.chunks) == 1:
            text += f'{inner}"chunks": [{records.chunk_text(child.chunks[0])}]'
        elif child.chunks:
            lines = f",{inner[1:]}{_INDENT}".join(map(records.chunk_text, child.chunks))
            text += f'{inner}"chunks": [{inner[1:]}{_INDENT}{lines}{inner[1:]}]'
        return text

    def _rule(self, ino: Ino, number: int) -> str:
        rule = self._rules.get(number)
        if rule is None:
            rule = self._engine.read(lambda reads: reads.acl(number))  # stored since the start
        if rule is None:
            self._damaged(f"inode {ino}", f"access rule {number} does not exist")
            rule = AclRule()
        self._rules[number] = rule
        return records.acl_text(rule)


def _is_text(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _within(chunks: Sequence[ChunkSlices], length: int) -> list[ChunkSlices]:
    """Return the chunks that hold bytes of a file this long and have records."""
    return [chunk for chunk in chunks if chunk.slices and chunk.chunk_no * CHUNK_BYTES < length]
