"""A dump holds the whole tree, in JuiceFS's bytes; loading it gives the same tree or nothing."""

import contextlib
import gzip
import io
import json
import random
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roost.clock import SystemClock
from roost.errors import CorruptRecord, RoostError, Unavailable, Unsupported
from roost.volume.engines import sqlite_opening
from roost.volume.engines.memory import MemoryEngine
from roost.volume.engines.redis.engine import RedisEngine
from roost.volume.engines.redis.scans import RedisScans
from roost.volume.engines.registry import engine_kind, parse_url
from roost.volume.errors import AlreadyFormatted, NotFormatted
from roost.volume.meta.api import format_volume, open_meta
from roost.volume.meta.effects import AddEdge, AddNode, AppendSlices, PutCounter, PutSetting
from roost.volume.meta.opening import drop_memory_volume, open_engine
from roost.volume.meta.txn import Txn
from roost.volume.model import ROOT, Attr, ChunkNo, Edge, Ino, Kind, Slice, SliceId
from roost.volume.settings import encode_settings, new_settings
from roost.volume.tools import filling as filling_module
from roost.volume.tools import json_stream
from roost.volume.tools.dump import DumpOptions, DumpReport, dump
from roost.volume.tools.dump_files import unpacked
from roost.volume.tools.dump_records import escape, unescape
from roost.volume.tools.load import load

DUMPS = Path(__file__).with_name("dumps")
FAR = "memory://loaded"
NO_ID = {"id": None, "size": 1, "len": 1}


def dumped(url: str, **options: object) -> bytes:
    engine = open_engine(url, SystemClock(), read_only=True)
    try:
        out = io.BytesIO()
        report = dump(engine, out, DumpOptions(**options))  # type: ignore[arg-type]
        assert isinstance(report, DumpReport)
        return out.getvalue()
    finally:
        engine.close()


def loaded(url: str, raw: bytes) -> None:
    load(url, io.BytesIO(raw))
    with open_meta(url, read_only=True) as meta:
        assert meta.check() == ()


def tree_of(raw: bytes) -> dict[str, object]:
    document: dict[str, object] = json.loads(raw)
    return {name: value for name, value in document.items() if name != "Counters"}


@pytest.mark.parametrize("name", ["odd-names.json", "rules-and-quotas.json"])
def test_a_dump_of_juicefs_comes_back_byte_for_byte(place: str, name: str) -> None:
    original = (DUMPS / name).read_bytes()
    loaded(place, original)
    assert dumped(place, keep_secrets=True).decode() == original.decode()


def test_everything_survives_a_dump_and_a_load(place: str, full_url: str) -> None:
    first = dumped(full_url)
    loaded(place, first)
    assert dumped(place).decode() == first.decode()


def test_slices_that_files_share_are_counted_once_for_each(place: str, shared_url: str) -> None:
    """Or the blocks of a clone would go with the original."""
    first = dumped(shared_url)
    loaded(place, first)
    assert dumped(place).decode() == first.decode()


def test_a_file_with_several_names_knows_all_its_folders(place: str, full_url: str) -> None:
    with open_meta(full_url, read_only=True) as meta:
        ino = meta.resolve("/harder").ino
        parents = meta._opened.engine.read(lambda reads: reads.parents(ino))
    loaded(place, dumped(full_url))
    with open_meta(place, read_only=True) as meta:
        assert meta._opened.engine.read(lambda reads: reads.parents(ino)) == parents
    assert len(parents) == 3


def test_of_a_sub_directory_its_tree_becomes_the_root(full_url: str, tmp_path: Path) -> None:
    url = f"memory://sub-{tmp_path}"
    loaded(url, dumped(full_url, subdir='/a "b" %41\\'))
    with open_meta(url, read_only=True) as meta:
        assert {e.name for e in meta.readdir(ROOT)} == {b"\xff\xfe\n\x01", "Jäger\u2028☃".encode()}
    drop_memory_volume(f"sub-{tmp_path}")


