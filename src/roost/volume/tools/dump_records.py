"""The records of JuiceFS's JSON dump: nodes, chunks, attributes and rules as text, and back.

Names, link targets and values of extended attributes are bytes.  In the dump they are text in
which bytes up to 0x20, `%`, `"`, `\\` and bytes that are not UTF-8 stand as `%XX`.
Source: the volume format reference, section 7.1.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from roost.errors import CorruptRecord
from roost.volume.layout import CHUNK_BYTES
from roost.volume.model import (
    DIRECTORY_LENGTH_BYTES,
    NAME_BYTES_MAX,
    SYMLINK_BYTES_MAX,
    XATTR_NAME_BYTES_MAX,
    XATTR_VALUE_BYTES_MAX,
    AclRule,
    Attr,
    ChunkNo,
    ChunkSlices,
    Ino,
    Kind,
    Slice,
    SliceId,
)

INDENT = "  "
_SECOND_NS = 1_000_000_000
_KIND_WORDS = {
    Kind.FILE: "regular",
    Kind.DIRECTORY: "directory",
    Kind.SYMLINK: "symlink",
    Kind.FIFO: "fifo",
    Kind.BLOCK_DEVICE: "blockdev",
    Kind.CHAR_DEVICE: "chardev",
    Kind.SOCKET: "socket",
}
_KINDS = {word: kind for kind, word in _KIND_WORDS.items()}
# By the kind's number, which is quicker to look up than the kind.
_WORDS = [_KIND_WORDS[Kind(n)] if n else "" for n in range(max(Kind) + 1)]
_PLAIN = re.compile(rb"[!#$&-\[\]-\x7f]*")
_SPECIAL = re.compile(r'[\x00-\x20%"\\\udc80-\udcff]')
_ESCAPED = re.compile(rb"%([0-9A-F]{2})")
_U32 = (1 << 32) - 1
_U64 = (1 << 64) - 1

Json = Any
"""A value as json.loads gives it; every field is checked before it is used."""


# ---- bytes and text
def escape(raw: bytes) -> str:
    """Return bytes as the dump spells them, ready to stand between quotes."""
    if _PLAIN.fullmatch(raw):
        return raw.decode()
    return _SPECIAL.sub(_percent, raw.decode("utf-8", "surrogateescape"))


def is_plain(raw: bytes) -> bool:
    """True if `escape` has nothing to do, nor any other who reads ASCII."""
    return _PLAIN.fullmatch(raw) is not None


def _percent(match: "re.Match[str]") -> str:
    return f"%{ord(match[0]) & 0xFF:02X}"


def unescape(text: str, where: str) -> bytes:
    """Undo `escape`; a `%` without two upper-case hex digits stands for itself.

    Raises CorruptRecord, naming `where`, for text that is no Unicode.
    """
    try:
        raw = text.encode()
    except UnicodeEncodeError as error:
        raise CorruptRecord(where, "a name that is no Unicode text") from error
    if b"%" not in raw:
        return raw
    return _ESCAPED.sub(lambda match: bytes.fromhex(match[1].decode()), raw)


# ---- attributes
def attr_text(ino: Ino, attr: Attr) -> str:
    """Return a node's attributes as the dump's one-line object."""
    atime, atime_ns = divmod(attr.atime_ns, _SECOND_NS)
    mtime, mtime_ns = divmod(attr.mtime_ns, _SECOND_NS)
    ctime, ctime_ns = mtime, mtime_ns
    if attr.ctime_ns != attr.mtime_ns:
        ctime, ctime_ns = divmod(attr.ctime_ns, _SECOND_NS)
    flags = f'"flags":{int(attr.flags)},' if attr.flags else ""
    rest = f',"atimensec":{atime_ns}' if atime_ns else ""
    if mtime_ns:
        rest += f',"mtimensec":{mtime_ns}'
    if ctime_ns:
        rest += f',"ctimensec":{ctime_ns}'
    length = attr.length if attr.kind is Kind.FILE else 0
    end = f',"rdev":{attr.rdev}' if attr.rdev else ""
    if attr.tier:
        end += f',"tier":{attr.tier}'
    return (
        f'{{"inode":{ino},{flags}"type":"{_WORDS[attr.kind]}","mode":{attr.mode}'
        f',"uid":{attr.uid},"gid":{attr.gid},"atime":{atime},"mtime":{mtime},"ctime":{ctime}'
        f'{rest},"nlink":{attr.nlink},"length":{length}{end}}}'
    )


_ATTR_FIELDS = {
    "inode": _U64 >> 1, "flags": 0xFF, "mode": 0o7777, "uid": _U32, "gid": _U32, "atime": 0,
    "mtime": 0, "ctime": 0, "atimensec": _SECOND_NS - 1, "mtimensec": _SECOND_NS - 1,
    "ctimensec": _SECOND_NS - 1, "nlink": _U32, "length": CHUNK_BYTES << 31, "rdev": _U32,
    "tier": 0xFF,
}  # fmt: skip
"""The greatest value of each number; times may be anything."""
_ATTR_KEYS = frozenset([*_ATTR_FIELDS, "type"])
_NEEDED = frozenset(["inode", "type", "mode", "uid", "gid", "atime", "mtime", "ctime", "length"])
TIME_S_MAX = 1 << 40


def attr_of(document: Json, parent: Ino, where: str) -> tuple[Ino, Attr]:
    """Return inode and attributes; nlink is what one name and no child make it.

    Raises CorruptRecord, naming `where`, for fields that are unknown, missing or out of range.
    """
    if not isinstance(document, dict):
        raise CorruptRecord(where, "attr is no object")
    if not document.keys() >= _NEEDED or not document.keys() <= _ATTR_KEYS:
        odd = sorted((_NEEDED - document.keys()) | (document.keys() - _ATTR_KEYS))
        raise CorruptRecord(where, f"attr has missing or unknown fields: {', '.join(odd)}")
    kind = _KINDS.get(document["type"])
    if kind is None:
        raise CorruptRecord(where, f"unknown type {document['type']!r}")
    for name, value in document.items():
        if name == "type":
            continue
        most = _ATTR_FIELDS[name]
        if type(value) is not int or not (0 <= value <= most if most else abs(value) <= TIME_S_MAX):
            raise CorruptRecord(where, f"{name} is {value!r}")
    get = document.get
    length = document["length"] if kind is Kind.FILE else 0
    return Ino(document["inode"]), Attr(
        kind=kind,
        mode=document["mode"],
        uid=document["uid"],
        gid=document["gid"],
        atime_ns=document["atime"] * _SECOND_NS + get("atimensec", 0),
        mtime_ns=document["mtime"] * _SECOND_NS + get("mtimensec", 0),
        ctime_ns=document["ctime"] * _SECOND_NS + get("ctimensec", 0),
        nlink=2 if kind is Kind.DIRECTORY else 1,
        length=DIRECTORY_LENGTH_BYTES if kind is Kind.DIRECTORY else length,
        rdev=get("rdev", 0),
        parent=parent,
        flags=get("flags", 0),
        tier=get("tier", 0),
    )


# ---- data
def chunk_text(chunk: ChunkSlices) -> str:
    """Return a chunk's records as the dump's one-line object."""
    records = ",".join(map(_slice_text, chunk.slices))
    return f'{{"index":{chunk.chunk_no},"slices":[{records}]}}'


def _slice_text(one: Slice) -> str:
    pos = f',"pos":{one.pos}' if one.pos else ""
    offset = f',"off":{one.offset}' if one.offset else ""
    return f'{{"id":{one.id}{pos},"size":{one.size}{offset},"len":{one.length}}}'


_SLICE_KEYS = frozenset(["id", "chunkid", "pos", "size", "off", "len"])


def chunks_of(document: Json, ino: Ino, where: str) -> list[ChunkSlices]:
    """Return a file's chunks.  Raises CorruptRecord, naming `where`."""
    chunks = []
    for chunk in _items(document, where):
        fields = _fields(chunk, ("index", "slices"), where)
        index = _number(fields.get("index", 0), _U32 >> 1, "index", where)
        slices = tuple(_slice_of(one, where) for one in _items(fields.get("slices"), where))
        chunks.append(ChunkSlices(ino, ChunkNo(index), slices))
    if len({chunk.chunk_no for chunk in chunks}) != len(chunks):
        raise CorruptRecord(where, "a chunk stands twice")
    return chunks


