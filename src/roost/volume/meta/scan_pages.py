"""Whole tables as pages of numpy records, for the checks that join them in constant memory."""

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt

from roost.errors import CorruptRecord
from roost.volume.codec import SLICE_BYTES, encode_slices
from roost.volume.meta.damage import OnDamage
from roost.volume.meta.reads import Scans
from roost.volume.model import Ino, Kind, Problem
from roost.volume.sorted_records import Records

PAGE_ROWS = 8192
_I64_MAX = (1 << 63) - 1
T = TypeVar("T")

NODE = np.dtype(
    [("ino", "u8"), ("parent", "u8"), ("length", "u8"), ("nlink", "u4"), ("kind", "u1")]
)
EDGE = np.dtype([("ino", "u8"), ("parent", "u8"), ("kind", "u1")])
"""An entry of directory `parent`; its name is looked up when it is needed."""
OWNER = np.dtype([("ino", "u8")])
"""An inode that has a chunk."""
USED = np.dtype([("id", "u8"), ("ino", "u8"), ("size", "u4"), ("chunk_no", "u4")])
"""A record of a chunk that shows part of a slice; ino 0 for what a compaction replaced."""
PARENT = np.dtype([("ino", "u8"), ("parent", "u8"), ("names", "i8")])
"""How many names of a node with several a directory has, by the stored count or by its entries."""
COUNTED = np.dtype([("id", "u8"), ("refs", "i8"), ("size", "u4")])
"""A slice with a stored count."""


CHUNK = np.dtype(
    [
        ("ino", "u8"),
        ("id", "u8"),
        ("chunk_no", "u4"),
        ("pos", "u4"),
        ("size", "u4"),
        ("offset", "u4"),
        ("length", "u4"),
    ]
)
"""A record of a chunk, whole."""
_STORED = np.dtype(
    [("pos", ">u4"), ("id", ">u8"), ("size", ">u4"), ("offset", ">u4"), ("length", ">u4")]
)
assert _STORED.itemsize == SLICE_BYTES

Row = tuple[Any, ...]


@runtime_checkable
class RowScans(Protocol):
    """What an engine may offer besides Scans: few columns of whole tables, in pages of plain rows.

    It spares the check the making of values that it would take apart at once.
    """

    def node_rows(self) -> Iterator[Sequence[Row]]:
        """Yield all nodes: (inode, parent or 0, length, nlink, kind)."""
        ...

    def edge_rows(self) -> Iterator[Sequence[Row]]:
        """Yield all entries: (anything, inode, parent, kind)."""
        ...

    def chunk_rows(self) -> Iterator[Sequence[Row]]:
        """Yield all chunks: (anything, inode, chunk number, records as they are stored)."""
        ...

    def count_rows(self) -> Iterator[Sequence[Row]]:
        """Yield the slices with a stored count: (id, size, refs)."""
        ...


@runtime_checkable
class CountsParents(Protocol):
    """Scans of an engine that stores how many names each directory has for a node."""

    def parent_rows(self) -> Iterator[Sequence[Row]]:
        """Yield the counts, in pages: (inode, parent, names)."""
        ...


def node_pages(scans: Scans, told: OnDamage | None = None) -> Iterator[Records]:
    """Yield all nodes as NODE records.  Raises CorruptRecord, unless somebody is `told`."""
    for rows in _node_rows(scans):
        numbers = _sound(_numbers(rows, 5, 0, told), 4, 0, "inode", told)
        yield _page(
            NODE,
            ino=numbers[:, 0],
            parent=numbers[:, 1],
            length=numbers[:, 2],
            nlink=numbers[:, 3],
            kind=numbers[:, 4],
        )


def edge_pages(scans: Scans, told: OnDamage | None = None) -> Iterator[Records]:
    """Yield all entries as EDGE records.  Raises CorruptRecord, unless somebody is `told`."""
    named: set[Ino] = set()

    def name(problem: Problem) -> None:
        # Rows have no names, so the directory is listed, which tells of its damaged entries.
        if not problem.ino and told is not None:
            told(problem)  # the directory itself has no number
        elif problem.ino not in named:
            named.add(problem.ino)
            for entry, edge in scans.entries_of(problem.ino):
                if edge.ino > _I64_MAX and told is not None:
                    where = f"entry {os.fsdecode(entry)!r} of directory {problem.ino}"
                    _damaged(told, problem.ino, where, f"no inode has the number {edge.ino}")

    told_of = None if told is None else name
    for rows in _edge_rows(scans):
        numbers = _sound(_numbers(rows, 4, 2, told_of), 3, 2, "entry of directory", told_of)
        yield _page(EDGE, ino=numbers[:, 1], parent=numbers[:, 2], kind=numbers[:, 3])


