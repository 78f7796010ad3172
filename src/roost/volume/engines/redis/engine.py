"""Metadata in Redis, in JuiceFS's own keys; the official client may have it open as well.

A rule runs first on the records this client keeps, which the server's tracking keeps true; what is
missing is fetched.  Its checks and effects are then one call of the commit script: one round trip.
If a check fails, all that the rule looked at is read again in one atomic step, and it runs on that.
An outcome that commits nothing is final only if all it rests on was read in one atomic step.

Each commit writes a token in the same step.  If the answer is lost, the token decides, after the
fence of the new connection has shut out whatever the old one still had on its way.

State: `_slots` are the places of tokens, one for each commit on its way.  No lock is held while a
rule runs or the server is asked.
"""

import errno
import itertools
import logging
import queue
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal, TypeVar

import hiredis

from roost.clock import Clock
from roost.errors import CommitUnknown, Failure, RoostError, Unavailable
from roost.volume.engines.redis import upkeep, watch
from roost.volume.engines.redis.cache import Record, is_cached
from roost.volume.engines.redis.commit_script import COMMIT_SCRIPT, COMMIT_SHA, LOOKUP_SCRIPT
from roost.volume.engines.redis.connection import Command, Connection, Replies
from roost.volume.engines.redis.encode import Encoded, encode_checks
from roost.volume.engines.redis.encode_effects import encode_effects
from roost.volume.engines.redis.errors import ConnectionLost, failure, is_passing
from roost.volume.engines.redis.keys import Keys
from roost.volume.engines.redis.link import Link, Live
from roost.volume.engines.redis.listings import Listings
from roost.volume.engines.redis.session import Page, Pages, Raw, Reading, Restart
from roost.volume.engines.redis.standing import Standing, ask_standing
from roost.volume.engines.redis.touched import Told, WatchedScans
from roost.volume.engines.redis.wants import Fetch
from roost.volume.errors import FsError
from roost.volume.meta.claim import Claim
from roost.volume.meta.reads import Reads, Scans
from roost.volume.meta.txn import Commit, Txn
from roost.volume.model import ChunkNo, Ino, SliceId

CONFLICTS_MAX = 50  # as JuiceFS
CONFLICT_PAUSE_S_MAX = 0.1
RUNS_MAX = 10_000  # of one rule; each finds a record that it lacked
COMMITS_AT_ONCE_MAX = 1024

T = TypeVar("T")
log = logging.getLogger(__name__)


