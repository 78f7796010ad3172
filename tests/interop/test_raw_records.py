"""Every stored record has the bytes that the official client writes for the same operations.

Two volumes are filled alike, one through the mount and one by Roost, and all keys of Redis or all
rows of SQL are compared.  Times, numbers given out (slices, sessions, lock owners, processes) and
what names the volume are masked; whatever else differs fails.
"""

import fcntl
import json
import os
import re
import sqlite3
import struct
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis

from roost.testing.client_side import ClientSide
from roost.testing.clock import ManualClock
from roost.testing.interop_machine import USER
from roost.testing.interop_parts import acl
from roost.testing.servers import RedisServer
from roost.testing.sides import ACCESS_ACL, DEFAULT_ACL, FALLOC_ZERO_RANGE, PosixSide, Side
from roost.volume.client import VolumeClient
from roost.volume.engines.registry import parse_url
from roost.volume.engines.sql_servers.opening import server_of
from roost.volume.errors import FsError
from roost.volume.meta import clone as cloning
from roost.volume.model import ROOT, AttrChange, Caller, LockKind, QuotaKind, RenameFlag
from roost.volume.tools.compacting import compact_paths

from .conftest import Juicefs, wait_for

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

KIB = 1024
JOBS = re.compile(r"(lastCleanup|nextCleanup)\w+")  # when a job last ran: each client's own affair
Records = dict[str, object]


def fill(side: Side) -> None:
    """Make records of every kind that a path can make."""
    side.mkdir("d", 0o755)
    side.write("d/f", 0, b"a" * 100 * KIB)
    side.write("d/f", 50 * KIB, b"b" * 100)
    side.truncate("d/f", 90 * KIB)
    side.fallocate("d/f", FALLOC_ZERO_RANGE, 10, 500)
    side.link("d/f", "hard")
    side.symlink("d/f", "soft \xff")
    side.chmod("d/f", 0o4751)
    side.chown("hard", 1001, 2002)
    side.setxattr("d/f", "user.x", b"\x00\xff")
    side.setxattr("d/f", ACCESS_ACL, acl([6, 5, 4, 7, 5, 1], True, 1001, 2002))
    side.mkdir("inherits", 0o700)
    side.setxattr("inherits", DEFAULT_ACL, acl([7, 5, 4, 7, 5, 0], True, 1002, 2003))
    side.mkdir("inherits/below", 0o755)
    side.write("inherits/file", 0, b"x")
    side.write("copied", 0, b"")
    side.copy_range("d/f", 5, "copied", 7, 3000)
    side.write("over", 0, b"over")
    side.write("under", 0, b"under")
    side.rename("over", "under", RenameFlag.NONE)
    side.mkdir("gone", 0o755)
    side.rmdir("gone")
    side.unlink("hard")


def masked_attr(value: bytes) -> str:
    """Return an attribute record with its three times masked."""
    return f"{value[:11].hex()} times {value[47:].hex()}"


def masked_slices(value: bytes) -> list[tuple[int, ...]]:
    """Return the records of a chunk; the numbers of slices only tell zeros from data."""
    assert len(value) % 24 == 0
    return [(pos, int(id_ > 0), *rest) for pos, id_, *rest in struct.iter_unpack(">IQIII", value)]


def masked_refs(value: bytes) -> list[int]:
    """Return the sizes of the slices of a delayed removal."""
    assert len(value) % 12 == 0
    return [size for _, size in struct.iter_unpack(">QI", value)]


def masked_locks(value: bytes) -> list[tuple[int, int, int]]:
    """Return the range locks of one owner."""
    assert len(value) % 24 == 0
    return [(kind, start, end) for kind, _, start, end in struct.iter_unpack(">IIQQ", value)]


def masked_session(value: bytes) -> list[tuple[str, str]]:
    """Return what a session says of itself: the names and the kinds of the values."""
    return [(name, type(said).__name__) for name, said in json.loads(value).items()]


def masked_setting(value: bytes) -> object:
    """Return the settings without what names the volume."""
    said = json.loads(value)
    return {name: said[name] for name in said if name not in ("UUID", "Bucket")}


# ---- Redis
def redis_records(raw: "redis.Redis") -> Records:
    """Return everything in the database."""
    found: Records = {}
    for key in sorted(raw.keys("*")):
        name = key.decode()
        if not JOBS.fullmatch(name) and not name.startswith("roost"):
            shown = re.sub(r"^(session|locked)\d+", r"\1SID", name)
            found[shown] = _redis_value(raw, name)
    return found


