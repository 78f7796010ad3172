"""The wait of one caller for its record, and what it is told when the log ends."""

import threading
from dataclasses import dataclass

from roost.errors import CommitUnknown, Failure, LeaseLost, RoostError, Unavailable
from roost.vector.log.record import Record

Reason = tuple[type[Failure], str]
"""A class of error and its message: each waiter raises an instance of its own."""


class Ticket:
    """One submitted record (or tick), and the wait for its durability."""

    __slots__ = ("_done", "_failure", "timestamp")

    def __init__(self, timestamp: int) -> None:
        self.timestamp = timestamp
        self._done = threading.Event()
        self._failure: Reason | None = None

    def wait(self, timeout_s: float | None = None) -> int:
        """Return the timestamp once the record is durable, lease-checked and visible.

        Raises CommitUnknown if the sync failed, LeaseLost if the lease was lost (both: the record
        may or may not survive), Unavailable if it was not written at all, or after `timeout_s`
        CommitUnknown.
        """
        if not self._done.wait(timeout_s):
            raise CommitUnknown(f"the log did not answer within {timeout_s} s")
        if self._failure is not None:
            kind, message = self._failure
            raise kind(message)
        return self.timestamp

    @property
    def done(self) -> bool:
        """True once `wait` does not block."""
        return self._done.is_set()

    def settle(self, failure: Reason | None = None) -> None:
        """Wake the waiter.  For the log thread alone."""
        self._failure = failure
        self._done.set()


@dataclass(slots=True)
class Item:
    """A place in the queue of the log."""

    ticket: Ticket
    record: Record | None  # None for a tick
    size_bytes: int = 0


def failure_during(error: RoostError) -> Reason:
    """Return what those are told whose record may or may not be stored."""
    if isinstance(error, LeaseLost):
        return LeaseLost, error.message
    return CommitUnknown, f"it is not known whether the change was stored: {error}"


def failure_after(error: RoostError) -> Reason:
    """Return what those are told whose record was not written."""
    if isinstance(error, LeaseLost):
        return LeaseLost, error.message
    return Unavailable, f"nothing was stored, the log has ended: {error}"
