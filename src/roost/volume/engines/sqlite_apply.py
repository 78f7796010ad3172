"""How the effects of a transaction change JuiceFS's tables in SQLite."""

import sqlite3
from collections.abc import Iterable

from roost.errors import CorruptRecord
from roost.volume.codec import encode_slices, split_micros
from roost.volume.engines.sqlite_reads import SqliteReads
from roost.volume.meta import effects as fx
from roost.volume.model import Attr, DirUsage, Ino

_ADD_NODE = (
    "INSERT INTO jfs_node (inode, type, flags, mode, uid, gid, atime, mtime, ctime, atimensec,"
    " mtimensec, ctimensec, nlink, length, rdev, parent, access_acl_id, default_acl_id, tier_id)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_CHANGE_NODE = (
    "UPDATE jfs_node SET type = ?, flags = ?, mode = ?, uid = ?, gid = ?, atime = ?, mtime = ?,"
    " ctime = ?, atimensec = ?, mtimensec = ?, ctimensec = ?, nlink = ?, length = ?, rdev = ?,"
    " parent = ?, access_acl_id = ?, default_acl_id = ?, tier_id = ? WHERE inode = ?"
)
# Appending to a BLOB gives TEXT in SQLite; the cast keeps the column a BLOB.
_APPEND = (
    "INSERT INTO jfs_chunk (inode, indx, slices) VALUES (?, ?, ?) ON CONFLICT (inode, indx)"
    " DO UPDATE SET slices = CAST(slices || excluded.slices AS BLOB)"
)
_KNOW_SLICE = (
    "INSERT INTO jfs_chunk_ref (chunkid, size, refs) VALUES (?, ?, ?) ON CONFLICT (chunkid)"
    " DO UPDATE SET refs = refs + excluded.refs"
)
_ADD_COUNTER = (
    "INSERT INTO jfs_counter (name, value) VALUES (?, ?) ON CONFLICT (name)"
    " DO UPDATE SET value = value + excluded.value"
)
_PUT_COUNTER = (
    "INSERT INTO jfs_counter (name, value) VALUES (?, ?) ON CONFLICT (name)"
    " DO UPDATE SET value = excluded.value"
)
_PUT_XATTR = (
    "INSERT INTO jfs_xattr (inode, name, value) VALUES (?, CAST(? AS TEXT), ?)"
    " ON CONFLICT (inode, name) DO UPDATE SET value = excluded.value"
)
_USE_DIRECTORY = (
    "UPDATE jfs_dir_stats SET data_length = data_length + ?, used_space = used_space + ?,"
    " used_inodes = used_inodes + ? WHERE inode = ?"
)
_COMPUTE_USAGE = (
    "INSERT OR REPLACE INTO jfs_dir_stats (inode, data_length, used_space, used_inodes) SELECT ?,"
    " COALESCE(SUM(CASE WHEN n.type = 1 THEN n.length ELSE 0 END), 0),"
    " COALESCE(SUM(CASE WHEN n.type = 1 AND n.length > 0"
    " THEN ((n.length - 1) / 4096 + 1) * 4096 ELSE 4096 END), 0), COUNT(*)"
    " FROM jfs_edge e JOIN jfs_node n ON n.inode = e.inode WHERE e.parent = ?"
)


def apply_all(
    connection: sqlite3.Connection, reads: SqliteReads, effects: Iterable[fx.Effect]
) -> None:
    """Apply the effects of a commit, inside the caller's transaction."""
    others, usage = fx.split_usage(effects)
    for effect in others:
        _apply(connection, reads, effect)
    for ino, by in usage.items():
        row = connection.execute(_USE_DIRECTORY, (by.length, by.space_bytes, by.inodes, ino))
        if row.rowcount == 0:
            connection.execute(_COMPUTE_USAGE, (ino, ino))


def _apply(connection: sqlite3.Connection, reads: SqliteReads, effect: fx.Effect) -> None:
    run = connection.execute
    match effect:
        case fx.AddNode(ino, attr):
            run(_ADD_NODE, (ino, *_columns(attr)))
            reads.remember(ino, attr)
        case fx.ChangeNode(ino, change):
            _change_node(connection, reads, ino, change)
        case fx.DropNode(ino):
            run("DELETE FROM jfs_node WHERE inode = ?", (ino,))
            run("DELETE FROM jfs_symlink WHERE inode = ?", (ino,))
            run("DELETE FROM jfs_xattr WHERE inode = ?", (ino,))
            reads.remember(ino, None)
        case fx.AddEdge(parent, name, edge):
            run(
                "INSERT INTO jfs_edge (parent, name, inode, type) VALUES (?, ?, ?, ?)",
                (parent, name, edge.ino, int(edge.kind)),
            )
        case fx.DropEdge(parent, name):
            run("DELETE FROM jfs_edge WHERE parent = ? AND name = ?", (parent, name))
        case fx.PutSymlink(ino, target):
            run("INSERT INTO jfs_symlink (inode, target) VALUES (?, ?)", (ino, target))
        case fx.PutXattr(ino, name, None):
            run("DELETE FROM jfs_xattr WHERE inode = ? AND name = CAST(? AS TEXT)", (ino, name))
        case fx.PutXattr(ino, name, value):
            run(_PUT_XATTR, (ino, name, value))
        case fx.DropXattrs(ino):
            run("DELETE FROM jfs_xattr WHERE inode = ?", (ino,))
        case fx.PutDirUsage(ino, usage):
            _put_dir_usage(connection, ino, usage)
        case _:
            _apply_to_data(connection, effect)