class RedisEngine:
    """An open database.  Satisfies meta.txn.Engine, and session.Server for its runs."""

    def __init__(self, link: Link, clock: Clock, *, read_only: bool) -> None:
        self._link = link
        self._clock = clock
        self._read_only = read_only
        self._numbers = itertools.count(1)
        self._slots: queue.SimpleQueue[int] = queue.SimpleQueue()
        for slot in range(COMMITS_AT_ONCE_MAX):
            self._slots.put(slot)
        self._listings = Listings(self.call)
        self._hints = upkeep.Hints()
        self._standing = ask_standing(self._tell)

    # ---- Engine
    @property
    def is_read_only(self) -> bool:
        """As in Engine."""
        return self._read_only

    @property
    def takes_stored_files(self) -> Literal[True]:
        """As in TakesStoredFiles."""
        return True

    @property
    def standing(self) -> Standing:
        """What is known of the server, as of opening."""
        return self._standing

    @property
    def durability(self) -> str:
        """As in Engine."""
        return self._standing.durability

    @property
    def notes(self) -> tuple[str, ...]:
        """As in Engine."""
        return self._standing.notes(self._link.can)

    def read(self, rule: Callable[[Reads], T]) -> T:
        """As in Engine.read; one round trip if nothing or all was known."""
        known: Raw | None = None
        pages: Pages = {}
        for _ in range(RUNS_MAX):
            reading = self._reading(known, pages)
            try:
                answer = rule(reading)
            except Restart as restart:
                known = restart.known
                continue
            except Failure:
                raise
            except RoostError:
                if reading.is_snapshot:
                    raise
            else:
                if reading.is_snapshot:
                    return answer
            known = self._read_again(reading)
        raise Unavailable(f"{self._link.place}: what is read changes all the time")

    def run(self, rule: Callable[[Txn], T]) -> T:
        """As in Engine.run; one round trip if what the rule reads is known."""
        known: Raw | None = None
        conflicts = 0
        for _ in range(RUNS_MAX):
            reading = self._reading(known, {})
            txn = Txn(reading, self._clock.wall_ns())
            try:
                answer = rule(txn)
                commit = txn.commit
                if not commit.effects:
                    if reading.is_snapshot:
                        return answer
                elif self._commit(reading, commit):
                    return answer
                else:
                    conflicts += 1
            except Restart as restart:
                known = restart.known
                continue
            except Failure:
                raise
            except RoostError:
                if reading.is_snapshot or reading.is_committing:
                    raise
            if conflicts > CONFLICTS_MAX:
                break
            if conflicts > 1:
                time.sleep(random.uniform(0, min(conflicts**2 / 1000, CONFLICT_PAUSE_S_MAX)))
            known = self._read_again(reading)
        raise Unavailable(f"{self._link.place}: too many others change the same")

    @contextmanager
    def scan(self) -> Iterator[Scans]:
        """As in Engine.scan; Redis has no snapshots, see RedisScans."""
        keys, place = self._link.keys, str(self._link.place)
        told = Told(keys) if self._link.can.resp3 else None
        connection = self._link.open_connection(None if told is None else told.on_push)
        try:
            self._verify(connection)
            yield WatchedScans(connection, keys, place, self._hints, told)
            self._verify(connection)  # else what was not found may have been flushed
        except ConnectionLost as error:
            raise Unavailable(f"cannot read {self._link.place}: {error}") from error
        finally:
            connection.close()

    def hold(self, claim: Claim) -> None:
        """As in Engine."""
        self._link.claims.add(claim)

    def destroy(self) -> None:
        """As in Engine."""
        if self._read_only:
            raise FsError(errno.EROFS)
        upkeep.remove_all(self.call, self._link.keys)

    def close(self) -> None:
        """As in Engine.  May be repeated."""
        self._link.close()

    # ---- runs
    def _reading(self, known: Raw | None, pages: Pages) -> Reading:
        if known is None:
            return Reading(self, self._link.live_or_wait().cache, {}, pages, guesses=True)
        return Reading(self, None, known, pages, guesses=True)

    def _read_again(self, reading: Reading) -> Raw:
        """Return all that a run looked at as of one moment; absent entries with their nodes."""
        absent = [r for r, value in reading.seen.items() if r[0] == "edge" and value is None]
        lookups = set(absent)
        return self.fetch([r for r in reading.seen if r not in lookups], absent)

    # ---- asking
    def call(self, commands: list[Command]) -> Replies:
        """Return the replies of commands that may be repeated.

        Raises Unavailable, CorruptRecord and others for a refusal.
        """
        return self._ask(commands, None, lambda replies: next(_refusals(replies), None))

    def _tell(self, commands: list[Command]) -> Replies:
        """Return replies, refusals among them."""
        return self._ask(
            commands, None, lambda replies: next(filter(is_passing, _refusals(replies)), None)
        )

    def fetch(self, wanted: Sequence[Record], lookups: Sequence[Record]) -> Raw:
        """As in session.Server.  Raises Unavailable."""
        if lookups and not self._link.can.scripts:
            wanted, lookups = [*wanted, *lookups], []
        fetch = Fetch(self._link.keys, wanted, lookups)
        if not fetch.commands:
            return {}
        found: list[tuple[Raw, Raw]] = []

        def note(live: Live, replies: Replies) -> None:
            replies = replies[: len(fetch.commands)]
            if fetch.error_in(replies) is None:
                found[:] = [fetch.values(replies)]
                live.cache.put([pair for pair in found[0][0].items() if is_cached(pair[0])])

        self._ask(fetch.commands, note, fetch.error_in)
        values, untracked = found[0]
        return {**untracked, **values}

    def _ask(
        self,
        commands: list[Command],
        note: Callable[[Live, Replies], None] | None,
        refusal_in: Callable[[Replies], hiredis.ReplyError | None],
    ) -> Replies:
        last: Exception | None = None
        for _ in self._link.patiently():
            # The server tells of a flush before it answers anything after that; or it is asked.
            watchword: list[Command] = [] if self._link.can.tracking else [self._whose]
            try:
                live = self._link.live()
                noting = None if note is None else partial(note, live)
                replies = live.connection.call([*commands, *watchword], noting)
            except (Unavailable, ConnectionLost) as error:
                last = error
                continue
            if live.cache.was_flushed or (
                watchword and not self._link.is_same(live, replies.pop())
            ):
                self._link.drop(live)
                last = ConnectionLost("the database was flushed, or its settings changed")
                continue
            refusal = refusal_in(replies)
            if refusal is None:
                return replies
            last = failure(refusal, str(self._link.place))
            if str(refusal).startswith("NOSCRIPT"):
                self._load_scripts(live)
            elif is_passing(refusal):
                self._link.drop(live)
            else:
                raise last
        raise _given_up(f"{self._link.place} does not answer", last) from last

    @property
    def _whose(self) -> Command:
        return ("GET", self._link.keys.setting)

    def _verify(self, connection: Connection) -> None:
        (setting,) = connection.call([self._whose])
        if isinstance(setting, hiredis.ReplyError):
            raise failure(setting, str(self._link.place))
        self._link.claims.verify(setting)

    def _load_scripts(self, live: Live) -> None:
        """Give the server its scripts again: it was restarted, or somebody flushed them."""
        try:
            live.connection.call(
                [("SCRIPT", "LOAD", LOOKUP_SCRIPT), ("SCRIPT", "LOAD", COMMIT_SCRIPT)]
            )
        except ConnectionLost as error:
            log.debug("no scripts loaded: %s", error)

    # ---- committing
    def _commit(self, reading: Reading, commit: Commit) -> bool:
        """Commit; False if a check does not hold.  Raises CommitUnknown, Unavailable, FsError."""
        if self._read_only:
            raise FsError(errno.EROFS)
        reading.is_committing = True
        live = self._link.live_or_wait()
        encoded = Encoded(self._link.keys, reading, live.cache)
        encode_checks(encoded, commit.checks)
        encode_effects(encoded, commit.effects)
        if encoded.hints:
            self._hints.note_deleted(encoded.hints)
        made, settled = self._link.claims.reservation(commit.effects), self._link.claims.settled
        if made is not None:  # its token stays, to be found after the next connection
            answer = self._send(encoded, made.name, made.value)
        else:
            slot = self._slots.get()
            try:
                answer = self._send(encoded, slot, next(self._numbers))
            finally:
                self._slots.put(slot)
        if answer is None:
            return False
        if made is not None and not self._link.claims.reserved(made, settled):
            self._link.claims.drop(commit.effects)
        for (what, ino), value in zip(encoded.results, answer[1:], strict=False):
            if what == "usage" and value != 1:
                upkeep.compute_usage(self._link, ino, is_broken=value == 2)
        for ino in encoded.to_compute:
            upkeep.compute_usage(self._link, ino, is_broken=False)
        return True

    def _send(self, encoded: Encoded, slot: int | str, token: int) -> list[Any] | None:
        """Return the script's answer, [0] if it was lost but the commit done, None: a conflict."""
        place = str(self._link.place)
        last: Exception | None = None
        losses = self._link.claims.losses
        for _ in self._link.patiently():
            try:
                live = self._link.live()
            except Unavailable as error:
                last = error
                continue
            if self._link.claims.losses != losses:
                return None  # the rule decides again, by what is left
            words = encoded.words(self._link.client, live.fence, slot, token)
            try:
                if not self._link.can.scripts:
                    answer = watch.commit(self._link.spares, words)
                else:
                    command = ("EVALSHA", COMMIT_SHA, *words)
                    answer = live.connection.call([command], partial(encoded.note, live.cache))[0]
            except Unavailable as error:  # no connection to commit by: nothing was sent
                last = error
                continue
            except ConnectionLost as error:
                last = error
                self._link.drop(live)  # a new connection raises the fence before the token is read
                if self._was_done(slot, token, error):
                    return [0]
                continue
            if isinstance(answer, hiredis.ReplyError):
                last = failure(answer, place)
                if str(answer).startswith("NOSCRIPT"):
                    self._load_scripts(live)
                elif is_passing(answer):
                    self._link.drop(live)
                else:
                    raise last
            elif answer[0] == 3:
                self._link.drop(live)  # the tokens are gone, with all else: look again
            elif answer[0] == 2:
                raise encoded.unfit(place, answer[1])
            else:
                return None if answer[0] else answer
        raise _given_up(f"nothing was committed to {place}", last) from last

    def _was_done(self, slot: int | str, token: int, lost: Exception) -> bool:
        """Find out by its token what became of a commit whose answer was lost."""
        question: Command = ("HGET", self._link.keys.tokens(self._link.client), slot)
        try:
            found = self.call([question])[0]
        except RoostError as error:
            raise CommitUnknown(
                f"the answer of a commit to {self._link.place} was lost: {lost}"
            ) from error
        done = found is not None and int(found) == token
        log.warning("a commit whose answer was lost was %s", "done" if done else "not done")
        return done

    # ---- session.Server
    @property
    def keys(self) -> Keys:
        """As in session.Server."""
        return self._link.keys

    def listing(self, ino: Ino, after: bytes | None, limit: int) -> Page:
        """As in session.Server."""
        return self._listings.page(self._link.keys.folder(ino), after, limit)

    def deleted_member(self, ino: Ino) -> bytes | None:
        """As in session.Server."""
        return self._hints.deleted(self.call, self._link.keys, ino)

    def delayed_field(self, chunk_id: SliceId) -> bytes | None:
        """As in session.Server."""
        return self._hints.delayed(self.call, self._link.keys, chunk_id)

    def existing_chunks(self, ino: Ino) -> tuple[ChunkNo, ...]:
        """As in session.Server."""
        return upkeep.chunks_of(self.call, self._link.keys, ino)


def _refusals(replies: Replies) -> Iterator[hiredis.ReplyError]:
    return (reply for reply in replies if isinstance(reply, hiredis.ReplyError))


def _given_up(what: str, last: Exception | None) -> Unavailable:
    return Unavailable(f"{what}: {last}", hint=getattr(last, "hint", None))
