"""Servers that lose reservations of numbers, at each moment in which that may happen."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from roost.errors import Unavailable
from roost.testing.clock import ManualClock
from roost.volume.engines.claims import Claims
from roost.volume.engines.sql.tables import COMMIT_TABLE
from roost.volume.meta.api import Meta, format_volume, open_meta
from roost.volume.meta.open_volume import NEXT_SLICE, SLICES_AT_ONCE
from roost.volume.model import ROOT, ChunkNo, Ino, Slice, SliceId
from roost.volume.settings import new_settings
from tests.volume.meta.test_claims import lose_connections

WARNING = "the database lost commits"

servers = pytest.mark.parametrize("meta_url", ["redis", "mysql", "postgres"], indirect=True)
sql_servers = pytest.mark.parametrize("meta_url", ["mysql", "postgres"], indirect=True)
redis = pytest.mark.parametrize("meta_url", ["redis"], indirect=True)


@pytest.fixture
def stack(expected_warnings: list[str]) -> Iterator[ExitStack]:
    expected_warnings += ["is lost; connecting again", "the connection broke", WARNING]
    with ExitStack() as made:
        yield made


@pytest.fixture
def two(meta_url: str, clock: ManualClock, stack: ExitStack) -> tuple[Meta, Meta]:
    """Two clients of one volume, which have reserved nothing yet."""
    format_volume(meta_url, new_settings("suite", bucket="/b", trash_days=0), clock=clock)
    return tuple(  # type: ignore[return-value]
        stack.enter_context(open_meta(meta_url, clock=clock)) for _ in range(2)
    )


def claims_of(meta: Meta) -> Claims:
    engine: Any = meta.engine
    found = engine._link.claims if hasattr(engine, "_link") else engine._claims
    assert isinstance(found, Claims)
    return found


def roll_back(by: Meta, counter: int, *known: tuple[Meta, int]) -> None:
    """Let the next slice be `counter`, and nobody's proof say more than is `known` of theirs."""
    engine: Any = by.engine
    if hasattr(engine, "_link"):
        engine.call([("SET", "nextchunk", counter - 1)])
        for meta, value in known:
            slot = engine.keys.tokens(meta.engine._link.client)  # type: ignore[attr-defined]
            engine.call(
                [("HSET", slot, NEXT_SLICE, value) if value else ("HDEL", slot, NEXT_SLICE)]
            )
        return
    with engine._pool.session() as session:
        text = "UPDATE jfs_counter SET value = ? WHERE name = ?"
        session.ask([(text, (counter, NEXT_SLICE))])
        for meta, value in known:
            row = claims_of(meta)._proofs[NEXT_SLICE]  # type: ignore[attr-defined]
            session.ask(
                [(f"UPDATE {COMMIT_TABLE} SET batch = ? WHERE client = ?", (value, row))]
                if value
                else [(f"DELETE FROM {COMMIT_TABLE} WHERE client = ?", (row,))]
            )


def meet_again(*metas: Meta) -> None:
    """Let them connect anew."""
    for meta in metas:
        lose_connections(meta)
        meta.getattr(ROOT)


def lose_one_connection(meta: Meta) -> None:
    """Let the next call connect anew, while there is a connection for others."""
    pool: Any = meta.engine._pool  # type: ignore[attr-defined]
    with pool.session() as one, pool.session() as other:
        one.renew_token()
        other.renew_token()
    pool._idle[-1].drop()


def use_up(meta: Meta) -> None:
    ids = meta._opened.slice_ids
    ids._next = ids.end


def put(meta: Meta, file: Ino, slice_id: SliceId) -> None:
    meta.write_slice(file, ChunkNo(0), Slice(0, slice_id, 10, 0, 10))


def instead(
    monkeypatch: pytest.MonkeyPatch, of: Any, name: str, *, before: Any = None, after: Any = None
) -> None:
    """Do something before, or after, the next call of a method."""
    real = getattr(of, name)

    def replaced(*args: Any) -> Any:
        monkeypatch.setattr(of, name, real)
        if before is not None:
            before()
        made = real(*args)
        if after is not None:
            after()
        return made

    monkeypatch.setattr(of, name, replaced)


