"""What each record is called, which commands read it, and what their replies mean.

A record is a tuple that begins with its kind:

("node", ino) ("edge", ino, name) ("entries", ino)            attributes; an entry; are there any
("parents", ino) ("symlink", ino) ("xattr", ino, name) ("xattrs", ino)
("slices", ino, chunk_no) ("chunks", ino, first, end)         a chunk; which chunks exist
("ref", slice_id, size) ("counter", name) ("setting",) ("acls",)
("session", sid) ("sustained", sid) ("locked", sid)
("locks", key)                                                one of the keys that "locked" names
("deleted", member) ("delayed", field)                        the names they have in their keys
("usage", ino) ("quotas", kind) ("flocks", ino) ("ranges", ino) ("detached", ino)

Its raw value is the reply of its command, or a tuple of them if there are several; None is absent.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import hiredis

from roost.volume.engines.redis.cache import Record
from roost.volume.engines.redis.commit_script import LOOKUP_SHA
from roost.volume.engines.redis.connection import Command
from roost.volume.engines.redis.keys import Keys, slice_field

_SIMPLE: dict[str, Callable[[Keys, Record], Command]] = {
    "node": lambda keys, r: ("GET", keys.node(r[1])),
    "edge": lambda keys, r: ("HGET", keys.folder(r[1]), r[2]),
    "entries": lambda keys, r: ("EXISTS", keys.folder(r[1])),
    "parents": lambda keys, r: ("HGETALL", keys.parents(r[1])),
    "symlink": lambda keys, r: ("GET", keys.symlink(r[1])),
    "xattr": lambda keys, r: ("HGET", keys.xattrs(r[1]), r[2]),
    "xattrs": lambda keys, r: ("HKEYS", keys.xattrs(r[1])),
    "slices": lambda keys, r: ("LRANGE", keys.chunk(r[1], r[2]), 0, -1),
    "ref": lambda keys, r: ("HGET", keys.slice_refs, slice_field(r[1], r[2])),
    "counter": lambda keys, r: ("GET", keys.counter(r[1])),
    "setting": lambda keys, r: ("GET", keys.setting),
    "sustained": lambda keys, r: ("SMEMBERS", keys.sustained(r[1])),
    "locked": lambda keys, r: ("SMEMBERS", keys.locked(r[1])),
    "locks": lambda keys, r: ("HGETALL", r[1]),
    "deleted": lambda keys, r: ("ZSCORE", keys.deleted_files, r[1]),
    "delayed": lambda keys, r: ("HGET", keys.delayed, r[1]),
    "flocks": lambda keys, r: ("HGETALL", keys.flocks(r[1])),
    "ranges": lambda keys, r: ("HGETALL", keys.range_locks(r[1])),
    "detached": lambda keys, r: ("ZSCORE", keys.detached, r[1]),
}


def commands_of(keys: Keys, record: Record) -> list[Command]:
    """Return the commands that read a record."""
    simple = _SIMPLE.get(record[0])
    if simple is not None:
        return [simple(keys, record)]
    match record:
        case ("session", sid):
            return [("ZSCORE", keys.all_sessions, sid), ("HGET", keys.session_infos, sid)]
        case ("usage", ino):
            hashes = (keys.dir_length, keys.dir_space, keys.dir_inodes)
            return [("HGET", name, ino) for name in hashes]
        case ("quotas", kind):
            return [("HGETALL", name) for name in keys.quotas[kind]]
        case ("acls",):
            return [("HGETALL", keys.acls), ("GET", keys.counter("aclMaxId"))]
        case _:
            _, ino, first, end = record
            return [("EXISTS", keys.chunk(ino, chunk_no)) for chunk_no in range(first, end)]


class Fetch:
    """One atomic reading of several records, some entries with the attributes of their node."""

    def __init__(
        self, keys: Keys, records: Iterable[Record], lookups: Sequence[Record] = ()
    ) -> None:
        """`lookups` are edges to be read with their nodes, by a script."""
        self._lookups = lookups
        self._plain: list[tuple[Record, int]] = []
        commands: list[Command] = []
        for record in records:
            wanted = commands_of(keys, record)
            self._plain.append((record, len(wanted)))
            commands += wanted
        for record in lookups:
            key, name = keys.folder(record[1]), record[2]
            commands.append(("EVALSHA", LOOKUP_SHA, 1, key, name, keys.prefix + b"i"))
        self._is_atomic = len(commands) > 1
        self.commands = [("MULTI",), *commands, ("EXEC",)] if self._is_atomic else commands

    def error_in(self, replies: list[Any]) -> hiredis.ReplyError | None:
        """Return the first refusal among the replies."""
        found = [reply for reply in replies if isinstance(reply, hiredis.ReplyError)]
        if not found and self._is_atomic and isinstance(replies[-1], list):
            found = [reply for reply in replies[-1] if isinstance(reply, hiredis.ReplyError)]
        return found[0] if found else None

    def values(self, replies: list[Any]) -> tuple[dict[Record, Any], dict[Record, Any]]:
        """Return the raw values of the records asked for, and those of nodes found by lookups.

        The latter's keys were not declared, so the server does not track them.
        """
        answers = iter(replies[-1] if self._is_atomic else replies)
        values: dict[Record, Any] = {}
        untracked: dict[Record, Any] = {}
        for record, count in self._plain:
            if count == 1 and record[0] != "chunks":
                values[record] = next(answers)
            else:
                values[record] = tuple([next(answers) for _ in range(count)])
        for record in self._lookups:
            entry, attr, has_attr = next(answers)
            values[record] = entry
            if has_attr:
                untracked["node", int.from_bytes(entry[1:])] = attr
        return values, untracked


def members(reply: Any) -> list[bytes]:
    """Return a set's members, sorted, whatever the protocol's form."""
    return sorted(reply)


def fields(reply: Any) -> dict[bytes, bytes]:
    """Return a hash, whatever the protocol's form."""
    if isinstance(reply, dict):
        return reply
    return dict(zip(reply[::2], reply[1::2], strict=True))
