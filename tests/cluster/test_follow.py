"""A follower between a stream, log files and seals: each durable record once, none past a seal.

The writer here is a feed behind real gRPC and log files written by hand, so that a test decides
what is durable, what is sealed and when.
"""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from roost.clock import SystemClock
from roost.cluster.follow import Follower
from roost.cluster.rpc.server import RpcServer
from roost.cluster.stream import LogStream
from roost.errors import Failure
from roost.vector.api import KeptBy
from roost.vector.catalog.catalog import Catalog
from roost.vector.catalog.values import Member
from roost.vector.engine.follow import Feed, Listener, Subscription
from roost.vector.files import AppendFile, DirectoryFiles
from roost.vector.log.record import LogPosition, Record, RecordKind, encode
from roost.vector.manifest import Manifest

POLL_S = 0.05


def record(timestamp: int, generation: int) -> Record:
    payload = pa.py_buffer(f"row of {timestamp}".encode())
    return Record(RecordKind.INSERT, generation, timestamp, 1, 1, payload)


class Recorder:
    """A target that remembers what it was given."""

    def __init__(self) -> None:
        self.applied: list[int] = []
        self.watermark = 0
        self.manifests: list[int] = []
        self.refreshes = 0
        self.forgotten = 0
        self.violations: list[str] = []
        self.covered = 0  # by manifests

    def refresh(self) -> None:
        self.refreshes += 1

    def manifest(self, manifest: Manifest) -> None:
        self.manifests.append(manifest.version)

    def needed_from(self) -> int:
        return self.covered

    def forget(self) -> None:
        self.applied.clear()
        self.watermark = 0
        self.forgotten += 1

    def apply(self, record: Record) -> None:
        # Not by assert: the follower's loop would log it and go on.
        if record.timestamp <= self.watermark:
            self.violations.append(f"{record.timestamp} came behind the watermark")
        if self.applied and record.timestamp <= self.applied[-1]:
            self.violations.append(f"{record.timestamp} came out of order or twice")
        self.applied.append(record.timestamp)

    def advance(self, watermark_ts: int) -> None:
        if watermark_ts < self.watermark:
            self.violations.append(f"the watermark went back to {watermark_ts}")
        self.watermark = watermark_ts


class FakeWriter:
    """One generation's log file and stream, moved by hand."""

    def __init__(self, files: DirectoryFiles, generation: int) -> None:
        self.generation = generation
        self.feed = Feed(generation * 1000)
        self._file: AppendFile = files.create(f"log/{generation}/0")
        self.stream = LogStream(self)
        self.server = RpcServer("127.0.0.1:0")
        self.server.add_follow(self.stream.follow)
        self.server.start()
        self.member = Member(f"w{generation}", "rw", self.server.address)

    def subscribe(self, listener: Listener) -> Subscription:
        return self.feed.subscribe(listener)

    def unsubscribe(self, token: int) -> None:
        self.feed.unsubscribe(token)

    def append(self, timestamp: int) -> None:
        """Append to the file and send early; not durable, not shown."""
        for piece in encode(record(timestamp, self.generation), opens_group=True):
            self._file.append(piece)
        self.feed.record(record(timestamp, self.generation))

    def append_kept(self, timestamp: int, token: str, *, in_file: bool) -> None:
        """As `append`, but the stream brings the header alone: the follower sent the payload."""
        if in_file:
            self.append_unseen(timestamp)
        kept_by = KeptBy(token, 1)
        self.feed.record(replace(record(timestamp, self.generation), kept_by=kept_by))

    def append_unseen(self, timestamp: int) -> None:
        """Append to the file alone: a writer that nobody follows any more."""
        for piece in encode(record(timestamp, self.generation), opens_group=True):
            self._file.append(piece)

    def durable(self, timestamp: int) -> None:
        self._file.sync()
        self.feed.advance(timestamp)

    @property
    def end(self) -> LogPosition:
        return LogPosition(0, self._file.size_bytes)

    def stop(self) -> None:
        self.stream.close()
        self.server.stop()


