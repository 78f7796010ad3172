"""A server's failures as the errors that callers know; the one place that does it."""

import errno

from roost.errors import RoostError, StorageFull, TimedOut, Unavailable
from roost.volume.engines.sql_servers.driver import Failed, SqlError
from roost.volume.errors import FsError, InodeTaken
from roost.volume.meta import effects as fx
from roost.volume.meta.txn import Commit

RETRIED = (Failed.GUARD, Failed.DUPLICATE, Failed.BUSY, Failed.HELD)
_HINTS = {
    Failed.LOST: "See that the database server runs and can be reached, then try again.",
    Failed.CROWDED: "Raise the limit of connections of the server or the user, or use fewer"
    " clients.",
    Failed.READ_ONLY: "Let the URL name the server that takes writes, or open it read-only.",
    Failed.DENIED: "Look at the user, the password and the rights that the URL's user has.",
    Failed.BUSY: "Try again; if it stays so, look for long transactions in the database.",
}
_TLS_HINT = "Look at the TLS options of the URL and at the files of certificates."
_TLS_WORDS = ("certificate", "ssl", "tls")
_NAME_TAKEN = "xattr_name"
_PRIMARY = ("PRIMARY", "_pkey")  # what the servers call the key of an inode


def failure(error: SqlError, place: str, commit: Commit | None = None) -> RoostError:
    """Return what a caller hears of `error`; `commit` is what was to be done, and was not."""
    effects = () if commit is None else commit.effects
    added = [effect.ino for effect in effects if isinstance(effect, fx.AddNode)]
    match error.kind:
        case Failed.TOO_LONG if any(isinstance(e, fx.AppendSlices) for e in effects):
            made: RoostError = StorageFull(
                "a chunk has as many records as the database can hold",
                hint="Compact the file with `roost compact`; nothing was stored.",
            )
        case Failed.TOO_LONG:
            made = FsError(errno.E2BIG)
        case Failed.OUT_OF_RANGE:
            made = FsError(errno.EOVERFLOW)  # an owner from 2^31 on has no place in the tables
        case Failed.BAD_TEXT:
            made = FsError(errno.EINVAL)
        case Failed.FULL:
            made = StorageFull(f"nothing was committed to {place}: {error.message}")
        case Failed.DUPLICATE if _NAME_TAKEN in error.message:
            made = FsError(errno.EEXIST)  # the collation takes another name for the same
        case Failed.DUPLICATE if added and any(key in error.message for key in _PRIMARY):
            made = InodeTaken(place, added[0])
        case Failed.HELD:
            made = TimedOut(
                f"nothing was done: another client of {place} holds a row that it needs:"
                f" {error.message}",
                hint="Look for a transaction that stays open in the database, and end it.",
            )
        case _:
            made = Unavailable(
                f"{place} does not answer as it should: {error.message}", hint=_hint(error)
            )
    made.__cause__ = error
    return made


def _hint(error: SqlError) -> str:
    if any(word in error.message.lower() for word in _TLS_WORDS):
        return _TLS_HINT
    return _HINTS.get(error.kind, "Look into the log of the database server.")
