"""Committing without scripts: the same words, read and judged here, written under WATCH and MULTI.

Two round trips instead of one, and WATCH knows no parts of a record: creators in one directory
conflict when one of them writes the directory's, its times (ten times a second at most) or its link
count.  That is what a server without EVAL costs.  What only grows by addition is not watched.

State: `Spares`, connections not in use.  Each serves one commit at a time.
"""

import queue
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import hiredis

from roost.volume.engines.redis.commit_script import CODES, FROM_BACK
from roost.volume.engines.redis.connection import Command, Connection, Replies
from roost.volume.engines.redis.encode import Word
from roost.volume.engines.redis.errors import ConnectionLost
from roost.volume.engines.redis.merging import as_bytes, as_text, changed, pairs

CONFLICTS_MAX = 50
SPARES_MAX = 16
_NAMES = {number: word for word, number in CODES.items()}
_OPERANDS = {  # how many follow a step; of others the first says so
    "identity": 1, "value": 1, "absent": 0, "present": 0, "number": 0, "new": 0, "field": 2,
    "no_field": 1,
    "exists": 0, "not_exists": 0, "type": 1, "field_number": 1, "list": 2, "list_begins": 2,
    "score": 2, "no_score": 1, "hash_size": 1, "stat": 1,
    "touch": 2, "set": 1, "raise": 1, "incr": 1, "del": 0, "hset": 2, "hdel": 1, "hincr": 2,
    "zadd": 2, "zrem": 1, "sadd": 1, "srem": 1, "forget": 1, "unlock": 2, "unlock_all": 1,
    "quota": 4, "use": 4, "stat_set": 4, "stat_del": 1,
}  # fmt: skip
_KEYS = {"unlock": 2, "unlock_all": 2, "quota": 3, "use": 3, "stat_set": 3}
_UNWATCHED = {"number", "field_number", "type", "stat", "none_exist"}
_UNFIT = {"new", "number", "field_number", "type", "stat", "none_exist"}


class Spares:
    """Connections for commits."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._free: queue.LifoQueue[Connection] = queue.LifoQueue(SPARES_MAX)

    def take(self) -> Connection:
        """Return a connection.  Raises Unavailable."""
        while True:
            try:
                found = self._free.get_nowait()
            except queue.Empty:
                return self._connect()
            if not found.is_broken:
                return found

    def give(self, connection: Connection) -> None:
        """Take one back."""
        try:
            self._free.put_nowait(connection)
        except queue.Full:
            connection.close()

    def close(self) -> None:
        """Close those that are free."""
        while not self._free.empty():
            self._free.get_nowait().close()

    def forsake(self) -> None:
        """Let go of those that a forked child inherited."""
        for connection in self._free.queue:  # past its lock, which a thread may have held
            connection.forsake()


@dataclass(frozen=True, slots=True)
class _Step:
    """One verification or change: its word, keys, and what follows."""

    op: str
    keys: tuple[bytes, ...]
    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class _Plan:
    tokens: bytes
    fence_key: bytes
    fence: Word
    slot: Word
    token: Word
    strings: tuple[bytes, ...]
    verify: list[_Step]
    changes: list[_Step]


def commit(spares: Spares, words: tuple[Word, ...]) -> Any:
    """Commit as the script does, and return what it answers.  Raises ConnectionLost."""
    plan = _parse(words)
    connection = spares.take()
    try:
        for attempt in range(CONFLICTS_MAX):
            answer = _attempt(connection, plan)
            if answer is not None:
                return answer
            time.sleep(random.uniform(0, min(attempt**2, 100) / 1000))
        return [1, 0]
    except ConnectionLost:
        connection.close()
        raise
    finally:
        spares.give(connection)


def _parse(words: tuple[Word, ...]) -> _Plan:
    fence, slot, token, program = words[1 + int(words[0]) :][:4]
    ahead = iter(words[5 + int(words[0]) :])
    steps = as_bytes(program)
    strings, count = int.from_bytes(steps[:2]), int.from_bytes(steps[2:4])
    keys = [as_bytes(next(ahead)) for _ in range(count)]
    parts: list[list[_Step]] = [[], []]
    part = 0
    for at in range(4, len(steps), 3):
        op = _NAMES[steps[at]]
        place = int.from_bytes(steps[at + 1 : at + 3])
        if op == "done":
            part += 1
            continue
        parts[part].append(_Step(op, _keys(keys, op, place), _operands(op, ahead)))
    absent = tuple(keys[2 : 2 + strings])
    return _Plan(keys[0], keys[1], fence, slot, token, absent, *parts)


def _keys(keys: list[bytes], op: str, place: int) -> tuple[bytes, ...]:
    if place < FROM_BACK:
        return (keys[place - 1],)
    first = len(keys) - 1 - (place - FROM_BACK)
    return tuple(keys[first - more] for more in range(_KEYS.get(op, 1)))


def _operands(op: str, ahead: Iterator[Word]) -> tuple[Word, ...]:
    if op == "replace":
        count = next(ahead)
        return (count, *(next(ahead) for _ in range(int(next(ahead)))))
    if op in _OPERANDS:
        return tuple(next(ahead) for _ in range(_OPERANDS[op]))
    each = 2 if op in ("hash", "change") else 1
    return tuple(next(ahead) for _ in range(each * int(next(ahead))))


# ---- one attempt
def _attempt(connection: Connection, plan: _Plan) -> Any:
    """Return the script's answer, or None if another changed something in between."""
    watched = {step.keys[0] for step in plan.verify if step.op not in _UNWATCHED}
    watched |= {step.keys[0] for step in plan.changes if step.op in _DECIDED_BY_READING}
    for step in plan.verify:
        if step.op == "none_exist":
            watched |= set(map(as_bytes, step.words))
    reads: list[Command] = [("WATCH", plan.fence_key, *watched), ("GET", plan.fence_key)]
    reads += [("TYPE", key) for key in plan.strings]
    reads += [_VERIFY_READS[step.op](step) for step in plan.verify]
    asking = [step for step in plan.changes if step.op in _CHANGE_READS]
    reads += [_CHANGE_READS[step.op](step) for step in asking]
    replies = connection.call(reads)
    refused = next((r for r in replies if isinstance(r, hiredis.ReplyError)), None)
    answer: Any = refused
    if refused is None and as_text(replies[1]) != as_text(plan.fence):
        answer = [3]
    before = 2 + len(plan.strings)
    for key, kind in zip(plan.strings, replies[2:before], strict=False):
        if answer is None and as_text(kind) not in ("none", "string"):
            answer = [2, key]
    if answer is None:
        answer = _verified(plan, replies[before:])
    if answer is not None:
        connection.call([("UNWATCH",)])
        return answer
    found = dict(zip(map(id, asking), replies[before + len(plan.verify) :], strict=True))
    done, writes = _writes(plan, found)
    result = connection.call([("MULTI",), *writes, ("EXEC",)])
    if result[-1] is None:
        return None
    # EXEC itself succeeds when one of its commands fails: that one's error lies in its answer.
    inner = result[-1] if isinstance(result[-1], list) else []
    errors = (r for r in [*result, *inner] if isinstance(r, hiredis.ReplyError))
    return next(errors, [0, *done])