class HookedFiles(DirectoryFiles):
    """A directory in which something happens just before a log file is read."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.before_read: Callable[[], None] | None = None

    def read(self, path: str, offset: int = 0, size_bytes: int | None = None) -> bytes:
        hook, self.before_read = self.before_read, None
        if hook is not None and path.startswith("log/"):
            hook()
        return super().read(path, offset, size_bytes)


class Scene:
    """A catalog, a directory, at most one present writer and a follower."""

    def __init__(self, folder: Path, files: DirectoryFiles) -> None:
        self.catalog = Catalog(f"sqlite:///{folder / 'catalog.db'}")
        self.files = files
        self.target = Recorder()
        self.present: Member | None = None
        self._writers: list[FakeWriter] = []
        self.follower = Follower(
            "reader",
            self.catalog,
            self.files,
            self.target,
            lambda: self.present,
            SystemClock(),
            POLL_S,
        )

    def take_over(self, seals: dict[int, LogPosition] | None = None) -> FakeWriter:
        """A new generation claims the lease, seals the older ones and serves."""
        row = self.catalog.claim_generation("w", self.catalog.lease(), 3.0)
        if seals:
            self.catalog.set_seals(seals, row.generation)
        writer = FakeWriter(self.files, row.generation)
        self._writers.append(writer)
        self.present = writer.member
        return writer

    def close(self) -> None:
        self.follower.stop()
        for writer in self._writers:
            writer.stop()
        self.catalog.close()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path, HookedFiles(tmp_path))
    yield scene
    scene.close()
    assert scene.target.violations == []


def until(target: Recorder, watermark: int) -> None:
    deadline_s = time.monotonic() + 10
    while target.watermark < watermark:
        assert time.monotonic() < deadline_s, f"watermark {target.watermark} < {watermark}"
        time.sleep(0.005)


def settled() -> None:
    """Give the follower several rounds to do what it must not do."""
    time.sleep(6 * POLL_S)


def test_a_follower_that_joins_late_has_every_record_once(scene: Scene) -> None:
    writer = scene.take_over()
    for timestamp in (1001, 1002):
        writer.append(timestamp)
    writer.durable(1002)
    writer.append(1003)  # appended before the join, durable after it
    scene.follower.start()
    time.sleep(0.2)
    assert 1003 not in scene.target.applied
    writer.append(1004)
    writer.durable(1004)
    until(scene.target, 1004)
    assert scene.target.applied == [1001, 1002, 1003, 1004]


def test_a_record_is_hidden_until_it_is_durable_and_idle_ticks_advance(scene: Scene) -> None:
    writer = scene.take_over()
    scene.follower.start()
    writer.durable(1010)
    until(scene.target, 1010)
    writer.append(1011)
    settled()
    assert scene.target.applied == []
    writer.durable(1020)
    until(scene.target, 1020)
    assert scene.target.applied == [1011]
    writer.durable(1030)
    until(scene.target, 1030)


def test_a_deposed_writers_late_records_never_show(scene: Scene) -> None:
    """H1: it was paused after its lease check, wakes after the take-over and goes on as before."""
    old = scene.take_over()
    scene.follower.start()
    old.append(1001)
    old.durable(1001)
    until(scene.target, 1001)
    old.append(1002)  # early, never durable before the take-over …
    sealed = LogPosition(0, old.end.offset - 128)
    new = scene.take_over({1: sealed})
    new.durable(2000)
    until(scene.target, 2000)
    old.append(1003)
    old.durable(1999)  # … and it even says so, on the old stream and in its file
    new.append(2001)
    new.durable(2001)
    until(scene.target, 2001)
    settled()
    assert scene.target.applied == [1001, 2001]


def test_without_a_writer_the_log_files_are_read_up_to_the_seal(scene: Scene) -> None:
    old = scene.take_over()
    old.append_unseen(1001)
    old.append_unseen(1002)
    end = old.end
    old.append_unseen(1003)  # behind the seal
    row = scene.catalog.claim_generation("w2", scene.catalog.lease(), 3.0)
    scene.catalog.set_seals({1: end}, row.generation)
    scene.present = None
    scene.follower.start()
    until(scene.target, 1002)
    settled()
    assert scene.target.applied == [1001, 1002]
    assert scene.target.watermark == 1002


def test_without_a_writer_and_without_a_seal_the_present_end_is_read(scene: Scene) -> None:
    writer = scene.take_over()
    writer.append_unseen(1001)
    scene.present = None
    scene.follower.start()
    until(scene.target, 1001)
    writer.append_unseen(1002)
    until(scene.target, 1002)
    assert scene.target.applied == [1001, 1002]


def test_a_writer_that_goes_and_a_new_one_lose_and_repeat_nothing(scene: Scene) -> None:
    old = scene.take_over()
    scene.follower.start()
    old.append(1001)
    old.durable(1001)
    until(scene.target, 1001)
    old.append(1002)
    old.stop()  # its last record is in the file, acknowledged or not: the seal has it
    until(scene.target, 1002)
    new = scene.take_over({1: old.end})
    new.append(2001)
    new.durable(2001)
    until(scene.target, 2001)
    assert scene.target.applied == [1001, 1002, 2001]


def test_a_hanging_writer_of_an_older_generation_is_left(scene: Scene) -> None:
    """SIGSTOP: its stream neither ends nor speaks; the lease says that it is over."""
    old = scene.take_over()
    scene.follower.start()
    old.durable(1001)
    until(scene.target, 1001)
    new = scene.take_over({1: old.end})
    new.append(2001)
    new.durable(2001)
    until(scene.target, 2001)
    assert scene.target.applied == [2001]


def test_a_follower_cut_off_for_lagging_reads_what_it_missed_from_the_files(scene: Scene) -> None:
    writer = scene.take_over()
    scene.follower.start()
    writer.durable(1001)
    until(scene.target, 1001)
    held = threading.Event()
    apply = scene.target.apply

    def slow(record: Record) -> None:
        held.wait(10)
        apply(record)

    scene.target.apply = slow  # type: ignore[method-assign]
    for queue in list(writer.stream._queues.values()):
        queue._limit_bytes = 1_000
    for timestamp in range(1002, 1500):
        writer.append(timestamp)
    writer.durable(1500)
    held.set()
    until(scene.target, 1500)
    assert scene.target.applied == list(range(1002, 1500))


def test_a_record_whose_payload_is_not_here_any_more_is_read_from_the_files(scene: Scene) -> None:
    writer = scene.take_over()
    scene.follower.start()
    writer.durable(1001)
    until(scene.target, 1001)
    token = scene.follower._kept.token
    for timestamp in (1002, 1012):
        writer.append(timestamp)
        writer.append_kept(timestamp + 1, token, in_file=True)
    writer.durable(1020)
    until(scene.target, 1020)
    assert scene.target.applied == [1002, 1003, 1012, 1013]


def test_a_durable_record_that_the_log_does_not_show_is_damage(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing behind it is shown, by this stream, the next one or the files."""
    writer = scene.take_over()
    scene.follower.start()
    writer.durable(1001)
    until(scene.target, 1001)
    writer.append(1002)
    writer.append_kept(1003, scene.follower._kept.token, in_file=False)
    writer.append(1004)
    writer.durable(1004)
    settled()
    scene.present = None  # from now on the files are polled
    writer.stop()
    settled()
    assert scene.target.applied == [1002]
    assert scene.target.watermark < 1003
    assert "damage was met" in caplog.text
    assert "timestamp 1003" in caplog.text