def test_without_the_trash_a_dump_has_none_and_its_volume_an_empty_one(full_url: str) -> None:
    raw = dumped(full_url, skip_trash=True)
    assert "Trash" not in json.loads(raw)
    try:
        loaded(FAR, raw)
        with open_meta(FAR, read_only=True) as meta:
            assert list(meta.readdir(meta.resolve("/.trash").ino)) == []
    finally:
        drop_memory_volume("loaded")


def test_small_pages_and_buffers_change_nothing(
    full_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = dumped(full_url)
    monkeypatch.setattr("roost.volume.tools.dump_tree.PAGE_ENTRIES", 2)
    monkeypatch.setattr("roost.volume.tools.dump_tree._CHUNKS_AT_ONCE", 1)
    monkeypatch.setattr("roost.volume.tools.dump._WRITE_CHARS", 10)
    assert dumped(full_url) == whole
    monkeypatch.setattr(json_stream, "READ_BYTES", 7)
    monkeypatch.setattr(filling_module, "EFFECTS_AT_ONCE", 3)
    try:
        loaded(FAR, whole)
        assert dumped(FAR) == whole
    finally:
        drop_memory_volume("loaded")


def test_any_spelling_of_the_json_is_read(full_url: str) -> None:
    raw = dumped(full_url)
    for text in (
        json.dumps(json.loads(raw)),
        json.dumps(json.loads(raw), indent=7, ensure_ascii=True),
    ):
        try:
            loaded(FAR, text.encode())
            assert dumped(FAR) == raw
        finally:
            drop_memory_volume("loaded")


names = st.binary(min_size=1, max_size=12).filter(
    lambda raw: b"/" not in raw and b"\0" not in raw and raw not in (b".", b"..", b".trash")
)


@given(names)
@settings(deadline=None)
def test_escaped_names_come_back(name: bytes) -> None:
    text = escape(name)
    assert unescape(text, "x") == name
    assert json.loads(f'"{text}"') == text


@given(st.recursive(st.none(), lambda child: st.dictionaries(names, child, max_size=4)))
@settings(deadline=None, max_examples=60)
def test_any_tree_comes_back(tree: object) -> None:
    drop_memory_volume("source")
    drop_memory_volume("loaded")
    format_volume("memory://source", new_settings("tree", bucket="/b"))
    with open_meta("memory://source", session=False) as meta:
        todo = [(ROOT, tree)]
        while todo:
            parent, below = todo.pop()
            for name, child in below.items() if isinstance(below, dict) else ():
                if child is None:
                    meta.create(parent, name)
                else:
                    todo.append((meta.mkdir(parent, name).ino, child))
    raw = dumped("memory://source")
    loaded(FAR, raw)
    assert tree_of(dumped(FAR)) == tree_of(raw)


def test_a_file_removed_between_its_attributes_and_its_data_is_left_out(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    format_volume(redis_url, new_settings("racing", bucket="/b", trash_days=0))
    with open_meta(redis_url) as meta:
        for name in (b"gone", b"sparse", b"stays"):
            ino = meta.create(ROOT, name).ino
            meta.truncate(ino, 5)
            if name != b"sparse":
                meta.write_slice(ino, ChunkNo(0), Slice(0, meta.new_slice_id(), 5, 0, 5))
        real = RedisScans._records
        gone = meta.resolve("/gone").ino
        removed = []

        def records_of(scans: RedisScans, places: Any) -> Any:
            if not removed:
                meta.unlink(ROOT, b"gone")
                removed.extend(meta.deleted_files(1 << 60, 10))
                for file in removed:
                    meta.release_deleted_file(file)
            return real(scans, places)

        monkeypatch.setattr(RedisScans, "_records", records_of)
        raw = dumped(redis_url)
    assert [file.ino for file in removed] == [gone]
    assert list(json.loads(raw)["FSTree"]["entries"]) == ["sparse", "stays"]


@pytest.mark.parametrize("change", ["rename", "link", "trash", "move folder"])
def test_what_moves_during_a_dump_stands_once(
    redis_url: str, far: str, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    format_volume(redis_url, new_settings("racing", bucket="/b", trash_days=1))
    with open_meta(redis_url) as meta:
        first, last = (meta.mkdir(ROOT, name).ino for name in (b"first", b"last"))
        file = meta.create(first, b"file").ino
        meta.create(meta.mkdir(first, b"folder").ino, b"inside")
        real = RedisScans.entries_of
        changes: dict[str, Callable[[], object]] = {
            "rename": lambda: meta.rename(first, b"file", last, b"file"),
            "link": lambda: meta.link(file, last, b"file"),
            "trash": lambda: meta.unlink(first, b"file"),
            "move folder": lambda: meta.rename(first, b"folder", last, b"folder"),
        }

        def entries_of(scans: RedisScans, ino: Ino) -> Any:
            if ino == last and change in changes:
                changes.pop(change)()
            return real(scans, ino)

        monkeypatch.setattr(RedisScans, "entries_of", entries_of)
        raw = dumped(redis_url)
        assert change not in changes
    loaded(far, raw)
    with open_meta(far, read_only=True) as meta:
        assert meta.resolve("/first/file").ino == file
        assert meta.resolve("/first/folder/inside")


# ---- damage
@pytest.fixture
def far() -> str:
    drop_memory_volume("loaded")
    return FAR


def is_empty(url: str) -> bool:
    try:
        engine = open_engine(url, SystemClock(), read_only=True)
    except NotFormatted:
        return True
    with engine.scan() as scans:
        return not list(scans.all_nodes()) and not list(scans.all_edges())


def test_a_dump_cut_anywhere_is_refused_and_nothing_stays(full_url: str, far: str) -> None:
    raw = dumped(full_url)
    for end in [*range(0, len(raw) - 2, 61), len(raw) - 2]:
        with pytest.raises(CorruptRecord):
            load(far, io.BytesIO(raw[:end]))
        assert is_empty(far)


def test_a_flipped_byte_is_refused_or_leaves_a_sound_volume(full_url: str, far: str) -> None:
    raw = dumped(full_url)
    chance = random.Random(7)
    refused = 0
    for _ in range(400):
        at, bit = chance.randrange(len(raw)), 1 << chance.randrange(8)
        flipped = raw[:at] + bytes([raw[at] ^ bit]) + raw[at + 1 :]
        drop_memory_volume("loaded")
        try:
            load(far, io.BytesIO(flipped))
        except RoostError:
            refused += 1
            assert is_empty(far)
        else:
            with open_meta(far, session=False) as meta:
                assert not any(one.fatal for one in meta.check()), (at, bit)
    assert refused > 100


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("Surprise",), 1),
        (("FSTree", "surprise"), 1),
        (("FSTree", "entries", "sparse", "surprise"), 1),
        (("FSTree", "entries", "sparse", "attr", "surprise"), 1),
        (("FSTree", "entries", "sparse", "attr", "type"), "door"),
        (("FSTree", "entries", "sparse", "attr", "inode"), 1),
        (("FSTree", "entries", "sparse", "attr", "mode"), "0644"),
        (("FSTree", "entries", "sparse", "attr", "length"), -1),
        (("FSTree", "entries", "sparse", "symlink"), "x"),
        (("FSTree", "entries", "harder", "attr", "nlink"), 1),
        (("FSTree", "entries", "sparse", "chunks"), [{"index": 0, "slices": [{"id": 1}]}]),
        (("FSTree", "entries", "sparse", "chunks"), [{"index": 0, "slices": [NO_ID]}]),
        (("FSTree", "entries", "sparse", "xattrs"), [{"name": "\ud800", "value": ""}]),
        (("FSTree", "entries", ".."), {}),
        (("Setting", "Bucket"), "\ud800"),
        (("Setting", "UUID"), ""),
        (("DelFiles",), [{"inode": 1}]),
        (("Quotas",), {"x": {"maxSpace": 1, "maxInodes": 1}}),
    ],
)
def test_what_is_unknown_or_cannot_be_is_refused(
    full_url: str, far: str, path: tuple[str, ...], value: object
) -> None:
    document = json.loads(dumped(full_url))
    at = document
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    order = ("Setting", "Counters", "Sustained", "DelFiles", "Quotas", "Surprise")
    ordered = {key: document[key] for key in order if key in document} | document
    with pytest.raises(CorruptRecord):
        load(far, io.BytesIO(json.dumps(ordered).encode()))
    assert is_empty(far)