def _slice_of(document: Json, where: str) -> Slice:
    fields = _fields(document, _SLICE_KEYS, where)
    get = fields.get
    # Dumps of JuiceFS before 1.0 call the id `chunkid`.
    ids = [_number(get(name, 0), _U64 >> 1, name, where) for name in ("id", "chunkid")]
    slice_id = ids[0] or ids[1]
    pos = _number(get("pos", 0), CHUNK_BYTES, "pos", where)
    size = _number(get("size"), _U32, "size", where)
    offset = _number(get("off", 0), _U32, "off", where)
    length = _number(get("len"), CHUNK_BYTES, "len", where)
    if pos + length > CHUNK_BYTES or (slice_id and offset + length > size):
        raise CorruptRecord(where, f"a slice that reaches too far: {document}")
    return Slice(pos, SliceId(slice_id), size, offset, length)


# ---- what a node may have besides
def xattrs_text(xattrs: Sequence[tuple[bytes, bytes]]) -> str:
    """Return extended attributes as the dump's one-line list."""
    return ",".join(
        f'{{"name":{_quoted(name.decode())},"value":"{escape(value)}"}}' for name, value in xattrs
    ).join("[]")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def xattrs_of(document: Json, where: str) -> list[tuple[bytes, bytes]]:
    """Return extended attributes.  Raises CorruptRecord, naming `where`."""
    found = []
    for one in _items(document, where):
        fields = _fields(one, ("name", "value"), where)
        try:
            name = _text(fields.get("name"), "name", where).encode("utf-8", "surrogateescape")
        except UnicodeEncodeError as error:
            raise CorruptRecord(where, "an attribute's name that is no Unicode text") from error
        value = unescape(_text(fields.get("value"), "value", where), where)
        if not 0 < len(name) <= XATTR_NAME_BYTES_MAX or len(value) > XATTR_VALUE_BYTES_MAX:
            raise CorruptRecord(where, f"an extended attribute that cannot be: {name!r}")
        found.append((name, value))
    return found


