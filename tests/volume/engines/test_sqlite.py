"""SQLite's own duties: batches, savepoints, lost answers, read-only opens, other processes."""

import errno
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from roost.clock import SystemClock
from roost.errors import CommitUnknown, CorruptRecord, StorageFull, Unavailable
from roost.testing.faulty_sqlite import SqliteFaults
from roost.volume.engines.sqlite import BATCH_JOBS_MAX, SqliteEngine
from roost.volume.errors import AlreadyFormatted, FsError, NotFormatted
from roost.volume.meta import sessions
from roost.volume.meta.api import Meta, format_volume, open_meta
from roost.volume.meta.effects import AddCounter
from roost.volume.meta.open_volume import open_volume
from roost.volume.meta.opening import read_settings
from roost.volume.meta.txn import Txn
from roost.volume.model import ROOT, ChunkNo, Ino, Kind, Slice
from roost.volume.settings import new_settings


@pytest.fixture
def path(folder: Path) -> Path:
    made = folder / "meta.db"
    format_volume(f"sqlite3://{made}", new_settings("faults", bucket="/b", trash_days=1))
    return made


@pytest.fixture
def faults() -> SqliteFaults:
    return SqliteFaults()


@pytest.fixture
def meta(path: Path, faults: SqliteFaults) -> Iterator[Meta]:
    clock = SystemClock()
    engine = SqliteEngine(path, clock, read_only=False, connect=faults.connect)
    settings = read_settings(engine, str(path), read_only=False)
    with Meta(open_volume(engine, settings, clock), read_only=False) as opened:
        opened.new_slice_id()  # so that reservations do not count as statements
        opened.create(ROOT, b"first")
        yield opened
        faults.disarm()
        assert opened.check() == ()


def dump(path: Path) -> list[str]:
    """Return all rows but the commit tokens."""
    connection = sqlite3.connect(path)
    connection.text_factory = bytes
    try:
        return [
            f"{name}: {row}"
            for (name,) in connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
            ).fetchall()
            if name not in (b"roost_commit", b"sqlite_sequence")
            for row in connection.execute(f"SELECT * FROM {name.decode()}")
        ]
    finally:
        connection.close()


def count(meta: Meta, by: int = 1) -> None:
    meta._opened.engine.run(lambda txn: txn.do(AddCounter("test", by)))


def counted(meta: Meta) -> int:
    return meta._opened.engine.read(lambda reads: reads.counter("test")) or 0


def operations(meta: Meta) -> dict[str, Callable[[], object]]:
    """Return one call of each kind that writes; each works once."""
    folder = meta.mkdir(ROOT, b"d").ino
    file = meta.create(folder, b"f").ino
    record = Slice(0, meta.new_slice_id(), 5000, 0, 5000)
    meta.create(folder, b"old")
    return {
        "create": lambda: meta.create(folder, b"new"),
        "mkdir": lambda: meta.mkdir(folder, b"sub"),
        "write": lambda: meta.write_slice(file, ChunkNo(0), record),
        "truncate": lambda: meta.truncate(file, 9000),
        "link": lambda: meta.link(file, ROOT, b"hard"),
        "xattr": lambda: meta.setxattr(file, b"user.a", b"1"),
        "replace": lambda: meta.rename(ROOT, b"first", folder, b"old"),
        "trash": lambda: meta.unlink(folder, b"f"),
        "unlink": lambda: meta.unlink(ROOT, b"hard", skip_trash=True),
        "rmdir": lambda: meta.rmdir(folder, b"sub"),
    }