@pytest.mark.parametrize("names", [("a", "b", "b"), ("b", "a", "c", "b")])
def test_a_name_that_stands_twice_is_refused(place: str, names: tuple[str, ...]) -> None:
    if place.startswith("memory") and names == ("b", "a", "c", "b"):
        pytest.skip("the reference takes it for a defect")
    document = json.loads((DUMPS / "odd-names.json").read_bytes())
    attr = {
        "inode": 2, "type": "fifo", "mode": 0, "uid": 0, "gid": 0, "atime": 0, "mtime": 0,
        "ctime": 0, "length": 0,
    }  # fmt: skip
    top = json.dumps(document["FSTree"]["attr"])
    entries = ",".join(
        f'"{name}": {{"attr": {json.dumps(attr | {"inode": 100 + at})}}}'
        for at, name in enumerate(names)
    )
    setting = json.dumps(document["Setting"])
    raw = f'{{"Setting": {setting}, "FSTree": {{"attr": {top}, "entries": {{{entries}}}}}}}'
    with pytest.raises(RoostError):
        load(place, io.BytesIO(raw.encode()))
    assert is_empty(place)


def test_a_cut_or_changed_gzip_is_refused(full_url: str, far: str) -> None:
    packed = gzip.compress(dumped(full_url))
    for bad in (packed[:-9], packed[:-8] + b"\0" * 8, packed[:100] + b"\xff" + packed[101:]):
        with pytest.raises(CorruptRecord):
            load(far, unpacked(io.BufferedReader(io.BytesIO(bad))))
        assert is_empty(far)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_binary_dump_of_juicefs_is_refused_by_name(
    far: str, pack: Callable[[bytes], bytes]
) -> None:
    raw = pack((DUMPS / "binary.dump").read_bytes())  # juicefs dump --binary
    with pytest.raises(Unsupported, match="binary dump of JuiceFS") as refusal:
        load(far, unpacked(io.BufferedReader(io.BytesIO(raw))))
    assert "--binary" in refusal.value.hint
    assert is_empty(far)


