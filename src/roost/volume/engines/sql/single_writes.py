"""Effects that are one statement or two, each by itself; the others are in `writes`."""

from roost.volume.codec import SLICE_BYTES, encode_delayed, encode_slices
from roost.volume.engines.sql import rows as codec
from roost.volume.engines.sql.dialect import Dialect, Statement, Value
from roost.volume.engines.sql.queries import ACL_COLUMNS, QUOTA_COLUMNS
from roost.volume.meta import effects as fx
from roost.volume.model import QuotaKind

_PUT_DIR_QUOTA = (
    f"INSERT INTO jfs_dir_quota (inode, {QUOTA_COLUMNS}) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (inode) DO UPDATE SET max_space = excluded.max_space,"
    " max_inodes = excluded.max_inodes, used_space = excluded.used_space,"
    " used_inodes = excluded.used_inodes"
)
_PUT_OWNER_QUOTA = (
    f"INSERT INTO jfs_user_group_quota (qtype, qkey, {QUOTA_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (qtype, qkey) DO UPDATE SET max_space = excluded.max_space,"
    " max_inodes = excluded.max_inodes, used_space = excluded.used_space,"
    " used_inodes = excluded.used_inodes"
)


def single(effect: fx.Effect, dialect: Dialect) -> list[Statement]:
    """Return the statements of an effect that is not written together with others."""
    match effect:
        case fx.PutXattr(ino, name, value):
            drop = ("DELETE FROM jfs_xattr WHERE inode = ? AND EXACT(name) = ?", (ino, name))
            if value is None:
                return [drop]
            # No upsert: a collation may take another name for the same.
            text = "INSERT INTO jfs_xattr (inode, name, value) VALUES (?, TEXT(?), ?)"
            return [drop, (text, (ino, name, value))]
        case fx.ReplaceSlices(ino, chunk_no, count, new):
            text = (
                "UPDATE jfs_chunk SET slices = CAST(? || SUBSTR(CAST(slices AS BLOB), ?) AS BLOB)"
                " WHERE inode = ? AND indx = ?"
            )
            return [(text, (encode_slices(new), count * SLICE_BYTES + 1, ino, chunk_no))]
        case fx.DropChunk(ino, chunk_no):
            return [("DELETE FROM jfs_chunk WHERE inode = ? AND indx = ?", (ino, chunk_no))]
        case fx.PutCounter(name, value):
            text = (
                "INSERT INTO jfs_counter (name, value) VALUES (?, ?)"
                " ON CONFLICT (name) DO UPDATE SET value = excluded.value"
            )
            return [(text, (name, value))]
        case fx.PutDeletedFile(file):
            text = (
                "INSERT INTO jfs_delfile (inode, length, expire) VALUES (?, ?, ?) ON CONFLICT"
                " (inode) DO UPDATE SET length = excluded.length, expire = excluded.expire"
            )
            return [(text, (file.ino, file.length, file.deleted_s))]
        case fx.DropDeletedFile(ino):
            return [("DELETE FROM jfs_delfile WHERE inode = ?", (ino,))]
        case fx.PutDelayed(delayed):
            text = (
                "INSERT INTO jfs_delslices (chunkid, deleted, slices) VALUES (?, ?, ?) ON CONFLICT"
                " (chunkid) DO UPDATE SET deleted = excluded.deleted, slices = excluded.slices"
            )
            raw = encode_delayed(delayed.slices)
            return [(text, (delayed.chunk_id, delayed.deleted_s, raw))]
        case fx.DropDelayed(chunk_id):
            return [("DELETE FROM jfs_delslices WHERE chunkid = ?", (chunk_id,))]
        case _:
            return _of_sessions(effect, dialect)


