"""Records that do not parse: each is named, the rest is checked, and nothing is removed on them."""

import io
import os
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from roost.errors import CorruptRecord
from roost.testing.clock import ManualClock
from roost.testing.volumes import TestVolume, make_test_volume
from roost.volume.check import CheckReport, paths_of
from roost.volume.codec import encode_slices
from roost.volume.engines.registry import parse_url
from roost.volume.engines.sql.dialect import Value
from roost.volume.engines.sql_servers.opening import server_of
from roost.volume.meta.listing import readable_entries
from roost.volume.model import ROOT, ChunkNo, DirEntry, Ino, Problem
from roost.volume.tools import gc
from roost.volume.tools.dump import DumpOptions, dump
from roost.volume.tools.gc import GcOptions, collect_garbage

ENGINES = {"redis": "redis_url", "sqlite3": "", "mysql": "mysql_url", "postgres": "pg_url"}
PATHS = ("/d", "/d/a", "/d/b", "/c")


def much_later() -> ManualClock:
    """Return a clock two hours ahead."""
    return ManualClock(time.time_ns() + 7_200_000_000_000)


class House:
    """A volume on one engine, and a way to damage it: a Redis command, or an SQL statement."""

    def __init__(self, volume: TestVolume) -> None:
        self.volume = volume
        self.url = volume.meta_url
        client = volume.open()
        client.mkdir("/d")
        for path in PATHS[1:]:
            client.write(path, os.urandom(10))
            client.append(path, os.urandom(10))
        self.inos = {path: client.node(path).ino for path in PATHS}
        self.slices = {
            path: [one.id for one in client.meta.read_chunk(self.inos[path], ChunkNo(0))]
            for path in PATHS[1:]
        }
        client.close()

    def damage(self, command: tuple[object, ...], statement: tuple[Value, ...] = ()) -> None:
        text, values = str(statement[:1] and statement[0]), statement[1:]
        if self.url.startswith("redis"):
            with redis.Redis.from_url(self.url) as raw:
                raw.execute_command(*command)
        elif self.url.startswith("sqlite3"):
            with sqlite3.connect(self.url.removeprefix("sqlite3://")) as connection:
                connection.execute(text, values)
            connection.close()
        else:
            opened = server_of(parse_url(self.url)).connect()
            opened.run([(text, values)])
            opened.close()

    def damage_chunk(self, path: str) -> None:
        """Put bytes that are no record behind those of the file's data."""
        ino = self.inos[path]
        client = self.volume.open(read_only=True)
        sound = encode_slices(client.meta.read_chunk(ino, ChunkNo(0)))
        client.close()
        update = "UPDATE jfs_chunk SET slices = ? WHERE inode = ?"
        self.damage(("RPUSH", f"c{ino}_0", "short"), (update, sound + b"short", ino))

    def damage_node(self, path: str) -> None:
        ino = self.inos[path]
        update = "UPDATE jfs_node SET type = 9 WHERE inode = ?"
        self.damage(("SET", f"i{ino}", "short"), (update, ino))

    def damage_entry(self, path: str) -> None:
        parent, _, name = path.rpartition("/")
        folder = self.inos.get(parent, ROOT)
        update = "UPDATE jfs_edge SET type = 9 WHERE inode = ?"
        self.damage(("HSET", f"d{folder}", name, "xxx"), (update, self.inos[path]))

    def count(self, slice_id: int, refs: int) -> None:
        """Store how many references a slice has, where there is no such number yet, too."""
        insert = (
            "INSERT INTO jfs_chunk_ref (chunkid, size, refs) VALUES (?, 10, ?)"
            " ON CONFLICT (chunkid) DO UPDATE SET refs = excluded.refs"
        )
        self.damage(("HSET", "sliceRef", f"k{slice_id}_10", refs - 1), (insert, slice_id, refs))

    def lose_object(self, path: str, number: int = 0) -> str:
        """Delete the object of a file's slice; return its name."""
        name = f"{self.slices[path][number]}_0_10"
        self.volume.store.delete(next(k for k in self.volume.objects() if k.endswith(f"/{name}")))
        return name

    def check(self) -> CheckReport:
        return self.volume.check(read_blocks=False)

    def paths(self, report: CheckReport) -> dict[Ino, str]:
        inos = frozenset(problem.ino for problem in report.metadata if problem.fatal)
        return paths_of(self.volume.open(read_only=True), inos, report.named_in)


