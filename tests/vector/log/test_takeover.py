"""A take-over from a paused writer, over log, catalog and lease together (H1, H2, H22)."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import Buffer

from roost.errors import LeaseLost
from roost.testing.clock import ManualClock
from roost.testing.log_doubles import Journal
from roost.vector.catalog.catalog import Catalog
from roost.vector.catalog.lease import Lease, LeaseTerms
from roost.vector.files import AppendFile, DirectoryFiles
from roost.vector.log.reader import missing_seals, replay
from roost.vector.log.record import RecordKind, record_size
from roost.vector.log.writer import LogLimits, LogWriter
from roost.vector.timestamps import HybridClock

WAIT_S = 10.0


class VolumeLikeFiles(DirectoryFiles):
    """What is appended is seen by nobody before its sync; a sync can be held up on either side."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.before, self.after, self.reached = (threading.Event() for _ in range(3))
        self.before.set()
        self.after.set()

    def create(self, path: str) -> AppendFile:
        return _Buffered(self, super().create(path))


class _Buffered:
    def __init__(self, files: VolumeLikeFiles, inner: AppendFile) -> None:
        self._files, self._inner = files, inner
        self._pending = bytearray()

    def append(self, data: Buffer) -> None:
        self._pending += data

    def sync(self) -> None:
        if not self._files.before.is_set():
            self._files.reached.set()
            assert self._files.before.wait(WAIT_S)
        self._inner.append(bytes(self._pending))
        self._pending.clear()
        self._inner.sync()
        if not self._files.after.is_set():
            self._files.reached.set()
            assert self._files.after.wait(WAIT_S)

    @property
    def size_bytes(self) -> int:
        return self._inner.size_bytes + len(self._pending)

    def close(self) -> None:
        self._inner.close()


class Host:
    """One member: its catalog connection, clock, lease and log."""

    def __init__(self, root: Path, name: str) -> None:
        self.files = VolumeLikeFiles(root)
        self.catalog = Catalog(f"sqlite:///{root / 'catalog.db'}")
        self.clock = ManualClock()
        self.lease = Lease(self.catalog, name, self.clock, LeaseTerms())
        self.journal = Journal()

    def take_over(self) -> list[bytes]:
        """Claim, seal and replay as the engine does; return the payloads replayed."""
        for _ in range(3):
            if self.lease.try_acquire():
                break
            self.clock.advance(3.0)
        generation = self.lease.generation
        seals = self.catalog.seals()
        self.catalog.set_seals(missing_seals(self.files, seals, generation), generation)
        found = list(replay(self.files, self.catalog.seals(), 0))
        self.lease.timestamps.raise_floor(max((r.timestamp for r in found), default=0))
        self.log = LogWriter(
            self.files, generation, self.lease.timestamps, self.lease.check, self.journal
        )
        return [record.payload.to_pybytes() for record in found]

    def insert(self, text: bytes) -> None:
        self.log.submit(RecordKind.INSERT, 1, 1, pa.py_buffer(text)).wait(WAIT_S)


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[list[Host]]:
    made = [Host(tmp_path, name) for name in "abc"]
    yield made
    for host in made:
        host.catalog.close()


@pytest.mark.parametrize("paused", ["before", "after"])
def test_a_writer_paused_around_its_sync_loses_nothing_and_adds_nothing(
    hosts: list[Host], paused: str
) -> None:
    old, new, third = hosts
    old.take_over()
    old.insert(b"acknowledged by old")
    pause = getattr(old.files, paused)
    pause.clear()
    ticket = old.log.submit(RecordKind.INSERT, 1, 1, pa.py_buffer(b"in flight"))
    assert old.files.reached.wait(WAIT_S)

    seen = new.take_over()
    new.insert(b"acknowledged by new")
    old.clock.advance(60)  # it slept, and now goes on
    pause.set()
    with pytest.raises(LeaseLost):
        ticket.wait(WAIT_S)
    with pytest.raises(LeaseLost):
        old.insert(b"later")

    # What was not synced when the seal was set never appears; what was synced may.
    expected = [b"acknowledged by old"] + ([b"in flight"] if paused == "after" else [])
    assert seen == expected
    assert third.take_over() == [*expected, b"acknowledged by new"]
    assert len(old.journal.durable) == 1, "nothing more was made visible"


def test_timestamps_rise_over_any_number_of_take_overs_with_slow_clocks(
    hosts: list[Host],
) -> None:
    given: list[int] = []
    for number, host in enumerate(hosts):
        host.clock.jump_wall(-100 * number)
        host.take_over()
        given.extend(
            host.log.submit(RecordKind.INSERT, 1, 1, pa.py_buffer(b"x")).wait(WAIT_S)
            for _ in range(3)
        )
        given.append(host.log.tick().wait(WAIT_S))
    assert given == sorted(set(given))


def test_a_clean_hand_over_seals_itself_and_needs_no_waiting(hosts: list[Host]) -> None:
    old, new, _ = hosts
    old.take_over()
    old.insert(b"row")
    end = old.log.close()
    assert end is not None
    old.catalog.set_seals({old.lease.generation: end}, old.lease.generation)
    old.lease.release()
    assert new.lease.try_acquire()
    assert missing_seals(new.files, new.catalog.seals(), 2) == {}
    found = replay(new.files, new.catalog.seals(), 0)
    assert [record.payload.to_pybytes() for record in found] == [b"row"]


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 400), min_size=1, max_size=25),
    file_bytes=st.integers(64, 1500),
    file_syncs=st.integers(1, 6),
    lost=st.floats(0, 1),
)
def test_a_crash_leaves_a_prefix_and_every_reader_sees_the_same_one(
    tmp_path_factory: pytest.TempPathFactory,
    sizes: list[int],
    file_bytes: int,
    file_syncs: int,
    lost: float,
) -> None:
    """The tail of the last file is cut anywhere, as if that much had not been synced."""
    files = DirectoryFiles(tmp_path_factory.mktemp("log"))
    limits = LogLimits(file_bytes_max=file_bytes, file_syncs_max=file_syncs)
    clock = HybridClock(ManualClock())
    log = LogWriter(files, 1, clock, lambda: None, Journal(), limits)
    texts = [bytes([at]) * size for at, size in enumerate(sizes)]
    for text in texts:
        ticket = log.submit(RecordKind.INSERT, 1, 1, pa.py_buffer(text))
    ticket.wait(WAIT_S)
    log.close()
    last = max(files.list("log/1"), key=int)
    path = files.open_local(f"log/1/{last}")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * lost)])

    open_end = [r.payload.to_pybytes() for r in replay(files, {}, 0, open_generation=1)]
    seals = missing_seals(files, {}, 2)
    sealed = [r.payload.to_pybytes() for r in replay(files, seals, 0)]
    assert open_end == sealed == texts[: len(sealed)]
    whole = sum(record_size(len(text)) for text in texts) - len(content) + path.stat().st_size
    assert sum(record_size(len(text)) for text in texts[: len(sealed) + 1]) > whole or lost == 1
