"""The bytes of stored records, as JuiceFS 1.x writes them.  All integers are big endian.

Source: JuiceFS Community 1.4, pkg/meta; the volume format reference, sections 2.3, 2.5 and 3.2.
"""

import struct
from collections.abc import Iterable

from roost.errors import CorruptRecord
from roost.volume.model import Attr, Edge, Ino, Kind, Slice, SliceId, SliceRef

SLICE_BYTES = 24
_SECOND_NS = 1_000_000_000
KINDS: dict[int, Kind] = {int(kind): kind for kind in Kind}
_FIXED = struct.Struct(">BHIIqIqIqIIQIQ")  # flags … parent
_FIXED_WITHOUT_PARENT_BYTES = 63
_NAMES = struct.Struct(">xH44xIQ4xQ")  # kind and mode, nlink, length, parent of the same
_FILE = struct.Struct(">xHIIqIqIqIIQ4xQx")  # the same of a regular file, up to the zero at the end
_ACLS = struct.Struct(">II")
_EDGE = struct.Struct(">BQ")
_SLICE = struct.Struct(">IQIII")
_DELAYED = struct.Struct(">QI")
assert _FIXED.size == _NAMES.size == _FILE.size - 1 == 71
assert _SLICE.size == SLICE_BYTES


def encode_attr(attr: Attr) -> bytes:
    """Return the attribute record.

    offset  bytes  field
         0      1  flags
         1      2  kind << 12 | permission bits
         3      8  uid, gid
        11     36  atime, mtime, ctime: i64 seconds and u32 nanoseconds each
        47      4  nlink
        51      8  length
        59      4  rdev
        63      8  parent; 0 when hard links give it several
        71      8  access and default ACL ids; absent unless one is set
         …      1  storage tier; absent if 0
         …      1  zero: JuiceFS sizes its buffer one byte too large, so it is written here too
    """
    mtime = divmod(attr.mtime_ns, _SECOND_NS)
    fixed = _FIXED.pack(
        attr.flags,
        attr.kind << 12 | attr.mode,
        attr.uid,
        attr.gid,
        *divmod(attr.atime_ns, _SECOND_NS),
        *mtime,
        *(mtime if attr.ctime_ns == attr.mtime_ns else divmod(attr.ctime_ns, _SECOND_NS)),
        attr.nlink,
        attr.length,
        attr.rdev,
        attr.parent,
    )
    acls = (attr.access_acl, attr.default_acl)
    if acls == (0, 0) and not attr.tier:
        return fixed + b"\0"
    tier = bytes([attr.tier]) if attr.tier else b""
    return fixed + (_ACLS.pack(*acls) if any(acls) else b"") + tier + b"\0"


def encode_file(
    mode: int,
    uid: int,
    gid: int,
    times: tuple[int, int, int, int, int, int],
    length: int,
    parent: int,
) -> bytes:
    """Return the attribute record of a regular file with one name and nothing rare.

    `times` are atime, mtime and ctime, each in seconds and nanoseconds.
    """
    return _FILE.pack(Kind.FILE << 12 | mode, uid, gid, *times, 1, length, parent)


def decode_attr(raw: bytes, where: str = "attr") -> Attr:
    """Undo `encode_attr`; the trailing zero may be missing.

    Raises CorruptRecord, naming `where`, if `raw` is short or its kind is unknown.
    """
    if len(raw) < _FIXED_WITHOUT_PARENT_BYTES:
        raise CorruptRecord(where, f"attribute record of {len(raw)} bytes")
    padded = raw if len(raw) >= _FIXED.size else raw[:_FIXED_WITHOUT_PARENT_BYTES] + bytes(8)
    (
        flags, typed_mode, uid, gid, atime_s, atime_ns, mtime_s, mtime_ns, ctime_s, ctime_ns,
        nlink, length, rdev, parent,
    ) = _FIXED.unpack_from(padded)  # fmt: skip
    access_acl = default_acl = tier = 0
    if len(padded) != _FIXED.size + 1 or padded[-1]:  # other than the zero alone
        rest = padded[_FIXED.size :]
        if len(rest) >= _ACLS.size:
            access_acl, default_acl = _ACLS.unpack_from(rest)
            rest = rest[_ACLS.size :]
        tier = rest[0] if rest else 0
    # In the order of the fields, not by name: whole tables come through here.
    return Attr(
        KINDS.get(typed_mode >> 12) or decode_kind(typed_mode >> 12, where),
        typed_mode & 0o7777,
        uid,
        gid,
        atime_s * _SECOND_NS + atime_ns,
        mtime_s * _SECOND_NS + mtime_ns,
        ctime_s * _SECOND_NS + ctime_ns,
        nlink,
        length,
        rdev,
        Ino(parent),
        flags,
        access_acl,
        default_acl,
        tier,
    )


