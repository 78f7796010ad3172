"""One connection, used by many threads at once.

Commands are written in one piece each and answered in order, so they pipeline by themselves.  There
is no reading thread: whoever waits first reads for all (the leader), until its own answers are
there; then the next in line leads.  A lone operation thus pays no thread switch.

Invalidations of the server's tracking arrive between answers.  They and `on_replies` run in the
leader, in the order of the wire, which is what keeps the record cache true: a value read before an
invalidation is stored before it is dropped.

Invariants: `_waiting` holds, in the order of the wire, what is sent and not answered.  A broken
connection answers all of it with ConnectionLost and takes nothing more.
Locks: `_send_lock` guards `_waiting`'s growth and the writing; `_lead_lock` is the leadership.
Order: none is taken while the other is wanted, except `_send_lock` inside `_lead_lock` at the end.
"""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import hiredis

from roost.volume.engines.redis.errors import ConnectionLost
from roost.volume.engines.redis.stream import Stream

SILENCE_S_MAX = 20.0  # a server that owes answers and sends nothing for so long counts as dead

Command = tuple[bytes | str | int, ...]
Replies = list[Any]
_MISSING = object()

# Its stub says a tuple of one.
_packed: Callable[[Command], bytes] = hiredis.pack_command  # type: ignore[assignment]


class Pending:
    """Commands sent together, and their replies so far."""

    __slots__ = ("_count", "_on_replies", "_wakes", "error", "is_done", "replies")

    def __init__(self, count: int, on_replies: Callable[[Replies], None] | None) -> None:
        self._count = count
        self._on_replies = on_replies
        self._wakes = threading.Lock()
        self._wakes.acquire()
        self.replies: Replies = []
        self.error: Exception | None = None
        self.is_done = False

    def add(self, reply: Any) -> bool:
        """Note a reply; True if it was the last."""
        self.replies.append(reply)
        if len(self.replies) < self._count:
            return False
        if self._on_replies is not None:
            try:
                self._on_replies(self.replies)
            except Exception as error:  # noqa: BLE001  # its own thread raises it, not the leader's
                self.error = error
        self.is_done = True
        return True

    def fail(self, error: Exception) -> None:
        """End the waiting."""
        self.error = error
        self.is_done = True

    def sleep(self) -> None:
        """Wait until woken."""
        self._wakes.acquire()

    def wake(self) -> None:
        """Wake who sleeps, or lets the next sleep return at once."""
        if self._wakes.locked():
            with contextlib.suppress(RuntimeError):  # another woke it meanwhile
                self._wakes.release()


class Connection:
    """An open connection; opened and greeted by `link.Link`."""

    def __init__(self, stream: Stream, on_push: Callable[[list[Any]], None]) -> None:
        self._stream = stream
        self._on_push = on_push
        self._reader = hiredis.Reader(notEnoughData=_MISSING)
        self._waiting: deque[Pending] = deque()
        self._send_lock = threading.Lock()
        self._lead_lock = threading.Lock()
        self._heard_s = time.monotonic()
        self.is_broken = False

    @property
    def silent_s(self) -> float:
        """Seconds since the server last sent anything."""
        return time.monotonic() - self._heard_s

    def call(
        self, commands: list[Command], on_replies: Callable[[Replies], None] | None = None
    ) -> Replies:
        """Send commands together and return their replies, errors of the server among them.

        `on_replies` is called with them before any later reply or invalidation is looked at.
        Raises ConnectionLost: whether they were done is open.
        """
        assert commands, "where no reply is owed nobody would be woken"
        if len(commands) == 1:
            data = _packed(commands[0])
        else:
            data = b"".join([_packed(command) for command in commands])
        pending = Pending(len(commands), on_replies)
        self._send(data, pending)
        self._wait(pending)
        if pending.error is not None:
            raise pending.error
        return pending.replies

    def close(self) -> None:
        """Break the connection; who waits gets ConnectionLost."""
        self.is_broken = True
        self._stream.close()
        if self._lead_lock.acquire(blocking=False):
            try:
                self._fail_all(ConnectionLost("the connection was closed"))
            finally:
                self._lead_lock.release()

    def forsake(self) -> None:
        """Let go of a connection that a forked child inherited; its parent keeps it."""
        self.is_broken = True
        self._stream.forsake()

    # ---- sending
    def _send(self, data: bytes, pending: Pending) -> None:
        with self._send_lock:
            if self.is_broken:
                raise ConnectionLost("the connection is closed")
            if not self._waiting:
                self._heard_s = time.monotonic()  # it owed nothing, so its silence meant nothing
            self._waiting.append(pending)
            try:
                self._stream.send(data)
            except OSError:
                self._break()
            except BaseException:  # Ctrl-C: half a command would swallow the next one's bytes
                self._break()
                raise

    def _break(self) -> None:
        """Part of a command may be out.  Who leads finds the stream closed and tells all."""
        self.is_broken = True
        self._stream.close()

    # ---- receiving
    def _wait(self, pending: Pending) -> None:
        while not pending.is_done:
            if not self._lead_lock.acquire(blocking=False):
                pending.sleep()
                continue
            try:
                self._lead(pending)
            finally:
                self._lead_lock.release()
                self._wake_next()

    def _wake_next(self) -> None:
        if self._waiting:
            with contextlib.suppress(IndexError):  # answered meanwhile
                self._waiting[0].wake()

    def _lead(self, mine: Pending) -> None:
        gets = self._reader.gets
        try:
            while not mine.is_done:
                reply = gets()
                if reply is _MISSING:
                    self._receive()
                elif type(reply) is hiredis.PushNotification:
                    self._on_push(reply)
                else:
                    head = self._waiting[0]
                    if head.add(reply):
                        self._waiting.popleft()
                        if head is not mine:
                            head.wake()
        except (OSError, hiredis.HiredisError, ConnectionLost) as error:
            self._fail_all(_lost(error))
        except BaseException as error:  # Ctrl-C: a reply taken is not given, all after it shift
            self._fail_all(_lost(error))
            raise

    def _receive(self) -> None:
        data = self._stream.receive()
        if data is not None:
            self._heard_s = time.monotonic()
            self._reader.feed(data)
        elif self.silent_s > SILENCE_S_MAX:
            raise ConnectionLost(f"no answer for {SILENCE_S_MAX:.0f} s")

    def _fail_all(self, error: ConnectionLost) -> None:
        self.is_broken = True
        self._stream.close()
        with self._send_lock:
            while self._waiting:
                failed = self._waiting.popleft()
                failed.fail(error)
                failed.wake()


def _lost(error: BaseException) -> ConnectionLost:
    lost = ConnectionLost(f"the connection broke: {error!r}")
    lost.__cause__ = error
    return lost
