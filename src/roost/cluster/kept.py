"""Payloads of inserts that this reader sent to the writer, kept until their records come back.

A reader's router forwards rows to the writer, and the writer's stream brings every record to the
reader.  A large payload need not make that second way: it is kept here, the stream brings the
record's header alone, and the rows can be searched as soon as they are durable.

What is kept goes when its record came, when the insert failed, or when the reader has applied
everything up to the insert's timestamp without having needed it (the writer had changed the rows).
"""

import secrets
import threading

import pyarrow as pa

from roost.sizes import KIB, MIB
from roost.vector.api import KeptBy

WORTH_BYTES = 256 * KIB
"""Smaller payloads are sent back: that costs less than to keep account of them."""
KEPT_BYTES_MAX = 256 * MIB
"""In all; what comes beyond that is sent back."""


class KeptPayloads:
    """Thread-safe: the router puts, the follower takes; `_lock` guards everything."""

    def __init__(self, bytes_max: int = KEPT_BYTES_MAX) -> None:
        self.token = secrets.token_hex(8)
        """Names this process to the writer; members' names outlive processes."""
        self._bytes_max = bytes_max
        self._lock = threading.Lock()
        self._next = 1
        self._payloads: dict[int, pa.Buffer] = {}
        self._acknowledged: dict[int, int] = {}
        """Timestamps of inserts whose records have not come."""
        self._held_bytes = 0
        self._applied_ts = 0

    def keep(self, payload: pa.Buffer) -> KeptBy | None:
        """Keep `payload`; None if it is too small for that or there is no room."""
        with self._lock:
            fits = self._held_bytes + payload.size <= self._bytes_max
            if payload.size < WORTH_BYTES or not fits:
                return None
            number = self._next
            self._next += 1
            self._payloads[number] = payload
            self._held_bytes += payload.size
            return KeptBy(self.token, number)

    def take(self, number: int) -> pa.Buffer | None:
        """Return that payload, which is the caller's from now on; None if it is not here."""
        with self._lock:
            return self._drop(number)

    def acknowledged(self, number: int, timestamp: int) -> None:
        """Say that the insert is in the log at `timestamp`; its record may have come already."""
        with self._lock:
            if timestamp <= self._applied_ts:
                self._drop(number)
            elif number in self._payloads:
                self._acknowledged[number] = timestamp

    def failed(self, number: int) -> None:
        """Say that the insert was refused or its answer lost."""
        with self._lock:
            self._drop(number)

    def applied(self, up_to_ts: int) -> None:
        """Say that every record up to that timestamp was applied."""
        with self._lock:
            self._applied_ts = max(self._applied_ts, up_to_ts)
            for number, timestamp in list(self._acknowledged.items()):
                if timestamp <= self._applied_ts:
                    self._drop(number)

    @property
    def held_bytes(self) -> int:
        """Bytes kept now."""
        with self._lock:
            return self._held_bytes

    def _drop(self, number: int) -> pa.Buffer | None:
        payload = self._payloads.pop(number, None)
        self._acknowledged.pop(number, None)
        if payload is not None:
            self._held_bytes -= payload.size
        return payload
