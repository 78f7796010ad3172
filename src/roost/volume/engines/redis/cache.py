"""The records that this client has read and that the server watches for it.

One cache belongs to one connection: it is filled by the thread that reads that connection, in the
order of the wire, and is thrown away with it.  What lies here is never the last word: a commit
verifies it, a read compares it.  Being wrong costs a round trip.

So a directory's attributes are kept although others have changed them: with each name that others
make there its times change, but hardly ever what a creator decides on.

`_lock` guards all changes; looking takes none, since a dictionary's own look-up is atomic.
"""

import threading
from collections.abc import Iterable
from itertools import islice
from typing import Any

from roost.volume.model import Kind

RECORDS_MAX = 200_000
_DROP_AT_ONCE = 1000  # when full: the oldest records

Record = tuple[Any, ...]  # what a record is called; see `wants`

# Keys other than nodes and directories, and the record that rests on each.
_OTHERS: dict[bytes, Record] = {
    b"acl": ("acls",),
    b"aclMaxId": ("acls",),
    b"usedSpace": ("counter", "usedSpace"),
    b"totalInodes": ("counter", "totalInodes"),
    **{
        name + suffix: ("quotas", kind)
        for kind, name in enumerate((b"dirQuota", b"userQuota", b"groupQuota"))
        for suffix in (b"", b"UsedSpace", b"UsedInodes")
    },
}
_TRACKED = {"node", "edge", "acls", "quotas"}
_TRACKED_COUNTERS = {record for record in _OTHERS.values() if record[0] == "counter"}


def is_cached(record: Record) -> bool:
    """True if records of this kind are kept."""
    return record[0] in _TRACKED or record in _TRACKED_COUNTERS


class RecordCache:
    """Raw values by record; bounded."""

    def __init__(self, prefix: bytes) -> None:
        self._prefix = prefix
        self._setting = prefix + b"setting"
        self._lock = threading.Lock()
        self.values: dict[Record, Any] = {}  # to look into; changed only here
        self._of_folder: dict[int, set[Record]] = {}  # the entries known of each directory
        self.was_flushed = False  # or the settings changed: it may be empty, or another volume's

    def get(self, record: Record, default: object) -> Any:
        """Return the raw value (None: known to be absent), or `default` if it is not known."""
        return self.values.get(record, default)

    def __len__(self) -> int:
        return len(self.values)

    def put(self, records: Iterable[tuple[Record, object]]) -> None:
        """Store what was just read or written.  Only for the thread that reads the connection."""
        with self._lock:
            for record, value in records:
                self._put(record, value)

    def _put(self, record: Record, value: object) -> None:
        values = self.values
        if record in values:
            del values[record]  # to the end: the newest
        elif len(values) >= RECORDS_MAX:
            for old in list(islice(values, _DROP_AT_ONCE)):
                self._drop(old)
        values[record] = value
        if record[0] == "edge":
            known = self._of_folder.get(record[1])
            if known is None:
                self._of_folder[record[1]] = {record}
            else:
                known.add(record)

    def drop(self, records: Iterable[Record]) -> None:
        """Forget records."""
        with self._lock:
            for record in filter(self.values.__contains__, records):
                self._drop(record)

    def _drop(self, record: Record) -> None:
        self.values.pop(record, None)
        if record[0] == "edge":
            known = self._of_folder.get(record[1])
            if known is not None:
                known.discard(record)
                if not known:
                    del self._of_folder[record[1]]

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self.values.clear()
            self._of_folder.clear()

    # ---- invalidation
    def on_push(self, push: list[Any]) -> None:
        """Take the server's word that keys have changed; no keys means all of them.

        It names keys without their database: settings changed in another one look the same here.
        """
        if push[0] != b"invalidate":
            return
        if push[1] is None or self._setting in push[1]:
            self.was_flushed = True
            self.clear()
            return
        with self._lock:
            for key in push[1]:
                self._changed(key.removeprefix(self._prefix))

    def _changed(self, name: bytes) -> None:
        kind, number = name[:1], name[1:]
        if number.isdigit() and kind == b"i":
            record = ("node", int(number))
            if not _is_directory(self.values.get(record)):
                self._drop(record)
        elif number.isdigit() and kind == b"d":
            for record in self._of_folder.pop(int(number), ()):
                self.values.pop(record, None)
        elif name in _OTHERS:
            self._drop(_OTHERS[name])


def _is_directory(attr: bytes | None) -> bool:
    return attr is not None and len(attr) > 1 and attr[1] >> 4 == Kind.DIRECTORY
