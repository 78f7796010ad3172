"""The check finds every kind of damage that is done by hand."""

import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from roost.volume.engines.redis.scans import RedisScans
from roost.volume.engines.sql import scans
from roost.volume.meta.api import Meta, format_volume, open_meta
from roost.volume.meta.judge import Judge
from roost.volume.model import ROOT, ChunkNo, Edge, Ino, QuotaKind, Slice
from roost.volume.settings import new_settings

MEMORY_FOLDER = "/dev/shm" if Path("/dev/shm").is_dir() else None


@pytest.fixture
def path() -> Iterator[Path]:
    """A volume with directory 2, in it file 3 with slice 1, link 4, and file 3's name `h`."""
    with tempfile.TemporaryDirectory(dir=MEMORY_FOLDER) as folder:
        url = f"sqlite3://{folder}/meta.db"
        format_volume(url, new_settings("damaged", bucket="/b", trash_days=0))
        with open_meta(url) as meta:
            fill(meta)
        yield Path(folder) / "meta.db"


def fill(meta: Meta) -> None:
    folder = meta.mkdir(ROOT, b"d").ino
    file = meta.create(folder, b"f").ino
    meta.write_slice(file, ChunkNo(0), Slice(0, meta.new_slice_id(), 10, 0, 10))
    meta.symlink(folder, b"l", b"f")
    meta.link(file, ROOT, b"h")
    assert (folder, file) == (2, 3)
    assert meta.check() == ()


@pytest.mark.parametrize(
    ("damage", "found", "fatal"),
    [
        ("DELETE FROM jfs_node WHERE inode = 3", "does not exist", True),
        ("DELETE FROM jfs_node WHERE inode = 1", "root directory", True),
        ("DELETE FROM jfs_edge WHERE inode = 4", "no name", True),
        ("DELETE FROM jfs_edge WHERE inode = 2", "directory with 0 names", True),
        ("UPDATE jfs_edge SET type = 3 WHERE inode = 3", "another kind", True),
        ("UPDATE jfs_node SET nlink = 5 WHERE inode = 3", "nlink is 5", True),
        ("UPDATE jfs_node SET nlink = 5 WHERE inode = 2", "nlink is 5", True),
        ("UPDATE jfs_node SET parent = 1 WHERE inode = 4", "its parent is 1", True),
        ("UPDATE jfs_node SET parent = 2 WHERE inode = 2", "cannot be reached", True),
        ("DELETE FROM jfs_chunk_ref", "not counted", True),
        ("UPDATE jfs_chunk_ref SET refs = 2", "has 1 references but counts 2", True),
        ("UPDATE jfs_chunk_ref SET size = 11", "another size", True),
        ("DELETE FROM jfs_chunk", "counted but not used", True),
        ("UPDATE jfs_chunk SET inode = 4", "no regular file", True),
        ("UPDATE jfs_chunk SET inode = 77", "of no file", True),
        ("UPDATE jfs_chunk SET slices = slices || slices", "has 2 references", True),
        ("UPDATE jfs_chunk SET slices = x'04' || substr(slices, 2)", "beyond its chunk", True),
        ("UPDATE jfs_counter SET value = 5 WHERE name = 'usedSpace'", "usedSpace is 5", False),
        ("UPDATE jfs_counter SET value = 5 WHERE name = 'totalInodes'", "totalInodes is 5", False),
        ("UPDATE jfs_dir_stats SET used_space = 1 WHERE inode = 2", "drifted", False),
    ],
)
def test_damage_is_found(path: Path, damage: str, found: str, fatal: bool) -> None:
    connection = sqlite3.connect(path)
    connection.execute(damage)
    connection.commit()
    connection.close()
    with open_meta(f"sqlite3://{path}", read_only=True) as meta:
        problems = meta.check()
    assert any(found in problem.what and problem.fatal is fatal for problem in problems), problems


def test_half_a_slice_record_is_damage_not_an_empty_chunk(path: Path) -> None:
    from roost.errors import CorruptRecord

    connection = sqlite3.connect(path)
    connection.execute("UPDATE jfs_chunk SET slices = x'0102'")
    connection.commit()
    connection.close()
    with open_meta(f"sqlite3://{path}", read_only=True) as meta:
        assert any("chunk 0 of inode 3" in problem.what for problem in meta.check())
        with pytest.raises(CorruptRecord):
            meta.read_chunk(meta.resolve("d/f").ino, ChunkNo(0))


NODE_COLUMNS = (
    "mode", "uid", "mtime", "length", "nlink", "parent", "type", "flags",
    "atimensec", "mtimensec", "ctimensec", "rdev", "access_acl_id", "default_acl_id", "tier_id",
)  # fmt: skip
MAY_BE_NULL = ("rdev", "parent", "access_acl_id", "default_acl_id", "tier_id")


@pytest.mark.parametrize("column", NODE_COLUMNS)
@pytest.mark.parametrize("value", ["'text'", "x'01'", "NULL", "3.5"])
def test_a_value_of_another_kind_is_damage(path: Path, column: str, value: str) -> None:
    """SQLite stores what it is given."""
    if value == "NULL" and column in MAY_BE_NULL:
        pytest.skip("as JuiceFS stores it")
    connection = sqlite3.connect(path)
    try:
        connection.execute(f"UPDATE jfs_node SET {column} = {value} WHERE inode = 3")
    except sqlite3.IntegrityError:
        pytest.skip("the column refuses it")
    connection.commit()
    connection.close()
    with open_meta(f"sqlite3://{path}", read_only=True) as meta:
        found = [problem for problem in meta.check() if problem.ino == 3]
    assert any("inode 3" in problem.what and problem.fatal for problem in found), found