@pytest.fixture(params=ENGINES)
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    """Directory d with the files a and b, and file c beside it; each file is of two slices."""
    fixture = ENGINES[request.param]
    volume = make_test_volume(tmp_path, meta_url=fixture and request.getfixturevalue(fixture))
    yield House(volume)
    for client in volume.clients:
        client.close()


def named(report: CheckReport) -> set[str]:
    """Return the objects that are damaged."""
    return {one.key.rpartition("/")[2] for one in report.damaged}


def fatal(report: CheckReport, ino: Ino) -> list[str]:
    """Return what is wrong with an inode."""
    return [one.what for one in report.metadata if one.ino == ino and one.fatal]


def test_a_chunk_that_does_not_parse_hides_no_missing_object(house: House) -> None:
    house.damage_chunk("/d/a")
    lost = {house.lose_object("/d/a"), house.lose_object("/d/b"), house.lose_object("/c", 1)}
    report = house.check()
    ino = house.inos["/d/a"]
    assert [f"chunk 0 of inode {ino}" in what for what in fatal(report, ino)] == [True]
    assert named(report) == lost
    assert house.paths(report)[ino] == "/d/a"
    assert report.unread_count == 1
    assert not report.is_clean


@pytest.mark.parametrize("path", ["/d/a", "/d"])
def test_a_node_that_does_not_parse_is_named_with_its_path(house: House, path: str) -> None:
    house.damage_node(path)
    lost = {house.lose_object("/d/b"), house.lose_object("/d/a")}
    report = house.check()
    ino = house.inos[path]
    assert [f"inode {ino}" in what for what in fatal(report, ino)] == [True]
    assert [one for one in report.metadata if one.ino != ino] == [], "nothing else is wrong"
    assert named(report) == lost
    assert house.paths(report)[ino] == path


def test_an_entry_that_does_not_parse_is_named(house: House) -> None:
    house.damage_entry("/d/a")
    lost = house.lose_object("/d/b")
    report = house.check()
    (what,) = fatal(report, house.inos["/d"])
    assert f"'a' of directory {house.inos['/d']}" in what
    assert house.paths(report)[house.inos["/d"]] == "/d"
    assert named(report) == {lost}
    nameless = fatal(report, house.inos["/d/a"])
    assert all("name" in one for one in nameless), "the node is there, but by no name"


def test_many_damaged_records_are_all_named(house: House) -> None:
    house.damage_chunk("/d/a")
    house.damage_node("/d/b")
    house.damage_entry("/c")
    report = house.check()
    assert report.unread_count == 3
    assert fatal(report, house.inos["/d/a"])
    assert fatal(report, house.inos["/d/b"])
    assert fatal(report, ROOT)


@pytest.mark.parametrize("what", ["chunk", "node"])
@pytest.mark.parametrize("compact", [False, True])
def test_nothing_is_removed_while_a_record_does_not_parse(
    house: House, what: str, compact: bool
) -> None:
    client = house.volume.open()
    client.meta.unlink(ROOT, b"c")  # its data waits to be removed
    house.volume.store.put("chunks/0/0/999_0_5", b"stray")
    house.damage_chunk("/d/a") if what == "chunk" else house.damage_node("/d/a")
    before = house.volume.objects()
    with pytest.raises(CorruptRecord, match=str(house.inos["/d/a"])) as raised:
        collect_garbage(client, GcOptions(compact=compact, delete=True), clock=much_later())
    assert "roost fsck" in raised.value.hint
    assert house.volume.objects() == before


@pytest.mark.parametrize("field", ["pos", "offset", "length"])
def test_nothing_is_removed_while_a_record_reaches_beyond_its_slice(
    house: House, field: str
) -> None:
    client = house.volume.open()
    house.volume.store.put("chunks/0/0/999_0_5", b"stray")
    ino = house.inos["/d/a"]
    first, *rest = client.meta.read_chunk(ino, ChunkNo(0))
    far = encode_slices([replace(first, **{field: 1 << 31}), *rest])
    update = "UPDATE jfs_chunk SET slices = ? WHERE inode = ?"
    house.damage(("LSET", f"c{ino}_0", 0, far[:24]), (update, far, ino))
    before = house.volume.objects()
    with pytest.raises(CorruptRecord, match=f"inode {ino}: a record reaches beyond") as raised:
        collect_garbage(client, GcOptions(delete=True), clock=much_later())
    assert "roost fsck" in raised.value.hint
    assert house.volume.objects() == before


