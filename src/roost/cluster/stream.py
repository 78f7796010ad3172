"""The writer's side of the log stream: what happens in its `Feed`, to every follower, in order.

Records go out as soon as they are appended, in frames of at most 1 MiB, so that most of a large
insert has arrived when its fsync returns; a separate event says up to which timestamp they are
durable and may be shown (hazard H18).  An event is encoded once, however many followers there are.
A follower that sent the record's payload itself, and keeps it, is told the header alone.

A follower has a bounded queue.  One that falls behind further than that is cut off: it joins again
and reads what it missed from the log files, which costs the writer nothing.

Lock order: the feed's lock (held while it calls us), then ours, then one queue's.
"""

import functools
import threading
from collections import deque
from collections.abc import Collection, Iterator
from typing import Protocol

from roost.cluster.frames import frame_events
from roost.cluster.wire import roost_pb2 as wire
from roost.errors import Unavailable
from roost.sizes import MIB
from roost.vector.api import KeptBy
from roost.vector.engine.follow import Subscription
from roost.vector.log.record import Record, encode
from roost.vector.manifest import Manifest

QUEUE_BYTES = 256 * MIB
"""What one follower may be behind before it is cut off; shared between followers, not copied."""
FOLLOWERS_MAX = 32
"""Each takes a thread of the server; further ones are refused and poll the log files."""


class Feeds(Protocol):
    """The part of the writer that we listen to."""

    @property
    def generation(self) -> int:
        """The generation of this writer's lease."""
        ...

    def subscribe(self, listener: "LogStream") -> Subscription:
        """As in WriterEngine."""
        ...

    def unsubscribe(self, token: int) -> None:
        """As in WriterEngine."""
        ...


class LogStream:
    """Listens to one writer and hands its events to followers."""

    def __init__(self, writer: Feeds, queue_bytes: int = QUEUE_BYTES) -> None:
        self._writer = writer
        self._queue_bytes = queue_bytes
        self._lock = threading.Lock()
        self._queues: dict[int, FollowerQueue] = {}
        self._next_queue = 1
        self._ended: str | None = None
        self._appended = 0
        self._watermark = 0
        subscription = writer.subscribe(self)
        self._token = subscription.token
        with self._lock:
            self._appended = max(self._appended, subscription.start_ts)
            self._watermark = max(self._watermark, subscription.watermark)

    def follow(self, member: str, keeper: str = "") -> "FollowerQueue":
        """Return a new follower's events: where its stream begins, then everything after.

        `keeper` is the token of a process that keeps payloads which it sent.

        Raises Unavailable when the writer has ended or has `FOLLOWERS_MAX` followers.
        """
        with self._lock:
            if self._ended is not None:
                raise Unavailable(f"this writer has ended: {self._ended}")
            if len(self._queues) >= FOLLOWERS_MAX:
                raise Unavailable(f"this writer has {FOLLOWERS_MAX} followers already")
            number = self._next_queue
            self._next_queue += 1
            forget = functools.partial(self._forget, number)
            queue = FollowerQueue(member, self._queue_bytes, forget, keeper)
            hello = wire.Hello(generation=self._writer.generation, complete_from_ts=self._appended)
            queue.put(wire.FollowEvent(hello=hello).SerializeToString())
            queue.put(wire.FollowEvent(durable_ts=self._watermark).SerializeToString())
            self._queues[number] = queue
            return queue

    @property
    def followers(self) -> tuple[str, ...]:
        """The members that follow now."""
        with self._lock:
            return tuple(queue.member for queue in self._queues.values())

    def close(self) -> None:
        """Stop listening and end all streams."""
        self._writer.unsubscribe(self._token)
        self.on_end("the writer stops")

    def on_record(self, record: Record) -> None:
        """As in Listener."""
        with self._lock:
            self._appended = max(self._appended, record.timestamp)
            keepers = self._keepers(record.kept_by)
            if record.kept_by is not None and keepers:
                self._put(_kept_event(record, record.kept_by.number), keepers)
            others = self._queues.keys() - keepers
            if others:
                for event in frame_events(encode(record)):
                    self._put(event, others)

    def on_watermark(self, timestamp: int) -> None:
        """As in Listener."""
        with self._lock:
            self._watermark = max(self._watermark, timestamp)
            self._appended = max(self._appended, timestamp)
            self._put(wire.FollowEvent(durable_ts=timestamp).SerializeToString())

    def on_manifest(self, manifest: Manifest) -> None:
        """As in Listener."""
        with self._lock:
            self._put(wire.FollowEvent(manifest=manifest.to_json()).SerializeToString())

    def on_catalog_change(self) -> None:
        """As in Listener."""
        with self._lock:
            self._put(wire.FollowEvent(catalog_change=1).SerializeToString())

    def on_end(self, reason: str) -> None:
        """As in Listener."""
        with self._lock:
            self._ended = reason
            queues = list(self._queues.values())
            self._queues.clear()
        for queue in queues:
            queue.end(f"this writer has ended: {reason}")

    def _keepers(self, kept_by: KeptBy | None) -> set[int]:
        if kept_by is None:
            return set()
        return {number for number, queue in self._queues.items() if queue.keeper == kept_by.token}

    def _put(self, event: bytes, numbers: Collection[int] | None = None) -> None:
        """Give an event to the followers of these numbers, or to all."""
        chosen = self._queues if numbers is None else self._queues.keys() & numbers
        behind = [number for number in chosen if not self._queues[number].put(event)]
        for number in behind:
            del self._queues[number]

    def _forget(self, number: int) -> None:
        with self._lock:
            self._queues.pop(number, None)


