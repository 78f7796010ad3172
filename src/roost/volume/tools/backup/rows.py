"""The whole metadata of a volume as rows of bytes in order of their keys, and back as effects.

A row is a key, whose first letter is its kind, and a value.  Two states of a volume differ by the
rows that were added, changed and dropped; so a base and its changes can be merged, in constant
memory, into the state of any moment that was backed up.

letter  key behind it                          value
  A     u32 rule                               access rule, JSON
  B     u64 inode                              nothing: nameless, kept by a session
  C     name                                   counter, decimal
  D     u64 slice                              u64 unix seconds, then replaced slices
  F     u64 inode                              u64 length, u64 unix seconds: to be removed
  I     u64 inode                              attributes, as `codec.encode_attr`
  J     u64 directory, name                    entry, as `codec.encode_edge`
  K     u64 inode, u32 chunk                   records, as `codec.encode_slices`
  Q     u8 kind, u64 key                       quota: i64 limits and use
  S                                            settings, JSON; secrets as they are stored
  T     u64 inode                              u64 unix seconds: unfinished clone
  U     u64 directory                          statistics: i64 each
  X     u64 inode, name                        extended attribute
  Y     u64 inode                              link target

Numbers are big endian.  Sessions and locks are not part of it.  Reference counts are computed from
the records.
"""

import json
import struct
from collections.abc import Callable, Iterable, Iterator

from roost.errors import CorruptRecord
from roost.volume import codec
from roost.volume.meta.open_volume import NEXT_INO, NEXT_SLICE
from roost.volume.meta.reads import Scans
from roost.volume.meta.sessions import NEXT_SESSION
from roost.volume.meta.trash import NEXT_TRASH
from roost.volume.meta.usage import TOTAL_INODES, USED_SPACE
from roost.volume.tools.dump_records import acl_text

Row = tuple[bytes, bytes]

COUNTERS = sorted((NEXT_INO, NEXT_SLICE, NEXT_SESSION, NEXT_TRASH, USED_SPACE, TOTAL_INODES))
U32, U64, TWO, FOUR = (struct.Struct(f) for f in (">I", ">Q", ">QQ", ">qqqq"))
THREE = struct.Struct(">qqq")
SETTINGS = b"S"


def state_rows(scans: Scans, settings: str) -> Iterator[Row]:
    """Yield all rows of a volume in order of key.

    Raises CorruptRecord if the engine's tables are not in order.
    """
    return in_order(rows_in(scans, settings))


def in_order(rows: Iterable[Row]) -> Iterator[Row]:
    """Yield rows that are in order of key.  Raises CorruptRecord at one that is not."""
    before = b""
    for row in rows:
        if row[0] <= before:
            raise CorruptRecord(repr(row[0]), f"it follows {before!r}; the table is out of order")
        before = row[0]
        yield row


def rows_in(scans: Scans, settings: str) -> Iterator[Row]:
    """Yield the rows of all that `scans` show, in order of key."""
    number = U64.pack
    for acl_id, rule in scans.all_acls():
        yield b"A" + U32.pack(acl_id), acl_text(rule).encode()
    for ino in sorted({ino for _, ino in scans.all_sustained()}):
        yield b"B" + number(ino), b""
    for name in COUNTERS:
        value = scans.counter(name)
        if value is not None:
            yield b"C" + name.encode(), b"%d" % value
    for delayed in scans.all_delayed():
        raw = number(delayed.deleted_s) + codec.encode_delayed(delayed.slices)
        yield b"D" + number(delayed.chunk_id), raw
    for file in scans.all_deleted_files():
        yield b"F" + number(file.ino), TWO.pack(file.length, file.deleted_s)
    for ino, attr in scans.all_nodes():
        yield b"I" + number(ino), codec.encode_attr(attr)
    for parent, name_, edge in scans.all_edges():
        yield b"J" + number(parent) + name_, codec.encode_edge(edge)
    for chunk in scans.all_chunks():
        key = b"K" + number(chunk.ino) + U32.pack(chunk.chunk_no)
        yield key, codec.encode_slices(chunk.slices)
    yield from _small_rows(scans, settings)


def _small_rows(scans: Scans, settings: str) -> Iterator[Row]:
    number = U64.pack
    for kind, key, quota in scans.quotas():
        raw = FOUR.pack(
            quota.space_bytes_max, quota.inodes_max, quota.used_space_bytes, quota.used_inodes
        )
        yield b"Q" + bytes([kind]) + number(key), raw
    yield SETTINGS, settings.encode()
    for node in scans.detached_nodes():
        yield b"T" + number(node.ino), number(node.added_s)
    yield from usage_rows(scans)
    for ino, name, value in scans.all_xattrs():
        yield b"X" + number(ino) + name, value
    for ino, target in scans.all_symlinks():
        yield b"Y" + number(ino), target


def usage_rows(scans: Scans) -> Iterator[Row]:
    """Yield the rows of the statistics of directories."""
    for ino, usage in scans.all_dir_usage():
        yield b"U" + U64.pack(ino), THREE.pack(usage.length, usage.space_bytes, usage.inodes)


def differences(
    old: Iterator[Row], new: Iterator[Row], seen: Callable[[], None]
) -> Iterator[tuple[bytes, bytes | None]]:
    """Yield what turns `old` into `new`: keys with their new value, or None where they go.

    `seen` is called for every row of `new`.
    """
    left, right = next(old, None), next(new, None)
    while left is not None or right is not None:
        if right is None or (left is not None and left[0] < right[0]):
            assert left is not None
            yield left[0], None
            left = next(old, None)
            continue
        seen()
        if left is None or right[0] < left[0]:
            yield right
            right = next(new, None)
            continue
        if left[1] != right[1]:
            yield right
        left, right = next(old, None), next(new, None)


def settings_of(row: Row) -> str:
    """Return the text of a settings row.  Raises CorruptRecord."""
    try:
        text = row[1].decode()
        json.loads(text)
    except ValueError as error:
        raise CorruptRecord("the backup's settings", str(error)) from error
    return text