def _verified(plan: _Plan, replies: Replies) -> Any:
    for at, (step, reply) in enumerate(zip(plan.verify, replies, strict=False), 1):
        if step.op in _UNFIT:
            if not _fits(step, reply):
                return [2, as_bytes(step.words[0]) if step.op == "none_exist" else step.keys[0]]
        elif not _holds(step, reply):
            return [1, at]
    return None


def _fits(step: _Step, reply: Any) -> bool:
    if step.op in ("new", "none_exist"):
        return not reply
    if step.op == "type":
        return as_text(reply) in ("none", step.words[0])
    text = b"0" if reply is None else reply
    return len(text) <= 18 and text.removeprefix(b"-").isdigit()


def _holds(step: _Step, reply: Any) -> bool:
    words = step.words
    match step.op:
        case "identity":
            return reply is not None and reply[:11] + reply[63:] == words[0]
        case "value":
            return bool(reply == words[0])
        case "field":
            return bool(reply == words[1])
        case "no_field" | "no_score":
            return reply is None
        case "absent" | "not_exists" | "present" | "exists":
            return bool(reply) == (step.op in ("present", "exists"))
        case "list":
            return len(reply) == int(words[0]) and b"".join(reply) == words[1]
        case "list_begins":
            count = int(words[0])
            return len(reply) >= count and b"".join(reply[:count]) == words[1]
        case "hash":
            found = reply if isinstance(reply, dict) else dict(pairs(reply))
            return bool(found == dict(pairs([as_bytes(word) for word in words])))
        case "set_is":
            return set(reply) == {as_bytes(word) for word in words}
        case "score":
            return reply is not None and float(reply) == float(words[1])
        case _:
            assert step.op == "hash_size", step.op
            return bool(reply == int(words[0]))


def _key_only(name: str) -> Callable[[_Step], Command]:
    return lambda step: (name, step.keys[0])


def _with_field(name: str) -> Callable[[_Step], Command]:
    return lambda step: (name, step.keys[0], step.words[0])


def _list(step: _Step) -> Command:
    return ("LRANGE", step.keys[0], 0, -1)


