"""All that a database stores for a volume, comparable between two volumes that were filled alike.

Times, numbers given out (slices, sessions, lock owners, processes) and what names the volume are
masked; whatever else differs is a difference.
"""

import json
import re
import sqlite3
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from roost.testing.servers import RedisServer
from roost.volume.engines.registry import parse_url
from roost.volume.engines.sql_servers.opening import server_of
from roost.volume.model import ROOT

JOBS = re.compile(r"(lastCleanup|nextCleanup)\w+")  # when a job last ran: each client's own affair
Records = dict[str, object]


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


def redis_pair(server: RedisServer) -> Pair:
    """Return two empty databases of a server."""

    def records(url: str) -> Records:
        return redis_records(server.client(int(url.rpartition("/")[2])))

    return Pair("redis", server.new_database(), server.new_database(), records)


def sqlite_pair(folder: Path) -> Pair:
    """Return two files that are not there yet."""

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


def server_pair(new_database: Callable[[], str]) -> Pair:
    """Return two empty databases of a server."""

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


# ---- comparing
def has_statistics_of_the_root(records: Records) -> bool:
    """Return whether the root's statistics are stored."""
    found = records.get("dirUsedInodes", records.get("jfs_dir_stats", []))
    return any(int(row[0]) == ROOT for row in rows_of(found))


def owning_the_hour(theirs: Records) -> Records:
    """Add the hour's folder of the trash to what its owner uses.

    juicefs 1.4.2 leaves it out when it makes the folder and finds it missing in `quota check`.
    """
    table = "jfs_user_group_quota"
    found = dict(theirs)
    if table in theirs:
        rows = [[int(str(cell)) for cell in row] for row in rows_of(theirs[table])]
        own = [(*row[:4], row[4] + 4096, row[5] + 1) if row[1] == 0 else tuple(row) for row in rows]
        found[table] = sorted(own, key=repr)
        return found
    for whose in ("user", "group"):
        for what, more in (("Space", 4096), ("Inodes", 1)):
            name = f"{whose}QuotaUsed{what}"
            found[name] = [
                (key, b"%d" % (int(value) + more) if key == b"0" else value)
                for key, value in rows_of(theirs[name])
            ]
    return found


def rows_of(value: object) -> list[tuple[Any, ...]]:
    """Return the value of a hash or a table."""
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