def chunk_pages(scans: Scans, told: OnDamage | None = None) -> Iterator[Records]:
    """Yield all records of all chunks as CHUNK records, zeros (id 0) included.

    Raises CorruptRecord for a chunk that holds no whole number of records; if somebody is `told`,
    the whole ones before its end are yielded.
    """
    for rows in _chunk_rows(scans):
        stored = [row[3] for row in rows]
        is_sound = set(map(type, stored)) == {bytes}
        if not is_sound or any(len(raw) % SLICE_BYTES for raw in stored):
            rows = [row for row in rows if _is_of_numbers(row[1:3], None, told)]
            stored = [_whole_records(row, told) for row in rows]
        counts = np.array([len(raw) for raw in stored], np.int64)
        records = np.frombuffer(b"".join(stored), _STORED)
        owners = _numbers([row[1:3] for row in rows], 2).repeat(counts // SLICE_BYTES, axis=0)
        columns = {name: records[name] for name in _STORED.names or ()}
        yield _page(CHUNK, ino=owners[:, 0], chunk_no=owners[:, 1], **columns)


def _whole_records(row: Row, told: OnDamage | None) -> bytes:
    raw: bytes | None = None
    if isinstance(row[3], bytes | bytearray | memoryview):
        raw = bytes(row[3])
    if raw is not None and not len(raw) % SLICE_BYTES:
        return raw
    why = "no slice records"
    if raw is not None:
        why = f"{len(raw)} bytes are no whole number of slice records"
    _damaged(told, row[1], f"chunk {row[2]} of inode {row[1]}", why)
    return b"" if raw is None else raw[: len(raw) // SLICE_BYTES * SLICE_BYTES]


def delayed_pages(scans: Scans, told: OnDamage | None = None) -> Iterator[Records]:
    """Yield the slices that compactions replaced and the trash keeps, as USED records.

    Raises CorruptRecord, unless somebody is `told`.
    """
    refs = (ref for delayed in scans.all_delayed() for ref in delayed.slices)
    for page in _pages(refs):
        numbers = _numbers([(ref.id, ref.size) for ref in page], 2, None, told)
        yield _page(USED, id=numbers[:, 0], ino=0, size=numbers[:, 1], chunk_no=0)


def counted_pages(scans: Scans, told: OnDamage | None = None) -> Iterator[Records]:
    """Yield the slices with a stored count as COUNTED records.

    Raises CorruptRecord, unless somebody is `told`.
    """
    for rows in _count_rows(scans):
        numbers = _numbers(rows, 3, None, told)
        yield _page(COUNTED, id=numbers[:, 0], size=numbers[:, 1], refs=numbers[:, 2])


def parent_pages(scans: CountsParents) -> Iterator[Records]:
    """Yield the stored counts of parents as PARENT records; none where a directory has no name."""
    for rows in scans.parent_rows():
        numbers = _numbers(rows, 3)
        numbers = numbers[numbers[:, 2] > 0]  # JuiceFS leaves zeros behind
        yield _page(PARENT, ino=numbers[:, 0], parent=numbers[:, 1], names=numbers[:, 2])


def used_of(chunks: Records) -> Records:
    """Return the CHUNK records that show part of a slice, as USED records."""
    shown = chunks[chunks["id"] != 0]
    return _page(
        USED, id=shown["id"], ino=shown["ino"], size=shown["size"], chunk_no=shown["chunk_no"]
    )


# ---- rows of engines that offer them, and of those that do not
def _node_rows(scans: Scans) -> Iterator[Sequence[Row]]:
    if isinstance(scans, RowScans):
        return scans.node_rows()
    return _pages((i, a.parent, a.length, a.nlink, int(a.kind)) for i, a in scans.all_nodes())


def _edge_rows(scans: Scans) -> Iterator[Sequence[Row]]:
    if isinstance(scans, RowScans):
        return scans.edge_rows()
    return _pages((0, edge.ino, parent, int(edge.kind)) for parent, _, edge in scans.all_edges())


def _chunk_rows(scans: Scans) -> Iterator[Sequence[Row]]:
    if isinstance(scans, RowScans):
        return scans.chunk_rows()
    return _pages((0, c.ino, c.chunk_no, encode_slices(c.slices)) for c in scans.all_chunks())


def _count_rows(scans: Scans) -> Iterator[Sequence[Row]]:
    if isinstance(scans, RowScans):
        return scans.count_rows()
    return _pages((ref.id, ref.size, ref.refs) for ref in scans.all_slice_refs())


def _pages(rows: Iterable[T]) -> Iterator[list[T]]:
    waiting = iter(rows)
    while page := list(islice(waiting, PAGE_ROWS)):
        yield page


def _numbers(
    rows: Sequence[Row], columns: int, ino_at: int | None = None, told: OnDamage | None = None
) -> npt.NDArray[np.int64]:
    """Return rows as numbers; `ino_at` is the column of the inode that a row is of."""
    try:
        flat = np.fromiter(chain.from_iterable(rows), np.int64, len(rows) * columns)
    except (TypeError, ValueError, OverflowError):
        return _numbers([row for row in rows if _is_of_numbers(row, ino_at, told)], columns)
    return flat.reshape(-1, columns)


def _is_of_numbers(row: Row, ino_at: int | None, told: OnDamage | None) -> bool:
    if all(isinstance(one, int) and abs(one) <= _I64_MAX for one in row):
        return True
    ino = row[ino_at] if ino_at is not None and isinstance(row[ino_at], int) else 0
    _damaged(told, ino, f"a record of inode {ino}" if ino else "a record", f"it holds {row!r:.80}")
    return False


def _sound(
    numbers: npt.NDArray[np.int64], kind_at: int, ino_at: int, what: str, told: OnDamage | None
) -> npt.NDArray[np.int64]:
    """Return the rows whose kind is one, and that hold nothing below zero."""
    kinds = numbers[:, kind_at]
    odd = (kinds < min(Kind)) | (kinds > max(Kind)) | (numbers < 0).any(axis=1)
    if not odd.any():
        return numbers
    for row in numbers[odd].tolist():
        is_kind = min(Kind) <= row[kind_at] <= max(Kind)
        why = f"numbers below zero: {row}" if is_kind else f"unknown kind {row[kind_at]}"
        _damaged(told, row[ino_at], f"{what} {row[ino_at]}", why)
    return numbers[~odd]


def _damaged(told: OnDamage | None, ino: int, where: str, why: str) -> None:
    error = CorruptRecord(where, why)
    if told is None:
        raise error
    told(Problem(Ino(ino), str(error)))


def _page(dtype: np.dtype[Any], **columns: Any) -> Records:
    length = max(len(one) for one in columns.values() if not isinstance(one, int))
    made: Records = np.empty(length, dtype)
    for name, values in columns.items():
        made[name] = values
    return made
