"""What can go wrong between this client and a Redis server, and what it means to callers."""

import hiredis

from roost.errors import CorruptRecord, RoostError, StorageFull, Unavailable, Unsupported

# The server refused before doing anything, for a reason that may pass: ask again, maybe elsewhere.
_PASSING = ("LOADING", "MASTERDOWN", "READONLY", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "MOVED", "ASK")
_HINTS = {  # by the first word of a refusal
    "NOREPLICAS": "Bring the replicas back that min-replicas-to-write asks for, or lower it.",
    "READONLY": "This is a replica: name the master in the URL, or its Sentinels.",
    "MASTERDOWN": "Bring the master back, or promote this replica.",
    "BUSY": "End the script that blocks the server: SCRIPT KILL, or FUNCTION KILL.",
    "LOADING": "Wait until the server has read its files, then try again.",
    "CLUSTERDOWN": "Look at CLUSTER INFO: some slots are not served.",
    "MISCONF": "Look at the log of Redis and its free space: it cannot save to its disk.",
}
_LOGIN = ("NOAUTH", "WRONGPASS", "ERR invalid password", "ERR AUTH")


class ConnectionLost(Exception):
    """The connection broke; whether what was sent was done is open.  Never leaves this room."""


class NotNow(Exception):
    """The server did nothing, for a reason that may pass.  Never leaves this room."""


class NoMaster(NotNow):
    """The Sentinels are away, refuse to answer, or know of no master."""


def is_passing(error: hiredis.ReplyError) -> bool:
    """True if the server did nothing, and a new connection or a moment later may help."""
    return str(error).startswith(_PASSING)


def is_forbidden(error: hiredis.ReplyError) -> bool:
    """True if the server does not know the command, or this user may not use it."""
    text = str(error)
    return text.startswith("NOPERM") or "unknown command" in text or "unknown subcommand" in text


def failure(error: hiredis.ReplyError, place: str) -> RoostError:
    """Return what a server's refusal is for a caller; nothing was done."""
    text = str(error)
    if text.startswith("OOM"):
        return StorageFull(f"{place} has no memory left: {text}")
    if text.startswith("WRONGTYPE"):
        return CorruptRecord(place, f"a key is of another kind: {text}")
    if text.startswith(_LOGIN):
        return Unavailable(
            f"{place} wants another password: {text}",
            hint="Put it into the URL, or into META_PASSWORD.",
        )
    if is_forbidden(error):
        return Unsupported(f"{place} forbids what Roost needs: {text}")
    hint = _HINTS.get(text.partition(" ")[0])
    return Unavailable(f"{place} refused: {text.partition(chr(10))[0]}", hint=hint)
