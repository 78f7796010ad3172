"""The log writer: group commit, the order of its steps, and what failure leaves behind."""

import threading
from pathlib import Path

import pyarrow as pa
import pytest

from roost.errors import CommitUnknown, Failure, LeaseLost, Unavailable
from roost.testing.clock import ManualClock
from roost.testing.log_doubles import Journal, SwitchedLease, WatchedFiles, timestamps
from roost.vector.files import DirectoryFiles
from roost.vector.log.reader import read_generation
from roost.vector.log.record import LogPosition, RecordKind, scan
from roost.vector.log.ticket import Ticket
from roost.vector.log.writer import LogLimits, LogWriter
from roost.vector.timestamps import HybridClock

WAIT_S = 10.0


def open_log(
    files: DirectoryFiles,
    journal: Journal | None = None,
    lease: SwitchedLease | None = None,
    limits: LogLimits | None = None,
    generation: int = 1,
) -> LogWriter:
    check = (lease or SwitchedLease()).check
    return LogWriter(files, generation, timestamps(), check, journal or Journal(), limits)


def insert(log: LogWriter, text: bytes = b"row") -> Ticket:
    return log.submit(RecordKind.INSERT, 1, 1, pa.py_buffer(text))


def stored(root: Path, generation: int = 1) -> list[bytes]:
    records = read_generation(DirectoryFiles(root), generation)
    return [record.payload.to_pybytes() for record in records]


def hold(journal: Journal, log: LogWriter) -> Ticket:
    """Submit a record and stop the log thread before its sync, so that others queue up."""
    journal.entered.clear()
    journal.gate.clear()
    ticket = insert(log, b"held")
    assert journal.entered.wait(WAIT_S)
    return ticket


def test_an_acknowledged_record_is_in_the_file(tmp_path: Path) -> None:
    log = open_log(DirectoryFiles(tmp_path))
    ticket = insert(log, b"hello")
    assert ticket.wait(WAIT_S) == ticket.timestamp
    assert stored(tmp_path) == [b"hello"]
    assert log.watermark == ticket.timestamp
    log.close()


def test_steps_are_append_early_listener_sync_lease_listener_acknowledgement(
    tmp_path: Path,
) -> None:
    steps: list[str] = []

    class Steps(Journal):
        def on_appended(self, record: object) -> None:
            steps.append("streamed")

        def on_durable(self, records: object, watermark: int) -> None:
            assert not ticket_box[0].done
            steps.append("visible")

    class Files(WatchedFiles):
        def note(self, call: str) -> None:
            steps.append(call)

    started = threading.Event()
    ticket_box: list[Ticket] = []

    def check() -> None:
        assert started.wait(WAIT_S)
        steps.append("lease")

    log = LogWriter(Files(tmp_path), 1, timestamps(), check, Steps())
    ticket_box.append(insert(log))
    started.set()
    ticket_box[0].wait(WAIT_S)
    assert steps == ["create", "append", "streamed", "sync", "lease", "visible"]
    log.close()


def test_callers_that_wait_together_share_one_sync(tmp_path: Path) -> None:
    files, journal = WatchedFiles(tmp_path), Journal()
    log = open_log(files, journal)
    first = hold(journal, log)
    others = [insert(log, str(n).encode()) for n in range(50)]
    journal.gate.set()
    for ticket in (first, *others):
        ticket.wait(WAIT_S)
    assert files.calls.count("sync") == 2
    opens = [f.opens_group for f in scan(DirectoryFiles(tmp_path).read("log/1/0"))]
    assert opens == [True, True] + [False] * 49
    log.close()


