"""What a commit changes, as words of the commit script."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from roost.volume.codec import encode_delayed, encode_slices
from roost.volume.engines.redis import encode_nodes as nodes
from roost.volume.engines.redis import records
from roost.volume.engines.redis.cache import Record, is_cached
from roost.volume.engines.redis.encode import Encoded
from roost.volume.engines.redis.encode_nodes import Moves
from roost.volume.engines.redis.keys import (
    counter_offset,
    deleted_member,
    holder_field,
    slice_field,
)
from roost.volume.engines.redis.wants import fields
from roost.volume.meta import effects as fx
from roost.volume.model import DirUsage, Ino, LockHolder, QuotaKind, Slice


def encode_effects(e: Encoded, effects: Iterable[fx.Effect]) -> None:
    """Add what a commit changes, in order; sums of statistics and counts come last."""
    moves = Moves()
    for effect in effects:
        _EFFECTS[type(effect)](e, moves, effect)
    if moves.edges:
        nodes.count_parents(e, moves)
    for name, by in moves.refs.items():
        if by:
            e.needs_number(e.keys.slice_refs, name)
            e.change(e.keys.slice_refs, "hincr", name, by)
    for ino, usage in moves.usage.items():
        _use_directory(e, ino, usage)


# ---- data
def _records(slices: Iterable[Slice]) -> list[bytes]:
    return [encode_slices((record,)) for record in slices]


def _append(e: Encoded, moves: Moves, effect: fx.AppendSlices) -> None:
    key, new = e.keys.chunk(effect.ino, effect.chunk_no), _records(effect.records)
    e.needs_type(key, "list")
    e.change(key, "push", len(new), *new)


def _drop_chunk(e: Encoded, moves: Moves, effect: fx.DropChunk) -> None:
    e.change(e.keys.chunk(effect.ino, effect.chunk_no), "del")


def _replace(e: Encoded, moves: Moves, effect: fx.ReplaceSlices) -> None:
    key, new = e.keys.chunk(effect.ino, effect.chunk_no), _records(effect.new)
    e.needs_type(key, "list")
    e.change(key, "replace", effect.count, len(new), *new)


def _add_refs(e: Encoded, moves: Moves, effect: fx.AddSliceRefs) -> None:
    # Stored is one less than there are, and nothing for one.
    by = effect.by - 1 if effect.is_new else effect.by
    moves.refs[slice_field(effect.slice_id, effect.size)] += by


def _drop_ref(e: Encoded, moves: Moves, effect: fx.DropSliceRef) -> None:
    name = slice_field(effect.slice_id, effect.size)
    e.needs_number(e.keys.slice_refs, name)
    e.change(e.keys.slice_refs, "forget", name)


def _put_deleted(e: Encoded, moves: Moves, effect: fx.PutDeletedFile) -> None:
    member = deleted_member(effect.file.ino, effect.file.length)
    e.needs_type(e.keys.deleted_files, "zset")
    e.change(e.keys.deleted_files, "zadd", member, effect.file.deleted_s)
    e.hints.append(member)


def _drop_deleted(e: Encoded, moves: Moves, effect: fx.DropDeletedFile) -> None:
    e.needs_type(e.keys.deleted_files, "zset")
    begins = b"%d:" % effect.ino
    for record in e.reading.seen:
        if record[0] == "deleted" and record[1].startswith(begins):
            e.change(e.keys.deleted_files, "zrem", record[1])


def _put_delayed(e: Encoded, moves: Moves, effect: fx.PutDelayed) -> None:
    delayed = effect.delayed
    e.needs_type(e.keys.delayed, "hash")
    name = b"%d_%d" % (delayed.chunk_id, delayed.deleted_s)
    e.change(e.keys.delayed, "hset", name, encode_delayed(delayed.slices))


def _drop_delayed(e: Encoded, moves: Moves, effect: fx.DropDelayed) -> None:
    e.needs_type(e.keys.delayed, "hash")
    begins = b"%d_" % effect.chunk_id
    for record in e.reading.seen:
        if record[0] == "delayed" and record[1].startswith(begins):
            e.change(e.keys.delayed, "hdel", record[1])


# ---- counters, statistics, quotas
def _add_counter(e: Encoded, moves: Moves, effect: fx.AddCounter) -> None:
    key = e.keys.counter(effect.name)
    if (key, "") not in e.known:
        e.known.add((key, ""))
        e.expect(key, "number")
    e.change(key, "incr", effect.by)
    _adjust(e, ("counter", effect.name), (key,), partial(_plus, effect.by))


def _plus(by: int, raw: bytes | None) -> bytes:
    return b"%d" % (int(raw or 0) + by)


def _adjust(e: Encoded, record: Record, keys: tuple[bytes, ...], how: Callable[[Any], Any]) -> None:
    """Let a cached record follow what is added to it; one that is not cached stays so."""
    if is_cached(record) and e.cache.get(record, e) is not e:
        e.touched.update(dict.fromkeys(keys))
        e.adjusted.append((record, how))
    else:
        e.dropped.append(record)


def _put_counter(e: Encoded, moves: Moves, effect: fx.PutCounter) -> None:
    key = e.keys.counter(effect.name)
    e.needs_type(key, "string")
    e.change(key, "set", effect.value - counter_offset(effect.name))
    e.dropped.append(("counter", effect.name))


def _sum_usage(e: Encoded, moves: Moves, effect: fx.UseDirectory) -> None:
    known, by = moves.usage.get(effect.ino), effect.by
    if known is not None:
        by = DirUsage(
            known.length + by.length,
            known.space_bytes + by.space_bytes,
            known.inodes + by.inodes,
        )
    moves.usage[effect.ino] = by


def _use_directory(e: Encoded, ino: Ino, by: DirUsage) -> None:
    keys = e.keys
    for key in (keys.dir_space, keys.dir_length, keys.dir_inodes):
        e.needs_number(key, ino)
    e.change(keys.dir_space, "use", ino, by.space_bytes, by.length, by.inodes)
    e.change_keys += (keys.dir_length, keys.dir_inodes)
    e.results.append(("usage", ino))


def _put_usage(e: Encoded, moves: Moves, effect: fx.PutDirUsage) -> None:
    keys, ino, usage = e.keys, effect.ino, effect.usage
    hashes = (keys.dir_space, keys.dir_length, keys.dir_inodes)
    if usage is None:
        for key in (*hashes, *keys.quotas[QuotaKind.DIRECTORY]):
            e.needs_type(key, "hash")
            e.change(key, "hdel", ino)
        e.dropped.append(("quotas", 0))
        return
    for key, value in zip(hashes, (usage.space_bytes, usage.length, usage.inodes), strict=True):
        e.needs_type(key, "hash")
        e.change(key, "hset", ino, value)


def _put_acl(e: Encoded, moves: Moves, effect: fx.PutAcl) -> None:
    highest = e.keys.counter("aclMaxId")
    e.needs_type(e.keys.acls, "hash")
    e.expect(highest, "number")
    e.change(e.keys.acls, "hset", effect.acl_id, records.encode_acl(effect.rule))
    e.change(highest, "raise", effect.acl_id)
    e.dropped.append(("acls",))


def _put_quota(e: Encoded, moves: Moves, effect: fx.PutQuota) -> None:
    limits, space, inodes = e.keys.quotas[effect.kind]
    for key in (limits, space, inodes):
        e.needs_type(key, "hash")
        if effect.quota is None:
            e.change(key, "hdel", effect.key)
    if effect.quota is not None:
        e.change(limits, "hset", effect.key, records.encode_limits(effect.quota))
        e.change(space, "hset", effect.key, effect.quota.used_space_bytes)
        e.change(inodes, "hset", effect.key, effect.quota.used_inodes)
    e.dropped.append(("quotas", int(effect.kind)))


def _use_quota(e: Encoded, moves: Moves, effect: fx.UseQuota) -> None:
    limits, space, inodes = e.keys.quotas[effect.kind]
    e.needs_type(limits, "hash")
    e.needs_number(space, effect.key)
    e.needs_number(inodes, effect.key)
    new = records.UNLIMITED if effect.create else b""
    e.change(limits, "quota", effect.key, effect.space_bytes, effect.inodes, new)
    e.change_keys += (space, inodes)
    record = ("quotas", int(effect.kind))
    _adjust(e, record, (limits, space, inodes), partial(_used, effect))


def _used(effect: fx.UseQuota, tables: Any) -> Any:
    limits, space, inodes = (dict(fields(table)) for table in tables)
    name = b"%d" % effect.key
    if name not in inodes:
        if not effect.create:
            return tables
        limits.setdefault(name, records.UNLIMITED)
    space[name] = _plus(effect.space_bytes, space.get(name))
    inodes[name] = _plus(effect.inodes, inodes.get(name))
    return limits, space, inodes


# ---- sessions and locks
def _put_session(e: Encoded, moves: Moves, effect: fx.PutSession) -> None:
    session = effect.session
    e.needs_type(e.keys.all_sessions, "zset")
    e.needs_type(e.keys.session_infos, "hash")
    e.change(e.keys.all_sessions, "zadd", session.sid, session.expire_s)
    e.change(e.keys.session_infos, "hset", session.sid, session.info)


def _drop_session(e: Encoded, moves: Moves, effect: fx.DropSession) -> None:
    e.needs_type(e.keys.all_sessions, "zset")
    e.needs_type(e.keys.session_infos, "hash")
    e.change(e.keys.session_infos, "hdel", effect.sid)
    e.change(e.keys.all_sessions, "zrem", effect.sid)
    e.change(e.keys.locked(effect.sid), "del")
    e.ended.append(effect.sid)


def _put_sustained(e: Encoded, moves: Moves, effect: fx.PutSustained) -> None:
    e.needs_type(e.keys.sustained(effect.sid), "set")
    e.change(e.keys.sustained(effect.sid), "sadd", effect.ino)


def _drop_sustained(e: Encoded, moves: Moves, effect: fx.DropSustained) -> None:
    e.needs_type(e.keys.sustained(effect.sid), "set")
    e.change(e.keys.sustained(effect.sid), "srem", effect.ino)


def _lock(e: Encoded, key: bytes, holder: LockHolder, value: bytes) -> None:
    """Let the holder hold `value`; nothing lets go."""
    of_session = e.keys.locked(holder.sid)
    e.needs_type(key, "hash")
    e.needs_type(of_session, "set")
    if value:
        e.change(key, "hset", holder_field(holder), value)
        e.change(of_session, "sadd", key)
    else:
        e.change(key, "unlock", holder_field(holder), b"%d_" % holder.sid)
        e.change_keys.append(of_session)


def _put_flock(e: Encoded, moves: Moves, effect: fx.PutFlock) -> None:
    value = b"" if effect.kind is None else records.encode_flock(effect.kind)
    _lock(e, e.keys.flocks(effect.ino), effect.holder, value)


def _put_ranges(e: Encoded, moves: Moves, effect: fx.PutRangeLocks) -> None:
    value = records.encode_ranges(effect.locks)
    _lock(e, e.keys.range_locks(effect.ino), effect.holder, value)


def _put_detached(e: Encoded, moves: Moves, effect: fx.PutDetached) -> None:
    e.needs_type(e.keys.detached, "zset")
    e.change(e.keys.detached, "zadd", effect.node.ino, effect.node.added_s)


def _drop_detached(e: Encoded, moves: Moves, effect: fx.DropDetached) -> None:
    e.needs_type(e.keys.detached, "zset")
    e.change(e.keys.detached, "zrem", effect.ino)


def _put_setting(e: Encoded, moves: Moves, effect: fx.PutSetting) -> None:
    e.needs_type(e.keys.setting, "string")
    e.change(e.keys.setting, "set", effect.text.encode("utf-8", "surrogateescape"))


_EFFECTS: dict[type, Callable[[Encoded, Moves, Any], None]] = {
    fx.AddNode: nodes.add_node,
    fx.ChangeNode: nodes.change_node,
    fx.DropNode: nodes.drop_node,
    fx.AddEdge: nodes.add_edge,
    fx.DropEdge: nodes.drop_edge,
    fx.PutSymlink: nodes.put_symlink,
    fx.PutXattr: nodes.put_xattr,
    fx.DropXattrs: nodes.drop_xattrs,
    fx.AppendSlices: _append,
    fx.DropChunk: _drop_chunk,
    fx.ReplaceSlices: _replace,
    fx.AddSliceRefs: _add_refs,
    fx.DropSliceRef: _drop_ref,
    fx.AddCounter: _add_counter,
    fx.PutCounter: _put_counter,
    fx.UseDirectory: _sum_usage,
    fx.PutDirUsage: _put_usage,
    fx.PutSession: _put_session,
    fx.DropSession: _drop_session,
    fx.PutSustained: _put_sustained,
    fx.DropSustained: _drop_sustained,
    fx.PutDeletedFile: _put_deleted,
    fx.DropDeletedFile: _drop_deleted,
    fx.PutDelayed: _put_delayed,
    fx.DropDelayed: _drop_delayed,
    fx.PutAcl: _put_acl,
    fx.PutQuota: _put_quota,
    fx.UseQuota: _use_quota,
    fx.PutFlock: _put_flock,
    fx.PutRangeLocks: _put_ranges,
    fx.PutDetached: _put_detached,
    fx.DropDetached: _drop_detached,
    fx.PutSetting: _put_setting,
}
