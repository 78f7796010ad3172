"""Several clients of one volume: what may pass beside others, and what must not: H14, H15, H16."""

import errno
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import pytest

from roost.testing.clock import ManualClock
from roost.testing.faulty_server import ServerFaults
from roost.volume.engines.sql.dialect import Statement
from roost.volume.engines.sql_servers.cache import GUESS_LIFE_S, LIMIT_LIFE_S, RecordCache
from roost.volume.engines.sql_servers.mysql import MysqlServer
from roost.volume.errors import FsError
from roost.volume.meta.effects import AddCounter, PutCounter, PutDirUsage
from roost.volume.meta.txn import Commit
from roost.volume.model import (
    ROOT,
    AttrChange,
    Caller,
    ChunkNo,
    DirUsage,
    LockKind,
    Quota,
    QuotaKind,
    Slice,
)
from tests.volume.engines.sql.conftest import Clients, Rows

THREADS = 8


def together(calls: Sequence[Callable[[], object]]) -> list[object]:
    """Run the calls at the same time and return their answers, an errno for a refusal."""
    answers: list[object] = [None] * len(calls)
    start = threading.Barrier(len(calls))

    def run(number: int) -> None:
        start.wait(20)
        try:
            answers[number] = calls[number]()
        except FsError as error:
            answers[number] = error.errno

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_a_warm_change_is_one_round_trip_and_a_cold_one_two(clients: Clients) -> None:
    faults = ServerFaults()
    meta = clients.open(faults, ManualClock())
    meta.new_slice_id()
    folder = meta.mkdir(ROOT, b"d").ino
    file = meta.create(folder, b"f").ino
    record = Slice(0, meta.new_slice_id(), 10, 0, 10)
    meta.create(folder, b"other")
    counted = []
    for call in (
        lambda: meta.create(folder, b"new"),
        lambda: meta.mkdir(folder, b"sub"),
        lambda: meta.setattr(file, AttrChange(mode=0o600)),
        lambda: meta.write_slice(file, ChunkNo(0), record),
        lambda: meta.truncate(file, 5),
        lambda: meta.rename(folder, b"other", ROOT, b"moved"),
        lambda: meta.unlink(folder, b"new"),
        lambda: meta.rmdir(folder, b"sub"),
    ):
        faults.arm(0)
        call()
        counted.append(faults.round_trips)
    assert counted == [1] * 8
    cold_faults = ServerFaults()
    cold = clients.open(cold_faults)
    cold.create(ROOT, b"warming the token and the numbers")
    for cold_call, trips in (
        (lambda: cold.create(folder, b"new"), 2),
        (lambda: cold.unlink(folder, b"f"), 2),
        (lambda: cold.lookup(ROOT, b"moved"), 2),
        (lambda: cold.getattr(folder), 1),
    ):
        cold_faults.arm(0)
        cold_call()
        assert cold_faults.round_trips <= trips


def test_what_was_known_seconds_ago_is_a_guess_and_no_answer(clients: Clients) -> None:
    """H14: nothing but limits goes by it, and the commit compares it with what is there."""
    faults, clock = ServerFaults(), ManualClock()
    mine, other = clients.open(faults, clock), clients.open()
    file = mine.create(ROOT, b"f").ino
    mine.create(ROOT, b"other")
    for call in (
        lambda: mine.setattr(file, AttrChange(mode=0o600)),
        lambda: mine.rename(ROOT, b"other", ROOT, b"moved"),
        lambda: mine.unlink(ROOT, b"moved"),
    ):
        clock.advance(GUESS_LIFE_S / 3 - 1)
        faults.arm(0)
        call()
        assert faults.round_trips == 1
    other.setattr(file, AttrChange(mode=0o640))
    assert mine.setattr(file, AttrChange(uid=7)).mode == 0o640
    assert mine.getattr(file).uid == 7


def test_limits_are_not_judged_by_what_was_used_seconds_ago() -> None:
    clock = ManualClock()
    cache = RecordCache(clock)
    cache.put({("counter", "usedSpace"): 1, ("quota", QuotaKind.USER, 7): Quota(1, 1, 1, 1)})
    cache.put({("edge", ROOT, b"f"): None})
    cache.committed(Commit((), (PutCounter("totalInodes", 2), AddCounter("usedSpace", 3))))
    assert cache.view().get(("counter", "usedSpace")) == (4,)
    clock.advance(LIMIT_LIFE_S + 0.1)
    for key in (("counter", "usedSpace"), ("counter", "totalInodes"), ("quota", QuotaKind.USER, 7)):
        assert cache.view().get(key) is None
    assert cache.view().get(("edge", ROOT, b"f")) == (None,)