def decode_names(raw: bytes, where: str) -> tuple[int, int, int, int]:
    """Return only parent, length, nlink and the number of the kind, whatever it is.

    Raises CorruptRecord, naming `where`, if `raw` is short.
    """
    if len(raw) < _FIXED.size:
        attr = decode_attr(raw, where)
        return attr.parent, attr.length, attr.nlink, attr.kind
    typed_mode, nlink, length, parent = _NAMES.unpack_from(raw)
    return parent, length, nlink, typed_mode >> 12


def decode_kind(number: int, where: str) -> Kind:
    """Return the kind with this number.  Raises CorruptRecord, naming `where`, for no kind."""
    kind = KINDS.get(number)
    if kind is None:
        raise CorruptRecord(where, f"unknown kind {number}")
    return kind


def encode_edge(edge: Edge) -> bytes:
    """Return the nine bytes of a directory entry: kind, inode."""
    return _EDGE.pack(edge.kind, edge.ino)


def encode_file_edge(ino: int) -> bytes:
    """Return the entry of a regular file, as `encode_edge`."""
    return _EDGE.pack(Kind.FILE, ino)


def decode_edge(raw: bytes, where: str = "entry") -> Edge:
    """Undo `encode_edge`.  Raises CorruptRecord, naming `where`."""
    if len(raw) != _EDGE.size:
        raise CorruptRecord(where, f"directory entry of {len(raw)} bytes")
    kind, ino = _EDGE.unpack(raw)
    return Edge(KINDS.get(kind) or decode_kind(kind, where), Ino(ino))


def encode_slices(slices: Iterable[Slice]) -> bytes:
    """Return the records of a chunk: u32 pos, u64 id, u32 size, offset, length each."""
    return b"".join(_SLICE.pack(s.pos, s.id, s.size, s.offset, s.length) for s in slices)


def encode_slice(pos: int, slice_id: int, size: int, offset: int, length: int) -> bytes:
    """Return one record of a chunk, as `encode_slices`."""
    return _SLICE.pack(pos, slice_id, size, offset, length)


def decode_slices(raw: bytes, where: str = "chunk") -> tuple[Slice, ...]:
    """Undo `encode_slices`.  Raises CorruptRecord, naming `where`, for a broken record."""
    if len(raw) % SLICE_BYTES:
        raise CorruptRecord(where, f"{len(raw)} bytes are no whole number of slice records")
    return tuple([Slice(*record) for record in _SLICE.iter_unpack(raw)])


def encode_delayed(refs: Iterable[SliceRef]) -> bytes:
    """Return the slices a compaction replaced: per slice u64 id, u32 size."""
    return b"".join(_DELAYED.pack(ref.id, ref.size) for ref in refs)


def decode_delayed(raw: bytes, where: str = "delayed slices") -> tuple[SliceRef, ...]:
    """Undo `encode_delayed`.  Raises CorruptRecord, naming `where`, for a broken record."""
    if len(raw) % _DELAYED.size:
        raise CorruptRecord(where, f"{len(raw)} bytes are no whole number of records")
    return tuple(SliceRef(SliceId(slice_id), size) for slice_id, size in _DELAYED.iter_unpack(raw))


def split_micros(time_ns: int) -> tuple[int, int]:
    """Return a time as the SQL tables keep it: microseconds, and the 0–999 ns that remain.

    Division truncates towards zero, as in Go, so before 1970 both parts are negative.
    """
    micros, rest = divmod(abs(time_ns), 1000)
    return (micros, rest) if time_ns >= 0 else (-micros, -rest)


def join_micros(micros: int, rest_ns: int) -> int:
    """Undo `split_micros`."""
    return micros * 1000 + rest_ns
