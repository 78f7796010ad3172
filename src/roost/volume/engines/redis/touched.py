"""What changed in the database while it is listed, and reading just that in one atomic step.

Redis has no snapshots, but it tells every change of a key to who asks for it.  So a listing can be
brought up to one moment afterwards: what was touched meanwhile is read again, the last of it in one
transaction.  Source: Redis, client-side caching, broadcasting mode.

The server tells at the end of a turn of its loop, after the answers of that turn.  So what is told
before the answer to a command of a later turn covers everything up to a command of an earlier one.
To hear that soon, and not when a long answer was read, two large commands follow the transaction:
the server reads at most one of them in a turn (`_MARK`).
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import hiredis
import numpy as np

from roost.errors import Unavailable
from roost.volume.engines.redis.connection import Command, Connection, Replies
from roost.volume.engines.redis.errors import failure
from roost.volume.engines.redis.keys import Keys
from roost.volume.engines.redis.scans import RedisScans
from roost.volume.engines.redis.small_scans import AT_ONCE, Numbers
from roost.volume.engines.redis.upkeep import Hints
from roost.volume.engines.redis.wants import fields
from roost.volume.meta.damage import Leniency
from roost.volume.meta.reads import Scans
from roost.volume.meta.touched import Touched
from roost.volume.model import DirUsage, Ino

T = TypeVar("T")

# In one turn the server reads no more of a connection than its buffer for queries holds: 16 KiB, or
# what an earlier command left it grown to.  Ours are made of small arguments, but for this one.  So
# the buffer holds one such and a bit, never two.  Source: Redis, networking.c, readQueryFromClient.
_MARK: Command = ("PING", b"x" * 40_000)
_COMMANDS_AT_ONCE = 50  # outside of a transaction; others are served in between

_KINDS = (b"i", b"d", b"c", b"s", b"x")  # `s` is that of sessions too; none begins another
_PLACE = re.compile(rb"(i|d|c|s|x|session)(\d+)(?:_(\d+))?")
_LETTERS = {b"i": b"I", b"d": b"J", b"c": b"K", b"s": b"Y", b"x": b"X", b"session": b"B"}
_BLANK: dict[str, Callable[[Command], Any]] = {
    "GET": lambda _: None,
    "EXISTS": lambda _: 1,  # so that what comes after a yes is asked for
    "HGETALL": lambda _: {},
    "HMGET": lambda command: [None] * (len(command) - 2),
    "LRANGE": lambda _: [],
    "MGET": lambda command: [None] * (len(command) - 1),
    "SMEMBERS": lambda _: [],
    "ZRANGE": lambda _: [],
}


class Told:
    """What the server tells of changes on one connection, in the order of the wire."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._touched: set[Touched] = set()
        self._was_flushed = False

    def tracking(self) -> Command:
        """Return the command that begins it."""
        prefixes = [part for kind in _KINDS for part in ("PREFIX", self._keys.prefix + kind)]
        return ("CLIENT", "TRACKING", "ON", "BCAST", *prefixes)

    def on_push(self, message: list[Any]) -> None:
        """Take what the server pushed."""
        if message[0] != b"invalidate":
            return
        if message[1] is None:
            self._was_flushed = True
            return
        begins = len(self._keys.prefix)
        for key in message[1]:
            found = _PLACE.fullmatch(key[begins:])
            if found is not None:
                kind, number, chunk_no = found.groups()
                self._touched.add((_LETTERS[kind], int(number), int(chunk_no or 0)))

    def take(self) -> set[Touched]:
        """Return what was touched since the last time."""
        taken, self._touched = self._touched, set()
        return taken

    def take_flush(self) -> bool:
        """True if a database of the server was emptied since the last time; which, is not told."""
        taken, self._was_flushed = self._was_flushed, False
        return taken


