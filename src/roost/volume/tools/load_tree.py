"""From the trees of a dump to effects: the half of `load` that knows what a volume must hold.

Link counts, parents, directory statistics, reference counts, what is used and the next free
numbers are computed from the tree; what the dump says of them is not believed.  A directory is
stored after all it holds, when its subdirectories are counted.  Memory: the directories on the way
to the present entry, one bit per inode and slice, the distinct access rules, and the number of each
directory whose names are in no order.
Source: the volume format reference, section 7.1.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from operator import lt
from typing import Any

from roost.errors import CorruptRecord
from roost.volume.layout import CHUNK_BYTES, align_4k
from roost.volume.meta.effects import (
    AddEdge,
    AddNode,
    AddSliceRefs,
    AppendSlices,
    ChangeNode,
    NodeChange,
    PutAcl,
    PutDirUsage,
    PutQuota,
    PutSymlink,
    PutXattr,
)
from roost.volume.meta.rules import is_trash
from roost.volume.meta.stored_files import AddStoredFiles
from roost.volume.meta.stored_records import parts_of
from roost.volume.meta.usage import space_of
from roost.volume.model import (
    NODE_SPACE_BYTES,
    ROOT,
    TRASH,
    AclRule,
    Attr,
    ChunkNo,
    DirUsage,
    Edge,
    Ino,
    Kind,
    Quota,
    QuotaKind,
    Slice,
)
from roost.volume.tools import dump_records as records
from roost.volume.tools.json_stream import JsonStream
from roost.volume.tools.numbers_seen import NumbersSeen
from roost.volume.tools.plain_files import (
    AT_ONCE,
    ENTRY_CHARS_MAX,
    PLAIN,
    PlainFiles,
    document_of,
    plain_files,
)

_LEAF = re.compile(
    r'\s*\{\s*"attr"\s*:\s*\{\s*"inode"\s*:\s*\d+\s*,\s*(?:"flags"\s*:\s*\d+\s*,\s*)?'
    r'"type"\s*:\s*"(?!directory)'
)
_FIELDS = frozenset(
    ["attr", "symlink", "xattrs", "posix_acl_access", "posix_acl_default", "chunks", "entries"]
)
_TOPS = (ROOT, TRASH)
_NO_INO = Ino(0)
_FIRST_CHUNK = ChunkNo(0)
Emit = Callable[..., None]
"""Takes effects, in the order in which they are to be applied."""


@dataclass(slots=True)
class Totals:
    """What the trees add up to."""

    inodes: int = 0
    space_bytes: int = 0
    next_ino: int = 2
    next_slice: int = 1
    last_trash: int = 0
    users: dict[int, tuple[int, int]] = field(default_factory=dict)  # uid: (bytes, inodes)
    groups: dict[int, tuple[int, int]] = field(default_factory=dict)


@dataclass(slots=True)
class _Frame:
    """An entry whose fields are being read one by one."""

    name: str
    parent: Ino
    fields: Iterator[str]
    document: dict[str, Any] = field(default_factory=dict)
    entries: Iterator[str] | None = None
    ino: Ino = _NO_INO
    attr: Attr | None = None
    subdirectories: int = 0
    length: int = 0  # of the direct children, as is `space_bytes` and `inodes`
    space_bytes: int = 0
    inodes: int = 0
    last_name: bytes = b""
    is_sorted: bool = True
    below_bytes: int = 0  # of all below, as is `below_inodes`
    below_inodes: int = 0


class TreeLoader:
    """Turns trees into effects.  `totals` is right when all trees have been read.

    `unsorted` are then the directories whose names were in no order, with the number of names: only
    what is stored can tell whether one stood twice.
    """

    def __init__(
        self,
        stream: JsonStream,
        emit: Emit,
        *,
        limits: dict[int, Quota],
        dir_stats: bool,
        count_owners: bool,
    ) -> None:
        """Read from `stream`; `limits` are the quotas of directories by inode."""
        self.totals = Totals()
        self.names = 0
        self.unsorted: dict[Ino, int] = {}
        self._stream = stream
        self._emit = emit
        self._limits = limits
        self._dir_stats = dir_stats
        self._count_owners = count_owners
        self._inos = NumbersSeen()
        self._links = NumbersSeen()  # nodes that a dump says have several names
        self._slices = NumbersSeen()
        self._rules: dict[AclRule, int] = {}

    def tree(self, top: Ino) -> None:
        """Read one tree; its top becomes `top`.  Raises CorruptRecord."""
        stack = [_Frame("", ROOT, self._stream.fields(), ino=top)]
        while stack:
            frame = stack[-1]
            if frame.entries is not None:
                if frame.inodes:
                    self._take_plain(frame)
                name = next(frame.entries, None)
                if name is None:
                    frame.entries = None
                elif self._stream.matches(_LEAF):
                    document = self._stream.value()
                    self._add_leaf(frame, name, document)
                else:
                    stack.append(_Frame(name, frame.ino, self._stream.fields()))
                continue
            key = next(frame.fields, None)
            if key is None:
                stack.pop()
                self._close(frame, stack[-1] if stack else None)
            elif key == "entries":
                self._open_directory(frame, is_top=len(stack) == 1)
                frame.entries = self._stream.fields()
            else:
                frame.document[key] = self._stream.value()

    @property
    def _where(self) -> str:
        return self._stream.where

    # ---- directories
    def _open_directory(self, frame: _Frame, *, is_top: bool) -> None:
        if "attr" not in frame.document or frame.attr is not None:
            raise CorruptRecord(self._where, "entries without attr before them, or twice")
        ino, attr = records.attr_of(frame.document["attr"], frame.parent, self._where)
        if not attr.is_directory:
            raise CorruptRecord(self._where, f"inode {ino} has entries but is no directory")
        frame.attr = attr
        if is_top:
            self._inos.add(ino)  # of a sub-directory's dump: it becomes the root
            ino = frame.ino
        elif ino in _TOPS or ino == 0 or is_trash(ino) != (frame.parent == TRASH):
            raise CorruptRecord(self._where, f"a directory with inode {ino} in {frame.parent}")
        frame.ino = ino
        if not self._inos.add(ino) and not is_top:
            raise CorruptRecord(self._where, f"directory {ino} stands twice")

    def _close(self, frame: _Frame, parent: _Frame | None) -> None:
        if frame.attr is None:  # it has no entries, so its fields were read one by one in vain
            if parent is None or self._is_directory(frame.document):
                raise CorruptRecord(self._where, f"directory {frame.name!r} without entries")
            self._add_leaf(parent, frame.name, frame.document)
            return
        self._check_fields(frame.document)
        for unfit in ("chunks", "symlink"):
            if unfit in frame.document:
                raise CorruptRecord(self._where, f"directory {frame.ino} has {unfit}")
        if not frame.is_sorted:
            self.unsorted[frame.ino] = frame.inodes
        nlink = 2 + (0 if is_trash(frame.ino) else frame.subdirectories)
        attr = self._with_rules(frame.document, replace(frame.attr, nlink=nlink))
        self._emit(AddNode(frame.ino, attr))
        self._emit_xattrs(frame.ino, frame.document)
        if self._dir_stats and frame.ino != TRASH:
            usage = DirUsage(frame.length, frame.space_bytes, frame.inodes)
            self._emit(PutDirUsage(frame.ino, usage))
        limit = self._limits.get(frame.ino)
        if limit is not None:
            used = replace(
                limit, used_space_bytes=frame.below_bytes, used_inodes=frame.below_inodes
            )
            self._emit(PutQuota(QuotaKind.DIRECTORY, frame.ino, used))
        if parent is None:
            return
        parent.below_bytes += frame.below_bytes
        parent.below_inodes += frame.below_inodes
        parent.subdirectories += 1
        self._add_name(parent, frame.name, frame.ino, attr)
        self._count(frame.ino, attr)

    def _is_directory(self, document: dict[str, Any]) -> bool:
        attr = document.get("attr")
        return isinstance(attr, dict) and attr.get("type") == "directory"

    # ---- other nodes
    def _add_leaf(self, parent: _Frame, name: str, document: dict[str, Any]) -> None:
        where = f"{self._where}, entry {name!r}"
        self._check_fields(document)
        ino, attr = records.attr_of(document.get("attr"), parent.ino, where)
        if (
            attr.is_directory
            or "entries" in document
            or ino in (0, ROOT)
            or is_trash(ino)
            or parent.ino == TRASH
        ):
            raise CorruptRecord(where, f"inode {ino} is not what its place makes it")
        if attr.kind is Kind.SYMLINK:
            target = records.symlink_of(document.get("symlink"), where)
            attr = replace(attr, length=len(target))
        elif "symlink" in document:
            raise CorruptRecord(where, f"inode {ino} has a target but is no symbolic link")
        nlink = document["attr"].get("nlink", 1)
        if self._inos.add(ino):
            if nlink > 1:
                self._links.add(ino)
            attr = self._with_rules(document, attr)
            self._emit(AddNode(ino, attr))
            if attr.kind is Kind.SYMLINK:
                self._emit(PutSymlink(ino, target))
            self._emit_xattrs(ino, document)
            self._emit_chunks(ino, attr, document)
            self._count(ino, attr)
        elif nlink > 1 and ino in self._links:
            self._emit(ChangeNode(ino, NodeChange(nlink_by=1, parent=Ino(0))))
        else:
            raise CorruptRecord(where, f"inode {ino} stands twice but has one name")
        self._add_name(parent, name, ino, attr)

    def _take_plain(self, parent: _Frame) -> None:
        """Take the plain files that stand behind another entry."""
        while found := self._stream.run(PLAIN, AT_ONCE, ENTRY_CHARS_MAX):
            files = None if parent.ino == TRASH else plain_files(found, parent.ino)
            if files is None or not self._inos.add_new(files.inos):
                for one in found:
                    self._stream.back_to(one)
                    self._add_leaf(parent, *document_of(one))
            else:
                self._add_files(parent, files)

    def _add_files(self, parent: _Frame, files: PlainFiles) -> None:
        self._note_names(parent, [file.name for file in files.stored])
        added = AddStoredFiles(parent.ino, files.stored)
        if self._slices.add_new(files.slice_ids):
            self._emit(added)
        else:  # files share a slice
            self._emit(*parts_of(added, self._slices.add))
        totals = self.totals
        spaces = [align_4k(length) for length in files.lengths]
        space = sum(spaces)
        parent.length += sum(files.lengths)
        parent.space_bytes += space
        parent.inodes += len(spaces)
        parent.below_bytes += space
        parent.below_inodes += len(spaces)
        self.names += len(spaces)
        totals.inodes += len(spaces)
        totals.space_bytes += space
        totals.next_ino = max(totals.next_ino, max(files.inos) + 1)
        totals.next_slice = max(totals.next_slice, max(files.slice_ids, default=0) + 1)
        if self._count_owners:
            for uid, gid, used in zip(files.uids, files.gids, spaces, strict=True):
                self._count_owner(uid, gid, used)

    def _note_names(self, parent: _Frame, names: list[bytes]) -> None:
        if not all(map(lt, [parent.last_name, *names], names)):
            for before, name in zip([parent.last_name, *names], names, strict=False):
                if before == name:
                    raise CorruptRecord(self._where, f"entry {name!r} stands twice")
            parent.is_sorted = False
        parent.last_name = names[-1]

    def _add_name(self, parent: _Frame, text: str, ino: Ino, attr: Attr) -> None:
        name = records.name_of(text, self._where)
        self._note_names(parent, [name])
        self._emit(AddEdge(parent.ino, name, Edge(attr.kind, ino)))
        space = space_of(attr)
        parent.length += attr.length if attr.is_file else 0
        parent.space_bytes += space
        parent.inodes += 1
        parent.below_bytes += space
        parent.below_inodes += 1
        self.names += 1

    def _emit_chunks(self, ino: Ino, attr: Attr, document: dict[str, Any]) -> None:
        if "chunks" not in document:
            return
        if not attr.is_file:
            raise CorruptRecord(self._where, f"inode {ino} has data but is no file")
        for chunk in records.chunks_of(document["chunks"], ino, self._where):
            if not chunk.slices or chunk.chunk_no * CHUNK_BYTES >= attr.length:
                continue
            self._emit(AppendSlices(ino, chunk.chunk_no, chunk.slices))
            self._emit(*(self._reference(one) for one in chunk.slices if one.id))

    def _reference(self, one: Slice) -> AddSliceRefs:
        if one.id >= self.totals.next_slice:
            self.totals.next_slice = one.id + 1
        return AddSliceRefs(one.id, 1, one.size, is_new=self._slices.add(one.id))

    # ---- what all nodes have
    def _check_fields(self, document: Any) -> None:
        if not isinstance(document, dict):
            raise CorruptRecord(self._where, "an entry that is no object")
        if not document.keys() <= _FIELDS:
            unknown = ", ".join(sorted(document.keys() - _FIELDS))
            raise CorruptRecord(self._where, f"unknown fields of an entry: {unknown}")

    def _with_rules(self, document: dict[str, Any], attr: Attr) -> Attr:
        for name, attribute in (
            ("posix_acl_access", "access_acl"),
            ("posix_acl_default", "default_acl"),
        ):
            if document.get(name) is not None:
                rule = records.acl_of(document[name], self._where)
                number = self._rules.get(rule)
                if number is None:
                    number = self._rules[rule] = len(self._rules) + 1
                    self._emit(PutAcl(number, rule))
                attr = replace(attr, **{attribute: number})  # type: ignore[arg-type]
        return attr

    def _emit_xattrs(self, ino: Ino, document: dict[str, Any]) -> None:
        if "xattrs" in document:
            for name, value in records.xattrs_of(document["xattrs"], self._where):
                self._emit(PutXattr(ino, name, value))

    def _count(self, ino: Ino, attr: Attr) -> None:
        totals = self.totals
        space = NODE_SPACE_BYTES if not attr.is_file else space_of(attr)
        totals.inodes += 1
        totals.space_bytes += space
        if is_trash(ino):
            totals.last_trash = max(totals.last_trash, ino - TRASH)
        elif ino >= totals.next_ino:
            totals.next_ino = ino + 1
        if self._count_owners:
            self._count_owner(attr.uid, attr.gid, space)

    def _count_owner(self, uid: int, gid: int, space: int) -> None:
        totals = self.totals
        for owners, owner in ((totals.users, uid), (totals.groups, gid)):
            used, inodes = owners.get(owner, (0, 0))
            owners[owner] = (used + space, inodes + 1)