def test_a_database_that_is_not_empty_is_left_alone(full_url: str, place: str) -> None:
    format_volume(place, new_settings("there", bucket="/b"))
    raw = dumped(full_url)
    with pytest.raises(AlreadyFormatted):
        load(place, io.BytesIO(raw))
    with open_meta(place, read_only=True) as meta:
        assert meta.settings.name == "there"


class Interrupted(io.BytesIO):
    """A dump that something happens to when its first bytes, or its last, are read."""

    def __init__(self, raw: bytes, happens: Callable[[], object], *, late: bool) -> None:
        super().__init__(raw)
        self._happens: Callable[[], object] | None = happens
        self._late = late

    def read(self, size: int | None = -1) -> bytes:
        found = super().read(size)
        if self._happens is not None and (not self._late or not found):
            happens, self._happens = self._happens, None
            happens()
        return found


BAD: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _raw: b"",
    "no JSON": lambda _raw: b"\x00\x01 a picture, perhaps",
    "no dump": lambda _raw: b"{}",
    "cut": lambda raw: raw[:-100],
    "another version's": lambda raw: raw.replace(b'"Setting"', b'"Settings"'),
}


@pytest.mark.parametrize("what", BAD)
def test_a_refused_load_leaves_no_file_but_one_that_was_there(
    full_url: str, tmp_path: Path, what: str
) -> None:
    raw = BAD[what](dumped(full_url))
    folder = tmp_path / "new"
    folder.mkdir()
    for _ in range(2):
        with pytest.raises(CorruptRecord):
            load(f"sqlite3://{folder}/meta.db", io.BytesIO(raw))
        assert list(folder.iterdir()) == []
    (folder / "meta.db").touch()
    with pytest.raises(CorruptRecord):
        load(f"sqlite3://{folder}/meta.db", io.BytesIO(raw))
    assert [path.name for path in folder.iterdir()] == ["meta.db"]
    loaded(f"sqlite3://{folder}/meta.db", dumped(full_url))


