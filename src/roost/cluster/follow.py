"""The reader's side of the log: how a reader comes to hold what the writer holds.

1. It reads the catalog and the newest manifests, and knows from where on it needs the log.
2. It opens the writer's stream, which promises every record above `complete_from_ts`, waits until
   the watermark has passed that, and reads what lies before from the log files.
3. Then it lives on the stream: records are kept aside until a watermark covers them.
4. When the stream ends, the kept-aside records are dropped and the log files are polled, never past
   a seal, until there is a writer again, perhaps of a new generation: then again from 2.

A record whose payload this process sent itself comes as its header (`kept`).  If the payload is not
here any more, the record is *owed*: it is read from the log files once a watermark covers it.

Timestamps rise strictly over all generations, so what was applied is one number, and whatever comes
twice is known by it.

Invariants
* `_applied_ts` only rises, and every record up to it was given to the target, in order, once.
* Only the follow thread touches `_applied_ts` and the target's `apply` and `advance`.
* Nothing above a watermark, or above what log files show before their seal, reaches the target,
  and nothing that is not durable.
* `_applied_ts` never passes a record that is owed: log files that do not show it are damaged.  Only
  a manifest that covers it makes up for it; so while it is owed the time of a gap runs.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import pyarrow as pa

from roost.clock import Clock
from roost.cluster.frames import Frame
from roost.cluster.kept import KeptPayloads
from roost.cluster.rpc.peer import EventStream, Peer
from roost.cluster.spare import SpareMemory
from roost.errors import CorruptRecord, LeaseLost, RoostError, Unavailable
from roost.vector.catalog.catalog import Catalog
from roost.vector.catalog.values import Member
from roost.vector.files import Files
from roost.vector.log.reader import replay, settle_end
from roost.vector.log.record import Record, RunningChecksum, decode, decode_apart, timestamp_of
from roost.vector.manifest import Manifest

log = logging.getLogger(__name__)

POLL_S = 0.5
"""Between two looks at catalog and log files; bounds how long a lost push goes unnoticed."""
CONNECT_S = 2.0
GAP_S = 1_800.0
"""After this long without stream and log files everything is read anew: log files that were needed
may be collected by then (their grace is an hour)."""
RECORD_BYTES_MAX = 1 << 31


class Target(Protocol):
    """Whoever wants the log's records: a reader's collections."""

    def refresh(self) -> None:
        """Read the catalog's collections and newest manifests.  Any thread."""
        ...

    def manifest(self, manifest: Manifest) -> None:
        """Take a version that was just committed; must not wait for it to be open."""
        ...

    def needed_from(self) -> int:
        """Return the timestamp after which records of the log are needed."""
        ...

    def forget(self) -> None:
        """Drop what was applied: records may be missing in between.  `refresh` comes next."""
        ...

    def apply(self, record: Record) -> None:
        """Take a durable record; they come in order."""
        ...

    def advance(self, watermark_ts: int) -> None:
        """Every record up to there was applied."""
        ...


class Incoming:
    """Events of one stream put together: frames to records, records kept until durable."""

    def __init__(self, generation: int, spare: SpareMemory | None = None) -> None:
        self._generation = generation
        self._spare = spare or SpareMemory()
        self._buffer: pa.Buffer | None = None
        self._view = memoryview(b"")
        self._filled = 0
        self._checksum = RunningChecksum()
        self._waiting: deque[Record] = deque()
        self._framed_bytes = 0
        self._holes: deque[int] = deque()
        """Timestamps of records whose payload is not here."""

    def frame(self, size_bytes: int, data: memoryview) -> None:
        """Add a piece of a record.  Raises CorruptRecord if the pieces do not make one."""
        if self._buffer is None:
            self._checksum = RunningChecksum()
            if size_bytes == len(data):
                self._take(pa.py_buffer(data))
                return
            if size_bytes > RECORD_BYTES_MAX:
                raise CorruptRecord("log stream", f"a record of {size_bytes} bytes")
            memory = self._spare.take(size_bytes)
            self._buffer, self._view = pa.py_buffer(memory), memory.data
            self._filled = 0
        end = self._filled + len(data)
        if size_bytes != self._buffer.size or end > size_bytes:
            raise CorruptRecord("log stream", "the pieces of a record do not fit each other")
        self._view[self._filled : end] = data
        self._checksum.add(self._view[self._filled : end])
        self._filled = end
        if end == size_bytes:
            whole, self._buffer = self._buffer, None
            self._take(whole, self._checksum.value)

    def kept(self, header: bytes, payload: pa.Buffer | None) -> None:
        """Add a record whose payload this process has; without it, a hole stays in its place.

        Raises CorruptRecord if the payload is not the record's, or the header none of this stream.
        """
        if payload is None:
            self._holes.append(timestamp_of(header, self._generation, "log stream"))
        else:
            self._add(decode_apart(header, payload, "log stream")[0])

    def holes(self, timestamp: int) -> list[int]:
        """Return, once, the timestamps of records up to a watermark that are not here."""
        found = []
        while self._holes and self._holes[0] <= timestamp:
            found.append(self._holes.popleft())
        return found

    def durable(self, timestamp: int) -> list[Record]:
        """Return the records that a watermark makes visible, in order."""
        visible = []
        while self._waiting and self._waiting[0].timestamp <= timestamp:
            visible.append(self._waiting.popleft())
        if visible and self._framed_bytes:
            self._spare.prepare(self._framed_bytes)
            self._framed_bytes = 0
        return visible

    def _take(self, raw: pa.Buffer, payload_crc: int | None = None) -> None:
        self._framed_bytes = raw.size
        self._add(decode(raw, 0, "log stream", payload_crc).record)

    def _add(self, record: Record) -> None:
        if record.generation != self._generation:
            raise CorruptRecord("log stream", f"a record of generation {record.generation}")
        self._waiting.append(record)