@servers
def test_what_another_reserves_while_counters_are_raised_is_not_ours(
    two: tuple[Meta, Meta], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both meet the server again; the other has raised the counter, and reserves, in between."""
    ours, theirs = two
    theirs.new_slice_id()
    mine = ours.new_slice_id()
    files = [meta.create(ROOT, b"f%d" % at).ino for at, meta in enumerate(two)]
    roll_back(theirs, 1, (ours, 0), (theirs, 0))
    given: list[SliceId] = []

    def be_faster() -> None:
        meet_again(theirs)
        given.append(theirs.new_slice_id())

    instead(monkeypatch, claims_of(ours), "doubts", after=be_faster)
    meet_again(ours)
    assert given == [mine], "as things were to be shown"
    with pytest.raises(Unavailable, match="another client's"):
        put(ours, files[0], mine)
    put(theirs, files[1], given[0])
    assert theirs.new_slice_id() < ours.new_slice_id()


@servers
@pytest.mark.parametrize("is_one_known", [False, True])
def test_all_batches_that_were_lost_are_in_doubt(
    two: tuple[Meta, Meta], is_one_known: bool
) -> None:
    ours, theirs = two
    known = ours.new_slice_id()
    use_up(ours)
    lost = [ours.new_slice_id()]
    use_up(ours)
    lost.append(ours.new_slice_id())
    start = lost[0] if is_one_known else known
    roll_back(theirs, start, (ours, start if is_one_known else 0))
    others = []
    while not others or others[-1] < lost[-1]:
        others.append(theirs.new_slice_id())
        use_up(theirs)
    meet_again(ours)
    assert all(map(ours.is_doubtful, lost))
    assert ours.is_doubtful(known) is not is_one_known


@servers
def test_numbers_that_nobody_else_was_given_are_in_no_doubt(two: tuple[Meta, Meta]) -> None:
    ours, theirs = two
    mine = ours.new_slice_id()
    file = ours.create(ROOT, b"a").ino
    roll_back(theirs, mine, (ours, 0))
    meet_again(ours)
    put(ours, file, mine)
    assert ours.new_slice_id() == mine + SLICES_AT_ONCE


@servers
def test_only_what_was_given_to_others_is_in_doubt(two: tuple[Meta, Meta]) -> None:
    ours, theirs = two
    first = ours.new_slice_id()
    use_up(ours)
    last = ours.new_slice_id()
    roll_back(theirs, first, (ours, 0))
    assert theirs.new_slice_id() == first
    meet_again(ours)
    assert ours.is_doubtful(first)
    assert not ours.is_doubtful(last), "the counter is raised past it"
    assert theirs.new_slice_id() < last
    use_up(theirs)
    assert theirs.new_slice_id() >= last + SLICES_AT_ONCE


@servers
def test_a_raised_counter_may_be_lost_too(two: tuple[Meta, Meta]) -> None:
    ours, theirs = two
    mine = ours.new_slice_id()
    roll_back(theirs, mine, (ours, 0))
    meet_again(ours)
    assert not ours.is_doubtful(mine)
    roll_back(theirs, mine, (ours, 0))
    assert theirs.new_slice_id() == mine
    meet_again(ours)
    assert ours.is_doubtful(mine)


def _interrupted() -> None:
    raise KeyboardInterrupt


@servers
def test_nobody_knows_whether_a_counter_was_raised(
    two: tuple[Meta, Meta], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is lost; the next connection finds nothing amiss."""
    ours, theirs = two
    mine = ours.new_slice_id()
    roll_back(theirs, mine, (ours, 0))
    assert theirs.new_slice_id() == mine

    claims: Any = claims_of(ours)
    if hasattr(ours.engine, "_link"):
        instead(monkeypatch, ours.engine._link, "_raise_counter", after=_interrupted)
    else:
        real = claims._raise

        def raise_it(run: Any, doubt: Any) -> None:
            real(lambda statements: (run(statements), _interrupted()), doubt)

        monkeypatch.setattr(claims, "_raise", raise_it)
    lose_connections(ours)
    with pytest.raises(KeyboardInterrupt):
        ours.getattr(ROOT)
    monkeypatch.undo()
    ours.getattr(ROOT)
    assert ours.is_doubtful(mine)
    assert ours.new_slice_id() >= mine + SLICES_AT_ONCE


@servers
@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("is_noted", [True, False])
def test_a_batch_that_is_lost_before_it_is_used_is_dropped(
    two: tuple[Meta, Meta],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    is_first: bool,
    is_noted: bool,
) -> None:
    """The server answers, and dies; another thread connects before the answer is looked at."""
    ours, theirs = two
    theirs.new_slice_id()
    known = 0
    if not is_first:
        known = ours.new_slice_id() + SLICES_AT_ONCE
        use_up(ours)
    given = []

    def lose_it() -> None:
        roll_back(theirs, known or SLICES_AT_ONCE + 1, (ours, known))
        meet_again(ours)
        meet_again(ours)

    claims = claims_of(ours)
    if is_noted:
        instead(monkeypatch, claims, "reserved", after=lose_it)
    else:
        if is_first and not hasattr(ours.engine, "_link"):
            claims._proofs[NEXT_SLICE] = 7  # type: ignore[attr-defined]
        instead(monkeypatch, claims, "reserved", before=lose_it)
    mine = ours.new_slice_id()
    for _ in range(2):
        use_up(theirs)
        given.append(theirs.new_slice_id())
    assert mine not in given
    assert not ours.is_doubtful(mine)
    meet_again(ours)
    assert not ours.is_doubtful(mine)
    assert ours.new_slice_id() == mine + 1
    assert caplog.text.count(WARNING) <= 1


@sql_servers
def test_a_reservation_while_the_counter_is_raised_keeps_its_proof(
    two: tuple[Meta, Meta], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ours, theirs = two
    mine = ours.new_slice_id()

    def take() -> None:
        use_up(ours)
        ours.new_slice_id()

    lose_one_connection(ours)
    roll_back(theirs, mine, (ours, 0))
    instead(monkeypatch, claims_of(ours), "doubts", after=take)
    ours.getattr(ROOT)
    assert not ours.is_doubtful(ours._opened.slice_ids.end - 1), "reserved after the loss"
    meet_again(ours)
    assert caplog.text.count(WARNING) == 1
    more = [ours.new_slice_id(), theirs.new_slice_id()]
    assert len({mine, *more}) == 3
    assert not any(map(ours.is_doubtful, more))


@servers
def test_a_reservation_during_the_look_is_no_loss(
    two: tuple[Meta, Meta], caplog: pytest.LogCaptureFixture
) -> None:
    """A pool makes connections while other threads reserve over theirs."""
    ours, _ = two
    mine = ours.new_slice_id()
    claims, ids = claims_of(ours), ours._opened.slice_ids
    held = claims.begin()
    stored, proven = {name: held.ends[name] for name in held.ends}, dict(held.reserved)
    use_up(ours)
    assert ours.new_slice_id() > mine
    assert claims.doubts(held, stored, proven) == []
    assert ids.end > stored[NEXT_SLICE], "as things were to be shown"
    assert WARNING not in caplog.text


@sql_servers
def test_a_connection_made_while_numbers_are_taken_raises_no_alarm(
    two: tuple[Meta, Meta], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ours, _ = two
    mine = ours.new_slice_id()
    more: list[SliceId] = []

    def take() -> None:
        use_up(ours)
        more.append(ours.new_slice_id())

    lose_one_connection(ours)
    instead(monkeypatch, claims_of(ours), "doubts", before=take)
    ours.getattr(ROOT)
    assert more == [mine + SLICES_AT_ONCE]
    assert WARNING not in caplog.text
    assert ours.new_slice_id() == more[0] + 1


@servers
def test_a_loss_is_found_once(two: tuple[Meta, Meta], caplog: pytest.LogCaptureFixture) -> None:
    ours, theirs = two
    mine = ours.new_slice_id()
    roll_back(theirs, mine + SLICES_AT_ONCE, (ours, 0))
    for _ in range(3):
        meet_again(ours)
    assert caplog.text.count(WARNING) == 1
    assert ours.is_doubtful(mine)


@servers
def test_an_older_proof_is_none(two: tuple[Meta, Meta]) -> None:
    ours, theirs = two
    first = ours.new_slice_id()
    use_up(ours)
    mine = ours.new_slice_id()
    roll_back(theirs, mine, (ours, first + SLICES_AT_ONCE))
    assert theirs.new_slice_id() == mine
    meet_again(ours)
    assert ours.is_doubtful(mine)
    assert not ours.is_doubtful(first)


@sql_servers
def test_a_proof_outlives_what_others_clean_up(
    two: tuple[Meta, Meta], meta_url: str, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    ours, _ = two
    mine = ours.new_slice_id()
    for day in range(9):
        clock.advance(86_400)
        ours.setxattr(ROOT, b"user.day", b"%d" % day)  # as its heartbeat commits
    with open_meta(meta_url, clock=clock) as third:
        third.create(ROOT, b"x")
    meet_again(ours)
    assert not ours.is_doubtful(mine)
    assert ours.new_slice_id() == mine + 1
    assert WARNING not in caplog.text


@redis
def test_a_commit_that_meets_the_server_again_is_decided_anew(
    two: tuple[Meta, Meta], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it rests on was so before the server lost commits."""
    ours, theirs = two
    mine, file = ours.new_slice_id(), ours.create(ROOT, b"a").ino
    ours.getattr(file)

    def lose_it() -> None:
        roll_back(theirs, mine, (ours, 0))
        assert theirs.new_slice_id() == mine
        lose_connections(ours)

    instead(monkeypatch, ours.engine, "_send", before=lose_it)
    with pytest.raises(Unavailable, match="another client's"):
        put(ours, file, mine)
    assert ours.read_chunk(file, ChunkNo(0)) == ()


@pytest.mark.parametrize("meta_url", ["memory"], indirect=True)
def test_no_more_is_told_to_be_in_doubt_than_was_ever_reserved(two: tuple[Meta, Meta]) -> None:
    ours, theirs = two
    theirs.new_slice_id()
    told = []
    ours.when_doubtful(lambda start, end: told.append((start, end)))
    ours._opened.slice_ids.let_go(0, 10**6)
    assert told == []
    mine = ours.new_slice_id()
    ours._opened.slice_ids.let_go(0, 10**6)
    assert told == [(mine, mine + SLICES_AT_ONCE)]
    ours._opened.slice_ids.let_go(0, mine + 1)
    assert ours.is_doubtful(SliceId(mine + 5)), "once in doubt, in doubt for ever"


# ---- what a doubtful number may do
WAYS: dict[str, Callable[[Meta, Ino, SliceId], object]] = {
    "write": lambda meta, file, mine: put(meta, file, mine),
    "append": lambda meta, file, mine: meta.append_slice(file, mine, 10),
    "compact": lambda meta, file, mine: meta.replace_slices(
        file, ChunkNo(0), (), meta.read_chunk(file, ChunkNo(0)), Slice(0, mine, 20, 0, 20)
    ),
}


@pytest.mark.parametrize("when", ["before", "in the commit"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("meta_url", ["memory"], indirect=True)
def test_a_slice_of_a_doubtful_number_is_not_acknowledged(
    two: tuple[Meta, Meta], monkeypatch: pytest.MonkeyPatch, way: str, when: str
) -> None:
    ours, _ = two
    file = ours.create(ROOT, b"a").ino
    for pos in (0, 10):
        ours.write_slice(file, ChunkNo(0), Slice(pos, ours.new_slice_id(), 10, 0, 10))
    mine, stored = ours.new_slice_id(), ours.read_chunk(file, ChunkNo(0))

    def lose_it() -> None:
        ours._opened.slice_ids.let_go(mine, mine + 1)

    if when == "before":
        lose_it()
    else:
        instead(monkeypatch, ours.engine, "run", after=lose_it)
    with pytest.raises(Unavailable, match="another client's"):
        WAYS[way](ours, file, mine)
    if when == "before":
        assert ours.read_chunk(file, ChunkNo(0)) == stored