@pytest.mark.parametrize("does", ["looks", "writes"])
def test_a_file_that_another_has_open_is_not_removed_by_a_refused_load(
    full_url: str, tmp_path: Path, does: str, expected_warnings: list[str]
) -> None:
    expected_warnings.append("is left, empty")
    path = tmp_path / "meta.db"
    others: list[sqlite3.Connection] = []

    def come() -> None:
        other = sqlite3.connect(path, isolation_level=None)
        others.append(other)
        if does == "looks":
            other.execute("SELECT * FROM sqlite_master").fetchall()
        else:
            other.execute("CREATE TABLE mine (x)")

    raw = dumped(full_url)
    with pytest.raises(CorruptRecord):
        load(f"sqlite3://{path}", Interrupted(raw[:-100], come, late=True))
    others[0].execute("CREATE TABLE more (x)")
    others[0].close()
    with contextlib.closing(sqlite3.connect(path)) as again:
        names = [name for (name,) in again.execute("SELECT name FROM sqlite_master")]
        assert "more" in names
        assert again.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_file_that_another_wrote_into_and_closed_is_not_removed(
    full_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "meta.db"

    def come() -> None:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("CREATE TABLE mine (x)")

    raw = dumped(full_url)
    with pytest.raises(CorruptRecord):
        load(f"sqlite3://{path}", Interrupted(raw[:-100], come, late=True))
    with contextlib.closing(sqlite3.connect(path)) as again:
        assert again.execute("SELECT * FROM mine").fetchall() == []


def test_a_table_made_while_a_refused_load_looks_keeps_the_file(
    full_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first look sees none, and the lock is not held yet."""
    path = tmp_path / "meta.db"
    really = sqlite_opening.holds_anything
    looks: list[bool] = []

    def look(connection: sqlite3.Connection) -> bool:
        looks.append(really(connection))
        if len(looks) == 1:
            with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
                other.execute("CREATE TABLE mine (x)")
        return looks[-1]

    monkeypatch.setattr(sqlite_opening, "holds_anything", look)
    with pytest.raises(CorruptRecord):
        load(f"sqlite3://{path}", io.BytesIO(dumped(full_url)[:-100]))
    assert looks == [False, True]
    with contextlib.closing(sqlite3.connect(path)) as again:
        assert again.execute("SELECT * FROM mine").fetchall() == []
        assert again.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_who_waits_for_a_file_that_is_removed_writes_nothing(
    full_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "meta.db"
    others: list[sqlite3.Connection] = []
    really = Path.unlink

    def unlink(self: Path, missing_ok: bool = False) -> None:
        if self == path:  # it has the file open before it is gone, and finds it locked
            other = sqlite3.connect(path, isolation_level=None, timeout=0)
            others.append(other)
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("CREATE TABLE mine (x)")
        really(self, missing_ok=missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", unlink)
        with pytest.raises(CorruptRecord):
            load(f"sqlite3://{path}", io.BytesIO(dumped(full_url)[:-100]))
    assert not path.exists()
    with contextlib.closing(others[0]) as other, pytest.raises(sqlite3.Error, match="readonly"):
        other.execute("CREATE TABLE mine (x)")


def test_a_refused_load_behind_a_link_leaves_the_link_and_no_file(
    full_url: str, tmp_path: Path
) -> None:
    (tmp_path / "far").mkdir()
    link = tmp_path / "link.db"
    link.symlink_to(tmp_path / "far" / "meta.db")
    with pytest.raises(CorruptRecord):
        load(f"sqlite3://{link}", io.BytesIO(dumped(full_url)[:-100]))
    assert link.is_symlink()
    assert list((tmp_path / "far").iterdir()) == []
    loaded(f"sqlite3://{link}", dumped(full_url))
    assert (tmp_path / "far" / "meta.db").is_file()


@pytest.mark.parametrize("late", [False, True])
def test_of_two_loads_at_once_the_second_is_refused(place: str, full_url: str, late: bool) -> None:
    raw = dumped(full_url)

    def second() -> None:
        with pytest.raises(AlreadyFormatted):
            load(place, io.BytesIO(raw))

    load(place, Interrupted(raw, second, late=late))
    assert dumped(place) == raw


@pytest.mark.parametrize("official", [False, True])
def test_a_volume_made_during_a_load_is_not_removed(
    place: str, full_url: str, official: bool, expected_warnings: list[str]
) -> None:
    """Roost's format refuses when the root is there; the official one stores its settings."""
    expected_warnings.append("holds a volume by now")
    other = new_settings("other", bucket="/b")

    def make() -> None:
        if not official:
            format_volume(place, other)
            return
        url = parse_url(place)
        engine = engine_kind(url).create_engine(url, SystemClock())
        engine.run(lambda txn: txn.do(PutSetting(encode_settings(other))))
        engine.close()

    document = json.loads(dumped(full_url))
    raw = json.dumps(document | {"FSTree": document["FSTree"] | {"entries": {}}})
    with pytest.raises((RoostError, AssertionError)):  # the reference asserts
        load(place, Interrupted(raw.encode(), make, late=True))
    engine = open_engine(place, SystemClock(), read_only=True)
    assert engine.read(lambda reads: reads.setting()) == encode_settings(other)
    engine.close()


@pytest.mark.parametrize("records", ["nodes", "entries", "chunks", "counter"])
def test_leftovers_of_any_kind_are_not_loaded_over(place: str, full_url: str, records: str) -> None:
    url = parse_url(place)
    engine = engine_kind(url).create_engine(url, SystemClock())
    effects = {
        "nodes": AddNode(Ino(7), Attr(Kind.FILE, parent=ROOT)),
        "entries": AddEdge(Ino(7), b"x", Edge(Kind.DIRECTORY, Ino(8))),
        "chunks": AppendSlices(Ino(7), ChunkNo(0), (Slice(0, SliceId(3), 9, 0, 9),)),
        "counter": PutCounter("nextInode", 9),
    }
    engine.run(lambda txn: txn.do(effects[records]))
    engine.close()
    with pytest.raises(AlreadyFormatted):
        load(place, io.BytesIO(dumped(full_url)))


def test_a_failure_at_any_commit_leaves_an_empty_database(
    full_url: str, far: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = dumped(full_url)
    monkeypatch.setattr(filling_module, "EFFECTS_AT_ONCE", 10)
    real = MemoryEngine.run
    failures = 0
    for number in range(100):
        calls = 0

        def run(self: MemoryEngine, rule: object, number: int = number) -> object:
            nonlocal calls
            calls += 1
            if calls > number:
                raise Unavailable("the wire was cut")
            return real(self, rule)  # type: ignore[arg-type]

        monkeypatch.setattr(MemoryEngine, "run", run)
        try:
            load(far, io.BytesIO(raw))
            break
        except Unavailable:
            failures += 1
            assert is_empty(far)
    monkeypatch.undo()
    assert failures > 5
    assert dumped(far) == raw


def test_a_commit_that_fails_while_the_next_is_gathered_fails_the_load(
    full_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = dumped(full_url)
    monkeypatch.setattr(filling_module, "EFFECTS_AT_ONCE", 10)
    real = RedisEngine.run
    in_flight = 0

    def run(self: RedisEngine, rule: Callable[[Txn], object]) -> object:
        nonlocal in_flight
        if threading.current_thread().name.startswith("roost-load"):
            in_flight += 1
            if in_flight == 2:
                raise Unavailable("the wire was cut")
        return real(self, rule)

    monkeypatch.setattr(RedisEngine, "run", run)
    with pytest.raises(Unavailable, match="cut"):
        load(redis_url, io.BytesIO(raw))
    assert in_flight == 2  # nothing was sent after it
    assert is_empty(redis_url)
    assert not [one for one in threading.enumerate() if one.name.startswith("roost-load")]


@pytest.mark.parametrize("comes", ["first", "last"])
def test_an_entry_in_the_wrong_directory_is_damage(tmp_path: Path, comes: str) -> None:
    import sqlite3

    url = f"sqlite3://{tmp_path}/meta.db"
    format_volume(url, new_settings("hurt", bucket="/b"))
    names = (b"z", b"a") if comes == "first" else (b"a", b"z")
    with open_meta(url) as meta:
        ino, folder = meta.create(ROOT, names[0]).ino, meta.mkdir(ROOT, names[1]).ino
    connection = sqlite3.connect(tmp_path / "meta.db")
    row = (folder, b"twin", ino)
    connection.execute("INSERT INTO jfs_edge (parent, name, inode, type) VALUES (?, ?, ?, 1)", row)
    connection.commit()
    connection.close()
    with pytest.raises(CorruptRecord, match="stands twice"):
        dumped(url)
    engine = open_engine(url, SystemClock(), read_only=True)
    report = dump(engine, io.BytesIO(), DumpOptions(skip_damaged=True))
    engine.close()
    assert (report.entries, len(report.damaged), report.moved) == (2, 1, 0)


def test_an_entry_without_its_node_is_damage_unless_it_is_to_be_skipped(tmp_path: Path) -> None:
    import sqlite3

    url = f"sqlite3://{tmp_path}/meta.db"
    format_volume(url, new_settings("hurt", bucket="/b"))
    with open_meta(url) as meta:
        lost = meta.create(ROOT, b"lost").ino
        meta.create(ROOT, b"sound")
    connection = sqlite3.connect(tmp_path / "meta.db")
    connection.execute("DELETE FROM jfs_node WHERE inode = ?", (lost,))
    connection.commit()
    connection.close()
    with pytest.raises(CorruptRecord, match="lost"):
        dumped(url)
    assert list(json.loads(dumped(url, skip_damaged=True))["FSTree"]["entries"]) == ["sound"]


def test_a_dump_counts_the_names_that_a_load_counts(tmp_path: Path) -> None:
    url = f"sqlite3://{tmp_path}/meta.db"
    format_volume(url, new_settings("counted", bucket="/b", trash_days=1))
    with open_meta(url) as meta:
        folder = meta.mkdir(ROOT, b"d").ino
        for name in (b"a", b"b", b"gone"):
            meta.create(folder, name)
        meta.symlink(folder, b"link", b"a")
        meta.unlink(folder, b"gone")
    out = io.BytesIO()
    engine = open_engine(url, SystemClock(), read_only=True)
    report = dump(engine, out)
    engine.close()
    out.seek(0)
    assert report.entries == 6, "d, a, b, link, the hour in the trash, and what lies there"
    assert load(f"sqlite3://{tmp_path}/copy.db", out).entries == report.entries
