"""The short way for what a dump has most of: files with one name, in few bytes or none.

Their stored records are judged column by column and put into one line of text, without a value for
each.  Whatever is not quite so is left to `dump_tree` and `dump_records`: what is written here,
they would have written, in the same bytes.  The counterpart in `load` is `plain_files`.
"""

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from roost.volume.codec import SLICE_BYTES
from roost.volume.layout import CHUNK_BYTES
from roost.volume.model import Ino, Kind
from roost.volume.tools import dump_records as records

_SECOND_NS = 1_000_000_000
_TYPED = Kind.FILE << 12
_NODE = np.dtype(
    [
        ("flags", "u1"), ("typed_mode", ">u2"), ("uid", ">u4"), ("gid", ">u4"),
        ("atime", ">i8"), ("atime_ns", ">u4"), ("mtime", ">i8"), ("mtime_ns", ">u4"),
        ("ctime", ">i8"), ("ctime_ns", ">u4"), ("nlink", ">u4"), ("length", ">u8"),
        ("rdev", ">u4"), ("parent", ">u8"), ("tail", "u1"),
    ]
)  # fmt: skip
"""As codec.encode_attr: a record without access rules and tier ends with a zero."""
_ROW = struct.Struct(">xHIIqIqIqI4xQ13x")  # what is written of it
_SLICE = struct.Struct(">4xQI4xI")  # one that begins its chunk and is shown from its own beginning
assert _NODE.itemsize == _ROW.size
assert _SLICE.size == SLICE_BYTES
_PLACES = np.dtype([("pos", ">u4"), ("id_and_size", "V12"), ("offset", ">u4"), ("len", "V4")])
assert _PLACES.itemsize == SLICE_BYTES
_NAMES_BETWEEN = b"\n"  # no name that needs no escape has it

Row = tuple[int, ...]


class PlainFile(NamedTuple):
    """A regular file with one name, whose data is one slice or none."""

    name: bytes
    ino: Ino
    node: Row
    chunk: bytes


def plain_nodes(raws: Sequence[bytes | None]) -> dict[int, Row]:
    """Return, by their places, the nodes that may be plain files."""
    places = [at for at, raw in enumerate(raws) if raw is not None and len(raw) == _NODE.itemsize]
    joined = b"".join([raws[at] or b"" for at in places])
    nodes = np.frombuffer(joined, _NODE)
    fits = (
        (nodes["typed_mode"] >> 12 == Kind.FILE)
        & (nodes["nlink"] == 1)
        & (nodes["length"] <= CHUNK_BYTES)
        & (nodes["atime_ns"] < _SECOND_NS)
        & (nodes["mtime_ns"] < _SECOND_NS)
        & (nodes["ctime_ns"] < _SECOND_NS)
        & (nodes["flags"] == 0)
        & (nodes["rdev"] == 0)
        & (nodes["tail"] == 0)
    )
    rows = zip(places, _ROW.iter_unpack(joined), fits.tolist(), strict=True)
    return {at: row for at, row, is_plain in rows if is_plain}


def length_of(row: Row) -> int:
    """Return a plain file's length in bytes."""
    return row[-1]


def are_plain_chunks(raws: Sequence[bytes]) -> list[bool]:
    """Tell of the records of each chunk whether it is one slice, from the beginning of both."""
    are_one = [len(raw) == SLICE_BYTES for raw in raws]
    one = np.frombuffer(b"".join([raw for raw in raws if len(raw) == SLICE_BYTES]), _PLACES)
    fits = iter(((one["pos"] == 0) & (one["offset"] == 0)).tolist())
    return [is_one and next(fits) for is_one in are_one]


def plain_text(files: Sequence[PlainFile], depth: int) -> str:
    """Return the entries of files as the dump writes them, with commas between."""
    lines = []
    for name, file in zip(_spelled([file.name for file in files]), files, strict=True):
        _, ino, node, chunk = file
        typed_mode, uid, gid, at, at_ns, mt, mt_ns, ct, ct_ns, length = node
        pattern = _pattern(depth, at_ns > 0, mt_ns > 0, ct_ns > 0, bool(chunk))
        values = (
            name, ino, typed_mode - _TYPED, uid, gid, at, mt, ct, at_ns, mt_ns, ct_ns, length,
        )  # fmt: skip
        lines.append(pattern % ((*values, *_SLICE.unpack(chunk)) if chunk else values))
    return ",".join(lines)


def _spelled(names: Sequence[bytes]) -> list[str]:
    joined = b"".join(names)
    if records.is_plain(joined):
        return _NAMES_BETWEEN.join(names).decode().split("\n")
    return list(map(records.escape, names))


@lru_cache(256)
def _pattern(depth: int, has_at: bool, has_mt: bool, has_ct: bool, has_chunk: bool) -> str:
    """Return an entry with places for its values; a part that is 0 takes its value and no room."""
    indent = records.INDENT * depth
    inner = f"\n{indent}{records.INDENT}"
    parts = "".join(
        f',"{name}":%d' if has_it else "%.0s"
        for name, has_it in (("atimensec", has_at), ("mtimensec", has_mt), ("ctimensec", has_ct))
    )
    text = (
        f'\n{indent}"%s": {{{inner}"attr": {{"inode":%d,"type":"regular","mode":%d,"uid":%d'
        f',"gid":%d,"atime":%d,"mtime":%d,"ctime":%d{parts},"nlink":1,"length":%d}}'
    )
    if has_chunk:
        text += f',{inner}"chunks": [{{"index":0,"slices":[{{"id":%d,"size":%d,"len":%d}}]}}]'
    return f"{text}\n{indent}}}"