@pytest.mark.parametrize("refs", [-4, 0])
def test_a_slice_that_a_chunk_shows_is_kept_whatever_its_count(house: House, refs: int) -> None:
    client = house.volume.open()
    slice_id = house.slices["/c"][0]
    house.count(slice_id, refs)
    before, content = house.volume.objects(), client.read("/c")
    report = collect_garbage(client, GcOptions(delete=True), clock=much_later())
    assert (report.miscounted, report.slices_removed) == (1, 0)
    assert house.volume.objects() == before
    assert client.read("/c") == content


def test_a_slice_is_kept_for_its_other_file_where_both_count_as_one(house: House) -> None:
    client = house.volume.open()
    client.clone("/c", "/copy")
    house.count(house.slices["/c"][0], 1)
    client.meta.unlink(ROOT, b"copy")
    content = client.read("/c")
    report = collect_garbage(client, GcOptions(delete=True), clock=much_later())
    assert report.miscounted == 1
    assert client.read("/c") == content
    again = collect_garbage(client, GcOptions(delete=True), clock=much_later())
    assert (again.miscounted, again.slices_removed) == (1, 0)
    assert client.read("/c") == content


def test_what_is_not_shown_is_removed_beside_many_that_count_too_little(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gc, "_AT_ONCE", 1)
    client = house.volume.open()
    for path in PATHS[1:]:
        for slice_id in house.slices[path]:
            house.count(slice_id, -1)
    house.count(900, 0)
    house.count(901, 0)
    report = collect_garbage(client, GcOptions(delete=True), clock=much_later())
    assert (report.miscounted, report.slices_removed) == (6, 2)
    assert len(house.volume.objects()) == 6


@pytest.mark.parametrize("what", ["a chunk", "a node", "a record that reaches too far"])
def test_a_compaction_alone_goes_on_with_the_other_files(house: House, what: str) -> None:
    client = house.volume.open()
    contents = {path: client.read(path) for path in PATHS[1:]}
    ino = house.inos["/d/a"]
    if what == "a chunk":
        house.damage_chunk("/d/a")
    elif what == "a node":
        house.damage_node("/d/a")
    else:
        first, second = client.meta.read_chunk(ino, ChunkNo(0))
        far = encode_slices([replace(first, offset=1 << 31), second])
        update = "UPDATE jfs_chunk SET slices = ? WHERE inode = ?"
        house.damage(("LSET", f"c{ino}_0", 0, far[:24]), (update, far, ino))
    before = set(house.volume.objects())
    report = collect_garbage(client, GcOptions(compact=True), clock=much_later())
    done = report.compaction
    assert done is not None
    assert str(ino) in report.damage
    if what != "a node":  # whose chunk is sound
        assert (done.merged, done.failed, done.damaged) == (2, 1, True)
        assert str(ino) in done.failures[0]
        kept = {key for key in before for one in house.slices["/d/a"] if f"/{one}_" in key}
        assert len(kept & set(house.volume.objects())) == 2
    assert client.read("/d/b") == contents["/d/b"]
    assert client.read("/c") == contents["/c"]


@pytest.mark.parametrize("is_damaged", [False, True])
def test_a_compaction_leaves_slices_that_count_too_little(house: House, is_damaged: bool) -> None:
    client = house.volume.open()
    client.clone("/c", "/copy")
    house.count(house.slices["/c"][0], 1)
    if is_damaged:
        house.damage_chunk("/d/a")
    content = client.read("/c")
    report = collect_garbage(client, GcOptions(compact=True), clock=much_later())
    done = report.compaction
    assert done is not None
    assert (done.merged, done.failed) == (2 - is_damaged, 2 + is_damaged)
    assert any(f"slice {house.slices['/c'][0]} counts fewer" in one for one in done.failures)
    client.core.cache.forget()
    assert client.read("/c") == client.read("/copy") == content