def test_records_of_many_threads_lie_in_the_order_of_their_timestamps(tmp_path: Path) -> None:
    journal = Journal()
    log = open_log(DirectoryFiles(tmp_path), journal)
    acknowledged: list[int] = []

    def client(number: int) -> None:
        acknowledged.extend(insert(log, b"%d-%d" % (number, n)).wait(WAIT_S) for n in range(25))

    threads = [threading.Thread(target=client, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    found = [r.timestamp for r in read_generation(DirectoryFiles(tmp_path), 1)]
    assert found == sorted(acknowledged)
    assert [r.timestamp for r in journal.durable] == found
    assert journal.watermarks == sorted(journal.watermarks)


def test_nothing_is_acknowledged_or_shown_when_the_lease_is_lost_after_the_sync(
    tmp_path: Path,
) -> None:
    files, journal, lease = WatchedFiles(tmp_path), Journal(), SwitchedLease()
    log = open_log(files, journal, lease)
    insert(log, b"before").wait(WAIT_S)
    held = hold(journal, log)
    queued = insert(log, b"queued")
    lease.held = False
    journal.gate.set()
    for ticket in (held, queued):
        with pytest.raises(LeaseLost):
            ticket.wait(WAIT_S)
    with pytest.raises(LeaseLost):
        insert(log)
    with pytest.raises(LeaseLost):
        log.tick()
    assert [r.payload.to_pybytes() for r in journal.durable] == [b"before"]
    assert files.calls[-1] == "sync", "nothing is appended after the loss"
    assert log.close() is None
    assert isinstance(journal.ended[0], LeaseLost)


def test_a_lost_lease_ends_the_log_even_when_only_ticks_pass(tmp_path: Path) -> None:
    lease = SwitchedLease()
    log = open_log(DirectoryFiles(tmp_path), lease=lease)
    lease.held = False
    with pytest.raises(LeaseLost):
        log.tick().wait(WAIT_S)
    assert isinstance(log.ended, LeaseLost)


@pytest.mark.parametrize("fail_at", range(1, 11))
def test_after_the_nth_call_fails_nothing_is_acknowledged_that_is_not_stored(
    tmp_path: Path, fail_at: int
) -> None:
    """Two records a file; create, append, sync, append, sync for each file."""
    files, journal = WatchedFiles(tmp_path, fail_at), Journal()
    log = open_log(files, journal, limits=LogLimits(file_syncs_max=2))
    acknowledged: list[bytes] = []
    failures: list[Failure] = []
    for n in range(4):
        try:
            insert(log, b"%d" % n).wait(WAIT_S)
            acknowledged.append(b"%d" % n)
        except Failure as failure:
            failures.append(failure)
    assert len(acknowledged) + len(failures) == 4
    assert isinstance(failures[0], CommitUnknown)
    assert all(isinstance(failure, Unavailable) for failure in failures[1:])
    assert len(files.calls) == fail_at, "no call after the failed one"
    assert stored(tmp_path)[: len(acknowledged)] == acknowledged
    assert len(stored(tmp_path)) <= len(acknowledged) + 1
    assert [r.payload.to_pybytes() for r in journal.durable] == acknowledged
    assert log.close() is None
    assert len(journal.ended) == 1


def test_a_bug_in_a_listener_fails_the_waiters_instead_of_hanging_them(tmp_path: Path) -> None:
    class Broken(Journal):
        def on_durable(self, records: object, watermark: int) -> None:
            raise ZeroDivisionError

    log = open_log(DirectoryFiles(tmp_path), Broken())
    with pytest.raises(CommitUnknown):
        insert(log).wait(WAIT_S)


def test_a_file_takes_so_many_syncs_and_then_no_byte_more(tmp_path: Path) -> None:
    files = DirectoryFiles(tmp_path)
    log = open_log(files, limits=LogLimits(file_syncs_max=3))
    for n in range(7):
        insert(log, b"%d" % n).wait(WAIT_S)
    assert files.list("log/1") == ["0", "1", "2"]
    assert [files.size(f"log/1/{n}") for n in range(3)] == [192, 192, 64]
    assert log.close() == LogPosition(2, 64)
    assert stored(tmp_path) == [b"%d" % n for n in range(7)]


def test_a_group_does_not_run_over_the_size_of_a_file(tmp_path: Path) -> None:
    files, journal = DirectoryFiles(tmp_path), Journal()
    log = open_log(files, journal, limits=LogLimits(file_bytes_max=256))
    first = hold(journal, log)
    others = [insert(log, b"%d" % n) for n in range(9)]
    journal.gate.set()
    for ticket in (first, *others):
        ticket.wait(WAIT_S)
    log.close()
    assert [files.size(f"log/1/{name}") for name in files.list("log/1")] == [256, 256, 128]
    assert len(stored(tmp_path)) == 10


def test_a_record_larger_than_a_file_has_one_of_its_own(tmp_path: Path) -> None:
    files = DirectoryFiles(tmp_path)
    log = open_log(files, limits=LogLimits(file_bytes_max=256))
    for text in (b"small", b"B" * 100_000, b"after"):
        insert(log, text).wait(WAIT_S)
    log.close()
    assert files.list("log/1") == ["0", "1", "2"]
    assert stored(tmp_path) == [b"small", b"B" * 100_000, b"after"]


def test_a_tick_moves_the_watermark_without_a_file(tmp_path: Path) -> None:
    files, journal, lease = WatchedFiles(tmp_path), Journal(), SwitchedLease()
    log = open_log(files, journal, lease)
    ticked = log.tick().wait(WAIT_S)
    assert (log.watermark, journal.watermarks, files.calls) == (ticked, [ticked], [])
    assert lease.checks == 1
    assert insert(log).wait(WAIT_S) > ticked
    log.close()


def test_close_writes_what_is_queued_and_tells_the_seal(tmp_path: Path) -> None:
    journal = Journal()
    log = open_log(DirectoryFiles(tmp_path), journal)
    hold(journal, log)
    queued = [insert(log, b"%d" % n) for n in range(3)]
    closer: list[LogPosition | None] = []
    thread = threading.Thread(target=lambda: closer.append(log.close()))
    thread.start()
    journal.gate.set()
    thread.join(WAIT_S)
    assert closer == [LogPosition(0, 4 * 64)]
    assert all(ticket.done for ticket in queued)
    with pytest.raises(Unavailable, match="closed"):
        insert(log)


def test_a_log_that_never_wrote_ends_at_its_beginning(tmp_path: Path) -> None:
    assert open_log(DirectoryFiles(tmp_path)).close() == LogPosition(0, 0)


def test_a_full_queue_refuses_after_a_bounded_wait_but_takes_barriers(tmp_path: Path) -> None:
    journal = Journal()
    limits = LogLimits(queue_records_max=2, wait_s_max=0.0)
    log = open_log(DirectoryFiles(tmp_path), journal, limits=limits)
    held = hold(journal, log)
    queued = [insert(log), insert(log)]
    with pytest.raises(Unavailable, match="behind"):
        insert(log)
    barrier = log.submit(RecordKind.BARRIER, 1, 0, pa.py_buffer(b"{}"))
    journal.gate.set()
    for ticket in (held, *queued, barrier):
        ticket.wait(WAIT_S)
    insert(log).wait(WAIT_S)
    log.close()


def test_a_record_larger_than_the_queue_passes_when_the_queue_is_empty(tmp_path: Path) -> None:
    limits = LogLimits(queue_bytes_max=100, wait_s_max=0.0)
    log = open_log(DirectoryFiles(tmp_path), limits=limits)
    insert(log, b"x" * 1000).wait(WAIT_S)
    log.close()


def test_room_in_the_queue_comes_back_as_it_is_written(tmp_path: Path) -> None:
    limits = LogLimits(queue_bytes_max=640, wait_s_max=0.0)
    journal = Journal()
    log = open_log(DirectoryFiles(tmp_path), journal, limits=limits)
    for _ in range(5):
        held = hold(journal, log)
        queued = [insert(log) for _ in range(10)]
        with pytest.raises(Unavailable, match="behind"):
            insert(log)
        journal.gate.set()
        for ticket in (held, *queued):
            ticket.wait(WAIT_S)
    log.close()


def test_too_much_unflushed_refuses_until_it_is_flushed(tmp_path: Path) -> None:
    limits = LogLimits(unflushed_bytes_max=128, wait_s_max=0.0)
    log = open_log(DirectoryFiles(tmp_path), limits=limits)
    insert(log).wait(WAIT_S)
    last = insert(log).wait(WAIT_S)
    assert log.unflushed_bytes == 128
    with pytest.raises(Unavailable, match="to be flushed"):
        insert(log)
    log.flushed_to(last - 1)
    assert log.unflushed_bytes == 64
    insert(log).wait(WAIT_S)
    log.close()


def test_a_generation_that_was_used_before_is_refused(tmp_path: Path) -> None:
    open_log(DirectoryFiles(tmp_path)).close()
    with pytest.raises(LeaseLost, match="used before"):
        open_log(DirectoryFiles(tmp_path))


def test_no_timestamp_above_the_reservation_is_handed_out(tmp_path: Path) -> None:
    """H22: a wall clock that ran ahead makes timestamps lag; an exhausted reservation refuses."""
    clock = ManualClock()
    hybrid = HybridClock(clock)
    ceiling = hybrid.next() + 3
    hybrid.raise_ceiling(ceiling)
    clock.jump_wall(60)
    log = LogWriter(DirectoryFiles(tmp_path), 1, hybrid, lambda: None, Journal())
    given = [insert(log).wait(WAIT_S) for _ in range(3)]
    assert given[-1] == ceiling
    with pytest.raises(Unavailable, match="reserved"):
        insert(log)
    hybrid.raise_ceiling(ceiling + 1)
    assert insert(log).wait(WAIT_S) == ceiling + 1
    log.close()


def test_a_wait_that_ends_early_says_that_the_outcome_is_unknown(tmp_path: Path) -> None:
    journal = Journal()
    log = open_log(DirectoryFiles(tmp_path), journal)
    held = hold(journal, log)
    with pytest.raises(CommitUnknown):
        held.wait(0.0)
    journal.gate.set()
    held.wait(WAIT_S)
    log.close()


def test_small_records_of_a_group_are_one_append(tmp_path: Path) -> None:
    files, journal = WatchedFiles(tmp_path), Journal()
    log = open_log(files, journal)
    first = hold(journal, log)
    tickets = [insert(log, b"%d" % n) for n in range(20)]
    tickets.append(insert(log, b"L" * 100_000))
    tickets.append(insert(log, b"last"))
    journal.gate.set()
    for ticket in (first, *tickets):
        ticket.wait(WAIT_S)
    log.close()
    assert files.calls == ["create", "append", "sync", "append", "append", "append", "sync"]
    assert stored(tmp_path)[-2:] == [b"L" * 100_000, b"last"]