def _redis_value(raw: "redis.Redis", name: str) -> object:
    read: dict[bytes, Callable[[], object]] = {
        b"string": lambda: raw.get(name),
        b"hash": lambda: raw.hgetall(name),
        b"list": lambda: raw.lrange(name, 0, -1),
        b"set": lambda: sorted(raw.smembers(name)),
        b"zset": lambda: [re.sub(rb"^\d+$", b"N", one) for one in raw.zrange(name, 0, -1)],
    }
    value = read[raw.type(name)]()
    if isinstance(value, bytes):
        if re.fullmatch(r"i\d+", name):
            return masked_attr(value)
        return "N" if name in ("nextsession", "nextinode") else _setting_or(value, name)
    if re.fullmatch(r"c\d+_\d+", name):
        assert isinstance(value, list)
        return [masked_slices(one) for one in value]
    if isinstance(value, dict):
        pairs = [(_redis_field(name, f), _redis_hash_value(name, v)) for f, v in value.items()]
        return sorted(pairs, key=repr)
    return value


def _setting_or(value: bytes, name: str) -> object:
    return masked_setting(value) if name == "setting" else value


def _redis_field(name: str, field: bytes) -> bytes:
    if re.match(r"lock[fp]\d", name):
        assert re.fullmatch(rb"\d+_[0-9A-F]{16}", field), field
        return b"SID_OWNER"
    if name == "sliceRef":
        return re.sub(rb"^k\d+_", b"kN_", field)
    if name == "delSlices":
        return re.sub(rb"^\d+_\d+$", b"N_TIME", field)
    return b"SID" if name == "sessionInfos" else field


def _redis_hash_value(name: str, value: bytes) -> object:
    if name.startswith("lockp"):
        return masked_locks(value)
    if name == "delSlices":
        return masked_refs(value)
    return masked_session(value) if name == "sessionInfos" else value


# ---- SQL
MASKED = {
    "*": {"id"},  # of a row
    "jfs_node": {"atime", "mtime", "ctime", "atimensec", "mtimensec", "ctimensec"},
    "jfs_chunk_ref": {"chunkid"},
    "jfs_delslices": {"chunkid", "deleted"},
    "jfs_session2": {"sid", "expire"},
    "jfs_sustained": {"sid"},
    "jfs_delfile": {"expire"},
    "jfs_flock": {"sid", "owner"},
    "jfs_plock": {"sid", "owner"},
    "jfs_detached_node": {"added"},
}
DECODED: dict[tuple[str, str], Callable[[bytes], object]] = {
    ("jfs_chunk", "slices"): masked_slices,
    ("jfs_delslices", "slices"): masked_refs,
    ("jfs_session2", "info"): masked_session,
    ("jfs_plock", "records"): masked_locks,
    ("jfs_setting", "value"): masked_setting,
}
TABLES = tuple(
    f"jfs_{one}"
    for one in (
        *("setting", "counter", "edge", "node", "symlink", "xattr", "chunk", "chunk_ref"),
        *("delslices", "session2", "sustained", "delfile", "flock", "plock", "dir_quota"),
        *("user_group_quota", "dir_stats", "detached_node", "acl"),
    )
)


def sql_records(
    ask: Callable[[str], list[tuple[object, ...]]], columns: dict[str, list[str]]
) -> Records:
    """Return all rows of all tables, sorted."""
    found: Records = {}
    for table in TABLES:
        hidden = MASKED["*"] | MASKED.get(table, set())
        if table == "jfs_acl":
            hidden = set()  # this number is in the attributes
        rows = [
            tuple(
                _cell(table, column, value)
                for column, value in zip(columns[table], row, strict=True)
                if column not in hidden
            )
            for row in ask(f"SELECT * FROM {table}")
        ]
        found[table] = sorted((row for row in rows if not _is_own_affair(row)), key=repr)
    return found


def _cell(table: str, column: str, value: object) -> object:
    plain = value.encode() if isinstance(value, str) else value
    plain = bytes(plain) if isinstance(plain, bytearray | memoryview) else plain
    decode = DECODED.get((table, column))
    if decode is not None and isinstance(plain, bytes):
        return decode(plain)
    return plain


def _is_own_affair(row: tuple[object, ...]) -> bool:
    name = row[0].decode() if isinstance(row[0], bytes) else ""
    return bool(JOBS.fullmatch(name)) or name == "nextSession"


# What must be among the records, so that it is compared.
KINDS_ON = {
    "redis": (
        *(
            "setting",
            "i1",
            "d1",
            "p4",
            "x4",
            "c4_0",
            "lockf4",
            "lockp4",
            "nextchunk",
            "usedSpace",
            "totalInodes",
        ),
        *("sliceRef", "delSlices", "allSessions", "sessionInfos", "sessionSID", "lockedSID"),
        *("acl", "aclMaxId", "dirDataLength", "dirUsedSpace", "dirUsedInodes", "nextTrash"),
        *(
            f"{whose}Quota{what}"
            for whose in ("dir", "user", "group")
            for what in ("", "UsedSpace", "UsedInodes")
        ),
    ),
    "sql": tuple(one for one in TABLES if one not in ("jfs_delfile", "jfs_detached_node")),
}