def _kept_event(record: Record, number: int) -> bytes:
    header = bytes(encode(record)[0])
    kept = wire.KeptRecord(number=number, header=header)
    event: bytes = wire.FollowEvent(kept=kept).SerializeToString()
    return event


class FollowerQueue:
    """Encoded events on their way to one follower.  One thread iterates, others put."""

    def __init__(self, member: str, limit_bytes: int, forget: "Forget", keeper: str = "") -> None:
        self.member = member
        self.keeper = keeper
        self._limit_bytes = limit_bytes
        self._forget = forget
        self._changed = threading.Condition()
        self._events: deque[bytes] = deque()
        self._size_bytes = 0
        self._end: str | None = None

    def put(self, event: bytes) -> bool:
        """Add an event; False if the queue has ended or is full, which ends it."""
        with self._changed:
            if self._end is not None:
                return False
            if self._size_bytes + len(event) > self._limit_bytes and self._events:
                self._events.clear()
                self._end = f"{self.member} fell more than {self._limit_bytes} bytes behind"
            else:
                self._events.append(event)
                self._size_bytes += len(event)
            self._changed.notify()
            return self._end is None

    def end(self, reason: str) -> None:
        """Let the iteration raise Unavailable with `reason` after the events put so far."""
        with self._changed:
            self._end = self._end or reason
            self._changed.notify()

    def close(self) -> None:
        """The follower is gone: drop everything."""
        self._forget()
        with self._changed:
            self._events.clear()
            self._end = self._end or "the follower left"
            self._changed.notify()

    def __iter__(self) -> Iterator[bytes]:
        """Yield events as they come.  Raises Unavailable at the end."""
        while True:
            with self._changed:
                # Unbounded, but every end (cut off, writer gone, follower gone) wakes it.
                while not self._events and self._end is None:
                    self._changed.wait()
                if not self._events:
                    raise Unavailable(str(self._end))
                event = self._events.popleft()
                self._size_bytes -= len(event)
            yield event


class Forget(Protocol):
    """Takes a queue off its stream's list."""

    def __call__(self) -> None:
        """Do it; again is fine."""
        ...
