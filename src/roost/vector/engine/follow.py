"""What the writer tells those who follow it, and how a follower joins without a gap.

A follower (a reader process, the local engine) keeps a copy of what the writer holds in memory.
The protocol, which `cluster` carries over the wire unchanged:

1. `feed.subscribe(listener)` returns a `Subscription` with `start_ts`.  Every record with a larger
   timestamp reaches `listener.on_record`, in order, each once.  Records arrive EARLY: appended to
   the log, perhaps not yet durable (hazard H18).  They must not be shown.
2. `on_watermark(ts)`: every record up to `ts` is durable in the log files and was checked under the
   lease.  Records up to `ts` may be shown, and a read at `read_ts <= ts` may be answered.  Idle
   ticks advance it.  Watermarks never go back.
3. The joining follower waits for a watermark >= `start_ts`, then reads the newest manifests from
   the catalog and the log files (`replay`) up to that watermark, and applies from the stream only
   records above what it read: timestamps rise strictly, so the dedup is one comparison.
4. `on_manifest` follows the commit of every manifest; a follower that opens it keeps answering the
   older version for a while (hazard H7).  `on_catalog_change` asks to read the catalog again.
5. `on_end`: this writer is gone (closed, deposed or its log failed).  Records above the last
   watermark are not to be shown unless the log files up to the seal have them.

Listener methods run on the writer's own lanes and must return at once (put it into a queue of their
own); one that raises is dropped.
Lock order: a lane's own lock, then the feed's; the feed calls listeners under its lock, in order.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from roost.vector.log.record import Record
from roost.vector.manifest import Manifest

log = logging.getLogger(__name__)


class Listener(Protocol):
    """What a follower is told.  Must not block and must not call back into the writer."""

    def on_record(self, record: Record) -> None:
        """Take a record that is appended and perhaps not durable yet."""
        ...

    def on_watermark(self, timestamp: int) -> None:
        """Everything up to `timestamp` is durable and may be shown."""
        ...

    def on_manifest(self, manifest: Manifest) -> None:
        """Take a version that was just committed."""
        ...

    def on_catalog_change(self) -> None:
        """A collection, partition, index or load state changed in the catalog."""
        ...

    def on_end(self, reason: str) -> None:
        """Nothing more comes from this writer."""
        ...


@dataclass(frozen=True, slots=True)
class Subscription:
    """Where a follower joined."""

    token: int
    start_ts: int
    """Records above it come through the stream; those up to it are in log files or manifests."""
    watermark: int
    """The watermark when it joined."""


class Feed:
    """Hands the writer's news to all listeners in one order.  Thread-safe."""

    def __init__(self, start_ts: int) -> None:
        self._lock = threading.Lock()
        self._listeners: dict[int, Listener] = {}
        self._next_token = 1
        self._appended = start_ts
        self._watermark = start_ts

    def subscribe(self, listener: Listener) -> Subscription:
        """Add `listener`; see the protocol above for what it must do next."""
        with self._lock:
            token = self._next_token
            self._next_token += 1
            self._listeners[token] = listener
            return Subscription(token, self._appended, self._watermark)

    def unsubscribe(self, token: int) -> None:
        """Stop telling that listener; nothing if it is gone already."""
        with self._lock:
            self._listeners.pop(token, None)

    @property
    def watermark(self) -> int:
        """Everything up to it is durable and visible."""
        with self._lock:
            return self._watermark

    def record(self, record: Record) -> None:
        """Tell a record in the order of the log."""
        with self._lock:
            assert record.timestamp > self._appended, (record.timestamp, self._appended)
            self._appended = record.timestamp
            self._tell(lambda at: at.on_record(record))

    def advance(self, timestamp: int) -> None:
        """Tell that everything up to `timestamp` is durable; older ones are ignored."""
        with self._lock:
            if timestamp <= self._watermark:
                return
            self._watermark = timestamp
            self._appended = max(self._appended, timestamp)
            self._tell(lambda at: at.on_watermark(timestamp))

    def manifest(self, manifest: Manifest) -> None:
        """Tell a committed version."""
        with self._lock:
            self._tell(lambda at: at.on_manifest(manifest))

    def catalog_change(self) -> None:
        """Tell that the catalog changed."""
        with self._lock:
            self._tell(lambda at: at.on_catalog_change())

    def end(self, reason: str) -> None:
        """Tell that nothing more comes, and forget all listeners."""
        with self._lock:
            self._tell(lambda at: at.on_end(reason))
            self._listeners.clear()

    def _tell(self, news: Callable[[Listener], None]) -> None:
        for token, listener in list(self._listeners.items()):
            try:
                news(listener)
            except Exception:  # a follower's fault must not stop the writer
                log.exception("a follower failed and is dropped: token=%d", token)
                del self._listeners[token]
