"""Writing a volume's metadata as JuiceFS's JSON dump.

The tree is walked depth first and written as it is read: memory is one page of entries for each
directory on the way, whatever the volume's size.  Where several threads may read, the next pages
are read while these are written.  On engines with snapshots the dump is of one moment.  On Redis,
which has none, what is moved or unlinked during it may stand where it was or nowhere, and never
twice.
Source: the volume format reference, section 7.1.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO

from roost.errors import CorruptRecord
from roost.volume.errors import NotFormatted
from roost.volume.meta.lookup import resolve
from roost.volume.meta.reads import Scans
from roost.volume.meta.txn import Engine
from roost.volume.meta.usage import TOTAL_INODES
from roost.volume.model import ROOT, SUPERUSER, TRASH, TRASH_NAME, AclRule, Ino, Kind
from roost.volume.settings import decode_settings
from roost.volume.tools import dump_records as records
from roost.volume.tools.ahead import read_ahead
from roost.volume.tools.dump_head import head_text
from roost.volume.tools.dump_plain import plain_text
from roost.volume.tools.dump_records import INDENT
from roost.volume.tools.dump_tree import Child, End, Files, Piece, TreeReader, batches

Progress = Callable[[int, int], None]
"""Told (done, in all)."""

_PAGES_AHEAD = 2
_WRITE_CHARS = 1 << 18


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
        writer.tree("FSTree", top.ino, os.fsencode(wanted.subdir))
        if not wanted.skip_trash and top.ino == ROOT and scans.nodes_of([TRASH])[0] is not None:
            writer.text.write(",")
            writer.tree("Trash", TRASH, TRASH_NAME)
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
        self._reader = TreeReader(engine, scans, self._damaged)
        self._skip_damaged = options.skip_damaged
        self._progress = progress
        self._total = scans.counter(TOTAL_INODES) or 0
        self._rules: dict[int, AclRule] = dict(scans.all_acls())
        self._open: list[bool] = []  # of each directory being written: it has an entry already

    def tree(self, key: str, top: Ino, path: bytes) -> None:
        """Write the field `key` with the directory `top` at `path` and everything below."""
        pages = batches(self._reader.walk(key.encode(), top, path))
        with read_ahead(pages, _PAGES_AHEAD if self._scans.is_for_threads else 0) as found:
            for pieces in found:
                for piece in pieces:
                    self._write(piece)
                self._progress(self.report.entries, self._total)
        self.report.moved = self._reader.moved

    def _damaged(self, where: str, why: str) -> None:
        if not self._skip_damaged:
            raise CorruptRecord(
                where,
                why,
                hint="`roost fsck META-URL` names all damage; --skip-damaged dumps the rest.",
            )
        self.report.damaged.append(f"{where}: {why}")

    def _write(self, piece: Piece) -> None:
        depth = 2 * len(self._open) + 1
        if isinstance(piece, End):
            self._open.pop()
            depth -= 2
            self.text.write(f"\n{INDENT * (depth + 1)}}}\n{INDENT * depth}}}")
            return
        if self._open and self._open[-1]:
            self.text.write(",")
        elif self._open:
            self._open[-1] = True
        if isinstance(piece, Files):
            self.text.write(plain_text(piece.files, depth))
            self.report.entries += len(piece.files)
        elif piece.attr.kind is Kind.DIRECTORY:
            self.text.write(f'{self._fields(piece, depth)},\n{INDENT * (depth + 1)}"entries": {{')
            self._open.append(False)
        else:
            self.text.write(f"{self._fields(piece, depth)}\n{INDENT * depth}}}")

    def _fields(self, child: Child, depth: int) -> str:
        """Return the entry's opening and all fields but `entries`."""
        self.report.entries += bool(self._open)  # a tree's top is no entry
        attr = child.attr
        inner = f",\n{INDENT * (depth + 1)}"
        text = (
            f'\n{INDENT * depth}"{records.escape(child.name)}": {{{inner[1:]}"attr": '
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
            lines = f",{inner[1:]}{INDENT}".join(map(records.chunk_text, child.chunks))
            text += f'{inner}"chunks": [{inner[1:]}{INDENT}{lines}{inner[1:]}]'
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
