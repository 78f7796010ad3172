"""Directories in order of name, by pages.

Redis keeps entries in no order: a directory is read whole and sorted.  The pages that follow come
from the same reading, as long as somebody asks for the next page where the last one ended.

State: `_open`, readings whose next page may be asked for, bounded; a page taken is taken out.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from roost.errors import CorruptRecord
from roost.volume.codec import decode_edge
from roost.volume.engines.redis.connection import Command, Replies
from roost.volume.model import Edge

SCANNED_AT_ONCE = 10_000
OPEN_MAX = 64
OPEN_ROWS_MAX = 2_000_000

Rows = list[tuple[bytes, bytes]]
Call = Callable[[list[Command]], Replies]


class Listings:
    """Pages of directories.  Safe from many threads; the lock is not held while reading."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._lock = threading.Lock()
        self._open: OrderedDict[tuple[bytes, bytes], tuple[Rows, int]] = OrderedDict()

    def page(self, key: bytes, after: bytes | None, limit: int) -> tuple[tuple[bytes, Edge], ...]:
        """Return up to `limit` entries of the directory at `key` with names above `after`."""
        rows, start = self._rows(key, after)
        page = rows[start : start + limit]
        if len(rows) > start + limit:
            self._keep((key, page[-1][0]), (rows, start + limit))
        try:
            return tuple([(name, decode_edge(raw)) for name, raw in page])
        except CorruptRecord:  # once more, with names
            return tuple([_named(key, name, raw) for name, raw in page])

    def _rows(self, key: bytes, after: bytes | None) -> tuple[Rows, int]:
        if after is not None:
            with self._lock:
                found = self._open.pop((key, after), None)
            if found is not None:
                return found
        rows = read_entries(self._call, key)
        if after is not None:
            rows = [row for row in rows if row[0] > after]
        return rows, 0

    def _keep(self, place: tuple[bytes, bytes], rest: tuple[Rows, int]) -> None:
        with self._lock:
            self._open[place] = rest
            rows = sum(len(listed) for listed, _ in self._open.values())
            while len(self._open) > OPEN_MAX or (rows > OPEN_ROWS_MAX and len(self._open) > 1):
                rows -= len(self._open.popitem(last=False)[1][0])


def _named(key: bytes, name: bytes, raw: bytes) -> tuple[bytes, Edge]:
    return name, decode_edge(raw, f"entry {os.fsdecode(name)!r} of {key.decode()}")


def read_entries(call: Call, key: bytes) -> Rows:
    """Return the fields and values of a hash, sorted."""
    found: dict[bytes, bytes] = {}
    cursor: Any = 0
    while True:
        cursor, flat = call([("HSCAN", key, cursor, "COUNT", SCANNED_AT_ONCE)])[0]
        found.update(zip(flat[::2], flat[1::2], strict=True))
        if int(cursor) == 0:
            return sorted(found.items())
