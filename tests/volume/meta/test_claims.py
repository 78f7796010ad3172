"""A database that lost its last commits, or holds another volume, when it is reached again."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from roost.errors import CorruptRecord, Unavailable
from roost.testing.clock import ManualClock
from roost.volume.engines.sql.tables import COMMIT_TABLE
from roost.volume.errors import VolumeReplaced
from roost.volume.meta.api import Meta, format_volume, open_meta
from roost.volume.meta.effects import DropNode, PutCounter, PutSetting
from roost.volume.meta.open_volume import FIRST_INO, FIRST_SLICE, NEXT_INO, NEXT_SLICE
from roost.volume.model import ROOT, ChunkNo, Slice, SliceId
from roost.volume.settings import encode_settings, new_settings
from tests.volume.meta.conftest import ENGINES

connected = pytest.mark.parametrize("meta_url", ENGINES[1:], indirect=True)


@pytest.fixture
def stack(expected_warnings: list[str]) -> Iterator[ExitStack]:
    expected_warnings += ["is lost; connecting again", "the connection broke", "lost commits"]
    expected_warnings += ["replacing a broken connection", "in use, the next are left out"]
    with ExitStack() as made:
        yield made


@pytest.fixture
def two(meta_url: str, clock: ManualClock, stack: ExitStack) -> tuple[Meta, Meta]:
    """Two clients of one volume; the second has reserved nothing yet."""
    format_volume(meta_url, new_settings("suite", bucket="/b", trash_days=0), clock=clock)
    return tuple(  # type: ignore[return-value]
        stack.enter_context(open_meta(meta_url, clock=clock)) for _ in range(2)
    )


def put_back(meta: Meta, name: str, value: int) -> None:
    """Let a counter be as it was, as after a crash of the server."""
    meta.engine.run(lambda txn: txn.do(PutCounter(name, value)))


def lose_connections(meta: Meta) -> None:
    engine: Any = meta.engine
    if hasattr(engine, "_link"):
        engine._link._live.connection.close()
    elif hasattr(engine, "_pool"):
        for session in engine._pool._idle:
            session.drop()
    else:
        for reader in engine._readers.queue:
            reader.close()
        engine._readers.queue.clear()
        engine._writer.close()
        with pytest.raises((Unavailable, VolumeReplaced)):  # it replaces the connection
            meta.setxattr(ROOT, b"user.a", b"")


def test_a_create_that_meets_an_existing_inode_goes_on_behind_it(two: tuple[Meta, Meta]) -> None:
    ours, theirs = two
    inos = [ours.create(ROOT, b"a%d" % number).ino for number in range(5)]
    put_back(ours, NEXT_INO, FIRST_INO)
    for number in range(5):
        inos.append(theirs.create(ROOT, b"b%d" % number).ino)
        inos.append(ours.create(ROOT, b"c%d" % number).ino)
    inos.append(theirs.create_nameless(ROOT).ino)
    assert len(set(inos)) == len(inos)


def test_a_clone_that_meets_an_existing_inode_succeeds_the_next_time(
    two: tuple[Meta, Meta],
) -> None:
    ours, theirs = two
    file = ours.create(ROOT, b"a").ino
    put_back(ours, NEXT_INO, FIRST_INO)
    with pytest.raises(CorruptRecord, match="exists already"):
        theirs.clone(file, ROOT, b"b")
    assert theirs.clone(file, ROOT, b"b").ino > file


def test_a_batch_is_never_reserved_below_what_the_client_used(two: tuple[Meta, Meta]) -> None:
    ours, _ = two
    taken = {ours.new_slice_id()}
    put_back(ours, NEXT_SLICE, FIRST_SLICE)
    ours._opened.slice_ids.let_go(0, 0)
    again = ours.new_slice_id()
    assert again >= max(taken) + 4095, "past the whole batch"


@connected
def test_nobody_gets_numbers_of_a_batch_that_the_database_forgot(two: tuple[Meta, Meta]) -> None:
    ours, theirs = two
    used = {ours.new_slice_id() for _ in range(3)}
    inos = [ours.create(ROOT, b"a%d" % number).ino for number in range(3)]
    put_back(theirs, NEXT_SLICE, FIRST_SLICE)
    put_back(theirs, NEXT_INO, FIRST_INO)
    lose_connections(ours)
    ours.getattr(ROOT)
    assert theirs.new_slice_id() > max(used) + 4000, "raised by the connection itself"
    used |= {ours.new_slice_id() for _ in range(3)}
    assert not used & {theirs.new_slice_id() for _ in range(20)}
    assert theirs.create(ROOT, b"b").ino > max(inos) + 1000


@connected
def test_a_batch_stays_where_nothing_was_forgotten(two: tuple[Meta, Meta]) -> None:
    ours, _ = two
    first = ours.new_slice_id()
    lose_connections(ours)
    ours.getattr(ROOT)
    assert first < ours.new_slice_id() < first + 10


@connected
def test_another_volume_is_refused_by_the_first_call_of_a_new_connection(
    two: tuple[Meta, Meta],
) -> None:
    ours, theirs = two
    ours.create(ROOT, b"a")
    other = encode_settings(new_settings("another", bucket="/b", trash_days=0))
    theirs.engine.run(lambda txn: txn.do(PutSetting(other)))
    lose_connections(ours)
    for _ in range(2):
        with pytest.raises(VolumeReplaced, match="holds volume"):
            ours.create(ROOT, b"b")
        with pytest.raises(VolumeReplaced, match="holds volume"):
            ours.getattr(ROOT)
    assert [entry.name for entry in theirs.readdir(ROOT)] == [b"a"]


@pytest.mark.parametrize("meta_url", ["mysql", "postgres"], indirect=True)
def test_a_session_that_lost_its_row_looks_whose_the_database_is(two: tuple[Meta, Meta]) -> None:
    """Over a connection that stayed: who emptied the table may have put another volume there."""
    ours, theirs = two
    ours.create(ROOT, b"a")
    other = encode_settings(new_settings("another", bucket="/b", trash_days=0))
    theirs.engine.run(lambda txn: txn.do(PutSetting(other)))
    engine: Any = ours.engine
    for session in engine._pool._idle:
        session._token_s = None
    with pytest.raises(VolumeReplaced, match="holds volume"):
        ours.create(ROOT, b"b")
    assert [entry.name for entry in theirs.readdir(ROOT)] == [b"a"]


def test_a_volume_without_a_root_is_damaged_not_empty(
    two: tuple[Meta, Meta],
) -> None:
    ours, _ = two
    ours.engine.run(lambda txn: txn.do(DropNode(ROOT)))
    for attempt in (
        lambda: ours.getattr(ROOT),
        lambda: ours.lookup(ROOT, b"a"),
        lambda: list(ours.readdir(ROOT)),
        lambda: ours.create(ROOT, b"a"),
    ):
        with pytest.raises(CorruptRecord, match="root"):
            attempt()


@pytest.mark.parametrize("meta_url", ["redis", "mysql", "postgres"], indirect=True)
def test_a_batch_that_another_was_given_meanwhile_is_not_used_any_more(
    two: tuple[Meta, Meta],
) -> None:
    """The counter tells nothing: it is where it was."""
    ours, theirs = two
    first = ours.new_slice_id()
    told: list[tuple[int, int, bool]] = []
    ours.when_doubtful(lambda start, end: told.append((start, end, ours.is_doubtful(first))))
    forget_reservations(ours, theirs)
    put_back(theirs, NEXT_SLICE, first)
    assert theirs.new_slice_id() == first, "as things were to be shown"
    file = ours.create(ROOT, b"a").ino
    lose_connections(ours)
    with pytest.raises(Unavailable, match="another client's"):
        ours.write_slice(file, ChunkNo(0), Slice(0, first, 10, 0, 10))
    seen = tuple(Slice(at, SliceId(first + at), 10, 0, 10) for at in range(3))
    for record in seen:
        theirs.write_slice(file, ChunkNo(0), record)
    new = Slice(0, SliceId(max(first + 5000, 10**6)), 12, 0, 12)
    assert ours.replace_slices(file, ChunkNo(0), (), seen, new) is None, "whose bytes were read?"
    assert theirs.replace_slices(file, ChunkNo(0), (), seen, new) is not None
    assert ours.is_doubtful(first)
    assert told == [(first, first + 4096, True)]
    used = {ours.new_slice_id() for _ in range(20)}
    assert min(used) > first + 4000
    assert not any(map(ours.is_doubtful, used))
    lose_connections(ours)
    assert max(used) < ours.new_slice_id() < max(used) + 10, "it keeps what is its own"


def forget_reservations(whose: Meta, by: Meta) -> None:
    """Let the database know nothing of a client's last commits."""
    engine: Any = by.engine
    if hasattr(engine, "_link"):
        client = whose.engine._link.client  # type: ignore[attr-defined]
        assert engine.call([("HDEL", engine.keys.tokens(client), NEXT_SLICE)]) == [1]
        return
    with engine._pool.session() as session:
        session.ask([(f"DELETE FROM {COMMIT_TABLE}", ())])
