"""A large commit writes new nodes by the hundred, and leaves what word by word would leave."""

from collections.abc import Iterator

import pytest
import redis

from roost.errors import CorruptRecord
from roost.testing.servers import RedisServer
from roost.volume.codec import encode_attr, encode_slice
from roost.volume.engines.redis import encode_many
from roost.volume.engines.redis.encode import OPERANDS_MAX
from roost.volume.engines.redis.encode_many import WORDS_AT_ONCE
from roost.volume.meta import effects as fx
from roost.volume.meta.api import Meta
from roost.volume.meta.stored_files import AddStoredFiles, StoredFile
from roost.volume.meta.stored_records import taken_apart
from roost.volume.meta.txn import Engine, Txn
from roost.volume.model import ROOT, Attr, ChunkNo, DirUsage, Edge, Ino, Kind, Slice, SliceId
from tests.volume.engines.redis.conftest import Opener
from tests.volume.engines.redis.test_commit_script import everything

FILES = 3000  # more than Lua unpacks at once
FOLDER = Ino(5000)


def effects() -> Iterator[fx.Effect]:
    """Files in a new folder and in the root, links, hard links old and new, records shared."""
    yield fx.AddNode(FOLDER, Attr(Kind.DIRECTORY, nlink=2, parent=ROOT))
    yield fx.AddEdge(ROOT, b"folder", Edge(Kind.DIRECTORY, FOLDER))
    for number in range(FILES):
        ino = Ino(10_000 + number)
        kind = Kind.SYMLINK if number % 7 == 0 else Kind.FILE
        yield fx.AddNode(ino, Attr(kind, length=number, parent=FOLDER, tier=number % 2))
        yield fx.AddEdge(FOLDER, b"%d" % number, Edge(kind, ino))
        if kind is Kind.SYMLINK:
            yield fx.PutSymlink(ino, b"\xff" * number)
            continue
        for pos in range(number % 3):
            one = Slice(pos, SliceId(number + 1), 100, 0, 100)
            yield fx.AppendSlices(ino, ChunkNo(pos % 2), (one, one))
            yield fx.AddSliceRefs(one.id, 2, 100, is_new=pos == 0)
    yield fx.ChangeNode(Ino(10_001), fx.NodeChange(nlink_by=1, parent=Ino(0)))
    yield fx.AddEdge(ROOT, b"second name", Edge(Kind.FILE, Ino(10_001)))
    yield fx.AddNode(Ino(20_000), Attr(Kind.FILE, nlink=2))  # as a backup has them
    yield fx.AddEdge(ROOT, b"one of two", Edge(Kind.FILE, Ino(20_000)))
    yield fx.AddEdge(FOLDER, b"two of two", Edge(Kind.FILE, Ino(20_000)))
    yield fx.PutDirUsage(FOLDER, DirUsage(1, 2, 3))