def test_a_listing_has_the_rest_and_names_the_bad(house: House) -> None:
    house.damage_entry("/d/a")
    house.damage_node("/d/b")
    client = house.volume.open()
    client.write("/d/e", b"sound")
    rows = list(readable_entries(client.meta.engine, house.inos["/d"]))
    assert [row.name for row in rows if isinstance(row, DirEntry)] == [b"e"]
    (first, second) = sorted(row.what for row in rows if isinstance(row, Problem))
    assert first.startswith("entry 'a' of directory")
    assert second.startswith("entry 'b'")
    assert f"inode {house.inos['/d/b']}" in second


@pytest.mark.parametrize("what", ["chunk", "node", "entry"])
def test_a_dump_says_where_the_damage_is_and_can_leave_it_out(house: House, what: str) -> None:
    getattr(house, f"damage_{what}")("/d/a")
    place = "/d: entry 'a'" if what == "entry" else "/d/a: "
    engine = house.volume.open(read_only=True).meta.engine
    with pytest.raises(CorruptRecord, match=place) as raised:
        dump(engine, io.BytesIO())
    assert "--skip-damaged" in raised.value.hint
    out = io.BytesIO()
    report = dump(engine, out, DumpOptions(skip_damaged=True))
    assert [line.startswith(place) for line in report.damaged] == [True]
    assert b'"b": {' in out.getvalue()
    assert b'"a": {' not in out.getvalue()


@pytest.fixture
def redis_house(redis_url: str, tmp_path: Path) -> Iterator[House]:
    """The same on Redis."""
    volume = make_test_volume(tmp_path, meta_url=redis_url)
    yield House(volume)
    for client in volume.clients:
        client.close()


def test_a_record_in_the_middle_of_a_chunk_spoils_none_behind_it(redis_house: House) -> None:
    house, ino = redis_house, redis_house.inos["/d/a"]
    house.damage(("LSET", f"c{ino}_0", 0, "short"))
    lost = house.lose_object("/d/a", 1)
    report = house.check()
    assert named(report) == {lost}
    assert f"chunk 0 of inode {ino}" in fatal(report, ino)[0]


@pytest.mark.parametrize("key", ["i{a}", "c{a}_0", "d{d}"])
def test_a_key_of_another_kind_is_named_and_stops_a_removal(redis_house: House, key: str) -> None:
    house = redis_house
    name = key.format(a=house.inos["/d/a"], d=house.inos["/d"])
    house.damage(("DEL", name))
    house.damage(("ZADD", name, 1, "x"))
    lost = {house.lose_object("/d/b"), house.lose_object("/c")}
    report = house.check()
    assert named(report) == lost
    assert any("another kind" in one.what for one in report.metadata), report.metadata
    if key[0] != "d":  # entries refer to no data
        client = house.volume.open()
        with pytest.raises(CorruptRecord, match=str(house.inos["/d/a"])):
            collect_garbage(client, GcOptions(delete=True))


@pytest.mark.parametrize(
    ("command", "found"),
    [
        (("HSET", "dirUsedSpace", "1", "many"), "not a number"),
        (("HSET", "sliceRef", "odd", "1"), "not a number"),
        (("HSET", "delSlices", "5_5", "short"), "no whole number of records"),
        (("SET", "usedSpace", "much"), "counter usedSpace"),
        (("SET", "sliceRef", "x"), "sliceRef: "),
        (("SET", "delSlices", "x"), "delSlices: "),
        (("SET", "dirUsedSpace", "x"), "dirUsedSpace: "),
        (("SET", "p77", "x"), "parents of inode 77"),
        (("ZADD", "detachedNodes", "1", "odd"), "detachedNodes"),
        (("HSET", "p77", "1", "odd"), "parents of inode 77"),
    ],
)
def test_small_tables_that_do_not_parse_are_named(
    redis_house: House, command: tuple[str, ...], found: str
) -> None:
    redis_house.damage(command)
    lost = redis_house.lose_object("/d/b")
    report = redis_house.check()
    assert named(report) == {lost}
    assert any(found in one.what for one in report.metadata), report.metadata


