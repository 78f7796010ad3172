"""H11: whatever round trip is cut, before or after the server has it, a change is done or not."""

from collections.abc import Callable, Sequence

import pytest

from roost.errors import CommitUnknown, Unavailable
from roost.testing.clock import ManualClock
from roost.testing.faulty_server import ServerFaults
from roost.volume.engines.sql.dialect import Statement
from roost.volume.engines.sql.tables import COMMIT_TABLE, TABLES
from roost.volume.engines.sql_servers.driver import SqlError
from roost.volume.errors import FsError
from roost.volume.meta.api import Meta
from roost.volume.model import ROOT, ChunkNo, Slice
from tests.volume.engines.sql.conftest import Clients, Rows

CALLS_MAX = 60


def dump(rows: Rows) -> list[str]:
    """Return all rows of all tables."""
    return sorted(
        f"{table.name}: {row}" for table in TABLES for row in rows(f"SELECT * FROM {table.name}")
    )


def operations(meta: Meta) -> dict[str, Callable[[], object]]:
    """Return one call of each kind that writes; each works once."""
    folder = meta.mkdir(ROOT, b"d").ino
    file = meta.create(folder, b"f").ino
    record = Slice(0, meta.new_slice_id(), 5000, 0, 5000)
    meta.create(ROOT, b"first")
    meta.create(folder, b"old")
    return {
        "create": lambda: meta.create(folder, b"new"),
        "mkdir": lambda: meta.mkdir(folder, b"sub"),
        "write": lambda: meta.write_slice(file, ChunkNo(0), record),
        "truncate": lambda: meta.truncate(file, 9000),
        "link": lambda: meta.link(file, ROOT, b"hard"),
        "xattr": lambda: meta.setxattr(file, b"user.a", b"1"),
        "replace": lambda: meta.rename(ROOT, b"first", folder, b"old"),
        "unlink": lambda: meta.unlink(ROOT, b"hard"),
        "rmdir": lambda: meta.rmdir(folder, b"sub"),
    }


@pytest.mark.parametrize("after", [False, True])
def test_whatever_round_trip_is_cut_an_operation_happens_once(
    clients: Clients,
    meta: Meta,
    faults: ServerFaults,
    rows: Rows,
    expected_warnings: list[str],
    after: bool,
) -> None:
    expected_warnings += ["although its answer was lost"]
    for name, call in operations(meta).items():
        call_once = _once(call, rows, name)
        for number in range(1, CALLS_MAX):
            faults.arm(number, after=after)
            call_once()
            if faults.round_trips < number:
                break
        assert faults.round_trips < number, name
        faults.arm(0)
        assert clients.open().check() == (), name


def _once(call: Callable[[], object], rows: Rows, name: str) -> Callable[[], None]:
    """Return a call that is done the first time, and afterwards is refused and changes nothing."""
    done = False

    def attempt() -> None:
        nonlocal done
        before = dump(rows)
        if not done:
            call()
            assert dump(rows) != before, name
            done = True
            return
        try:
            call()
        except FsError:
            assert dump(rows) == before, name

    return attempt


def test_a_commit_whose_answer_is_lost_is_not_done_twice(
    meta: Meta, faults: ServerFaults, rows: Rows, expected_warnings: list[str]
) -> None:
    expected_warnings += ["although its answer was lost"]
    file = meta.create(ROOT, b"f").ino
    for number in range(3):
        record = Slice(0, meta.new_slice_id(), 10, 0, 10)
        faults.arm(1, after=True)
        meta.write_slice(file, ChunkNo(0), record)
        assert len(meta.read_chunk(file, ChunkNo(0))) == number + 1


def test_a_refusal_is_not_made_of_ones_own_lost_commit(
    meta: Meta, faults: ServerFaults, expected_warnings: list[str]
) -> None:
    expected_warnings += ["although its answer was lost"]
    meta.create(ROOT, b"f")
    faults.arm(1, after=True)
    meta.unlink(ROOT, b"f")  # not ENOENT


def test_without_the_token_the_outcome_is_unknown(
    meta: Meta, faults: ServerFaults, clients: Clients
) -> None:
    meta.create(ROOT, b"before")
    faults.arm(1, after=True)
    faults.then_down = True
    with pytest.raises(CommitUnknown):
        meta.create(ROOT, b"f")
    faults.then_down = faults.down = False
    assert meta.lookup(ROOT, b"f")


def test_a_server_that_is_away_is_unavailable_and_nothing_is_done(
    meta: Meta, faults: ServerFaults
) -> None:
    meta.create(ROOT, b"before")
    faults.down = True
    with pytest.raises((Unavailable, CommitUnknown)):
        meta.create(ROOT, b"f")
    with pytest.raises(Unavailable):
        meta.getattr(ROOT)
    faults.down = False
    with pytest.raises(FsError):
        meta.lookup(ROOT, b"f")
    meta.create(ROOT, b"f")


def test_a_commit_that_arrives_after_it_was_given_up_is_refused(
    clients: Clients, meta: Meta, faults: ServerFaults, rows: Rows, url: str
) -> None:
    """The text hangs in the network, its client asks for the outcome, then it arrives."""
    meta.create(ROOT, b"before")
    late: list[Sequence[Statement]] = []

    def remember(statements: Sequence[Statement]) -> None:
        late.append(statements)

    faults.before_each = remember
    faults.arm(1)
    meta.create(ROOT, b"f")  # the first text is lost, the second is done
    faults.before_each = None
    meta.unlink(ROOT, b"f")
    assert COMMIT_TABLE in late[0][0][0]
    connection = clients.server.connect()
    with pytest.raises(SqlError):
        connection.transact(late[0])
    connection.close()
    with pytest.raises(FsError):
        meta.lookup(ROOT, b"f")


def test_an_idle_connection_that_the_server_closed_hurts_nobody(
    meta: Meta, rows: Rows, clients: Clients
) -> None:
    meta.create(ROOT, b"a")
    clients.cut_all()
    meta.create(ROOT, b"b")
    clients.cut_all()
    assert meta.lookup(ROOT, b"b").attr.nlink == 1


def test_a_commit_checks_even_if_its_token_was_taken_away(
    clients: Clients, rows: Rows, expected_warnings: list[str]
) -> None:
    """A fail-over to a replica that lacks the row, or an emptied private table."""
    expected_warnings.append("lost commits")
    meta = clients.open(clock=ManualClock())  # its second of the cache does not pass
    other = clients.open()
    file = meta.create(ROOT, b"f").ino
    other.link(file, ROOT, b"hard")
    rows(f"DELETE FROM {COMMIT_TABLE}")
    meta.unlink(ROOT, b"f")
    assert other.lookup(ROOT, b"hard").attr.nlink == 1
    meta.create(ROOT, b"g")
    assert rows(f"SELECT COUNT(*) FROM {COMMIT_TABLE}")[0][0] >= 1


def test_after_an_interrupted_commit_the_next_one_works(
    meta: Meta, faults: ServerFaults, rows: Rows
) -> None:
    """Ctrl-C while the answer is awaited: it is done, and its client does not know it."""
    meta.create(ROOT, b"before")
    faults.arm(1, after=True)
    faults.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        meta.create(ROOT, b"f")
    faults.error = None
    trips = faults.round_trips
    meta.create(ROOT, b"g")
    assert faults.round_trips - trips <= 4
    assert meta.lookup(ROOT, b"f")
