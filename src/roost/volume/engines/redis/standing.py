"""How a server is set up, as far as it matters to what is stored in it (H10)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import hiredis

from roost.volume.engines.redis.connection import Command, Replies
from roost.volume.engines.redis.link import Abilities
from roost.volume.engines.redis.wants import fields

_ASKED = ("appendonly", "appendfsync", "maxmemory-policy")
_INFO_NAMES = {"aof_enabled": "appendonly", "maxmemory_policy": "maxmemory-policy"}


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known; an empty string is not known."""

    appendonly: str = ""
    appendfsync: str = ""
    maxmemory_policy: str = ""

    @property
    def durability(self) -> str:
        """What a commit that was answered survives."""
        if self.appendonly == "no":
            return "nothing for sure: Redis keeps no append-only file, only snapshots if at all"
        if not self.appendonly:
            return "not known: this Redis does not tell how it stores"
        if self.appendfsync == "always":
            return "a crash of the Redis host: every commit is flushed (appendfsync always)"
        if self.appendfsync == "everysec":
            return (
                "a crash of the Redis process; a crash of its host may lose the last second"
                " (appendfsync everysec)"
            )
        return (
            "a crash of the Redis process; what a crash of its host loses is up to that host"
            f" (appendfsync {self.appendfsync or 'not known'})"
        )

    def notes(self, can: Abilities) -> tuple[str, ...]:
        """Return what a person should know, a line each."""
        found = []
        if self.maxmemory_policy not in ("", "noeviction"):
            found.append(
                f"Redis may evict metadata: maxmemory-policy is {self.maxmemory_policy},"
                " set it to noeviction"
            )
        if self.appendonly == "no":
            found.append("Redis keeps no append-only file: a crash loses commits (appendonly no)")
        elif self.appendfsync not in ("", "always"):
            found.append(
                "a crash of the Redis host may lose the last commits"
                f" (appendfsync {self.appendfsync})"
            )
        elif self.appendonly and not self.appendfsync:
            found.append("Redis does not tell how often it flushes (CONFIG is refused)")
        if not self.appendonly:
            found.append("Redis does not tell how it stores (CONFIG and INFO are refused)")
        if not can.scripts:
            found.append("Redis refuses scripts: every change takes two round trips")
        if not can.tracking:
            found.append("Redis refuses CLIENT TRACKING: records are kept for a second only")
        return tuple(found)


def ask_standing(call: Callable[[list[Command]], Replies]) -> Standing:
    """Ask the server, by CONFIG, else by INFO; what is refused stays unknown."""
    known: dict[str, str] = {}
    for name in _ASKED:
        known |= _texts(_answer(call, ("CONFIG", "GET", name)))
    for section in ("persistence", "memory"):
        if known.keys() >= set(_ASKED):
            break
        for line in _lines(_answer(call, ("INFO", section))):
            name, _, value = line.partition(":")
            if name in _INFO_NAMES:
                value = {"0": "no", "1": "yes"}.get(value, value)
                known.setdefault(_INFO_NAMES[name], value)
    return Standing(
        known.get("appendonly", ""),
        known.get("appendfsync", ""),
        known.get("maxmemory-policy", ""),
    )


def _answer(call: Callable[[list[Command]], Replies], command: Command) -> Any:
    reply = call([command])[0]
    return None if isinstance(reply, hiredis.ReplyError) else reply


def _texts(reply: Any) -> dict[str, str]:
    pairs = {} if reply is None else fields(reply)
    return {name.decode(): value.decode() for name, value in pairs.items()}


def _lines(reply: Any) -> list[str]:
    if reply is None:
        return []
    text = reply.decode() if isinstance(reply, bytes) else str(reply)
    return text.splitlines()