def test_whatever_statement_fails_an_operation_happens_whole_or_not_at_all(
    meta: Meta, faults: SqliteFaults, path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings += ["replacing a broken connection"]
    for name, call in operations(meta).items():
        before = dump(path)
        for number in range(1, 100):
            faults.arm(number)
            try:
                call()
            except Unavailable:
                assert dump(path) == before, f"{name}: statement {number} left something behind"
            except FsError as error:
                pytest.fail(f"{name}: a failing statement became a refusal: {error}")
            else:
                break
        assert faults.disarm() < number, name
        assert dump(path) != before, name


def test_a_commit_whose_answer_is_lost_is_found_done_by_its_token(
    meta: Meta, faults: SqliteFaults, expected_warnings: list[str]
) -> None:
    expected_warnings += ["although its answer was lost"]
    faults.lose_commit = True
    for number, call in enumerate(operations(meta).values()):
        faults.arm(1)
        call()  # returns as if nothing had happened
        assert faults.disarm() == 1, number
    assert meta.lookup(ROOT, b"d").attr.nlink == 2


def test_when_the_token_cannot_be_read_the_outcome_is_unknown(
    meta: Meta, faults: SqliteFaults
) -> None:
    faults.lose_commit = faults.fail_reads_after = True
    faults.arm(1)
    with pytest.raises(CommitUnknown):
        count(meta)
    faults.disarm()
    assert counted(meta) == 1


def test_a_broken_connection_is_replaced(meta: Meta, expected_warnings: list[str]) -> None:
    expected_warnings += ["replacing a broken connection"]
    engine = meta._opened.engine
    assert isinstance(engine, SqliteEngine)
    engine._writer.close()
    with pytest.raises(Unavailable):
        count(meta)
    count(meta)
    assert counted(meta) == 1


def hold_writer(meta: Meta) -> tuple[threading.Event, threading.Thread]:
    """Keep the writing thread busy until the event is set."""
    entered, release = threading.Event(), threading.Event()

    def wait(txn: Txn) -> None:
        entered.set()
        release.wait(10)

    thread = threading.Thread(target=lambda: meta._opened.engine.run(wait))
    thread.start()
    entered.wait(10)
    return release, thread


def test_operations_that_wait_share_one_commit(meta: Meta, faults: SqliteFaults) -> None:
    release, held = hold_writer(meta)
    waiting = [threading.Thread(target=count, args=(meta,)) for _ in range(BATCH_JOBS_MAX)]
    for thread in waiting:
        thread.start()
    engine = meta._opened.engine
    assert isinstance(engine, SqliteEngine)
    while len(engine._waiting) < BATCH_JOBS_MAX:
        pass
    before = engine._batch
    release.set()
    for thread in [*waiting, held]:
        thread.join()
    assert counted(meta) == BATCH_JOBS_MAX
    assert engine._batch == before + 1


def test_a_refused_operation_takes_nothing_from_its_neighbours(meta: Meta) -> None:
    release, held = hold_writer(meta)
    outcomes: list[str] = []

    def refused(txn: Txn) -> None:
        txn.do(AddCounter("test", 100))
        raise FsError(errno.EPERM)

    def broken(txn: Txn) -> None:
        txn.do(AddCounter("test", 1000))
        raise ZeroDivisionError

    def attempt(rule: Callable[[Txn], None]) -> None:
        try:
            meta._opened.engine.run(rule)
        except (FsError, ZeroDivisionError) as error:
            outcomes.append(type(error).__name__)

    threads = [threading.Thread(target=count, args=(meta,)) for _ in range(3)]
    threads += [threading.Thread(target=attempt, args=(rule,)) for rule in (refused, broken)]
    for thread in threads:
        thread.start()
    release.set()
    for thread in [*threads, held]:
        thread.join()
    assert counted(meta) == 3
    assert sorted(outcomes) == ["FsError", "ZeroDivisionError"]


def test_an_interrupted_batch_is_not_believed_in(meta: Meta) -> None:
    release, held = hold_writer(meta)
    outcomes: list[str] = []

    def interrupted(txn: Txn) -> None:
        raise KeyboardInterrupt

    def attempt(rule: Callable[[Txn], None]) -> None:
        try:
            meta._opened.engine.run(rule)
        except BaseException as error:
            outcomes.append(type(error).__name__)

    engine = meta._opened.engine
    assert isinstance(engine, SqliteEngine)
    threads = [
        threading.Thread(target=attempt, args=(rule,))
        for rule in (interrupted, lambda txn: txn.do(AddCounter("test", 1)))
    ]
    for number, thread in enumerate(threads, 1):
        thread.start()
        while len(engine._waiting) < number:
            pass
    release.set()
    for thread in [*threads, held]:
        thread.join()
    assert sorted(outcomes) == ["CommitUnknown", "KeyboardInterrupt"]
    assert counted(meta) == 0
    count(meta)
    assert counted(meta) == 1


def test_who_is_interrupted_while_waiting_does_not_keep_the_connection(meta: Meta) -> None:
    release, held = hold_writer(meta)
    engine = meta._opened.engine
    assert isinstance(engine, SqliteEngine)
    main = threading.get_ident()

    def interrupt() -> None:
        while not engine._waiting:
            pass
        signal.pthread_kill(main, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        count(meta)
    release.set()
    held.join(20)
    last = threading.Thread(target=count, args=(meta,), daemon=True)
    last.start()
    last.join(20)
    assert not last.is_alive()
    assert counted(meta) == 1


def test_a_refusal_that_rests_on_a_failed_batch_is_not_final(
    meta: Meta, faults: SqliteFaults
) -> None:
    """Two creators of one name wait in one batch whose COMMIT fails: EEXIST would be a lie."""
    release, held = hold_writer(meta)
    outcomes: list[type[BaseException]] = []

    def create() -> None:
        try:
            meta.create(ROOT, b"same")
        except (FsError, Unavailable) as error:
            outcomes.append(type(error))

    threads = [threading.Thread(target=create) for _ in range(2)]
    for thread in threads:
        thread.start()
    engine = meta._opened.engine
    assert isinstance(engine, SqliteEngine)
    while len(engine._waiting) < 2:
        pass
    faults.fail_commit = True
    faults.arm(1)
    release.set()
    for thread in [*threads, held]:
        thread.join()
    faults.disarm()
    assert outcomes == [Unavailable, Unavailable]
    with pytest.raises(FsError):
        meta.lookup(ROOT, b"same")


def test_readers_in_other_processes_see_what_is_committed_and_write_nothing(
    meta: Meta, path: Path
) -> None:
    made = meta.create(ROOT, b"shared")
    before = dump(path)
    script = (
        "import sys\n"
        "from roost.volume.meta.api import open_meta\n"
        "from roost.volume.model import ROOT\n"
        "with open_meta(sys.argv[1], read_only=True) as meta:\n"
        "    print(meta.lookup(ROOT, b'shared').ino, meta.sid, meta.check())\n"
        "    try:\n"
        "        meta.create(ROOT, b'x')\n"
        "    except OSError as error:\n"
        "        print(error.errno)\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script, f"sqlite3://{path}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.split("\n")[:2] == [f"{made.ino} 0 ()", str(errno.EROFS)]
    assert dump(path) == before


def test_a_lock_held_by_another_process_is_waited_for(meta: Meta, path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.3, lambda: other.execute("ROLLBACK"))
    timer.start()
    count(meta)
    timer.join()
    other.close()
    assert counted(meta) == 1


def test_slices_that_juicefs_left_as_text_are_read_and_appended_to(meta: Meta, path: Path) -> None:
    file = meta.create(ROOT, b"f").ino
    records = [Slice(n * 10, meta.new_slice_id(), 10, 0, 10) for n in range(3)]
    meta.write_slice(file, ChunkNo(0), records[0])
    other = sqlite3.connect(path)
    other.execute("UPDATE jfs_chunk SET slices = slices || x''")
    other.commit()
    ((kind,),) = other.execute("SELECT typeof(slices) FROM jfs_chunk").fetchall()
    other.close()
    assert kind == "text"
    meta.write_slice(file, ChunkNo(0), records[1])
    meta.write_slice(file, ChunkNo(0), records[2])
    assert list(meta.read_chunk(file, ChunkNo(0))) == records


def test_formatting_twice_and_opening_nothing_are_refused(path: Path, folder: Path) -> None:
    with pytest.raises(AlreadyFormatted):
        format_volume(f"sqlite3://{path}", new_settings("other", bucket="/b"))
    with pytest.raises(NotFormatted):
        open_meta(f"sqlite3://{folder}/none.db")
    assert not (folder / "none.db").exists()
    sqlite3.connect(folder / "empty.db").execute("CREATE TABLE x (y)").connection.close()
    with pytest.raises(NotFormatted):
        open_meta(f"sqlite3://{folder}/empty.db")
    (folder / "text.db").write_text("not a database" * 100)
    with pytest.raises(CorruptRecord):
        open_meta(f"sqlite3://{folder}/text.db")


def test_a_closed_volume_answers_that_it_is_closed(path: Path) -> None:
    meta = open_meta(f"sqlite3://{path}")
    meta.close()
    meta.close()
    with pytest.raises(Unavailable):
        count(meta)
    with pytest.raises(Unavailable):
        meta.getattr(ROOT)


def test_an_entry_without_its_node_is_damage_and_can_be_removed(meta: Meta, path: Path) -> None:
    file = meta.create(ROOT, b"f").ino
    other = sqlite3.connect(path)
    other.execute("DELETE FROM jfs_node WHERE inode = ?", (file,))
    other.commit()
    other.close()
    with pytest.raises(CorruptRecord, match="'f'"):
        meta.lookup(ROOT, b"f")
    with pytest.raises(CorruptRecord):
        list(meta.readdir(ROOT, with_attrs=True))
    assert any(problem.ino == ROOT for problem in meta.check())
    meta.unlink(ROOT, b"f")
    other = sqlite3.connect(path)
    other.execute("UPDATE jfs_counter SET value = value - 1 WHERE name = 'totalInodes'")
    other.execute("UPDATE jfs_counter SET value = value - 4096 WHERE name = 'usedSpace'")
    other.execute("DELETE FROM jfs_dir_stats WHERE inode = 1")
    other.commit()
    other.close()
    assert meta.check() == ()


def test_commits_are_flushed_to_the_disk_each_time(meta: Meta) -> None:
    engine = meta._opened.engine
    assert isinstance(engine, SqliteEngine)
    (synchronous,) = engine._writer.execute("PRAGMA synchronous").fetchone()
    (journal,) = engine._writer.execute("PRAGMA journal_mode").fetchone()
    assert (synchronous, journal) == (2, b"wal")


def test_inode_numbers_are_not_given_again_after_a_restart(path: Path) -> None:
    seen: set[Ino] = set()
    for number in range(3):
        with open_meta(f"sqlite3://{path}") as meta:
            ino = meta.create(ROOT, b"f%d" % number).ino
            assert ino not in seen
            seen.add(ino)


def test_a_full_disk_is_said_and_leaves_the_volume_as_it_was(meta: Meta, path: Path) -> None:
    engine = meta._opened.engine
    assert isinstance(engine, SqliteEngine)
    (pages,) = engine._writer.execute("PRAGMA page_count").fetchone()
    engine._writer.execute(f"PRAGMA max_page_count = {pages + 5}")
    before = dump(path)
    with pytest.raises(StorageFull):
        meta.setxattr(ROOT, b"user.big", b"x" * 65_536)
    assert dump(path) == before
    engine._writer.execute("PRAGMA max_page_count = 1000000")
    meta.setxattr(ROOT, b"user.more", b"x")


WRITER = """
import sys
from roost.volume.meta.api import open_meta
from roost.volume.model import ROOT, ChunkNo, Slice
meta = open_meta(sys.argv[1])
meta.open(meta.create(ROOT, b"kept").ino)
meta.unlink(ROOT, b"kept", skip_trash=True)
for number in range(100000):
    name = b"f%d" % number
    folder = meta.mkdir(ROOT, b"d" + name).ino
    file = meta.create(folder, name).ino
    meta.write_slice(file, ChunkNo(0), Slice(0, meta.new_slice_id(), 5000, 0, 5000))
    meta.rename(folder, name, ROOT, name)
    print(number, flush=True)
"""


def test_after_a_kill_everything_answered_is_there_and_nothing_is_half_done(path: Path) -> None:
    url = f"sqlite3://{path}"
    for kill_after in (1, 6):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, url], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        answered = [int(process.stdout.readline()) for _ in range(kill_after)][-1]
        process.kill()
        answered = max([answered, *(int(line) for line in process.stdout if line.strip())])
        process.wait()
        process.stdout.close()
        with open_meta(url, session=False) as meta:
            assert meta.check() == ()
            for number in range(answered + 1):
                assert meta.lookup(ROOT, b"f%d" % number).attr.length == 5000
            for session in meta.sessions():  # as if its lease had ended
                sessions.end(meta._opened, session.sid)
            assert meta.check() == ()
            assert len(meta.deleted_files()) == 1, "the file that was open"
            remove_all(meta)


def remove_all(meta: Meta) -> None:
    for entry in list(meta.readdir(ROOT)):
        if entry.kind is Kind.DIRECTORY:
            for inner in list(meta.readdir(entry.ino)):
                meta.unlink(entry.ino, inner.name, skip_trash=True)
            meta.rmdir(ROOT, entry.name, skip_trash=True)
        else:
            meta.unlink(ROOT, entry.name, skip_trash=True)
    for deleted in meta.deleted_files():
        for ref in meta.release_deleted_file(deleted):
            meta.forget_slice(ref)


def test_a_check_beside_writers_finds_nothing_wrong(meta: Meta, path: Path) -> None:
    """Two other processes create and remove in one directory; the check reads one snapshot."""
    script = (
        "import sys\n"
        "from roost.volume.meta.api import open_meta\n"
        "from roost.volume.model import ROOT\n"
        "with open_meta(sys.argv[1]) as meta:\n"
        "    for number in range(60):\n"
        "        name = f'{sys.argv[2]}{number}'.encode()\n"
        "        meta.truncate(meta.create(ROOT, name).ino, number)\n"
        "        meta.mkdir(ROOT, b'd' + name)\n"
        "        meta.rename(ROOT, name, ROOT, b'r' + name)\n"
        "        meta.rmdir(ROOT, b'd' + name)\n"
    )
    command = [sys.executable, "-c", script, f"sqlite3://{path}"]
    writers = [subprocess.Popen([*command, name]) for name in ("a", "b")]
    while any(writer.poll() is None for writer in writers):
        assert meta.check() == ()
        meta.create(ROOT, b"own", exclusive=False)
        meta.unlink(ROOT, b"own")
    assert [writer.returncode for writer in writers] == [0, 0]
    assert sum(entry.kind is Kind.FILE for entry in meta.readdir(ROOT)) == 121