def test_creators_in_one_directory_never_make_each_other_wait_again(clients: Clients) -> None:
    """H14: a parent's times and links merge, so nobody's commit fails on a neighbour's."""
    seen = [ServerFaults() for _ in range(3)]
    metas = [clients.open(faults) for faults in seen]
    folder = metas[0].mkdir(ROOT, b"d").ino
    for meta in metas:
        meta.create(folder, b"first of %d" % id(meta))
    for number in range(5):
        for faults, meta in zip(seen, metas, strict=True):
            faults.arm(0)
            meta.mkdir(folder, b"%d of %d" % (number, id(meta)))
            assert faults.round_trips == 1
    assert metas[0].getattr(folder).nlink == 2 + 15


def test_threads_and_clients_at_once_lose_nothing(clients: Clients, rows: Rows) -> None:
    metas = [clients.open() for _ in range(2)]
    folder = metas[0].mkdir(ROOT, b"d").ino

    def work(number: int) -> None:
        meta = metas[number % 2]
        for step in range(6):
            name = b"%d.%d" % (number, step)
            meta.mkdir(folder, b"d" + name)
            file = meta.create(folder, name).ino
            meta.truncate(file, 100)
            meta.rename(folder, name, ROOT, name)
            meta.unlink(ROOT, name)

    together([partial(work, number) for number in range(THREADS)])
    assert metas[0].getattr(folder).nlink == 2 + THREADS * 6
    ((length, space, inodes),) = rows(
        "SELECT data_length, used_space, used_inodes FROM jfs_dir_stats WHERE inode = ?", folder
    )
    assert (length, space, inodes) == (0, 4096 * THREADS * 6, THREADS * 6)


def test_of_many_who_want_one_name_one_gets_it(clients: Clients) -> None:
    metas = [clients.open() for _ in range(2)]
    for round_ in range(5):
        name = b"name %d" % round_
        answers = together([partial(metas[n % 2].mkdir, ROOT, name) for n in range(THREADS)])
        assert answers.count(errno.EEXIST) == THREADS - 1


def test_appends_of_many_threads_to_one_file_are_all_there(clients: Clients) -> None:
    metas = [clients.open() for _ in range(2)]
    file = metas[0].create(ROOT, b"f").ino

    def append(number: int) -> None:
        meta = metas[number % 2]
        for _ in range(4):
            meta.write_slice(file, ChunkNo(0), Slice(0, meta.new_slice_id(), 10, 0, 10))

    together([partial(append, number) for number in range(THREADS)])
    assert len(metas[0].read_chunk(file, ChunkNo(0))) == THREADS * 4


def test_what_a_cache_refuses_or_leaves_alone_is_asked_of_the_server(clients: Clients) -> None:
    """H14: a no-op or a refusal that rests on records of some time ago is not final."""
    mine, other = clients.open(clock=ManualClock()), clients.open()
    file = mine.create(ROOT, b"f").ino
    other.truncate(file, 100)
    assert mine.truncate(file, 0).length == 0
    assert other.getattr(file).length == 0
    mine.unlink(ROOT, b"f")
    made = other.create(ROOT, b"f").ino
    with pytest.raises(FsError) as refused:
        mine.create(ROOT, b"f")
    assert refused.value.errno == errno.EEXIST
    mine.unlink(ROOT, b"f")
    with pytest.raises(FsError):
        other.getattr(made)


def test_permissions_taken_away_elsewhere_count_at_once(clients: Clients) -> None:
    mine, other = clients.open(clock=ManualClock()), clients.open()
    folder = mine.mkdir(ROOT, b"d", 0o777).ino
    somebody = Caller(uid=1000, gid=1000)
    mine.create(folder, b"a", caller=somebody)
    other.setattr(folder, AttrChange(mode=0o755))
    with pytest.raises(FsError) as refused:
        mine.create(folder, b"b", caller=somebody)
    assert refused.value.errno == errno.EACCES


def test_no_file_is_made_in_a_directory_that_is_being_removed(clients: Clients) -> None:
    """H15: both lock the directory, so one of them sees what the other did."""
    creator, remover = clients.open(), clients.open()
    outcomes = set()
    for number in range(12):
        name = b"d%d" % number
        folder = creator.mkdir(ROOT, name).ino
        made, removed = together(
            [
                partial(creator.create, folder, b"f"),
                partial(remover.rmdir, ROOT, name),
            ]
        )
        assert (made == errno.ENOENT) != (removed == errno.ENOTEMPTY)
        outcomes.add(removed)
    assert outcomes <= {None, errno.ENOTEMPTY}


