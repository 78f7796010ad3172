"""How the effects of a transaction change the tables of the memory engine."""

from collections.abc import Iterable
from dataclasses import replace

from roost.volume.engines.memory_tables import Tables
from roost.volume.meta import effects as fx
from roost.volume.meta.usage import as_child
from roost.volume.model import DirUsage, Ino, Quota, QuotaKind, SessionId, SliceRef


def apply_all(tables: Tables, effects: Iterable[fx.Effect]) -> None:
    """Apply the effects of a commit; what they need was checked, so they cannot fail."""
    others, usage = _split_usage(effects)
    for effect in others:
        _apply(tables, effect)
    for ino, by in usage.items():
        _use_directory(tables, ino, by)


def _apply(tables: Tables, effect: fx.Effect) -> None:
    match effect:
        case fx.AddNode() | fx.ChangeNode() | fx.DropNode():
            _apply_to_node(tables, effect)
        case fx.AddEdge(parent, name, edge):
            folder = tables.folders.setdefault(parent, {})
            assert name not in folder, "an entry is added twice"
            folder[name] = edge
            names = tables.names.setdefault(edge.ino, {})
            names[parent] = names.get(parent, 0) + 1
        case fx.DropEdge(parent, name):
            _drop_edge(tables, parent, name)
        case fx.PutSymlink(ino, target):
            tables.symlinks[ino] = target
        case fx.PutXattr(ino, name, None):
            tables.xattrs.get(ino, {}).pop(name, None)
        case fx.PutXattr(ino, name, value):
            assert value is not None
            tables.xattrs.setdefault(ino, {})[name] = value
        case fx.DropXattrs(ino):
            tables.xattrs.pop(ino, None)
        case fx.AddCounter(name, by):
            tables.counters[name] = tables.counters.get(name, 0) + by
        case fx.PutCounter(name, number):
            tables.counters[name] = number
        case fx.PutDirUsage(ino, None):
            tables.usage.pop(ino, None)
            tables.limits.pop((QuotaKind.DIRECTORY, ino), None)
        case fx.PutDirUsage(ino, usage):
            assert usage is not None
            tables.usage[ino] = usage
        case fx.PutSetting(text):
            tables.settings = text
        case _:
            _apply_to_data(tables, effect)


def _apply_to_node(tables: Tables, effect: fx.AddNode | fx.ChangeNode | fx.DropNode) -> None:
    match effect:
        case fx.AddNode(ino, attr):
            assert ino not in tables.nodes, "a node is added twice"
            tables.nodes[ino] = attr
        case fx.ChangeNode(ino, change):
            tables.nodes[ino] = fx.merged(tables.nodes[ino], change)
        case fx.DropNode(ino):
            del tables.nodes[ino]
            tables.symlinks.pop(ino, None)
            tables.xattrs.pop(ino, None)
            tables.folders.pop(ino, None)


def _apply_to_data(tables: Tables, effect: fx.Effect) -> None:
    match effect:
        case fx.AppendSlices(ino, chunk_no, records):
            chunks = tables.chunks.setdefault(ino, {})
            chunks[chunk_no] = chunks.get(chunk_no, ()) + records
        case fx.DropChunk(ino, chunk_no):
            tables.chunks.get(ino, {}).pop(chunk_no, None)
        case fx.ReplaceSlices(ino, chunk_no, count, new):
            chunks = tables.chunks.setdefault(ino, {})
            chunks[chunk_no] = new + chunks.get(chunk_no, ())[count:]
        case fx.AddSliceRefs(slice_id, by, size, is_new):
            ref = tables.refs.get(slice_id)
            if ref is not None:
                tables.refs[slice_id] = replace(ref, refs=ref.refs + by)
            elif is_new:
                tables.refs[slice_id] = SliceRef(slice_id, size, by)
        case fx.DropSliceRef(slice_id):
            ref = tables.refs.get(slice_id)
            if ref is not None and ref.refs <= 0:
                del tables.refs[slice_id]
        case fx.PutDelayed(delayed):
            tables.replaced[delayed.chunk_id] = delayed
        case fx.DropDelayed(chunk_id):
            tables.replaced.pop(chunk_id, None)
        case _:
            _apply_to_sessions(tables, effect)


