"""What a commit changes, as words of the commit script."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from roost.volume.codec import encode_delayed, encode_slices
from roost.volume.engines.redis import encode_nodes as nodes
from roost.volume.engines.redis import records
from roost.volume.engines.redis.cache import Record
from roost.volume.engines.redis.encode import Encoded
from roost.volume.engines.redis.encode_many import encode_many
from roost.volume.engines.redis.encode_nodes import Moves
from roost.volume.engines.redis.keys import (
    counter_offset,
    deleted_member,
    holder_field,
    slice_field,
)
from roost.volume.engines.redis.wants import fields, members
from roost.volume.meta import effects as fx
from roost.volume.model import DirUsage, Ino, LockHolder, QuotaKind, SessionId, Slice


def encode_effects(e: Encoded, effects: Sequence[fx.Effect]) -> None:
    """Add what a commit changes, in order; sums of statistics and counts come last."""
    moves = Moves()
    for effect in encode_many(e, effects):
        _EFFECTS[type(effect)](e, moves, effect)
    if moves.edges:
        nodes.count_parents(e, moves)
    for name, by in moves.refs.items():
        if by:
            e.change("hincr", e.of_numbers(e.keys.slice_refs, name), name, by)
    for ino, usage in moves.new_usage.items():
        new = _sum(usage, moves.usage.pop(ino, DirUsage()))
        place = e.others(e.keys.statistics)
        e.change("stat_set", place, ino, new.space_bytes, new.length, new.inodes)
    for ino, usage in moves.usage.items():
        if ino in moves.dropped_usage:
            e.to_compute.append(ino)
        else:
            _use_directory(e, ino, usage)


# ---- data
def _records(slices: Iterable[Slice]) -> list[bytes]:
    return [encode_slices((record,)) for record in slices]


def _append(e: Encoded, moves: Moves, effect: fx.AppendSlices) -> None:
    new = _records(effect.records)
    if not new:
        return  # RPUSH without values is an error, which EXEC reports after all else is done
    place = e.of_type(e.keys.chunk(effect.ino, effect.chunk_no), "list")
    e.change("push", place, len(new), *new)


def _drop_chunk(e: Encoded, moves: Moves, effect: fx.DropChunk) -> None:
    e.change("del", e.other(e.keys.chunk(effect.ino, effect.chunk_no)))


def _replace(e: Encoded, moves: Moves, effect: fx.ReplaceSlices) -> None:
    new = _records(effect.new)
    place = e.of_type(e.keys.chunk(effect.ino, effect.chunk_no), "list")
    e.change("replace", place, effect.count, len(new), *new)


def _add_refs(e: Encoded, moves: Moves, effect: fx.AddSliceRefs) -> None:
    # Stored is one less than there are, and nothing for one.
    by = effect.by - 1 if effect.is_new else effect.by
    name = slice_field(effect.slice_id, effect.size)
    moves.refs[name] = moves.refs.get(name, 0) + by


def _drop_ref(e: Encoded, moves: Moves, effect: fx.DropSliceRef) -> None:
    name = slice_field(effect.slice_id, effect.size)
    e.change("forget", e.of_numbers(e.keys.slice_refs, name), name)


def _put_deleted(e: Encoded, moves: Moves, effect: fx.PutDeletedFile) -> None:
    member = deleted_member(effect.file.ino, effect.file.length)
    e.change("zadd", e.of_type(e.keys.deleted_files, "zset"), member, effect.file.deleted_s)
    e.hints.append(member)


def _drop_deleted(e: Encoded, moves: Moves, effect: fx.DropDeletedFile) -> None:
    place = e.of_type(e.keys.deleted_files, "zset")
    begins = b"%d:" % effect.ino
    for record in e.reading.seen:
        if record[0] == "deleted" and record[1].startswith(begins):
            e.change("zrem", place, record[1])


def _put_delayed(e: Encoded, moves: Moves, effect: fx.PutDelayed) -> None:
    delayed = effect.delayed
    name = b"%d_%d" % (delayed.chunk_id, delayed.deleted_s)
    e.change("hset", e.of_type(e.keys.delayed, "hash"), name, encode_delayed(delayed.slices))


def _drop_delayed(e: Encoded, moves: Moves, effect: fx.DropDelayed) -> None:
    place = e.of_type(e.keys.delayed, "hash")
    begins = b"%d_" % effect.chunk_id
    for record in e.reading.seen:
        if record[0] == "delayed" and record[1].startswith(begins):
            e.change("hdel", place, record[1])


# ---- counters, statistics, quotas
def _add_counter(e: Encoded, moves: Moves, effect: fx.AddCounter) -> None:
    place = e.string(e.keys.counter(effect.name))
    if place not in e.known:
        e.known.add(place)
        e.expect("number", place)
    e.change("incr", place, effect.by)
    record = ("counter", effect.name)
    if record in e.cache.values:
        _adjust(e, record, (place,), partial(_plus, effect.by))
    else:
        e.dropped.append(record)


def _plus(by: int, raw: bytes | None) -> bytes:
    return b"%d" % (int(raw or 0) + by)


def _adjust(e: Encoded, record: Record, places: tuple[int, ...], how: Callable[[Any], Any]) -> None:
    """Let a cached record follow what is added to it; one that is not cached stays so."""
    if record in e.cache.values:
        e.again.update(dict.fromkeys(places))
        e.adjusted.append((record, how))
    else:
        e.dropped.append(record)


def _put_counter(e: Encoded, moves: Moves, effect: fx.PutCounter) -> None:
    place = e.string(e.keys.counter(effect.name))
    e.change("set", place, effect.value - counter_offset(effect.name))
    e.dropped.append(("counter", effect.name))


def _sum_usage(e: Encoded, moves: Moves, effect: fx.UseDirectory) -> None:
    known = moves.usage.get(effect.ino)
    moves.usage[effect.ino] = effect.by if known is None else _sum(known, effect.by)


def _sum(a: DirUsage, b: DirUsage) -> DirUsage:
    return DirUsage(a.length + b.length, a.space_bytes + b.space_bytes, a.inodes + b.inodes)


def _use_directory(e: Encoded, ino: Ino, by: DirUsage) -> None:
    place = e.others(e.keys.statistics)
    e.expect("stat", place, ino)
    e.change("use", place, ino, by.space_bytes, by.length, by.inodes)
    e.results.append(("usage", ino))


def _put_usage(e: Encoded, moves: Moves, effect: fx.PutDirUsage) -> None:
    keys, ino, usage = e.keys, effect.ino, effect.usage
    if usage is None:
        for key in (*keys.statistics, *keys.quotas[QuotaKind.DIRECTORY]):
            e.change("stat_del", e.other(key), ino)
        e.dropped.append(("quotas", int(QuotaKind.DIRECTORY)))
        moves.new_usage.pop(ino, None)
        moves.dropped_usage.add(ino)
    else:
        moves.new_usage[ino] = usage


def _put_acl(e: Encoded, moves: Moves, effect: fx.PutAcl) -> None:
    highest = e.string(e.keys.counter("aclMaxId"))
    e.expect("number", highest)
    place = e.of_type(e.keys.acls, "hash")
    e.change("hset", place, effect.acl_id, records.encode_acl(effect.rule))
    e.change("raise", highest, effect.acl_id)
    e.dropped.append(("acls",))


def _put_quota(e: Encoded, moves: Moves, effect: fx.PutQuota) -> None:
    limits, space, inodes = (e.of_type(key, "hash") for key in e.keys.quotas[effect.kind])
    if effect.quota is None:
        for place in (limits, space, inodes):
            e.change("hdel", place, effect.key)
    else:
        e.change("hset", limits, effect.key, records.encode_limits(effect.quota))
        e.change("hset", space, effect.key, effect.quota.used_space_bytes)
        e.change("hset", inodes, effect.key, effect.quota.used_inodes)
    e.dropped.append(("quotas", int(effect.kind)))


def _use_quota(e: Encoded, moves: Moves, effect: fx.UseQuota) -> None:
    keys = e.keys.quotas[effect.kind]
    e.of_type(keys[0], "hash")
    e.of_numbers(keys[1], effect.key)
    e.of_numbers(keys[2], effect.key)
    place = e.others(keys)
    new = records.UNLIMITED if effect.create else b""
    e.change("quota", place, effect.key, effect.space_bytes, effect.inodes, new)
    record = ("quotas", int(effect.kind))
    _adjust(e, record, (place, place + 1, place + 2), partial(_used, effect))


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
    place = e.of_type(e.keys.all_sessions, "zset")
    e.change("zadd", place, session.sid, session.expire_s)
    e.change("hset", e.of_type(e.keys.session_infos, "hash"), session.sid, session.info)


def _drop_session(e: Encoded, moves: Moves, effect: fx.DropSession) -> None:
    """Drop the session with its locks: in one step, or a session that lives on would lose them."""
    e.change("hdel", e.of_type(e.keys.session_infos, "hash"), effect.sid)
    e.change("zrem", e.of_type(e.keys.all_sessions, "zset"), effect.sid)
    of_session = e.keys.locked(effect.sid)
    locked = members(e.reading.raw(("locked", effect.sid)))
    e.expect("set_is", e.other(of_session), len(locked), *locked)
    _unlock_all(e, effect.sid, locked)


def _drop_locks(e: Encoded, moves: Moves, effect: fx.DropLocks) -> None:
    kinds = (e.keys.flocks, e.keys.range_locks)
    _unlock_all(e, effect.sid, [kind(ino) for ino in effect.inos for kind in kinds])


def _unlock_all(e: Encoded, sid: SessionId, keys: Iterable[bytes]) -> None:
    """Let all owners of a session go; the server finds them, as there may be very many."""
    of_session = e.keys.locked(sid)
    e.of_type(of_session, "set")
    for key in keys:
        e.of_type(key, "hash")
        e.change("unlock_all", e.others((key, of_session)), b"%d_" % sid)


def _put_sustained(e: Encoded, moves: Moves, effect: fx.PutSustained) -> None:
    e.change("sadd", e.of_type(e.keys.sustained(effect.sid), "set"), effect.ino)


def _drop_sustained(e: Encoded, moves: Moves, effect: fx.DropSustained) -> None:
    e.change("srem", e.of_type(e.keys.sustained(effect.sid), "set"), effect.ino)


def _lock(e: Encoded, key: bytes, holder: LockHolder, value: bytes) -> None:
    """Let the holder hold `value`; nothing lets go."""
    of_session = e.keys.locked(holder.sid)
    place, sessions_place = e.of_type(key, "hash"), e.of_type(of_session, "set")
    if value:
        e.change("hset", place, holder_field(holder), value)
        e.change("sadd", sessions_place, key)
    else:
        both = e.others((key, of_session))
        e.change("unlock", both, holder_field(holder), b"%d_" % holder.sid)


def _put_flock(e: Encoded, moves: Moves, effect: fx.PutFlock) -> None:
    value = b"" if effect.kind is None else records.encode_flock(effect.kind)
    _lock(e, e.keys.flocks(effect.ino), effect.holder, value)


def _put_ranges(e: Encoded, moves: Moves, effect: fx.PutRangeLocks) -> None:
    value = records.encode_ranges(effect.locks)
    _lock(e, e.keys.range_locks(effect.ino), effect.holder, value)


def _put_detached(e: Encoded, moves: Moves, effect: fx.PutDetached) -> None:
    place = e.of_type(e.keys.detached, "zset")
    e.change("zadd", place, effect.node.ino, effect.node.added_s)


def _drop_detached(e: Encoded, moves: Moves, effect: fx.DropDetached) -> None:
    e.change("zrem", e.of_type(e.keys.detached, "zset"), effect.ino)


def _put_setting(e: Encoded, moves: Moves, effect: fx.PutSetting) -> None:
    text = effect.text.encode("utf-8", "surrogateescape")
    e.change("set", e.string(e.keys.setting), text)


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
    fx.DropLocks: _drop_locks,
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
