"""Finding the server and staying connected to it.

A `Live` is one connection with the records it keeps true and its fence.  Each connection of a
writing client raises the fence before it commits anything: a commit sent through an older
connection, still on its way, is then refused by the script.  Only so may a lost answer be judged by
its token.

Locks: `_lock` guards `_live` and the making of it; a lost connection is replaced once for all.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import hiredis

from roost.errors import RoostError, Unavailable
from roost.volume.engines.claims import Doubt, Held
from roost.volume.engines.forks import Origin
from roost.volume.engines.redis import places
from roost.volume.engines.redis.cache import RecordCache
from roost.volume.engines.redis.claimed import RedisClaims
from roost.volume.engines.redis.commit_script import COMMIT_SCRIPT, LOOKUP_SCRIPT
from roost.volume.engines.redis.connection import Command, Connection
from roost.volume.engines.redis.errors import (
    ConnectionLost,
    NoMaster,
    NotNow,
    failure,
    is_forbidden,
)
from roost.volume.engines.redis.keys import Keys, counter_offset
from roost.volume.engines.redis.places import Place
from roost.volume.engines.redis.stream import Address, connect
from roost.volume.engines.redis.watch import Spares

RECONNECT_S_MAX = 10.0  # how long an operation waits for a server that is away
BACKOFF_S_MIN = 0.02
BACKOFF_S_MAX = 1.0
TOKENS_KEPT_S = 7 * 86400  # the tokens of a client that vanished go by themselves
PING_EVERY_S = 1.0
PROTOCOL = 3  # RESP3: invalidations come between answers
REFRESH_BEATS = 10  # how often the tokens' time to live begins anew
UNTRACKED_S_MAX = 1.0  # without tracking, records are kept so long
_AWAY = "Is the server running, and the URL right?"
_NO_MASTER = "Are the Sentinels running, the master's name and SENTINEL_PASSWORD right?"

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Abilities:
    """What the server lets this user do."""

    scripts: bool = True
    tracking: bool = True
    resp3: bool = True


class Live:
    """One connection, and all that ends with it."""

    def __init__(
        self, connection: Connection, cache: RecordCache, fence: int, setting: bytes | None
    ) -> None:
        self.connection = connection
        self.cache = cache
        self.fence = fence
        self.setting = setting  # as it was when the claims were asked last

    @property
    def is_over(self) -> bool:
        """True if it must not be used any more."""
        return self.connection.is_broken or self.cache.was_flushed


class Link:
    """The way to one server.  Safe from many threads."""

    def __init__(self, place: Place, *, read_only: bool) -> None:
        """Connect.  Raises Unavailable, Unsupported."""
        self._origin = Origin()
        self.place = place
        self.client = random.SystemRandom().getrandbits(62)  # names the hash of tokens
        self.can = Abilities()
        self._read_only = read_only
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._fence = 0
        self._tried_s = 0.0
        self.claims = RedisClaims()
        self.keys = Keys()
        self.spares = Spares(self.open_connection)
        self._live: Live | None = self._connect_live()
        self._pinging = threading.Thread(target=self._ping, name="roost-redis", daemon=True)
        self._pinging.start()

    def is_same(self, live: Live, setting: Any) -> bool:
        """False if a reply that came with these settings may not be of the claimed volume."""
        return not self.claims or setting == live.setting

    # ---- the shared connection
    def live(self) -> Live:
        """Return the connection all share, made anew if it broke.

        Raises Unavailable if one try just failed; VolumeReplaced; ConnectionLost is for who uses
        it.
        """
        self._origin.demand(self.place)
        live = self._live
        if live is not None and not live.is_over:
            return live
        with self._lock:
            live = self._live
            if live is not None and not live.is_over:
                return live
            if self._closing.is_set():
                raise Unavailable(f"{self.place} is closed")
            self.claims.demand()
            if live is not None:
                if live.cache.was_flushed:
                    log.info(
                        "settings at %s changed, or were flushed; connecting again", self.place
                    )
                else:
                    log.warning("the connection to %s is lost; connecting again", self.place)
                live.connection.close()
                live.cache.clear()
            if time.monotonic() - self._tried_s < BACKOFF_S_MIN:
                raise Unavailable(f"{self.place} does not answer")  # another thread just tried
            self._live = None
            try:
                self._live = self._connect_live()
            finally:
                self._tried_s = time.monotonic()
            return self._live

    def live_or_wait(self) -> Live:
        """Return the connection all share, waiting for a server that is away.

        Raises Unavailable, VolumeReplaced.
        """
        self._origin.demand(self.place)
        live = self._live
        if live is not None and not live.is_over:
            return live
        last: Unavailable | None = None
        for _ in self.patiently():
            try:
                return self.live()
            except Unavailable as error:
                last = error
        raise last or Unavailable(f"{self.place} is closed")

    def drop(self, live: Live) -> None:
        """Give a connection up: the server behind it is not, or no longer, the right one."""
        live.connection.close()

    def patiently(self) -> Iterable[int]:
        """Yield numbers of attempts, with growing pauses, for RECONNECT_S_MAX at most."""
        ends_s = time.monotonic() + RECONNECT_S_MAX
        pause_s = BACKOFF_S_MIN
        attempt = 0
        while True:
            yield attempt
            attempt += 1
            pause_s = min(pause_s * 2, BACKOFF_S_MAX)
            wait_s = pause_s * random.uniform(0.5, 1.0)
            if time.monotonic() + wait_s > ends_s or self._closing.wait(wait_s):
                return

    def open_connection(self, on_push: Callable[[list[Any]], None] | None = None) -> Connection:
        """Return a connection of one's own, without tracking.  Raises Unavailable."""
        self._origin.demand(self.place)
        try:
            connection, _ = self._greeted(on_push or [].append, shared=False)
        except (OSError, ConnectionLost, NotNow) as error:
            raise Unavailable(f"cannot reach {self.place}: {error}") from error
        return connection

    def close(self) -> None:
        """Close the shared connection and stop the pinging.  May be repeated.

        In a forked child that inherited it: let go of the copies, without a goodbye.
        """
        if not self._origin.is_here:
            self._forsake()
            return
        self._closing.set()
        with self._lock:
            live, self._live = self._live, None
        if live is not None:
            if not self._read_only and not live.connection.is_broken:
                try:
                    live.connection.call([("DEL", *self._own_keys())])
                except ConnectionLost:
                    log.debug("a hash of commit tokens stays behind")
            live.connection.close()
        self.spares.close()
        self._pinging.join()

    def _forsake(self) -> None:
        if self._live is not None:
            self._live.connection.forsake()
        self.spares.forsake()

    # ---- making connections
    def _connect_live(self) -> Live:
        cache = RecordCache(self.keys.prefix)
        try:
            connection, prefix = self._greeted(cache.on_push, shared=True)
            if prefix != self.keys.prefix:
                self.keys = Keys(prefix)
                connection.close()
                cache = RecordCache(prefix)
                connection, _ = self._greeted(cache.on_push, shared=True)
            self._fence += 1
            setting = self._settle(connection)
        except (OSError, ConnectionLost, NotNow) as error:
            raise Unavailable(
                f"cannot reach {self.place}: {error}",
                hint=_NO_MASTER if isinstance(error, NoMaster) else _AWAY,
            ) from error
        return Live(connection, cache, self._fence, setting)

    def _settle(self, connection: Connection) -> bytes | None:
        """Ask the claims, and make the connection the one that commits; return the settings.

        Nothing is written to a database that is not as claimed.
        """
        try:
            held = self.claims.begin()
            keys = [self.keys.setting, *map(self.keys.counter, held.ends)]
            setting: bytes | None
            setting, *raw = self._must(connection, ("MGET", *keys))
            self.claims.verify(setting)
            if not self._read_only:
                self._raise_fence(connection)
                self._raise_counters(connection, held, raw)
        except BaseException:
            connection.close()
            raise
        return setting

    def _raise_counters(
        self, connection: Connection, held: Held, raw: Sequence[bytes | None]
    ) -> None:
        """Raise counters that the server lost commits of; by addition, since others add too."""
        if not held.ends:
            return
        tokens = self._must(connection, ("HMGET", self.keys.tokens(self.client), *held.ends))
        for doubt, by in self.claims.to_raise(held, raw, tokens):
            try:
                stored = self._raise_counter(connection, doubt, by)
            except BaseException:
                self.claims.unsure(doubt)
                raise
            self.claims.lost(doubt, stored)

    def _raise_counter(self, connection: Connection, doubt: Doubt, by: int) -> int:
        """Return the counter as it was just before; in the same step it is proved what is ours."""
        raised = ("INCRBY", self.keys.counter(doubt.counter), by)
        proved = ("HSET", self.keys.tokens(self.client), doubt.counter, doubt.end)
        replies = connection.call([("MULTI",), raised, proved, ("EXEC",)])
        for reply in replies:
            self._check(reply)
        after, proof = replies[-1]
        self._check(proof)
        return int(self._check(after)) - by + counter_offset(doubt.counter)

    def _greeted(self, on_push: Any, *, shared: bool) -> tuple[Connection, bytes]:
        """Return a connection to the right server, logged in, and the prefix of its keys."""
        address = places.find(self.place)
        for _ in range(places.REDIRECTS_MAX):
            connection = Connection(connect(address, self.place.tls), on_push)
            try:
                owner, prefix = self._greet(connection, address, shared)
            except BaseException:
                connection.close()
                raise
            if owner is None:
                return connection, prefix
            connection.close()
            address = owner
        raise NotNow("the cluster sends us around in circles")

    def _greet(
        self, connection: Connection, address: Address, shared: bool
    ) -> tuple[Address | None, bytes]:
        """Log in, and make ready what commits and cached reads need of a `shared` connection.

        Return where else to go, if this node of a cluster is the wrong one.
        """
        self._log_in(connection)
        in_cluster = self.place.in_cluster
        info = connection.call([("INFO", "cluster")])[0]
        if isinstance(info, bytes | str) and b"cluster_enabled:1" in _as_bytes(info):
            in_cluster = True
        if in_cluster:
            prefix = b"{%d}" % self.place.database
            owner = places.owner(connection, prefix, address)
            if owner is not None:
                return owner, prefix
        else:
            prefix = b""
            if self.place.database:
                self._must(connection, ("SELECT", self.place.database))
        if not shared:
            return None, prefix
        if self.can.tracking:
            reply = connection.call([("CLIENT", "TRACKING", "ON", "NOLOOP")])[0]
            self.can.tracking = self.can.resp3 and not isinstance(reply, hiredis.ReplyError)
        self._load_scripts(connection)
        return None, prefix

    def _log_in(self, connection: Connection) -> None:
        login: Command = ()
        if self.place.password:
            login = ("AUTH", self.place.user or "default", self.place.password)
        reply = connection.call([("HELLO", PROTOCOL, *login)])[0]
        if not isinstance(reply, hiredis.ReplyError):
            return
        if not is_forbidden(reply) and not str(reply).startswith("NOPROTO"):
            self._check(reply)
        self.can.resp3 = self.can.tracking = False  # an old server, or a proxy before one
        if self.place.password:
            user = (self.place.user,) if self.place.user else ()
            self._must(connection, ("AUTH", *user, self.place.password))

    def _load_scripts(self, connection: Connection) -> None:
        replies = connection.call(
            [("SCRIPT", "LOAD", LOOKUP_SCRIPT), ("SCRIPT", "LOAD", COMMIT_SCRIPT)]
        )
        self.can.scripts = True
        for reply in replies:
            if isinstance(reply, hiredis.ReplyError):
                if not is_forbidden(reply):
                    self._check(reply)
                self.can.scripts = False
        if self.can.scripts:
            reply = connection.call([("EVALSHA", "0" * 40, 0)])[0]
            self.can.scripts = not is_forbidden(reply)

    def _raise_fence(self, connection: Connection) -> None:
        fence = self.keys.fence(self.client)
        self._must(connection, ("SET", fence, self._fence, "EX", TOKENS_KEPT_S))

    def _must(self, connection: Connection, command: Command) -> Any:
        return self._check(connection.call([command])[0])

    def _check(self, reply: Any) -> Any:
        if isinstance(reply, hiredis.ReplyError):
            raise failure(reply, str(self.place))
        return reply

    def _own_keys(self) -> tuple[bytes, bytes]:
        return self.keys.tokens(self.client), self.keys.fence(self.client)

    # ---- the pulse
    def _ping(self) -> None:
        """Notice a server that is gone, and keep the tokens from running out."""
        beats = 0
        while not self._closing.wait(PING_EVERY_S):
            live = self._live_again()
            if live is None:
                continue
            beats += 1
            commands: list[Command] = [("PING",)]
            if beats % REFRESH_BEATS == 0 and not self._read_only:
                commands += [("EXPIRE", key, TOKENS_KEPT_S) for key in self._own_keys()]
            if not self.can.tracking:
                live.cache.clear()
            try:
                if live.connection.silent_s >= PING_EVERY_S or len(commands) > 1:
                    live.connection.call(commands)
            except ConnectionLost as error:
                live.cache.clear()
                if not self._closing.is_set():
                    log.warning("%s: %s", self.place, error)
                self._live_again()

    def _live_again(self) -> Live | None:
        """Connect again if need be, at once: others must not get the numbers that we hold."""
        try:
            return None if self._closing.is_set() else self.live()
        except RoostError as error:
            log.debug("not connected again: %s", error)
            return None


def _as_bytes(text: bytes | str) -> bytes:
    return text.encode() if isinstance(text, str) else text
