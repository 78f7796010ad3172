"""The claims on a database of Redis, and what proves that it still knows our reservations.

A commit that reserves numbers leaves its token in a slot of its own, named by the counter: it is
there at the next connection, unless the server lost that commit.
"""

from collections.abc import Sequence
from typing import Any

from roost.volume.engines.redis.keys import counter_offset
from roost.volume.engines.redis.records import number
from roost.volume.errors import VolumeReplaced
from roost.volume.meta.claim import Claim, reservation
from roost.volume.meta.effects import Effect


class Claims:
    """Those of one engine.  Safe from many threads."""

    def __init__(self) -> None:
        self._claims: list[Claim] = []
        self._replaced: VolumeReplaced | None = None
        self.losses = 0  # how often the server was found to have lost commits
        self._reserved: dict[str, int] = {}  # counters, and the token of the last reservation

    def __bool__(self) -> bool:
        return bool(self._claims)

    def add(self, claim: Claim) -> None:
        """As Engine.hold."""
        self._claims.append(claim)

    @property
    def counters(self) -> list[str]:
        """The counters that numbers were reserved from."""
        return list(dict.fromkeys(name for claim in self._claims for name in claim.counters))

    def demand(self) -> None:
        """Raise VolumeReplaced if the database was once found to be another's."""
        if self._replaced is not None:
            raise VolumeReplaced(self._replaced.message)

    def verify(self, setting: Any) -> None:
        """Raise VolumeReplaced, now and ever after, unless these settings are as claimed."""
        text = None if setting is None else setting.decode("utf-8", "surrogateescape")
        try:
            for claim in self._claims:
                claim.check(text)
        except VolumeReplaced as error:
            self._replaced = error
            raise

    # ---- numbers
    def reserves(self, effects: Sequence[Effect]) -> str | None:
        """Return the counter from which a commit reserves numbers, if it does: its token's slot."""
        made = reservation(self._claims, effects)
        return None if made is None else made.name

    def reserved(self, counter: str, token: int) -> None:
        """Note that this was committed."""
        self._reserved[counter] = token

    def to_add(self, raw: dict[str, bytes | None], tokens: dict[str, Any]) -> dict[str, int]:
        """Return what to add to which counters, whose stored values and token slots are given."""
        stored = {
            name: counter_offset(name) + (0 if value is None else number(value, name.encode()))
            for name, value in raw.items()
        }
        forgotten = {
            name
            for name, token in list(self._reserved.items())
            if tokens[name] is None or int(tokens[name]) < token
        }
        for name in forgotten:
            self._reserved.pop(name, None)
        to_add = {
            name: least - stored[name]
            for claim in self._claims
            for name, least in claim.to_raise(stored, forgotten).items()
        }
        self.losses += bool(to_add or forgotten)
        return to_add