# ---- the two volumes
@dataclass
class Pair:
    """Two empty places, and how their records are read."""

    kind: str
    ours: str
    theirs: str
    records: Callable[[str], Records]


def _redis_pair(server: RedisServer) -> Pair:
    def records(url: str) -> Records:
        return redis_records(server.client(int(url.rpartition("/")[2])))

    return Pair("redis", server.new_database(), server.new_database(), records)


def _sqlite_pair(folder: Path) -> Pair:
    def records(url: str) -> Records:
        connection = sqlite3.connect(url.removeprefix("sqlite3://"), timeout=30)
        connection.text_factory = bytes

        def ask(query: str) -> list[tuple[object, ...]]:
            return connection.execute(query).fetchall()

        try:
            columns = {
                table: [
                    _text(row[0]) for row in ask(f"SELECT name FROM pragma_table_info('{table}')")
                ]
                for table in TABLES
            }
            return sql_records(ask, columns)
        finally:
            connection.close()

    return Pair("sql", f"sqlite3://{folder}/ours.db", f"sqlite3://{folder}/theirs.db", records)


def _server_pair(new_database: Callable[[], str]) -> Pair:
    def records(url: str) -> Records:
        connection = server_of(parse_url(url)).connect()

        def ask(query: str) -> list[tuple[object, ...]]:
            return [tuple(row) for row in connection.run([(query, ())])[0]]

        schema = "DATABASE()" if url.startswith("mysql") else "'public'"
        try:
            columns = {
                table: [
                    _text(row[0])
                    for row in ask(
                        "SELECT column_name FROM information_schema.columns"
                        f" WHERE table_schema = {schema} AND table_name = '{table}'"
                        " ORDER BY ordinal_position"
                    )
                ]
                for table in TABLES
            }
            return sql_records(ask, columns)
        finally:
            connection.close()

    return Pair("sql", new_database(), new_database(), records)


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