def test_a_create_that_waits_for_a_removal_is_refused(
    clients: Clients, rows: Rows, url: str
) -> None:
    """H15, made to happen: the removal holds the directory's row while the create arrives."""
    creator = clients.open()
    folder = creator.mkdir(ROOT, b"d").ino
    other = clients.server.connect()
    other.run(
        [
            *clients.server.begin(),
            ("SELECT 1 FROM jfs_node WHERE inode = ? FOR UPDATE", (folder,)),
            ("DELETE FROM jfs_node WHERE inode = ?", (folder,)),
            ("DELETE FROM jfs_edge WHERE parent = 1 AND inode = ?", (folder,)),
            ("DELETE FROM jfs_dir_stats WHERE inode = ?", (folder,)),
            ("UPDATE jfs_node SET nlink = nlink - 1 WHERE inode = 1", ()),
            ("UPDATE jfs_counter SET value = value - 4096 WHERE name = 'usedSpace'", ()),
            ("UPDATE jfs_counter SET value = value - 1 WHERE name = 'totalInodes'", ()),
            (
                "UPDATE jfs_dir_stats SET used_space = used_space - 4096,"
                " used_inodes = used_inodes - 1 WHERE inode = 1",
                (),
            ),
        ]
    )
    answers: list[object] = []

    def create() -> None:
        try:
            answers.append(creator.create(folder, b"f"))
        except FsError as error:
            answers.append(error.errno)

    thread = threading.Thread(target=create)
    thread.start()
    thread.join(0.3)
    assert thread.is_alive(), "it must wait for the row"
    commit: Statement = ("COMMIT", ())
    other.run([commit])
    thread.join()
    other.close()
    assert answers == [errno.ENOENT]


def test_a_write_that_waits_for_uncounted_statistics_holds_no_file_meanwhile(
    clients: Clients,
) -> None:
    """H15: who removes the file locks its directory first, so nobody waits for the other."""
    writer = clients.open()
    folder = writer.mkdir(ROOT, b"d").ino
    file = writer.create(folder, b"f").ino
    record = Slice(0, writer.new_slice_id(), 9, 0, 9)
    writer.engine.run(lambda txn: txn.do(PutDirUsage(folder, None)))
    other = clients.server.connect()
    lock = "SELECT 1 FROM jfs_node WHERE inode = ? FOR UPDATE"
    other.run([*clients.server.begin(), (lock, (folder,))])
    thread = threading.Thread(target=writer.write_slice, args=(file, ChunkNo(0), record))
    thread.start()
    thread.join(0.3)
    assert thread.is_alive(), "it must wait for the row"
    other.run([(f"{lock} NOWAIT", (file,))])
    commit: Statement = ("COMMIT", ())
    other.run([commit])
    thread.join()
    other.close()
    usage = writer.engine.read(lambda reads: reads.dir_usage(folder))
    assert usage == DirUsage(9, 4096, 1)


def test_two_moves_cannot_tie_directories_into_a_loop(clients: Clients) -> None:
    """H16."""
    one, two = clients.open(), clients.open()
    for number in range(6):
        a = one.mkdir(ROOT, b"a%d" % number).ino
        b = one.mkdir(ROOT, b"b%d" % number).ino
        x = one.mkdir(b, b"x").ino
        y = one.mkdir(a, b"y").ino
        answers = together(
            [
                partial(one.rename, ROOT, b"a%d" % number, x, b"in"),
                partial(two.rename, ROOT, b"b%d" % number, y, b"in"),
            ]
        )
        assert answers.count(errno.EINVAL) == 1


def test_locks_asked_for_at_once_are_granted_once(clients: Clients) -> None:
    metas = [clients.open() for _ in range(2)]
    file = metas[0].create(ROOT, b"f").ino
    for meta in metas:
        meta.begin_session(heartbeat=False)
    answers = together([partial(meta.flock, file, 1, LockKind.WRITE) for meta in metas])
    assert answers.count(errno.EAGAIN) == 1


def test_where_the_binary_log_wants_repeatable_reads_the_checks_hold_too(
    clients: Clients,
) -> None:
    if not isinstance(clients.server, MysqlServer):
        pytest.skip("MySQL's own")
    clients.server = replace(clients.server, repeatable=True)
    metas = [clients.open() for _ in range(2)]
    folder = metas[0].mkdir(ROOT, b"d").ino
    together([partial(metas[n % 2].mkdir, folder, b"%d" % n) for n in range(THREADS)])
    assert metas[0].getattr(folder).nlink == 2 + THREADS
    for number in range(6):
        name = b"gone %d" % number
        gone = metas[0].mkdir(ROOT, name).ino
        made, removed = together(
            [partial(metas[0].create, gone, b"f"), partial(metas[1].rmdir, ROOT, name)]
        )
        assert (made == errno.ENOENT) != (removed == errno.ENOTEMPTY)