def _apply_to_data(connection: sqlite3.Connection, effect: fx.Effect) -> None:
    run = connection.execute
    match effect:
        case fx.AppendSlices(ino, chunk_no, records):
            run(_APPEND, (ino, chunk_no, encode_slices(records)))
        case fx.DropChunk(ino, chunk_no):
            run("DELETE FROM jfs_chunk WHERE inode = ? AND indx = ?", (ino, chunk_no))
        case fx.AddSliceRefs(slice_id, by, size, is_new=True):
            run(_KNOW_SLICE, (slice_id, size, by))
        case fx.AddSliceRefs(slice_id, by):
            run("UPDATE jfs_chunk_ref SET refs = refs + ? WHERE chunkid = ?", (by, slice_id))
        case fx.DropSliceRef(slice_id):
            run("DELETE FROM jfs_chunk_ref WHERE chunkid = ? AND refs <= 0", (slice_id,))
        case fx.AddCounter(name, by):
            run(_ADD_COUNTER, (name, by))
        case fx.PutCounter(name, value):
            run(_PUT_COUNTER, (name, value))
        case fx.DropDelayed(chunk_id):
            run("DELETE FROM jfs_delslices WHERE chunkid = ?", (chunk_id,))
        case fx.PutDeletedFile(file):
            run(
                "INSERT OR REPLACE INTO jfs_delfile (inode, length, expire) VALUES (?, ?, ?)",
                (file.ino, file.length, file.deleted_s),
            )
        case fx.DropDeletedFile(ino):
            run("DELETE FROM jfs_delfile WHERE inode = ?", (ino,))
        case _:
            _apply_to_sessions(connection, effect)


def _apply_to_sessions(connection: sqlite3.Connection, effect: fx.Effect) -> None:
    run = connection.execute
    match effect:
        case fx.PutSession(session):
            run(
                "INSERT OR REPLACE INTO jfs_session2 (sid, expire, info) VALUES (?, ?, ?)",
                (session.sid, session.expire_s, session.info),
            )
        case fx.DropSession(sid):
            for table in ("jfs_flock", "jfs_plock", "jfs_session2"):
                run(f"DELETE FROM {table} WHERE sid = ?", (sid,))
        case fx.PutSustained(sid, ino):
            run("INSERT OR IGNORE INTO jfs_sustained (sid, inode) VALUES (?, ?)", (sid, ino))
        case fx.DropSustained(sid, ino):
            run("DELETE FROM jfs_sustained WHERE sid = ? AND inode = ?", (sid, ino))
        case _:
            assert isinstance(effect, fx.PutSetting), effect
            run(
                "INSERT OR REPLACE INTO jfs_setting (name, value) VALUES ('format', ?)",
                (effect.text,),
            )


def _columns(attr: Attr) -> tuple[int, ...]:
    """Return the columns of jfs_node after `inode`, in order."""
    atime, atime_rest = split_micros(attr.atime_ns)
    mtime, mtime_rest = split_micros(attr.mtime_ns)
    ctime, ctime_rest = split_micros(attr.ctime_ns)
    return (
        int(attr.kind), int(attr.flags), attr.mode, attr.uid, attr.gid, atime, mtime, ctime,
        atime_rest, mtime_rest, ctime_rest, attr.nlink, attr.length, attr.rdev, attr.parent,
        attr.access_acl, attr.default_acl, attr.tier,
    )  # fmt: skip


def _change_node(
    connection: sqlite3.Connection, reads: SqliteReads, ino: Ino, change: fx.NodeChange
) -> None:
    before = reads.node(ino)
    if before is None:
        raise CorruptRecord(f"inode {ino}", "it is named but does not exist")
    after = fx.merged(before, change)
    connection.execute(_CHANGE_NODE, (*_columns(after), ino))
    reads.remember(ino, after)


def _put_dir_usage(connection: sqlite3.Connection, ino: Ino, usage: DirUsage | None) -> None:
    if usage is None:
        connection.execute("DELETE FROM jfs_dir_stats WHERE inode = ?", (ino,))
        connection.execute("DELETE FROM jfs_dir_quota WHERE inode = ?", (ino,))
        return
    connection.execute(
        "INSERT OR REPLACE INTO jfs_dir_stats (inode, data_length, used_space, used_inodes)"
        " VALUES (?, ?, ?, ?)",
        (ino, usage.length, usage.space_bytes, usage.inodes),
    )
