"""The writer's end of the log: many callers, one thread, one `sync` for all that wait.

Per group: append → early listener → sync → lease check → durable listener → callers wake (hazard
H1).  Files are `log/<generation>/<n>`, n from 0; a file is made by this writer, closed early (H17)
and never appended to again.

Invariants
* Timestamps are given under `_lock` together with the place in the queue, so the order in the
  files is the order of the timestamps, and after a watermark only larger ones come.
* `_file`, `_file_number`, `_syncs` and `_in_flight` belong to the log thread alone.
* A file's successor is made only after its last sync, so only the last file can have a torn tail.
* After any failure nothing is appended or acknowledged: the generation has ended.

Lock order: `_lock` alone; no listener, file or lease is called with it held, except the
timestamp source (arithmetic only).
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa

from roost.errors import AlreadyExists, Failure, LeaseLost, RoostError, Unavailable
from roost.sizes import GIB, KIB, MIB, format_size
from roost.vector.api import KeptBy
from roost.vector.files import AppendFile, Files
from roost.vector.log.record import (
    LogPosition,
    Record,
    RecordKind,
    encode,
    payload_checksum,
    record_size,
)
from roost.vector.log.ticket import Item, Ticket, failure_after, failure_during

log = logging.getLogger(__name__)

LOG_FOLDER = "log"
COPY_BYTES_MAX = 64 * KIB
"""Pieces below this are copied together, so that small records cost one append, not three each."""


class TimestampSource(Protocol):
    """Hands out rising timestamps (`HybridClock`)."""

    def next(self) -> int:
        """Return a timestamp above all before.  Raises Unavailable when none may be given now."""
        ...


class LogListener(Protocol):
    """Who follows the log inside the writer's process.  Called by the log thread, in order."""

    def on_appended(self, record: Record) -> None:
        """A record was appended; it is not durable yet and must not be shown (hazard H18)."""
        ...

    def on_durable(self, records: Sequence[Record], watermark: int) -> None:
        """These records are durable and the lease held after that: make them visible.

        Every record up to timestamp `watermark` has been given; `records` is empty for a tick.
        """
        ...

    def on_ended(self, error: RoostError) -> None:
        """The generation ended with `error`; nothing more will be logged.  Called once.

        The callers that wait are told after this returns, so it waits for none of them.
        """
        ...


@dataclass(frozen=True, slots=True)
class LogLimits:
    """What bounds the log."""

    file_bytes_max: int = 64 * MIB
    """A larger record has a file of its own."""
    file_syncs_max: int = 90
    """JuiceFS compacts a file near 100 slices, and each sync is one (hazard H17)."""
    queue_bytes_max: int = 256 * MIB
    queue_records_max: int = 4096
    unflushed_bytes_max: int = 2 * GIB
    """Bounds replay, so that it fits the take-over time."""
    wait_s_max: float = 10.0
    """How long `submit` waits for room."""


@dataclass(slots=True)
class _Unflushed:
    """Sizes of durable records that no segment holds yet, oldest first."""

    sizes: deque[tuple[int, int]] = field(default_factory=deque)
    total_bytes: int = 0

    def add(self, timestamp: int, size_bytes: int) -> None:
        self.sizes.append((timestamp, size_bytes))
        self.total_bytes += size_bytes

    def drop_to(self, timestamp: int) -> None:
        while self.sizes and self.sizes[0][0] <= timestamp:
            self.total_bytes -= self.sizes.popleft()[1]