def _split_usage(effects: Iterable[fx.Effect]) -> tuple[list[fx.Effect], dict[Ino, DirUsage]]:
    """Return the other effects, and per directory the sum of what UseDirectory adds.

    The sums are applied last: statistics that are absent are then computed once, from the entries
    as the transaction leaves them.
    """
    others: list[fx.Effect] = []
    usage: dict[Ino, DirUsage] = {}
    for effect in effects:
        if not isinstance(effect, fx.UseDirectory):
            others.append(effect)
            continue
        sum_, by = usage.get(effect.ino, DirUsage()), effect.by
        usage[effect.ino] = DirUsage(
            sum_.length + by.length, sum_.space_bytes + by.space_bytes, sum_.inodes + by.inodes
        )
    return others, usage


def _apply_to_sessions(tables: Tables, effect: fx.Effect) -> None:
    match effect:
        case fx.PutSession(session):
            tables.live_sessions[session.sid] = session
        case fx.DropSession(sid):
            tables.live_sessions.pop(sid, None)
            _drop_locks(tables, sid, tables.locked(sid))
        case fx.DropLocks(sid, inos):
            _drop_locks(tables, sid, inos)
        case fx.PutSustained(sid, ino):
            tables.kept[sid] = tables.kept.get(sid, frozenset()) | {ino}
        case fx.DropSustained(sid, ino):
            tables.kept[sid] = tables.kept.get(sid, frozenset()) - {ino}
        case fx.PutDeletedFile(file):
            tables.deleted[file.ino] = file
        case fx.DropDeletedFile(ino):
            tables.deleted.pop(ino, None)
        case fx.PutFlock(ino, holder, None):
            tables.file_locks.get(ino, {}).pop(holder, None)
        case fx.PutFlock(ino, holder, kind):
            assert kind is not None
            tables.file_locks.setdefault(ino, {})[holder] = kind
        case fx.PutRangeLocks(ino, holder, ()):
            tables.byte_locks.get(ino, {}).pop(holder, None)
        case fx.PutRangeLocks(ino, holder, locks):
            tables.byte_locks.setdefault(ino, {})[holder] = locks
        case _:
            _apply_to_limits(tables, effect)


def _apply_to_limits(tables: Tables, effect: fx.Effect) -> None:
    match effect:
        case fx.PutAcl(acl_id, rule):
            assert acl_id not in tables.acls, "a rule is stored twice"
            tables.acls[acl_id] = rule
            tables.counters[fx.ACL_COUNTER] = acl_id
        case fx.PutQuota(kind, key, None):
            tables.limits.pop((kind, key), None)
        case fx.PutQuota(kind, key, quota):
            assert quota is not None
            tables.limits[kind, key] = quota
        case fx.UseQuota(kind, key, space_bytes, inodes, create):
            known = tables.limits.get((kind, key), Quota() if create else None)
            if known is not None:
                tables.limits[kind, key] = replace(
                    known,
                    used_space_bytes=known.used_space_bytes + space_bytes,
                    used_inodes=known.used_inodes + inodes,
                )
        case fx.PutDetached(node):
            tables.clones[node.ino] = node
        case _:
            assert isinstance(effect, fx.DropDetached), effect
            tables.clones.pop(effect.ino, None)


def _drop_locks(tables: Tables, sid: SessionId, inos: Iterable[Ino]) -> None:
    for table in (tables.file_locks, tables.byte_locks):
        for ino in inos:
            holders = table.get(ino, {})
            for holder in [holder for holder in holders if holder.sid == sid]:
                del holders[holder]


def _drop_edge(tables: Tables, parent: Ino, name: bytes) -> None:
    edge = tables.folders[parent].pop(name)
    names = tables.names[edge.ino]
    names[parent] -= 1
    if not names[parent]:
        del names[parent]


def _use_directory(tables: Tables, ino: Ino, by: DirUsage) -> None:
    usage = tables.usage.get(ino)
    if usage is not None:
        tables.usage[ino] = DirUsage(
            usage.length + by.length, usage.space_bytes + by.space_bytes, usage.inodes + by.inodes
        )
        return
    total = DirUsage()
    for edge in tables.folders.get(ino, {}).values():
        attr = tables.nodes.get(edge.ino)
        if attr is not None:
            child = as_child(attr)
            total = DirUsage(
                total.length + child.length,
                total.space_bytes + child.space_bytes,
                total.inodes + child.inodes,
            )
    tables.usage[ino] = total