def owing(scene: Scene) -> FakeWriter:
    """Begin to follow a writer whose last record, 1003, the log files lack."""
    writer = scene.take_over()
    scene.follower.start()
    writer.durable(1001)
    until(scene.target, 1001)
    writer.append(1002)
    writer.append_kept(1003, scene.follower._kept.token, in_file=False)
    writer.durable(1003)
    settled()
    return writer


def test_a_record_that_the_log_lacks_at_its_end_is_damage_too(scene: Scene) -> None:
    owing(scene)
    assert scene.target.applied == [1002]
    assert scene.target.watermark < 1003


def test_a_record_that_the_log_lacks_is_made_up_for_by_a_manifest(scene: Scene) -> None:
    """In a quiet cluster too; everything is read anew, for versions in use lack the record."""
    writer = owing(scene)
    assert scene.target.forgotten == 0
    scene.target.covered = 1003
    until(scene.target, 1003)
    assert scene.target.forgotten == 1
    writer.append(1004)
    writer.durable(1004)
    until(scene.target, 1004)
    assert scene.target.applied == [1004]
    assert scene.target.forgotten == 1


def test_it_is_made_up_for_without_a_writer_too(scene: Scene) -> None:
    writer = owing(scene)
    scene.present = None
    writer.stop()
    scene.target.covered = 1003
    until(scene.target, 1003)
    settled()
    assert scene.target.forgotten == 1