@pytest.mark.parametrize(
    "column",
    [
        "jfs_edge.inode",
        "jfs_edge.parent",
        "jfs_chunk.inode",
        "jfs_chunk.indx",
        "jfs_chunk_ref.size",
        "jfs_chunk_ref.refs",
    ],
)
@pytest.mark.parametrize("value", ["3.5", "'text'"])
def test_what_is_no_whole_number_is_damage_in_every_table(
    path: Path, column: str, value: str
) -> None:
    table, _, name = column.partition(".")
    connection = sqlite3.connect(path)
    connection.execute(f"UPDATE {table} SET {name} = {value}")
    connection.commit()
    connection.close()
    with open_meta(f"sqlite3://{path}", read_only=True) as meta:
        found = meta.check()
    assert any(one.fatal and ("None" in one.what or value.strip("'") in one.what) for one in found)


def test_nodes_without_the_numbers_that_may_be_missing_are_sound(path: Path) -> None:
    connection = sqlite3.connect(path)
    for column in MAY_BE_NULL:
        if column != "parent":
            connection.execute(f"UPDATE jfs_node SET {column} = NULL")
    connection.commit()
    connection.close()
    with open_meta(f"sqlite3://{path}", read_only=True) as meta:
        assert meta.check() == ()


def test_quotas_that_cannot_be_compared_end_no_check(path: Path) -> None:
    with open_meta(f"sqlite3://{path}") as meta:
        meta.quota_set(QuotaKind.DIRECTORY, meta.resolve("d").ino, space_bytes_max=1 << 30)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE jfs_node SET type = 9 WHERE inode = 3")
    connection.commit()
    connection.close()
    with open_meta(f"sqlite3://{path}", read_only=True) as meta:
        found = {problem.what for problem in meta.check()}
    assert "inode 3: unknown kind 9" in found
    assert "quotas cannot be compared: inode 3: unknown kind 9" in found


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_everything_is_read_whatever_the_page(
    path: Path, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scans, "ROWS_AT_ONCE", rows)
    with open_meta(f"sqlite3://{path}") as meta:
        file = meta.resolve("d/f").ino
        for chunk in range(1, 4):
            record = Slice(0, meta.new_slice_id(), 10, 0, 10)
            meta.write_slice(file, ChunkNo(chunk), record)
        assert meta.check() == ()
        assert [chunk.chunk_no for chunk in meta.list_slices()] == [0, 1, 2, 3]
        assert len({ref.id for ref in meta.list_slice_refs()}) == 4


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (("HINCRBY", "p3", 2, 1), "directory 2 has 1 of its names, but counts 2"),
        (("HDEL", "p3", 1), "directory 1 has 1 of its names, but counts 0"),
        (("HSET", "p3", 77, 2), "directory 77 has 0 of its names, but counts 2"),
        (("DEL", "p3"), "directory 2 has 1 of its names, but counts 0"),
        (("HSET", "p3", 77, 0), None),  # JuiceFS leaves zeros behind
    ],
)
def test_counts_of_parents_that_redis_stores_are_compared_with_the_entries(
    redis_url: str, damage: tuple[str | int, ...], found: str | None
) -> None:
    format_volume(redis_url, new_settings("damaged", bucket="/b", trash_days=1))
    with open_meta(redis_url) as meta:
        fill(meta)
        for number in range(40):  # sound ones among them, some in the trash
            file = meta.create(ROOT, b"%d" % number).ino
            for name in (b"again", b"more"):
                meta.link(file, Ino(2), b"%s%d" % (name, number))
            if number % 2:
                meta.unlink(Ino(2), b"again%d" % number)
        assert meta.check() == ()
        meta.engine.call([damage])  # type: ignore[attr-defined]
        problems = meta.check()
    assert all(problem.ino == 3 and problem.fatal for problem in problems)
    assert bool(problems) == (found is not None)
    assert found is None or found in [problem.what for problem in problems]


def test_a_name_that_moves_to_and_fro_while_it_is_looked_for_is_no_damage(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both looks miss it, each time in the directory where it just was or just will be."""
    format_volume(redis_url, new_settings("moving", bucket="/b", trash_days=0))
    with open_meta(redis_url) as meta:
        here, there = (meta.mkdir(ROOT, name).ino for name in (b"here", b"there"))
        file = meta.create(here, b"x").ino
        meta.link(file, there, b"y")

        def to() -> None:
            meta.rename(there, b"y", here, b"y")

        def fro() -> None:
            meta.rename(here, b"y", there, b"y")

        waiting = [lambda: None, to, fro]
        real = RedisScans.entries_of

        def moving(scans: RedisScans, ino: Ino) -> Iterator[tuple[bytes, Edge]]:
            if waiting:
                waiting.pop(0)()
            return real(scans, ino)

        monkeypatch.setattr(RedisScans, "entries_of", moving)
        assert Judge(meta.engine).judge(file) == []
        assert not waiting
