"""What waits for the writing connection of an SQLite file."""

import sqlite3
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Generic, TypeVar

from roost.errors import RoostError, StorageFull, Unavailable
from roost.volume.meta.txn import Txn

T = TypeVar("T")


class Job(Generic[T]):
    """One operation: its rule, and later its answer or error."""

    def __init__(self, rule: Callable[[Txn], T]) -> None:
        self.rule = rule
        self.wake = threading.Lock()  # released once: it is answered, or has the connection
        self.leads = False  # it has the connection
        self.given_up = False  # nobody waits for it any more
        self.answer: T | None = None
        self.error: BaseException | None = None

    def fail(self, error: BaseException) -> None:
        """Answer with an error."""
        self.error = error


def not_done(path: Path, error: sqlite3.Error) -> RoostError:
    """Return the failure of an operation of which nothing was committed."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    kind = StorageFull if code == sqlite3.SQLITE_FULL else Unavailable
    failure = kind(f"nothing was committed to {path}: {error}")
    failure.__cause__ = error
    return failure


def fail_all(batch: Iterable[Job[object]], error: RoostError) -> None:
    """Fail every operation, refusals too: they may rest on what was not committed."""
    for job in batch:
        job.fail(error)