@pytest.mark.parametrize(
    ("table", "field"),
    [
        ("delfiles", "x:y"),
        ("delfiles", "5"),
        ("delSlices", "x_5"),
        ("delSlices", "5_x"),
        ("delSlices", "5"),
    ],
)
def test_what_waits_under_a_name_that_does_not_parse_is_named(
    redis_house: House, table: str, field: str
) -> None:
    value = ("1", field) if table == "delfiles" else (field, b"\0" * 12)
    redis_house.damage(("ZADD" if table == "delfiles" else "HSET", table, *value))
    assert not redis_house.check().is_clean
    with pytest.raises(CorruptRecord):
        collect_garbage(redis_house.volume.open(), GcOptions(delete=True))


@pytest.mark.parametrize("number", ["0x", "x0", "00", "", "0_0", "-1", " 0", "\u0660"])
def test_the_key_of_a_chunk_that_does_not_parse_is_named_and_stops_a_removal(
    redis_house: House, number: str
) -> None:
    ino = redis_house.inos["/d/a"]
    redis_house.damage(("RENAME", f"c{ino}_0", f"c{ino}_{number}"))
    assert any(f"c{ino}_{number}: " in one.what for one in redis_house.check().metadata)
    before = redis_house.volume.objects()
    with pytest.raises(CorruptRecord, match=f"c{ino}_"):
        collect_garbage(redis_house.volume.open(), GcOptions(delete=True), clock=much_later())
    assert redis_house.volume.objects() == before


FAR = 1 << 63
FAR_NUMBERS: dict[str, tuple[object, ...]] = {
    f"i{FAR}": ("SET", f"i{FAR}", "short"),
    f"c{FAR}_0": ("RPUSH", f"c{FAR}_0", b"\0" * 24),
    f"c5_{FAR}": ("RPUSH", f"c5_{FAR}", b"\0" * 24),
    f"c5_{1 << 32}": ("RPUSH", f"c5_{1 << 32}", b"\0" * 24),
    f"d{FAR}": ("HSET", f"d{FAR}", "name", b"\1" + b"\0" * 7 + b"\5"),
    f"p{FAR}": ("HSET", f"p{FAR}", "1", "1"),
    f"session{FAR}": ("SADD", f"session{FAR}", "5"),
    "i" + "9" * 5000: ("SET", "i" + "9" * 5000, "short"),
    "dirUsedSpace": ("HSET", "dirUsedSpace", FAR, "1"),
    "sliceRef": ("HSET", "sliceRef", f"k{FAR}_5", "1"),
    "sliceRef: count": ("HSET", "sliceRef", "k900_5", FAR - 1),
    "sliceRef: size": ("HSET", "sliceRef", f"k900_{FAR}", "1"),
    "a record": ("HSET", "delSlices", "900_5", FAR.to_bytes(8, "big") + b"\0\0\0\5"),
    "entry 'far' of directory 1": ("HSET", "d1", "far", b"\1" + FAR.to_bytes(8, "big")),
}
NO_DATA = ("dirUsedSpace", "entry 'far' of directory 1", f"d{FAR}", f"p{FAR}", f"session{FAR}")


@pytest.mark.parametrize("place", FAR_NUMBERS)
def test_a_number_that_no_column_holds_is_named_and_stops_a_removal(
    redis_house: House, place: str
) -> None:
    redis_house.damage(FAR_NUMBERS[place])
    lost = redis_house.lose_object("/c")
    report = redis_house.check()
    where = place.partition(": ")[0]
    assert [one.what for one in report.metadata if one.what.startswith(f"{where}: ")]
    assert named(report) == {lost}
    client = redis_house.volume.open()
    if place in NO_DATA:
        collect_garbage(client)
        return
    with pytest.raises(CorruptRecord, match=where) as raised:
        collect_garbage(client, GcOptions(delete=True))
    assert "roost fsck" in raised.value.hint


@pytest.mark.parametrize("file", [f"{FAR}:5", f"5:{FAR}"])
def test_a_deleted_file_that_no_column_holds_stops_a_removal(redis_house: House, file: str) -> None:
    redis_house.damage(("ZADD", "delfiles", 1, file))
    redis_house.check()
    with pytest.raises(CorruptRecord, match="delfiles: beyond 63 bits"):
        collect_garbage(redis_house.volume.open(), GcOptions(delete=True))
