"""Group commit without a database: who shares a transaction, and who hears what."""

import signal
import threading
from collections.abc import Callable, Sequence

import pytest

from roost.errors import CommitUnknown
from roost.volume.engines.sql_servers.driver import Failed, SqlError
from roost.volume.engines.sql_servers.group import (
    JOBS_AT_ONCE,
    LANES,
    GroupCommit,
    Job,
    OvertakenError,
)
from roost.volume.engines.sql_servers.guard import Guard, guard_of
from roost.volume.meta.checks import EdgeIs, NodeIs, NodeIsExactly, identity
from roost.volume.meta.effects import AddEdge, ChangeNode, DropEdge, NodeChange, UseDirectory
from roost.volume.meta.txn import Commit
from roost.volume.model import ROOT, Attr, DirUsage, Edge, Ino, Kind

FOLDER = Attr(Kind.DIRECTORY)


def adding(name: bytes) -> Commit:
    """What a create depends on and does."""
    edge = AddEdge(ROOT, name, Edge(Kind.FILE, Ino(9)))
    return Commit(
        (NodeIs(ROOT, ()), EdgeIs(ROOT, name, None)),
        (edge, ChangeNode(ROOT, NodeChange(mtime_at_least_ns=1))),
    )


def changing(change: NodeChange) -> Commit:
    return Commit((NodeIsExactly(ROOT, FOLDER),), (ChangeNode(ROOT, change),))