@pytest.fixture(params=["sqlite", "redis", "mariadb", "postgres"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Pair:
    """Two empty places in one kind of database."""
    if request.param == "sqlite":
        return _sqlite_pair(tmp_path)
    server = request.getfixturevalue(f"{request.param}_server")
    return _redis_pair(server) if request.param == "redis" else _server_pair(server.new_database)


def test_all_records_are_those_of_the_official_client(
    pair: Pair, juicefs: Juicefs, tmp_path: Path, stack: ExitStack
) -> None:
    os.umask(0o022)
    for name, url in (("ours", pair.ours), ("theirs", pair.theirs)):
        juicefs.run(
            "format", "--storage", "file", "--bucket", f"{tmp_path}/{name}/", "--block-size",
            "64K", "--enable-acl", "--trash-days", "1", url, "same",
        )  # fmt: skip
    limits = ("--inodes", "1000", "--capacity", "1")
    juicefs.run("quota", "set", pair.theirs, "--uid", "1001", *limits)
    juicefs.run("quota", "set", pair.theirs, "--gid", "2002", "--inodes", "7")
    client = stack.enter_context(VolumeClient.open(pair.ours, cache_dir=tmp_path / "cache"))
    quota_set = client.meta.quota_set
    quota_set(QuotaKind.USER, 1001, inodes_max=1000, space_bytes_max=1 << 30)
    quota_set(QuotaKind.GROUP, 2002, inodes_max=7)
    client.mkdir("/limited")
    ino = client.node("/limited").ino
    quota_set(QuotaKind.DIRECTORY, ino, inodes_max=1000, space_bytes_max=1 << 30)
    point = stack.enter_context(juicefs.mounted(pair.theirs, "--heartbeat", "1"))
    (point / "limited").mkdir()
    juicefs.run("quota", "set", pair.theirs, "--path", "/limited", *limits)
    wait_for(lambda: os.statvfs(point / "limited").f_files == 1000)
    # The root's statistics are counted when they are first written; a name that comes in between
    # would be counted twice.
    wait_for(lambda: has_statistics_of_the_root(pair.records(pair.theirs)))

    for top in ("", "limited/"):
        fill(ClientSide(client, f"/{top}".rstrip("/") or "/"))
        fill(PosixSide(point / top))

    held_there = stack.enter_context((point / "d/f").open("r+b"))
    fcntl.flock(held_there, fcntl.LOCK_EX)
    for kind, start, length in ((fcntl.LOCK_EX, 10, 10), (fcntl.LOCK_SH, 20, 5)):
        fcntl.lockf(held_there, kind, length, start)
    held_here = stack.enter_context(client.open_file("/d/f", "r+"))
    held_here.flock(LockKind.WRITE)
    held_here.lock_range(LockKind.WRITE, 10, 19)
    held_here.lock_range(LockKind.READ, 20, 24)

    compact_paths(client, ["/d/f"])
    juicefs.run("compact", str(point / "d"))

    # Open while it leaves the trash: sustained by the session.
    client.write("/open", b"x")
    (point / "open").write_bytes(b"x")
    stack.enter_context(client.open_file("/open"))
    stack.enter_context((point / "open").open("rb"))
    client.remove("/open")
    (point / "open").unlink()
    hour = client.listdir("/.trash")[-1]
    (entry,) = [name for name in client.listdir(f"/.trash/{hour}") if name.endswith("-open")]
    client.remove(f"/.trash/{hour}/{entry}")
    (hour_there,) = os.listdir(point / ".trash")
    (point / ".trash" / hour_there / entry).unlink()

    assert not [name for name in KINDS_ON[pair.kind] if not pair.records(pair.theirs).get(name)]

    def look() -> dict[str, tuple[object, object]]:
        return different(pair.records(pair.ours), owning_the_hour(pair.records(pair.theirs)))

    deadline = time.monotonic() + 10  # the mount counts late
    while look() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert look() == {}


def test_the_official_client_removes_what_an_unfinished_clone_left(
    pair: Pair, juicefs: Juicefs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A note of one lasts no longer than the clone: its bytes are shown by the use made of it."""
    juicefs.run("format", "--storage", "file", "--bucket", f"{tmp_path}/o/", pair.ours, "left")
    yesterday = ManualClock(time.time_ns() - 25 * 3_600_000_000_000)
    with VolumeClient.open(pair.ours, cache_dir=tmp_path / "cache", clock=yesterday) as client:
        client.mkdir("/d/closed", parents=True)
        client.write("/d/f", b"x")
        before = client.statfs().used_inodes
        client.setattr("/d/closed", AttrChange(mode=0))
        monkeypatch.setattr(cloning, "discard", lambda _volume, _root: False)  # as if killed
        with pytest.raises(FsError):
            client.meta.clone(client.node("/d").ino, ROOT, b"copy", Caller(USER, USER))
        left = client.statfs().used_inodes - before
    monkeypatch.undo()
    assert left > 0
    noted = pair.records(pair.ours)
    assert noted.get("detachedNodes") == [b"N"] or len(_rows(noted["jfs_detached_node"])) == 1
    juicefs.run("gc", pair.ours, "--delete")
    cleaned = pair.records(pair.ours)
    assert not cleaned.get("detachedNodes")
    assert not cleaned.get("jfs_detached_node")
    with VolumeClient.open(pair.ours, read_only=True, cache_dir=tmp_path / "again") as client:
        assert client.statfs().used_inodes == before
        assert client.meta.check() == ()


def has_statistics_of_the_root(records: Records) -> bool:
    """Return whether the root's statistics are stored."""
    found = records.get("dirUsedInodes", records.get("jfs_dir_stats", []))
    return any(int(row[0]) == ROOT for row in _rows(found))


def owning_the_hour(theirs: Records) -> Records:
    """Add the hour's folder of the trash to what its owner uses.

    juicefs 1.4.2 leaves it out when it makes the folder and finds it missing in `quota check`.
    """
    table = "jfs_user_group_quota"
    found = dict(theirs)
    if table in theirs:
        rows = [[int(str(cell)) for cell in row] for row in _rows(theirs[table])]
        own = [(*row[:4], row[4] + 4096, row[5] + 1) if row[1] == 0 else tuple(row) for row in rows]
        found[table] = sorted(own, key=repr)
        return found
    for whose in ("user", "group"):
        for what, more in (("Space", 4096), ("Inodes", 1)):
            name = f"{whose}QuotaUsed{what}"
            found[name] = [
                (key, b"%d" % (int(value) + more) if key == b"0" else value)
                for key, value in _rows(theirs[name])
            ]
    return found


def _rows(value: object) -> list[tuple[Any, ...]]:
    assert isinstance(value, list)
    return value


def different(ours: Records, theirs: Records) -> dict[str, tuple[object, object]]:
    """Return what differs: key or table → ours, theirs."""
    found = {}
    for name in ours.keys() | theirs.keys():
        one, other = ours.get(name), theirs.get(name)
        if one != other and isinstance(one, list) and isinstance(other, list):
            one, other = [x for x in one if x not in other], [x for x in other if x not in one]
        if one != other:
            found[name] = (one, other)
    return found