class Follower:
    """Feeds one target, in threads of its own, for as long as it runs."""

    def __init__(
        self,
        member_id: str,
        catalog: Catalog,
        files: Files,
        target: Target,
        writer: Callable[[], Member | None],
        clock: Clock,
        poll_s: float = POLL_S,
        gap_s: float = GAP_S,
        kept: KeptPayloads | None = None,
    ) -> None:
        """`writer` says who writes now; `clock` paces the polling; `kept` is what was sent."""
        self._kept = kept or KeptPayloads()
        self._spare = SpareMemory()
        self._member_id = member_id
        self._catalog = catalog
        self._files = files
        self._target = target
        self._writer = writer
        self._clock = clock
        self._poll_s = poll_s
        self._gap_s = gap_s
        self._heard_s = clock.monotonic_s()
        self._applied_ts = 0
        self._owed: deque[int] = deque()  # durable records that only the log files have
        self._stop = threading.Event()
        self._caught_up = threading.Event()
        self._lock = threading.Lock()  # guards the two below
        self._stream: EventStream | None = None
        self._stream_generation = 0
        self._threads = [
            threading.Thread(target=self._follow, name="roost-follow", daemon=True),
            threading.Thread(target=self._poll, name="roost-poll", daemon=True),
        ]

    def start(self) -> None:
        """Read catalog and manifests, then follow.  Raises Unavailable, Damage."""
        self._target.refresh()
        self._applied_ts = self._target.needed_from()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop following; what was applied stays."""
        self._spare.close()
        self._stop.set()
        self._cut(None)
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def wait_caught_up(self, timeout_s: float) -> bool:
        """Wait until everything that was durable when we started has been applied."""
        return self._caught_up.wait(timeout_s)

    @property
    def streaming(self) -> bool:
        """True while a writer's stream is open."""
        return self._stream is not None

    def _follow(self) -> None:
        while not self._stop.is_set():
            try:
                self._begin_again_after_a_gap()
                self._join()
            except CorruptRecord as error:
                log.error("damage was met, and nothing behind it is shown: %s", error)
            except RoostError as error:
                if not self._stop.is_set():
                    log.info("not following the writer: %s", error)
            except Exception:  # a bug must not leave this reader behind for ever
                log.exception("following the writer failed")
            try:
                self._read_files()
            except RoostError as error:
                log.warning("cannot read the log: %s", error)
            except Exception:  # as above
                log.exception("reading the log failed")
            self._clock.wait(self._stop, self._poll_s)

    def _begin_again_after_a_gap(self) -> None:
        if self._is_covered():
            log.warning("manifests hold the record that the log lacks: reading everything anew")
        elif self._clock.monotonic_s() - self._heard_s < self._gap_s:
            return
        else:
            log.warning("neither stream nor log could be read for long: reading everything anew")
        self._target.forget()
        self._target.refresh()
        self._applied_ts = self._target.needed_from()
        self._drop_paid()
        self._heard_s = self._clock.monotonic_s()

    def _join(self) -> None:
        """Follow one stream to its end.  Raises what ended it."""
        generation = self._catalog.lease().generation
        writer = self._writer()
        if writer is None:
            raise Unavailable("there is no writer now")
        peer = Peer(writer.address)
        try:
            if not peer.wait_ready(CONNECT_S):
                raise Unavailable(f"the writer at {writer.address} cannot be reached")
            stream = peer.follow(self._member_id, self._kept.token)
            with self._lock:
                self._stream, self._stream_generation = stream, generation
            try:
                if not self._stop.is_set():
                    self._live_on(stream, generation)
            finally:
                stream.cancel()
        finally:
            with self._lock:
                self._stream = None
            peer.close()

    def _live_on(self, stream: EventStream, generation: int) -> None:
        events = iter(stream)
        first = next(events, None)
        if first is None or first.hello.generation != generation:
            raise LeaseLost(f"that is not the writer of generation {generation}")
        hello = first.hello
        incoming = Incoming(generation, self._spare)
        joined = False
        for event in events:
            if isinstance(event, Frame):
                incoming.frame(event.size_bytes, event.data)
                continue
            kind = event.WhichOneof("event")
            if kind == "frame":
                incoming.frame(event.frame.size_bytes, memoryview(event.frame.data))
            elif kind == "kept":
                incoming.kept(event.kept.header, self._kept.take(event.kept.number))
            elif kind == "durable_ts":
                # Until the watermark covers all that was appended before we joined, the log
                # files may lack records that the stream does not have either.
                joins = not joined and event.durable_ts >= hello.complete_from_ts
                joined = joined or joins
                if joined:
                    self._owed.extend(incoming.holes(event.durable_ts))
                    self._drop_paid()
                    if joins or self._owed:
                        self._read_log(hello.generation, event.durable_ts)
                    self._show(incoming, event.durable_ts)
            else:
                self._news(kind, event)

    def _show(self, incoming: Incoming, durable_ts: int) -> None:
        for record in incoming.durable(durable_ts):
            self._apply(record)
        self._advance(durable_ts)

    def _news(self, kind: str | None, event: Any) -> None:
        if kind == "manifest":
            self._target.manifest(Manifest.from_json(event.manifest, "log stream"))
        elif kind == "catalog_change":
            self._target.refresh()
        # Anything else comes from a newer writer and is not meant for us.

    def _read_log(self, generation: int, up_to_ts: int) -> None:
        """Apply what the log files have up to a watermark of the living writer."""
        seals, floor = self._catalog.seals(), self._catalog.log_floor()
        for record in replay(self._files, seals, self._applied_ts, floor, generation):
            if record.timestamp > up_to_ts:
                break
            self._apply(record)
        self._advance(up_to_ts)

    def _read_files(self) -> None:
        """Apply what the log files have while there is no writer to ask."""
        lease = self._catalog.lease()
        seals, floor = self._catalog.seals(), self._catalog.log_floor()
        for record in replay(self._files, seals, self._applied_ts, floor):
            self._apply(record)
        if lease.generation == 0 or lease.generation in seals:
            self._advance(self._applied_ts)
            return
        # The last generation has no seal yet.  Its end as we read it counts only if there is none
        # afterwards either: else a deposed writer may have added what we read (hazard H1).
        tail = [
            record
            for record in replay(self._files, seals, self._applied_ts, floor, lease.generation)
            if record.timestamp > self._applied_ts
        ]
        if tail:
            settle_end(self._files, lease.generation)  # its writer may live, and not have synced it
        if lease.generation in self._catalog.seals():
            return
        for record in tail:
            self._apply(record)
        self._advance(self._applied_ts)

    def _apply(self, record: Record) -> None:
        if record.timestamp <= self._applied_ts:
            return
        self._check_owed(record.timestamp - 1)
        self._target.apply(record)
        self._applied_ts = record.timestamp
        self._drop_paid()

    def _check_owed(self, up_to_ts: int) -> None:
        if self._owed and self._owed[0] <= up_to_ts:
            why = f"the record of timestamp {self._owed[0]} is durable, and not there"
            raise CorruptRecord("log files", why)

    def _drop_paid(self) -> None:
        while self._owed and self._owed[0] <= self._applied_ts:
            self._owed.popleft()

    def _is_covered(self) -> bool:
        """True if manifests, which go on meanwhile, hold a record that is owed."""
        return bool(self._owed) and self._owed[0] <= self._target.needed_from()

    def _advance(self, watermark_ts: int) -> None:
        self._check_owed(watermark_ts)
        self._applied_ts = max(self._applied_ts, watermark_ts)
        self._target.advance(self._applied_ts)
        self._kept.applied(self._applied_ts)
        if not self._owed:
            self._heard_s = self._clock.monotonic_s()
        self._caught_up.set()

    def _poll(self) -> None:
        """Notice what no push told: another generation, manifests, changes of the catalog."""
        seen = -1
        while not self._clock.wait(self._stop, self._poll_s):
            try:
                counter = self._catalog.change_counter()
                if counter != seen:
                    self._target.refresh()
                    seen = counter
                self._cut(self._catalog.lease().generation)
            except RoostError as error:
                log.warning("cannot read the catalog: %s", error)

    def _cut(self, generation: int | None) -> None:
        """End the stream if its writer is not of `generation`; in any case for None."""
        with self._lock:
            stream, current = self._stream, self._stream_generation
        if stream is not None and (generation is None or current < generation):
            stream.cancel()