@pytest.fixture(params=[True, False], ids=["script", "watch"])
def scripts(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def opened(open_volume: Opener, url: str, scripts: bool) -> tuple[Meta, Engine]:
    meta = open_volume(url, make=True)
    engine = meta._opened.engine
    engine._link.can.scripts = scripts  # type: ignore[attr-defined]
    return meta, engine


def commit(engine: Engine) -> None:
    engine.run(lambda txn: txn.do(*effects()))


def test_it_leaves_what_word_by_word_would_leave(
    redis_server: RedisServer,
    open_volume: Opener,
    scripts: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = []
    for least in (1, 1 << 30):
        monkeypatch.setattr(encode_many, "EFFECTS_MIN", least)
        url = redis_server.new_database()
        _, engine = opened(open_volume, url, scripts)
        raw = redis_server.client(int(url.rpartition("/")[2]))
        before = everything(raw)
        commit(engine) if least == 1 else small_commits(engine)
        found.append({k: v for k, v in contents(raw).items() if k not in before or k == b"d1"})
    assert found[0] == found[1]
    for hard_link in (b"p10001", b"p20000"):
        assert found[0][hard_link] == {b"1": b"1", b"5000": b"1"}


def small_commits(engine: Engine) -> None:
    """Word by word a commit takes fewer keys."""
    waiting = list(effects())
    end = waiting.index(fx.ChangeNode(Ino(10_001), fx.NodeChange(nlink_by=1, parent=Ino(0))))
    for start in range(0, end, 1000):
        some = waiting[start : min(start + 1000, end)]
        engine.run(lambda txn, some=some: txn.do(*some))  # type: ignore[misc]
    engine.run(lambda txn: txn.do(*waiting[end:]))


def contents(raw: redis.Redis) -> dict[bytes, object]:
    """Return all values; how a hash is packed inside Redis depends on its history."""
    read = {b"string": raw.get, b"hash": raw.hgetall, b"list": lambda key: raw.lrange(key, 0, -1)}
    return {key: read[raw.type(key)](key) for key in everything(raw) if raw.type(key) in read}


@pytest.mark.parametrize("key", [b"i12999", b"c12998_0", b"s10497", b"d5000"])
def test_what_stands_in_the_way_stops_it_before_its_first_write(
    redis_server: RedisServer, open_volume: Opener, scripts: bool, key: bytes
) -> None:
    url = redis_server.new_database()
    _, engine = opened(open_volume, url, scripts)
    raw = redis_server.client(int(url.rpartition("/")[2]))
    raw.set(key, b"there") if key[:1] != b"c" else raw.rpush(key, b"there")
    before = everything(raw)
    with pytest.raises(CorruptRecord, match="exists already or is of another kind"):
        commit(engine)
    assert everything(raw) == before


def test_what_was_known_to_be_absent_is_known_to_be_there(
    redis_server: RedisServer, open_volume: Opener, scripts: bool
) -> None:
    meta, engine = opened(open_volume, redis_server.new_database(), scripts)
    last = b"%d" % (FILES - 1)
    assert engine.read(lambda reads: reads.edge(ROOT, b"folder")) is None
    assert engine.read(lambda reads: reads.edge(FOLDER, last)) is None
    assert engine.read(lambda reads: reads.node(FOLDER)) is None
    commit(engine)
    assert meta.lookup(ROOT, b"folder").ino == FOLDER
    assert meta.lookup(FOLDER, last).attr.length == FILES - 1


def test_a_record_takes_one_operand(
    redis_server: RedisServer, open_volume: Opener, scripts: bool
) -> None:
    """As it does in a small commit: a clone of much written files has little but records."""
    _, engine = opened(open_volume, redis_server.new_database(), scripts)
    records = tuple(Slice(pos, SliceId(0), 1, 0, 1) for pos in range(220))
    inos = [Ino(10_000 + number) for number in range(OPERANDS_MAX // len(records) * 2 // 3)]

    def rule(txn: Txn) -> None:
        for ino in inos:
            txn.do(fx.AddNode(ino, Attr(Kind.FILE, length=220, parent=ROOT)))
            txn.do(fx.AppendSlices(ino, ChunkNo(0), records))

    engine.run(rule)
    for ino in (inos[0], inos[-1]):
        assert engine.read(lambda reads, ino=ino: reads.slices(ino, ChunkNo(0))) == records  # type: ignore[misc]


def stored_files() -> AddStoredFiles:
    """Return plain files of a folder, some of them empty."""
    return AddStoredFiles(
        FOLDER,
        tuple(
            StoredFile(
                b"file %d" % number,
                Ino(30_000 + number),
                encode_attr(Attr(Kind.FILE, mtime_ns=-number, length=number, parent=FOLDER)),
                encode_slice(0, number, number, 0, number) if number else b"",
            )
            for number in range(2 * WORDS_AT_ONCE // 3)
        ),
    )


@pytest.mark.parametrize("files_at_once", [True, False])
def test_stored_files_leave_what_word_by_word_would_leave(
    redis_server: RedisServer,
    open_volume: Opener,
    scripts: bool,
    files_at_once: bool,
) -> None:
    found = []
    for apart in (False, True):
        url = redis_server.new_database()
        _, engine = opened(open_volume, url, scripts)
        raw = redis_server.client(int(url.rpartition("/")[2]))
        before = everything(raw)
        files = stored_files()
        waiting: list[fx.Effect] = [files] if files_at_once else one_by_one(files)
        for effect in waiting:
            some = list(taken_apart([effect])) if apart else [effect]
            for start in range(0, len(some), 1000):
                part = some[start : start + 1000]
                engine.run(lambda txn, part=part: txn.do(*part))  # type: ignore[misc]
        found.append({k: v for k, v in contents(raw).items() if k not in before})
    assert found[0] == found[1]
    assert len(found[0][b"d5000"]) >= len(files.files)  # type: ignore[arg-type]


def one_by_one(files: AddStoredFiles) -> list[fx.Effect]:
    """Return effects of three files each, for some of them."""
    return [AddStoredFiles(FOLDER, files.files[n : n + 3]) for n in range(0, 9, 3)] + [
        AddStoredFiles(FOLDER, files.files[9:])
    ]


@pytest.mark.parametrize("key", [b"i30100", b"c30100_0", b"d5000"])
def test_what_stands_in_the_way_of_stored_files_stops_them(
    redis_server: RedisServer, open_volume: Opener, scripts: bool, key: bytes
) -> None:
    url = redis_server.new_database()
    _, engine = opened(open_volume, url, scripts)
    raw = redis_server.client(int(url.rpartition("/")[2]))
    raw.set(key, b"there") if key[:1] != b"c" else raw.rpush(key, b"there")
    before = everything(raw)
    with pytest.raises(CorruptRecord, match="exists already or is of another kind"):
        engine.run(lambda txn: txn.do(stored_files()))
    assert everything(raw) == before


def test_stored_files_known_to_be_absent_are_known_to_be_there(
    redis_server: RedisServer, open_volume: Opener, scripts: bool
) -> None:
    _, engine = opened(open_volume, redis_server.new_database(), scripts)
    assert engine.read(lambda reads: reads.edge(FOLDER, b"file 7")) is None
    assert engine.read(lambda reads: reads.node(Ino(30_007))) is None
    engine.run(lambda txn: txn.do(stored_files()))
    assert engine.read(lambda reads: reads.edge(FOLDER, b"file 7")) == Edge(Kind.FILE, Ino(30_007))
    node = engine.read(lambda reads: reads.node(Ino(30_007)))
    assert node is not None
    assert node.length == 7


@pytest.mark.parametrize("new_files", [1, encode_many.EFFECTS_MIN])
def test_no_records_are_appended_by_no_command(
    redis_server: RedisServer, open_volume: Opener, scripts: bool, new_files: int
) -> None:
    """A clone may find that a chunk has gone since it was looked at."""
    meta, engine = opened(open_volume, redis_server.new_database(), scripts)
    file = meta.create(ROOT, b"f").ino
    effects: list[fx.Effect] = [fx.AppendSlices(file, ChunkNo(0), ()), fx.AddCounter("x", 1)]
    for number in range(new_files):
        ino = Ino(10_000 + number)
        effects.append(fx.AddNode(ino, Attr(Kind.FILE, parent=ROOT)))
        effects.append(fx.AppendSlices(ino, ChunkNo(0), ()))
    engine.run(lambda txn: txn.do(*effects))
    assert engine.read(lambda reads: reads.slices(Ino(10_000), ChunkNo(0))) == ()
    assert engine.read(lambda reads: reads.counter("x")) == 1
    assert engine.read(lambda reads: reads.slices(file, ChunkNo(0))) == ()