def acl_text(rule: AclRule) -> str:
    """Return a rule as the dump's one-line object."""
    return (
        f'{{"owner":{rule.owner},"group":{rule.group},"other":{rule.other},"mask":{rule.mask}'
        f',"users":{_named_text(rule.named_users)},"groups":{_named_text(rule.named_groups)}}}'
    )


def _named_text(named: Iterable[tuple[int, int]]) -> str:
    entries = ",".join(f'{{"id":{id_},"perm":{perm}}}' for id_, perm in named)
    return f"[{entries}]" if entries else "null"


def acl_of(document: Json, where: str) -> AclRule:
    """Return a rule.  Raises CorruptRecord, naming `where`."""
    names = ("owner", "group", "other", "mask")
    fields = _fields(document, (*names, "users", "groups"), where)
    owner, group, other, mask = (_number(fields.get(n), 0xFFFF, n, where) for n in names)
    users, groups = (_named_of(fields.get(n), where) for n in ("users", "groups"))
    return AclRule(owner, group, mask, other, users, groups)


def _named_of(document: Json, where: str) -> tuple[tuple[int, int], ...]:
    entries = [_fields(one, ("id", "perm"), where) for one in _items(document or [], where)]
    return tuple(
        (_number(e.get("id"), _U32, "id", where), _number(e.get("perm"), 0xFFFF, "perm", where))
        for e in entries
    )


def symlink_of(document: Json, where: str) -> bytes:
    """Return a link's target.  Raises CorruptRecord, naming `where`."""
    target = unescape(_text(document, "symlink", where), where)
    if not 0 < len(target) <= SYMLINK_BYTES_MAX:
        raise CorruptRecord(where, f"a link target of {len(target)} bytes")
    return target


def name_of(text: str, where: str) -> bytes:
    """Return the bytes of an entry's name.  Raises CorruptRecord for one that cannot be."""
    name = unescape(text, where)
    if (
        not 0 < len(name) <= NAME_BYTES_MAX
        or b"/" in name
        or b"\0" in name
        or name in (b".", b"..")
    ):
        raise CorruptRecord(where, f"an entry called {name!r}")
    return name


# ---- checks of plain JSON values
def _items(document: Json, where: str) -> list[Json]:
    if not isinstance(document, list):
        raise CorruptRecord(where, f"a list was expected, not {document!r:.40}")
    return document


def _fields(document: Json, known: Iterable[str], where: str) -> Mapping[str, Json]:
    if not isinstance(document, dict):
        raise CorruptRecord(where, f"an object was expected, not {document!r:.40}")
    unknown = document.keys() - set(known)
    if unknown:
        raise CorruptRecord(where, f"unknown fields: {', '.join(sorted(unknown))}")
    return document


def _number(value: Json, most: int, name: str, where: str) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise CorruptRecord(where, f"{name} is {value!r}")
    return value


def _text(value: Json, name: str, where: str) -> str:
    if not isinstance(value, str):
        raise CorruptRecord(where, f"{name} is {value!r:.40}, not text")
    return value
