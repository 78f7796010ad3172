"""Records as they were some time ago, for the first attempt of a rule.

Nothing is answered from them.  Nodes and entries are guesses that the commit compares with what is
there, so an old one costs a round trip and never an outcome; a commit that proved one right begins
its time anew, and own commits change the records here, so that a client that works alone never
reads.  Of counters and quotas a rule may ask whether a limit is far away, which no commit compares:
for them JuiceFS's rule for caches holds, one second.

Locks: one, around the table; nothing is called under it.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from roost.clock import Clock
from roost.volume.engines.sql.queries import Key
from roost.volume.meta import checks as ck
from roost.volume.meta import effects as fx
from roost.volume.meta.txn import Commit
from roost.volume.model import Attr, Ino, Quota

GUESS_LIFE_S = 30.0
LIMIT_LIFE_S = 1.0
RECORDS_MAX = 16_384
COUNTED_LIFE_S = 10.0  # that a directory has statistics
_LIFE_S = {
    "node": GUESS_LIFE_S, "edge": GUESS_LIFE_S, "acl": GUESS_LIFE_S,
    "counter": LIMIT_LIFE_S, "quota": LIMIT_LIFE_S,
}  # fmt: skip


class RecordCache:
    """Safe from many threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._records: OrderedDict[Key, tuple[object, float]] = OrderedDict()

    def has_usage(self, ino: Ino) -> bool:
        """True if the directory had statistics a moment ago."""
        found = self._records.get(("counted", ino))
        return found is not None and found[1] >= self._clock.monotonic_s()

    def view(self) -> "CacheView":
        """Return a look at the records as of now."""
        return CacheView(self._records, self._clock.monotonic_s())

    def put(self, records: Mapping[Key, object]) -> None:
        """Remember what was read just now."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            for key, value in records.items():
                life_s = _LIFE_S.get(str(key[0]))
                if life_s is not None:
                    self._put(key, value, now_s + life_s)

    def forget(self, keys: Iterable[Key]) -> None:
        """Drop records that proved stale."""
        with self._lock:
            for key in keys:
                self._records.pop(key, None)

    def clear(self) -> None:
        """Drop everything: the outcome of a commit is unknown."""
        with self._lock:
            self._records.clear()

    def committed(self, commit: Commit) -> None:
        """Take over what a commit proved and what it changed."""
        now_s = self._clock.monotonic_s()
        until_s = now_s + GUESS_LIFE_S
        with self._lock:
            for check in commit.checks:
                if isinstance(check, ck.NodeIs | ck.NodeIsExactly):
                    key: Key = ("node", check.ino)
                    known = self._records.get(key)
                    if known is not None:
                        self._records[key] = (known[0], until_s)
            for effect in commit.effects:
                match effect:
                    case fx.PutDirUsage(ino, None):
                        self._records.pop(("counted", ino), None)
                    case fx.UseDirectory(ino) | fx.PutDirUsage(ino):
                        self._put(("counted", ino), True, now_s + COUNTED_LIFE_S)
                    case fx.PutCounter(name, value):
                        self._put(("counter", name), value, now_s + LIMIT_LIFE_S)
                    case _:
                        self._apply(effect, until_s)

    # ---- under the lock
    def _put(self, key: Key, value: object, until_s: float) -> None:
        self._records[key] = (value, until_s)
        if len(self._records) > RECORDS_MAX:
            self._records.popitem(last=False)

    def _apply(self, effect: fx.Effect, until_s: float) -> None:
        match effect:
            case fx.AddNode(ino, attr):
                self._put(("node", ino), attr, until_s)
            case fx.DropNode(ino):
                self._put(("node", ino), None, until_s)
            case fx.ChangeNode(ino, change):
                known = self._records.get(("node", ino))
                if known is not None and isinstance(known[0], Attr):
                    self._records["node", ino] = (fx.merged(known[0], change), known[1])
            case fx.AddEdge(parent, name, edge):
                self._put(("edge", parent, name), edge, until_s)
            case fx.DropEdge(parent, name):
                self._put(("edge", parent, name), None, until_s)
            case fx.AddCounter(name, by):
                known = self._records.get(("counter", name))
                if known is not None and isinstance(known[0], int):
                    self._records["counter", name] = (known[0] + by, known[1])
            case fx.UseQuota(kind, key, space_bytes, inodes):
                known = self._records.get(("quota", kind, key))
                if known is not None and isinstance(known[0], Quota):
                    used = replace(
                        known[0],
                        used_space_bytes=known[0].used_space_bytes + space_bytes,
                        used_inodes=known[0].used_inodes + inodes,
                    )
                    self._records["quota", kind, key] = (used, known[1])
            case fx.PutQuota(kind, key):
                self._records.pop(("quota", kind, key), None)


class CacheView:
    """The records whose time is not over, for one attempt."""

    def __init__(self, records: Mapping[Key, tuple[object, float]], now_s: float) -> None:
        self._records = records
        self._now_s = now_s

    def get(self, key: Key) -> tuple[object] | None:
        """Return the record in a tuple, None if there is none."""
        found = self._records.get(key)
        if found is None or found[1] < self._now_s:
            return None
        return (found[0],)