def test_what_the_log_lacks_for_long_has_everything_read_anew(scene: Scene) -> None:
    scene.follower._gap_s = 0.5
    owing(scene)
    deadline_s = time.monotonic() + 10
    while not scene.target.forgotten:
        assert time.monotonic() < deadline_s, "the log was not read anew"
        time.sleep(POLL_S)
    assert scene.target.watermark < 1003


def test_manifests_and_catalog_changes_are_pushed(scene: Scene) -> None:
    writer = scene.take_over()
    scene.follower.start()
    writer.durable(1001)
    until(scene.target, 1001)
    before = scene.target.refreshes
    writer.feed.manifest(Manifest(1, 5, 1, 1001))
    writer.feed.catalog_change()
    writer.durable(1002)
    until(scene.target, 1002)
    assert scene.target.manifests == [5]
    assert scene.target.refreshes > before


def test_what_is_read_while_a_seal_comes_about_is_not_shown(scene: Scene) -> None:
    """H1: between our look at the seals and our read, another takes over and the old one writes."""
    old = scene.take_over()
    old.append_unseen(1001)
    scene.present = None

    def take_over_and_write_on() -> None:
        row = scene.catalog.claim_generation("w2", scene.catalog.lease(), 3.0)
        scene.catalog.set_seals({1: old.end}, row.generation)
        old.append_unseen(1002)

    files = scene.files
    assert isinstance(files, HookedFiles)
    files.before_read = take_over_and_write_on
    scene.follower.start()
    until(scene.target, 1001)
    settled()
    assert files.before_read is None
    assert scene.target.applied == [1001]


def test_a_deposed_writer_is_not_joined(scene: Scene) -> None:
    """It is still on the list and answers; the lease has another generation."""
    old = scene.take_over()
    sealed = old.end
    row = scene.catalog.claim_generation("w2", scene.catalog.lease(), 3.0)
    scene.catalog.set_seals({1: sealed}, row.generation)
    old.append(1001)
    old.durable(1001)
    scene.follower.start()
    settled()
    assert scene.target.applied == []
    assert scene.target.watermark < 1001


def test_after_a_long_gap_everything_is_read_anew(scene: Scene) -> None:
    writer = scene.take_over()
    writer.append_unseen(1001)
    scene.follower._gap_s = 0.0
    scene.present = None
    scene.follower.start()
    until(scene.target, 1001)
    settled()
    assert scene.target.forgotten > 1
    scene.follower._gap_s = 1_000.0  # else the look below may fall into another such moment
    settled()
    assert scene.target.applied == [1001]


def test_what_an_open_log_shows_is_durable_before_it_is_shown(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its writer may live and wait for its sync: only the stream is lost."""
    told: list[str] = []
    real_settle, real_apply = DirectoryFiles.settle, scene.target.apply

    def settle(files: DirectoryFiles, path: str) -> None:
        told.append(f"settle {path}")
        real_settle(files, path)

    def apply(record: Record) -> None:
        told.append(f"apply {record.timestamp}")
        real_apply(record)

    monkeypatch.setattr(DirectoryFiles, "settle", settle)
    monkeypatch.setattr(scene.target, "apply", apply)
    writer = scene.take_over()
    scene.present = None
    writer.append_unseen(1001)
    scene.follower.start()
    until(scene.target, 1001)
    assert told == ["settle log/1/0", "apply 1001"]


def test_what_cannot_be_made_durable_is_not_shown(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(files: DirectoryFiles, path: str) -> None:
        raise Failure("the disk is gone")

    monkeypatch.setattr(DirectoryFiles, "settle", refuse)
    writer = scene.take_over()
    scene.present = None
    writer.append_unseen(1001)
    scene.follower.start()
    settled()
    assert scene.target.applied == []
    monkeypatch.undo()
    until(scene.target, 1001)
