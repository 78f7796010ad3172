"""Changes of a node as one UPDATE that merges with what is stored at the commit.

Times are kept as microseconds and a rest of nanoseconds.  MySQL's later assignments see what
earlier ones stored, so the rest, which depends on the old microseconds, is assigned first.
"""

from collections.abc import Iterable
from dataclasses import replace

from roost.volume.codec import split_micros
from roost.volume.engines.sql.dialect import Dialect, Statement, Value
from roost.volume.meta.effects import NodeChange
from roost.volume.model import Ino

_PLAIN = (
    ("mode", "mode"), ("uid", "uid"), ("gid", "gid"), ("flags", "flags"), ("parent", "parent"),
    ("access_acl", "access_acl_id"), ("default_acl", "default_acl_id"), ("tier", "tier_id"),
)  # fmt: skip
_MERGING = NodeChange()


def fused(changes: Iterable[NodeChange]) -> list[NodeChange]:
    """Return fewer changes of one node with the same outcome: those that only merge are summed."""
    made: list[NodeChange] = []
    for change in changes:
        if made and _only_merges(change) and _only_merges(made[-1]):
            made[-1] = _sum(made[-1], change)
        else:
            made.append(change)
    return made


def _only_merges(change: NodeChange) -> bool:
    return (
        replace(
            change,
            nlink_by=0,
            mtime_at_least_ns=None,
            ctime_at_least_ns=None,
            length_at_least=None,
        )
        == _MERGING
    )


def _sum(one: NodeChange, two: NodeChange) -> NodeChange:
    return NodeChange(
        nlink_by=one.nlink_by + two.nlink_by,
        mtime_at_least_ns=_larger(one.mtime_at_least_ns, two.mtime_at_least_ns),
        ctime_at_least_ns=_larger(one.ctime_at_least_ns, two.ctime_at_least_ns),
        length_at_least=_larger(one.length_at_least, two.length_at_least),
    )


def _larger(one: int | None, two: int | None) -> int | None:
    known = [value for value in (one, two) if value is not None]
    return max(known) if known else None


def change_statement(ino: Ino, change: NodeChange, dialect: Dialect) -> Statement | None:
    """Return the UPDATE of a node, None if nothing changes.  As meta.effects.merged."""
    texts: list[str] = []
    values: list[Value] = []

    def put(text: str, *given: Value) -> None:
        texts.append(text)
        values.extend(given)

    if change.nlink_by:
        put("nlink = nlink + ?", change.nlink_by)
    if change.atime_ns is not None:
        micros, rest = split_micros(change.atime_ns)
        put("atime = ?, atimensec = ?", micros, rest)
    for text, given in _mtime(change, dialect):
        put(text, *given)
    if change.ctime_at_least_ns is not None:
        put(*_at_least("ctime", change.ctime_at_least_ns))
    if change.length is not None:
        put("length = ?", max(change.length, change.length_at_least or 0))
    elif change.length_at_least is not None:
        put("length = GREATEST(length, ?)", change.length_at_least)
    for attribute, column in _PLAIN:
        new = getattr(change, attribute)
        if new is not None:
            put(f"{column} = ?", int(new))
    if not texts:
        return None
    return f"UPDATE jfs_node SET {', '.join(texts)} WHERE inode = ?", (*values, ino)


def _at_least(column: str, time_ns: int) -> tuple[str, int, int, int, int, int]:
    micros, rest = split_micros(time_ns)
    text = (
        f"{column}nsec = CASE WHEN {column} < ? OR ({column} = ? AND {column}nsec < ?) THEN ?"
        f" ELSE {column}nsec END, {column} = GREATEST({column}, ?)"
    )
    return text, micros, micros, rest, rest, micros


def _mtime(change: NodeChange, dialect: Dialect) -> Iterable[tuple[str, tuple[int, ...]]]:
    if change.data_time_ns is not None:
        yield _data_time(change.data_time_ns, dialect)
    elif change.mtime_ns is not None:
        latest = _larger(change.mtime_ns, change.mtime_at_least_ns)
        assert latest is not None
        yield "mtime = ?, mtimensec = ?", split_micros(latest)
    elif change.mtime_at_least_ns is not None:
        text, *values = _at_least("mtime", change.mtime_at_least_ns)
        yield text, (*values,)


def _data_time(time_ns: int, dialect: Dialect) -> tuple[str, tuple[int, ...]]:
    """Assign a time, or a nanosecond more if it is what is stored."""
    micros, rest = split_micros(time_ns)
    same = "mtime = ? AND mtimensec = ?"
    if split_micros(time_ns + 1)[0] == micros:
        text = f"mtimensec = CASE WHEN {same} THEN mtimensec + 1 ELSE ? END, mtime = ?"
        return text, (micros, rest, rest, micros)
    next_rest = split_micros(time_ns + 1)[1]
    mtime = f"mtime = CASE WHEN {same} THEN mtime + 1 ELSE ? END"
    # The first branch gives the second its type.
    restart = "THEN mtimensec - mtimensec + ? ELSE ? END"
    if dialect.assigns_in_order:  # There the new mtime tells which case it was.
        text = f"{mtime}, mtimensec = CASE WHEN mtime = ? {restart}"
        return text, (micros, rest, micros, micros + 1, next_rest, rest)
    text = f"{mtime}, mtimensec = CASE WHEN {same} {restart}"
    return text, (micros, rest, micros, micros, rest, next_rest, rest)
