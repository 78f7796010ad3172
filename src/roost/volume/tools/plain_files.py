"""The short way for what a dump has most of: files with one name, in few bytes or none.

One expression takes such an entry apart, in the spelling that JuiceFS and Roost write; its numbers
are checked column by column.  Whatever is not quite so is left to `dump_records`, which also says
what is wrong with it: what is taken here, it would have taken, as the same values.
"""

import json
import re
from collections.abc import Sequence
from operator import le
from typing import Any, NamedTuple

from roost.volume.codec import encode_file, encode_slice
from roost.volume.layout import CHUNK_BYTES, FILE_BYTES_MAX
from roost.volume.meta.stored_files import StoredFile
from roost.volume.model import NAME_BYTES_MAX, ROOT, TRASH, Ino
from roost.volume.tools.dump_records import TIME_S_MAX

AT_ONCE = 500
_SECOND_NS = 1_000_000_000
_U32 = (1 << 32) - 1
_NUMBER = r"(0|[1-9]\d{0,18})"
_TIME = r"(-?(?:0|[1-9]\d{0,18}))"
_SPACE = r"[ \t\r\n]*"
PLAIN = re.compile(
    rf'{_SPACE},{_SPACE}"([^\x00-\x20"%/\\]+)"{_SPACE}:{_SPACE}\{{{_SPACE}"attr"{_SPACE}:{_SPACE}'
    rf'\{{"inode":{_NUMBER},"type":"regular","mode":{_NUMBER},"uid":{_NUMBER},"gid":{_NUMBER}'
    rf',"atime":{_TIME},"mtime":{_TIME},"ctime":{_TIME}'
    rf'(?:,"atimensec":{_NUMBER})?(?:,"mtimensec":{_NUMBER})?(?:,"ctimensec":{_NUMBER})?'
    rf',"nlink":1,"length":{_NUMBER}\}}'
    rf'(?:{_SPACE},{_SPACE}"chunks"{_SPACE}:{_SPACE}\[\{{"index":0,"slices":'
    rf'\[\{{"id":([1-9]\d{{0,18}}),"size":{_NUMBER},"len":{_NUMBER}\}}\]\}}\])?{_SPACE}\}}',
    re.ASCII,
)
"""An entry behind another: its comma, name and value."""
ENTRY_CHARS_MAX = 4096  # far more than an entry that matches and can be


class PlainFiles(NamedTuple):
    """Regular files with one name: their records, and of each what a directory adds up."""

    stored: tuple[StoredFile, ...]
    inos: list[int]
    lengths: list[int]
    uids: list[int]
    gids: list[int]
    slice_ids: list[int]  # of those that have data


def plain_files(found: Sequence["re.Match[str]"], parent: Ino) -> PlainFiles | None:
    """Return the files of entries in the directory `parent`; None if one is not plain after all."""
    texts, *numbers = zip(*[one.groups("0") for one in found], strict=True)
    names = [text.encode() for text in texts]
    columns = [list(map(int, column)) for column in numbers]
    if not _can_be(names, columns):
        return None
    stored = []
    slice_ids = []
    for (
        name, ino, mode, uid, gid, atime, mtime, ctime, atime_ns, mtime_ns, ctime_ns, length,
        slice_id, size, shown,
    ) in zip(names, *columns, strict=True):  # fmt: skip
        times = (atime, atime_ns, mtime, mtime_ns, ctime, ctime_ns)
        data = b""
        if slice_id and length:
            data = encode_slice(0, slice_id, size, 0, shown)
            slice_ids.append(slice_id)
        node = encode_file(mode, uid, gid, times, length, parent)
        stored.append(StoredFile(name, Ino(ino), node, data))
    inos, _, uids, gids, *_, lengths, _, _, _ = columns
    return PlainFiles(tuple(stored), inos, lengths, uids, gids, slice_ids)


def _can_be(names: list[bytes], columns: list[list[int]]) -> bool:
    inos, modes, uids, gids, *times, lengths, slices, sizes, shown = columns
    seconds, parts = times[:3], times[3:]
    return (
        b"." not in names
        and b".." not in names
        and max(map(len, names)) <= NAME_BYTES_MAX
        and min(inos) > ROOT
        and max(inos) < TRASH
        and max(modes) <= 0o7777
        and max(max(uids), max(gids), max(sizes)) <= _U32
        and max(map(max, seconds)) <= TIME_S_MAX
        and min(map(min, seconds)) >= -TIME_S_MAX
        and max(map(max, parts)) < _SECOND_NS
        and max(lengths) <= FILE_BYTES_MAX
        and max(slices) < 1 << 63
        and max(shown) <= CHUNK_BYTES
        and all(map(le, shown, sizes))
    )


def document_of(found: "re.Match[str]") -> tuple[str, Any]:
    """Return the name and the value of an entry."""
    ((name, value),) = json.loads(f"{{{found[0].lstrip().removeprefix(',')}}}").items()
    return name, value
