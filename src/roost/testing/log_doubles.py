"""Small real implementations that the log's tests share."""

import threading
from collections.abc import Sequence
from pathlib import Path

from typing_extensions import Buffer

from roost.errors import Failure, LeaseLost, RoostError
from roost.testing.clock import ManualClock
from roost.vector.files import AppendFile, DirectoryFiles
from roost.vector.log.record import Record
from roost.vector.timestamps import HybridClock


class Journal:
    """A listener that remembers what it heard, in order, and may hold the log thread up."""

    def __init__(self) -> None:
        self.events: list[tuple[str, object]] = []
        self.durable: list[Record] = []
        self.watermarks: list[int] = []
        self.ended: list[RoostError] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def on_appended(self, record: Record) -> None:
        self.events.append(("appended", record.timestamp))
        self.entered.set()
        assert self.gate.wait(10)

    def on_durable(self, records: Sequence[Record], watermark: int) -> None:
        self.events.append(("durable", watermark))
        self.durable.extend(records)
        self.watermarks.append(watermark)

    def on_ended(self, error: RoostError) -> None:
        self.ended.append(error)


class WatchedFiles(DirectoryFiles):
    """A directory that notes each call of the log and fails the n-th (from 1)."""

    def __init__(self, root: Path, fail_at: int = 0) -> None:
        super().__init__(root)
        self.calls: list[str] = []
        self._fail_at = fail_at

    def note(self, call: str) -> None:
        self.calls.append(call)
        if len(self.calls) == self._fail_at:
            raise Failure(f"injected: {call}")

    def create(self, path: str) -> AppendFile:
        self.note("create")
        return _WatchedAppend(self, super().create(path))


class _WatchedAppend:
    def __init__(self, files: WatchedFiles, inner: AppendFile) -> None:
        self._files, self._inner = files, inner

    def append(self, data: Buffer) -> None:
        self._files.note("append")
        self._inner.append(data)

    def sync(self) -> None:
        self._files.note("sync")
        self._inner.sync()

    @property
    def size_bytes(self) -> int:
        return self._inner.size_bytes

    def close(self) -> None:
        self._inner.close()


class SwitchedLease:
    """A lease that holds until it is switched off."""

    def __init__(self) -> None:
        self.held = True
        self.checks = 0

    def check(self) -> None:
        self.checks += 1
        if not self.held:
            raise LeaseLost("another one writes")


def timestamps() -> HybridClock:
    return HybridClock(ManualClock())