class Lane:
    """A database whose first transaction takes until `release`."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.entered = threading.Event()
        self.release = threading.Event()
        self.fails: Callable[[Sequence[Job]], Exception | None] = lambda jobs: None

    def commit(self, jobs: Sequence[Job]) -> None:
        self.batches.append(len(jobs))
        if len(self.batches) == 1:
            self.entered.set()
            assert self.release.wait(20)
        error = self.fails(jobs)
        if error is not None:
            raise error


def run_behind(lane: Lane, group: GroupCommit, commits: Sequence[Commit]) -> list[str]:
    """Let the commits wait behind one that holds the only lane; return how each ended."""
    outcomes = [""] * (len(commits) + 1)

    def run(number: int, commit: Commit) -> None:
        try:
            group.run(commit, Guard())
            outcomes[number] = "done"
        except Exception as error:
            outcomes[number] = type(error).__name__

    threads = [threading.Thread(target=run, args=(0, adding(b"first")))]
    threads[0].start()
    assert lane.entered.wait(20)
    for number, commit in enumerate(commits, 1):
        threads.append(threading.Thread(target=run, args=(number, commit)))
        threads[-1].start()
        while len(group._waiting) < number:
            pass
    lane.release.set()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    return outcomes


@pytest.fixture
def lane() -> Lane:
    return Lane()


@pytest.fixture
def group(lane: Lane) -> GroupCommit:
    return GroupCommit(lane.commit, lanes=1)


def test_creators_that_wait_share_one_transaction(lane: Lane, group: GroupCommit) -> None:
    outcomes = run_behind(lane, group, [adding(b"%d" % n) for n in range(20)])
    assert outcomes == ["done"] * 21
    assert lane.batches == [1, 20]


def test_a_transaction_is_bounded(lane: Lane, group: GroupCommit) -> None:
    outcomes = run_behind(lane, group, [adding(b"%d" % n) for n in range(JOBS_AT_ONCE + 5)])
    assert set(outcomes) == {"done"}
    assert lane.batches == [1, JOBS_AT_ONCE, 5]


def test_two_of_one_name_never_share(lane: Lane, group: GroupCommit) -> None:
    outcomes = run_behind(lane, group, [adding(b"same"), adding(b"other"), adding(b"same")])
    assert outcomes == ["done", "done", "done", OvertakenError.__name__]
    assert lane.batches == [1, 2]


def test_who_rests_on_every_field_does_not_share_with_who_touches(
    lane: Lane, group: GroupCommit
) -> None:
    mode = changing(NodeChange(mode=0o700))
    outcomes = run_behind(lane, group, [adding(b"a"), mode])
    assert outcomes[2] == OvertakenError.__name__


def test_who_rests_on_the_identity_does_not_share_with_who_changes_it(
    lane: Lane, group: GroupCommit
) -> None:
    times = changing(NodeChange(atime_ns=1))
    mode = changing(NodeChange(mode=0o700))
    assert run_behind(lane, group, [times, adding(b"a")])[1:] == ["done", "done"]
    lane = Lane()
    group = GroupCommit(lane.commit, lanes=1)
    outcomes = run_behind(lane, group, [mode, adding(b"a")])
    assert outcomes[1:] == ["done", OvertakenError.__name__]


def test_one_that_fails_does_not_take_its_neighbours_along(lane: Lane, group: GroupCommit) -> None:
    bad = Commit((), (DropEdge(ROOT, b"bad"),))

    def fails(jobs: Sequence[Job]) -> Exception | None:
        found = any(job.commit is bad for job in jobs)
        return SqlError(Failed.GUARD, "not so") if found else None

    lane.fails = fails
    commits = [adding(b"%d" % n) for n in range(7)]
    commits[3] = bad
    outcomes = run_behind(lane, group, commits)
    assert outcomes.count("done") == 7
    assert outcomes[4] == SqlError.__name__


@pytest.mark.parametrize("error", [CommitUnknown("lost"), SqlError(Failed.BUSY, "deadlock")])
def test_what_may_be_done_or_is_nobodys_fault_is_not_tried_again(
    lane: Lane, group: GroupCommit, error: Exception
) -> None:
    lane.fails = lambda jobs: error if len(jobs) > 1 else None
    outcomes = run_behind(lane, group, [adding(b"%d" % n) for n in range(4)])
    assert outcomes[1:] == [type(error).__name__] * 4
    assert lane.batches == [1, 4]


def test_the_lane_goes_on_after_a_failure(lane: Lane, group: GroupCommit) -> None:
    lane.release.set()
    lane.fails = lambda jobs: ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        group.run(adding(b"a"), Guard())
    lane.fails = lambda jobs: None
    group.run(adding(b"b"), Guard())


def test_an_interrupted_leader_lets_nobody_believe_in_its_commit(lane: Lane) -> None:
    group = GroupCommit(lane.commit, lanes=1)
    outcomes: list[str] = []

    def interrupt(jobs: Sequence[Job]) -> Exception | None:
        if len(lane.batches) == 2:
            raise KeyboardInterrupt
        return None

    def run(name: bytes) -> None:
        try:
            group.run(adding(name), Guard())
            outcomes.append("done")
        except BaseException as error:
            outcomes.append(type(error).__name__)

    lane.fails = interrupt
    threads = [threading.Thread(target=run, args=(name,)) for name in (b"a", b"b", b"c")]
    threads[0].start()
    assert lane.entered.wait(20)
    for number, thread in enumerate(threads[1:], 1):
        thread.start()
        while len(group._waiting) < number:
            pass
    lane.release.set()
    for thread in threads:
        thread.join(20)
    assert sorted(outcomes) == ["CommitUnknown", "KeyboardInterrupt", "done"]


def test_a_transaction_whose_jobs_saw_two_states_of_a_node_fails() -> None:
    """One stands on what is so, the other on what was so: it must not slip in behind it."""
    one_name, two_names = Attr(Kind.FILE, nlink=1), Attr(Kind.FILE, nlink=2)
    moved = Attr(Kind.FILE, nlink=2, parent=Ino(7))
    ino = Ino(9)
    for first, second in (
        (NodeIsExactly(ino, two_names), NodeIsExactly(ino, one_name)),
        (NodeIsExactly(ino, two_names), NodeIs(ino, identity(moved))),
        (NodeIs(ino, identity(two_names)), NodeIs(ino, identity(moved))),
        (NodeIs(ino, identity(moved)), NodeIsExactly(ino, two_names)),
    ):
        guard, other = guard_of(Commit((first,), ())), guard_of(Commit((second,), ()))
        assert guard is not None
        assert other is not None
        guard.merge(other)
        assert ("1 = 0", ()) in guard.conditions()
        both = guard_of(Commit((first, second), ()))
        assert both is not None
        assert ("1 = 0", ()) in both.conditions()


def test_checks_of_one_state_of_a_node_are_one_condition() -> None:
    attr, ino = Attr(Kind.FILE, nlink=2), Ino(9)
    exactly, roughly = NodeIsExactly(ino, attr), NodeIs(ino, identity(attr))
    for checks in ((exactly, roughly), (roughly, exactly)):
        guard = guard_of(Commit(checks, ()))
        assert guard is not None
        ((text, values),) = guard.conditions()
        assert "nlink" in text
        assert text.endswith("= 1")
        assert values.count(ino) == 1


@pytest.mark.parametrize("counted", [(), (Ino(3),)])
def test_a_directory_is_locked_once_for_its_statistics(counted: tuple[Ino, ...]) -> None:
    """A shared lock that becomes an exclusive one is a deadlock of any two."""
    folder, file = Ino(3), Ino(9)
    checks = (NodeIs(folder, identity(FOLDER)), NodeIsExactly(file, Attr(Kind.FILE)))
    effects = (ChangeNode(file, NodeChange(nlink_by=1)), UseDirectory(folder, DirUsage(0, 0, 0)))
    guard = guard_of(Commit(checks, effects))
    assert guard is not None
    ((text, values),) = guard.conditions(counted)
    assert text.count("FOR ") == text.count("FOR UPDATE") == 1
    assert values.count(folder) == 1


def test_who_is_interrupted_while_waiting_does_not_keep_the_lane(
    lane: Lane, group: GroupCommit
) -> None:
    first = threading.Thread(target=group.run, args=(adding(b"a"), Guard()))
    first.start()
    assert lane.entered.wait(20)
    main = threading.get_ident()

    def interrupt() -> None:
        while not group._waiting:
            pass
        signal.pthread_kill(main, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        group.run(adding(b"b"), Guard())
    lane.release.set()
    first.join(20)
    last = threading.Thread(target=group.run, args=(adding(b"c"), Guard()), daemon=True)
    last.start()
    last.join(20)
    assert not last.is_alive()
    assert lane.batches == [1, 1]


class Held:
    """A database where commits that touch `row` wait until `release`."""

    def __init__(self, row: Ino) -> None:
        self.row = row
        self.release = threading.Event()
        self.entered = threading.Semaphore(0)
        self.batches: list[int] = []

    def commit(self, jobs: Sequence[Job]) -> None:
        self.batches.append(len(jobs))
        checks = [check for job in jobs for check in job.commit.checks]
        if any(isinstance(check, NodeIs) and check.ino == self.row for check in checks):
            self.entered.release()
            assert self.release.wait(20)


def test_who_waits_for_a_row_does_not_keep_others_from_working() -> None:
    """Another client holds a directory; both lanes wait for it."""
    held = Held(Ino(5))
    group = GroupCommit(held.commit)
    waiting = Commit((NodeIs(Ino(5), ()),), ())
    threads = [
        threading.Thread(target=group.run, args=(waiting, Guard()), daemon=True)
        for _ in range(LANES)
    ]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert held.entered.acquire(timeout=20)
    for number in range(5):
        other = threading.Thread(
            target=group.run, args=(adding(b"%d" % number), Guard()), daemon=True
        )
        other.start()
        other.join(10)
        assert not other.is_alive()
    held.release.set()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


def test_who_met_a_held_row_goes_on_alone(lane: Lane) -> None:
    group = GroupCommit(lane.commit, lanes=1)
    first = threading.Thread(target=group.run, args=(adding(b"first"), Guard()))
    first.start()
    assert lane.entered.wait(20)
    threads = [
        threading.Thread(
            target=group.run, args=(adding(b"%d" % n), Guard()), kwargs={"alone": n == 1}
        )
        for n in range(4)
    ]
    for number, thread in enumerate(threads, 1):
        thread.start()
        while len(group._waiting) < number:
            pass
    lane.release.set()
    for thread in (first, *threads):
        thread.join(20)
        assert not thread.is_alive()
    assert sorted(lane.batches) == [1, 1, 3]