_VERIFY_READS: dict[str, Callable[[_Step], Command]] = {
    "identity": _key_only("GET"),
    "value": _key_only("GET"),
    "number": _key_only("GET"),
    "field": _with_field("HGET"),
    "no_field": _with_field("HGET"),
    "field_number": _with_field("HGET"),
    "stat": _with_field("HGET"),
    "absent": _key_only("EXISTS"),
    "new": _key_only("EXISTS"),
    "none_exist": lambda step: ("EXISTS", *step.words),
    "present": _key_only("EXISTS"),
    "exists": _key_only("EXISTS"),
    "not_exists": _key_only("EXISTS"),
    "type": _key_only("TYPE"),
    "list": _list,
    "list_begins": _list,
    "hash": _key_only("HGETALL"),
    "set_is": _key_only("SMEMBERS"),
    "score": _with_field("ZSCORE"),
    "no_score": _with_field("ZSCORE"),
    "hash_size": _key_only("HLEN"),
}
_CHANGE_READS: dict[str, Callable[[_Step], Command]] = {
    "touch": _key_only("GET"),
    "change": _key_only("GET"),
    "raise": _key_only("GET"),
    "use": _with_field("HEXISTS"),
    "forget": _with_field("HGET"),
    "quota": lambda step: ("HEXISTS", step.keys[2], step.words[0]),
    "unlock": _key_only("HKEYS"),
    "unlock_all": _key_only("HKEYS"),
}
# Statistics and quotas may change meanwhile: whether there are any is what was read.
_DECIDED_BY_READING = ("touch", "change", "raise", "forget", "unlock", "unlock_all")


# ---- writing
def _writes(plan: _Plan, found: dict[int, Any]) -> tuple[list[Any], list[Command]]:
    """Return what the script would answer, and the commands that do what it would do."""
    done: list[Any] = []
    writes: list[Command] = [("HSET", plan.tokens, plan.slot, plan.token)]
    nodes: dict[bytes, bytes] = {}  # as this commit leaves them so far
    for step in plan.changes:
        key, words = step.keys[0], step.words
        if step.op in ("touch", "change"):
            value = changed(nodes.get(key) or found[id(step)], _node_words(step))
            nodes[key] = value
            done.append(value)
            writes.append(("SET", key, value))
        elif step.op == "use":
            done.append(int(bool(found[id(step)])))
            if found[id(step)]:
                for of, by in zip(step.keys, words[1:], strict=True):
                    writes.append(("HINCRBY", of, words[0], by))
        elif step.op in _PLAIN:
            writes.append((_PLAIN[step.op], key, *words))
            if step.op == "set":
                nodes[key] = as_bytes(words[0])
        else:
            writes += _others(step, found.get(id(step)))
    return done, writes


_PLAIN = {
    "set": "SET", "hset": "HSET", "incr": "INCRBY", "hdel": "HDEL", "del": "DEL",
    "hincr": "HINCRBY", "stat_del": "HDEL", "push": "RPUSH", "hset_many": "HSET",
    "zrem": "ZREM", "sadd": "SADD", "srem": "SREM",
}  # fmt: skip


def _others(step: _Step, found: Any) -> list[Command]:
    key, words = step.keys[0], step.words
    match step.op:
        case "set_many":
            return [("MSET", *words)]
        case "push_many":
            return list(_pushes(iter(words)))
        case "stat_set":
            return [("HSET", of, words[0], n) for of, n in zip(step.keys, words[1:], strict=True)]
        case "zadd":
            return [("ZADD", key, words[1], words[0])]
        case "replace":
            new = [("LPUSH", key, word) for word in reversed(words[1:])]
            return [("LTRIM", key, words[0], -1), *new]
        case "forget":
            return [("HDEL", key, words[0])] if found is not None and int(found) < 0 else []
        case "raise":
            higher = found is None or int(found) < int(words[0])
            return [("SET", key, words[0])] if higher else []
        case "unlock":
            begins = as_bytes(words[1])
            others = [f for f in found if f.startswith(begins) and f != as_bytes(words[0])]
            gone: list[Command] = [] if others else [("SREM", step.keys[1], key)]
            return [("HDEL", key, words[0]), *gone]
        case "unlock_all":
            mine = [field for field in found if field.startswith(as_bytes(words[0]))]
            let_go: list[Command] = [("HDEL", key, *mine)] if mine else []
            return [*let_go, ("SREM", step.keys[1], key)]
        case _:
            assert step.op == "quota", step.op
            name, space, inodes, limits = words
            if not found and limits == b"":
                return []
            made: list[Command] = [] if found else [("HSETNX", key, name, limits)]
            used = ((step.keys[1], space), (step.keys[2], inodes))
            return [*made, *(("HINCRBY", of, name, by) for of, by in used)]


def _pushes(words: Iterator[Word]) -> Iterator[Command]:
    for key in words:
        yield ("RPUSH", key, *[next(words) for _ in range(int(next(words)))])


def _node_words(step: _Step) -> tuple[Word, ...]:
    if step.op == "change":
        return step.words
    by, at_least = step.words
    return ("nlink by", by, "mtime at least", at_least, "ctime at least", at_least)