def _of_sessions(effect: fx.Effect, dialect: Dialect) -> list[Statement]:
    match effect:
        case fx.PutSession(session):
            text = (
                "INSERT INTO jfs_session2 (sid, expire, info) VALUES (?, ?, ?) ON CONFLICT (sid)"
                " DO UPDATE SET expire = excluded.expire, info = excluded.info"
            )
            return [(text, (session.sid, session.expire_s, session.info))]
        case fx.DropSession(sid):
            tables = ("jfs_flock", "jfs_plock", "jfs_session2")
            return [(f"DELETE FROM {table} WHERE sid = ?", (sid,)) for table in tables]
        case fx.DropLocks(sid, inos):
            which = f"sid = ? AND inode IN ({', '.join('?' * len(inos))})"
            kinds = ("jfs_flock", "jfs_plock") if inos else ()
            return [(f"DELETE FROM {kind} WHERE {which}", (sid, *inos)) for kind in kinds]
        case fx.PutSustained(sid, ino):
            text = (
                "INSERT INTO jfs_sustained (sid, inode) VALUES (?, ?)"
                " ON CONFLICT (sid, inode) DO UPDATE SET inode = excluded.inode"
            )
            return [(text, (sid, ino))]
        case fx.DropSustained(sid, ino):
            return [("DELETE FROM jfs_sustained WHERE sid = ? AND inode = ?", (sid, ino))]
        case fx.PutFlock(ino, holder, kind):
            letter = None if kind is None else codec.flock_letter(kind)
            key = (ino, holder.sid, codec.signed_owner(holder))
            return [_lock("jfs_flock", "ltype", key, letter)]
        case fx.PutRangeLocks(ino, holder, locks):
            records = codec.encode_ranges(locks) if locks else None
            key = (ino, holder.sid, codec.signed_owner(holder))
            return [_lock("jfs_plock", "records", key, records)]
        case fx.PutDetached(node):
            text = (
                "INSERT INTO jfs_detached_node (inode, added) VALUES (?, ?)"
                " ON CONFLICT (inode) DO UPDATE SET added = excluded.added"
            )
            return [(text, (node.ino, node.added_s))]
        case fx.DropDetached(ino):
            return [("DELETE FROM jfs_detached_node WHERE inode = ?", (ino,))]
        case _:
            return _of_volume(effect, dialect)


def _lock(table: str, column: str, key: tuple[int, int, int], value: Value) -> Statement:
    if value is None:
        return f"DELETE FROM {table} WHERE inode = ? AND sid = ? AND owner = ?", key
    text = (
        f"INSERT INTO {table} (inode, sid, owner, {column}) VALUES (?, ?, ?, ?) ON CONFLICT"
        f" (inode, sid, owner) DO UPDATE SET {column} = excluded.{column}"
    )
    return text, (*key, value)


def _of_volume(effect: fx.Effect, dialect: Dialect) -> list[Statement]:
    match effect:
        case fx.PutAcl(acl_id, rule):
            text = f"INSERT INTO jfs_acl (id, {ACL_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)"
            made: list[Statement] = [(text, (acl_id, *codec.acl_columns(rule)))]
            if dialect.has_sequences:  # A number given by hand does not move the sequence.
                text = "SELECT setval('jfs_acl_id_seq', (SELECT MAX(id) FROM jfs_acl))"
                made.append((text, ()))
            return made
        case fx.PutQuota(QuotaKind.DIRECTORY, key, None):
            return [("DELETE FROM jfs_dir_quota WHERE inode = ?", (key,))]
        case fx.PutQuota(kind, key, None):
            text = "DELETE FROM jfs_user_group_quota WHERE qtype = ? AND qkey = ?"
            return [(text, (int(kind), key))]
        case fx.PutQuota(QuotaKind.DIRECTORY, key, quota):
            assert quota is not None
            return [(_PUT_DIR_QUOTA, (key, *codec.quota_columns(quota)))]
        case fx.PutQuota(kind, key, quota):
            assert quota is not None
            return [(_PUT_OWNER_QUOTA, (int(kind), key, *codec.quota_columns(quota)))]
        case _:
            assert isinstance(effect, fx.PutSetting), effect
            text = (
                "INSERT INTO jfs_setting (name, value) VALUES ('format', ?)"
                " ON CONFLICT (name) DO UPDATE SET value = excluded.value"
            )
            return [(text, (effect.text,))]