class LogWriter:
    """The log of one generation.  `submit`, `tick` and the properties are safe from any thread."""

    def __init__(
        self,
        files: Files,
        generation: int,
        timestamps: TimestampSource,
        lease_check: Callable[[], None],
        listener: LogListener,
        limits: LogLimits | None = None,
    ) -> None:
        """Claim the generation's folder and start the log thread.

        `lease_check` raises LeaseLost unless the lease is certainly still held (`Lease.check`).
        Raises LeaseLost if the folder exists: the generation is not ours, or the catalog went back.
        """
        self._files = files
        self._generation = generation
        self._timestamps = timestamps
        self._lease_check = lease_check
        self._listener = listener
        self._limits = limits or LogLimits()
        self._folder = f"{LOG_FOLDER}/{generation}"
        try:
            files.make_folder(self._folder, exclusive=True)
        except AlreadyExists:
            raise LeaseLost(
                f"{self._folder} exists: generation {generation} was used before",
                hint="Check that the catalog was not restored from an older copy.",
            ) from None

        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._room = threading.Condition(self._lock)
        self._queue: deque[Item] = deque()
        self._queued_bytes = 0
        self._unflushed = _Unflushed()
        self._watermark = 0
        self._closing = False
        self._ended: RoostError | None = None

        self._file: AppendFile | None = None
        self._file_number = -1
        self._syncs = 0
        self._in_flight: list[Item] = []
        self._thread = threading.Thread(target=self._run, name=f"log-{generation}", daemon=True)
        self._thread.start()

    @property
    def generation(self) -> int:
        """The generation this log belongs to."""
        return self._generation

    @property
    def watermark(self) -> int:
        """Everything up to this timestamp is durable, lease-checked and visible; 0 at first."""
        with self._lock:
            return self._watermark

    @property
    def ended(self) -> RoostError | None:
        """Why the generation ended, None while it lives."""
        with self._lock:
            return self._ended

    @property
    def unflushed_bytes(self) -> int:
        """Bytes of durable records after the last `flushed_to`."""
        with self._lock:
            return self._unflushed.total_bytes

    def flushed_to(self, timestamp: int) -> None:
        """Say that every collection is complete to `timestamp` in its segments; makes room."""
        with self._lock:
            self._unflushed.drop_to(timestamp)
            self._room.notify_all()

    def submit(
        self,
        kind: RecordKind,
        collection_id: int,
        partition_id: int,
        payload: pa.Buffer,
        kept_by: KeptBy | None = None,
    ) -> Ticket:
        """Queue a record and return its ticket; the timestamp is given here, in queue order.

        `kept_by` is the follower that has `payload` already.
        Blocks while the queue is full or too much is unflushed, for `wait_s_max` at most (never
        for a BARRIER).  Raises Unavailable then, LeaseLost or Unavailable after the end.
        """
        crc = payload_checksum(payload)  # side by side in the callers' threads
        size_bytes = record_size(payload.size)
        with self._lock:
            if kind is not RecordKind.BARRIER:
                self._wait_for_room(size_bytes)
            self._check_open()
            timestamp = self._timestamps.next()
            record = Record(
                kind,
                self._generation,
                timestamp,
                collection_id,
                partition_id,
                payload,
                crc,
                kept_by,
            )
            return self._enqueue(Item(Ticket(timestamp), record, size_bytes))

    def tick(self) -> Ticket:
        """Queue a timestamp with no record: it advances the watermark, under the lease check.

        Raises as `submit`; never waits for room.
        """
        with self._lock:
            self._check_open()
            return self._enqueue(Item(Ticket(self._timestamps.next()), None))

    def close(self) -> LogPosition | None:
        """Write what is queued, stop, and return where the log ends; None if it had failed.

        The answer is the seal of this generation if the caller still holds the lease.
        """
        with self._lock:
            self._closing = True
            self._work.notify_all()
            self._room.notify_all()
        if threading.current_thread() is not self._thread:  # a listener may close
            self._thread.join()
        if self.ended is not None:
            return None
        if self._file is None:
            return LogPosition(max(self._file_number, 0), 0)
        self._file.close()
        return LogPosition(self._file_number, self._file.size_bytes)

    def _check_open(self) -> None:
        if self._ended is not None:
            kind, message = failure_after(self._ended)
            raise kind(message)
        if self._closing:
            raise Unavailable(f"the log of generation {self._generation} is closed")

    def _wait_for_room(self, size_bytes: int) -> None:
        limits = self._limits
        if self._room.wait_for(lambda: self._has_room(size_bytes), limits.wait_s_max):
            return
        raise Unavailable(
            f"the log is behind: {format_size(self._queued_bytes)} wait to be written,"
            f" {format_size(self._unflushed.total_bytes)} to be flushed",
            hint="Try again; if it stays so, the storage is slower than the inserts.",
        )

    def _has_room(self, size_bytes: int) -> bool:
        if self._ended is not None or self._closing:
            return True  # no sense in waiting; the caller is refused next
        limits = self._limits
        fits = (
            len(self._queue) < limits.queue_records_max
            and self._queued_bytes + size_bytes <= limits.queue_bytes_max
        )
        return (fits or not self._queue) and (
            self._unflushed.total_bytes < limits.unflushed_bytes_max
        )

    def _enqueue(self, item: Item) -> Ticket:
        self._queue.append(item)
        self._queued_bytes += item.size_bytes
        self._work.notify()
        return item.ticket

    # ---- the log thread -------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while group := self._next_group():
                self._commit(group)
        except RoostError as error:
            self._end(error)
        except Exception as error:
            log.exception("the log failed: generation=%d", self._generation)
            self._end(Failure(f"the log failed: {error!r}"))

    def _next_group(self) -> list[Item]:
        """Return what fits into one file behind what it has; empty when closed and drained."""
        with self._lock:
            self._work.wait_for(lambda: self._queue or self._closing)
            if not self._queue:
                return []
        self._rotate_if_full(self._queue[0].size_bytes)  # only this thread takes from the left
        space_bytes = self._limits.file_bytes_max - (self._file.size_bytes if self._file else 0)
        with self._lock:
            group = [self._queue.popleft()]
            taken_bytes = group[0].size_bytes
            while self._queue and taken_bytes + self._queue[0].size_bytes <= space_bytes:
                taken_bytes += self._queue[0].size_bytes
                group.append(self._queue.popleft())
            self._in_flight = group
            self._queued_bytes -= taken_bytes
            self._room.notify_all()
        return group

    def _rotate_if_full(self, next_bytes: int) -> None:
        if self._file is None or next_bytes == 0:
            return
        size_bytes = self._file.size_bytes
        too_big = size_bytes > 0 and size_bytes + next_bytes > self._limits.file_bytes_max
        if too_big or self._syncs >= self._limits.file_syncs_max:
            file, self._file = self._file, None
            file.close()

    def _commit(self, group: list[Item]) -> None:
        records = [item.record for item in group if item.record is not None]
        if records:
            file = self._append(group)
            for record in records:
                self._listener.on_appended(record)
            file.sync()
            self._syncs += 1
        self._lease_check()
        watermark = group[-1].ticket.timestamp
        self._listener.on_durable(records, watermark)
        with self._lock:
            self._watermark = watermark
            self._in_flight = []
            for item in group:
                if item.record is not None:
                    self._unflushed.add(item.ticket.timestamp, item.size_bytes)
        for item in group:
            item.ticket.settle()

    def _append(self, group: list[Item]) -> AppendFile:
        if self._file is None:
            self._file_number += 1
            self._syncs = 0
            self._file = self._files.create(f"{self._folder}/{self._file_number}")
        file, small, opens_group = self._file, bytearray(), True
        for item in group:
            if item.record is None:
                continue
            for piece in encode(item.record, opens_group=opens_group):
                if memoryview(piece).nbytes < COPY_BYTES_MAX:
                    small += piece
                    continue
                file.append(bytes(small))
                small.clear()
                file.append(piece)
            opens_group = False
        if small:
            file.append(bytes(small))
        return file

    def _end(self, error: RoostError) -> None:
        with self._lock:
            self._ended = error
            unknown, unwritten = self._in_flight, list(self._queue)
            self._in_flight, self._queued_bytes = [], 0
            self._queue.clear()
            self._room.notify_all()
        log.error("the log ended: generation=%d reason=%s", self._generation, error)
        try:
            self._listener.on_ended(error)  # first: who is told of a failure finds it known
        finally:
            for item in unknown:
                item.ticket.settle(failure_during(error))
            for item in unwritten:
                item.ticket.settle(failure_after(error))
            if self._file is not None:
                self._file.close()