class TouchedScans(RedisScans):
    """Scans that see only what was touched, and all of the small tables, as of one moment.

    It runs twice: first to learn what to ask for, then on the answers.
    """

    def __init__(
        self, keys: Keys, place: str, hints: Hints, touched: Iterable[Touched], usage: Iterable[Ino]
    ) -> None:
        # Without a connection: nothing is asked for but what `ask` was given.
        self._keys = keys
        self._place = place
        self._hints = hints
        self._damage = Leniency()
        self._inos: dict[bytes, set[int]] = {}
        chunks = set()
        for letter, ino, chunk_no in touched:
            self._inos.setdefault(letter, set()).add(ino)
            if letter == b"K":
                chunks.add((ino, chunk_no))
        self._chunks_touched = sorted(chunks)
        self._usage = np.array(sorted(usage), np.int64)
        self._wanted: dict[Command, None] | None = {}
        self._answers: dict[Command, Any] = {}

    @property
    def commands(self) -> list[Command]:
        """What was asked for so far."""
        return list(self._wanted or {})

    def answer(self, replies: Replies) -> None:
        """From now on read from these replies to `commands`."""
        self._answers = dict(zip(self.commands, replies, strict=True))
        self._wanted = None

    @property
    def is_snapshot(self) -> bool:
        """As in Scans."""
        return True

    def all_dir_usage(self) -> Iterator[tuple[Ino, DirUsage]]:
        """As in Scans."""
        return self._usages_of(self._usage)

    def _numbers(self, kind: bytes) -> Numbers:
        return np.array(sorted(self._inos.get(_LETTERS[kind], ())), np.int64)

    def _chunk_places(self) -> Iterator[list[tuple[int, int]]]:
        for start in range(0, len(self._chunks_touched), AT_ONCE):
            yield self._chunks_touched[start : start + AT_ONCE]

    def _replies(self, commands: Sequence[Command]) -> Replies:
        return self._call(commands)

    def _call(self, commands: Sequence[Command]) -> Replies:
        return [self._one(command) for command in commands]

    def _one(self, command: Command) -> Any:
        # A scan in parts would be of several moments.
        whole = ("HGETALL", command[1]) if command[0] in ("HSCAN", "HGET") else command
        if self._wanted is not None:
            self._wanted[whole] = None
            reply = _BLANK[str(whole[0])](whole)
        else:
            reply = self._answers[whole]
        if command[0] == "HSCAN":
            return [0, [part for pair in fields(reply).items() for part in pair]]
        if command[0] == "HGET":
            assert isinstance(command[2], bytes)
            return fields(reply).get(command[2])
        return reply


class WatchedScans(RedisScans):
    """Scans that can tell what was touched meanwhile.  Satisfies meta.touched.TellsTouched."""

    def __init__(
        self, connection: Connection, keys: Keys, place: str, hints: Hints, told: Told | None
    ) -> None:
        """`told` hears the connection's pushes; None if the server has none."""
        super().__init__(connection, keys, place, hints)
        self._told = told
        self._setting: Any = None

    def watch(self) -> bool:
        """As in TellsTouched.  False also for a user without the right to transactions."""
        if self._told is None:
            return False
        begun, ended = self._connection.call([("MULTI",), ("EXEC",)])
        if isinstance(begun, hiredis.ReplyError):
            return False
        if isinstance(ended, hiredis.ReplyError):
            self._connection.call([("DISCARD",)])
            return False
        reply = self._connection.call([self._told.tracking()])[0]
        if isinstance(reply, hiredis.ReplyError):
            return False
        self._setting = self._ask("GET", self._keys.setting)
        return True

    def unwatch(self) -> None:
        """As in TellsTouched."""
        self._ask("CLIENT", "TRACKING", "OFF")

    def touched(self) -> set[Touched]:
        """As in TellsTouched."""
        assert self._told is not None, "as `watch` said"
        self._ask("PING")
        self._refuse_flush()
        return self._told.take()

    def entries(self, touched: Iterable[Touched]) -> int:
        """As in TellsTouched."""
        inos = [ino for letter, ino, _ in touched if letter == b"J"]
        lengths: list[int] = self._pieces([("HLEN", self._keys.folder(Ino(ino))) for ino in inos])
        return sum(lengths)

    def read_touched(
        self,
        touched: Iterable[Touched],
        usage: Sequence[Ino],
        rule: Callable[[Scans], T],
        *,
        as_one: bool,
    ) -> tuple[T, set[Touched]]:
        """As in TellsTouched."""
        scans = TouchedScans(self._keys, self._place, self._hints, touched, usage)
        rule(scans)
        if as_one:
            found, later = self._transaction(scans.commands)
        else:
            found, later = self._pieces(scans.commands), self.touched()
        scans.answer(found)
        return rule(scans), later

    def _transaction(self, commands: list[Command]) -> tuple[Replies, set[Touched]]:
        """Return the replies of one moment, and what was touched until just after."""
        told, later = self._told, set[Touched]()
        assert told is not None, "as `watch` said"
        replies = self._connection.call(
            [("MULTI",), *commands, ("EXEC",), _MARK, _MARK], lambda _: later.update(told.take())
        )
        found = replies[len(commands) + 1]
        for reply in (found, *(found if isinstance(found, list) else ())):
            if isinstance(reply, hiredis.ReplyError):
                raise failure(reply, self._place)
        self._refuse_flush()
        return found, later

    def _pieces(self, commands: list[Command]) -> Replies:
        """Return replies, of many moments."""
        return [
            reply
            for start in range(0, len(commands), _COMMANDS_AT_ONCE)
            for reply in self._call(commands[start : start + _COMMANDS_AT_ONCE])
        ]

    def _refuse_flush(self) -> None:
        """Raise Unavailable if it was this database that was emptied, and not a neighbour."""
        assert self._told is not None, "as `watch` said"
        if self._told.take_flush() and self._ask("GET", self._keys.setting) != self._setting:
            raise Unavailable("the database was emptied while it was read")
